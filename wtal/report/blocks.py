"""The blocks of the videos, made one after the other while the page is written.

Shapes: N detections of the page, V videos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from wtal.exports.selection import by_video
from wtal.report.curves import Drawer
from wtal.report.data import Block, Curves, Found
from wtal.report.gathering import Gathered
from wtal.report.privacy import without_folders
from wtal_features import FeatureError

LEAST = 0.01  # probability of a class that the page lists, unless it is detected or tagged
Truth = tuple[tuple[int, float, float], ...]


class Blocks:
    """What only the view of one video needs.

    Attributes:
        notes: video -> why it has no curves, as far as is known before its features are read.
        faults: the same of features that are there and cannot be read; complete after `made`.
        drawn: how many have curves; counted by `made`.
    """

    def __init__(
        self, gathered: Gathered, classes: tuple[str, ...], found: Found, drawer: Drawer | None
    ) -> None:
        """Look at the headers of the features, and sort the annotated segments by video."""
        self.gathered, self.classes, self.found, self.drawer = gathered, classes, found, drawer
        self.code = {label: c for c, label in enumerate(classes)}
        self.truth = _truth(gathered, self.code)
        self.notes: dict[str, str] = {}
        self.faults: dict[str, str] = {}
        self.drawn = 0
        if drawer is not None:
            for video in gathered.names:
                fault = None if video in gathered.skipped else drawer.fault(video)
                if fault is not None:
                    plain = without_folders(fault, [drawer.store.root])
                    self.notes[video] = f"No curves: {plain}"
                    if video in drawer.store:
                        self.faults[video] = fault

    def made(self, progress: Callable[[int, int], None]) -> Iterator[Block]:
        """One block after the other, in the order of the videos.

        Args:
            progress: told (done, total).
        """
        self.drawn = 0
        for v, video in enumerate(self.gathered.names):
            yield self._block(v, video)
            progress(v + 1, len(self.gathered.names))

    def _block(self, v: int, video: str) -> Block:
        wanted = self._wanted(v, video)
        curves, probabilities = self._curves(video, wanted)
        scores = _probabilities(self.gathered.detections.video_scores, video) or probabilities
        listed = {
            self.code[label]: round(p, 4)
            for label, p in scores.items()
            if label in self.code and (p >= LEAST or self.code[label] in wanted)
        }
        return Block(self.truth.get(video, ()), curves, listed or None)

    def _wanted(self, v: int, video: str) -> list[int]:
        """Classes to draw: tagged, annotated, then detected, the best detected first."""
        rows = slice(self.found.first[v], self.found.first[v + 1])
        scores = zip(
            self.found.scores_N[rows].tolist(), self.found.classes_N[rows].tolist(), strict=True
        )
        detected = [c for _, c in sorted(scores, key=lambda pair: (-pair[0], pair[1]))]
        tagged = [self.code[label] for label in self.gathered.tags.get(video, ())]
        annotated = [c for c, _, _ in self.truth.get(video, ())]
        return list(dict.fromkeys([*tagged, *annotated, *detected]))

    def _curves(self, video: str, wanted: list[int]) -> tuple[Curves | None, Mapping[str, float]]:
        if self.drawer is None or video in self.notes or video in self.gathered.skipped:
            return None, {}
        try:
            curves, probabilities = self.drawer.draw(video, wanted)
        except FeatureError as error:
            self.faults[video] = str(error)
            return None, {}
        self.drawn += 1
        return curves, probabilities


def _probabilities(
    scores: Mapping[str, Mapping[str, float]] | None, video: str
) -> Mapping[str, float]:
    """What the result file says of the classes of a video, where these are probabilities."""
    found = (scores or {}).get(video, {})
    return found if all(0 <= p <= 1 for p in found.values()) else {}


def _truth(gathered: Gathered, code: Mapping[str, int]) -> dict[str, Truth]:
    """Video -> its annotated segments by start, to the millisecond; also of those without any."""
    if gathered.annotations is None:
        return {}
    segments = by_video(gathered.annotations)
    return {
        video: tuple(
            sorted(
                ((code[s.label], round(s.start_s, 3), round(s.end_s, 3)) for s in segments[name]),
                key=lambda span: (span[1], span[2], span[0]),
            )
        )
        for video, name in gathered.annotated.items()
    }
