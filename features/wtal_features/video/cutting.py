"""The process that cuts videos, as its user sees it: files and pictures out, faults by name."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from wtal_features.video.cutter import CutRequest, Piece
from wtal_features.video.decoder import Decoder, fault_of
from wtal_features.video.limits import Limits
from wtal_features.video.wire import Message

__all__ = ["Cutter", "Header", "Piece"]

_MODULE = "wtal_features.video.cutter"
_POLL_S = 0.5


class Header(NamedTuple):
    """What the header of a video says of its time; None where it says nothing."""

    rate: Fraction | None  # average frames per second
    duration_s: float | None


class Cutter:
    """One process for as long as the `with` block lasts; it starts with its first video.

    Example:
        with Cutter() as cutter:
            for index in cutter.cut("a.mp4", [Piece(1.0, 2.5, "cut.mp4")]):
                print("piece", index, "is written")
    """

    def __init__(self, limits: Limits | None = None) -> None:
        """Start nothing yet.

        Args:
            limits: What one video may cost.
        """
        self._decoder = Decoder(_MODULE, limits or Limits())
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Begin to watch for a process that falls silent."""
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process, whatever it is doing."""
        self._over.set()
        self._decoder.close()

    def _watch(self) -> None:
        while not self._over.wait(_POLL_S):
            self._decoder.end_if_stalled()

    def header(self, path: str) -> Header:
        """Rate and length as the file's header has them.

        Raises:
            FeatureError: If the file does not open as a video.
        """
        end = self._all(CutRequest(path))[-1][0]
        rate = end.get("rate")
        length = end.get("duration_s") or end.get("container_s")
        return Header(nominal_rate(Fraction(rate)) if rate else None, length)

    def cut(self, path: str, pieces: Sequence[Piece]) -> Iterator[int]:
        """Write pieces of one video.

        Yields:
            The index of each piece when its file is whole.

        Raises:
            FeatureError: If the video breaks off before the last; those yielded stay.
        """
        if pieces:
            for message, _ in self._answers(CutRequest(path, pieces=tuple(pieces))):
                if message["kind"] == "piece":
                    yield message["index"]

    def stills(
        self, path: str, times_s: Sequence[float], short_side: int
    ) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """Frames of one video, at most `short_side` px high or wide, the shorter of the two.

        Yields:
            Index and (H, W, 3) uint8, in the order of their times.

        Raises:
            FeatureError: If the video breaks off before the last.
        """
        if times_s:
            request = CutRequest(path, stills=tuple(times_s), still_px=short_side)
            for message, array in self._answers(request):
                if message["kind"] == "still":
                    yield message["index"], array

    def _all(self, request: CutRequest) -> list[tuple[Message, Any]]:
        return list(self._answers(request))

    def _answers(self, request: CutRequest) -> Iterator[tuple[Message, Any]]:
        with closing(self._decoder.answers(request)) as answers:
            for message, array in answers:
                if message["kind"] == "fault":
                    raise fault_of(message)
                yield message, array


def nominal_rate(rate: Fraction) -> Fraction:
    """The rate that a rounded one stands for: 23.976, 29.97 and 59.94 are thousand-and-firsts.

    Taken as they are written, an hour at 23.98 would drift by half a second.

    Example:
        >>> nominal_rate(Fraction("29.97")), nominal_rate(Fraction(25))
        (Fraction(30000, 1001), Fraction(25, 1))
    """
    for whole in (24, 30, 48, 60, 120):
        ntsc = Fraction(whole * 1000, 1001)
        if abs(rate - ntsc) < Fraction(5, 1000):
            return ntsc
    return rate.limit_denominator(1001)
