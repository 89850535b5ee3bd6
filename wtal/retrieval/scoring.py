"""A ranking that is scored: the queries of a truth against every video, as one array of numbers.

Pairs of a name and a number take 185 B each; here they are made for one query at a time.

Shapes: Q queries, G videos of the gallery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wtal.errors import WtalError
from wtal.retrieval.loading import Loaded, Progress, taken
from wtal.retrieval.ranking import Ranked, Ranking, write_lists
from wtal.retrieval.searching import parts
from wtal.retrieval.sources import Sources
from wtal.retrieval.words import Words
from wtal_eval.retrieval import evaluate_retrieval
from wtal_eval.retrieval.protocols import read_tasks
from wtal_features.retrieval.search import DECIMALS
from wtal_features.retrieval.similarity import Kind, similarities


@dataclass(frozen=True)
class Scored:
    """How alike every video is to each query.

    Args:
        kind: similarity.
        queries, videos: names.
        values_QG: float32, to five decimals.
        known: every video that was read, queries that were not asked for among them.
    """

    kind: Kind
    queries: tuple[str, ...]
    videos: tuple[str, ...]
    values_QG: NDArray[np.float32]
    known: frozenset[str]

    def cut(self, top: int, *, same: bool) -> Ranking:
        """The first so many, without the query itself where it is a video of the gallery."""
        results = {
            query: [pair for pair in ranked if not (same and pair[0] == query)][:top]
            for query, ranked in self._lists(top + 1)
        }
        return Ranking(self.kind, results)

    def write(self, path: Path) -> None:
        """Every video for each query, the query itself too: what counts is up to the protocol."""
        write_lists(path, self.kind, self._lists(len(self.videos)))

    def text(self, words: Words) -> str:
        """The scores.

        Raises:
            EvalError: nothing can be scored.
        """
        assert words.truth is not None  # the caller looked
        assert words.protocol is not None  # `Words` looked
        similarities_Q = dict(zip(self.queries, self.values_QG, strict=True))
        ranking = {"videos": self.videos, "results": similarities_Q}
        result = evaluate_retrieval(ranking, words.truth, words.protocol, gallery=self.known)
        return result.text().rstrip("\n")

    def _lists(self, most: int) -> Iterator[tuple[str, Ranked]]:
        """Of each query the nearest videos, of equally near ones by name."""
        ranks_G = np.argsort(sorted(range(len(self.videos)), key=self.videos.__getitem__))
        for query, values_G in zip(self.queries, self.values_QG, strict=True):
            order = np.lexsort((ranks_G, -values_G))[:most]
            nearest = zip(order.tolist(), values_G[order].tolist(), strict=True)
            yield query, [(self.videos[place], round(value, DECIMALS)) for place, value in nearest]


def asked_by(words: Words, sources: Sources) -> frozenset[str] | None:
    """Queries of the truth, read before any features are; None where there is no truth.

    Raises:
        EvalError: the truth has a fault.
        WtalError: it asks for none of the videos.
    """
    if words.truth is None or words.protocol is None:
        return None
    source, tasks = read_tasks(words.truth, words.protocol, None)
    asked = frozenset(question.query for task in tasks for question in task.questions)
    if asked.isdisjoint(sources.queries.videos):
        raise WtalError(
            f"None of the {len(asked)} queries of {source} is among the "
            f"{len(sources.queries.videos)} videos of {sources.queries.where}; are the names the "
            "same?"
        )
    return asked


def compare(loaded: Loaded, kind: Kind, asked: frozenset[str], progress: Progress) -> Scored:
    """The queries of a truth with every video.

    Args:
        loaded: both sides.
        kind: similarity.
        asked: queries of the truth.
        progress: told (done, total) queries.

    Raises:
        WtalError: none of them could be read.
    """
    queries, gallery = loaded.queries, loaded.gallery
    places = [place for place, name in enumerate(queries.names) if name in asked]
    if not places:
        raise WtalError("None of the queries of the truth can be read.")
    values_QG = np.empty((len(places), len(gallery.names)), np.float32)
    for part in parts(kind, len(places)):
        some = taken(queries, [places[number] for number in part])
        for first, strip_qG in similarities(some, gallery, kind):
            start = part.start + first
            rounded_qG = (strip_qG.double() * 10**DECIMALS).round() / 10**DECIMALS
            values_QG[start : start + len(strip_qG)] = rounded_qG.cpu().numpy()
        progress(part.stop, len(places))
    names = tuple(queries.names[place] for place in places)
    known = frozenset((*queries.names, *gallery.names))
    return Scored(kind, names, gallery.names, values_QG, known)
