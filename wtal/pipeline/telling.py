"""How a run speaks: lines, warnings and progress bars, as the caller shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wtal_features.methods.loop import Progress as Steps

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


class Bar(Protocol):
    """A progress bar of a title, and what it counts."""

    def __call__(self, title: str, unit: str = "video") -> AbstractContextManager[Progress]:
        """Show it until the end of the `with` block."""
        ...


@contextmanager
def no_bar(title: str, unit: str = "video") -> Iterator[Progress]:
    """Progress that nobody sees."""
    yield lambda done, total: None


@contextmanager
def no_steps() -> Iterator[Callable[[Steps], None]]:
    """Steps of a pre-training that nobody sees."""
    yield lambda at: None


@dataclass(frozen=True)
class Telling:
    """Who is told what.

    Attributes:
        say: lines for whoever watches.
        warn: what they should know.
        bar: progress (done, total) under a title, of videos or another unit.
        steps: progress of a pre-training.
        quiet: no bar of the training.
    """

    say: Say = lambda text: None
    warn: Say = lambda text: None
    bar: Bar = no_bar
    steps: Callable[[], AbstractContextManager[Callable[[Steps], None]]] = no_steps
    quiet: bool = True
