"""Ranked lists in: similarities of videos to queries, best first, equal ones by name.

Legend: `N` videos that one query ranks, `V` videos that any query ranks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wtal_eval.faults import Faults, shown
from wtal_eval.json_files import read_members
from wtal_eval.retrieval.trees import Source
from wtal_eval.rows import Codes, number
from wtal_eval.segments import Ints

Similarities: TypeAlias = NDArray[np.floating[Any]]
_EXPECTED = "an object {video: similarity} or a list of [video, similarity]"


@dataclass(frozen=True, eq=False)
class Rankings:
    """The ranked lists of all queries.

    Attributes:
        source: the file, for messages.
        codes: (V,) the videos, by name -> 0 to V - 1, in the order of their names.
        ranked: query -> (N,) codes of the videos that it ranks, best first.
    """

    source: str
    codes: Mapping[str, int]
    ranked: Mapping[str, Ints]


def read_rankings(source: Source) -> Rankings:
    """Read `{query: {video: similarity}}` or `{query: [[video, similarity], ..]}`.

    Either may be the member `results` of an object, as `wtal retrieve` writes it; the other
    members are then ignored. The order of a list means nothing.

    In memory, `{"videos": [V names], "results": {query: (V,) array of similarities}}` does without
    an object per pair. Arrays are not copied, and compared in their own precision.

    Args:
        source: a JSON file, or the object.

    Raises:
        EvalError: for every fault, in one sentence with at most five examples.
    """
    if isinstance(source, Mapping):
        reader = _Reader("rankings")
        outer: Mapping[str, Any] = source
        if "results" in source:
            outer = {"results": None}
            reader.named = source.get("videos")
            reader.add_all(source["results"])
    else:
        reader = _Reader(os.fspath(source))
        outer = read_members(Path(source), "results", reader.add)
    if "results" not in outer:
        reader.add_all(outer)
    return reader.finish()


class _Reader:
    """Columns per query, until all names are known and can be put in order."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults = Faults(source)
        self.codes = Codes()
        self.columns: dict[str, tuple[Ints, Similarities]] = {}
        self.named: Any = None  # videos that the arrays are about

    def add_all(self, rankings: Any) -> None:
        if not isinstance(rankings, Mapping):
            self.faults.add("", "'results'", rankings, "an object with one member per query")
            return
        for query, ranking in rankings.items():
            self.add(query, ranking)

    def add(self, query: Any, ranking: Any) -> None:
        """Take in the list of one query."""
        where = f"query {shown(query)}"
        if not isinstance(query, str) or not query:
            self.faults.add("", "a query", query, "a name")
        elif isinstance(ranking, Mapping):
            self._add_columns(query, list(ranking), list(ranking.values()), where)
        elif isinstance(ranking, np.ndarray):
            self._add_array(query, ranking, where)
        elif isinstance(ranking, list | tuple):
            broken = next((i for i, row in enumerate(ranking) if not _is_pair(row)), None)
            if broken is not None:
                at = f"{where}, entry {broken} (from 0)"
                self.faults.add(at, "it", ranking[broken], "[video, similarity]")
                return
            self._add_columns(query, [r[0] for r in ranking], [r[1] for r in ranking], where)
        else:
            self.faults.add(where, "its ranking", ranking, _EXPECTED)

    def _add_array(self, query: str, similarity_V: NDArray[Any], where: str) -> None:
        codes = self._named_codes
        if codes is None:
            expected = "each once, where similarities are an array"
            self.faults.add("", "'videos'", self.named, f"a list of names, {expected}")
        elif similarity_V.dtype.kind != "f" or similarity_V.shape != codes.shape:
            found = f"{similarity_V.dtype} {similarity_V.shape}"
            self.faults.add(where, "its array", found, f"floats ({len(codes)},)")
        elif not np.isfinite(similarity_V).all():
            self.faults.add_sentence(f"{where} has a similarity that is no finite number")
        else:
            self.columns[query] = codes, similarity_V

    @cached_property
    def _named_codes(self) -> Ints | None:
        names = list(self.named) if isinstance(self.named, list | tuple) else []
        if not names or not _plain(names, []):
            return None
        return np.fromiter(map(self.codes.__getitem__, names), np.int64, len(names))

    def _add_columns(
        self, query: str, videos: list[Any], similarities: list[Any], where: str
    ) -> None:
        if not _plain(videos, similarities):
            similarities = self._one_by_one(videos, similarities, where)
            if len(similarities) < len(videos):
                return
        codes = np.fromiter(map(self.codes.__getitem__, videos), np.int64, len(videos))
        self.columns[query] = codes, np.array(similarities, np.float64)

    def _one_by_one(self, videos: list[Any], similarities: list[Any], where: str) -> list[float]:
        """The similarities, numbers of NumPy among them; fewer of them where there are faults."""
        seen: set[str] = set()
        values = []
        for i, (video, similarity) in enumerate(zip(videos, similarities, strict=True)):
            value = number(similarity)
            if not isinstance(video, str) or not video:
                self.faults.add(f"{where}, entry {i} (from 0)", "video", video, "a name")
            elif value is None:
                at = f"{where}, video {shown(video)}"
                self.faults.add(at, "similarity", similarity, "a finite number")
            elif video in seen:
                self.faults.add_sentence(
                    f"{where}, video {shown(video)} is ranked twice, expected each video once"
                )
            else:
                seen.add(video)
                values.append(value)
        return values

    def finish(self) -> Rankings:
        """Number the videos by name, and sort every list.

        Raises:
            EvalError: if there was any fault, or no query.
        """
        self.faults.raise_if_any()
        if not self.columns:
            self.faults.add_sentence(f"no query is ranked, expected each with {_EXPECTED}")
            self.faults.raise_if_any()
        by_name = sorted(self.codes)
        place_V = np.empty(len(by_name), np.int64)
        place_V[[self.codes[video] for video in by_name]] = np.arange(len(by_name))
        ranked = {
            query: _best_first(place_V[codes], values)
            for query, (codes, values) in self.columns.items()
        }
        return Rankings(self.source, {video: v for v, video in enumerate(by_name)}, ranked)


def _is_pair(row: Any) -> bool:
    return isinstance(row, list | tuple) and len(row) == 2


def _plain(videos: list[Any], similarities: list[Any]) -> bool:
    """Whether nothing needs a closer look: names, each once, and finite Python numbers."""
    if not set(map(type, videos)) <= {str} or not set(map(type, similarities)) <= {float}:
        return False
    different = set(videos)
    return (
        len(different) == len(videos)
        and "" not in different
        and all(map(math.isfinite, similarities))
    )


def _best_first(code_N: Ints, similarity_N: Similarities) -> Ints:
    """Codes by descending similarity, of equal ones the smaller code first."""
    order: Ints = code_N[np.lexsort((code_N, -similarity_N))]
    return order
