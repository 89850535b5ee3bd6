"""Narrow copies of the published networks, so that a CPU runs them in seconds."""

import math

from wtal_features.errors import FeatureError


def scaled(channels: int, width: float) -> int:
    """The channels of a layer in a network `width` times as wide.

    max(8, 8 round(c w / 8)), halves to the even multiple; a width of 1 is the published network.

    Args:
        channels: c, of the published network.
        width: w, a positive multiplier.

    Returns:
        A multiple of 8, or `channels` itself where `width` is 1.

    Raises:
        FeatureError: If `width` is no positive number.

    Example:
        >>> scaled(208, 1), scaled(208, 0.5), scaled(16, 0.125)
        (208, 104, 8)
    """
    if not (math.isfinite(width) and width > 0):
        raise FeatureError(
            f"The width of the network is {width}; expected a positive multiplier.",
            "1 is the published network, 0.25 a small one.",
            code="option",
        )
    return channels if width == 1 else max(8, 8 * round(channels * width / 8))
