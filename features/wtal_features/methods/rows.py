"""The rows of a feature store as a method trains on them: prepared once, kept in memory.

Legend: T rows of a video, D dimensions of the store, d after the whitening.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from wtal_features.checkpoints.reading import sha256_of
from wtal_features.errors import FeatureError, Finding
from wtal_features.methods.settings import require
from wtal_features.retrieval.context import Rows, prepared
from wtal_features.retrieval.whitening import Whitening, fit_whitening, load_whitening
from wtal_features.store import FeatureStore

PUBLISHED_DIM = 1024  # of TCA's whitened frames


@dataclass(frozen=True)
class WhiteningConfig:
    """PCA-whitening of the rows, before anything else.

    Attributes:
        dim: d; `auto`: the published 1024 where the store has more dimensions, or fewer where there
            are fewer rows, else no whitening; `off`: none.
        file: An `.npz` file (U, lams, mu, Utmu) to take instead of fitting one; of its directions
            the first d, where d is a number.
    """

    dim: int | Literal["auto", "off"] = "auto"
    file: str | None = None

    def __post_init__(self) -> None:
        """Check the dimension."""
        sound = self.dim in ("auto", "off") or (type(self.dim) is int and self.dim >= 1)
        require(self, "dim", sound, "auto, off or a number of at least 1")
        require(self, "dim", self.file is None or self.dim != "off", "auto or a number with a file")

    def dims(self, D: int) -> int | None:
        """Dimensions after whitening a store of D; None: no whitening."""
        if self.dim == "auto":
            return PUBLISHED_DIM if D > PUBLISHED_DIM else None
        return None if self.dim == "off" else self.dim


@dataclass(frozen=True)
class StoredRows:
    """What there is of a video.

    Attributes:
        key: Of its content.
        rows: T.
    """

    key: str
    rows: int


@dataclass
class RowStore:
    """Rows of length one, whitened where there is a whitening; made by `open_rows`.

    Attributes:
        store: Where they come from.
        whitening: Fitted or loaded; None: none.
        about: Video -> content and length, of the videos that can be read.
        dim: d.
        settings: What decides the rows, as JSON values.
    """

    store: FeatureStore
    whitening: Whitening | None
    about: dict[str, StoredRows]
    settings: dict[str, Any]
    _kept: dict[str, Tensor] = field(default_factory=dict)
    _left_bytes: int = 0
    _lock: Lock = field(default_factory=Lock)

    @property
    def videos(self) -> tuple[str, ...]:
        """Ids, sorted."""
        return tuple(sorted(self.about))

    @property
    def dim(self) -> int:
        """Of the prepared rows."""
        return self.store.dim if self.whitening is None else self.whitening.dim

    def info(self, video: str) -> StoredRows:
        """Content and length of a video."""
        return self.about[video]

    def rows(self, video: str) -> Tensor:
        """(T, d) float32, rows of length one; from memory where they are kept."""
        rows_Td = self._kept.get(video)
        if rows_Td is None:
            rows_Td = prepared(torch.from_numpy(self.store.read(video)), self.whitening)
            size = rows_Td.numel() * rows_Td.element_size()
            with self._lock:  # several threads may have missed it
                if video not in self._kept and size <= self._left_bytes:
                    self._left_bytes -= size
                    self._kept[video] = rows_Td
        return rows_Td


def open_rows(
    store: FeatureStore,
    videos: Sequence[str],
    config: WhiteningConfig,
    *,
    cache_mb: int,
    multiple: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[RowStore, list[Finding]]:
    """Read every video once: to know its content, and to fit a whitening where one is wanted.

    Args:
        store: Of features.
        videos: Ids in the store.
        config: The whitening.
        cache_mb: Memory for prepared rows; what does not fit is read at each use.
        multiple: Of it is d under `auto`.
        progress: Told (done, total) videos.

    Returns:
        The rows, and the videos that cannot be read.

    Raises:
        FeatureError: If none can be read, or a whitening cannot be fitted or does not fit.
    """
    about: dict[str, StoredRows] = {}
    faults: list[Finding] = []

    def sound_rows() -> Iterator[Rows]:
        for done, video in enumerate(videos, 1):
            try:
                rows_TD = store.read(video)
            except FeatureError as error:
                faults.append(Finding.of(error, video))
            else:
                key = hashlib.sha256(np.ascontiguousarray(rows_TD).tobytes()).hexdigest()
                about[video] = StoredRows(key, len(rows_TD))
                yield rows_TD
            progress(done, len(videos))

    white = None if config.file is None else _loaded(config.file, config, store)
    dim = config.dims(store.dim)
    if dim is not None and config.dim == "auto":
        fitting = (_rows_of(store, videos) - 1) // multiple * multiple
        dim = min(dim, max(multiple, fitting))
    if white is None and dim is not None:
        white = fit_whitening(sound_rows(), dim)
    else:
        for _ in sound_rows():
            pass
    if not about:
        first = f" The first: {faults[0]}" if faults else ""
        raise FeatureError(
            f"{store.root}: none of {len(videos)} videos can be read.{first}", code="empty"
        )
    settings = {"encoder": store.manifest.encoder, "dim": store.dim, "streams": list(store.streams)}
    if config.file is not None:
        settings["whitening"] = sha256_of(config.file)
    return RowStore(store, white, about, settings, _left_bytes=cache_mb * 2**20), faults


def _rows_of(store: FeatureStore, videos: Sequence[str]) -> int:
    """Rows of all videos whose headers can be read."""
    count = 0
    for video in videos:
        with suppress(FeatureError):  # it is named when it is read
            count += store.length(video)
    return count


def _loaded(file: str, config: WhiteningConfig, store: FeatureStore) -> Whitening:
    """The whitening of a file, or its first directions."""
    white = load_whitening(file)
    if white.dim_in != store.dim:
        raise FeatureError(
            f"{file} whitens {white.dim_in} dimensions; {store.root} has {store.dim}.",
            "Take the whitening of the same encoder, or leave it out to fit one.",
            code="whitening",
        )
    if config.dim in ("auto", "off"):
        return white
    dim = int(config.dim)
    if dim > white.dim:
        raise FeatureError(
            f"{file} has {white.dim} directions; whitening.dim is {dim}.",
            "Take no more than the file has.",
            code="whitening",
        )
    return Whitening(white.mean_D, white.directions_nD[:dim], white.values_n[:dim])
