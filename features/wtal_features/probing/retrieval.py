"""Retrieval recall: do the nearest clips of the gallery show what the query shows?

Legend: Q queries, G clips of the gallery, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wtal_features.errors import FeatureError

if TYPE_CHECKING:
    from torch import Tensor

KS = (1, 5, 10, 20, 50)
# Similarities that are held at a time.
_PIECE = 1 << 24


def recalls(
    query_QD: Tensor,
    query_labels_Q: Tensor,
    gallery_GD: Tensor,
    gallery_labels_G: Tensor,
    ks: Sequence[int] = KS,
) -> dict[int, float]:
    """R@k: the share of queries with their class among the k nearest clips of the gallery.

    The mean of each set is taken off that set, rows get length one, and nearness is the cosine; of
    equally near clips the one that comes first in the gallery is nearer. A query whose class the
    gallery does not have is a miss.

    Args:
        query_QD: (Q, D) features of the queries; the test split.
        query_labels_Q: (Q,) int, their classes.
        gallery_GD: (G, D); the training split.
        gallery_labels_G: (G,) int.
        ks: The values of k; one above G counts the whole gallery.

    Returns:
        k -> R@k in [0, 1].

    Raises:
        FeatureError: If there are no rows, shapes do not fit, or a value is not finite.

    Example:
        >>> import torch
        >>> x, y = torch.eye(4), torch.arange(4)
        >>> recalls(x, y, x, y, (1,)), recalls(x, y, x, y.flip(0), (1, 4))
        ({1: 1.0}, {1: 0.0, 4: 1.0})

    Source: TengdaHan/CoCLR eval/main_classifier.py, `test_retrieval`.
    """
    _check(query_QD, query_labels_Q, gallery_GD, gallery_labels_G)
    ranks_Q = first_hits(unit(query_QD), query_labels_Q, unit(gallery_GD), gallery_labels_G)
    return {k: (ranks_Q < k).double().mean().item() for k in ks}


def unit(features_ND: Tensor) -> Tensor:
    """(N, D) float64: less their own mean, L2-normalised; a row that is the mean stays zero."""
    from torch.nn import functional as F

    features_ND = features_ND.double()
    return F.normalize(features_ND - features_ND.mean(dim=0), dim=1)


def first_hits(
    query_QD: Tensor, query_labels_Q: Tensor, gallery_GD: Tensor, gallery_labels_G: Tensor
) -> Tensor:
    """How many clips of another class are nearer than the first of the same.

    Args:
        query_QD: (Q, D), L2-normalised.
        query_labels_Q: (Q,).
        gallery_GD: (G, D), L2-normalised.
        gallery_labels_G: (G,).

    Returns:
        (Q,) int; the largest there is where the gallery has none of the class.
    """
    import torch

    rows = max(1, _PIECE // len(gallery_GD))
    pieces = zip(torch.split(query_QD, rows), torch.split(query_labels_Q, rows), strict=True)
    return torch.cat([_ranks(q, y, gallery_GD, gallery_labels_G) for q, y in pieces])


def _ranks(q_QD: Tensor, labels_Q: Tensor, gallery_GD: Tensor, gallery_labels_G: Tensor) -> Tensor:
    """`first_hits` without sorting: those nearer than the best of the same class are counted."""
    import torch

    cosine_QG = q_QD @ gallery_GD.T
    same_QG = labels_Q[:, None] == gallery_labels_G
    best_Q1, at_Q1 = cosine_QG.masked_fill(~same_QG, -torch.inf).max(dim=1, keepdim=True)
    earlier_QG = torch.arange(len(gallery_GD), device=q_QD.device) < at_Q1
    nearer_QG = (cosine_QG > best_Q1) | ((cosine_QG == best_Q1) & earlier_QG)
    never = torch.iinfo(torch.int64).max
    return nearer_QG.sum(dim=1).masked_fill(~same_QG.any(dim=1), never)


def _check(query: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor) -> None:
    for name, rows, labels in (
        ("query", query, query_labels),
        ("gallery", gallery, gallery_labels),
    ):
        if rows.ndim != 2 or labels.shape != rows.shape[:1] or not len(rows):
            raise FeatureError(
                f"The {name} has features {tuple(rows.shape)} and labels {tuple(labels.shape)}; "
                "expected (N, D) and (N,), N at least 1.",
                code="shape",
            )
        # One NaN would make everything near.
        if not rows.isfinite().all():
            raise FeatureError(
                f"The features of the {name} hold NaN or infinity.",
                "Look at the encoder: its training may have diverged.",
                code="nan",
            )
    if query.shape[1] != gallery.shape[1]:
        raise FeatureError(
            f"Queries have {query.shape[1]} dimensions, the gallery {gallery.shape[1]}.",
            "Take both from the same encoder.",
            code="shape",
        )
