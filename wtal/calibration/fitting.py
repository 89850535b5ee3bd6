"""Evidence -> scale: the rising line that fits the share of right detections best.

Shapes: N detections, M of decoys, S different scores, K knots, V videos, R resamples.

Of the detections with scores in some range, (those that only background can make wrong) - (the
weight of decoys there) are right, an estimate that may fall below 0 where there are few. Sums of it
from the lowest score on, over the number of detections, make a curve; the slopes of the greatest
convex line below that curve are the best rising fit (isotonic regression, pool adjacent violators).
A decoy has no width: it is no detection, it only takes away.

Source: Barlow, Bartholomew, Bremner & Brunk, Statistical Inference under Order Restrictions, 1972
(the convex minorant); Elias & Gygi, Nature Methods 4, 2007 (decoys that count what is wrong).
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from wtal.calibration.evidence import Evidence, Floats
from wtal.calibration.scale import Calibration
from wtal.errors import WtalError

SURE = 0.5  # confidence from which a detection is one of the sure ones: more likely right than not
CAUTION = 1.0  # wrong detections added at the highest score: n right ones of n say n / (n + 1)
OUT_OF_REACH = sys.float_info.max  # JSON has no infinity
RESAMPLES = 1000
INTERVAL = (5, 95)  # percent of the resamples


class Blocks(NamedTuple):
    """Ranges of scores with one confidence, ascending."""

    lowest_K: Floats
    highest_K: Floats
    slope_K: Floats


def rising(scores_N: Floats, right_N: Floats, counts_N: Floats) -> Blocks:
    """Isotonic regression of right / count on the score, where counts may be 0.

    Args:
        scores_N: (N,) in any order, N >= 1; what is equal is one step.
        right_N: (N,) estimated number of right ones, may be negative.
        counts_N: (N,) number, at least 0; that of the highest score is above 0.

    Returns:
        Blocks whose slopes rise; the lowest is minus infinity if it has no count.

    Example:
        >>> rising(np.array([1.0, 2, 3]), np.array([1.0, 0, 1]), np.ones(3)).slope_K.tolist()
        [0.5, 1.0]
    """
    score_S, step_N = np.unique(scores_N, return_inverse=True)
    right_S = np.bincount(step_N, right_N)
    count_S = np.bincount(step_N, counts_N)
    stack: list[list[float]] = []  # lowest, highest, right, count
    for score, right, count in zip(score_S.tolist(), right_S, count_S, strict=True):
        stack.append([score, score, right, count])
        # Products, since a count may be 0: right / count of the lower is not below the upper's.
        while len(stack) > 1 and stack[-2][2] * stack[-1][3] >= stack[-1][2] * stack[-2][3]:
            _, highest, right, count = stack.pop()
            stack[-1][1] = highest
            stack[-1][2] += right
            stack[-1][3] += count
    lowest_K, highest_K, right_K, count_K = np.array(stack).T
    slope_K = np.full(len(stack), -np.inf)
    np.divide(right_K, count_K, out=slope_K, where=count_K > 0)
    return Blocks(lowest_K, highest_K, slope_K)


def fit(evidence: Evidence, model: str, about: dict[str, Any]) -> Calibration:
    """The scale that the evidence supports.

    Args:
        evidence: of videos that the network did not learn from.
        model: digest of network and settings.
        about: what else to keep.

    Raises:
        WtalError: nothing was detected.
    """
    if len(evidence.scores_N) == 0:
        raise WtalError(
            f"Nothing was detected in {evidence.videos} videos, so that there is no score to "
            "calibrate; expected videos with detections. A lower localize.class_threshold or "
            "localize.min_score makes some."
        )
    scores_N, right_N, counts_N = columns(evidence)
    blocks = rising(scores_N, right_N, counts_N)
    scores, confidences = line(blocks)
    scale = Calibration(scores, confidences, scores[0], model)
    threshold = sure_from(scale)
    return Calibration(scores, confidences, threshold, model, about | counts(evidence, threshold))


def columns(evidence: Evidence) -> tuple[Floats, Floats, Floats]:
    """Score, estimated right ones and count: of detections, of decoys, and the word of caution."""
    scores_N, decoys_M = evidence.scores_N, evidence.decoy_scores_M
    return (
        np.concatenate([scores_N, decoys_M, [max(scores_N.max(), decoys_M.max(initial=-np.inf))]]),
        np.concatenate([evidence.right, -weights(evidence), [0.0]]),
        np.concatenate([np.ones(len(scores_N)), np.zeros(len(decoys_M)), [CAUTION]]),
    )


def weights(evidence: Evidence) -> Floats:
    """(M,) of the decoys; those that are there also stand for pairs without any."""
    with_decoys = evidence.localized - evidence.without_decoys
    scale = evidence.localized / with_decoys if with_decoys else 1.0
    return scale * evidence.decoy_weights_M


def line(blocks: Blocks) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots: both ends of every block, its slope cut to [0, 1]."""
    scores = np.stack([blocks.lowest_K, blocks.highest_K], axis=1).ravel()
    confidences = np.repeat(np.clip(blocks.slope_K, 0.0, 1.0), 2)
    first = np.append(True, np.diff(scores) > 0)  # the two ends of a block of one score are one
    return tuple(scores[first].tolist()), tuple(confidences[first].tolist())


def sure_from(scale: Calibration) -> float:
    """The least score with a confidence of `SURE`; no score reaches it where none has it."""
    score = scale.score_at(SURE)
    if score is None:
        return OUT_OF_REACH
    return float(max(score, scale.scores[0]))


def counts(evidence: Evidence, threshold: float) -> dict[str, Any]:
    """How much there was to learn from, and how sure the sure ones are."""
    sure_N = evidence.scores_N >= threshold
    right = share_right(evidence, threshold)
    return {
        "videos": evidence.videos,
        "detections": len(evidence.scores_N),
        "pairs": evidence.localized,
        "pairs_without_decoys": evidence.without_decoys,
        "decoys": len(evidence.decoy_scores_M),
        "sure": int(sure_N.sum()),
        "sure_right": right[0],
        "sure_right_interval": list(right[1:]),
    }


def share_right(evidence: Evidence, threshold: float) -> tuple[float, float, float]:
    """Estimated share of right ones among the sure, and its interval over resampled videos.

    Returns:
        Estimate, lower and upper end; 0, 0, 1 where there are none.
    """
    sure_N = evidence.scores_N >= threshold
    decoy_M = evidence.decoy_scores_M >= threshold
    V = evidence.videos
    count_V = np.bincount(evidence.videos_N[sure_N], minlength=V).astype(float)
    right_V = np.bincount(evidence.videos_N[sure_N & evidence.right], minlength=V).astype(float)
    right_V -= np.bincount(
        evidence.decoy_videos_M[decoy_M], weights(evidence)[decoy_M], minlength=V
    )
    if not count_V.any():
        return 0.0, 0.0, 1.0
    generator = np.random.default_rng(0)  # of an error bar alone
    picked_RV = generator.multinomial(V, np.full(V, 1 / V), size=RESAMPLES)
    count_R, right_R = picked_RV @ count_V, picked_RV @ right_V
    share_R = right_R[count_R > 0] / count_R[count_R > 0]
    low, high = np.percentile(share_R, INTERVAL).clip(0, 1).tolist()
    return float(np.clip(right_V.sum() / count_V.sum(), 0, 1)), low, high
