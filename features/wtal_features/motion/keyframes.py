"""Where the I-frames of a video stand: pictures that are complete in themselves."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from wtal_features.errors import FeatureError
from wtal_features.video.container import OpenVideo, load_av, words_of


@dataclass(frozen=True)
class KeyFrame:
    """One I-frame from which decoding can start.

    Attributes:
        index: Its place among all frames, in the order in which they are shown, from 0.
        time: Seconds since the first frame.
    """

    index: int
    time: Fraction


def key_frames(video: OpenVideo) -> list[KeyFrame]:
    """List the key frames of a file without decoding it, by reading its packets to the end.

    Args:
        video: Just opened; open it again before decoding.

    Returns:
        In the order in which they are shown. Where a container stores no time stamps (raw H.264),
        packets are counted instead, at the rate that the header names.

    Raises:
        FeatureError: If the packets break off with an error.
    """
    av = load_av()
    stamps: list[int | None] = []
    keys: list[int] = []
    try:
        for packet in video.container.demux(video.stream):
            if packet.size and not packet.is_discard:
                if packet.is_keyframe:
                    keys.append(len(stamps))
                stamps.append(packet.dts if packet.pts is None else packet.pts)
    except av.error.FFmpegError as error:
        raise _broken(video, error) from error
    known = [stamp for stamp in stamps if stamp is not None]
    tick: Fraction = video.stream.time_base
    if len(known) < len(stamps):
        known, tick = list(range(len(stamps))), 1 / (video.stream.average_rate or Fraction(25))
    # B-frames are stored behind the pictures that they lie before.
    shown = sorted(known)
    found = sorted(known[key] for key in keys)
    return [KeyFrame(bisect_left(shown, t), (t - shown[0]) * tick) for t in found]


def decode_key_frames(video: OpenVideo) -> Iterator[tuple[Fraction, Any]]:
    """Decode the key frames alone; the others are skipped, which saves most of the work.

    Args:
        video: Just opened.

    Yields:
        Seconds since the first key frame, exact, and the `av.VideoFrame`.

    Raises:
        FeatureError: If the data break off with an error.
    """
    av = load_av()
    video.stream.codec_context.skip_frame = "NONKEY"
    first: Fraction | None = None
    try:
        for frame in video.container.decode(video.stream):
            time = (frame.pts or 0) * frame.time_base
            first = time if first is None else first
            yield time - first, frame
    except av.error.FFmpegError as error:
        raise _broken(video, error) from error


def _broken(video: OpenVideo, error: Exception) -> FeatureError:
    return FeatureError(
        f"{video.path} is damaged or cut short: {words_of(error)}.",
        "Copy it again.",
        code="cut-short",
    )
