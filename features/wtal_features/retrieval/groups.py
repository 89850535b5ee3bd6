"""Groups of videos that hang together by pairs, and the pairs of near-duplicates.

Shapes: see the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.retrieval.blocks import Budget
from wtal_features.retrieval.similarity import Described, Kind, check_pair, pairs, similarities


def groups(pairs: Iterable[tuple[int, int]], count: int) -> list[list[int]]:
    """Connected components: who is with whom, directly or through others.

    Args:
        pairs: Numbers of two videos each, in any order.
        count: How many videos there are.

    Returns:
        Groups of at least two, each ascending, ordered by their first member.

    Raises:
        FeatureError: If a number is not below `count`.

    Example:
        >>> groups([(4, 2), (0, 1), (2, 5)], 6)
        [[0, 1], [2, 4, 5]]
    """
    parent = list(range(count))

    def root(member: int) -> int:
        while parent[member] != member:
            parent[member] = parent[parent[member]]  # halves the path for the next search
            member = parent[member]
        return member

    for pair in pairs:
        if not 0 <= min(pair) <= max(pair) < count:
            raise FeatureError(
                f"The pair {pair} names a video that is not there; there are {count}, from 0.",
                code="pair",
            )
        first, second = sorted(map(root, pair))
        parent[second] = first  # the root is the smallest member
    members: dict[int, list[int]] = {}
    for member in range(count):
        members.setdefault(root(member), []).append(member)
    return [group for group in members.values() if len(group) > 1]


def near_duplicates(
    videos: Described, kind: Kind, threshold: float, *, memory_mb: float = 256
) -> Iterator[tuple[int, int, float]]:
    """Every two videos that are at least so alike.

    Of chamfer, which has a direction, the larger of the two counts: each row of a part of a video
    is found in the whole, but not the other way round.

    Args:
        videos: V videos; each two are compared once.
        kind: As in `similarities`.
        threshold: Smallest similarity that is reported.
        memory_mb: What may be used beside the videos, in MB (1e6 bytes).

    Yields:
        Numbers i < j of two videos and their similarity; the same order in every run, which is not
        that of the numbers.

    Raises:
        FeatureError: As `similarities`; or if the threshold is not a number.
    """
    check_pair(videos, videos, kind, memory_mb)
    if threshold != threshold:
        raise FeatureError("The threshold is NaN; expected a similarity.", code="threshold")
    found = _by_strips if kind == "cosine" else _by_blocks
    return found(videos, kind, threshold, memory_mb)


def _by_strips(
    videos: Described, kind: Kind, threshold: float, memory_mb: float
) -> Iterator[tuple[int, int, float]]:
    for first, strip_qV in similarities(videos, videos, kind, memory_mb=memory_mb):
        later_qV = (strip_qV >= threshold).triu(first + 1)
        for i, j, value in _listed(strip_qV, later_qV):
            yield first + i, j, value


def _by_blocks(
    videos: Described, kind: Kind, threshold: float, memory_mb: float
) -> Iterator[tuple[int, int, float]]:
    for first, second, there_qg, back_qg in pairs(videos, kind, Budget(memory_mb)):
        values_qg = there_qg.maximum(back_qg)
        enough_qg = values_qg >= threshold
        if first is second:
            enough_qg = enough_qg.triu(1)
        queries, gallery = first.videos.tolist(), second.videos.tolist()
        for q, g, value in _listed(values_qg, enough_qg):
            i, j = sorted((queries[q], gallery[g]))
            yield i, j, value


def _listed(values_qg: Tensor, wanted_qg: Tensor) -> Iterator[tuple[int, int, float]]:
    """Places and values; all are fetched at once, as each fetch waits for the device."""
    q, g = wanted_qg.nonzero(as_tuple=True)
    return zip(q.tolist(), g.tolist(), values_qg[q, g].tolist(), strict=True)
