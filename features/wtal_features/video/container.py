"""Open a video file: local files only, known containers only, every fault in one sentence.

FFmpeg follows references: a playlist named `x.mp4` would make it open other files or the network.
So a path is opened through the `file` protocol alone, and by demuxers that hold one recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from wtal_features.errors import FeatureError
from wtal_features.npy import open_regular

# Demuxers of recordings. Left out on purpose: hls, dash, concat, sdp, image2 and all else that
# names further files.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,flv,live_flv,"
    "asf,gif,ogg,mxf,nut,ivf,vob,mjpeg,dv,rm,wtv,apng"
)
# 8K and some; larger frames take more than 100 MB each.
MAX_PIXELS = 8192 * 4608
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: a cover image, not a video


@dataclass(frozen=True)
class VideoFacts:
    """What the header of a video says; any of it may be wrong.

    Attributes:
        format: Of the container, as FFmpeg names it.
        codec: Of the video stream.
        width, height: Pixels as they are coded, before rotation.
        rate: Average frames per second; None if not said.
        duration_s: Of the video stream, else None: the container's may be that of the sound.
        container_s: Duration of the container; None if not said.
        frames: Number of frames; None if not said.
    """

    format: str
    codec: str
    width: int
    height: int
    rate: float | None
    duration_s: float | None
    container_s: float | None
    frames: int | None


@dataclass(frozen=True)
class OpenVideo:
    """An open file, its video stream, and what its header says."""

    path: Path
    container: Any  # av.container.InputContainer
    stream: Any  # av.VideoStream
    facts: VideoFacts


@contextmanager
def open_video(path: str | Path) -> Iterator[OpenVideo]:
    """Open the first video stream of a local file.

    Args:
        path: A regular file.

    Yields:
        The container and stream of PyAV; nothing is decoded yet.

    Raises:
        FeatureError: If PyAV is missing, the path is no regular file or empty, no known video
            container, without a video stream or with frames of an impossible size.
    """
    av = load_av()
    path = Path(path)
    check_file(path)
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        container = av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    except MemoryError:  # PyAV's is an FFmpegError too; the file is not to blame
        raise
    except (av.error.FFmpegError, ValueError) as error:
        raise FeatureError(
            f"{path} does not open as a video: {words_of(error)}.",
            "It is cut short, damaged, or no video; play it, or copy it again.",
            code="video",
        ) from error
    with container:
        stream = _video_stream(path, container)
        yield OpenVideo(path, container, stream, _facts(path, container, stream))


def load_av() -> Any:
    """PyAV. It keeps FFmpeg silent by itself; what matters is said in one sentence instead.

    Its log level stays as it is: with any but None, messages take Python's lock inside FFmpeg's
    threads, which can stand still for ever.

    Raises:
        FeatureError: If it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise FeatureError(
            "Reading videos needs PyAV, which is not installed.",
            "pip install 'wtal[video]'.",
            code="no-av",
        ) from error
    return av


def check_file(path: Path) -> None:
    """Refuse what is no readable regular file with something in it; a pipe is not waited for.

    Raises:
        FeatureError: Naming the path.
    """
    try:
        with open_regular(path) as handle:
            empty = not handle.read(1)
    except OSError as error:  # a disk that fails
        raise FeatureError(f"{path} cannot be read: {error}.", code="unreadable") from error
    if empty:
        raise FeatureError(f"{path} is empty; expected a video.", "Copy it again.", code="empty")


def words_of(error: Exception) -> str:
    """What FFmpeg says of a fault, without its numbers and paths."""
    return str(getattr(error, "strerror", None) or error).split(";")[0].rstrip(".").lower()


def _video_stream(path: Path, container: Any) -> Any:
    for stream in container.streams.video:
        if not int(stream.disposition) & _ATTACHED_PICTURE:
            return stream
    raise FeatureError(
        f"{path} has no video stream; it holds "
        f"{', '.join(sorted({s.type for s in container.streams})) or 'nothing'}.",
        "Take it out of the folder.",
        code="no-video-stream",
    )


def _facts(path: Path, container: Any, stream: Any) -> VideoFacts:
    context = stream.codec_context
    if context is None:
        raise FeatureError(
            f"{path} is coded in a way that this FFmpeg cannot decode.",
            "Convert it to H.264.",
            code="codec",
        )
    if context.width * context.height > MAX_PIXELS:
        raise FeatureError(
            f"{path} claims frames of {context.width} x {context.height} px; "
            f"expected at most {MAX_PIXELS} px.",
            "Scale it down first.",
            code="too-large",
        )
    rate: Fraction | None = stream.average_rate or stream.guessed_rate
    duration_s = float(stream.duration * stream.time_base) if stream.duration else None
    if container.format.name == "avi" and stream.frames and rate:
        # FFmpeg takes off what a file that is cut short cannot hold.
        duration_s = float(stream.frames / rate)
    return VideoFacts(
        format=container.format.name,
        codec=context.name,
        width=context.width,
        height=context.height,
        rate=float(rate) if rate else None,
        duration_s=duration_s,
        container_s=container.duration / 1e6 if container.duration else None,
        frames=stream.frames or None,
    )
