"""One video of one run on one time axis, as a PNG.

Shapes: T bins, R rows of a band, C action classes (column index C is the background), S slots, M
regions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.inspection.canvas import GREY, add_caption, new_figure, plain, save, short
from wtal.inspection.insight import Denoised, Insight
from wtal.inspection.timeline import COLOURS
from wtal.localize import VideoDetections

WIDTH = 12.0  # inches
CURVE_HEIGHT, ROW_HEIGHT, TITLE_HEIGHT = 0.8, 0.26, 0.34  # inches
MOST_DETECTIONS = 40  # per class, the best scored ones


class Panel(NamedTuple):
    """One strip of the figure."""

    title: str
    height: float  # inches, without the title
    draw: Callable[[Any], None]  # onto matplotlib axes


def draw_video(insight: Insight, path: Path) -> None:
    """Write the picture of one video.

    Args:
        insight: what to draw.
        path: PNG to write; its folder must exist.

    Raises:
        WtalError: matplotlib is not installed.
    """
    panels = _panels(insight)
    heights = [panel.height + TITLE_HEIGHT for panel in panels]
    figure = new_figure(WIDTH, sum(heights) + 1.0)
    columns = figure.subplots(
        len(panels), 1, squeeze=False, sharex=True, height_ratios=[p.height for p in panels]
    )[:, 0]
    for axes, panel in zip(columns, panels, strict=True):
        panel.draw(axes)
        axes.set_title(panel.title, loc="left", fontsize=9, pad=3)
        axes.tick_params(labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    columns[-1].set(xlim=(0, _seconds(insight)))
    columns[-1].set_xlabel("time (s)", fontsize=9)
    figure.suptitle(plain(f"{short(insight.video, 60)}, seen by {short(insight.run, 60)}"))
    add_caption(figure, [" ".join(insight.notes)])
    save(figure, path)


def _panels(insight: Insight) -> list[Panel]:
    """The strips from top to bottom."""
    panels = [_cas(insight, c) for c in insight.shown]
    panels.append(_attention(insight))
    rows = (*insight.shown, len(insight.classes))
    marks_TC = insight.labels_TC.astype(np.float32)
    panels.append(_band("pseudo-labels P before denoising", insight, rows, marks_TC))
    if insight.denoised is not None:
        S_TC = insight.denoised.confidence_TC
        title = "confidence S in every label, set or not (white 0, full colour 1)"
        panels.append(_band(title, insight, rows, S_TC))
        title = "pseudo-labels after denoising, P S (white 0, full colour 1)"
        panels.append(_band(title, insight, rows, marks_TC * S_TC))
        panels.append(_regions(insight, insight.denoised))
    return [*panels, _detections(insight), _truth(insight)]


def _seconds(insight: Insight) -> float:
    return len(insight.attention_T) * insight.seconds_per_bin


def _colour(insight: Insight, c: int) -> str:
    """Of a class by its place among the shown ones; of the background grey."""
    if c not in insight.shown:
        return GREY
    return COLOURS[insight.shown.index(c) % len(COLOURS)]


def _name(insight: Insight, c: int) -> str:
    return plain(short(insight.classes[c])) if c < len(insight.classes) else "background"


def _steps(insight: Insight, values_T: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Each bin as a level stretch, so that a single one is seen as well."""
    edges = np.arange(len(values_T) + 1) * insight.seconds_per_bin
    return np.repeat(edges, 2)[1:-1], np.repeat(values_T, 2)


def _cas(insight: Insight, c: int) -> Panel:
    """A strip with the curve of one class."""
    time, values = _steps(insight, insight.cas_TC[:, c])
    _, labelled = _steps(insight, insight.labels_TC[:, c])
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 0.5
    colour = _colour(insight, c)

    def draw(axes: Any) -> None:
        axes.fill_between(
            time, low - margin, values, where=labelled, color=colour, alpha=0.25, lw=0
        )
        axes.plot(time, values, color=colour, lw=1.0)
        axes.set(ylim=(low - margin, high + margin))
        axes.locator_params(axis="y", nbins=3)

    name = plain(short(insight.classes[c], 40))
    title = f"T-CAS of {name} ({insight.cas_name}; shaded where it is labelled)"
    return Panel(title, CURVE_HEIGHT, draw)


def _attention(insight: Insight) -> Panel:
    time, values = _steps(insight, insight.attention_T)

    def draw(axes: Any) -> None:
        axes.fill_between(time, 0, values, color="#bbbbbb", lw=0)
        axes.plot(time, values, color="#333333", lw=0.8)
        axes.set(ylim=(0, 1.02), yticks=[0, 1])

    return Panel("attention", 0.7 * CURVE_HEIGHT, draw)


def _band(
    title: str, insight: Insight, rows: Sequence[int], values_TC: NDArray[np.float32]
) -> Panel:
    """A strip with one row per class, shaded by a value in [0, 1]."""

    def draw(axes: Any) -> None:
        from matplotlib.colors import to_rgb

        shade_RT1 = values_TC[:, list(rows)].T[..., None]
        colour_R13 = np.array([[to_rgb(_colour(insight, c))] for c in rows])
        image_RT3 = 1 - shade_RT1 * (1 - colour_R13)
        R = len(rows)
        # Where bins outnumber pixels, their mean is drawn rather than one of them.
        crowded = len(values_TC) > 1000
        axes.imshow(
            image_RT3,
            extent=(0, _seconds(insight), R - 0.5, -0.5),
            aspect="auto",
            interpolation="antialiased" if crowded else "nearest",
        )
        _rows(axes, [_name(insight, c) for c in rows])

    return Panel(title, ROW_HEIGHT * len(rows), draw)


def _rows(axes: Any, names: Sequence[str]) -> None:
    """Row names, the first on top, with a thin line between rows."""
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.5, -0.5))
    axes.hlines(np.arange(1, len(names)) - 0.5, 0, 1, transform=axes.get_yaxis_transform(),
                color="#cccccc", lw=0.6)  # fmt: skip
    axes.tick_params(axis="y", length=0)


def _regions(insight: Insight, denoised: Denoised) -> Panel:
    """A strip with the cut of every slot."""
    slots = denoised.slots
    names = []
    for c, background in slots:
        of_class = background and c < len(insight.classes)
        names.append(f"not {_name(insight, c)}" if of_class else _name(insight, c))

    def draw(axes: Any) -> None:
        for row, (c, background) in enumerate(slots):
            colour = GREY if background else _colour(insight, c)
            for m, start, end in _stretches(denoised.region_ST[row]):
                valid = bool(denoised.valid_SM[row, m])
                axes.broken_barh(
                    [(start * insight.seconds_per_bin, (end - start) * insight.seconds_per_bin)],
                    (row - 0.36, 0.72),
                    facecolor=colour if valid else "white",
                    alpha=0.75 if valid else 1.0,
                    edgecolor="white" if valid else GREY,
                    hatch=None if valid else "///",
                    lw=0.8,
                )
        _rows(axes, names)

    M = denoised.valid_SM.shape[1]
    title = f"regions (at most {M} per row; hatched: no weight fell into it)"
    return Panel(title, ROW_HEIGHT * len(slots), draw)


def _stretches(region_T: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(region, first bin, bin after the last) of every stretch of one region."""
    cuts = np.flatnonzero(np.diff(region_T)) + 1
    bounds = [0, *cuts.tolist(), len(region_T)]
    stretches = pairwise(bounds)
    return [(int(region_T[a]), a, b) for a, b in stretches if region_T[a] >= 0]


def _segment_rows(insight: Insight) -> list[str]:
    """Labels of the two lowest strips: shown classes, then annotated ones the run lacks."""
    shown = [insight.classes[c] for c in insight.shown]
    unknown = {label for label, _, _ in insight.truth} - set(insight.classes)
    return shown + sorted(unknown)


def _label_colour(insight: Insight, label: str) -> str:
    known = label in insight.classes
    return _colour(insight, insight.classes.index(label)) if known else GREY


def _detections(insight: Insight) -> Panel:
    """A strip of lines whose height in their row is the score beside the best score."""
    names = _segment_rows(insight)
    lines = _best(insight.detections, names)

    def draw(axes: Any) -> None:
        for label, start, end, share in lines:
            height = names.index(label) + 0.4 - 0.8 * share
            axes.hlines(height, start, end, color=_label_colour(insight, label), lw=1.6)
        _rows(axes, [plain(short(name)) for name in names])

    title = f"detections (height: score beside the best; at most {MOST_DETECTIONS} per class)"
    return Panel(title, 1.6 * ROW_HEIGHT * max(1, len(names)), draw)


def _best(found: VideoDetections, names: Sequence[str]) -> list[tuple[str, float, float, float]]:
    """The best detections of every label: label, start, end, score beside the best score."""
    top = max(float(found.scores_N.max(initial=0)), 1e-9)
    kept: dict[str, list[tuple[str, float, float, float]]] = {name: [] for name in names}
    for i in np.argsort(-found.scores_N, kind="stable").tolist():
        of_label = kept.get(found.labels[i], [])
        if len(of_label) < MOST_DETECTIONS:
            share = min(1.0, max(0.0, float(found.scores_N[i]) / top))
            start, end = float(found.starts_N[i]), float(found.ends_N[i])
            of_label.append((found.labels[i], start, end, share))
    return [line for of_label in kept.values() for line in of_label]


def _truth(insight: Insight) -> Panel:
    names = _segment_rows(insight)

    def draw(axes: Any) -> None:
        for label, start, end in insight.truth:
            if label in names:
                place = names.index(label) - 0.36, 0.72
                colour = _label_colour(insight, label)
                axes.broken_barh([(start, end - start)], place, color=colour, lw=0)
        _rows(axes, [plain(short(name)) for name in names])

    title = "annotated segments" if insight.truth else "annotated segments: none"
    return Panel(title, ROW_HEIGHT * max(1, len(names)), draw)
