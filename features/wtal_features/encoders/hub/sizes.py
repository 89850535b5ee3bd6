"""Whether prepared frames have the one size that a network was made for."""

from __future__ import annotations

from collections.abc import Sequence

from wtal_features.clips import Preprocess
from wtal_features.encoders.hub.folder import ModelFolder
from wtal_features.errors import FeatureError


def require_size(folder: ModelFolder, size: int | Sequence[int], preprocess: Preprocess) -> None:
    """Refuse pixels of another size than the configured.

    Args:
        folder: The model, for messages.
        size: Side in pixels, or height and width, from its configuration.
        preprocess: What frames are made into.

    Raises:
        FeatureError: Naming both sizes.
    """
    if set(_sides(size)) != {preprocess.size}:
        raise FeatureError(
            f"{folder.name} sees squares of {size} px, and its frames are prepared to "
            f"{preprocess.size} px.",
            "Pass a Preprocess to the size of config.json.",
            code="option",
        )


def require_patches(
    folder: ModelFolder, patch: int | Sequence[int], preprocess: Preprocess
) -> None:
    """Refuse pixels that are no whole patches: the rest would be cut off.

    Args:
        folder: The model, for messages.
        patch: Side in pixels, or height and width, from its configuration.
        preprocess: What frames are made into.

    Raises:
        FeatureError: Naming both sizes.
    """
    if any(preprocess.size % side for side in _sides(patch)):
        raise FeatureError(
            f"{folder.name} takes whole patches of {patch} px, and its frames are prepared to "
            f"{preprocess.size} px.",
            "Pass a Preprocess with a crop that is a multiple.",
            code="option",
        )


def _sides(size: int | Sequence[int]) -> list[int]:
    return [size] if isinstance(size, int) else list(size)
