"""The index of a packed store, searched where it lies: memory holds none of its names.

Index and texts are mapped, so that opening 1e7 videos reads two pages, and a search as many as it
has steps. Every record is checked when it is used, against the one before it; `faults` checks all.
"""

import json
import mmap
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from wtal_features.errors import FeatureError
from wtal_features.files import check_name
from wtal_features.npy import open_regular
from wtal_features.packed.layout import (
    FORMAT,
    INDEX,
    RECORD_BYTES,
    TEXTS,
    Record,
    aligned,
    promised,
    shard_name,
)


class PackedIndex:
    """Which videos there are, and where each lies.

    Attributes:
        root: The store.
        dim: D over all streams.
        shard_bytes: Of each shard, as the manifest says.
        shard_sha256: Likewise.
    """

    def __init__(self, root: Path, head: Mapping[str, Any]) -> None:
        """Map the files.

        Args:
            root: The store.
            head: Its manifest.

        Raises:
            FeatureError: A file is missing or of another size, or the manifest is not of this form.
        """
        self.root = root
        try:
            about = head["packed"]
            if about["format"] != FORMAT:
                raise FeatureError(
                    f"{root} is packed in form {about['format']!r}; expected {FORMAT}.",
                    "Update wtal, or pack the store again.",
                    code="format",
                )
            self.dim = sum(_sizes(head["dims"]))
            self.shard_bytes = _sizes([shard["bytes"] for shard in about["shards"]])
            self.shard_sha256 = [str(shard["sha256"]) for shard in about["shards"]]
            index_bytes, _ = promised(about, "index")
            text_bytes, _ = promised(about, "texts")
        except (KeyError, TypeError, ValueError) as error:
            raise self.lies("its manifest does not say what a packed store has") from error
        if not index_bytes or index_bytes % RECORD_BYTES or not self.dim:
            raise self.lies(f"its index of {index_bytes} bytes has no whole records")
        self._records = _mapped(root / INDEX, index_bytes)
        self._texts = _mapped(root / TEXTS, text_bytes)
        self.count = index_bytes // RECORD_BYTES
        self._next = 0  # videos are mostly asked for in order

    def lies(self, what: str) -> FeatureError:
        """The error for an index that cannot be true."""
        return FeatureError(
            f"{self.root} is damaged: {what}.", "Pack the store again.", code="packed"
        )

    def record(self, number: int) -> Record:
        """What is said of a video, checked against the one before it and the shards.

        Raises:
            FeatureError: It cannot be true.
        """
        found = Record.unpack(self._records, number)
        before = Record.unpack(self._records, number - 1) if number else None
        fault = self._fault(found, before)
        if fault:
            raise self.lies(f"{INDEX}, record {number} (from 0): {fault}")
        return found

    def _fault(self, found: Record, before: Record | None) -> str | None:
        """Why a record cannot be true; None where it can."""
        if found.itemsize not in (2, 4) or not found.rows:
            return f"{found.rows} rows of {found.itemsize} bytes a value"
        if found.shard >= len(self.shard_bytes) or (before and found.shard < before.shard):
            return f"shard {found.shard} of {len(self.shard_bytes)} is not the next"
        starts, text = 0, 0
        if before is not None:
            text = before.text_end
            starts = aligned(before.at + before.size(self.dim)) * (found.shard == before.shard)
        if found.at != starts:
            return f"its rows begin at byte {found.at}; expected {starts}"
        if found.at + found.size(self.dim) > self.shard_bytes[found.shard]:
            return f"its rows end beyond {shard_name(found.shard)}"
        if found.text != text or found.text_end > len(self._texts):
            return f"its name is at byte {found.text} of {TEXTS}; expected {text}"
        return None

    def name(self, number: int) -> str:
        """The id of a video.

        Raises:
            FeatureError: It is none, or the index lies.
        """
        self.record(number)
        try:
            found = self._name(number).decode()
        except UnicodeDecodeError as error:
            raise self.lies(f"the name of record {number} (from 0) is not UTF-8") from error
        check_name(found)
        return found

    def _name(self, number: int) -> bytes:
        found = Record.unpack(self._records, number)
        if found.text + found.name_bytes > len(self._texts):
            raise self.lies(f"{INDEX}, record {number} (from 0): its name is not in {TEXTS}")
        return self._texts[found.text : found.text + found.name_bytes]

    def find(self, video: object) -> int | None:
        """The number of a video; None where it is not there."""
        if not isinstance(video, str):
            return None
        wanted = video.encode("utf-8", "surrogatepass")
        for number in (self._next, self._next + 1):
            if number < self.count and self._name(number) == wanted:
                self._next = number
                return number
        number = bisect_left(range(self.count), wanted, key=self._name)
        if number == self.count or self._name(number) != wanted:
            return None
        self._next = number
        return number

    def entry(self, number: int) -> dict[str, object]:
        """What the manifest said of a video.

        Raises:
            FeatureError: It is no JSON object, or the index lies.
        """
        found = self.record(number)
        try:
            entry = json.loads(self._texts[found.text + found.name_bytes : found.text_end])
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise self.lies(f"the entry of {self.name(number)!r} is no JSON object")
        return entry

    def faults(self) -> Iterator[FeatureError]:
        """What is wrong with any record, or with the order of the names; all of it is read.

        Of a wrong record the next one is often wrong, too: only the first of a row is named.
        """
        last, quiet = b"", False
        for number in range(self.count):
            try:
                name = self.name(number).encode()
                if number and name <= last:
                    raise self.lies(f"{name.decode()!r} is not behind the name before it")
                last, quiet = name, False
            except FeatureError as error:
                if not quiet:
                    yield error
                quiet = True


class Names(Sequence[str]):
    """The ids, sorted; each is read when it is asked for."""

    def __init__(self, index: PackedIndex) -> None:
        self._index = index

    def __len__(self) -> int:
        """How many."""
        return self._index.count

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[str, ...]: ...
    def __getitem__(self, number: int | slice) -> str | tuple[str, ...]:
        """One of them, or some of them."""
        numbers = range(self._index.count)[number]
        if isinstance(numbers, range):
            return tuple(map(self._index.name, numbers))
        return self._index.name(numbers)

    def __iter__(self) -> Iterator[str]:
        """One after the other."""
        return map(self._index.name, range(self._index.count))

    def __contains__(self, video: object) -> bool:
        """By searching."""
        return self._index.find(video) is not None


class Entries(Mapping[str, object]):
    """What the manifest said of each video; read when it is asked for."""

    def __init__(self, index: PackedIndex) -> None:
        self._index = index
        self._last: tuple[int, dict[str, object]] | None = None  # asked for key by key

    def __getitem__(self, video: str) -> dict[str, object]:
        """The entry of one video."""
        number = self._index.find(video)
        if number is None:
            raise KeyError(video)
        if self._last is None or self._last[0] != number:
            self._last = number, self._index.entry(number)
        return self._last[1]

    def __len__(self) -> int:
        """How many."""
        return self._index.count

    def __iter__(self) -> Iterator[str]:
        """The ids, sorted."""
        return iter(Names(self._index))

    def __contains__(self, video: object) -> bool:
        """By searching."""
        return self._index.find(video) is not None


def _sizes(values: Sequence[object]) -> list[int]:
    """Whole numbers, 0 or more.

    Raises:
        ValueError: One is something else.
    """
    sizes = [value for value in values if type(value) is int and value >= 0]
    if len(sizes) != len(values):
        raise ValueError("sizes")
    return sizes


def _mapped(path: Path, size: int) -> mmap.mmap:
    """A file as bytes that are read when they are looked at.

    Raises:
        FeatureError: It is missing, or of another size.
    """
    with open_regular(path) as handle:
        there = handle.seek(0, 2)
        if there != size:
            raise FeatureError(
                f"{path} has {there} bytes; its manifest says {size}.",
                "Copy or pack the store again.",
                code="truncated" if there < size else "trailing",
            )
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
