"""One colour per class, the same in every format; they repeat after ten classes."""

from __future__ import annotations

# The names of OpenTimelineIO, in an order in which neighbours differ, each with a shade of ours.
_COLOURS = {
    "BLUE": "#4477aa",
    "ORANGE": "#ee7733",
    "GREEN": "#228833",
    "RED": "#cc3311",
    "PURPLE": "#7b4fa3",
    "CYAN": "#33bbee",
    "YELLOW": "#ccbb44",
    "PINK": "#ee99aa",
    "MAGENTA": "#ee3377",
    "BLACK": "#333333",
}


def marker_colour(i: int) -> str:
    """Of the markers of class i, as OpenTimelineIO names it."""
    return list(_COLOURS)[i % len(_COLOURS)]


def hexadecimal(i: int) -> str:
    """Of class i, as the web writes it."""
    return list(_COLOURS.values())[i % len(_COLOURS)]
