"""The colour view of decoded frames, prepared for an encoder on request."""

from __future__ import annotations

from collections.abc import Callable

from wtal_features.clips import Preprocess
from wtal_features.preprocess import prepare_frame
from wtal_features.video.clipper import Picture
from wtal_features.video.container import load_av
from wtal_features.video.frames import Decoded, to_rgb


class ColourView:
    """Frames as they are to be looked at."""

    def __init__(self) -> None:
        """Start a video."""
        self._reformatter = load_av().video.reformatter.VideoReformatter()
        self._last: tuple[Decoded, Picture] | None = None

    def take(self, cells: range, decoded: Decoded) -> None:
        """Nothing is done before a picture is asked for."""

    def of(self, decoded: Decoded, preprocess: Preprocess) -> Callable[[], Picture]:
        """Prepares one frame when it is called; several encoders share the conversion."""

        def picture() -> Picture:
            if self._last is None or self._last[0] is not decoded:
                self._last = decoded, to_rgb(decoded, self._reformatter)
            return prepare_frame(self._last[1], preprocess)

        return picture
