"""Parts of the training videos, so that each is judged by a network that did not see it.

Shapes: V videos, C classes, K folds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def folds_of(
    labels_VC: NDArray[np.bool_], K: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Spread the videos over K folds, class by class, the rarest first.

    A video goes to the fold that has the fewest videos of the class, of equal ones to the smallest;
    videos without a tag are spread likewise at the end.

    Args:
        labels_VC: True where the video has the tag.
        K: folds, at least 2.
        generator: draws the order of the videos.

    Returns:
        (V,) fold of each video, 0 to K - 1.
    """
    V = len(labels_VC)
    fold_V = np.full(V, -1)
    order_V = generator.permutation(V)
    rarest_C = np.argsort(labels_VC.sum(0), kind="stable")
    untagged_V = ~labels_VC.any(axis=1)
    for member_V in (*labels_VC.T[rarest_C], untagged_V):
        for video in order_V[member_V[order_V] & (fold_V[order_V] < 0)]:
            of_class_K = np.bincount(fold_V[member_V & (fold_V >= 0)], minlength=K)
            all_K = np.bincount(fold_V[fold_V >= 0], minlength=K)
            fold_V[video] = np.lexsort((all_K, of_class_K))[0]
    return fold_V
