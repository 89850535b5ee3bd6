"""Features of labelled clips by any encoder, from frames as a clip store keeps them.

The store has frames that are small but whole; an encoder wants a square of its own size. They are
scaled and cut frame by frame, exactly as extraction does it.

Legend: M clips, B windows of n frames, H x W pixels or cells, C channels, S the side of the square
that the encoder sees, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.errors import FeatureError
from wtal_features.preprocess import prepare_frame, prepare_motion
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.probing.clips import LabelledClip, clip_features

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from wtal_features.encoders.encoder import Encoder


def prepared(clips_BnHWC: Tensor, preprocess: Preprocess) -> Tensor:
    """Resize and crop every frame as `prepare_frame` and `prepare_motion` do it.

    Args:
        clips_BnHWC: On the CPU: uint8 with C = 3, or float32 in px per grid frame with C = 2.
        preprocess: What the encoder wants.

    Returns:
        (B, n, S, S, C): uint8, or float16.
    """
    import torch

    colour = clips_BnHWC.dtype == torch.uint8
    frames = clips_BnHWC.flatten(0, 1).numpy()
    squares = [
        prepare_frame(frame, preprocess) if colour else prepare_motion(frame, preprocess)
        for frame in frames
    ]
    squares_NSSC = torch.from_numpy(np.stack(squares))
    return squares_NSSC.reshape(*clips_BnHWC.shape[:2], *squares_NSSC.shape[1:])


def encode_clips(
    store: ClipStore,
    clips: Sequence[LabelledClip],
    encoder: Encoder,
    *,
    device: torch.device | str = "cpu",
    batch: int = 8,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """One feature per clip: the mean over its windows, see `clips.windows`.

    Args:
        store: Has the videos of all clips.
        clips: M of them, not none.
        encoder: Any; it is moved to the device and stays there.
        device: Where to compute.
        batch: Windows of a clip that are encoded at a time.
        progress: Told (clips done, clips in all).

    Returns:
        (M, D) float32, on the device.

    Raises:
        FeatureError: If a clip cannot be found, or the store lacks the view that the encoder sees.
    """
    import torch

    spec, device = encoder.clip, torch.device(device)
    check_view(store, encoder.name, spec)
    encoder.to(device)

    def encode(clips_BnHWC: Tensor) -> Tensor:
        return encoder.encode(prepared(clips_BnHWC, spec.preprocess).to(device))

    rows = []
    for done, clip in enumerate(clips, 1):
        rows.append(
            clip_features(
                *(store, [clip], encode),
                n=spec.frames,
                r=spec.every,
                view=spec.view,
                batch=batch,
            )
        )
        progress(done, len(clips))
    return torch.cat(rows)


def check_view(store: ClipStore, name: str, spec: ClipSpec) -> None:
    """Refuse an encoder of motion where the store has none.

    Args:
        store: Of frames, with motion or without.
        name: Of the encoder.
        spec: What it sees.

    Raises:
        FeatureError: If there is no motion.
    """
    if spec.view == "motion" and store.settings.get("motion") is None:
        raise FeatureError(
            f"{name} sees motion, and the clip store {store.folder} holds none.",
            "Build one with motion, in another folder.",
            code="view",
        )


def remarks(
    store: ClipStore, name: str, spec: ClipSpec, details: Mapping[str, object]
) -> list[str]:
    """In what the clips of a store are not what an encoder was made for.

    Args:
        store: Where its clips come from.
        name: Of the encoder.
        spec: What it sees.
        details: What it says of itself; checkpoints of ours name their grid and source of motion.

    Returns:
        A sentence for each: frames that must be enlarged, another rate, another source of motion.
    """
    found = (
        _enlarged(store, name, spec),
        _rate(store, name, details.get("grid_fps")),
        _source(store, name, spec, details.get("motion_source")),
    )
    return [sentence for sentence in found if sentence]


def _enlarged(store: ClipStore, name: str, spec: ClipSpec) -> str:
    """Whether frames or maps are smaller than what the encoder scales them to."""
    want, motion = spec.preprocess.short_side, spec.view == "motion"
    infos = [store.info(video) for video in store.videos]
    sides = [min((i.motion or (want,)) if motion else (i.height, i.width)) for i in infos]
    small = [side for side in sides if side < want]
    if not small:
        return ""
    kept = store.settings.get("short_side")
    cure = ""
    if not motion and isinstance(kept, int) and kept < want:
        cure = f" A clip store of short side {want} has all that the videos show."
    return (
        f"{name} wants a short side of {want} {'cells' if motion else 'px'}; {len(small)} of "
        f"{len(sides)} videos are stored with less, down to {min(small)}, and are enlarged.{cure}"
    )


def _rate(store: ClipStore, name: str, trained: object) -> str:
    """Whether a checkpoint of ours was trained at another rate."""
    if trained is None or float(str(trained)) == float(store.fps):
        return ""
    return (
        f"{name} was trained at {float(str(trained)):g} fps, and these clips have "
        f"{float(store.fps):g}: to it, things move at another speed."
    )


def _source(store: ClipStore, name: str, spec: ClipSpec, trained: object) -> str:
    """Whether a checkpoint of ours was trained on motion from elsewhere."""
    motion = store.settings.get("motion")
    here = motion.get("source") if isinstance(motion, dict) else None
    if spec.view != "motion" or trained in (None, here):
        return ""
    return f"{name} was trained on motion by {trained}, and these clips have motion by {here}."
