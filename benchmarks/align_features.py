"""Where in a video do the rows of somebody else's features lie?

    python benchmarks/align_features.py VIDEO FEATURES.npy [--fps 25]

Whatever an encoder sees, rows of like pictures are alike. So the similarity of every pair of rows
is compared with that of the pictures (colour histograms and thumbnails) in windows laid on the
video with a trial stride and offset; the trial that correlates best tells how the rows lie in time.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wtal_features.clips import Preprocess
from wtal_features.npy import read_npy
from wtal_features.video.container import open_video
from wtal_features.video.frames import FrameReader
from wtal_features.video.grid import Grid, on_grid
from wtal_features.video.views import ColourView

Rows = npt.NDArray[np.float64]
SMALL = Preprocess(64, 64)


def pictures(path: Path, fps: Fraction) -> tuple[Rows, FrameReader]:
    """(N, 256): histogram and 8 x 8 thumbnail of every grid frame, both of unit length."""
    rows: list[Rows] = []
    with open_video(path) as video:
        reader, view = FrameReader(video), ColourView()
        for cells, decoded in on_grid(reader, Grid(fps, 10**7)):
            if cells:
                frame = view.of(decoded, SMALL)()
                rows += [_describe(frame)] * len(cells)
    return np.array(rows), reader


def _describe(frame: npt.NDArray[np.uint8]) -> Rows:
    levels = frame.reshape(-1, 3) // 64 @ np.array([16, 4, 1])
    histogram = np.sqrt(np.bincount(levels, minlength=64) / len(levels))
    small = frame.reshape(8, 8, 8, 8, 3).mean((1, 3)).ravel()
    return np.concatenate([histogram, small / max(float(np.linalg.norm(small)), 1.0)])


def similarities(rows: Rows) -> Rows:
    """Cosine of every pair of rows after their mean is taken off, the upper triangle."""
    rows = rows - rows.mean(axis=0)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found: Rows = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    return found


def fit(wanted: Rows, frames: Rows, T: int, stride: float, offset: float, window: int) -> float:
    """Correlation for one trial; frames past the ends repeat."""
    starts = np.round(offset + stride * np.arange(T)).astype(int)
    index = np.clip(starts[:, None] + np.arange(window), 0, len(frames) - 1)
    return float(np.corrcoef(wanted, similarities(frames[index].mean(axis=1)))[0, 1])


def main() -> None:
    """Print what fits best, and the strides one would guess."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("--fps", type=Fraction, default=Fraction(25))
    options = parser.parse_args()
    rows = read_npy(options.features).astype(np.float64)
    frames, reader = pictures(options.video, options.fps)
    T, N = len(rows), len(frames)
    print(f"{options.video.name}: {reader.count} frames, {float(reader.end):.3f} s,", end=" ")
    print(f"{N} grid frames at {options.fps} fps; {T} rows; {N / T:.2f} grid frames per row")
    wanted, window = similarities(rows), round(N / T)
    trials = [
        (fit(wanted, frames, T, stride, offset, window), stride, offset)
        for stride in np.arange(0.85, 1.1, 0.005) * N / T
        for offset in np.arange(-0.5, 0.51, 0.125) * N / T
    ]
    print("correlation  stride  offset (grid frames)")
    for r, stride, offset in sorted(trials, reverse=True)[:5]:
        print(f"{r:11.3f} {stride:7.2f} {offset:7.2f}")
    for stride in sorted({16.0, 32.0, 64.0, N / T}):
        r = fit(wanted, frames, T, stride, 0.0, window)
        print(f"{r:11.3f} {stride:7.2f}    0.00  {'equal parts' if stride == N / T else ''}")


if __name__ == "__main__":
    main()
