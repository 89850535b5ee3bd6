"""Tags for untagged videos from their nearest tagged ones, and how often such tags are right.

Shapes: see the package; C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.retrieval.search import Neighbours

# As in instance discrimination and DINO: a neighbour nearer by .07 weighs 2.7 times as much.
TEMPERATURE = 0.07
CONFIDENCE = 0.3


@dataclass(frozen=True)
class Suggestion:
    """A tag that a video may have.

    Attributes:
        label: The tag.
        confidence: In [0, 1], the share of the weight of its neighbours that carries the label.
            Those of several labels add up to 1 where each neighbour has one label.
    """

    label: str
    confidence: float


@dataclass(frozen=True)
class Reliability:
    """Suggestions of about the same confidence, and how many of them were right.

    Attributes:
        low: Smallest confidence.
        high: Largest; it belongs to the next bin, but 1 to the last.
        suggestions: How many there are.
        confidence: Their mean; NaN of none.
        accuracy: The share that is right; NaN of none.
    """

    low: float
    high: float
    suggestions: int
    confidence: float
    accuracy: float


def shares(
    neighbours: Neighbours,
    labels_GC: Tensor,
    *,
    temperature: float = TEMPERATURE,
    min_similarity: float = 0.0,
) -> Tensor:
    """The weighted vote of the neighbours: of label c, sum_i w_i y_ic with w = softmax(s / t).

    Args:
        neighbours: Of Q untagged videos among G tagged ones.
        labels_GC: Bool, which video has which label. A video without any has no vote.
        temperature: t. Near 0, the nearest neighbour alone decides; large, all count alike.
        min_similarity: Neighbours below have no vote. Of cosine, when the mean was taken off the
            rows, pairs that have nothing in common are at 0; of chamfer they are above.

    Returns:
        (Q, C) float64 in [0, 1]; zeros where no neighbour has a vote.

    Raises:
        FeatureError: If the temperature is not above 0, or labels do not fit.

    Source: Instance discrimination (CVPR 2018), section 3.4, the weighted k-nearest-neighbour
    classifier. There, scores are not divided by their sum.

    Example:
        >>> two = Neighbours(torch.tensor([[0, 1]]), torch.tensor([[0.9, 0.9]]))
        >>> shares(two, torch.tensor([[True, False], [True, True]])).tolist()
        [[1.0, 0.5]]
    """
    if not temperature > 0:
        raise FeatureError(
            f"The temperature is {temperature}; expected more than 0.", code="temperature"
        )
    indices_Qk, values_Qk = neighbours.indices_Qk, neighbours.values_Qk.double()
    highest = int(indices_Qk.max()) if indices_Qk.numel() else -1
    if labels_GC.ndim != 2 or highest >= len(labels_GC):
        raise FeatureError(
            f"The labels have the shape {tuple(labels_GC.shape)}; expected (G, C) of all videos of "
            "the gallery.",
            code="shape",
        )
    votes_GC = labels_GC.double()
    tagged_Qk = labels_GC.any(dim=1)[indices_Qk]
    counted_Qk = (indices_Qk >= 0) & (values_Qk >= min_similarity) & tagged_Qk
    logits_Qk = (values_Qk / temperature).masked_fill(~counted_Qk, -torch.inf)
    # Rows without a vote would be NaN.
    weights_Qk = logits_Qk.softmax(dim=1).masked_fill(~counted_Qk, 0)
    shares_QC = votes_GC.new_zeros(len(indices_Qk), labels_GC.shape[1])
    for weights_Q, indices_Q in zip(weights_Qk.T, indices_Qk.T, strict=True):
        shares_QC += weights_Q[:, None] * votes_GC[indices_Q]
    return shares_QC.clamp(max=1)


def suggest(
    neighbours: Neighbours,
    labels_GC: Tensor,
    classes: Sequence[str],
    *,
    min_confidence: float = CONFIDENCE,
    temperature: float = TEMPERATURE,
    min_similarity: float = 0.0,
) -> list[list[Suggestion]]:
    """Tags for videos.

    How far a confidence can be trusted depends on the features; see `reliability`.

    Args:
        neighbours: Of Q untagged videos among G tagged ones.
        labels_GC: As in `shares`.
        classes: C names.
        min_confidence: Labels below are not suggested.
        temperature: As in `shares`.
        min_similarity: As in `shares`.

    Returns:
        For each video its suggestions, surest first, of equally sure ones by label; none for a
        video without near enough neighbours.

    Raises:
        FeatureError: As `shares`; or if there are not C names.
    """
    if labels_GC.shape[-1] != len(classes):
        raise FeatureError(
            f"There are {len(classes)} classes, but labels for {labels_GC.shape[-1]}.", code="shape"
        )
    shares_QC = shares(
        neighbours, labels_GC, temperature=temperature, min_similarity=min_similarity
    )
    return [
        sorted(
            (
                Suggestion(label, share)
                for label, share in zip(classes, shares_C, strict=True)
                if share > 0 and share >= min_confidence
            ),
            key=lambda suggestion: (-suggestion.confidence, suggestion.label),
        )
        for shares_C in shares_QC.tolist()
    ]


def reliability(
    shares_VC: Tensor, labels_VC: Tensor, *, bins: int = 5, min_confidence: float = CONFIDENCE
) -> list[Reliability]:
    """How good the suggestions are on the data at hand, seen on tagged videos.

    Each tagged video is treated as if it were untagged: its neighbours are the other tagged ones,
    `nearest(tagged, tagged, ..., exclude_self=True)`. Copies of one video under two names make the
    figures too good.

    Args:
        shares_VC: Of `shares` on those neighbours.
        labels_VC: Bool, the tags the videos have.
        bins: Of equal width, from `min_confidence` to 1.
        min_confidence: As in `suggest`.

    Returns:
        Bins by rising confidence. Suggestions can be trusted as far as accuracy equals confidence.

    Raises:
        FeatureError: If the shapes differ, or there is no bin.
    """
    if shares_VC.shape != labels_VC.shape or bins < 1 or not 0 <= min_confidence < 1:
        raise FeatureError(
            f"Shares {tuple(shares_VC.shape)} and labels {tuple(labels_VC.shape)} in {bins} bins "
            f"from {min_confidence}; expected equal shapes, at least 1 bin, from 0 to below 1.",
            code="shape",
        )
    suggested_VC = (shares_VC > 0) & (shares_VC >= min_confidence)
    confidence_N, right_N = shares_VC[suggested_VC], labels_VC[suggested_VC].double()
    edges = [min_confidence + (1 - min_confidence) * edge / bins for edge in range(bins + 1)]
    inner = torch.tensor(edges[1:-1], dtype=confidence_N.dtype, device=confidence_N.device)
    bin_N = torch.bucketize(confidence_N, inner, right=True)
    found = []
    for number, (low, high) in enumerate(pairwise(edges)):
        inside_N = bin_N == number
        confidence, accuracy = confidence_N[inside_N].mean(), right_N[inside_N].mean()
        count = int(inside_N.sum())
        found.append(Reliability(low, high, count, confidence.item(), accuracy.item()))
    return found
