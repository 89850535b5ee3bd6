"""The moments at which a run leaves something on disk, for tests that disturb it there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

# Nothing that a run leaves on disk for good comes about without one of these.
WRITES = ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir")


def at_write(step: int, action: Callable[[], object], names: Sequence[str] = WRITES) -> None:
    """Let this process do `action` just before its step-th write.

    Args:
        step: From 1.
        action: May end the process, or raise what the system would.
        names: Functions of `os` that count.
    """
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            action()

    at_each_write(count, names)


def at_each_write(action: Callable[[], object], names: Sequence[str] = WRITES) -> None:
    """Let this process do `action` just before each of its writes."""

    def told(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            action()
            return write(*args, **kwargs)

        return wrapper

    for name in names:
        setattr(os, name, told(getattr(os, name)))
