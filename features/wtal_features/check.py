"""Look over a store before hours are spent on it: every fault by name, none raised."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError, Finding
from wtal_features.manifest import Timing
from wtal_features.npy import read_feature_header
from wtal_features.quality import Quality

if TYPE_CHECKING:
    from wtal_features.store import FeatureStore

# Containers state durations that differ from the decoded frames by up to about this share.
_ROUNDING = 0.02


class Watcher(Protocol):
    """What looks at the arrays while `check_store` has them in its hands."""

    def add(self, video: str, features_TD: npt.NDArray[np.float32]) -> None:
        """Look at one video: (T, D), finite, not zero throughout."""

    def findings(self) -> list[Finding]:
        """The faults of all videos together."""


def check_store(
    store: "FeatureStore",
    *,
    values: bool = False,
    watch: Sequence[Watcher] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Check every video of a store.

    Args:
        store: The store.
        values: Also read every array, to find NaN, infinity, videos that are zero throughout, and
            what `Quality` finds. Without it only headers are read.
        watch: Read every array and show it to these instead of a `Quality`.
        progress: Called after each video with how many are done and how many there are.

    Returns:
        The findings, the store's first, then by video, then those of the watchers; empty when all
        is well.
    """
    findings = store.faults()
    watchers = watch or ((Quality(store),) if values else ())
    for done, video in enumerate(store.videos, 1):
        try:
            findings += _check_headers(store, video)
            if watchers:
                features_TD = store.read(video)
                if not features_TD.any():
                    findings.append(_all_zero(video))
                else:
                    for watcher in watchers:
                        watcher.add(video, features_TD)
        except FeatureError as error:
            findings.append(Finding.of(error, video))
        if progress is not None:
            progress(done, len(store.videos))
    return [*findings, *(finding for watcher in watchers for finding in watcher.findings())]


def _check_headers(store: "FeatureStore", video: str) -> list[Finding]:
    """What the headers and the manifest's entry of one video show."""
    findings = []
    for path in store.files(video).values():
        if read_feature_header(path).fortran_order:
            findings.append(
                Finding(
                    "fortran-order",
                    video,
                    f"{path} is stored column by column; expected C order.",
                    "It is read correctly but slowly; save numpy.ascontiguousarray(array).",
                    "warning",
                )
            )
    length = length_fault(video, store.length(video), store.timing(video))
    return [*findings, length] if length else findings


def length_fault(video: str, T: int, timing: Timing) -> Finding | None:
    """Whether T snippets can be those of a video of the stated duration.

    Args:
        video: The id, for the finding.
        T: Number of snippets.
        timing: The time base; without a duration nothing can be said.

    Returns:
        A finding when T snippets cover another time than the video has, by more than the last
        window, one snippet and 2 percent.
    """
    if timing.duration_s is None:
        return None
    covered_s = T * timing.seconds_per_snippet
    last_window_s = max(timing.window_frames or 0.0, timing.stride_frames) / timing.fps
    slack_s = last_window_s + timing.seconds_per_snippet + _ROUNDING * timing.duration_s
    if abs(covered_s - timing.duration_s) <= slack_s:
        return None
    return Finding(
        "length",
        video,
        f"{T} snippets of {timing.seconds_per_snippet:.3f} s cover {covered_s:.1f} s, "
        f"but the video has {timing.duration_s:.1f} s.",
        "fps or stride is wrong, or the features are of another video.",
    )


def _all_zero(video: str) -> Finding:
    return Finding(
        "all-zero",
        video,
        "Every value is zero.",
        "The extraction failed silently; extract the video again.",
    )
