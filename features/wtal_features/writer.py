"""Write a store so that a run stopped at any moment can go on where it stopped.

Every array is written whole or not at all, then noted in a journal; the manifest comes last. A
store without a manifest but with a journal is not finished.
"""

import errno
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from wtal_features.errors import FeatureError
from wtal_features.files import (
    TEMPORARY_PREFIX,
    atomic_write,
    check_name,
    lock,
    make_folder,
    no_follow,
    path_in,
    read_json,
    read_text,
    write_failed,
    write_json,
)
from wtal_features.growing import GrowingArray
from wtal_features.manifest import MANIFEST, positive
from wtal_features.npy import FeatureArray, check_finite, check_shape

JOURNAL = "manifest.partial.jsonl"
SKIPPED = "skipped.json"  # beside the manifest: what an extraction left out, and why


class StoreWriter:
    """Writes arrays and a manifest into a folder; a context manager.

    Entering makes the folder, locks it, and takes up an earlier run with the same settings.
    Leaving without an exception writes the manifest; leaving with one keeps the journal, so that
    the next run goes on.

    Example:
        with StoreWriter("features", encoder="s3d", stride=16, window=16) as store:
            for video in videos:
                if not store.done(video):
                    store.write(video, encode(video), fps=25.0, frames=751)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        encoder: str,
        stride: float,
        window: float | None = None,
        fps: float | None = None,
        streams: Sequence[str] = (),
        info: Mapping[str, object] | None = None,
        made_with: Mapping[str, str] | None = None,
    ) -> None:
        """Check the settings; nothing is written before the `with` block.

        Args:
            path: The folder to write.
            encoder: What made the features.
            stride: Frames from snippet to snippet.
            window: Frames that one snippet saw, if known.
            fps: Frame rate of the videos that are written without one.
            streams: Names of the sub-folders; none means arrays in the folder itself.
            info: More fields for the head of the manifest, as JSON values.
            made_with: Versions of packages, and what else may show in the last bits of a value.
                They do not keep a later run with others from going on; the manifest lists each
                set that made some of its videos.

        Raises:
            FeatureError: If a number is not positive or a stream has a bad name.
        """
        self.path = Path(path)
        self.streams = tuple(streams)
        for stream in self.streams:
            check_name(stream)
        if positive(stride, "stride") is None:
            raise FeatureError("stride is None; expected frames per snippet.", code="time-base")
        settings: dict[str, object] = {
            "encoder": encoder,
            "window": positive(window, "window"),
            "stride": stride,
            "fps": positive(fps, "fps"),
            "streams": list(self.streams),
            **(info or {}),
        }
        # As they will be read back, so that a later run compares equal (tuples become lists).
        self._settings: dict[str, object] = json.loads(json.dumps(settings, allow_nan=False))
        self._versions = dict(made_with or {})
        self._made_with: list[dict[str, str]] = []
        self._entries: dict[str, dict[str, object]] = {}
        self._folded: dict[str, str] = {}
        self._dims: list[int] | None = None
        self._dtype: str | None = None
        self._journal: io.FileIO | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Make and lock the folder, and take up what an earlier run finished."""
        for folder in self._folders():
            make_folder(folder)
        with ExitStack() as stack:
            stack.enter_context(lock(self.path))
            self._clean()
            self._take_up()
            journal = open(self.path / JOURNAL, "ab", buffering=0, opener=no_follow)
            self._journal = stack.enter_context(journal)
            if self._journal.tell() == 0:
                self._append(self._settings)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write the manifest if all went well; unlock."""
        with self._stack:
            if kind is None:
                head = {k: v for k, v in self._settings.items() if v is not None}
                if self._dims is not None:
                    head |= {"dim": sum(self._dims), "dtype": self._dtype, "dims": self._dims}
                if self._made_with:
                    head["made_with"] = self._made_with
                videos = {video: self._entries[video] for video in sorted(self._entries)}
                write_json(self.path / MANIFEST, {**head, "videos": videos})
                if self._journal is not None:
                    self._journal.close()  # Windows removes no open file
                (self.path / JOURNAL).unlink()
            elif not self._holds_something() and self._journal is not None:
                self._journal.close()
                (self.path / JOURNAL).unlink()  # nothing to go on from

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids that are finished, sorted."""
        return tuple(sorted(self._entries))

    def entry(self, video: str) -> Mapping[str, object]:
        """What the manifest will say of a video; empty if it is not written."""
        return self._entries.get(video, {})

    def peek(self) -> dict[str, Mapping[str, object]]:
        """Entries of the videos that are there, outside the `with` block; nothing is touched.

        Raises:
            FeatureError: As entering: another store, or other settings.
        """
        self._take_up()
        return {video: entry for video, entry in self._entries.items() if self.done(video)}

    def done(self, video: str) -> bool:
        """Whether this run or an earlier one has finished the video."""
        return video in self._entries and all(
            (self._folder(stream) / f"{video}.npy").exists() for stream in self.streams or ("",)
        )

    def write(
        self,
        video: str,
        features: FeatureArray | Mapping[str, FeatureArray],
        *,
        fps: float | None = None,
        frames: float | None = None,
        duration_s: float | None = None,
        subset: str | None = None,
    ) -> None:
        """Write one video.

        Args:
            video: The id, one path component.
            features: (T, D), float16 or float32, finite; per stream where there are streams.
            fps: Frame rate of this video, if it differs from the store's or the store has none.
            frames: Number of frames, if known.
            duration_s: Length in seconds, if known.
            subset: The part of the data set it belongs to, if known.

        Raises:
            FeatureError: If the name, dtype, shape, D or a value is not allowed, the streams
                differ in T, no frame rate is known, or the disk is full. Nothing of the video
                counts as written then.
        """
        arrays = dict(features) if isinstance(features, Mapping) else {"": features}
        if set(arrays) != set(self.streams or ("",)):
            raise FeatureError(
                f"{video!r} comes with the streams {sorted(arrays)}; "
                f"expected {list(self.streams or ('',))}.",
                code="no-partner",
            )
        arrays = {stream: arrays[stream] for stream in self.streams or ("",)}
        paths = {stream: path_in(self._folder(stream), video, ".npy") for stream in arrays}
        dims, dtype = self._check_arrays(video, arrays)
        given = {"fps": fps, "frames": frames, "duration": duration_s, "subset": subset}
        entry = self._check_entry(video, given)
        self._check_case(video, next(iter(paths.values())))
        for stream, array in arrays.items():
            with atomic_write(paths[stream]) as handle:
                np.lib.format.write_array(handle, np.ascontiguousarray(array), allow_pickle=False)
        self._finish(video, entry, dims, dtype)

    def _check_entry(self, video: str, entry: Mapping[str, object]) -> dict[str, object]:
        """What the manifest will say, with the store's frame rate where there is no other."""
        values = {key: value for key, value in entry.items() if value is not None}
        for key in ("fps", "frames", "duration"):
            positive(values.get(key), f"{video!r}: {key}")
        values.setdefault("fps", self._settings["fps"])
        if values["fps"] is None:
            raise FeatureError(
                f"The frame rate of {video!r} is not known; it is never guessed.",
                "Give fps.",
                code="time-base",
            )
        return values

    def _finish(self, video: str, entry: Mapping[str, object], dims: list[int], dtype: str) -> None:
        """Count a video, whose arrays are in place, as written."""
        record: dict[str, object] = {"video": video, "entry": entry, "dims": dims, "dtype": dtype}
        if self._versions:
            record["made_with"] = [self._versions]
        self._append(record)
        self._note(record)

    def amend(self, video: str, entry: Mapping[str, object]) -> None:
        """Replace what the manifest says of a video whose arrays stay as they are.

        Args:
            video: The id.
            entry: All of it; values that are None are left out.

        Raises:
            FeatureError: If a number is not positive, or the disk is full.
        """
        checked = self._check_entry(video, entry)
        record = {"video": video, "entry": checked, "dims": self._dims, "dtype": self._dtype}
        self._append(record)
        self._note(record)

    def rows(self, video: str) -> "Rows":
        """Write one video block by block, for videos whose features do not fit into memory.

        Several videos may be open at once. Nothing of a video counts before `Rows.commit`.

        Args:
            video: The id, one path component.

        Raises:
            FeatureError: If the name is not allowed.
        """
        paths = {s: path_in(self._folder(s), video, ".npy") for s in self.streams or ("",)}
        self._check_case(video, next(iter(paths.values())))
        return Rows(self, video, paths)

    def _check_arrays(
        self, video: str, arrays: Mapping[str, FeatureArray]
    ) -> tuple[list[int], str]:
        """D of each stream and the dtype; what a reader would refuse is refused here."""
        for stream, array in arrays.items():
            check_block(array, _place(video, stream))
            check_shape(array.shape, _place(video, stream))
        lengths = {stream: len(array) for stream, array in arrays.items()}
        dims = [array.shape[1] for array in arrays.values()]
        return dims, self._agree(video, lengths, dims, {str(a.dtype) for a in arrays.values()})

    def _agree(
        self, video: str, lengths: Mapping[str, int], dims: list[int], dtypes: set[str]
    ) -> str:
        """Streams of one length, D and dtype as in the videos before; the dtype."""
        if len(set(lengths.values())) > 1:
            raise FeatureError(
                f"The streams of {video!r} differ in length: {dict(lengths)} snippets.",
                "Extract both streams with one stride.",
                code="stream-lengths",
            )
        if self._dims is not None and dims != self._dims:
            raise FeatureError(
                f"{video!r} has D {dims}; the videos before it have {self._dims}.",
                "One store holds the features of one encoder.",
                code="dim",
            )
        dtype = min(dtypes)
        if dtypes != {self._dtype or dtype}:
            raise FeatureError(
                f"{video!r} is {' and '.join(sorted(dtypes))}; "
                f"the store is {self._dtype or 'of one'}.",
                "Write one dtype: astype, or --dtype float32.",
                code="dtype",
            )
        return dtype

    def _check_case(self, video: str, path: Path) -> None:
        """Refuse a name that the file system takes for another video's (`A` and `a`)."""
        other = self._folded.get(video.casefold(), video)
        if other != video and path.exists():
            raise FeatureError(
                f"{video!r} and {other!r} are one file on this file system.",
                "Rename one of the two videos.",
                code="name",
            )

    def _folder(self, stream: str) -> Path:
        return self.path / stream if stream else self.path

    def _folders(self) -> list[Path]:
        """The store's own and those of its streams."""
        return [self.path, *(self.path / stream for stream in self.streams)]

    def _holds_something(self) -> bool:
        """Whether a later run has something to go on from: an entry, or an array without one."""
        return bool(self._entries) or any(any(f.glob("*.npy")) for f in self._folders())

    def _note(self, record: Mapping[str, Any]) -> None:
        """Count one journal record as finished."""
        video = record["video"]
        self._entries[video] = record["entry"]
        self._folded[video.casefold()] = video
        self._dims = record["dims"] or self._dims
        self._dtype = record["dtype"] or self._dtype
        self._note_versions(record)

    def _note_versions(self, record: Mapping[str, Any]) -> None:
        for versions in record.get("made_with") or ():
            if versions not in self._made_with:
                self._made_with.append(versions)

    def _append(self, record: Mapping[str, object]) -> None:
        """Add one line to the journal and make it reach the disk."""
        if self._journal is None:
            raise RuntimeError("a StoreWriter writes inside its `with` block only")
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        end = os.fstat(self._journal.fileno()).st_size
        try:
            if self._journal.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._journal.fileno())
        except OSError as error:
            self._journal.truncate(end)  # half a line would spoil the next
            write_failed(self.path / JOURNAL, error)

    def _clean(self) -> None:
        """Remove what a killed run left half-written; we hold the lock."""
        for folder in self._folders():
            for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        journal = self.path / JOURNAL
        text = read_text(journal) if journal.exists() else ""
        if text and not text.endswith("\n"):
            with atomic_write(journal) as handle:
                handle.write(text[: text.rfind("\n") + 1].encode())

    def _take_up(self) -> None:
        """Read what an earlier run left; refuse a folder that holds something else."""
        manifest, journal = self.path / MANIFEST, self.path / JOURNAL
        if manifest.exists():
            self._take_up_manifest(manifest)
        if journal.exists():
            self._take_up_journal(journal)
        if not manifest.exists() and not journal.exists():
            self._refuse_strangers()

    def _refuse_strangers(self) -> None:
        known = {SKIPPED, *self.streams}
        strangers = [
            path
            for folder in self._folders()
            if folder.is_dir()
            for path in folder.iterdir()
            if not path.name.startswith(".") and path.name not in known
        ]
        if strangers:
            raise FeatureError(
                f"{self.path} is not empty and no store of ours: it holds {min(strangers)}.",
                "Choose a new folder.",
                code="not-empty",
            )

    def _take_up_manifest(self, path: Path) -> None:
        fields = read_head(path)
        self.check_settings(path, fields)
        self._note_versions(fields)
        for video, entry in fields["videos"].items():
            dims, dtype = fields.get("dims"), fields.get("dtype")
            self._note({"video": video, "entry": entry, "dims": dims, "dtype": dtype})

    def _take_up_journal(self, path: Path) -> None:
        records: list[dict[str, Any]] = []
        # A kill may cut the last line short: what follows the last line end does not count.
        for line in read_text(path).split("\n")[:-1]:
            try:
                records.append(_record(json.loads(line), head=not records))
            except (ValueError, RecursionError) as error:
                raise FeatureError(
                    f"{path} is damaged: {line[:80]!r}.", "Choose a new folder.", code="journal"
                ) from error
        if records:
            self.check_settings(path, records[0])
        for record in records[1:]:
            self._note(record)

    def check_settings(self, path: Path, found: Mapping[str, object]) -> None:
        """Refuse to mix two settings in one folder, naming the first that differs.

        Args:
            path: A manifest or journal, for the message.
            found: Its head.

        Raises:
            FeatureError: If it was written with other settings than these.
        """
        for key, value in self._settings.items():
            if found.get(key) != value:
                name, then, now = difference(key, found.get(key), value)
                raise FeatureError(
                    f"{path} was written with {name} {then!r}; now it is {now!r}.",
                    "Use the same settings to go on, or choose a new folder.",
                    code="other-store",
                )

    def adopt(self, folder: Path) -> None:
        """Take over the videos of another store with the same settings; its arrays are moved.

        Args:
            folder: A finished store on the same file system. One that was adopted in part before
                is adopted in full. An entry without an array is that of a video we have.

        Raises:
            FeatureError: If its settings differ or an array is missing.
        """
        manifest = read_head(folder / MANIFEST)
        self.check_settings(folder / MANIFEST, manifest)
        common = {key: manifest.get(key) for key in ("dims", "dtype", "made_with")}
        for video, entry in manifest["videos"].items():
            for stream in self.streams or ("",):
                source = path_in(folder / stream, video, ".npy")
                if source.exists():
                    os.replace(source, path_in(self._folder(stream), video, ".npy"))
                elif not path_in(self._folder(stream), video, ".npy").exists():
                    raise FeatureError(
                        f"{source} is missing.", "Extract that share again.", code="no-file"
                    )
            record = {"video": video, "entry": entry, **common}
            self._append(record)
            self._note(record)


def _record(value: object, *, head: bool) -> dict[str, Any]:
    """A line of a journal: settings first, then a finished video each.

    Raises:
        ValueError: If it is neither.
    """
    if not isinstance(value, dict):
        raise ValueError("no object")
    video, entry = value.get("video"), value.get("entry")
    finished = isinstance(video, str) and isinstance(entry, dict)
    if not head and not (finished and value.keys() >= {"dims", "dtype"}):
        raise ValueError("no finished video")
    return value


def read_head(path: Path) -> dict[str, Any]:
    """A manifest as it is written here.

    Raises:
        FeatureError: If it is none.
    """
    fields = read_json(path)
    videos = fields.get("videos") if isinstance(fields, dict) else None
    if not isinstance(videos, dict) or not all(isinstance(e, dict) for e in videos.values()):
        raise FeatureError(f"{path} is no manifest.", "Choose a new folder.", code="manifest")
    assert isinstance(fields, dict)
    return fields


def difference(name: str, then: object, now: object) -> tuple[str, object, object]:
    """The innermost key in which two settings differ, with both values."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in (*now, *then):
            if then.get(key) != now.get(key):
                return difference(f"{name}.{key}", then.get(key), now.get(key))
    return name, then, now


class Rows:
    """The features of one video, as they come; made by `StoreWriter.rows`.

    They go to temporary files. `commit` puts them in place; without it nothing remains.
    """

    def __init__(self, writer: StoreWriter, video: str, paths: Mapping[str, Path]) -> None:
        """Open nothing yet: the first block says how wide a row is."""
        self._writer, self._video, self._paths = writer, video, dict(paths)
        self._arrays: dict[str, GrowingArray] = {}

    def append(self, block_TD: FeatureArray, stream: str = "") -> None:
        """Add rows of one stream.

        Args:
            block_TD: (any T, D), float16 or float32, finite.
            stream: Where there are streams, which.

        Raises:
            FeatureError: If dtype, shape or a value is not allowed, or the disk is full.
        """
        where = _place(self._video, stream)
        if stream not in self._paths:
            raise FeatureError(
                f"{where}: expected one of the streams {list(self._paths)}.", code="no-partner"
            )
        check_shape(block_TD.shape, where)
        check_block(block_TD, where, self._arrays[stream].T if stream in self._arrays else 0)
        if stream not in self._arrays:
            new = GrowingArray(self._paths[stream], block_TD.shape[1], block_TD.dtype)
            self._arrays[stream] = new
            new.start()
        array = self._arrays[stream]
        if block_TD.dtype != array.dtype or block_TD.shape[1] != array.dim:
            raise FeatureError(
                f"{where}: a block is {block_TD.dtype} {block_TD.shape}; "
                f"expected {array.dtype} (T, {array.dim}).",
                code="dim",
            )
        array.append(block_TD)

    def commit(self, **entry: object) -> None:
        """Put the arrays in place and count the video as written.

        Args:
            entry: As in the manifest: `fps` (if the store has none), `frames`, `duration`,
                `subset`, and others as JSON values.

        Raises:
            FeatureError: As `StoreWriter.write`; nothing of the video counts as written then.
        """
        if self._arrays.keys() != self._paths.keys():
            raise FeatureError(
                f"{self._video!r} comes with the streams {sorted(self._arrays)}; "
                f"expected {list(self._paths)}.",
                code="no-partner",
            )
        arrays = [self._arrays[stream] for stream in self._paths]
        lengths = {stream: self._arrays[stream].T for stream in self._paths}
        dims = [array.dim for array in arrays]
        dtypes = {str(array.dtype) for array in arrays}
        dtype = self._writer._agree(self._video, lengths, dims, dtypes)
        checked = self._writer._check_entry(self._video, entry)
        for array in arrays:
            array.put_in_place()
        self._writer._finish(self._video, checked, dims, dtype)

    def discard(self) -> None:
        """Forget what was appended; after `commit` this does nothing."""
        for array in self._arrays.values():
            array.discard()


def check_block(array: FeatureArray, where: str, first: int = 0) -> None:
    """Refuse values that a store does not hold.

    Args:
        array: (T, D).
        where: Whose it is, for the message.
        first: Number of its first snippet.

    Raises:
        FeatureError: If the dtype is not float16 or float32, or a value is not finite.
    """
    if array.dtype not in (np.float16, np.float32):
        raise FeatureError(
            f"{where} has dtype {array.dtype}; expected float16 or float32.",
            "Convert it knowingly, with array.astype or --dtype.",
            code="dtype",
        )
    check_finite(array, where, first)


def _place(video: str, stream: str) -> str:
    return f"{video!r} ({stream})" if stream else f"{video!r}"
