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


def write_beeps(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    fps: int = 25,
    rate: int = 44_100,
    codec: str = "aac",
    late_s: float = 0.0,
    sound_s: float | None = None,
) -> Path:
    """H.264 with sound: silent in the first half of every second, 440 Hz in the second half.

    Args:
        path: To be written.
        frames: As `write_video` takes them.
        fps: Frames per second.
        rate: Samples per second, in stereo.
        codec: Of the sound.
        late_s: Seconds by which the sound begins later, and is late.
        sound_s: Seconds of sound; as long as the frames unless given.
    """
    import av

    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=ONE_REFERENCE)
        sound = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream)
        assert isinstance(sound, av.AudioStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        sound.layout = "stereo"
        for i, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.time_base, frame.pts = Fraction(1, fps), i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        time_N = np.arange(round((sound_s or len(frames) / fps) * rate)) / rate
        beeps_N = 0.5 * np.sin(2 * np.pi * 440 * time_N) * (time_N % 1 >= 0.5)
        beeps_2N = np.stack([beeps_N, beeps_N]).astype(np.float32)
        for first in range(0, len(beeps_N), 1024):
            block = np.ascontiguousarray(beeps_2N[:, first : first + 1024])
            samples = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            samples.rate, samples.time_base = rate, Fraction(1, rate)
            samples.pts = first + round(late_s * rate)
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    return path


def loud_seconds(path: Path) -> list[tuple[float, float]]:
    """The stretches of a file in which something is heard, to 10 ms, in its own time."""
    import av

    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
        out = [o for f in container.decode(audio=0) for o in resampler.resample(f)]
    assert out[0].time is not None
    first = round(out[0].time * rate)
    heard_N = np.concatenate([np.zeros(first), *(o.to_ndarray()[0] for o in out)])
    loud_K = [
        np.abs(heard_N[i : i + rate // 100]).max() > 0.1
        for i in range(0, len(heard_N), rate // 100)
    ]
    edges = np.flatnonzero(np.diff([False, *loud_K, False]))
    return [(a / 100, b / 100) for a, b in edges.reshape(-1, 2).tolist()]


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
