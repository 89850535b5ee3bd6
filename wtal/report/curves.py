"""What the model saw in a video over time: the curves of its classes and the attention.

Shapes: n snippets, T bins, C classes of the model, K classes drawn, P points of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wtal.errors import WtalError
from wtal.proposals import normalise
from wtal.report.data import Curves

if TYPE_CHECKING:
    import torch

    from wtal.localize import Localizer
    from wtal.report.words import Words
    from wtal_features import FeatureStore

POINTS = 600  # of a curve at most: what a wide screen can show
DRAWN = 12  # classes of one video at most


@dataclass(frozen=True)
class Drawer:
    """Makes the curves of a video.

    Args:
        localizer: the model.
        store: its features.
        classes: labels of the page, in its order.
    """

    localizer: Localizer
    store: FeatureStore
    classes: tuple[str, ...]

    def fault(self, video: str) -> str | None:
        """Why a video can have no curves, as far as the header of its features tells."""
        from wtal_features import FeatureError

        try:
            self.store.length(video)
        except FeatureError as error:
            return str(error)
        return None

    def draw(self, video: str, wanted: Sequence[int]) -> tuple[Curves, dict[str, float]]:
        """The curves of one video, and the probability of each class of the model in it.

        Args:
            video: of the store.
            wanted: classes of the page, the most wanted first; the first `DRAWN` are drawn.

        Raises:
            FeatureError: its features cannot be read.
        """
        features_nD = self.store.read(video)
        scores = self.localizer.scores(features_nD)
        column = {label: c for c, label in enumerate(self.localizer.classes)}
        drawn = sorted([c for c in wanted if self.classes[c] in column][:DRAWN])
        columns = [column[self.classes[c]] for c in drawn]
        curve_KT = normalise(
            scores.cas_TC[:, columns], skip_flat=self.localizer.compat.skip_flat_classes
        )
        seconds = self.store.timing(video).seconds_per_snippet * scores.snippets_per_bin
        group = -(-len(scores.attention_T) // POINTS)
        curves = Curves(
            step_s=seconds * group,
            classes=tuple(drawn),
            cas_KP=quantised(pooled(curve_KT, group)),
            attention_P=quantised(pooled(scores.attention_T[None], group))[0],
        )
        probabilities = scores.class_scores_C.tolist()
        return curves, dict(zip(self.localizer.classes, probabilities, strict=True))


def pooled(curve_KT: NDArray[np.float32], group: int) -> NDArray[np.float32]:
    """(K, P) the maximum of every `group` points, so that no peak is lost; the last may be fewer.

    Example:
        >>> pooled(np.array([[0.0, 1.0, 0.5, 0.2, 0.3]], np.float32), 2).round(1).tolist()
        [[1.0, 0.5, 0.30000001192092896]]
    """
    starts = np.arange(0, curve_KT.shape[1], group)
    curve_KP: NDArray[np.float32] = np.maximum.reduceat(curve_KT, starts, axis=1)
    return curve_KP


def quantised(curve_KP: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The same as bytes: 0 for 0 and below, 255 for 1."""
    return np.rint(np.clip(curve_KP, 0, 1) * 255).astype(np.uint8)


def open_drawer(words: Words, classes: tuple[str, ...], device: torch.device | str) -> Drawer:
    """The model of the run and its features.

    Args:
        words: with a run folder and a feature store.
        classes: of the page.
        device: where to compute.

    Raises:
        WtalError, FeatureError: one of them cannot be opened, or they do not belong together.
    """
    from wtal.localize import Localizer
    from wtal_features import open_store

    assert words.folder is not None
    assert words.features is not None
    localizer = Localizer.load(words.folder, device)
    store = open_store(
        words.features, streams=localizer.data.streams, fps=words.fps, stride=words.stride
    )
    context = localizer.context
    if context is not None:
        context.check(store)
    dim = localizer.network.feature_dim if context is None else context.dim_in
    if store.dim != dim:
        raise WtalError(
            f"{store.root} has features of {store.dim} dims; the model of {words.folder} was "
            f"trained on {dim}. Name its own store with --features."
        )
    return Drawer(localizer, store, classes)
