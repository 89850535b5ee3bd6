"""How well an embedding tells action from background, and the classes from one another.

Shapes: N points, d dims of the embedding, V videos, C classes.

Every figure is computed in the space itself and over all points; a t-SNE map shows neighbourhoods
and neither distances nor sizes, so it proves nothing by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wtal.errors import WtalError
from wtal.inspection.points import Points

FloatNd = NDArray[np.float32]
Int = NDArray[np.int64]
NEIGHBOURS, FOLDS = 10, 5
ROWS = 1024  # of the similarity matrix held at a time

# Key -> what a reader sees; None stands for a figure that these points do not have.
FIGURES = {
    "silhouette_action_background": "silhouette, action against background",
    "silhouette_classes": "silhouette, among action classes",
    "purity_action_background": f"{NEIGHBOURS}-neighbour purity, action against background",
    "purity_classes": f"{NEIGHBOURS}-neighbour purity, among action classes",
    "linear_balanced_accuracy": "linear action/background, balanced accuracy",
    "linear_auc": "linear action/background, AUC",
    "compactness": "cosine to the mean of one's class",
    "cosine_to_other_means": "cosine to the means of other classes",
}


def measure(x_Nd: FloatNd, points: Points, seed: int = 0) -> dict[str, float | None]:
    """All figures of one embedding.

    Args:
        x_Nd: (N, d) the points in the space.
        points: whose they are.
        seed: of the folds of the linear classifier.

    Returns:
        Key of FIGURES -> value; None where a figure needs two kinds and there is one.

    Raises:
        WtalError: scikit-learn is not installed.
    """
    kind_N = points.is_action_N.astype(np.int64)
    action = points.take(points.is_action_N)
    action_Nd = x_Nd[points.is_action_N]
    accuracy, auc = linear(x_Nd, kind_N, points.video_N, seed)
    own, other = compactness(action_Nd, action.class_N)
    values = (
        silhouette(x_Nd, kind_N),
        silhouette(action_Nd, action.class_N),
        neighbour_purity(x_Nd, kind_N, points.video_N),
        neighbour_purity(action_Nd, action.class_N, action.video_N),
        accuracy,
        auc,
        own,
        other,
    )
    return dict(zip(FIGURES, values, strict=True))


def unit(x_Nd: FloatNd) -> FloatNd:
    """Rows of length 1; a zero row stays."""
    length_N1 = np.linalg.norm(x_Nd, axis=1, keepdims=True)
    return np.asarray(x_Nd / np.maximum(length_N1, 1e-12), np.float32)


def silhouette(x_Nd: FloatNd, kind_N: Int) -> float | None:
    """Mean over points of (b - a) / max(a, b), cosine distances, in [-1, 1].

    a is the mean distance to one's own kind, b that to the nearest other kind. None unless there
    are two kinds, and fewer kinds than points.
    """
    if not 2 <= len(np.unique(kind_N)) < len(kind_N):
        return None
    try:
        from sklearn.metrics import silhouette_score
    except ImportError:
        raise _missing() from None
    return float(silhouette_score(unit(x_Nd), kind_N, metric="cosine"))


def neighbour_purity(x_Nd: FloatNd, kind_N: Int, video_N: Int, k: int = NEIGHBOURS) -> float | None:
    """Mean share of the k nearest points of OTHER videos that are of a point's kind.

    Neighbours in time look alike whatever the embedding learned, so those of the same video do not
    count. None where all points are of one kind or of one video; where there are fewer than k, all.
    """
    if len(np.unique(kind_N)) < 2 or len(np.unique(video_N)) < 2:
        return None
    unit_Nd = unit(x_Nd)
    shares: list[NDArray[np.float64]] = []
    for start in range(0, len(unit_Nd), ROWS):
        rows = slice(start, start + ROWS)
        similar_RN = unit_Nd[rows] @ unit_Nd.T
        similar_RN[video_N[rows, None] == video_N] = -np.inf
        nearest_RK = np.argpartition(-similar_RN, min(k, len(unit_Nd)) - 1, axis=1)[:, :k]
        counts_RK = np.isfinite(np.take_along_axis(similar_RN, nearest_RK, axis=1))
        same_RK = (kind_N[nearest_RK] == kind_N[rows, None]) & counts_RK
        shares.append(same_RK.sum(1) / counts_RK.sum(1))
    return float(np.concatenate(shares).mean())


def linear(
    x_Nd: FloatNd, kind_N: Int, video_N: Int, seed: int
) -> tuple[float | None, float | None]:
    """Balanced accuracy and AUC of a logistic regression on videos that it was not fitted on.

    Means over at most FOLDS parts of the videos; None where no part leaves both kinds on both
    sides.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import balanced_accuracy_score, roc_auc_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        raise _missing() from None
    found = []
    for fitted_N in _folds(video_N, kind_N, seed):
        model = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
        ).fit(x_Nd[fitted_N], kind_N[fitted_N])
        truth, score = kind_N[~fitted_N], model.decision_function(x_Nd[~fitted_N])
        found.append((balanced_accuracy_score(truth, score > 0), roc_auc_score(truth, score)))
    if not found:
        return None, None
    accuracy, auc = np.mean(found, axis=0).tolist()
    return accuracy, auc


def _folds(video_N: Int, kind_N: Int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """For each part of the videos, the points of all others; parts that lack a kind are left."""
    present = np.unique(video_N)
    parts = np.array_split(np.random.default_rng(seed).permutation(present), FOLDS)
    for part in parts:
        fitted_N = ~np.isin(video_N, part)
        if all(len(np.unique(kind_N[side])) == 2 for side in (fitted_N, ~fitted_N)):
            yield fitted_N


def compactness(x_Nd: FloatNd, class_N: Int) -> tuple[float | None, float | None]:
    """Mean cosine of a point to the mean of its class, and to the means of the other classes.

    Classes count alike, those of one point do not. The second figure is what the first must be read
    beside: where everything has collapsed into one direction, both are 1.
    """
    sizes = np.bincount(class_N) if len(class_N) else np.empty(0, int)
    classes = np.flatnonzero(sizes >= 2)
    if len(classes) == 0:
        return None, None
    unit_Nd = unit(x_Nd)
    means_Cd = unit(np.stack([unit_Nd[class_N == c].mean(0) for c in classes]))
    # Mean cosine of the points of class i to the mean of class j.
    cosine_CC = np.stack([(unit_Nd[class_N == c] @ means_Cd.T).mean(0) for c in classes])
    C = len(classes)
    own = float(np.trace(cosine_CC)) / C
    other = None if C == 1 else float(cosine_CC.sum() - np.trace(cosine_CC)) / (C * (C - 1))
    return own, other


def _missing() -> WtalError:
    return WtalError("Measuring an embedding needs scikit-learn: pip install 'wtal[plots]'.")
