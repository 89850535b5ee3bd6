"""Videos held out of the training set, and what is measured on them.

The test split never takes part: training is given the training subset alone, so that a checkpoint
cannot be chosen on it. Which labels chose is part of the config and of every record.

Shapes: V training videos, C action classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wtal.data import TrainingVideos
from wtal.errors import WtalError
from wtal.localize import Localizer, VideoDetections
from wtal_eval import Annotations, Evaluation, evaluate
from wtal_eval.classification import classify
from wtal_features import FeatureStore


@dataclass(frozen=True)
class ValidationConfig:
    """Off by default: a fixed schedule and its last checkpoint."""

    fraction: float = 0.0
    """Share of the training videos held out, class by class; 0: none."""
    every: int = 100
    """Steps between two measurements."""
    labels: Literal["video_labels", "segments"] = "video_labels"
    """What is measured: mAP of the video-level scores (tags suffice), or mAP of the segments (needs
    --annotations; stronger supervision than the task allows, so it is named in every record)."""
    keep: Literal["last", "best"] = "last"
    """Which checkpoint becomes model.safetensors."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.fraction < 1:
            raise WtalError(f"validation.fraction is {self.fraction}; expected [0, 1).")
        if self.every < 1:
            raise WtalError(f"validation.every is {self.every}; expected at least 1.")
        if self.keep == "best" and self.fraction == 0:
            raise WtalError("validation.keep=best needs held-out videos: set validation.fraction.")


def hold_out(
    labels_VC: NDArray[np.float32], fraction: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw about `fraction` of the videos, rarest class first; every class keeps a training video.

    Args:
        labels_VC: 1 where the video has the tag.
        fraction: in [0, 1).
        generator: draws the videos.

    Returns:
        (V,) True at held-out videos.
    """
    V = len(labels_VC)
    held_V = np.zeros(V, dtype=bool)
    order_V = generator.permutation(V)
    for c in np.argsort(labels_VC.sum(0), kind="stable"):
        members = order_V[labels_VC[order_V, c] > 0]
        wanted = min(round(fraction * len(members)), len(members) - 1) - int(held_V[members].sum())
        for video in members[~held_V[members]][: max(wanted, 0)]:
            left_C = labels_VC[~held_V].sum(0) - labels_VC[video]
            if (left_C[labels_VC[video] > 0] > 0).all():
                held_V[video] = True
    untagged = order_V[labels_VC[order_V].sum(1) == 0]
    held_V[untagged[: round(fraction * len(untagged))]] = True
    return held_V


def check_supervision(config: ValidationConfig, annotations: Annotations | None) -> None:
    """Refuse to measure segments where none are given, before any video is read.

    Raises:
        WtalError: `labels: segments` without an annotated segment.
    """
    if not config.fraction or config.labels == "video_labels":
        return
    if annotations is None or not len(annotations):
        raise WtalError(
            "validation.labels=segments needs --annotations with segments; "
            "validation.labels=video_labels measures with tags alone."
        )


def split(
    videos: TrainingVideos, config: ValidationConfig, generator: np.random.Generator
) -> tuple[TrainingVideos, TrainingVideos]:
    """Videos to train on, and videos held out.

    Raises:
        WtalError: videos should be held out, and none with a tag can be.
    """
    held_V = hold_out(videos.labels_VC, config.fraction, generator)
    if config.fraction and not videos.labels_VC[held_V].any():
        raise WtalError(
            f"validation.fraction={config.fraction} holds out no video with a tag, of "
            f"{len(videos.names)} training videos (each class keeps one); raise it, or set it to 0."
        )
    return videos.subset(~held_V), videos.subset(held_V)


def measure(
    localizer: Localizer,
    store: FeatureStore,
    held_out: TrainingVideos,
    config: ValidationConfig,
    annotations: Annotations | None,
) -> dict[str, float]:
    """Figures on the held-out videos; the first is the one that may choose.

    Args:
        localizer: around the network in its present state.
        store: features.
        held_out: videos and tags.
        config: what to measure.
        annotations: segments of the held-out videos, for `labels: segments`.

    Returns:
        {"validation_video_map": ...} or {"validation_map": mean over tIoU .1:.7, ...}.
    """
    results: dict[str, VideoDetections] = {}
    scores_VC = np.zeros_like(held_out.labels_VC, dtype=np.float64)
    for v, name in enumerate(held_out.names):
        if config.labels == "segments":
            seconds = store.timing(name).seconds_per_snippet
            found = localizer.localize(held_out.read(name), seconds_per_snippet=seconds)
            results[name] = found
            scores_VC[v] = list(found.class_scores.values())
        else:
            scores_VC[v] = localizer.scores(held_out.read(name)).class_scores_C
    video_map = classify(scores_VC, held_out.labels_VC > 0, derived=False, interpolated=False).map
    if config.labels == "video_labels":
        return {"validation_video_map": video_map}
    assert annotations is not None  # check_supervision asked for them
    segment_map = evaluate_on(results, annotations).averages["0.1:0.7"]
    return {"validation_map": segment_map, "validation_video_map": video_map}


def evaluate_on(results: Mapping[str, VideoDetections], annotations: Annotations) -> Evaluation:
    """Detections against the segments of the same videos; classes of others do not count."""
    subsets = tuple("held-out" if video in results else "other" for video in annotations.videos)
    return evaluate(
        {"results": {name: found.as_dicts() for name, found in results.items()}},
        replace(annotations, subsets=subsets),
        protocol="thumos14",
        subset="held-out",
        unknown_labels="ignore",
    )
