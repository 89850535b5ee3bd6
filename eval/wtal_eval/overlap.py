"""Segments and their overlap, as both kinds of non-maximum suppression see them.

    tIoU = I / U,  I = max(0, min(ends) - max(starts)),  U = (length + length) - I

`arithmetic="exact"` is float64. `arithmetic="compiled"` repeats the compiled extension most of the
field runs: float32 and 1e-6 s added to every length. On a grid of 0.64 s many tIoU lie exactly on a
threshold, so the rounding decides who is kept (P-MIL proposals, T = .5: 8,664 against 9,484).

A segment of length zero overlaps nothing: where two of them would give 0 / 0, tIoU is 0. Hard NMS
therefore keeps all of them, and soft NMS never changes their scores.

Shapes: `N` segments, `P` pairs.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Arithmetic = Literal["exact", "compiled"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

COMPILED_EPSILON_S = 1e-6  # what the compiled extension adds to every length, in seconds


class Segments(NamedTuple):
    """The checked input, (N,) each: float64 or, for compiled arithmetic, float32."""

    starts: Floats
    ends: Floats
    scores: Floats
    groups: NDArray[np.unsignedinteger]  # 0, 1, ..


def check_segments(
    starts_N: ArrayLike,
    ends_N: ArrayLike,
    scores_N: ArrayLike,
    groups_N: ArrayLike | None,
    arithmetic: Arithmetic,
) -> Segments:
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
    return Segments(starts, ends, scores, _dense(groups))


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


def check_threshold(threshold: float) -> None:
    """Refuse a tIoU outside (0, 1]."""
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; expected a tIoU in (0, 1].")


def tiou(
    start_P: Floats,
    end_P: Floats,
    other_start_P: Floats,
    other_end_P: Floats,
    arithmetic: Arithmetic,
    length_offset: float = 0.0,
) -> Floats:
    """I / U in the order of operations of the evaluator; 0 / 0 is 0."""
    extra = length_offset + epsilon_s(arithmetic)
    inter_P = np.minimum(end_P, other_end_P) - np.maximum(start_P, other_start_P)
    inter_P += length_offset
    np.maximum(inter_P, 0, out=inter_P)
    union_P = ((end_P - start_P) + extra) + ((other_end_P - other_start_P) + extra)
    union_P -= inter_P
    # Two segments of length zero: the smallest positive number turns 0 / 0 into 0, nothing else.
    np.maximum(union_P, np.finfo(union_P.dtype).smallest_subnormal, out=union_P)
    inter_P /= union_P
    return inter_P


def epsilon_s(arithmetic: Arithmetic) -> float:
    """What an arithmetic adds to every length, in seconds."""
    return COMPILED_EPSILON_S if arithmetic == "compiled" else 0.0


class Pack:
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
        """Packed numbers; times outside the timeline are held at its ends."""
        inside_N = np.minimum(np.maximum(times_N, self._low), self._high)
        ticks_N = ((inside_N - self._low) * self._ticks_per_s).astype(np.int64)
        packed_N: Ints = code_N * self.code_step + ticks_N
        return packed_N


def runs(low_Q: Ints, count_Q: Ints) -> Ints:
    """low, low + 1, .., low + count - 1 for every run, behind one another."""
    total_Q = np.cumsum(count_Q)
    n = int(total_Q[-1]) if total_Q.size else 0
    return np.repeat(low_Q - (total_Q - count_Q), count_Q) + np.arange(n)
