"""Which content a file has: SHA-256, computed once as long as size and time of change stay."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from wtal_features.errors import FeatureError
from wtal_features.files import read_json, write_json
from wtal_features.npy import open_regular

CACHE = ".sources.json"
_BLOCK = 1 << 20
_SHA256 = re.compile("[0-9a-f]{64}")


class Sources:
    """Contents of files, remembered in a small hidden file of the store.

    The memory only saves time: where it is missing or damaged, the file is read again.
    """

    def __init__(self, store: Path, whole: Path | None = None) -> None:
        """Read what an earlier run remembered.

        Args:
            store: The folder of the store; it need not exist.
            whole: Of the store that this one is a share of; it may know more.
        """
        self._path = store / CACHE
        self._known = _remembered(self._path)
        self._elsewhere = {} if whole is None else _remembered(whole / CACHE)

    def learn(self, store: Path) -> None:
        """Take over what another store remembers."""
        self._known |= _remembered(store / CACHE)

    def sha256(self, name: str, path: Path) -> str:
        """The content of one file.

        Args:
            name: How it is remembered.
            path: Where it lies.

        Raises:
            FeatureError: If it cannot be read.
        """
        try:
            status = path.stat()
            key: list[object] = [status.st_size, status.st_mtime_ns]
            known = self._known.get(name) or self._elsewhere.get(name) or []
            self._known[name] = known if known[:2] == key else [*key, _digest(path)]
        except OSError as error:
            raise FeatureError(
                f"{path} cannot be read: {error.strerror or error}.", code="unreadable"
            ) from error
        return str(self._known[name][2])

    def save(self) -> None:
        """Remember for the next run."""
        known = self._known.copy()  # in one step: a decoder's thread may still be adding
        write_json(self._path, dict(sorted(known.items())))


def _remembered(path: Path) -> dict[str, list[object]]:
    """What a file of ours says: name -> bytes, time of change in ns, SHA-256."""
    try:
        found = read_json(path)
    except FeatureError:
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in known if _is_sound(value)}


def _is_sound(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[2], str)
        and _SHA256.fullmatch(value[2]) is not None
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as handle:  # a pipe would keep us waiting
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
