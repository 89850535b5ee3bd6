"""How a run tells what it does: sentences, and a bar per piece of work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

Progress = Callable[[int, int], None]
Bar = Callable[[str, str], AbstractContextManager[Progress]]  # of a title and a unit
Say = Callable[[str], None]
