"""Small and read-only disks for tests: a tmpfs that only this process and its children see."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from types import TracebackType
from typing import Self

_NEW_USER, _NEW_MOUNTS = 0x1000_0000, 0x2_0000
_READ_ONLY, _REMOUNT, _RECURSIVE, _PRIVATE = 1, 1 << 5, 1 << 14, 1 << 18
_DETACH = 2


class CannotMountError(Exception):
    """This machine does not let us."""


class Disk:
    """A tmpfs on a folder; a context manager, at whose end it is gone with all that it holds."""

    def __init__(self, folder: Path, size: int) -> None:
        """Mount it.

        Args:
            folder: Empty.
            size: Bytes.

        Raises:
            CannotMountError: It is not allowed here, or this is not Linux.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._alone()
        except AttributeError as error:
            raise CannotMountError("only Linux has mount namespaces") from error
        self._mount("tmpfs", folder, 0, f"size={size}")

    def __enter__(self) -> Self:
        """It is there already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take it away."""
        self._libc.umount2(bytes(self._folder), _DETACH)

    def resize(self, size: int) -> None:
        """Make it larger or smaller; what it holds stays."""
        self._mount("tmpfs", self._folder, _REMOUNT, f"size={size}")

    def read_only(self, yes: bool) -> None:
        """Forbid writing to everyone, the superuser included, or allow it again."""
        self._mount("tmpfs", self._folder, _REMOUNT | (_READ_ONLY if yes else 0), "")

    def _alone(self) -> None:
        """Leave the mounts of all others as they are."""
        flags = _NEW_MOUNTS | (0 if os.geteuid() == 0 else _NEW_USER)
        if self._libc.unshare(flags) != 0:
            raise CannotMountError(os.strerror(ctypes.get_errno()))
        self._mount(None, Path("/"), _PRIVATE | _RECURSIVE, None)

    def _mount(self, kind: str | None, folder: Path, flags: int, options: str | None) -> None:
        given = [None if text is None else text.encode() for text in (kind, options)]
        if self._libc.mount(given[0], bytes(folder), given[0], flags, given[1]) != 0:
            raise CannotMountError(os.strerror(ctypes.get_errno()))
