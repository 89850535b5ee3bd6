"""Soft one-dimensional non-maximum suppression, in seconds, many groups in one call.

A *group* is one video and one class; segments of different groups never meet. What an overlap is,
to the last bit, stands in overlap.py.

Small groups (one video of a localizer) are decided one by one on the matrix of all their overlaps;
large ones together on a board that touches only what overlaps a pick. Both give the same.

Shapes: `N` segments, `A` active groups, `G` groups, `P` pairs of segments, `S` slots, `B` blocks of
`W` slots, `R` some of the blocks, `L` blocks of the active groups.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wtal_eval.overlap import (
    Arithmetic,
    Floats,
    Ints,
    Pack,
    Segments,
    check_segments,
    check_threshold,
    epsilon_s,
    runs,
    tiou,
)

SoftMethod = Literal["gaussian", "linear", "bmn"]

_SMALL_GROUP = 512  # segments; the matrix of a small group has at most 2 MB
_BLOCK = 32  # W: the board knows the best score of every block of this many segments
_NOBODY = np.iinfo(np.int64).max


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
    check_threshold(threshold)
    _check_soft(method, sigma, t1, t2, min_score, max_num)
    segments = check_segments(starts_N, ends_N, scores_N, groups_N, arithmetic)
    if not segments.scores.size:
        return np.empty(0, np.int64), np.empty(0)

    decay = _Decay(method, sigma, threshold, t1, t2, arithmetic)
    limit = len(segments.scores) if max_num is None else max_num
    size_N = np.bincount(segments.groups)[segments.groups]
    small, large = np.flatnonzero(size_N <= _SMALL_GROUP), np.flatnonzero(size_N > _SMALL_GROUP)
    parts = [
        pick(_chosen(segments, part), decay, min_score, limit, part)
        for pick, part in ((_pick_small, small), (_pick_large, large))
        if len(part)
    ]
    picked, lowered = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(segments.groups[picked], kind="stable")
    return picked[order], lowered[order].astype(np.float64)


@dataclass(frozen=True)
class _Decay:
    """By how much a taken segment lowers the score of another."""

    method: SoftMethod
    sigma: float
    threshold: float
    t1: float
    t2: float
    arithmetic: Arithmetic

    def __call__(
        self, start_P: Floats, end_P: Floats, other_start_P: Floats, other_end_P: Floats
    ) -> Floats:
        """Weights of pairs (taken, other)."""
        tiou_P = tiou(start_P, end_P, other_start_P, other_end_P, self.arithmetic)
        if self.method == "linear":
            return np.where(tiou_P >= self.threshold, 1 - tiou_P, np.ones_like(tiou_P))
        weight_P: Floats = np.exp(-(tiou_P * tiou_P) / self.sigma)
        if self.method == "bmn":
            length_P = end_P - start_P + epsilon_s(self.arithmetic)
            near_P = tiou_P >= self.t1 + self.t2 * length_P
            weight_P = np.where(near_P, weight_P, np.ones_like(tiou_P))
        return weight_P


def _chosen(segments: Segments, part: Ints) -> Segments:
    return Segments(
        segments.starts[part], segments.ends[part], segments.scores[part], segments.groups[part]
    )


def _pick_small(
    segments: Segments, decay: _Decay, min_score: float, limit: int, given_N: Ints
) -> tuple[Ints, Floats]:
    """Groups one after the other, each on the matrix of its weights."""
    order = np.argsort(segments.groups, kind="stable")
    edges = np.flatnonzero(np.diff(segments.groups[order])) + 1
    picked, lowered = [], []
    for members in np.split(order, edges):
        start_N, end_N = segments.starts[members], segments.ends[members]
        weight_NN = decay(start_N[:, None], end_N[:, None], start_N, end_N)
        score_N = segments.scores[members]
        for pick in range(min(limit, len(members))):
            best = int(score_N.argmax())  # of equal ones the earliest
            score = score_N[best]
            if pick > 0 and score < min_score:
                break
            picked.append(members[best])
            lowered.append(score)
            score_N *= weight_NN[best]
            score_N[best] = -np.inf
            weight_NN[:, best] = 1  # what is taken stays at minus infinity
    return given_N[np.array(picked)], np.array(lowered, segments.scores.dtype)


def _pick_large(
    segments: Segments, decay: _Decay, min_score: float, limit: int, given_N: Ints
) -> tuple[Ints, Floats]:
    """All groups together: every group takes its best in the same step."""
    board = _Board(segments, min_score)
    ids: list[Ints] = []
    scores: list[Floats] = []
    while len(ids) < limit:
        taken_A, best_A = board.take()
        if not taken_A.size:
            break
        ids.append(board.ids_S[taken_A])
        scores.append(best_A)
        taken_P, other_P = board.overlapped(taken_A)
        weight_P = decay(
            board.starts_S[taken_P],
            board.ends_S[taken_P],
            board.starts_S[other_P],
            board.ends_S[other_P],
        )
        board.lower(taken_A, other_P, weight_P)
        if len(ids) == 1:
            board.drop_low()  # also what no pick has met; later only lowered scores can fall below
    return given_N[np.concatenate(ids)], np.concatenate(scores)


class _Board:
    """Where soft NMS keeps its scores: one slot per segment, sorted by group and start.

    Groups are padded to whole blocks of W slots; every block knows its best score and, of equal
    ones, the earliest segment. A step then touches the blocks around the picks, not all segments.
    """

    def __init__(self, segments: Segments, min_score: float) -> None:
        groups_N = segments.groups.astype(np.int64)
        times = np.concatenate([segments.starts, segments.ends]).astype(np.float64)
        pack = Pack(times, int(groups_N.max()))
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
        self._watched_L = runs(self._first_block_G[groups_A], self._count_A)

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
        taken_P, other_P = np.repeat(taken_A, count_A), runs(low_A, count_A)
        left = np.flatnonzero(self._scores_S[other_P] > -np.inf)
        return taken_P[left], other_P[left]

    def lower(self, taken_A: Ints, other_P: Ints, weight_P: Floats) -> None:
        """Multiply scores, drop what falls below the smallest score, forget the picks."""
        score_P = self._scores_S[other_P] * weight_P
        score_P[score_P < self._min_score] = -np.inf
        self._scores_S[other_P] = score_P
        first_A = self._low_S[taken_A] // _BLOCK
        last_A = (self._high_S[taken_A] - 1) // _BLOCK
        self._refresh(runs(first_A, last_A - first_A + 1))

    def drop_low(self) -> None:
        """Drop everything below the smallest score."""
        self._scores_S[self._scores_S < self._min_score] = -np.inf
        self._refresh(np.arange(len(self._scores_BW)))


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
