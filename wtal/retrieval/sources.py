"""Which videos are compared with which: stores, one file, or one video of the gallery."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.errors import WtalError
from wtal.inputs import Labels, read_labels, videos_of
from wtal.notices import some
from wtal.retrieval.words import Words
from wtal_features import FeatureError, FeatureStore, open_store
from wtal_features.manifest import MANIFEST
from wtal_features.npy import check_finite, npy_shape, read_npy
from wtal_features.quality import manifest_subsets

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """Videos that can be read.

    Args:
        where: the folder or file, for messages.
        videos: names.
        dim: D of the rows.
        encoder: that made them; None if not said.
        read: name -> (T, D) float32, or FeatureError.
        length: name -> T, or FeatureError.
        subsets: name -> the subset that the manifest names, or None.
        faults: videos of the folder that cannot be used -> why.
    """

    where: str
    videos: tuple[str, ...]
    dim: int
    encoder: str | None
    read: Callable[[str], Rows]
    length: Callable[[str], int]
    subsets: Mapping[str, str | None] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """What is looked for, and among what.

    Args:
        queries: videos that are looked for.
        gallery: videos that may be found.
        same: whether the queries are videos of the gallery.
        notes: what a user should know of the choice.
    """

    queries: Source
    gallery: Source
    same: bool
    notes: tuple[str, ...] = ()


def sources_of(words: Words) -> Sources:
    """The videos that the command names.

    Raises:
        WtalError, FeatureError: a store cannot be opened, there is no such video or subset, or the
            two do not fit each other.
    """
    gallery = query = None
    if words.gallery is not None:
        gallery = _opened(words.gallery, words)
    path = Path(words.query)
    if path.is_dir():
        query = _opened(path, words)
        found = _of_stores(query, gallery)
    elif gallery is None:
        raise WtalError(
            f"{path} {'is no folder' if path.exists() else 'does not exist'}; expected a feature "
            "store. If it is a video or one array, give the store to search as the second argument."
        )
    elif path.suffix.lower() == ".npy":
        found = Sources(_of_file(path), _of_store(gallery), same=False)
    elif words.query in gallery:
        whole = _of_store(gallery)
        found = Sources(replace(whole, videos=(words.query,)), whole, same=True)
    else:
        raise WtalError(
            f"{words.query!r} is no folder, no .npy file and no video of {gallery.root}; expected "
            "a feature store, one array, or the name of a video."
        )
    _check_fit(found)
    if words.subset is None:
        return found
    if query is None:
        raise WtalError("--subset chooses among the videos of a store; the query is one video.")
    return _of_subset(found, query, words)


def _opened(folder: Path, words: Words) -> FeatureStore:
    """A store; time plays no part here, so that one without a manifest needs no time base.

    Beside a manifest it is a part of a store, whose encoder and subsets would be lost: `open_store`
    says so.
    """
    fps, stride = words.fps, words.stride
    if not any((place / MANIFEST).exists() for place in (folder, folder.resolve().parent)):
        fps, stride = fps or 1, stride or 1
    return open_store(folder, fps=fps, stride=stride)


def _of_stores(query: FeatureStore, gallery: FeatureStore | None) -> Sources:
    same = gallery is None or gallery.root.resolve() == query.root.resolve()
    whole = _of_store(query)
    return Sources(whole, whole if same or gallery is None else _of_store(gallery), same)


def _of_store(store: FeatureStore) -> Source:
    return Source(
        *(str(store.root), tuple(store.videos), store.dim, store.manifest.encoder),
        *(store.read, store.length, manifest_subsets(store)),
        faults={
            finding.where: f"{finding.message} {finding.cure}".rstrip()
            for finding in store.faults()
            if finding.severity == "error"
        },
    )


def _of_file(path: Path) -> Source:
    shape = npy_shape(path)

    def read(_: str) -> Rows:
        array = read_npy(path)
        check_finite(array, path)
        rows: Rows = array.astype(np.float32, copy=False)
        return rows

    return Source(str(path), (path.stem,), shape[1], None, read, lambda _: shape[0])


def _of_subset(sources: Sources, store: FeatureStore, words: Words) -> Sources:
    source = sources.queries
    assert words.subset is not None  # the caller looked
    if words.tags is not None or words.annotations is not None:
        labels = read_labels(words.tags, words.annotations)
    else:
        labels = Labels(dict.fromkeys(source.subsets, ()), source.subsets, str(store.manifest.path))
    chosen = videos_of(labels, words.subset)
    videos = tuple(video for video in chosen if video in store)
    absent = [v for v in chosen if v not in store and v not in source.faults]
    if not videos:
        raise WtalError(
            f"None of {len(chosen)} videos of subset {words.subset!r} is in {source.where}: "
            f"{some(chosen)}."
        )
    notes = sources.notes
    if absent:
        notes += (
            f"{len(absent)} of {len(chosen)} videos of subset {words.subset!r} are not in "
            f"{source.where}: {some(absent)}.",
        )
    return replace(sources, queries=replace(source, videos=videos), notes=notes)


def _check_fit(sources: Sources) -> None:
    query, gallery = sources.queries, sources.gallery
    if query.dim != gallery.dim:
        raise FeatureError(
            f"{query.where} has {query.dim} dimensions, {gallery.where} {gallery.dim}.",
            "Compare features of one encoder.",
            code="dim",
        )
    if None not in (query.encoder, gallery.encoder) and query.encoder != gallery.encoder:
        raise FeatureError(
            f"{query.where} comes from the encoder {query.encoder!r}, {gallery.where} from "
            f"{gallery.encoder!r}.",
            "Compare features of one encoder.",
            code="encoder",
        )


def unread(source: Source, faults: Sequence[str]) -> WtalError:
    """Why nothing can be compared."""
    first = f" The first: {faults[0]}" if faults else ""
    return WtalError(f"None of {len(source.videos)} videos of {source.where} can be read.{first}")
