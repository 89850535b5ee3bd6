"""Weakly supervised temporal action localization: where actions happen, learned from tags alone.

    import wtal
    wtal.train("configs/basnet.yaml", features="store", tags="tags.csv", out="runs/basnet")
    wtal.Localizer.load("runs/basnet").localize(features, seconds_per_snippet=16 / 25)

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from wtal.api import train as train
    from wtal.localize import Localizer as Localizer

_HOMES = {"Localizer": "wtal.localize", "train": "wtal.api"}  # no module may have such a name

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wtal' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
