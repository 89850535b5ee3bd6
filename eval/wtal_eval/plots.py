"""Pictures of a diagnosis: PNG or SVG files, written whole or not at all.

Needs matplotlib, the extra `plots`, which is imported on the first call and draws without a screen
and without pyplot's state. Colours are told apart by colour-blind readers, too.

Source: the palette is that of Okabe and Ito, Color Universal Design, 2008.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wtal_eval.faults import EvalError, printable
from wtal_eval.sensitivity import span

if TYPE_CHECKING:
    from wtal_eval.calibration import Calibration, Curve
    from wtal_eval.errors import ErrorAnalysis
    from wtal_eval.sensitivity import Sensitivity

DPI = 150
FORMATS = (".png", ".svg")
LONGEST_LABEL = 22  # characters of a class name
PANELS = 24  # precision-recall curves of more classes: the best and the worst
BARS = 160  # bars of more classes: the best and the worst
BARS_A_COLUMN = 40

ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # lines stay out of figures
BLUE, ORANGE, GREY, LIGHT = "#0072B2", "#D55E00", "#5F5F5F", "#D0D0D0"
COLOURS = {
    "true_positive": "#009E73",
    "double_detection": "#56B4E9",
    "wrong_label": "#E69F00",
    "localization": "#0072B2",
    "confusion": "#CC79A7",
    "background": "#BBBBBB",
}


def precision_recall(curves: Sequence[Curve], path: str | os.PathLike[str], *, tiou: float) -> Path:
    """One small panel per class: precision at each recall, and the interpolated curve above it.

    Args:
        curves: of `calibration.precision_recall`.
        path: file to write, .png or .svg.
        tiou: the threshold, for the title.
    """
    chosen, note = _extremes(curves, [_area(curve) for curve in curves], PANELS)
    columns = min(5, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure = _figure(max(6.0, 2.1 * columns + 0.6), 2.1 * rows + 1.0)
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    for panel in panels[len(chosen) :]:
        panel.set_axis_off()
    for panel, curve in zip(panels, chosen, strict=False):
        if len(curve.score):
            best = np.maximum.accumulate(curve.precision[::-1])[::-1]
            recall, best = np.append(0, curve.recall), np.append(best[:1], best)
            panel.fill_between(recall, best, step="pre", color=BLUE, alpha=0.18)
            panel.plot(recall, best, drawstyle="steps-pre", color=BLUE, lw=1.4)
            panel.plot(curve.recall, curve.precision, color=GREY, lw=0.6)
        panel.set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        figures = f"area {100 * _area(curve):.1f} %, npos {curve.npos}"
        title = f"{_short(curve.label)}\n{figures}"
        panel.set_title(title, fontsize=8.5, linespacing=1.3, parse_math=False)
        panel.grid(color=LIGHT, lw=0.5)
    figure.supxlabel("recall", fontsize=11)
    figure.supylabel("precision", fontsize=11)
    title = f"Precision at each recall, tIoU {tiou:g}{note}; blue: best from there on"
    figure.suptitle(title, fontsize=11)
    return _save(figure, path)


def class_bars(
    ap: Mapping[str, float], path: str | os.PathLike[str], *, title: str = "AP per class"
) -> Path:
    """Horizontal bars, the best class first.

    Args:
        ap: label -> AP as a fraction.
        path: file to write, .png or .svg.
        title: what the AP is a mean over, such as `AP per class, average 0.1:0.7`.
    """
    labels = sorted(ap, key=lambda label: (-ap[label], label))
    chosen, note = _extremes(labels, [ap[label] for label in labels], BARS)
    columns = math.ceil(len(chosen) / BARS_A_COLUMN)
    length = math.ceil(len(chosen) / max(1, columns))
    figure = _figure(max(6.4, 4.0 * columns), 0.21 * length + 1.3)
    mean = float(np.mean(list(ap.values())))
    panels = np.atleast_1d(figure.subplots(1, columns, sharex=True)).ravel()
    for k, panel in enumerate(panels):
        some = chosen[k * length : (k + 1) * length]
        values = [100 * ap[label] for label in some]
        panel.barh(range(len(some)), values, color=BLUE, height=0.72)
        panel.axvline(100 * mean, color=ORANGE, lw=1.2, ls="--")
        panel.set_yticks(range(len(some)), [_short(label) for label in some], fontsize=8)
        for text in panel.get_yticklabels():
            text.set_parse_math(False)
        for y, value in enumerate(values):
            panel.text(value + 1.2, y, f"{value:.1f}", va="center", fontsize=7.5, bbox=ON_WHITE)
        panel.set(xlim=(0, 112), xticks=range(0, 101, 20), ylim=(length - 0.4, -0.6))
        panel.set_xlabel("AP (%)")
        panel.grid(axis="x", color=LIGHT, lw=0.5)
        panel.set_axisbelow(True)
        _bare(panel)
    figure.suptitle(f"{_short(title, 80)}{note}; dashed: mean {100 * mean:.1f} %", fontsize=11)
    return _save(figure, path)


def error_profile(analysis: ErrorAnalysis, path: str | os.PathLike[str]) -> Path:
    """Left: what the detections of each bucket are; right: what mending each kind would gain."""
    figure = _figure(11, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    names = [bucket.name for bucket in analysis.profile]
    bottom = np.zeros(len(names))
    for kind, colour in COLOURS.items():
        shares = np.array([100 * bucket.share[kind] for bucket in analysis.profile])
        left.bar(
            names, shares, 0.82, bottom, color=colour, edgecolor="white", lw=0.4, label=_words(kind)
        )
        bottom += shares
    left.set(ylim=(0, 100), ylabel="share of the detections (%)")
    left.set_xlabel("best detections of each class, in multiples of its instances G")
    left.set_title(f"What the detections are, tIoU {_grid(analysis.tiou)}", fontsize=11)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9, frameon=False)
    _gains(right, analysis)
    for panel in (left, right):
        _bare(panel)
    return _save(figure, path)


def sensitivity_bars(sensitivity: Sensitivity, path: str | os.PathLike[str]) -> Path:
    """Top: mAP_N per bin; bottom: share of missed instances per bin; dashed: of all instances."""
    figure = _figure(11, 6)
    panels = figure.subplots(2, len(sensitivity.bins), sharey="row", squeeze=False)
    titles = {
        "length": "length (s)",
        "coverage": "coverage (length / duration)",
        "instances": "instances in the video",
    }
    for column, (name, row) in enumerate(sensitivity.bins.items()):
        ticks = [f"{one.name}\n{span(one)}\nn={one.instances}" for one in row]
        for panel, values, whole, colour in (
            (panels[0, column], [one.map_n for one in row], sensitivity.map_n, BLUE),
            (panels[1, column], [one.missed for one in row], sensitivity.missed, ORANGE),
        ):
            heights = [100 * (value or 0) for value in values]
            panel.bar(range(len(row)), heights, 0.75, color=colour)
            for x, (value, height) in enumerate(zip(values, heights, strict=True)):
                text = "none" if value is None else f"{height:.1f}"
                above = {"xytext": (0, 3), "textcoords": "offset points"}
                panel.annotate(text, (x, height), ha="center", fontsize=8.5, bbox=ON_WHITE, **above)
            panel.axhline(100 * whole, color=GREY, lw=1, ls="--", zorder=2.5)
            panel.set_xticks(range(len(row)), ticks, fontsize=8)
            panel.grid(axis="y", color=LIGHT, lw=0.5)
            panel.set_axisbelow(True)
            _bare(panel)
        panels[0, column].set_title(titles[name], fontsize=11)
    for panel, values_of, title in (
        (panels[0, 0], "map_n", "mAP_N (%)"),
        (panels[1, 0], "missed", "missed instances (%)"),
    ):
        every = [getattr(one, values_of) or 0 for row in sensitivity.bins.values() for one in row]
        panel.set(ylim=(0, min(112, 100 * max(*every, 0.05) * 1.15 + 4)), ylabel=title)
    figure.suptitle(
        f"Sensitivity at tIoU {_grid(sensitivity.tiou)}; dashed: all instances", fontsize=12
    )
    return _save(figure, path)


def reliability(calibration: Calibration, path: str | os.PathLike[str]) -> Path:
    """What the scores claim against how many are right, one point per bin of equal counts."""
    figure = _figure(5.6, 5.4)
    panel = figure.subplots()
    claimed = [100 * one.probability for one in calibration.bins]
    right = [100 * one.precision for one in calibration.bins]
    count = f"{len(claimed)} bins of about {calibration.detections // max(1, len(claimed))}"
    panel.plot([0, 100], [0, 100], color=GREY, lw=1, ls="--", label="calibrated")
    panel.plot(claimed, right, color=BLUE, marker="o", ms=5, lw=1.4, label=f"{count} detections")
    panel.set(xlim=(-2, 102), ylim=(-2, 102), aspect="equal")
    panel.set_ylabel(f"true positives at tIoU {calibration.tiou:g} (%)")
    panel.set_xlabel("probability that the scores claim (%)")
    panel.legend(loc="upper left", fontsize=9, frameon=False)
    error = "" if calibration.ece is None else f"; mean gap {100 * calibration.ece:.1f} points"
    panel.set_title(f"Reliability, scores {_SCALES[calibration.scale]}{error}", fontsize=11)
    panel.grid(color=LIGHT, lw=0.5)
    panel.set_axisbelow(True)
    _bare(panel)
    return _save(figure, path)


_SCALES = {"given": "as given", "min-max": "scaled to 0..1", "rank": "as ranks"}


def _gains(panel: Any, analysis: ErrorAnalysis) -> None:
    """Two bars per kind: what deleting and what mending it gains."""
    kinds = [*analysis.impact, "missed"]
    deleted = [100 * analysis.impact.get(kind, math.nan) for kind in kinds]
    mended = [100 * analysis.plain.mended[kind] for kind in kinds]
    places = np.arange(len(kinds))
    for offset, values, colour, label in (
        (-0.2, deleted, BLUE, "mAP_N, errors deleted"),
        (0.2, mended, ORANGE, "mAP, errors mended"),
    ):
        panel.barh(places + offset, np.nan_to_num(values), 0.38, color=colour, label=label)
        for y, value in zip(places + offset, values, strict=True):
            if not math.isnan(value):
                panel.text(max(value, 0), y, f" {value:.2f}", va="center", fontsize=8.5)
    panel.set_yticks(places, [_words(kind) for kind in kinds])
    widest = max(*np.nan_to_num(deleted), *mended, 1.0)
    panel.set(xlim=(min(0, *np.nan_to_num(deleted), *mended), 1.18 * widest))
    panel.set_ylim(len(kinds) - 0.5, -0.5)
    panel.set_xlabel("gain (points)")
    panel.set_title(
        f"What it would gain: mAP_N {100 * analysis.map_n:.1f}, mAP {100 * analysis.plain.map:.1f}",
        fontsize=11,
    )
    panel.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=9, frameon=False
    )
    panel.grid(axis="x", color=LIGHT, lw=0.5)
    panel.set_axisbelow(True)


def _extremes(items: Sequence[Any], value: Sequence[float], most: int) -> tuple[list[Any], str]:
    """All items, or the best and worst of too many, in their order, and words that say so."""
    if len(items) <= most:
        return list(items), ""
    ranked = np.argsort(np.asarray(value), kind="stable")
    keep = sorted([*ranked[: most // 2].tolist(), *ranked[-(most - most // 2) :].tolist()])
    words = f" (best {most - most // 2} and worst {most // 2} of {len(items)} classes)"
    return [items[k] for k in keep], words


def _area(curve: Curve) -> float:
    """Area under the interpolated curve."""
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return float((np.diff(curve.recall, prepend=0.0) * best).sum())


def _grid(tiou: Sequence[float]) -> str:
    return f"{tiou[0]:g}" if len(tiou) == 1 else f"{min(tiou):g} to {max(tiou):g}"


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _short(label: str, most: int = LONGEST_LABEL) -> str:
    name = printable(label)
    return name if len(name) <= most else name[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _bare(panel: Any) -> None:
    panel.spines[["top", "right"]].set_visible(False)


def _figure(width: float, height: float) -> Any:
    """A figure that draws itself, apart from pyplot and its state; sizes in inches.

    Raises:
        EvalError: if matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise EvalError(
            "Plots need matplotlib; install it with: pip install 'wtal[plots]'."
        ) from None
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write beside the final place and move it there, so a crash leaves no half file.

    Raises:
        EvalError: for another suffix, or if the file cannot be written.
    """
    import warnings

    from matplotlib import rc_context

    final = Path(path)
    if final.suffix.lower() not in FORMATS:
        raise EvalError(f"{final} has another suffix than expected: {' or '.join(FORMATS)}.")
    kind = final.suffix.lower()[1:]
    temporary = final.with_name(f"{final.name}.{os.getpid()}.part")
    # No date and no random ids: the same figures give the same bytes.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    try:
        with warnings.catch_warnings(), rc_context({"svg.hashsalt": "wtal"}):
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)
        temporary.replace(final)
    except OSError as error:
        raise EvalError(f"{final} cannot be written: {error.strerror or error}.") from None
    finally:
        temporary.unlink(missing_ok=True)
    return final
