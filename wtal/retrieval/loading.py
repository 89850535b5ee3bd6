"""Videos of both sides, read once or twice, as retrieval compares them.

Without a model every row is centred by the mean row of the gallery, since raw features of one
encoder point in much the same direction. With one its refined rows are taken as they are. Nor is
anything centred by fewer than `FEW` videos: the mean holds a share 1/V of each of them, so that of
two that have nothing in common one points away from the other, by cosine -1/(V - 1), and where all
are copies little is left. From four on centred rows tell copies from others, raw ones do not.

On 400 sequences of real VGG16 features after a PCA, whose mean is nearly zero already, centring
changes little. Share of 160 test videos whose nearest 1, 5 and 10 of 240 training videos vote for
one of its tags, not centred and centred: cosine .906 .956 .962 and .919 .969 .975, chamfer .812
.950 .956 and .812 .950 .962, symmetric .938 .969 .988 and .938 .981 .988.

Shapes: V videos, N rows of all of them, D dims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from wtal.retrieval.sources import Rows, Source, Sources, unread
from wtal_features import FeatureError
from wtal_features.retrieval.context import ContextModel
from wtal_features.retrieval.similarity import Described, described

Progress = Callable[[int, int], None]  # done, total; 0 where that is not known
Say = Callable[[str], None]

FEW = 4
"""Videos of a gallery that is centred, at least. Of real features three spreads off zero, with one
copy under noise of half a spread among 4 to 10 videos, 40 draws each, at the default thresholds:
centred, cosine and symmetric find the copy in 92 to 100 % and no false pair, of three videos in 62
and 82 %; not centred, more than 95 % of all pairs pass."""
LARGE = 4e9
"""Bytes of rows in float32, from which on they are kept as bfloat16."""


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
    say: Say,
) -> Loaded:
    """Read and describe all videos.

    Args:
        sources: which.
        model: refines them; None: raw rows, centred.
        device: where they will be.
        frames: keep rows, not only pooled descriptors.
        progress: told (done, total) readings.
        say: told what is done otherwise than for most stores.

    Raises:
        WtalError: no video of a side can be read.
        FeatureError: the model does not fit.
    """
    if model is not None:
        for source in (sources.queries, sources.gallery):
            model.check(source.dim, source.encoder, source.where)
    dim = sources.gallery.dim if model is None else model.dim
    dtype = _dtype(sources, dim, say) if frames else None
    reader = _Reader(sources, model, device, progress, say)
    gallery = reader.describe(sources.gallery, dtype)
    if not sources.same:
        queries = reader.describe(sources.queries, dtype)
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
        say: Say,
    ) -> None:
        self._model, self._device, self._progress = model, device, progress
        self.faults: dict[str, str] = {}
        for side in _sides(sources):
            self.faults.update(side.faults)
        self._done, self._total = 0, sum(len(side.videos) for side in _sides(sources))
        self._mean_D: Rows | None = None
        if model is None:
            self._total += len(sources.gallery.videos)
            self._mean_D = self._mean(sources.gallery, say)

    def describe(self, source: Source, dtype: torch.dtype | None) -> Described:
        """Read a side; rows are kept as `dtype`, None: only pooled ones."""
        rows = ((video, self._prepared(rows)) for video, rows in self._read(source))
        first = next(rows, None)
        if first is None:
            raise unread(source, list(self.faults.values()))
        return described(
            _chained(first, rows),
            frames=dtype is not None,
            mean_D=self._mean_D,
            dtype=dtype or torch.float32,
        )

    def _read(self, source: Source) -> Iterator[tuple[str, Rows]]:
        for video in source.videos:
            self._done += 1
            try:
                yield video, source.read(video)
            except FeatureError as error:
                self.faults[video] = str(error)
            self._progress(self._done, self._total)

    def _mean(self, gallery: Source, say: Say) -> Rows | None:
        sum_D, count, videos = np.zeros(gallery.dim), 0, 0
        for _, rows_TD in self._read(gallery):
            sum_D += rows_TD.sum(0, dtype=np.float64)
            count += len(rows_TD)
            videos += 1
        if videos < FEW:
            say(
                f"{gallery.where} has fewer than {FEW} videos: rows are not centred, and "
                "similarities of raw features are higher than in a larger gallery."
            )
            return None
        mean_D: Rows = (sum_D / count).astype(np.float32)
        return mean_D

    def _prepared(self, rows_TD: Rows) -> Tensor:
        refined = rows_TD if self._model is None else self._model.refine(rows_TD)
        return torch.from_numpy(refined).to(self._device)


def _sides(sources: Sources) -> list[Source]:
    return [sources.gallery] if sources.same else [sources.gallery, sources.queries]


def _dtype(sources: Sources, dim: int, say: Say) -> torch.dtype:
    """Of the rows, by the memory that float32 would take."""
    rows, videos = 0, 0
    for side in _sides(sources):
        for video in side.videos:
            with suppress(FeatureError):  # told when it is read
                rows += side.length(video)
                videos += 1
    size = 4 * dim * rows
    if size < LARGE:
        return torch.float32
    say(
        f"rows of {videos} videos take {size / 1e9:.2g} GB; they are kept as bfloat16, in half of "
        "that, and similarities are off by up to .001."
    )
    return torch.bfloat16


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
    """Some of the videos, in this order; without a copy of their rows where they are neighbours."""
    if in_a_row(places):
        low, high = places[0], places[-1] + 1
        first, last = videos.starts[low], videos.starts[high]
        starts = tuple(start - first for start in videos.starts[low : high + 1])
        frames_ND = None if videos.frames_ND is None else videos.frames_ND[first:last]
        return Described(videos.names[low:high], videos.pooled_VD[low:high], frames_ND, starts)
    bounds = [videos.starts[place : place + 2] for place in places]
    frames_ND = None
    if videos.frames_ND is not None:
        frames_ND = torch.cat([videos.frames_ND[slice(*bound)] for bound in bounds])
    return Described(
        tuple(videos.names[place] for place in places),
        videos.pooled_VD[list(places)],
        frames_ND,
        (0, *accumulate(last - first for first, last in bounds)),
    )


def in_a_row(places: Sequence[int]) -> bool:
    """Whether each is the one after the one before."""
    return all(later == place + 1 for place, later in pairwise(places))


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
