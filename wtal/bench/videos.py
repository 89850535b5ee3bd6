"""Videos for the benchmarks: a textured world under a moving camera, as H.264 in mp4.

A long video is a short one repeated: its packets are copied with later time stamps, so that two
hours take seconds to make, and a decoder has the same work as with two hours of recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal_features.video.container import load_av

FPS = 25
# Every vector spans one frame: no B-frames, one reference, I-frames at 0, 12, 24 and nowhere else.
ONE_REFERENCE = {"g": "12", "keyint_min": "12", "bf": "0", "refs": "1", "sc_threshold": "0"}
X264_DEFAULTS: Mapping[str, str] = {}  # B-frames, three references, an I-frame every ten seconds
_BAND = 0.02, 0.15  # cycles per px
_CONTRAST = 40.0  # standard deviation of the texture, in levels of 255
_NOISE = 3  # of the sensor, in levels: most codecs spend their bits on it

Frame = NDArray[np.uint8]


def make_video(
    path: Path,
    seconds: float,
    *,
    size: tuple[int, int] = (320, 240),
    options: Mapping[str, str] = ONE_REFERENCE,
    seed: int = 0,
) -> Path:
    """Encode a video of FPS frames per second.

    Args:
        path: Of the mp4 file.
        seconds: Its length.
        size: Width and height, even.
        options: Of libx264.
        seed: Of world, camera and noise.
    """
    av = load_av()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=dict(options))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for n, pixels in enumerate(filmed(round(seconds * FPS), *size, seed)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def filmed(n: int, width: int, height: int, seed: int) -> Iterator[Frame]:
    """N frames (height, width, 3) of a camera that swings over a world by a few px per frame."""
    generator = np.random.default_rng(seed)
    world = texture(max(width, height), generator)
    side = len(world)
    noise = generator.integers(-_NOISE, _NOISE + 1, world.shape, dtype=np.int16)
    world = world.astype(np.int16)
    for i in range(n):
        x, y = round(60 * np.sin(i / 17)), round(40 * np.sin(i / 23 + 1))
        rows, columns = (np.arange(height) + y) % side, (np.arange(width) + x) % side
        grain = np.roll(noise, tuple(generator.integers(side, size=2)), (0, 1))[:height, :width]
        yield (world[rows][:, columns] + grain).clip(0, 255).astype(np.uint8)


def texture(side: int, generator: np.random.Generator) -> Frame:
    """(side, side, 3) band-passed noise that wraps around at its borders."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :]
    radius = np.hypot(fy, fx)
    band = ((radius > _BAND[0]) & (radius < _BAND[1]))[..., None]
    noise = np.fft.fft2(generator.standard_normal((side, side, 3)), axes=(0, 1))
    smooth = np.fft.ifft2(noise * band, axes=(0, 1)).real
    world: Frame = (128 + _CONTRAST * smooth / smooth.std()).clip(0, 255).astype(np.uint8)
    return world


def repeat_video(source: Path, path: Path, times: int) -> Path:
    """The same video `times` in a row, copied packet by packet; no decoding.

    Args:
        source: From `make_video`, so that its frames are evenly spaced.
        path: Of the mp4 file.
        times: How often.
    """
    av = load_av()
    with av.open(str(source)) as one, av.open(str(path), "w") as many:
        stream = one.streams.video[0]
        copy = many.add_stream_from_template(stream)
        packets = [packet for packet in one.demux(stream) if packet.size]
        length = round(len(packets) / FPS / stream.time_base)
        stamps = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(times):
            for packet, (pts, dts) in zip(packets, stamps, strict=True):
                packet.stream = copy
                packet.time_base = stream.time_base
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                many.mux(packet)
    return path
