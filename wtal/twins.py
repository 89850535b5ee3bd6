"""Nearly equal videos under two names, found by their features; for `wtal doctor`.

A re-encoded, rescaled or slightly trimmed copy has nearly the same features at the same share of
its length. So each video becomes a short signature, and two videos are alike as far as their
signatures correlate.

Arrays that are equal to the bit are found by their hash, in one subset too. What was cut, sped up
or thinned out is found by `wtal doctor --leakage`: `leakage.py`.

Shapes: V videos, n snippets, D dims, S = 16 places, P = 64 projected dims.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.notices import some
from wtal_features import FeatureStore, Finding

Floats = NDArray[np.float32]

PLACES, PROJECTED = 16, 64
ALIKE = 0.9
"""Correlation from which two videos are reported. On 400 sequences of real VGG16 features the most
alike pair of different videos has .61. Their copies have at least .94 with noise of half the
features' spread, .92 at half the rate, and .93 without 2 % of the length at either end; without 5 %
at one end .70 to .9: a copy cut harder than that is not found."""
BLOCK = 256  # videos compared at a time


class Twins(NamedTuple):
    """Two videos of different subsets."""

    first: str
    second: str
    correlation: float


def projection(dim: int) -> Floats:
    """(D, P) random directions, always the same: they keep correlations and save most of D."""
    generator = np.random.default_rng(0)
    matrix: Floats = generator.standard_normal((dim, PROJECTED), np.float32)
    return matrix / np.float32(np.sqrt(PROJECTED))


def signature(features_nD: Floats, matrix_DP: Floats) -> Floats:
    """(S, P): the mean of each sixteenth of the video, projected.

    Where there are fewer snippets than places, a snippet stands in several.
    """
    n = len(features_nD)
    low = np.arange(PLACES) * n // PLACES
    high = np.maximum((np.arange(PLACES) + 1) * n // PLACES, low + 1)
    sums_nD = np.concatenate(
        [np.zeros((1, features_nD.shape[1])), np.cumsum(features_nD, 0, float)]
    )
    means_SD = (sums_nD[high] - sums_nD[low]) / (high - low)[:, None]
    projected: Floats = (means_SD @ matrix_DP).astype(np.float32)
    return projected


def find_twins(
    signatures: Mapping[str, Floats], subsets: Mapping[str, str | None]
) -> Iterator[Twins]:
    """Pairs of different subsets whose signatures correlate by `ALIKE` or more.

    Of every signature the mean of the whole store is taken first: features of one encoder are all
    alike. It costs V^2 S P multiplications, two CPU seconds for 10,000 videos, and 8 kB a video.
    """
    names = sorted(name for name in signatures if subsets.get(name) is not None)
    if len({subsets[name] for name in names}) < 2:
        return
    x_VSP = np.stack([signatures[name] for name in names])
    x_VSP -= x_VSP.mean(axis=(0, 1))
    x_VK = x_VSP.reshape(len(names), -1)
    norm_V1 = np.sqrt(np.einsum("vk,vk->v", x_VK, x_VK))[:, None]
    np.divide(x_VK, norm_V1, out=x_VK, where=norm_V1 > 0)  # a row of zeros stays one
    for low in range(0, len(names), BLOCK):
        correlation_BV = x_VK[low : low + BLOCK] @ x_VK[low:].T
        for i, j in zip(*np.nonzero(np.triu(correlation_BV, 1) >= ALIKE), strict=True):
            first, second = names[low + int(i)], names[low + int(j)]
            if subsets[first] != subsets[second]:
                yield Twins(first, second, float(correlation_BV[i, j]))


def words(pairs: Sequence[Twins]) -> str:
    """The pairs for a message, the most alike first."""
    best = sorted(pairs, key=lambda pair: -pair.correlation)[:5]
    more = f" and {len(pairs) - len(best)} more" if len(pairs) > len(best) else ""
    return ", ".join(f"{p.first} ~ {p.second} ({p.correlation:.2f})" for p in best) + more


class Copies:
    """Equal arrays under two names, and nearly equal ones in two subsets.

    Across subsets they leak the test split into training.

    Args:
        store: Whose videos will be added.
        subsets: video -> its subset, None where none is named.
    """

    def __init__(self, store: FeatureStore, subsets: Mapping[str, str | None]) -> None:
        self._where, self._subsets = str(store.root), subsets
        self._matrix_DP = projection(store.dim)
        self._several = len(set(subsets.values()) - {None}) > 1
        self._by_content: dict[bytes, list[str]] = defaultdict(list)
        self._repeats: set[str] = set()
        self._signatures: dict[str, Floats] = {}
        self._twins: list[Twins] | None = None

    def add(self, video: str, features_TD: Floats) -> None:
        """Note what one video, (T, D), looks like."""
        same = self._by_content[hashlib.blake2b(features_TD.tobytes()).digest()]
        same.append(video)
        if len(same) > 1:  # they are named as equal; compared is the first of them
            self._repeats.add(video)
        elif self._several and self._subsets.get(video) is not None:
            self._signatures[video] = signature(features_TD, self._matrix_DP)

    def repeats(self, video: str) -> bool:
        """Whether a video that was added has the array of one that was added before."""
        return video in self._repeats

    @cached_property
    def twins(self) -> list[Twins]:
        """Nearly equal videos of different subsets; to be asked for once all were added."""
        return list(find_twins(self._signatures, self._subsets))

    def findings(self) -> list[Finding]:
        """Near-duplicates in one finding, then every group of equal videos."""
        groups = [names for names in self._by_content.values() if len(names) > 1]
        return [*self._near_duplicates(), *map(self._equal, groups)]

    def lines(self) -> list[str]:
        """How many there are; empty when no video was added."""
        if not self._by_content:
            return []
        equal = len(self._repeats)
        subsets = " and ".join(sorted({str(self._subsets[name]) for name in self._signatures}))
        near = f"{len(self.twins)} pairs between {subsets}" if self._several else "no subsets known"
        return [f"duplicate videos: {equal}; near-duplicate videos: {near}"]

    def _near_duplicates(self) -> Iterator[Finding]:
        if self.twins:
            yield Finding(
                "near-duplicate",
                self._where,
                f"{len(self.twins)} pairs of videos in different subsets have features that "
                f"correlate by {ALIKE} or more: {words(self.twins)}.",
                "Look at them; if one is a copy, keep one, or scores on the test are not true.",
                "warning",
            )

    def _equal(self, names: Sequence[str]) -> Finding:
        subsets = {name for name in map(self._subsets.get, names) if name is not None}
        leak = len(subsets) > 1
        return Finding(
            "leakage" if leak else "duplicate-video",
            self._where,
            f"{len(names)} videos have equal features: {some(names)}"
            + (f", in the subsets {some(subsets)}." if leak else "."),
            "Keep one, or scores on the test are not true." if leak else "Keep one of them.",
            "error" if leak else "warning",
        )
