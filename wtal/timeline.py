"""A picture of one or a few videos: scores, detections and annotations on one time axis.

Shapes: T bins, C classes, P points.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.errors import WtalError
from wtal.localize import VideoDetections, VideoScores
from wtal_features.files import atomic_write

Segment = tuple[str, float, float]  # label, start and end in seconds

# Okabe and Ito: told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


class Row(NamedTuple):
    """One video to draw."""

    name: str
    scores: VideoScores
    detections: VideoDetections
    truth: Sequence[Segment]
    seconds_per_snippet: float


def draw(rows: Sequence[Row], classes: Sequence[str], path: Path, *, best: int = 30) -> None:
    """Write a PNG with one panel per video.

    Args:
        rows: the videos.
        classes: class names in the order of the scores.
        path: file to write.
        best: detections shown per video at most, the best scored ones.

    Raises:
        WtalError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise WtalError("Drawing needs matplotlib: pip install 'wtal[plots]'.") from None
    figure = Figure(figsize=(11, 2.6 * len(rows) + 0.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, row in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        _panel(axes, row, classes, best)
    axes.set_xlabel("time (s)")
    image = io.BytesIO()
    figure.savefig(image, format="png")
    with atomic_write(path) as file:
        file.write(image.getvalue())


def _panel(axes: Any, row: Row, classes: Sequence[str], best: int) -> None:
    """Curves on top, then a band of detections, then a band of annotations."""
    shown = sorted({*row.detections.labels, *(label for label, _, _ in row.truth)})
    colour = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(shown)}
    T = len(row.scores.attention_T)
    seconds_per_bin = row.seconds_per_snippet * row.scores.snippets_per_bin
    time_T = (np.arange(T) + 0.5) * seconds_per_bin
    axes.fill_between(time_T, row.scores.attention_T, color="#bbbbbb", lw=0, label="attention")
    for label in shown:
        if label in classes:
            curve_T = _unit(row.scores.cas_TC[:, classes.index(label)])
            axes.plot(time_T, curve_T, color=colour[label], lw=1.3, label=label)
    for segment, share in _best(row.detections, best):
        _bar(axes, segment, -0.22, colour, 0.25 + 0.6 * share)
    for segment in row.truth:
        _bar(axes, segment, -0.42, colour, 1.0)
    axes.set(xlim=(0, T * seconds_per_bin), ylim=(-0.48, 1.05), title=row.name)
    axes.set_yticks([-0.35, -0.15, 0.5], ["annotated", "detected", "score"])
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)


def _best(found: VideoDetections, best: int) -> list[tuple[Segment, float]]:
    """The best detections that overlap no better one of their class, beside score / top score."""
    order_N = np.argsort(-found.scores_N, kind="stable")
    top = float(found.scores_N.max(initial=1e-9))
    shown: list[tuple[Segment, float]] = []
    for i in order_N.tolist():
        label, start, end = found.labels[i], float(found.starts_N[i]), float(found.ends_N[i])
        if all(label != seen[0] or end <= seen[1] or seen[2] <= start for seen, _ in shown):
            shown.append(((label, start, end), max(0.0, float(found.scores_N[i]) / top)))
    return shown[:best]


def _bar(
    axes: Any,
    segment: Segment,
    bottom: float,
    colour: Mapping[str, str],
    alpha: float,
) -> None:
    label, start, end = segment
    axes.broken_barh([(start, end - start)], (bottom, 0.14), color=colour[label], alpha=alpha)


def _unit(curve_T: NDArray[np.float32]) -> NDArray[np.float32]:
    """A curve drawn between its zero (or minimum) and its maximum."""
    low, high = max(float(curve_T.min()), 0.0), float(curve_T.max())
    unit_T: NDArray[np.float32] = (curve_T - low) / (high - low if high > low else 1.0)
    return unit_T.clip(0, 1)
