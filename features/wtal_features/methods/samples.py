"""What the samples of all methods are made of: clips of a store, after their augmentation.

Shapes: n frames, S side, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from wtal_features.augment.augmentation import Augmentation
from wtal_features.clips import View
from wtal_features.errors import FeatureError
from wtal_features.pretraining.clipstore import ClipStore


def seen(
    store: ClipStore,
    video: str,
    indices: Sequence[int],
    view: View,
    augmentation: Augmentation,
) -> Tensor:
    """A clip of a store after its augmentation, (n, S, S, C)."""
    if view == "rgb":
        return augmentation.frames(torch.from_numpy(store.frames(video, indices)))
    maps = store.motion(video, indices).astype(np.float32, copy=False)
    return augmentation.motion(torch.from_numpy(maps))


def check_motion(store: ClipStore) -> None:
    """Refuse a store without motion.

    Raises:
        FeatureError: If it has none.
    """
    if store.settings.get("motion") is None:
        raise FeatureError(
            f"{store.folder} holds no motion, and this method learns from it.",
            "Build the store with a source of motion.",
            code="view",
        )
