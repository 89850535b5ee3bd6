"""What every picture shares: a figure without global state, its caption, and the way to disk."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wtal.errors import WtalError
from wtal_features.files import atomic_write

GREY = "#767676"  # the background
DPI = 110
LETTERS_PER_INCH = 17  # of a caption, with a reserve
LINE_HEIGHT = 0.16  # of a caption, in inches


def new_figure(width: float, height: float) -> Any:
    """A figure without any global state.

    Raises:
        WtalError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise WtalError("Drawing needs matplotlib: pip install 'wtal[plots]'.") from None
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_caption(figure: Any, sentences: Sequence[str]) -> None:
    """Text below, as wide as the figure, which grows by its height."""
    width, height = figure.get_size_inches()
    letters = int(width * LETTERS_PER_INCH)
    lines = [line for text in sentences for line in textwrap.wrap(plain(text), letters)]
    figure.set_size_inches(width, height + LINE_HEIGHT * len(lines))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8)


def save(figure: Any, path: Path) -> None:
    """Write a whole PNG or none."""
    image = io.BytesIO()
    figure.savefig(image, format="png")
    with atomic_write(path) as file:
        file.write(image.getvalue())


def plain(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def short(name: str, letters: int = 22) -> str:
    """A name that fits beside the axes; what is cut is a run's path or a long class."""
    return name if len(name) <= letters else f"{name[: letters - 9]}…{name[-8:]}"
