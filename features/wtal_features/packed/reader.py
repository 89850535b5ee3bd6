"""Reads a packed store as any other: the same names, features and times.

Rows are read from the shard into memory of their own, never mapped: a shard that is cut short while
it is in use gives an error by name, where a mapping would end the process; and memory does not
count pages of shards.

Shapes: T snippets, D dimensions after joining the streams.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from wtal_features.errors import FeatureError, Finding
from wtal_features.files import read_json
from wtal_features.manifest import MANIFEST, Manifest
from wtal_features.npy import FeatureArray, check_finite, open_regular
from wtal_features.packed.index import Entries, Names, PackedIndex
from wtal_features.packed.layout import Record, shard_name
from wtal_features.store import FeatureStore


class PackedStore(FeatureStore):
    """A store made by `wtal pack`; `open_store` opens it."""

    def __init__(self, root: Path, streams: Sequence[str], manifest: Manifest) -> None:
        """Map the index; no shard is opened.

        Args:
            root: The folder.
            streams: Those to use, in this order; none means all.
            manifest: Its head, with the flags filled in.

        Raises:
            FeatureError: A stream is not there, or the index is damaged.
        """
        head = read_json(root / MANIFEST)
        assert isinstance(head, dict)  # `read_manifest` has seen to it
        self.root = root
        self._index = PackedIndex(root, head)
        found = head.get("streams")
        names = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
        if names != found or len(names or [""]) != len(head["dims"]):
            raise self._index.lies("its manifest has not one number in dims for every stream")
        widths = dict(zip(names or [""], head["dims"], strict=True))
        ends = np.cumsum([0, *widths.values()]).tolist()
        columns = dict(zip(widths, map(slice, ends[:-1], ends[1:]), strict=True))
        for stream in streams:
            if stream not in columns:
                raise FeatureError(
                    f"{root} has no stream {stream!r}; it has {', '.join(names) or 'one alone'}.",
                    "Check the name of the stream.",
                    code="no-stream",
                )
        self._dims = {stream: widths[stream] for stream in streams or widths}
        # None: all of a row, as it lies.
        whole = list(self._dims) == list(widths)
        self._columns = None if whole else [columns[stream] for stream in self._dims]
        self.streams = tuple(stream for stream in self._dims if stream)
        self.dim = sum(self._dims.values())
        self.videos = Names(self._index)
        self.manifest = replace(manifest, videos=Entries(self._index))

    def __contains__(self, video: object) -> bool:
        """Whether the video is in the store."""
        return video in self.videos

    def files(self, video: str) -> dict[str, Path]:
        """None: the arrays have no files of their own.

        Raises:
            FeatureError: If the video is not in the store.
        """
        self.require(video)
        return {}

    def length(self, video: str) -> int:
        """T, from the index.

        Raises:
            FeatureError: The video is not in the store, or the index is damaged.
        """
        return self._record(video).rows

    def read_stored(self, video: str) -> FeatureArray:
        """As `read`, in the stored dtype.

        Raises:
            FeatureError: If the video is unknown, the index or the shard is damaged, or a value is
                not finite.
        """
        record = self._record(video)
        bytes_N = self._bytes(record)
        if zlib.crc32(bytes_N.data) != record.crc32:
            raise FeatureError(
                f"{self.root / shard_name(record.shard)}: the features of {video!r} are not those "
                "that were packed.",
                "The file is damaged; copy it or pack the store again.",
                code="checksum",
            )
        stored = np.dtype(f"<f{record.itemsize}")
        array = bytes_N.view(stored).reshape(record.rows, self._index.dim)
        array = array.astype(stored.newbyteorder("="), copy=False)
        if self._columns is not None:
            array = np.concatenate([array[:, columns] for columns in self._columns], axis=1)
        check_finite(array, f"{self.root}, {video!r}")
        return array

    def stored(self, video: str) -> tuple[int, list[int]]:
        """Bytes of a value, and what changes when the values do.

        Raises:
            FeatureError: As `length`.
        """
        record = self._record(video)
        return record.itemsize, [record.crc32]

    def faults(self) -> list[Finding]:
        """What the index and the sizes of the shards show: every record is looked at, no row."""
        found = [Finding.of(error, str(self.root)) for error in self._index.faults()]
        return [*found, *self._shard_faults()]

    def _shard_faults(self) -> Iterator[Finding]:
        for number in range(len(self._index.shard_bytes)):
            try:
                self._open(number)[0].close()
            except FeatureError as error:
                yield Finding.of(error, shard_name(number))

    def _record(self, video: str) -> Record:
        number = self._index.find(video)
        if number is None:
            self.require(video)
        assert number is not None  # `require` raises
        return self._index.record(number)

    def _bytes(self, record: Record) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """The rows of a video as they lie in the shard, in memory of their own."""
        handle, path = self._open(record.shard)
        size = record.size(self._index.dim)
        with handle:
            handle.seek(record.at)
            try:
                bytes_N = np.fromfile(handle, np.uint8, size)
            except (MemoryError, OSError) as error:
                raise FeatureError(
                    f"{path} cannot be read ({size} bytes): {error}.", code="unreadable"
                ) from error
        if len(bytes_N) < size:
            raise FeatureError(f"{path} became shorter while it was read.", code="truncated")
        return bytes_N

    def _open(self, number: int) -> tuple[IO[bytes], Path]:
        """A shard, of the size that the manifest says."""
        path = self.root / shard_name(number)
        handle = open_regular(path)
        there, size = os.fstat(handle.fileno()).st_size, self._index.shard_bytes[number]
        if there != size:
            handle.close()
            raise FeatureError(
                f"{path} has {there} bytes; the manifest says {size}.",
                "Copy it or pack the store again.",
                code="truncated" if there < size else "trailing",
            )
        return handle, path
