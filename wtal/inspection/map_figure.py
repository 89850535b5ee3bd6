"""Maps of an embedding: t-SNE, coloured by action and background, and by class.

Shapes: N points, d dims of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.errors import WtalError
from wtal.inspection.canvas import GREY, add_caption, new_figure, plain, save, short
from wtal.inspection.points import Points
from wtal.inspection.separation import unit
from wtal.inspection.timeline import COLOURS

FEWEST = 5  # points of which a map says anything
PERPLEXITY = 30.0  # neighbours that a point keeps close
MARKERS = "o^sD"
LEGEND = len(COLOURS) * len(MARKERS)  # classes told apart
ACTION = COLOURS[1]


class Map(NamedTuple):
    """One run's map."""

    title: str
    place_N2: NDArray[np.float32]
    figures: Mapping[str, float | None]  # keys of separation.FIGURES


def flatten(x_Nd: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """t-SNE by cosine distance, (N, 2).

    Raises:
        WtalError: scikit-learn is not installed, or there are too few points.
    """
    if len(x_Nd) < FEWEST:
        raise WtalError(f"A map of {len(x_Nd)} points says nothing; expected at least {FEWEST}.")
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise WtalError("Maps need scikit-learn: pip install 'wtal[plots]'.") from None
    model = TSNE(
        metric="cosine",
        init="pca" if x_Nd.shape[1] > 1 else "random",
        perplexity=min(PERPLEXITY, (len(x_Nd) - 1) / 3),
        random_state=seed,
    )
    return np.asarray(model.fit_transform(unit(x_Nd)), np.float32)


def draw_maps(
    maps: Sequence[Map], points: Points, classes: Sequence[str], notes: Sequence[str], path: Path
) -> None:
    """Write a PNG: a column per run, above by action and background, below by class.

    Args:
        maps: one per run, of the same points.
        points: what they are.
        classes: names of the class indices.
        notes: sentences below.
        path: PNG to write; its folder must exist.

    Raises:
        WtalError: matplotlib is not installed.
    """
    figure = new_figure(5.2 * len(maps) + 2.4, 10.6)
    grid = figure.subplots(2, len(maps), squeeze=False)
    for column, each in enumerate(maps):
        _by_kind(grid[0, column], each, points)
        _by_class(grid[1, column], each, points, classes)
        for axes in grid[:, column]:
            axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    for axes in grid[:, -1]:
        _legend(axes)
    add_caption(figure, notes)
    save(figure, path)


def _legend(axes: Any) -> None:
    """Names beside the map; LEGEND of them fit its height."""
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.0}
    legend = axes.legend(**place, frameon=False, fontsize=8, labelspacing=0.25)
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[24])


def _by_kind(axes: Any, drawn: Map, points: Points) -> None:
    title = f"{plain(short(drawn.title, 44))}\n" + _said(
        drawn.figures,
        ("silhouette_action_background", "silhouette"),
        ("purity_action_background", "purity"),
        ("linear_auc", "linear AUC"),
    )
    axes.set_title(title, fontsize=9)
    for name, rows, colour in (
        ("background", ~points.is_action_N, GREY),
        ("action", points.is_action_N, ACTION),
    ):
        _dots(axes, drawn, rows, name, colour, "o")


def _by_class(axes: Any, drawn: Map, points: Points, classes: Sequence[str]) -> None:
    title = "classes: " + _said(
        drawn.figures,
        ("silhouette_classes", "silhouette"),
        ("purity_classes", "purity"),
        ("compactness", "compactness"),
    )
    axes.set_title(title, fontsize=9)
    _dots(axes, drawn, ~points.is_action_N, "background", "#d0d0d0", "o")
    sizes = np.bincount(points.class_N[points.is_action_N], minlength=len(classes))
    # Where classes outnumber colours and shapes, those with the most points are told apart.
    order = [c for c in np.argsort(-sizes, kind="stable").tolist() if sizes[c]]
    told, others = sorted(order[:LEGEND]), order[LEGEND:]
    if others:
        _dots(
            axes, drawn, np.isin(points.class_N, others), f"{len(others)} other classes", GREY, "x"
        )
    for rank, c in enumerate(told):
        marker = MARKERS[rank // len(COLOURS)]
        name, colour = plain(short(classes[c])), COLOURS[rank % len(COLOURS)]
        _dots(axes, drawn, points.class_N == c, name, colour, marker)


def _dots(
    axes: Any, drawn: Map, rows: NDArray[np.bool_], name: str, colour: str, marker: str
) -> None:
    size = float(np.clip(20000 / len(rows), 5, 30))
    edge = 0.5 if marker == "x" else 0
    axes.scatter(
        *drawn.place_N2[rows].T, s=size, c=colour, marker=marker, lw=edge, alpha=0.7, label=name
    )


def _said(figures: Mapping[str, float | None], *wanted: tuple[str, str]) -> str:
    said = []
    for key, name in wanted:
        value = figures[key]
        said.append(f"{name} {'none' if value is None else format(value, '.3f')}")
    return ", ".join(said)
