"""One-dimensional non-maximum suppression: hard and soft, in seconds, many groups in one call.

A *group* is one video and one class; segments of different groups never meet. All of a data set
goes into one call: `groups_N` tells the groups apart, and every NumPy operation below runs over all
of them together.

    tIoU = I / U,  I = max(0, min(ends) - max(starts)),  U = (length + length) - I

Shapes: `N` segments, `M` of them with a length, `K` a choice of them, `P` pairs, `Q` windows,
`G` groups, `A` of them with something left, `S` slots in `B` blocks of `W`.

`arithmetic="exact"` is float64. `arithmetic="compiled"` repeats the compiled extension most of the
field runs: float32 and 1e-6 s added to every length. On a grid of 0.64 s many tIoU lie exactly on a
threshold, so the rounding decides who is kept (P-MIL proposals, T = .5: 8,664 against 9,484).

A segment of length zero overlaps nothing: where two of them would give 0 / 0, tIoU is 0. Hard NMS
therefore keeps all of them, and soft NMS never changes their scores.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Arithmetic = Literal["exact", "compiled"]
SoftMethod = Literal["gaussian", "linear", "bmn"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

COMPILED_EPSILON_S = 1e-6  # what the compiled extension adds to every length, in seconds

_CHUNK_PAIRS = 1 << 15  # pairs looked at together: ten arrays of this length fit a cache
_WAVE_PAIRS = 1 << 21  # pairs one wave may look at: at most 75 MB while they are decided
_NARROWEST_BUCKET = 1e-3  # of log(length): reached at T = .999
_GREEDY_ROUNDS = 32  # random data needs about ten; a long chain of neighbours continues one by one
_BLOCK = 32  # W: soft NMS knows the best score of every block of this many segments
_NOBODY = np.iinfo(np.int64).max


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
    _check_threshold(threshold)
    if not 0 <= length_offset < np.inf:
        raise ValueError(f"length_offset is {length_offset}; expected seconds, 0 or more.")
    segments = _check(starts_N, ends_N, scores_N, groups_N, arithmetic)

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


def soft_nms(
    starts_N: ArrayLike,
    ends_N: ArrayLike,
    scores_N: ArrayLike,
    groups_N: ArrayLike | None = None,
    *,
    method: SoftMethod = "gaussian",
    sigma: float = 0.5,
    threshold: float = 0.5,
    t1: float = 0.0,
    t2: float = 0.0,
    min_score: float = 0.001,
    max_num: int | None = None,
    arithmetic: Arithmetic = "exact",
) -> tuple[Ints, NDArray[np.float64]]:
    """Take the best segment, lower the scores of those it overlaps, and repeat.

    With o = tIoU(taken, other), the score of the other is multiplied by

        gaussian  exp(-o^2 / sigma)
        linear    1 - o             if o >= threshold, else 1
        bmn       exp(-o^2 / sigma) if o >= t1 + t2 * length of the taken one (s), else 1

    and the other is dropped once its score is below `min_score`. The first pick of a group is taken
    before anything is dropped, so no group ends up empty. Of equal scores the earlier in the input
    is taken first. Every group takes its best in the same step: the Python loop runs as often as
    the largest group has picks, at most `max_num` times. Stopping early is exact, because later
    picks never change earlier ones. Memory is about 200 bytes per segment and 2.5 kB per group.

    Args:
        starts_N: (N,) seconds, finite.
        ends_N: (N,) seconds, finite, none before its start.
        scores_N: (N,) finite.
        groups_N: (N,) integer codes, one per video and class; None: all are one group.
        method: how an overlap lowers a score, see above.
        sigma: > 0; used by "gaussian" and "bmn".
        threshold: tIoU in (0, 1]; used by "linear".
        t1: smallest tIoU that counts for a taken segment of no length; used by "bmn".
        t2: what is added to `t1` per second of the taken segment; used by "bmn".
        min_score: segments below it are dropped.
        max_num: picks per group at most; None: no cap.
        arithmetic: "exact" (float64) or "compiled" (float32, 1e-6 s added to every length).

    Returns:
        (K,) int64 positions of the picks in the input, by group code, then in order of picking, and
        (K,) float64 their lowered scores.

    Raises:
        ValueError: as `hard_nms`; also for an unknown method, sigma <= 0 or max_num < 1.

    Example:
        >>> ids, scores = soft_nms([0, 0, 8], [4, 5, 9], [0.9, 0.8, 0.7], method="linear")
        >>> ids, scores.round(2)  # tIoU of the first two .8, so .8 * (1 - .8)
        (array([0, 2, 1]), array([0.9 , 0.7 , 0.16]))

    Source:
        Bodla et al., Soft-NMS, ICCV 2017, and BMN, ICCV 2019, in the form of sming256/OpenTAD
        opentad/models/utils/post_processing/nms/nms_cpu.cpp, `softnms_1d_cpu`.
    """
    _check_threshold(threshold)
    _check_soft(method, sigma, t1, t2, min_score, max_num)
    segments = _check(starts_N, ends_N, scores_N, groups_N, arithmetic)
    if not segments.scores.size:
        return np.empty(0, np.int64), np.empty(0)

    board = _Board(segments, min_score)
    ids: list[Ints] = []
    scores: list[Floats] = []
    while max_num is None or len(ids) < max_num:
        taken_A, best_A = board.take()
        if not taken_A.size:
            break
        ids.append(board.ids_S[taken_A])
        scores.append(best_A)
        taken_P, other_P = board.overlapped(taken_A)
        start_P, end_P = board.starts_S[taken_P], board.ends_S[taken_P]
        tiou_P = _tiou(start_P, end_P, board.starts_S[other_P], board.ends_S[other_P], arithmetic)
        keep_P = np.ones_like(tiou_P)
        if method == "linear":
            weight_P = np.where(tiou_P >= threshold, 1 - tiou_P, keep_P)
        else:
            weight_P = np.exp(-(tiou_P * tiou_P) / sigma)
        if method == "bmn":
            length_P = end_P - start_P + _epsilon_s(arithmetic)
            weight_P = np.where(tiou_P >= t1 + t2 * length_P, weight_P, keep_P)
        board.lower(taken_A, other_P, weight_P)
        if len(ids) == 1:
            board.drop_low()  # also what no pick has met; later only lowered scores can fall below

    picked, lowered = np.concatenate(ids), np.concatenate(scores)
    order = np.argsort(segments.groups[picked], kind="stable")
    return picked[order], lowered[order].astype(np.float64)


class _Segments(NamedTuple):
    """The checked input, (N,) each: float64 or, for compiled arithmetic, float32."""

    starts: Floats
    ends: Floats
    scores: Floats
    groups: NDArray[np.unsignedinteger]  # 0, 1, ..


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
        segments: _Segments,
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
        pack = _Pack(start, n_codes)
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
        runs = [
            (np.searchsorted(key_K, low + shift), np.searchsorted(key_K, high + shift, "right"))
            for shift in (-step, 0, step)
        ]
        return _windows([query_K] * 3, runs, members_K)

    def conflicts(self, windows: _Windows) -> tuple[Ints, Ints]:
        """Pairs (query, partner) of the windows whose tIoU reaches the threshold, (P,) each."""
        threshold, length_offset, arithmetic = self._options
        starts_M, ends_M = self._starts_M, self._ends_M
        found: list[tuple[Ints, Ints]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        for part in _chunks(windows.size):
            count = windows.size[part]
            query_P = np.repeat(windows.query[part], count)
            partner_P = windows.base.take(_runs(windows.low[part], count))
            tiou_P = _tiou(
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


class _Board:
    """Where soft NMS keeps its scores: one slot per segment, sorted by group and start.

    Groups are padded to whole blocks of W slots; every block knows its best score and, of equal
    ones, the earliest segment. A step then touches the blocks around the picks, not all segments.
    """

    def __init__(self, segments: _Segments, min_score: float) -> None:
        groups_N = segments.groups.astype(np.int64)
        times = np.concatenate([segments.starts, segments.ends]).astype(np.float64)
        pack = _Pack(times, int(groups_N.max()))
        start_key = pack(groups_N, segments.starts.astype(np.float64))
        end_key = pack(groups_N, segments.ends.astype(np.float64))
        order = np.argsort(start_key)
        start_key, end_key, groups_N = start_key[order], end_key[order], groups_N[order]
        # What may overlap a segment starts before its end, and ends after its start: the largest
        # end so far grows along the list, and the group leads the key, so both sides are a search.
        low_N = np.searchsorted(np.maximum.accumulate(end_key), start_key)
        high_N = np.searchsorted(start_key, end_key, "right")

        size_G = np.bincount(groups_N)
        blocks_G = -(-size_G // _BLOCK)
        self._first_block_G = np.cumsum(blocks_G) - blocks_G
        self._blocks_G = blocks_G
        shift_G = self._first_block_G * _BLOCK - (np.cumsum(size_G) - size_G)
        slot_N = np.arange(len(order)) + shift_G[groups_N]
        n_slots = int(blocks_G.sum()) * _BLOCK

        def spread(values_N: NDArray[np.generic], fill: float) -> NDArray[Any]:
            values_S = np.full(n_slots, fill, values_N.dtype)
            values_S[slot_N] = values_N
            return values_S

        self.ids_S = spread(order, _NOBODY)
        self.starts_S = spread(segments.starts[order], 0)
        self.ends_S = spread(segments.ends[order], 0)
        self._low_S = spread(low_N + shift_G[groups_N], 0)
        self._high_S = spread(high_N + shift_G[groups_N], 0)
        self._scores_S = spread(segments.scores[order], -np.inf)  # -inf: taken or dropped
        self._slot_N = np.empty_like(slot_N)
        self._slot_N[order] = slot_N
        self._min_score = min_score
        self._scores_BW = self._scores_S.reshape(-1, _BLOCK)  # a view
        self._ids_BW = self.ids_S.reshape(-1, _BLOCK)
        self._best_B = np.empty(len(self._scores_BW), self._scores_S.dtype)
        self._first_B = np.empty(len(self._scores_BW), np.int64)
        self._refresh(np.arange(len(self._scores_BW)))
        self._watch(np.flatnonzero(size_G))  # codes may have gaps

    def _watch(self, groups_A: Ints) -> None:
        """Look for picks in these groups only."""
        self._groups_A = groups_A
        self._count_A = self._blocks_G[groups_A]
        self._head_A = np.cumsum(self._count_A) - self._count_A
        self._watched_L = _runs(self._first_block_G[groups_A], self._count_A)

    def _refresh(self, blocks_R: Ints) -> None:
        """Recompute the best score and its earliest segment in some blocks."""
        scores_RW = self._scores_BW[blocks_R]
        best_R = scores_RW.max(axis=1)
        self._best_B[blocks_R] = best_R
        ids_RW = np.where(scores_RW == best_R[:, None], self._ids_BW[blocks_R], _NOBODY)
        self._first_B[blocks_R] = ids_RW.min(axis=1)

    def take(self) -> tuple[Ints, Floats]:
        """Slots and scores of the best segment of every group that has one left, (A,) each."""
        if not self._groups_A.size:
            return np.empty(0, np.int64), np.empty(0)
        best_A = np.maximum.reduceat(self._best_B[self._watched_L], self._head_A)
        left_A = best_A > -np.inf
        if not left_A.all():
            self._watch(self._groups_A[left_A])
            return self.take()
        is_best_L = self._best_B[self._watched_L] == np.repeat(best_A, self._count_A)
        first_L = np.where(is_best_L, self._first_B[self._watched_L], _NOBODY)
        taken_A = self._slot_N[np.minimum.reduceat(first_L, self._head_A)]
        self._scores_S[taken_A] = -np.inf
        return taken_A, best_A

    def overlapped(self, taken_A: Ints) -> tuple[Ints, Ints]:
        """Pairs (taken, other) of slots: everything left that may overlap a pick, (P,) each."""
        low_A = self._low_S[taken_A]
        count_A = self._high_S[taken_A] - low_A
        taken_P, other_P = np.repeat(taken_A, count_A), _runs(low_A, count_A)
        left = np.flatnonzero(self._scores_S[other_P] > -np.inf)
        return taken_P[left], other_P[left]

    def lower(self, taken_A: Ints, other_P: Ints, weight_P: Floats) -> None:
        """Multiply scores, drop what falls below the smallest score, forget the picks."""
        score_P = self._scores_S[other_P] * weight_P
        score_P[score_P < self._min_score] = -np.inf
        self._scores_S[other_P] = score_P
        first_A = self._low_S[taken_A] // _BLOCK
        last_A = (self._high_S[taken_A] - 1) // _BLOCK
        self._refresh(_runs(first_A, last_A - first_A + 1))

    def drop_low(self) -> None:
        """Drop everything below the smallest score."""
        self._scores_S[self._scores_S < self._min_score] = -np.inf
        self._refresh(np.arange(len(self._scores_BW)))


def _tiou(
    start_P: Floats,
    end_P: Floats,
    other_start_P: Floats,
    other_end_P: Floats,
    arithmetic: Arithmetic,
    length_offset: float = 0.0,
) -> Floats:
    """I / U in the order of operations of the evaluator; 0 / 0 is 0."""
    extra = length_offset + _epsilon_s(arithmetic)
    inter_P = np.minimum(end_P, other_end_P) - np.maximum(start_P, other_start_P)
    inter_P += length_offset
    np.maximum(inter_P, 0, out=inter_P)
    union_P = (end_P - start_P) + extra
    union_P += (other_end_P - other_start_P) + extra
    union_P -= inter_P
    # Two segments of length zero: the smallest positive number turns 0 / 0 into 0, nothing else.
    np.maximum(union_P, np.finfo(union_P.dtype).smallest_subnormal, out=union_P)
    inter_P /= union_P
    return inter_P


def _epsilon_s(arithmetic: Arithmetic) -> float:
    return COMPILED_EPSILON_S if arithmetic == "compiled" else 0.0


class _Pack:
    """(code, seconds) -> one int64 that sorts by code, then by time.

    Time is cut into equal ticks. Rounding down keeps the order (x <= y gives tick(x) <= tick(y)),
    so a search in packed numbers finds at least what a search in seconds would.
    """

    def __init__(self, times_N: NDArray[np.float64], max_code: int) -> None:
        bits = min(40, 62 - (max_code + 1).bit_length())
        self.code_step = np.int64(1 << bits)
        self._low, self._high = times_N.min(initial=np.inf), times_N.max(initial=-np.inf)
        self._ticks_per_s = ((1 << bits) - 1) / max(self._high - self._low, 1e-200)

    def __call__(self, code_N: Ints, times_N: NDArray[np.float64]) -> Ints:
        inside_N = np.minimum(np.maximum(times_N, self._low), self._high)
        ticks_N = ((inside_N - self._low) * self._ticks_per_s).astype(np.int64)
        packed_N: Ints = code_N * self.code_step + ticks_N
        return packed_N


def _windows(query: list[Ints], runs: list[tuple[Ints, Ints]], base_K: Ints) -> _Windows:
    """Runs [low, high) of several kinds behind one another, without the empty ones."""
    low_Q = np.concatenate([low for low, _ in runs])
    count_Q = np.concatenate([high for _, high in runs]) - low_Q
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


def _runs(low_Q: Ints, count_Q: Ints) -> Ints:
    """low, low + 1, .., low + count - 1 for every run, behind one another."""
    total_Q = np.cumsum(count_Q)
    n = int(total_Q[-1]) if total_Q.size else 0
    return np.repeat(low_Q - (total_Q - count_Q), count_Q) + np.arange(n)


def _best_first(scores_N: Floats) -> Ints:
    """Positions by descending score; of equal scores the earlier first."""
    order_N = np.argsort(-scores_N)  # not stable, in half the time of the stable sort
    ranked_N = scores_N[order_N]
    equal = ranked_N[1:] == ranked_N[:-1]
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    order_N[tied] = order_N[tied][np.lexsort((order_N[tied], -ranked_N[tied]))]
    return order_N


def _check(
    starts_N: ArrayLike,
    ends_N: ArrayLike,
    scores_N: ArrayLike,
    groups_N: ArrayLike | None,
    arithmetic: Arithmetic,
) -> _Segments:
    """Arrays of one length, finite, in the precision of the arithmetic; or a clear refusal."""
    if arithmetic not in ("exact", "compiled"):
        raise ValueError(f"arithmetic is {arithmetic!r}; expected 'exact' or 'compiled'.")
    given = {
        "starts": np.asarray(starts_N, np.float64),
        "ends": np.asarray(ends_N, np.float64),
        "scores": np.asarray(scores_N, np.float64),
    }
    precision: type[np.floating] = np.float32 if arithmetic == "compiled" else np.float64
    n = given["starts"].size
    groups = np.zeros(n, np.int64) if groups_N is None else np.asarray(groups_N)
    for name, values in {**given, "groups": groups}.items():
        if values.shape != (n,):
            raise ValueError(f"{name} has shape {values.shape}; expected ({n},), as starts.")
    if n and groups.dtype.kind not in "iu":
        raise ValueError(f"groups has dtype {groups.dtype}; expected integer codes.")
    for name, values in given.items():
        bad = np.flatnonzero(~(np.abs(values) <= np.finfo(precision).max))  # catches NaN
        if bad.size:
            raise ValueError(
                f"{name}[{bad[0]}] is {values[bad[0]]}; expected a finite {precision.__name__}."
            )
    bad = np.flatnonzero(given["ends"] < given["starts"])
    if bad.size:
        start, end = given["starts"][bad[0]], given["ends"][bad[0]]
        raise ValueError(f"Segment {bad[0]} ends at {end} s, before its start at {start} s.")
    starts, ends, scores = (values.astype(precision) for values in given.values())
    return _Segments(starts, ends, scores, _dense(groups))


def _dense(groups_N: NDArray[Any]) -> NDArray[np.unsignedinteger]:
    """The same groups in the same order as 0, 1, .. in the smallest unsigned type.

    Nearly dense codes stay as they are: finding the distinct ones costs a sort.
    """
    if not groups_N.size:
        return groups_N.astype(np.uint8)
    low, high = int(groups_N.min()), int(groups_N.max())
    if high - low <= 2 * groups_N.size:
        codes_N = groups_N.astype(np.int64) - low
    else:
        codes_N = np.unique(groups_N, return_inverse=True)[1]
    return codes_N.astype(np.min_scalar_type(int(codes_N.max())))


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; expected a tIoU in (0, 1].")


def _check_soft(
    method: str, sigma: float, t1: float, t2: float, min_score: float, max_num: int | None
) -> None:
    if method not in ("gaussian", "linear", "bmn"):
        raise ValueError(f"method is {method!r}; expected 'gaussian', 'linear' or 'bmn'.")
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma is {sigma}; expected a positive number.")
    if not np.isfinite([t1, t2, min_score]).all():
        raise ValueError(f"t1, t2, min_score are {t1}, {t2}, {min_score}; expected finite numbers.")
    if max_num is not None and max_num < 1:
        raise ValueError(f"max_num is {max_num}; expected at least 1, or None for no cap.")
