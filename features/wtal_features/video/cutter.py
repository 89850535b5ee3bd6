"""Cut pieces and stills out of one video by exact times, in a process of its own.

`python -P -m wtal_features.video.cutter MEMORY_GB`, served as `serving` says. Answers to a request:
any number of `still` (index, the array), `piece` (index: its file is whole) and `alive`, then one
`end` with what the header says, or one `fault`. Pieces that were whole before a fault stay.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError
from wtal_features.files import atomic_write
from wtal_features.video.container import load_av, open_video, words_of
from wtal_features.video.frames import CutShortError, Decoded, FrameReader, to_rgb
from wtal_features.video.serving import Send, answer_all, main
from wtal_features.video.sound import SoundFormat, add_sound, sound_format, write_sound
from wtal_features.video.wire import Message
from wtal_features.video.x264 import REPEATABLE

_BEAT_S = 1.0
# Encoders at work at once; more pieces that overlap are cut in further passes over the video.
MOST_OPEN = 4
# Without B-frames the last packet is the frame that is shown last, and its length counts.
_OPTIONS = {"preset": "veryfast", "crf": "18", "bf": "0", **REPEATABLE}
# A frame belongs to a piece that it overlaps by more than this: seconds are rounded, by Matroska to
# milliseconds.
_ROUNDED_S = Fraction(2, 1000)
_TICK = Fraction(1, 90_000)  # of the time stamps of a piece, in seconds


@dataclass(frozen=True)
class Piece:
    """What is shown in [start_s, end_s), as H.264 in mp4, and what is heard then, as AAC.

    Attributes:
        start_s, end_s: Seconds since the first frame. The first frame of the piece is the one on
            the screen at `start_s`, so that the shortest piece has one.
        out: The file to write; its folder must exist.
    """

    start_s: float
    end_s: float
    out: str


@dataclass(frozen=True)
class CutRequest:
    """One video to be cut; with neither pieces nor stills only its header is read.

    Attributes:
        path: The file.
        pieces: To be written.
        stills: Seconds; each gives the frame on the screen then.
        still_px: Shorter side of a still.
    """

    path: str
    pieces: tuple[Piece, ...] = ()
    stills: tuple[float, ...] = ()
    still_px: int = 180

    @classmethod
    def parse(cls, fields: Message) -> CutRequest:
        """From a message; it comes from our own side and is not checked again."""
        pieces = tuple(Piece(**piece) for piece in fields["pieces"])
        return cls(**(fields | {"pieces": pieces, "stills": tuple(fields["stills"])}))


def cut(request: CutRequest, reply: Send) -> Message:
    """Cut one video.

    Returns:
        The `end` message.

    Raises:
        FeatureError: If the video cannot be used as far as the last piece or still.
    """
    with open_video(request.path) as video:
        end: Message = {"kind": "end", **asdict(video.facts)}
        sound = sound_format(video.container) if request.pieces else None
    for numbers in passes(request.pieces, MOST_OPEN):
        _cut_pieces(request, numbers, sound, reply)
    if request.stills:
        _take_stills(request, reply)
    return end


def passes(pieces: Sequence[Piece], most: int) -> list[list[int]]:
    """Share pieces out so that in no pass more than `most` are open at once.

    Example:
        >>> whole = [Piece(0, 9, ""), Piece(0, 9, ""), Piece(9, 10, "")]
        >>> passes(whole, 1)
        [[0, 2], [1]]
    """
    order = sorted(range(len(pieces)), key=lambda i: (pieces[i].start_s, i))
    found: list[list[int]] = []
    open_until: list[list[float]] = []
    for i in order:
        for ends in open_until:
            ends[:] = [end for end in ends if end > pieces[i].start_s]
        free = next((n for n, ends in enumerate(open_until) if len(ends) < most), len(found))
        if free == len(found):
            found.append([])
            open_until.append([])
        found[free].append(i)
        open_until[free].append(pieces[i].end_s)
    return found


class Shown(NamedTuple):
    """A frame on the screen.

    Attributes:
        decoded: The frame, and when it appears.
        leaves: Seconds since the first frame when the next one takes its place.
        stamp: Time stamp of the frame in the file, in seconds; sound has such stamps, too.
    """

    decoded: Decoded
    leaves: Fraction
    stamp: Fraction


class _Alive:
    """Says that the work goes on, about every second that it is called in."""

    def __init__(self, reply: Send) -> None:
        self._reply, self._said = reply, time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._said > _BEAT_S:
            self._said = time.monotonic()
            self._reply({"kind": "alive"}, None)


def shown(path: str, until_s: float, alive: _Alive) -> Iterator[Shown]:
    """Frames in their order; none from `until_s` on.

    Raises:
        FeatureError: If the video breaks off before.
    """
    held: Decoded | None = None
    with open_video(path) as video:
        reader = FrameReader(video)
        for decoded in _whole(reader):
            alive()
            if held is not None:
                yield Shown(held, decoded.time, reader.start + held.time)
            held = decoded
            # A later frame is never asked for, but one is: the shortest video has it.
            if decoded.time > until_s:
                return
        if held is not None:
            yield Shown(held, reader.end, reader.start + held.time)
        header_s = video.facts.duration_s or video.facts.container_s or 0.0
        # Matroska does not say how many frames there are, so nothing else tells of the missing.
        if until_s > reader.end and header_s > 1.05 * float(reader.end) + 1.0:
            raise FeatureError(
                f"{path} ends after {float(reader.end):.1f} s; its header says {header_s:.1f} s.",
                "It is cut short; copy it again.",
                code="cut-short",
            )


def _whole(reader: FrameReader) -> Iterator[Decoded]:
    """The frames; who cuts has no option that would make do with a part of a video."""
    try:
        yield from reader
    except CutShortError as error:
        raise FeatureError(error.problem, "Copy it again.", code=error.code) from error


def _cut_pieces(
    request: CutRequest, numbers: Sequence[int], sound: SoundFormat | None, reply: Send
) -> None:
    waiting, opened = list(numbers), dict[int, _Writer]()
    until_s, alive = max(request.pieces[i].end_s for i in numbers), _Alive(reply)
    with ExitStack() as stack:
        for frame in shown(request.path, until_s, alive):
            while waiting and request.pieces[waiting[0]].start_s + _ROUNDED_S < frame.leaves:
                i = waiting.pop(0)
                opened[i] = _Writer(request.pieces[i].out, request.path, sound, alive)
                stack.push(opened[i].give_up)
            for i, writer in list(opened.items()):
                writer.add(frame)
                if request.pieces[i].end_s - _ROUNDED_S <= frame.leaves:
                    opened.pop(i).close()
                    reply({"kind": "piece", "index": i}, None)
        for i, writer in opened.items():  # they reach beyond the end
            writer.close()
            reply({"kind": "piece", "index": i}, None)


class _Writer:
    """One piece on its way to the disk: whole or not there."""

    def __init__(self, out: str, path: str, sound: SoundFormat | None, alive: _Alive) -> None:
        self._out, self._path, self._sound, self._alive = out, path, sound, alive
        self._first: Shown | None = None
        self._leaves = Fraction(0)  # of the last frame
        self._last = -1  # time stamp in ticks
        self._ticks: dict[int, int] = {}  # time stamp -> length, of frames in the encoder
        self._stream: Any = None
        self._sound_stream: Any = None
        self._reformatter = load_av().video.reformatter.VideoReformatter()
        with ExitStack() as stack:
            handle = stack.enter_context(atomic_write(out))
            self._container = stack.enter_context(load_av().open(handle, "w", format="mp4"))
            self._stack = stack.pop_all()

    def add(self, shown: Shown) -> None:
        """Encode one frame, upright, for as long as it is shown: a variable rate stays one."""
        self._first, self._leaves = self._first or shown, shown.leaves
        time = shown.decoded.time
        try:
            frame = self._even(_upright(shown.decoded, self._reformatter))
            ticks = round((time - self._first.decoded.time) / _TICK)
            self._last = max(ticks, self._last + 1)
            frame.pict_type, frame.time_base, frame.pts = 0, _TICK, self._last
            self._ticks[self._last] = max(1, round((shown.leaves - time) / _TICK))
            self._mux(self._stream.encode(frame))
        except load_av().error.FFmpegError as error:
            raise _not_encoded(self._out, error) from error

    def _mux(self, packets: Sequence[Any]) -> None:
        """Write packets with their lengths, else nothing tells how long the last frame is shown."""
        for packet in packets:
            packet.duration = self._ticks.pop(packet.pts)
        self._container.mux(packets)

    def _even(self, frame: Any) -> Any:
        """As yuv420p of the even size of the first frame."""
        if self._stream is None:
            self._stream = _add_stream(self._container, self._out)
            self._stream.width, self._stream.height = (
                max(2, side // 2 * 2) for side in (frame.width, frame.height)
            )
            if self._sound is not None:
                self._sound_stream = add_sound(self._container, self._sound)
        size = self._stream.width, self._stream.height
        return self._reformatter.reformat(frame, *size, format="yuv420p", threads=1)

    def close(self) -> None:
        """Put the file in its place."""
        try:
            self._mux(self._stream.encode(None))
            self._write_sound()
        except load_av().error.FFmpegError as error:
            raise _not_encoded(self._out, error) from error
        self._stack.close()

    def _write_sound(self) -> None:
        if self._sound is not None and self._first is not None:
            length = self._leaves - self._first.decoded.time
            write_sound(
                self._container,
                self._sound_stream,
                self._sound,
                self._path,
                self._first.stamp,
                length,
                self._alive,
            )

    def give_up(self, *fault: Any) -> None:
        """Leave no file, told of a fault as `__exit__` is; nothing is left to do after `close`."""
        self._stack.__exit__(*fault)


def _add_stream(container: Any, out: str) -> Any:
    av = load_av()
    try:
        stream = container.add_stream("libx264", options=dict(_OPTIONS))
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError) as error:
        raise _not_encoded(out, error) from error
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _TICK
    return stream


def _not_encoded(out: str, error: Exception) -> FeatureError:
    return FeatureError(
        f"{out} cannot be encoded as H.264: {words_of(error)}.",
        "Use a PyAV whose FFmpeg has libx264, such as its wheel from PyPI.",
        code="encode",
    )


def _upright(decoded: Decoded, reformatter: Any) -> Any:
    if not decoded.quarter_turns:
        return decoded.frame
    return load_av().VideoFrame.from_ndarray(to_rgb(decoded, reformatter), format="rgb24")


def _take_stills(request: CutRequest, reply: Send) -> None:
    waiting = sorted(range(len(request.stills)), key=request.stills.__getitem__)
    reformatter = load_av().video.reformatter.VideoReformatter()
    latest: Decoded | None = None

    def send() -> None:
        assert latest is not None  # `shown` gives one frame at least, or raises
        reply({"kind": "still", "index": waiting.pop(0)}, _small(latest, request, reformatter))

    for frame in shown(request.path, max(request.stills), _Alive(reply)):
        latest = frame.decoded
        while waiting and request.stills[waiting[0]] + _ROUNDED_S < frame.leaves:
            send()
    while waiting:  # beyond the end: the last frame
        send()


def _small(decoded: Decoded, request: CutRequest, reformatter: Any) -> npt.NDArray[np.uint8]:
    # They bring torch, which whoever only asks for cuts does not need.
    from wtal_features.preprocess import resized
    from wtal_features.pretraining.clipsettings import shrunk_size

    rgb_HW3 = to_rgb(decoded, reformatter)
    height, width, _ = rgb_HW3.shape
    small: npt.NDArray[np.uint8] = resized(rgb_HW3, shrunk_size(height, width, request.still_px))
    return np.ascontiguousarray(small)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the other side closes."""
    answer_all(requests, answers, _cut)


def _cut(fields: Message, reply: Send) -> Message:
    return cut(CutRequest.parse(fields), reply)


if __name__ == "__main__":
    sys.exit(main(_cut))
