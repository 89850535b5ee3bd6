"""Copies of videos whose vectors are motion per frame: no B-frames, one reference, fixed GOP.

Frame n of a copy is frame n of the original. The time stamps of a copy only count its frames:
times and rotation are those of the original, so that a variable frame rate survives.

Source: CMD trains on vectors of MPEG-4 part 2 (foolwood/DRL, Context-Motion-Decoupling, which
names no GOP); the GOP of 12 and the quality are our choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from wtal_features.errors import FeatureError
from wtal_features.files import atomic_write
from wtal_features.video.container import load_av, open_video, words_of
from wtal_features.video.frames import FrameReader
from wtal_features.video.x264 import REPEATABLE

# Besides the GOP. A scene cut must not start a GOP: I-frames stand at 0, g, 2g and nowhere else.
OPTIONS: Mapping[str, Mapping[str, str]] = {
    # Quantiser 4 of 31; two to three times as fast as libx264.
    "mpeg4": {"bf": "0", "qmin": "4", "qmax": "4", "sc_threshold": "1000000000"},
    "libx264": {
        "preset": "veryfast",
        "crf": "18",
        "bf": "0",
        "refs": "1",
        "sc_threshold": "0",
        **REPEATABLE,
    },
}
GOP = 12
# Nominal. MPEG-4 stores rates as 16-bit fractions, which measured averages do not fit.
_RATE = 25


def describe_copy(
    codec: str = "mpeg4", gop: int = GOP, short_side: int | None = None
) -> Mapping[str, object]:
    """How copies are made, as JSON values: for the manifest and the keys of a cache."""
    return {"codec": codec, "gop": gop, "short_side": short_side, **OPTIONS[codec]}


def copy_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """(width, height) of the copy of a video, but that an odd side kept as it is grows by one px.

    Example:
        >>> copy_size(1920, 1080, 256), copy_size(321, 241, None)
        ((454, 256), (321, 241))
    """
    short = min(width, height)
    if short_side is None or short <= short_side:
        return width, height
    w, h = (side * short_side // short // 2 * 2 for side in (width, height))
    return w, h


def reencode(
    path: str | Path,
    out: str | Path,
    *,
    codec: str = "mpeg4",
    gop: int = GOP,
    short_side: int | None = None,
    partial: bool = False,
) -> int:
    """Write a copy of a video that `mv` can read, as an mp4 file without sound.

    Args:
        path: Any video that can be decoded.
        out: The file to write, whole or not at all; its folder must exist.
        codec: A key of `OPTIONS`.
        gop: Frames from one I-frame to the next.
        short_side: The shorter side becomes this long, px, the other in proportion, both rounded
            down to even; videos that are smaller already keep their size. None: all keep it.
            Where they keep it, an odd side grows by one px that repeats the last row or column, so
            that the map of vectors keeps its shape.
        partial: Copy what is there of a file that is cut short.

    Returns:
        Number of frames.

    Raises:
        FeatureError: If an option is not possible, this FFmpeg lacks the encoder, the video cannot
            be decoded to its end, or `out` cannot be written.
    """
    with open_video(path) as video:
        frames = (decoded.frame for decoded in FrameReader(video, partial=partial))
        return encode_frames(frames, out, codec=codec, gop=gop, short_side=short_side)


def encode_frames(
    frames: Iterable[Any],
    out: str | Path,
    *,
    codec: str = "mpeg4",
    gop: int = GOP,
    short_side: int | None = None,
) -> int:
    """`reencode` for frames that are being decoded.

    Args:
        frames: `av.VideoFrame`, in the order in which they are shown; picture type and time stamp
            of each are overwritten. Frames of another size than the first are scaled to it.
        out: The file to write.
        codec: As `reencode`.
        gop: As `reencode`.
        short_side: As `reencode`.

    Returns:
        Number of frames.

    Raises:
        FeatureError: As `reencode`; also what `frames` raises.
    """
    _check(codec, gop, short_side)
    av = load_av()
    options = {**OPTIONS[codec], "g": str(gop), "keyint_min": str(gop)}
    with atomic_write(out) as handle:
        try:
            with av.open(handle, "w", format="mp4") as container:
                return _encode(container, _prepared(frames, short_side), codec, options)
        except (av.error.FFmpegError, av.codec.codec.UnknownCodecError) as error:
            raise FeatureError(
                f"{out} cannot be encoded with {codec}: {words_of(error)}.",
                "Choose another codec for copies, or another source of motion.",
                code="encode",
            ) from error


def _check(codec: str, gop: int, short_side: int | None) -> None:
    if codec not in OPTIONS:
        raise FeatureError(
            f"Copies cannot be made with {codec!r}; expected {' or '.join(OPTIONS)}.",
            code="option",
        )
    if gop < 1 or (short_side is not None and short_side < 2):
        raise FeatureError(
            f"A copy with a GOP of {gop} and a short side of {short_side} px; "
            "expected at least 1 and 2.",
            code="option",
        )


def _encode(container: Any, frames: Iterator[Any], codec: str, options: Mapping[str, str]) -> int:
    stream = container.add_stream(codec, rate=_RATE, options=dict(options))
    count = 0
    for frame in frames:
        if not count:
            stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
        frame.pict_type = 0  # AV_PICTURE_TYPE_NONE: the encoder decides, not the original
        frame.time_base, frame.pts = Fraction(1, _RATE), count
        container.mux(stream.encode(frame))
        count += 1
    if not count:
        raise FeatureError("There is no frame to copy; expected at least one.", code="empty")
    container.mux(stream.encode(None))
    return count


def _prepared(frames: Iterable[Any], short_side: int | None) -> Iterator[Any]:
    """All frames as yuv420p of one even size."""
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    size: tuple[int, int] | None = None
    for frame in frames:
        size = size or copy_size(frame.width, frame.height, short_side)
        yield _even(reformatter.reformat(frame, *size, format="yuv420p"))


def _even(frame: Any) -> Any:
    """The frame with even sides: an odd one grows by one px.

    Brightness repeats its last row or column; colour, stored for every 2 x 2 px, has it already.
    """
    if frame.width % 2 == 0 == frame.height % 2:
        return frame
    av = load_av()
    even = av.VideoFrame(frame.width + frame.width % 2, frame.height + frame.height % 2, "yuv420p")
    for source, target in zip(frame.planes, even.planes, strict=True):
        border = ((0, target.height - source.height), (0, target.width - source.width))
        _pixels(target)[:] = np.pad(_pixels(source), border, "edge")
    return even


def _pixels(plane: Any) -> Any:
    """(H, W) uint8, a view of a plane without the bytes behind its rows."""
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
