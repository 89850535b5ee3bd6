"""What tags say of detections: which are surely wrong, and how much background passes for action.

Shapes: N detections, M detections of decoys, V videos, T bins, C classes.

Three ways to be wrong, for a detection in a video whose tags are known:
1. The video lacks the tag. Known.
2. A better detection of the class overlaps it: at most one of the two is the instance. Known.
3. The class happens in this video, but not here. Tags do not tell; decoys estimate how often: the
   activations of a video without the tag are put behind those of the tagged video, so that both
   pass the same normalisation, thresholds and scores, and all that is found in that part is wrong.
   A decoy's detections weigh (bins of the tagged video) / (bins of all its decoys).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.localize import Localizer, VideoDetections, VideoScores
from wtal_eval.nms import hard_nms
from wtal_features import FeatureError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DECOYS = 4  # videos without the tag behind each video that has it
POOL = 128  # videos that decoys are drawn from: what is kept in memory
GAP = 4  # bins of no activation between the two, so that no segment is of both
TOUCH = 1e-9  # tIoU from which two segments overlap


@dataclass(frozen=True, eq=False)
class Evidence:
    """Detections of videos with known tags, and those of their decoys.

    Args:
        scores_N: of the detections.
        tagged_N: whether the video has the tag.
        lead_N: whether no better detection of the class overlaps.
        videos_N: which video, 0 to V - 1.
        decoy_scores_M: of the best of overlapping detections of decoys.
        decoy_weights_M: how many wrong detections each stands for.
        decoy_videos_M: the tagged video that each stands in for.
        videos: V.
        localized: (video, tag) pairs that were found in the video as a whole.
        without_decoys: those among them for which no video lacks the tag.
    """

    scores_N: Floats
    tagged_N: Bools
    lead_N: Bools
    videos_N: NDArray[np.int64]
    decoy_scores_M: Floats
    decoy_weights_M: Floats
    decoy_videos_M: NDArray[np.int64]
    videos: int
    localized: int
    without_decoys: int

    @property
    def right(self) -> Bools:
        """(N,) True where only background can make it wrong."""
        return self.tagged_N & self.lead_N

    @classmethod
    def joined(cls, parts: Sequence[Evidence]) -> Evidence:
        """Of several networks, each with videos of its own."""
        parts = [EMPTY, *parts]
        first_P = np.cumsum([0] + [part.videos for part in parts])
        shifted = zip(parts, first_P, strict=False)
        moved = [(part.videos_N + first, part.decoy_videos_M + first) for part, first in shifted]
        return cls(
            np.concatenate([part.scores_N for part in parts]),
            np.concatenate([part.tagged_N for part in parts]),
            np.concatenate([part.lead_N for part in parts]),
            np.concatenate([videos for videos, _ in moved]),
            np.concatenate([part.decoy_scores_M for part in parts]),
            np.concatenate([part.decoy_weights_M for part in parts]),
            np.concatenate([videos for _, videos in moved]),
            int(first_P[-1]),
            sum(part.localized for part in parts),
            sum(part.without_decoys for part in parts),
        )


EMPTY = Evidence(
    *(np.empty(0), np.empty(0, bool), np.empty(0, bool), np.empty(0, np.int64)),
    *(np.empty(0), np.empty(0), np.empty(0, np.int64)),
    *(0, 0, 0),
)


class Scored(NamedTuple):
    """One video as a network that did not learn from it sees it."""

    scores: VideoScores
    tags: frozenset[str]
    seconds_per_snippet: float


def leads(found: VideoDetections) -> Bools:
    """(N,) True where no better detection of the class overlaps; of equal scores the first stays.

    Example:
        >>> found = VideoDetections(
        ...     ("a", "a", "b"), np.array([0.0, 1, 1]), np.array([4.0, 5, 5]),
        ...     np.array([0.5, 0.9, 0.1]), {},
        ... )
        >>> leads(found).tolist()
        [False, True, True]
    """
    names = {label: i for i, label in enumerate(dict.fromkeys(found.labels))}
    classes_N = np.array([names[label] for label in found.labels], np.int64)
    kept = hard_nms(found.starts_N, found.ends_N, found.scores_N, classes_N, threshold=TOUCH)
    lead_N = np.zeros(len(found.labels), bool)
    lead_N[kept] = True
    return lead_N


def decoy_scores(localizer: Localizer, tagged: VideoScores, c: int, decoy: VideoScores) -> Floats:
    """Scores of what is found of class c in a video without it, put behind one that has it."""
    own_T1, other_T1 = tagged.cas_TC[:, [c]], decoy.cas_TC[:, [c]]
    gap_T1 = np.full((GAP, 1), min(own_T1.min(), other_T1.min()), np.float32)
    cas_T1 = np.concatenate([own_T1, gap_T1, other_T1])
    alone = replace(
        localizer,
        classes=(localizer.classes[c],),
        config=replace(localizer.config, max_detections=0),
    )
    found = alone.segments(
        VideoScores(cas_T1, np.ones(len(cas_T1), np.float32), tagged.class_scores_C[[c]], 1.0), 1.0
    )
    # One second is one bin: a segment that starts in the gap or later is the decoy's.
    behind_N = found.starts_N >= len(own_T1) + GAP / 2
    return found.scores_N[behind_N & leads(found)]


class Pool:
    """Videos that decoys are drawn from.

    Args:
        localizer: the network and its settings.
        videos: the videos.
        generator: draws.
    """

    def __init__(
        self, localizer: Localizer, videos: Sequence[Scored], generator: np.random.Generator
    ) -> None:
        """Keep them."""
        self.localizer, self.videos, self.generator = localizer, videos, generator

    def behind(self, tagged: VideoScores, c: int) -> tuple[Floats, Floats] | None:
        """Scores and weights of what is found in the decoys of one video and class.

        Returns:
            (M,) scores and (M,) weights; None if every video of the pool has the tag.
        """
        name = self.localizer.classes[c]
        without = [each.scores for each in self.videos if name not in each.tags]
        if not without:
            return None
        drawn = [without[i] for i in self.generator.permutation(len(without))[:DECOYS]]
        found = [decoy_scores(self.localizer, tagged, c, each) for each in drawn]
        scores_M = np.concatenate(found)
        share = len(tagged.cas_TC) / sum(len(each.cas_TC) for each in drawn)
        return scores_M, np.full(len(scores_M), share)


def gather(
    localizer: Localizer,
    read: Callable[[str], Scored],
    names: Sequence[str],
    generator: np.random.Generator,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Evidence, dict[str, str]]:
    """Localize videos with known tags, and their decoys; memory holds `POOL` videos.

    Args:
        localizer: of a network that was not trained on these videos.
        read: video -> its scores and tags.
        names: the videos.
        generator: draws the pool and the decoys.
        progress: told (done, total) videos.

    Returns:
        What was found, and video -> fault of those that could not be read.
    """
    faults: dict[str, str] = {}
    known: dict[str, Scored] = {}

    def get(name: str) -> Scored | None:
        try:
            return known[name] if name in known else read(name)
        except FeatureError as fault:
            faults[name] = str(fault)
            return None

    for i in np.sort(generator.permutation(len(names))[:POOL]):
        if (video := get(names[i])) is not None:
            known[names[i]] = video
    pool = Pool(localizer, list(known.values()), generator)
    parts = []
    for done, name in enumerate(names, 1):
        if name not in faults and (video := get(name)) is not None:
            parts.append(of_video(localizer, video, pool))
        progress(done, len(names))
    return Evidence.joined(parts), faults


def of_video(localizer: Localizer, video: Scored, pool: Pool) -> Evidence:
    """Detections of one video, and of the decoys of each tag that was found in it."""
    found = localizer.segments(video.scores, video.seconds_per_snippet)
    tagged_N = np.array([label in video.tags for label in found.labels], bool)
    kept_C = localizer.kept_classes(video.scores.class_scores_C).tolist()
    decoys = [pool.behind(video.scores, c) for c in kept_C if localizer.classes[c] in video.tags]
    scores_M, weights_M = np.empty(0), np.empty(0)
    if there := [each for each in decoys if each is not None]:
        scores_M, weights_M = (np.concatenate(each) for each in zip(*there, strict=True))
    return Evidence(
        found.scores_N,
        tagged_N,
        leads(found),
        np.zeros(len(found.labels), np.int64),
        scores_M,
        weights_M,
        np.zeros(len(scores_M), np.int64),
        videos=1,
        localized=len(decoys),
        without_decoys=sum(each is None for each in decoys),
    )
