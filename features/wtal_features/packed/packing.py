"""Stores -> one packed store, shard by shard; a run that was killed goes on at its last shard.

Every shard is written whole, then its part of the index, then a small record that both are there
(`.packing/000000.json`). When all are, the parts become the index and the manifest is written;
until then the folder is no store. The same stores give the same bytes, however often it was killed.
"""

import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from wtal_features.errors import FeatureError
from wtal_features.files import (
    TEMPORARY_PREFIX,
    atomic_write,
    lock,
    make_folder,
    read_json,
    write_json,
)
from wtal_features.manifest import MANIFEST
from wtal_features.packed.layout import (
    FORMAT,
    INDEX,
    PARTS,
    RECORDS,
    TEXTS,
    Record,
    aligned,
    shard_name,
)
from wtal_features.packed.planning import Plan, Planned, plan
from wtal_features.store import FeatureStore
from wtal_features.writer import SKIPPED

GIB = 1 << 30
_BLOCK = 1 << 20
Progress = Callable[[int, int], None]  # videos done, videos in all


@dataclass
class PackReport:
    """What was done.

    Attributes:
        out: The packed store.
        videos: In it.
        shards: That it has.
        written: Of them, how many were written now.
        bytes: Of its shards.
        skipped: Video -> why it is not in it.
    """

    out: Path
    videos: int = 0
    shards: int = 0
    written: int = 0
    bytes: int = 0
    skipped: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """For a person."""
        kept = self.shards - self.written
        before = f", {kept} of them there before" if kept else ""
        shards = "1 shard" if self.shards == 1 else f"{self.shards} shards"
        return (
            f"{self.out}: {self.videos} videos in {shards}{before} "
            f"({self.bytes / GIB:.2f} GiB), {len(self.skipped)} skipped"
        )


def pack(
    sources: Sequence[FeatureStore],
    out: str | Path,
    *,
    shard_bytes: int = GIB,
    progress: Progress | None = None,
) -> PackReport:
    """Put the videos of one or more stores into few large files.

    Args:
        sources: Open stores, packed or not, of one encoder and with different videos.
        out: A new folder, or that of an earlier run on the same stores: one that was killed goes
            on, a finished one is compared with its checksums.
        shard_bytes: Of a shard at most; a longer video has one of its own.
        progress: Told (videos done, videos in all).

    Returns:
        What was done, and which videos cannot be read and why; the others are packed.

    Raises:
        FeatureError: If the stores do not belong together, none of their videos can be read, `out`
            holds something else or what was packed from others, another run is at it, or the disk
            is full.
    """
    out = Path(out)
    if any(out.resolve() == store.root.resolve() for store in sources):
        raise FeatureError(
            f"{out} is packed into itself.", "Choose a new folder.", code="not-empty"
        )
    planned = plan(sources, shard_bytes)
    make_folder(out)
    with lock(out):
        return _Packing(out, planned, progress or (lambda done, total: None)).run()


class _Packing:
    """One run, the folder locked."""

    def __init__(self, out: Path, planned: Plan, progress: Progress) -> None:
        self._out, self._plan, self._progress = out, planned, progress
        self._parts = out / PARTS
        self._report = PackReport(out)
        self._total = sum(len(store.videos) for store in planned.sources)
        self._done = 0

    def run(self) -> PackReport:
        """All of it."""
        self._refuse_strangers()
        for folder in (self._out, self._parts):
            for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if (self._out / MANIFEST).exists():
            self._take_up_finished()
        else:
            make_folder(self._parts)
            parts = [self._shard(n, shard) for n, shard in enumerate(self._plan.shards())]
            self._finish(parts)
        shutil.rmtree(self._parts, ignore_errors=True)
        return self._report

    def _refuse_strangers(self) -> None:
        known = {MANIFEST, INDEX, TEXTS, SKIPPED}
        strangers = [
            path
            for path in self._out.iterdir()
            if not path.name.startswith(".")
            and path.name not in known
            and not (path.name.startswith("shard-") and path.suffix == ".bin")
        ]
        manifest = self._out / MANIFEST
        head = read_json(manifest) if manifest.exists() else {"packed": {}}
        ours = isinstance(head, dict) and isinstance(head.get("packed"), dict)
        if strangers or not ours:
            held = min(strangers, default=manifest)
            raise FeatureError(
                f"{self._out} is not empty and no packed store: it holds {held}.",
                "Choose a new folder.",
                code="not-empty",
            )

    def _take_up_finished(self) -> None:
        """Nothing is left to do, if it was packed from the same and is as it was."""
        head: Any = read_json(self._out / MANIFEST)
        about = head["packed"]
        for shard in self._plan.shards():
            self._tell(len(shard))
        if about.get("of") != self._plan.content.hexdigest():
            raise FeatureError(
                f"{self._out} was packed from other videos, or into shards of another size.",
                "Choose a new folder, or delete this one.",
                code="other-store",
            )
        shards, report = about["shards"], self._report
        promised = {INDEX: about["index"], TEXTS: about["texts"]}
        promised |= {shard_name(number): shard for number, shard in enumerate(shards)}
        for name, stated in promised.items():
            path = self._out / name
            if not path.is_file() or _sha256(path) != stated["sha256"]:
                raise FeatureError(
                    f"{path} is not what was packed.",
                    f"Delete {self._out} and pack again.",
                    code="checksum",
                )
        report.videos, report.shards = about["videos"], len(shards)
        report.bytes = sum(shard["bytes"] for shard in shards)
        skipped: Any = read_json(self._out / SKIPPED) if (self._out / SKIPPED).exists() else {}
        report.skipped = dict(skipped)

    def _shard(self, number: int, videos: list[Planned]) -> dict[str, Any]:
        """One shard and its part of the index, unless both are there; what is recorded of it."""
        record = self._parts / f"{number:06}.json"
        key = hashlib.sha256(json.dumps([self._plan.dim, videos]).encode()).hexdigest()
        part = _recorded(record)
        if part.get("plan") != key or not self._is_sound(number, part):
            part = {"plan": key, **self._write(number, videos)}
            write_json(record, part)
            self._report.written += 1
        self._report.skipped |= part["skipped"]
        self._tell(len(videos))
        return part

    def _is_sound(self, number: int, part: dict[str, Any]) -> bool:
        """Whether what was recorded of a shard is still true of its files."""
        files = {
            "shard": self._out / shard_name(number),
            "records": self._parts / f"{number:06}.records",
            "texts": self._parts / f"{number:06}.texts",
        }
        return all(path.is_file() and _sha256(path) == part[key] for key, path in files.items())

    def _write(self, number: int, videos: list[Planned]) -> dict[str, Any]:
        """Write a shard; a video that cannot be read is left out and named."""
        records, texts = bytearray(), bytearray()
        skipped: dict[str, str] = {}
        path = self._out / shard_name(number)
        with atomic_write(path) as handle:
            sink = _Hashed(handle)
            for planned in videos:
                try:
                    array = self._plan.sources[planned.source].read_stored(planned.video)
                except FeatureError as error:
                    skipped[planned.video] = str(error)
                    continue
                rows = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
                sink.write(bytes(aligned(sink.size) - sink.size))
                name, entry = planned.video.encode(), planned.entry.encode()
                record = Record(
                    text=len(texts),
                    at=sink.size,
                    rows=len(array),
                    entry_bytes=len(entry),
                    shard=number,
                    crc32=zlib.crc32(rows),
                    name_bytes=len(name),
                    itemsize=array.dtype.itemsize,
                )
                sink.write(rows)
                records += record.pack()
                texts += name + entry
        written = {"shard": sink.sha256, "bytes": sink.size, "skipped": skipped}
        for kind, content in (("records", records), ("texts", texts)):
            with atomic_write(self._parts / f"{number:06}.{kind}") as handle:
                handle.write(content)
            written[kind] = hashlib.sha256(content).hexdigest()
        return written

    def _finish(self, parts: list[dict[str, Any]]) -> None:
        """Join the parts of the index; the manifest comes last."""
        report = self._report
        report.skipped |= self._plan.skipped
        shards = [{"bytes": part["bytes"], "sha256": part["shard"]} for part in parts]
        if not any(part["bytes"] for part in parts):
            first = next(iter(report.skipped.items()), ("", "there is none"))
            raise FeatureError(
                f"None of {self._total} videos can be packed. The first, {first[0]!r}: {first[1]}",
                code="no-videos",
            )
        files = sorted(self._out.glob("shard-*.bin"))
        for stale in set(files) - {self._out / shard_name(n) for n in range(len(parts))}:
            stale.unlink()  # of a run that was killed and had other videos
        about: dict[str, Any] = {"format": FORMAT, "of": self._plan.content.hexdigest()}
        about["texts"] = self._join(TEXTS, self._pieces(len(parts), "texts"))
        about["index"] = self._join(INDEX, self._shifted(len(parts)))
        report.videos = about["videos"] = about["index"]["bytes"] // RECORDS.itemsize
        report.shards, report.bytes = len(shards), sum(part["bytes"] for part in parts)
        if report.skipped:
            write_json(self._out / SKIPPED, dict(sorted(report.skipped.items())))
        else:
            (self._out / SKIPPED).unlink(missing_ok=True)
        write_json(self._out / MANIFEST, {**self._plan.head, "packed": {**about, "shards": shards}})

    def _pieces(self, count: int, kind: str) -> Iterator[bytes]:
        for number in range(count):
            yield (self._parts / f"{number:06}.{kind}").read_bytes()

    def _shifted(self, count: int) -> Iterator[bytes]:
        """The records, their texts counted from the beginning of all."""
        begins = 0
        for number, piece in enumerate(self._pieces(count, "records")):
            records = np.frombuffer(piece, RECORDS).copy()
            records["text"] += np.uint64(begins)
            begins += (self._parts / f"{number:06}.texts").stat().st_size
            yield records.tobytes()

    def _join(self, name: str, pieces: Iterator[bytes]) -> dict[str, object]:
        with atomic_write(self._out / name) as handle:
            sink = _Hashed(handle)
            for piece in pieces:
                sink.write(piece)
        return {"bytes": sink.size, "sha256": sink.sha256}

    def _tell(self, videos: int) -> None:
        self._done += videos
        self._progress(self._done + len(self._plan.skipped), self._total)


class _Hashed:
    """Writes to a file, and knows size and SHA-256 of what was written."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle, self._digest = handle, hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append."""
        self._handle.write(data)
        self._digest.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        """Of all of it."""
        return self._digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _recorded(path: Path) -> dict[str, Any]:
    """What a finished shard's record says; empty where it is none."""
    try:
        found = read_json(path)
    except FeatureError:
        return {}
    keys = {"plan", "shard", "bytes", "records", "texts", "skipped"}
    return found if isinstance(found, dict) and keys <= found.keys() else {}
