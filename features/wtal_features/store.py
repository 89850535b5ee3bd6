"""A feature store: one array per video, and the time base that turns snippets into seconds.

Shapes: T snippets, D dimensions after joining the streams. The layout is in features/README.md.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wtal_features.check import check_store
from wtal_features.errors import FeatureError, Finding
from wtal_features.listing import find_folders, scan
from wtal_features.manifest import MANIFEST, Manifest, Timing, no_time_base, time_base
from wtal_features.npy import (
    FeatureArray,
    check_finite,
    npy_shape,
    read_feature_header,
    read_npy,
    refuse_transposed,
)
from wtal_features.packed.layout import is_packed, is_unfinished
from wtal_features.writer import JOURNAL, StoreWriter

__all__ = [
    "FeatureStore",
    "Finding",
    "StoreWriter",
    "Timing",
    "check_store",
    "open_store",
]

# So many headers, spread over the store, tell its dimensions when the manifest does not.
_HEADERS_FOR_DIM = 9


class FeatureStore:
    """Read access to a store; made by `open_store`.

    Attributes:
        root: The folder.
        streams: Names of the joined sub-folders in their order; empty when the arrays lie in
            the folder itself.
        videos: Ids with a file in every stream and a known frame rate, sorted.
        dim: D, dimensions after joining the streams.
        manifest: What the store says about itself, with the flags filled in.

    A store that was packed has the same attributes and methods: `packed.reader.PackedStore`.
    """

    root: Path
    streams: tuple[str, ...]
    videos: Sequence[str]
    dim: int
    manifest: Manifest
    _dims: dict[str, int]

    def __init__(self, root: Path, folders: Mapping[str, Path], manifest: Manifest) -> None:
        """Use `open_store`, which finds the folders and checks the time base."""
        self.root = root
        self.manifest = manifest
        self.streams = tuple(name for name in folders if name)
        self._folders = dict(folders)
        # Per stream: video id -> file name. They differ for names that are not in NFC.
        self._files: dict[str, dict[str, str]] = {}
        self._faults: list[Finding] = []
        for stream, folder in folders.items():
            self._files[stream], faults = scan(folder)
            self._faults += faults
        listings = [set(files) for files in self._files.values()]
        self._present = set.union(*listings)
        paired = set.intersection(*listings)
        self._faults += self._partner_faults(paired)
        timed = {v for v in paired if manifest.fps is not None or manifest.has_fps(v)}
        self._faults += [
            Finding.of(no_time_base(root, f"video {v!r}"), v) for v in sorted(paired - timed)
        ]
        if not paired:
            raise self._no_videos()
        if not timed:
            raise no_time_base(root, f"any of {len(paired)} videos")
        self.videos = tuple(sorted(timed))
        self._known = frozenset(timed)
        self._lengths: dict[str, int] = {}
        self._dims = {stream: self._guess_dim(stream) for stream in folders}
        self.dim = sum(self._dims.values())

    def __contains__(self, video: object) -> bool:
        """Whether `video` has a file in every stream."""
        return video in self._known

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.videos)

    def __iter__(self) -> Iterator[str]:
        """The ids, sorted."""
        return iter(self.videos)

    def __repr__(self) -> str:
        """Folder, number of videos, dimensions."""
        return f"FeatureStore({str(self.root)!r}, {len(self)} videos, dim {self.dim})"

    @property
    def dims(self) -> Mapping[str, int]:
        """D of every stream, in their order (`""` when there are no streams)."""
        return self._dims

    def require(self, video: str) -> None:
        """Refuse a video that is not in the store.

        Raises:
            FeatureError: Naming it.
        """
        if video not in self:
            raise FeatureError(
                f"{self.root} has no features of the video {video!r}; "
                f"it holds {len(self)} videos, the first is {self.videos[0]!r}.",
                "Check the name, or extract the video.",
                code="no-features",
            )

    def files(self, video: str) -> dict[str, Path]:
        """The file of a video in every stream (`""` when there are no streams).

        Raises:
            FeatureError: If the video is not in the store.
        """
        self.require(video)
        return {
            stream: self._folders[stream] / files[video] for stream, files in self._files.items()
        }

    def length(self, video: str) -> int:
        """T, the number of snippets, from the headers alone.

        Raises:
            FeatureError: As `read`, but for the values.
        """
        if video not in self._lengths:
            lengths = {}
            for stream, path in self.files(video).items():
                shape = npy_shape(path)
                _check_dim(shape, path, self._dims[stream])
                lengths[path] = shape[0]
            if len(set(lengths.values())) > 1:
                listed = ", ".join(f"{path} has {T}" for path, T in lengths.items())
                raise FeatureError(
                    f"The streams of {video!r} differ in length: {listed} snippets.",
                    "Extract both streams with one stride.",
                    code="stream-lengths",
                )
            self._lengths[video] = next(iter(lengths.values()))
        return self._lengths[video]

    def read(self, video: str) -> npt.NDArray[np.float32]:
        """The features of one video.

        Args:
            video: One of `videos`.

        Returns:
            (T, D) float32, C order, the streams joined on D. float16 widens without loss.

        Raises:
            FeatureError: If the video is unknown, a file is missing, truncated, no plain
                float array, transposed, of another D, without snippets, or holds NaN or
                infinity; or if the streams differ in T.
        """
        return self.read_stored(video).astype(np.float32, copy=False)

    def read_stored(self, video: str) -> FeatureArray:
        """As `read`, in the dtype of the files: float16, or float32 where one stream is.

        Raises:
            FeatureError: As `read`.
        """
        self.length(video)
        arrays = []
        for path in self.files(video).values():
            array = read_npy(path)
            check_finite(array, path)
            arrays.append(array)
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)

    def stored(self, video: str) -> tuple[int, list[int]]:
        """Bytes of a value as `read_stored` gives it, and what changes when the values do.

        Raises:
            FeatureError: As `length`.
        """
        sizes, stamp = [], []
        for path in self.files(video).values():
            sizes.append(read_feature_header(path).dtype.itemsize)
            status = path.stat()
            stamp += [status.st_size, status.st_mtime_ns]
        return max(sizes), stamp

    def timing(self, video: str) -> Timing:
        """The time base of one video; its own fps in the manifest wins over the store's.

        Raises:
            FeatureError: If the video is not in the store or its entry is faulty.
        """
        self.require(video)
        manifest = self.manifest
        fps = manifest.number(video, "fps") or manifest.fps
        frames, duration_s = manifest.number(video, "frames"), manifest.number(video, "duration")
        if fps is None or manifest.stride_frames is None:
            raise no_time_base(self.root, f"video {video!r}")
        if duration_s is None and frames is not None:
            duration_s = frames / fps
        return Timing(fps, manifest.stride_frames, manifest.window_frames, duration_s)

    def faults(self) -> list[Finding]:
        """Faults that the listing alone shows.

        Bad names, videos without a partner in another stream, videos in the manifest without a
        file and the reverse. No array is opened.
        """
        entries = self.manifest.videos
        faults = list(self._faults)
        for video in sorted(entries.keys() - self._present):
            faults.append(
                Finding(
                    "no-file",
                    video,
                    f"{self.manifest.path.name} lists the video, but it has no array.",
                    "Extract it again or take it out of the manifest.",
                )
            )
        if entries:
            for video in sorted(self._known - entries.keys()):
                faults.append(
                    Finding(
                        "no-entry",
                        video,
                        f"The array has no entry in {self.manifest.path.name}; "
                        "the store's own fps is used and the duration is unknown.",
                        "Extract it again, or add its fps, frames and duration.",
                        "warning",
                    )
                )
        return faults

    def _partner_faults(self, paired: set[str]) -> list[Finding]:
        """Videos that are in some streams and not in all."""
        faults = []
        for video in sorted(self._present - paired):
            lacking = [stream for stream, files in self._files.items() if video not in files]
            faults.append(
                Finding(
                    "no-partner",
                    video,
                    f"No array in {', '.join(lacking)}/; the other streams have one.",
                    "Extract the missing stream, or choose the streams to use.",
                )
            )
        return faults

    def _no_videos(self) -> FeatureError:
        """Why a store without usable videos is refused."""
        counts = ", ".join(f"{s or '.'}: {len(files)}" for s, files in self._files.items())
        return FeatureError(
            f"{self.root} has no video with an array in every stream ({counts}).",
            "Name the streams to use, or see features/README.md for the layout.",
            code="no-videos",
        )

    def _guess_dim(self, stream: str) -> int:
        """D of one stream: the manifest's for a single stream, else what most headers say."""
        if not stream and self.manifest.dim is not None:
            return self.manifest.dim
        step = -(-len(self.videos) // _HEADERS_FOR_DIM)
        shapes, first_fault = [], None
        for video in self.videos[::step]:
            try:
                shapes.append(npy_shape(self._folders[stream] / self._files[stream][video]))
            except FeatureError as error:  # reported when this video is read
                first_fault = first_fault or error
        if not shapes:
            assert first_fault is not None  # there is at least one video
            raise first_fault
        refuse_transposed(shapes, str(self._folders[stream]))
        return Counter(D for _, D in shapes).most_common(1)[0][0]


def open_store(
    path: str | Path,
    *,
    streams: Sequence[str] = (),
    fps: float | None = None,
    stride: float | None = None,
) -> FeatureStore:
    """Open a folder of features, packed (`wtal pack`) or not.

    Args:
        path: The folder with `<video>.npy` or stream folders, and `manifest.json` where there
            is one. A folder with a manifest may keep its arrays in `features/`.
        streams: Sub-folders to join on D, in this order. Default: those found, `rgb` before
            `flow`, then by name.
        fps: Frames per second of the encoded frames, where the manifest has none.
        stride: Frames from snippet to snippet, where the manifest has none.

    Returns:
        The store; only the folder and the manifest were read, and a few headers.

    Raises:
        FeatureError: If there are no arrays, a stream is missing, the manifest is faulty, fps
            or stride are missing, or they contradict the manifest.
    """
    root = Path(path)
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise FeatureError(
            f"{root} {what}; expected a folder of <video>.npy.",
            "Name the folder that wtal extract or wtal convert wrote.",
            code="missing",
        )
    if (not (root / MANIFEST).exists() and (root / JOURNAL).exists()) or is_unfinished(root):
        holds = JOURNAL if (root / JOURNAL).exists() else "shards without a manifest"
        raise FeatureError(
            f"{root} is not finished: it holds {holds}.",
            "Run the command that writes it again: it goes on where it stopped.",
            code="unfinished",
        )
    manifest = time_base(root, fps, stride)
    if is_packed(root):
        from wtal_features.packed.reader import PackedStore

        return PackedStore(root, streams, manifest)
    try:
        folders = find_folders(root, streams)
        if manifest.stride_frames is None:
            raise no_time_base(root, "any video")
        store = FeatureStore(root, folders, manifest)
    except OSError as error:
        raise FeatureError(f"{root} cannot be listed: {error}.", code="unreadable") from error
    if manifest.dim not in (None, store.dim) and not streams:
        raise FeatureError(
            f"{root / MANIFEST} says dim {manifest.dim}; the arrays have {store.dim}.",
            "The manifest belongs to other arrays, or a stream is missing.",
            code="dim",
        )
    return store


def _check_dim(shape: tuple[int, int], path: Path, dim: int) -> None:
    """Compare D with the store's, and recognise a transposed array."""
    if shape[1] == dim:
        return
    hint = (
        "It looks transposed; save array.T."
        if shape[0] == dim
        else "It comes from another encoder or stream; extract it again."
    )
    raise FeatureError(
        f"{path} has shape {shape}; expected (T, {dim}).",
        hint,
        code="transposed" if shape[0] == dim else "dim",
    )
