"""Copies that were cut, sped up or thinned out, found frame by frame; for `wtal doctor --leakage`.

A piece of a video has rows that the whole has too, in whatever order and at whatever rate: each row
of the piece is looked up among those of the whole, and the mean of the best similarities is high
(chamfer). The whole is not in the piece, so the larger of both directions counts. Rows are first
centred by the mean of the store, since all features of one encoder are alike.

Every pair is screened with a few rows of one video, projected; what remains is compared in full.

Where the figures come from: 400 sequences of real VGG16 features of 34 to 479 rows, 240 training
and 160 test, in which different videos share clips inside a subset only. Of 80 test videos altered
copies, cut at places between two rows, were added to the training part.

| pair | similarity, or copies found of 80; in brackets by the signatures of `twins.py` |
|---|---|
| different videos of two subsets, the most alike of 38,400 pairs | .80 |
| different videos of one subset, which may share clips, the most alike of 41,400 | .91 |
| moved by half a row; half or double the rate; noise of half the features' spread | 80 (80) |
| without 30 % of the rows | 80 (52) |
| cut to half; cut to a fifth | 80; 79 (0) |
| cut to half, 1.5 times as fast, without 30 %, noise of a quarter of the spread | 79 (0) |
| cut to a fifth, noise of half the spread; that, twice as fast and without 30 % | 49; 35 (0) |
| noise as large as the spread | 0 (63) |

So the signatures are asked as well. Not found: two long videos that share a piece and have more of
their own; a piece of fewer than 8 rows, since so few have a double by chance (of 100 such pieces of
videos of the other subset a tenth exceeds .83).

Shapes: V videos, n and m rows of two of them, D dims, P = 64 projected dims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from wtal.notices import some
from wtal.twins import Copies, projection
from wtal_features import FeatureStore, Finding
from wtal_features.retrieval.groups import groups
from wtal_features.retrieval.similarity import Described, described, similarities

Floats = NDArray[np.float32]

ALIKE = 0.85  # from which two videos of different subsets are reported
SAME = 0.93  # likewise of one subset, where they may share a scene and do no harm
FEW_ROWS = 8  # a shorter video counts as a copy only where the other is all in it, too
SCREENED_ROWS = 16  # of a video, when all pairs are screened
SLACK = 0.1
"""So much less than in full a pair may have with few rows and few dims. Of 640 altered copies that
reach `ALIKE` in full the least has .82 there, and of different videos .4 % pass. It takes a
fiftieth of the time, and 256 bytes for each row of the store."""
BLOCK = 1024  # rows compared at a time


class Alike(NamedTuple):
    """One video that lies in another, or most of it."""

    inner: str
    outer: str
    similarity: float
    start_s: float  # of the part of `outer`
    end_s: float


class Leakage:
    """Pieces and altered copies of videos under other names; shown every array by `check_store`.

    Args:
        store: Whose videos they are.
        subsets: Video -> its subset, None where none is named.
        copies: Was shown each video before; equal arrays are its to report.
        progress: Told how many of all comparisons are done.
    """

    def __init__(
        self,
        store: FeatureStore,
        subsets: Mapping[str, str | None],
        copies: Copies,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._store, self._subsets, self._copies = store, subsets, copies
        self._progress = progress or (lambda done, total: None)
        self._matrix_DP = projection(store.dim)
        self._projected: dict[str, Floats] = {}
        self._lengths: dict[str, int] = {}
        self._sum_D = np.zeros(store.dim)
        self._pairs: list[Alike] = []
        self._looked_at = 0

    def add(self, video: str, features_TD: Floats) -> None:
        """Keep what the screening needs of one video, (T, D)."""
        if self._copies.repeats(video):
            return
        self._projected[video] = features_TD @ self._matrix_DP
        self._lengths[video] = len(features_TD)
        self._sum_D += features_TD.sum(0, dtype=np.float64)

    def findings(self) -> list[Finding]:
        """Compare all; across subsets a finding per pair, the most alike first, then groups."""
        if len(self._lengths) < 2:
            return []
        self._pairs = sorted(self._compare(), key=lambda pair: -pair.similarity)
        across = [pair for pair in self._pairs if self._across(pair)]
        found = [self._leak(pair) for pair in across if pair.similarity >= ALIKE]
        return [*found, *self._groups()]

    def lines(self) -> list[str]:
        """How far the most alike pair across subsets is from being reported."""
        if len(self._lengths) < 2:
            return []
        head = f"search for leakage: {self._looked_at} pairs of {len(self._lengths)} videos in full"
        across = next(filter(self._across, self._pairs), None)
        if across is None:
            several = len(set(map(self._subsets.get, self._lengths)) - {None}) > 1
            return [f"{head}; {'none across subsets' if several else 'no subsets known'}"]
        best = f"{across.inner} in {across.outer} ({across.similarity:.2f}; reported from {ALIKE})"
        return [f"{head}; the most alike across subsets: {best}"]

    def _across(self, pair: Alike) -> bool:
        return self._differ(pair.inner, pair.outer)

    def _differ(self, one: str, other: str) -> bool:
        subsets = {self._subsets.get(one), self._subsets.get(other)}
        return None not in subsets and len(subsets) > 1

    def _compare(self) -> Iterator[Alike]:
        mean_D = (self._sum_D / sum(self._lengths.values())).astype(np.float32)
        V = len(self._lengths)
        candidates = sorted(self._screened(mean_D))
        self._looked_at = len(candidates)
        reader = _Rows(self._store, mean_D)
        for done, (one, other) in enumerate(candidates, V + 1):
            yield compared(reader, one, other)
            self._progress(done, V + len(candidates))

    def _screened(self, mean_D: Floats) -> Iterator[tuple[str, str]]:
        """Pairs that may be alike, each once."""
        names = sorted(self._projected)
        rows = ((name, self._projected.pop(name)) for name in names)  # not held twice
        whole = described(rows, mean_D=mean_D @ self._matrix_DP)
        seen: set[tuple[int, int]] = set()
        for first, alike_qV in similarities(few_rows(whole), whole, "chamfer"):
            for place, j in (alike_qV >= min(ALIKE, SAME) - SLACK).nonzero().tolist():
                pair = min(first + place, j), max(first + place, j)
                if pair[0] == pair[1] or pair in seen:
                    continue
                least = ALIKE if self._differ(names[pair[0]], names[pair[1]]) else SAME
                if alike_qV[place, j] >= least - SLACK:
                    seen.add(pair)
                    yield names[pair[0]], names[pair[1]]
            self._progress(first + len(alike_qV), len(names))

    def _leak(self, pair: Alike) -> Finding:
        return Finding(
            "near-duplicate",
            f"{pair.inner} ~ {pair.outer}",
            f"{self._named(pair.inner)} is found at about {pair.start_s:.1f} to {pair.end_s:.1f} s "
            f"of {self._named(pair.outer)}: their features are alike by {pair.similarity:.2f}.",
            "Look at both; if one is a copy, keep one, or scores on the test are not true.",
            "warning",
        )

    def _named(self, video: str) -> str:
        seconds = self._lengths[video] * self._store.timing(video).seconds_per_snippet
        return f"{video} ({self._subsets[video]}, {seconds:.1f} s)"

    def _groups(self) -> Iterator[Finding]:
        alike = [p for p in self._pairs if not self._across(p) and p.similarity >= SAME]
        names = sorted({name for pair in alike for name in pair[:2]})
        number = {name: place for place, name in enumerate(names)}
        pairs = [(number[pair.inner], number[pair.outer]) for pair in alike]
        for members in groups(pairs, len(names)):
            yield Finding(
                "similar-videos",
                str(self._store.root),
                f"{len(members)} videos are copies or pieces of one another, alike by {SAME} or "
                f"more: {some(names[place] for place in members)}.",
                "Look at them; a copy adds nothing to learn from.",
                "warning",
            )


def few_rows(videos: Described) -> Described:
    """Of each video `SCREENED_ROWS` rows, evenly spread, or all where there are no more."""
    assert videos.frames_ND is not None  # they were asked for
    bounds = zip(videos.starts, videos.starts[1:], strict=False)
    picked = [
        np.unique(np.linspace(low, high - 1, min(high - low, SCREENED_ROWS)).round().astype(int))
        for low, high in bounds
    ]
    rows = videos.frames_ND[torch.from_numpy(np.concatenate(picked))]
    return Described(videos.names, videos.pooled_VD, rows, (0, *accumulate(map(len, picked))))


class _Rows:
    """Centred unit rows of videos; the last one stays, since pairs come sorted."""

    def __init__(self, store: FeatureStore, mean_D: Floats) -> None:
        self.store, self._mean_D = store, mean_D
        self._kept: tuple[str, Floats] | None = None

    def of(self, video: str) -> Floats:
        if self._kept is None or self._kept[0] != video:
            self._kept = video, self.fresh(video)
        return self._kept[1]

    def fresh(self, video: str) -> Floats:
        rows = described([(video, self.store.read(video))], mean_D=self._mean_D).frames_ND
        assert rows is not None  # they were asked for
        unit_nD: Floats = rows.numpy()
        return unit_nD


def compared(rows: _Rows, one: str, other: str) -> Alike:
    """Two videos in full: which of them lies in the other, how surely, and where."""
    one_nD, other_mD = rows.of(one), rows.fresh(other)
    best_n, place_n, best_m, place_m = nearest_rows(one_nD, other_mD)
    there, back = float(best_n.mean()), float(best_m.mean())
    inner, outer, place, length = one, other, place_n, len(one_nD)
    if back > there:
        inner, outer, place, length = other, one, place_m, len(other_mD)
    similarity = max(there, back) if length >= FEW_ROWS else min(there, back)
    low, high = np.quantile(place, (0.05, 0.95))  # single rows may lie anywhere
    snippet_s = rows.store.timing(outer).seconds_per_snippet
    return Alike(inner, outer, similarity, float(low) * snippet_s, float(high + 1) * snippet_s)


def nearest_rows(
    one_nD: Floats, other_mD: Floats
) -> tuple[Floats, NDArray[np.int64], Floats, NDArray[np.int64]]:
    """The best similarity of each row to the rows of the other video, and with which it is.

    Returns:
        (n,) similarity and (n,) place in the other, (m,) and (m,) likewise the other way round.
    """
    n, m = len(one_nD), len(other_mD)
    best_n, place_n = np.empty(n, np.float32), np.empty(n, np.int64)
    best_m, place_m = np.full(m, -np.inf, np.float32), np.zeros(m, np.int64)
    for low in range(0, n, BLOCK):
        alike_bm = one_nD[low : low + BLOCK] @ other_mD.T
        best_n[low : low + BLOCK], place_n[low : low + BLOCK] = alike_bm.max(1), alike_bm.argmax(1)
        better_m = alike_bm.max(0) > best_m
        place_m[better_m] = low + alike_bm.argmax(0)[better_m]
        best_m = np.maximum(best_m, alike_bm.max(0))
    return best_n, place_n, best_m, place_m
