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
from wtal_features.manifest import MANIFEST, positive
from wtal_features.npy import FeatureArray, check_finite, check_shape

JOURNAL = "manifest.partial.jsonl"


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
        self._entries: dict[str, dict[str, object]] = {}
        self._folded: dict[str, str] = {}
        self._dims: list[int] | None = None
        self._dtype: str | None = None
        self._journal: io.FileIO | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Make and lock the folder, and take up what an earlier run finished."""
        for folder in (self.path, *(self.path / stream for stream in self.streams)):
            make_folder(folder)
        with ExitStack() as stack:
            stack.enter_context(lock(self.path))
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
                videos = {video: self._entries[video] for video in sorted(self._entries)}
                write_json(self.path / MANIFEST, {**head, "videos": videos})
                if self._journal is not None:
                    self._journal.close()  # Windows removes no open file
                (self.path / JOURNAL).unlink()
            elif not self._entries and self._journal is not None:
                self._journal.close()
                (self.path / JOURNAL).unlink()  # nothing to go on from

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids that are finished, sorted."""
        return tuple(sorted(self._entries))

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
        if positive(fps, f"{video!r}: fps") is None and self._settings["fps"] is None:
            raise FeatureError(
                f"The frame rate of {video!r} is not known; it is never guessed.",
                "Give fps.",
                code="time-base",
            )
        self._check_case(video, next(iter(paths.values())))
        for stream, array in arrays.items():
            with atomic_write(paths[stream]) as handle:
                np.lib.format.write_array(handle, np.ascontiguousarray(array), allow_pickle=False)
        values = {
            "fps": fps if fps is not None else self._settings["fps"],
            "frames": positive(frames, f"{video!r}: frames"),
            "duration": positive(duration_s, f"{video!r}: duration"),
            "subset": subset,
        }
        entry = {key: value for key, value in values.items() if value is not None}
        record = {"video": video, "entry": entry, "dims": dims, "dtype": dtype}
        self._append(record)
        self._note(record)

    def _check_arrays(
        self, video: str, arrays: Mapping[str, FeatureArray]
    ) -> tuple[list[int], str]:
        """D of each stream and the dtype; what a reader would refuse is refused here."""
        for stream, array in arrays.items():
            where = f"{video!r} ({stream})" if stream else f"{video!r}"
            if array.dtype not in (np.float16, np.float32):
                raise FeatureError(
                    f"{where} has dtype {array.dtype}; expected float16 or float32.",
                    "Convert it knowingly, with array.astype or --dtype.",
                    code="dtype",
                )
            check_shape(array.shape, where)
            check_finite(array, where)
        if len({len(array) for array in arrays.values()}) > 1:
            lengths = {stream: len(array) for stream, array in arrays.items()}
            raise FeatureError(
                f"The streams of {video!r} differ in length: {lengths} snippets.",
                "Extract both streams with one stride.",
                code="stream-lengths",
            )
        dims = [array.shape[1] for array in arrays.values()]
        dtypes = sorted({str(array.dtype) for array in arrays.values()})
        if self._dims is not None and dims != self._dims:
            raise FeatureError(
                f"{video!r} has D {dims}; the videos before it have {self._dims}.",
                "One store holds the features of one encoder.",
                code="dim",
            )
        if dtypes != [self._dtype or dtypes[0]]:
            raise FeatureError(
                f"{video!r} is {' and '.join(dtypes)}; the store is {self._dtype or 'of one'}.",
                "Write one dtype: astype, or --dtype float32.",
                code="dtype",
            )
        return dims, dtypes[0]

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

    def _note(self, record: Mapping[str, Any]) -> None:
        """Count one journal record as finished."""
        video = record["video"]
        self._entries[video] = record["entry"]
        self._folded[video.casefold()] = video
        self._dims, self._dtype = record["dims"], record["dtype"]

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

    def _take_up(self) -> None:
        """Read what an earlier run left; refuse a folder that holds something else."""
        manifest, journal = self.path / MANIFEST, self.path / JOURNAL
        strangers = []
        for folder in (self.path, *(self.path / stream for stream in self.streams)):
            for path in folder.iterdir():
                if path.name.startswith(TEMPORARY_PREFIX):  # of a killed run; we hold the lock
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                elif not path.name.startswith(".") and path.name not in self.streams:
                    strangers.append(path)
        if manifest.exists():
            self._take_up_manifest(manifest)
        if journal.exists():
            self._take_up_journal(journal)
        if strangers and not manifest.exists() and not journal.exists():
            raise FeatureError(
                f"{self.path} is not empty and no store of ours: it holds {min(strangers)}.",
                "Choose a new folder.",
                code="not-empty",
            )

    def _take_up_manifest(self, path: Path) -> None:
        fields = read_json(path)
        if not isinstance(fields, dict) or not isinstance(fields.get("videos"), dict):
            raise FeatureError(f"{path} is no manifest.", "Choose a new folder.", code="manifest")
        self._same_settings(path, fields)
        for video, entry in fields["videos"].items():
            dims, dtype = fields.get("dims"), fields.get("dtype")
            self._note({"video": video, "entry": entry, "dims": dims, "dtype": dtype})

    def _take_up_journal(self, path: Path) -> None:
        lines = read_text(path).split("\n")
        records = []
        # A kill may cut the last line short: what follows the last line end does not count.
        for line in lines[:-1]:
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise FeatureError(
                    f"{path} is damaged: {line[:80]!r}.", "Choose a new folder.", code="journal"
                ) from error
        if lines[-1] or not records:
            with atomic_write(path) as handle:
                handle.writelines(line.encode() + b"\n" for line in lines[:-1])
        if records:
            self._same_settings(path, records[0])
        for record in records[1:]:
            self._note(record)

    def _same_settings(self, path: Path, found: Mapping[str, object]) -> None:
        """Refuse to mix two settings in one folder, naming the first that differs."""
        for key, value in self._settings.items():
            if found.get(key) != value:
                raise FeatureError(
                    f"{path} was written with {key} {found.get(key)!r}; now it is {value!r}.",
                    "Use the same settings to go on, or choose a new folder.",
                    code="other-store",
                )
