"""Ranked neighbours: shown and written.

Shapes: Q queries, k neighbours.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

from wtal.retrieval.loading import Loaded, Progress
from wtal.retrieval.searching import neighbours
from wtal.retrieval.words import Words
from wtal_features.files import atomic_write
from wtal_features.retrieval.search import DECIMALS
from wtal_features.retrieval.similarity import Kind
from wtal_features.tags import inert

SHOWN_QUERIES, SHOWN_NEIGHBOURS = 10, 3
WIDEST = 40  # characters of a name in the table

Ranked = list[tuple[str, float]]


@dataclass(frozen=True)
class Ranking:
    """The nearest videos of each query, the nearest first.

    Args:
        kind: similarity.
        results: query -> (video, similarity).
    """

    kind: Kind
    results: Mapping[str, Ranked]

    def lines(self, *, every: bool) -> Iterator[str]:
        """A table: a line per query with its first neighbours; the first few queries unless all.

        Of a single query each neighbour has a line.
        """
        if len(self.results) == 1:
            yield from self._of_one(*next(iter(self.results.items())))
            return
        shown = list(self.results)[: None if every else SHOWN_QUERIES]
        width = max(len("query"), *(len(short(query)) for query in shown))
        most = max(map(len, self.results.values()))
        cut = f": the first {SHOWN_NEIGHBOURS} of {most}" if most > SHOWN_NEIGHBOURS else ""
        yield f"{'query':{width}}  nearest, by {self.kind}{cut}"
        for query in shown:
            ranked = self.results[query][:SHOWN_NEIGHBOURS]
            found = "  ".join(f"{short(video)} {value:.3f}" for video, value in ranked)
            yield f"{short(query):{width}}  {found or 'none'}"
        if len(shown) < len(self.results):
            yield f"and {len(self.results) - len(shown)} more; -v shows all, --out writes them."

    def _of_one(self, query: str, ranked: Ranked) -> Iterator[str]:
        width = max(len("query"), len(short(query)))
        yield f"{'query':{width}}  nearest, by {self.kind}"
        videos = [short(video) for video, _ in ranked]
        wide = max(map(len, videos), default=0)
        found = [f"{v:{wide}} {value:.3f}" for v, (_, value) in zip(videos, ranked, strict=True)]
        for line, before in zip_longest(found or ["none"], [short(query)], fillvalue=""):
            yield f"{before:{width}}  {line}"

    def write(self, path: Path) -> None:
        """As `write_lists`."""
        write_lists(path, self.kind, self.results.items())


def short(name: str) -> str:
    """A name that fits into the table."""
    return name if len(name) <= WIDEST else f"{name[: WIDEST - 1]}…"


def rank(loaded: Loaded, words: Words, progress: Progress) -> Ranking:
    """The nearest videos of each query, without the query itself."""
    found = neighbours(
        *(loaded.queries, loaded.gallery, words.kind, words.top),
        exclude_self=loaded.same,
        progress=progress,
    )
    names, results = loaded.gallery.names, {}
    columns = zip(found.indices_Qk.tolist(), found.values_Qk.double().tolist(), strict=True)
    for query, (indices, values) in zip(loaded.queries.names, columns, strict=True):
        pairs = zip(indices, values, strict=True)
        results[query] = [(names[i], round(value, DECIMALS)) for i, value in pairs if i >= 0]
    return Ranking(words.kind, results)


def write_lists(path: Path, kind: Kind, lists: Iterable[tuple[str, Ranked]]) -> None:
    """As JSON, which `python -m wtal_eval.retrieval` reads, or as CSV, by the name.

    One list after another: those of a whole gallery need not be in memory together.
    """
    if path.suffix.lower() != ".json":
        rows = (
            (query, rank, video, value)
            for query, ranked in lists
            for rank, (video, value) in enumerate(ranked, 1)
        )
        write_csv(path, ("query", "rank", "video", "similarity"), rows)
        return
    with _text(path) as handle:
        before = f'{{"kind": {_json(kind)}, "results": {{'
        for query, ranked in lists:
            handle.write(f"{before}{_json(query)}: {_json(ranked)}")
            before = ", "
        handle.write("}}\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    """Whole or not at all; no cell of text is a formula."""
    with _text(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([inert(c) if isinstance(c, str) else c for c in row] for row in rows)


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with atomic_write(path) as handle:
        # As in `write_json`, a lone surrogate stays readable.
        text = io.TextIOWrapper(handle, "utf-8", "backslashreplace", newline="")
        yield text
        text.detach()  # flushes; the file is not ours to close


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
