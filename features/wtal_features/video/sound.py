"""The sound of a piece of a video, as AAC beside its pictures.

Sound is an extra: where it cannot be decoded, the piece is silent and its pictures stay.

Shapes: C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from wtal_features.video.container import load_av, open_video

# What AAC knows of; other rates become the last of these that people use.
_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})
_USUAL_RATE = 48_000
_SEEK_BACK_S = 1.0  # decoders of sound need some packets before the first that counts
# Time stamps of sound are rounded, by some containers to milliseconds: less is no gap.
_GAP_S = Fraction(1, 25)
_BLOCK_S = 1  # of silence, at once


@dataclass(frozen=True)
class SoundFormat:
    """What the sound of a piece is written as.

    Attributes:
        rate: Samples per second.
        layout: `mono` or `stereo`.
    """

    rate: int
    layout: str

    @property
    def channels(self) -> int:
        """C."""
        return 1 if self.layout == "mono" else 2


def sound_format(container: Any) -> SoundFormat | None:
    """Of the first stream of sound that can be decoded; None where there is none."""
    stream = _heard(container)
    if stream is None:
        return None
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.layout.nb_channels
    return SoundFormat(
        rate if rate in _RATES else _USUAL_RATE, "mono" if channels == 1 else "stereo"
    )


def _heard(container: Any) -> Any:
    for stream in container.streams.audio:
        if stream.codec_context is not None and stream.codec_context.sample_rate > 0:
            return stream
    return None


def add_sound(container: Any, sound: SoundFormat) -> Any:
    """A stream of AAC in a file that is being written."""
    stream = container.add_stream("aac", rate=sound.rate)
    stream.layout = sound.layout
    return stream


def write_sound(
    container: Any,
    stream: Any,
    sound: SoundFormat,
    path: str,
    start: Fraction,
    length: Fraction,
    alive: Callable[[], None],
) -> None:
    """Fill a stream of `add_sound` with a piece of the sound of a video; gaps are silent.

    Args:
        container: Being written.
        stream: Of `add_sound`.
        sound: As it was added.
        path: The video.
        start: Seconds by the video's time stamps, exact.
        length: Seconds.
        alive: Called again and again: the sound of hours takes minutes.
    """
    written, needed = 0, round(length * sound.rate)
    for at, samples_CN in _decoded(path, sound, start, start + length):
        alive()
        begins = round((at - start) * sound.rate)
        slack = _GAP_S * sound.rate if written else 0
        if begins > written + slack:
            written = _silence(container, stream, sound, written, min(begins, needed))
        elif begins < written - slack:  # before the piece, or said twice
            samples_CN = samples_CN[:, written - begins :]
        samples_CN = samples_CN[:, : needed - written]
        written = _encode(container, stream, sound, written, samples_CN)
    _silence(container, stream, sound, written, needed)
    container.mux(stream.encode(None))


def _decoded(
    path: str, sound: SoundFormat, start: Fraction, end: Fraction
) -> Iterator[tuple[Fraction, npt.NDArray[np.float32]]]:
    """Time stamp in seconds and (C, N) samples, from a little before `start` on."""
    av = load_av()
    resampler = av.AudioResampler(format="fltp", layout=sound.layout, rate=sound.rate)
    try:
        with open_video(path) as video:
            audio = _heard(video.container)
            video.container.seek(max(0, int((start - _SEEK_BACK_S) * 1_000_000)))
            for frame in video.container.decode(audio):
                if frame.pts is None:
                    continue
                for out in resampler.resample(frame):
                    if out.pts is None:
                        continue
                    at = out.pts * out.time_base
                    if at >= end:
                        return
                    yield at, out.to_ndarray()
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError):
        return


def _silence(container: Any, stream: Any, sound: SoundFormat, written: int, until: int) -> int:
    """Samples written when it is silent up to `until`."""
    while written < until:
        n = min(until - written, _BLOCK_S * sound.rate)
        block_CN = np.zeros((sound.channels, n), np.float32)
        written = _encode(container, stream, sound, written, block_CN)
    return written


def _encode(
    container: Any,
    stream: Any,
    sound: SoundFormat,
    written: int,
    samples_CN: npt.NDArray[np.float32],
) -> int:
    """Samples written when these are, too."""
    if samples_CN.shape[1] > 0:
        frame = load_av().AudioFrame.from_ndarray(
            np.ascontiguousarray(samples_CN), format="fltp", layout=sound.layout
        )
        frame.rate, frame.pts, frame.time_base = sound.rate, written, Fraction(1, sound.rate)
        container.mux(stream.encode(frame))
    return written + len(samples_CN[0])
