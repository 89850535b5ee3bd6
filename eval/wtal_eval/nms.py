"""Hard one-dimensional non-maximum suppression, in seconds, many groups in one call.

A *group* is one video and one class; segments of different groups never meet. All of a data set
goes into one call: `groups_N` tells the groups apart, and every NumPy operation below runs over all
of them together. What an overlap is, to the last bit, stands in overlap.py.

Shapes: `N` segments, `M` of them with a length, `K` a choice of them, `P` pairs, `Q` windows.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wtal_eval.overlap import (
    Arithmetic,
    Bools,
    Floats,
    Ints,
    Pack,
    Segments,
    check_segments,
    check_threshold,
    runs,
    tiou,
)

_CHUNK_PAIRS = 1 << 15  # pairs looked at together: ten arrays of this length fit a cache
_WAVE_PAIRS = 1 << 21  # pairs one wave may look at: at most 75 MB while they are decided
_NARROWEST_BUCKET = 1e-3  # of log(length): reached at T = .999
_GREEDY_ROUNDS = 32  # random data needs about ten; a long chain of neighbours continues one by one


def hard_nms(
    starts_N: ArrayLike,
    ends_N: ArrayLike,
    scores_N: ArrayLike,
    groups_N: ArrayLike | None = None,
    *,
    threshold: float,
    length_offset: float = 0.0,
    arithmetic: Arithmetic = "exact",
) -> Ints:
    """Keep the best segments; one goes if its tIoU with a better kept one reaches the threshold.

    Best means highest score; of equal scores the earlier in the input comes first. The method is
    greedy and exact, but looks only at neighbours (`_Nearby`) and decides many at once (`_greedy`).

    Memory stays below 300 bytes per segment plus 100 MB, whatever the input. Time is close to
    linear in N, also for crowded data: kept segments are unlike each other, so few of them are near
    any one segment, and the rest is never compared pair by pair. Thresholds above .999 and times
    that spread over more than 1e12 s lose the speed, not the result.

    Args:
        starts_N: (N,) seconds, finite.
        ends_N: (N,) seconds, finite, none before its start.
        scores_N: (N,) finite, any range.
        groups_N: (N,) integer codes, one per video and class; None: all are one group.
        threshold: tIoU in (0, 1] at which (>=) the worse segment goes.
        length_offset: seconds added to every length and overlap. 1 repeats the pixel "+1" that
            BaS-Net, CoLA and CO2-Net apply to seconds; 0 is the interval tIoU.
        arithmetic: "exact" (float64) or "compiled" (float32, 1e-6 s added to every length).

    Returns:
        (K,) int64 positions of the kept segments in the input, by group code, then best first.

    Raises:
        ValueError: lengths differ, a value is not finite, an end lies before its start, or an
            option is out of range.

    Example:
        >>> hard_nms([0, 1, 8], [4, 5, 9], [0.9, 0.8, 0.7], threshold=0.5)  # tIoU .6, 0
        array([0, 2])

    Source:
        Offset form: Pilhyeon/BaSNet-pytorch utils.py:92-104 (whose order among equal scores
        is arbitrary). Compiled form: sming256/OpenTAD
        opentad/models/utils/post_processing/nms/nms_cpu.cpp, `nms_1d_cpu`; its sort is not stable,
        ours is.
    """
    check_threshold(threshold)
    if not 0 <= length_offset < np.inf:
        raise ValueError(f"length_offset is {length_offset}; expected seconds, 0 or more.")
    segments = check_segments(starts_N, ends_N, scores_N, groups_N, arithmetic)

    best_first_N = _best_first(segments.scores)
    rank_N = np.empty_like(best_first_N)
    rank_N[best_first_N] = np.arange(len(best_first_N))

    kept_N = segments.ends - segments.starts + length_offset <= 0  # they overlap nothing
    nearby = _Nearby(segments, np.flatnonzero(~kept_N), threshold, length_offset, arithmetic)
    rank_M = rank_N[nearby.ids_M]
    waiting_M = np.ones(len(rank_M), np.bool_)
    while waiting_M.any():
        windows = _next_wave(nearby, rank_M, np.flatnonzero(waiting_M))
        wave = windows.base
        kept = wave[_greedy(*nearby.conflicts(windows), rank_M)[wave]]
        kept_N[nearby.ids_M[kept]] = True
        waiting_M[wave] = False
        rest = np.flatnonzero(waiting_M)
        waiting_M[nearby.conflicts(nearby.between(rest, kept))[0]] = False

    ids = best_first_N[kept_N[best_first_N]]
    return ids[np.argsort(segments.groups[ids], kind="stable")]


class _Windows(NamedTuple):
    """Q times: the segment `query` may be in conflict with `base[low : low + size]`."""

    query: Ints  # (Q,)
    low: Ints  # (Q,)
    size: Ints  # (Q,) at least 1
    base: Ints  # (K,)


class _Nearby:
    """The M segments of positive length, sorted so that possible conflicts stand together.

    tIoU >= T forces two things on a pair, whichever segment is i:

        lengths  min >= T max, so with buckets of width log(1 / T) the logarithms of the two lengths
                 lie in the same bucket or in neighbouring ones
        starts   start_i - (1 - T) length_i / T <= start_j <= start_i + (1 - T) length_i

    (the later start loses at least the distance from the overlap, and the union is at least the
    longer length). Sorted by group, bucket and start, the partners of a segment are three short
    runs. The three numbers are packed into one int64, whose order is never finer than that of the
    numbers, so a run may hold a stranger but never misses a partner; `conflicts` computes the tIoU.
    """

    def __init__(
        self,
        segments: Segments,
        ids: Ints,
        threshold: float,
        length_offset: float,
        arithmetic: Arithmetic,
    ) -> None:
        self._options = threshold, length_offset, arithmetic
        start = segments.starts[ids].astype(np.float64)
        length = segments.ends[ids].astype(np.float64) - start + length_offset
        # Rounding moves a tIoU by a few units in the last place, so T is taken a little lower.
        rounding = 1e-6 if arithmetic == "compiled" else 1e-13
        low = max(threshold * (1 - rounding) - rounding, 1e-100)
        width = max(-np.log(low) * (1 + 1e-9) + 1e-9, _NARROWEST_BUCKET)
        bucket = np.floor(np.log(length) / width)
        bucket = (bucket - bucket.min(initial=0)).astype(np.int64) + 1
        n_buckets = int(bucket.max(initial=0)) + 2
        n_codes = (int(segments.groups.max(initial=0)) + 1) * n_buckets
        pack = Pack(start, n_codes)
        self._next_bucket = pack.code_step
        code = segments.groups[ids].astype(np.int64) * n_buckets + bucket
        reach = (1 - low) * length + 1e-14 * (np.abs(start).max(initial=0) + length_offset)
        key = pack(code, start)
        order = np.argsort(key)
        self.ids_M = ids[order]
        self._starts_M, self._ends_M = segments.starts[self.ids_M], segments.ends[self.ids_M]
        self._key_M = key[order]
        with np.errstate(over="ignore"):  # an endless reach is cut to the timeline
            self._low_M = pack(code, start - reach / low)[order]
        self._high_M = pack(code, start + reach)[order]

    def within(self, members_K: Ints) -> _Windows:
        """Windows that show every pair of `members_K` (ascending) once."""
        key_K, step, n = self._key_M[members_K], self._next_bucket, len(members_K)
        low, high = self._low_M[members_K], self._high_M[members_K]
        own = np.arange(1, n + 1), np.searchsorted(key_K, high, "right")
        up = np.searchsorted(key_K, low + step), np.searchsorted(key_K, high + step, "right")
        return _windows([members_K] * 2, [own, up], members_K)

    def between(self, query_K: Ints, members_K: Ints) -> _Windows:
        """Windows that show each of `query_K` every partner in `members_K` (ascending)."""
        key_K, step = self._key_M[members_K], self._next_bucket
        low, high = self._low_M[query_K], self._high_M[query_K]
        found = [
            (np.searchsorted(key_K, low + shift), np.searchsorted(key_K, high + shift, "right"))
            for shift in (-step, 0, step)
        ]
        return _windows([query_K] * 3, found, members_K)

    def conflicts(self, windows: _Windows) -> tuple[Ints, Ints]:
        """Pairs (query, partner) of the windows whose tIoU reaches the threshold, (P,) each."""
        threshold, length_offset, arithmetic = self._options
        starts_M, ends_M = self._starts_M, self._ends_M
        found: list[tuple[Ints, Ints]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        for part in _chunks(windows.size):
            count = windows.size[part]
            query_P = np.repeat(windows.query[part], count)
            partner_P = windows.base.take(runs(windows.low[part], count))
            tiou_P = tiou(
                starts_M.take(query_P),
                ends_M.take(query_P),
                starts_M.take(partner_P),
                ends_M.take(partner_P),
                arithmetic,
                length_offset,
            )
            hit = np.flatnonzero(tiou_P >= threshold)
            found.append((query_P.take(hit), partner_P.take(hit)))
        first, second = zip(*found, strict=True)
        return np.concatenate(first), np.concatenate(second)


def _next_wave(nearby: _Nearby, rank_M: Ints, waiting_K: Ints) -> _Windows:
    """The best of `waiting_K`, as many as `_WAVE_PAIRS` allows, with the windows among them.

    A prefix of the ranking can be decided without the rest. In crowded data (each segment near
    thousands) a short prefix suppresses nearly everything, and most pairs are never looked at.
    """
    windows = nearby.within(waiting_K)
    while (n_pairs := int(windows.size.sum())) > _WAVE_PAIRS:
        # A prefix with a share x of the segments has a share of about x^2 of the pairs.
        size = max(1, int(len(waiting_K) * min(0.7, (_WAVE_PAIRS / n_pairs) ** 0.5)))
        last = np.partition(rank_M[waiting_K], size - 1)[size - 1]
        waiting_K = waiting_K[rank_M[waiting_K] <= last]
        windows = nearby.within(waiting_K)
    return windows


def _greedy(first_P: Ints, second_P: Ints, rank_M: Ints) -> Bools:
    """Greedy suppression over all pairs in conflict; (M,) True for what is kept.

    Each round keeps every undecided segment without a better undecided neighbour, for nothing can
    suppress it any more, and suppresses the neighbours of those. Equal to one by one in rank order.
    """
    swap = rank_M[first_P] > rank_M[second_P]
    better_P, worse_P = np.where(swap, second_P, first_P), np.where(swap, first_P, second_P)
    kept_M = np.ones(len(rank_M), np.bool_)
    for _ in range(_GREEDY_ROUNDS):
        if not better_P.size:
            return kept_M
        beaten_M = np.zeros_like(kept_M)
        beaten_M[worse_P] = True
        kept_M[worse_P[~beaten_M[better_P]]] = False
        open_P = np.flatnonzero(kept_M[better_P] & beaten_M[better_P] & kept_M[worse_P])
        better_P, worse_P = better_P[open_P], worse_P[open_P]

    # A chain in which each segment meets only the next would take as many rounds as segments.
    order = np.argsort(rank_M[better_P], kind="stable")
    better_P, worse_P = better_P[order], worse_P[order]
    edges = np.flatnonzero(np.diff(better_P, prepend=-1, append=-1))
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if kept_M[better_P[low]]:
            kept_M[worse_P[low:high]] = False
    return kept_M


def _windows(query: list[Ints], spans: list[tuple[Ints, Ints]], base_K: Ints) -> _Windows:
    """Runs [low, high) of several kinds behind one another, without the empty ones."""
    low_Q = np.concatenate([low for low, _ in spans])
    count_Q = np.concatenate([high for _, high in spans]) - low_Q
    full = np.flatnonzero(count_Q > 0)
    return _Windows(np.concatenate(query)[full], low_Q[full], count_Q[full], base_K)


def _chunks(count_Q: Ints) -> Iterator[slice]:
    """Slices of the windows with about `_CHUNK_PAIRS` pairs each, or a single larger window."""
    total_Q = np.cumsum(count_Q)
    begin = 0
    while begin < len(count_Q):
        done = total_Q[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total_Q, done + _CHUNK_PAIRS, "right")))
        yield slice(begin, end)
        begin = end


def _best_first(scores_N: Floats) -> Ints:
    """Positions by descending score; of equal scores the earlier first."""
    order_N = np.argsort(-scores_N)  # not stable, in half the time of the stable sort
    ranked_N = scores_N[order_N]
    equal = ranked_N[1:] == ranked_N[:-1]
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    order_N[tied] = order_N[tied][np.lexsort((order_N[tied], -ranked_N[tied]))]
    return order_N
