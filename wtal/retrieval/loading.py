"""Videos of both sides, read once or twice, as retrieval compares them.

Without a model every row is centred by the mean row of the gallery, since raw features of one
encoder point in much the same direction. With one its refined rows are taken as they are.

On 400 sequences of real VGG16 features after a PCA, whose mean is nearly zero already, centring
changes little. Share of 160 test videos whose nearest 1, 5 and 10 of 240 training videos vote for
one of its tags, not centred and centred: cosine .906 .956 .962 and .919 .969 .975, chamfer .812
.950 .956 and .812 .950 .962, symmetric .938 .969 .988 and .938 .981 .988.

Shapes: V videos, N rows of all of them, D dims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from wtal.retrieval.sources import Rows, Source, Sources, unread
from wtal_features import FeatureError
from wtal_features.retrieval.context import ContextModel
from wtal_features.retrieval.similarity import Described, described

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Loaded:
    """Both sides, and what could not be read.

    Args:
        queries: Q videos.
        gallery: G videos.
        same: whether the queries are videos of the gallery.
        faults: video -> why it was left out.
    """

    queries: Described
    gallery: Described
    same: bool
    faults: dict[str, str]


def load(
    sources: Sources,
    model: ContextModel | None,
    device: torch.device,
    *,
    frames: bool,
    progress: Progress,
) -> Loaded:
    """Read and describe all videos.

    Args:
        sources: which.
        model: refines them; None: raw rows, centred.
        device: where they will be.
        frames: keep rows, not only pooled descriptors.
        progress: told (done, total) readings.

    Raises:
        WtalError: no video of a side can be read.
        FeatureError: the model does not fit.
    """
    if model is not None:
        for source in (sources.queries, sources.gallery):
            model.check(source.dim, source.encoder, source.where)
    reader = _Reader(sources, model, device, progress)
    gallery = reader.describe(sources.gallery, frames=frames)
    if not sources.same:
        queries = reader.describe(sources.queries, frames=frames)
    elif sources.queries.videos == sources.gallery.videos:
        queries = gallery
    else:
        queries = taken(gallery, _places(sources.queries, gallery, reader.faults))
    return Loaded(queries, gallery, sources.same, reader.faults)


class _Reader:
    """Reads videos, once more where a mean must be known first; faults are kept, not raised."""

    def __init__(
        self,
        sources: Sources,
        model: ContextModel | None,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self._model, self._device, self._progress = model, device, progress
        self.faults: dict[str, str] = {}
        sides = [sources.gallery] if sources.same else [sources.gallery, sources.queries]
        self._done, self._total = 0, sum(len(side.videos) for side in sides)
        self._mean_D: Rows | None = None
        if model is None:
            self._total += len(sources.gallery.videos)
            self._mean_D = self._mean(sources.gallery)

    def describe(self, source: Source, *, frames: bool) -> Described:
        rows = ((video, self._prepared(rows)) for video, rows in self._read(source))
        first = next(rows, None)
        if first is None:
            raise unread(source, list(self.faults.values()))
        return described(_chained(first, rows), frames=frames, mean_D=self._mean_D)

    def _read(self, source: Source) -> Iterator[tuple[str, Rows]]:
        for video in source.videos:
            self._done += 1
            try:
                yield video, source.read(video)
            except FeatureError as error:
                self.faults[video] = str(error)
            self._progress(self._done, self._total)

    def _mean(self, gallery: Source) -> Rows:
        sum_D, count = np.zeros(gallery.dim), 0
        for _, rows_TD in self._read(gallery):
            sum_D += rows_TD.sum(0, dtype=np.float64)
            count += len(rows_TD)
        mean_D: Rows = (sum_D / max(count, 1)).astype(np.float32)
        return mean_D

    def _prepared(self, rows_TD: Rows) -> Tensor:
        refined = rows_TD if self._model is None else self._model.refine(rows_TD)
        return torch.from_numpy(refined).to(self._device)


def _chained(
    first: tuple[str, Tensor], rest: Iterator[tuple[str, Tensor]]
) -> Iterator[tuple[str, Tensor]]:
    yield first
    yield from rest


def _places(source: Source, gallery: Described, faults: dict[str, str]) -> list[int]:
    """Of the queries among the described videos; others are faults."""
    places = {name: place for place, name in enumerate(gallery.names)}
    for video in source.videos:
        if video not in places:
            faults.setdefault(video, f"{source.where} has no such video.")
    chosen = [places[video] for video in source.videos if video in places]
    if not chosen:
        raise unread(source, [faults[video] for video in source.videos])
    return chosen


def taken(videos: Described, places: Sequence[int]) -> Described:
    """Some of the videos, in this order."""
    names = tuple(videos.names[place] for place in places)
    pooled_VD = videos.pooled_VD[list(places)]
    bounds = list(pairwise(videos.starts))
    starts = (0, *accumulate(bounds[place][1] - bounds[place][0] for place in places))
    frames_ND = videos.frames_ND
    if frames_ND is not None:
        if list(places) == list(range(places[0], places[0] + len(places))):
            low, high = bounds[places[0]][0], bounds[places[-1]][1]
            frames_ND = frames_ND[low:high]  # neighbours: no copy
        else:
            frames_ND = torch.cat([frames_ND[slice(*bounds[place])] for place in places])
    return Described(names, pooled_VD, frames_ND, starts)


def joined(one: Described, other: Described) -> Described:
    """The videos of both; names must differ."""
    shift = one.starts[-1]
    frames_ND = None
    if one.frames_ND is not None and other.frames_ND is not None:
        frames_ND = torch.cat([one.frames_ND, other.frames_ND])
    return Described(
        one.names + other.names,
        torch.cat([one.pooled_VD, other.pooled_VD]),
        frames_ND,
        (*one.starts, *(shift + start for start in other.starts[1:])),
    )
