"""Whether all is installed that an extraction needs: said before the first video, not of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wtal_features.extraction.settings import ExtractSettings
from wtal_features.motion.source import motion_view
from wtal_features.video.container import load_av

if TYPE_CHECKING:
    from wtal_features.encoders.encoder import Encoder


def check_installed(encoders: Mapping[str, Encoder], settings: ExtractSettings) -> None:
    """Refuse to begin what no decoder could do.

    Args:
        encoders: By stream.
        settings: Where motion comes from.

    Raises:
        FeatureError: If PyAV is missing, or for an encoder of motion OpenCV or a part of it.
    """
    load_av()
    if any(encoder.clip.view == "motion" for encoder in encoders.values()):
        motion_view(settings.motion.method, short_side=settings.motion.short_side)
