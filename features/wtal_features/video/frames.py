"""Decoded frames with their times: seconds since the first frame, from time stamps alone.

Never index / fps: a camera that slows down in the dark has no one rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError
from wtal_features.video.container import OpenVideo, load_av, words_of

# Decoders hand the rest of a cut file out without an error; so many frames may be missing.
_PROMISED = 0.98
# Time stamps that fall back by more than this start again: two recordings in one file. Less is
# disorder.
_RESTART_S = Fraction(1, 2)
# Matroska and Flash round times to milliseconds.
_ROUNDED_S = Fraction(2, 1000)
# Colour matrices that FFmpeg can convert (AVColorSpace); a file that claims another one (YCgCo,
# ICtCp, constant luminance) is shown as if it claimed none.
_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_NO_MATRIX = 2  # AVCOL_SPC_UNSPECIFIED


@dataclass(frozen=True)
class Decoded:
    """One frame.

    Attributes:
        time: Seconds since the first frame, exact.
        frame: PyAV's.
        quarter_turns: Anticlockwise turns by 90 degrees that make it upright, for `np.rot90`.
    """

    time: Fraction
    frame: Any  # av.VideoFrame
    quarter_turns: int


class CutShortError(FeatureError):
    """Decoding stopped before the end; what came before is good.

    Attributes:
        decoded: Number of good frames.
    """

    def __init__(self, problem: str, cure: str, decoded: int) -> None:
        """Keep how much was decoded."""
        super().__init__(problem, cure, code="cut-short")
        self.decoded = decoded


class FrameReader:
    """The frames of an open video, in the order in which they are shown.

    Iterating decodes; afterwards `end` is known.

    Example:
        with open_video(path) as video:
            reader = FrameReader(video)
            times = [frame.time for frame in reader]

    Attributes:
        video: The open file.
        end: Seconds from the first frame to the end of the last, exact; of what was decoded so far.
        start: Time stamp of the first frame in seconds; players count from there too.
        count: Frames decoded so far.
        steady: Whether every frame was shown for as long as the others.
        fault: Why decoding stopped early; None where it did not, or where it raised.
    """

    def __init__(self, video: OpenVideo, *, partial: bool = False) -> None:
        """Prepare to decode.

        Args:
            video: An open file, from its beginning.
            partial: Take a file that is cut short for what is there, and keep the `fault`.
        """
        self.video, self.partial = video, partial
        self.fault: CutShortError | None = None
        self.end = Fraction(0)
        self.start = Fraction(0)
        self.count = 0
        self._last = Fraction(0)  # time of the last frame
        self._length = Fraction(0)  # of the last frame, as the file has it; 0: not said
        self._gap: Fraction | None = None
        self._gaps: tuple[Fraction, Fraction] | None = None  # the shortest and the longest
        self._zero: Fraction | None = None  # the time stamp in seconds that counts as 0
        # AVI stores no times of display, and FFmpeg's guess is wrong for H.264 with B-frames; the
        # n-th frame that comes out belongs to the n-th time of coding.
        self._by_coding = video.facts.format == "avi"
        video.stream.thread_type = "NONE"  # there are as many decoders as cores

    def __iter__(self) -> Iterator[Decoded]:
        """Decode every frame.

        Raises:
            CutShortError: If the data stop or break before the end that the header promises.
            FeatureError: If not one frame can be decoded.
        """
        try:
            yield from self._decode()
        except CutShortError as error:
            if not self.partial:
                raise
            self.fault = error

    @property
    def steady(self) -> bool:
        """Whether all frames that have a next one were shown equally long, up to rounding."""
        shortest, longest = self._gaps or (0, 0)
        return longest - shortest <= _ROUNDED_S

    def _decode(self) -> Iterator[Decoded]:
        av = load_av()
        try:
            for frame in self.video.container.decode(self.video.stream):
                self._advance(frame)
                if frame.colorspace not in _MATRICES:
                    frame.colorspace = _NO_MATRIX
                yield Decoded(self._last, frame, round(frame.rotation / 90) % 4)
        except MemoryError:  # PyAV's is an FFmpegError too; the file is not to blame
            raise
        except av.error.FFmpegError as error:
            raise self._cut_short(words_of(error)) from error
        if self.count == 0:
            raise self._cut_short("the data end")
        self.end = self._end()
        self._check_promise()

    def _advance(self, frame: Any) -> None:
        """Note when a frame is shown."""
        due = self._last + self._step() if self.count else Fraction(0)
        stamp = frame.dts if self._by_coding else frame.pts
        time = due if stamp is None else self._since_zero(stamp * frame.time_base, due)
        if self.count:
            gap = time - self._last
            shortest, longest = self._gaps or (gap, gap)
            self._gaps = min(shortest, gap), max(longest, gap)
            self._gap = gap or self._gap
        self._last, self._length = time, (frame.duration or 0) * frame.time_base
        self.count += 1

    def _since_zero(self, stamp: Fraction, due: Fraction) -> Fraction:
        """When a frame is shown, from its time stamp; `due` is one step after the last frame."""
        if self._zero is None:
            self._zero = stamp - due
            self.start = Fraction(0) if self._by_coding else self._zero
        elif stamp - self._zero < self._last - _RESTART_S:
            self._zero = stamp - due
        return max(stamp - self._zero, self._last)  # damaged files jump back

    def _step(self) -> Fraction:
        """The length of the last frame, as far as it is known."""
        rate = self.video.stream.average_rate or self.video.stream.guessed_rate
        return self._length or self._gap or (1 / rate if rate else Fraction(1, 25))

    def _end(self) -> Fraction:
        """When the last frame ends: a still image at the end may stand for minutes."""
        stream = self.video.stream
        if stream.duration is not None:
            end = Fraction(stream.duration * stream.time_base)
            if end > self._last:
                return end
        return self._last + self._step()

    def _check_promise(self) -> None:
        """Fewer frames than the header has, and less time, is a file cut short."""
        facts = self.video.facts
        fewer = self.count < _PROMISED * (facts.frames or 0) - 1
        # A video that was trimmed without re-encoding hides frames, but no time.
        if fewer and (facts.duration_s or 0) > self._last + 4 * self._step():
            raise self._cut_short("the data end")

    def _cut_short(self, why: str) -> FeatureError:
        path, facts = self.video.path, self.video.facts
        if self.count == 0:
            return FeatureError(
                f"{path} holds no frame that can be decoded: {why}.",
                "It is damaged; play it, or copy it again.",
                code="video",
            )
        self.end = self._last + self._step()
        length = facts.duration_s or facts.container_s
        of = f" of {length:.1f} s" if length else ""
        return CutShortError(
            f"{path} is damaged or cut short after {float(self.end):.1f} s{of} "
            f"({self.count} frames): {why}.",
            "Copy it again, or keep what is there with --partial.",
            self.count,
        )


def to_rgb(decoded: Decoded, reformatter: Any) -> npt.NDArray[np.uint8]:
    """The frame as it is to be looked at: upright, (H, W, 3) uint8, C order.

    Args:
        decoded: The frame, of any pixel format.
        reformatter: An `av.video.reformatter.VideoReformatter`; one is kept per file, since
            setting it up costs more than using it.

    Raises:
        FeatureError: If FFmpeg cannot convert its pixels.
    """
    try:
        # One thread: small frames take twice as long when they are shared out.
        frame = reformatter.reformat(decoded.frame, format="rgb24", threads=1)
    except MemoryError:
        raise
    except load_av().error.FFmpegError as error:
        raise FeatureError(
            f"Frames with pixels of the format {decoded.frame.format.name} cannot be shown: "
            f"{words_of(error)}.",
            "Convert the video to H.264.",
            code="pixels",
        ) from error
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
    rgb = rows[:, : frame.width * 3].reshape(frame.height, frame.width, 3)
    if decoded.quarter_turns:
        rgb = np.rot90(rgb, decoded.quarter_turns)
    return np.ascontiguousarray(rgb)
