"""Small real video files for the tests of this room, made from nothing."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# One reference, no B-frames, a fixed distance of I-frames: every vector is one frame long.
ONE_REFERENCE = {"g": "12", "keyint_min": "12", "bf": "0", "refs": "1", "sc_threshold": "0"}


def texture(side: int, seed: int = 0) -> NDArray[np.uint8]:
    """(side, side, 3) band-passed noise that wraps around at its borders."""
    noise = np.random.default_rng(seed).standard_normal((side, side, 3))
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :]
    radius = np.hypot(fy, fx)
    band = ((radius > 0.02) & (radius < 0.15))[..., None]
    smooth = np.fft.ifft2(np.fft.fft2(noise, axes=(0, 1)) * band, axes=(0, 1)).real
    pixels: NDArray[np.uint8] = (128 + 50 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)
    return pixels


def panned(
    n: int, width: int, height: int, shift: tuple[float, float] = (3, 1), seed: int = 0
) -> list[NDArray[np.uint8]]:
    """n frames (height, width, 3) of a camera that pans by `shift` (x, y) px per frame.

    The content therefore moves by -shift.
    """
    world = texture(max(width, height, 64), seed)
    side = len(world)
    frames = []
    for i in range(n):
        rows = (np.arange(height) + round(i * shift[1])) % side
        columns = (np.arange(width) + round(i * shift[0])) % side
        frames.append(np.ascontiguousarray(world[rows][:, columns]))
    return frames


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    fps: int | Fraction = 25,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    times_s: Sequence[float] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Encode rgb24 frames; with `times_s` each is shown at its own time (variable rate)."""
    import av

    if options is None:
        options = {"preset": "ultrafast", **ONE_REFERENCE} if codec == "libx264" else {"g": "12"}
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", container_options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=dict(options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        tick = Fraction(1, 1000) if times_s is not None else 1 / Fraction(fps)
        if times_s is not None:
            stream.codec_context.time_base = tick
        for i, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.time_base = tick
            frame.pts = i if times_s is None else round(times_s[i] * 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered(n: int, width: int = 64, height: int = 48) -> list[NDArray[np.uint8]]:
    """n frames that say their own number: see `number_of`."""
    frames = []
    for i in range(n):
        frame = np.full((height, width, 3), 32, np.uint8)
        for bit in range(10):
            if i >> bit & 1:
                row, column = divmod(bit, 5)
                frame[row * height // 2 : (row + 1) * height // 2][
                    :, column * width // 5 : (column + 1) * width // 5
                ] = 224
        frames.append(frame)
    return frames


def number_of(frame: NDArray[np.uint8]) -> int:
    """The number that a frame of `numbered` says; it survives coding and scaling."""
    height, width = frame.shape[:2]
    value = 0
    for bit in range(10):
        row, column = divmod(bit, 5)
        y, x = int((row + 0.5) * height / 2), int((column + 0.5) * width / 5)
        value |= int(frame[y, x].mean() > 128) << bit
    return value


def flip_map(map_HW2: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mirror maps of motion (..., H, W, 2) left to right: the grid, and dx changes its sign."""
    return map_HW2[..., ::-1, :] * np.array([-1, 1], np.float32)
