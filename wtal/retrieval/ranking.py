"""Ranked neighbours: found in parts, so that progress shows; then shown, written and scored.

Shapes: Q queries, G videos of the gallery, k neighbours.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from wtal.retrieval.loading import Loaded, Progress, taken
from wtal.retrieval.words import Words
from wtal_features.files import atomic_write, write_json
from wtal_features.retrieval.search import Neighbours, nearest
from wtal_features.retrieval.similarity import Described, Kind
from wtal_features.tags import inert

PART = 64  # queries ranked at a time, by chamfer
SHOWN_QUERIES, SHOWN_NEIGHBOURS = 10, 3

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

    def cut(self, top: int, *, same: bool) -> Ranking:
        """The first so many, without the query itself where it is a video of the gallery."""
        kept = {
            query: [pair for pair in ranked if not (same and pair[0] == query)][:top]
            for query, ranked in self.results.items()
        }
        return Ranking(self.kind, kept)

    def lines(self, *, every: bool) -> Iterator[str]:
        """A table: a line per query with its first neighbours; the first few unless all."""
        shown = list(self.results)[: None if every else SHOWN_QUERIES]
        width = max(len("query"), *map(len, shown))
        yield f"{'query':{width}}  nearest, by {self.kind}"
        for query in shown:
            ranked = self.results[query][:SHOWN_NEIGHBOURS]
            found = "  ".join(f"{video} {value:.3f}" for video, value in ranked)
            yield f"{query:{width}}  {found or 'none'}"
        if len(shown) < len(self.results):
            yield f"and {len(self.results) - len(shown)} more; -v shows all, --out writes them."

    def write(self, path: Path) -> None:
        """As JSON, which `python -m wtal_eval.retrieval` reads, or as CSV, by the name."""
        if path.suffix.lower() == ".json":
            write_json(path, {"kind": self.kind, "results": self.results})
            return
        rows = [
            (query, rank, video, value)
            for query, ranked in self.results.items()
            for rank, (video, value) in enumerate(ranked, 1)
        ]
        write_csv(path, ("query", "rank", "video", "similarity"), rows)


def rank(loaded: Loaded, words: Words, progress: Progress) -> Ranking:
    """The nearest videos of each query.

    All of them, and the query itself too, where the ranking is to be scored: what counts is up to
    the protocol.
    """
    scored = words.truth is not None
    top = len(loaded.gallery.names) if scored else words.top
    found = neighbours(
        *(loaded.queries, loaded.gallery, words.kind, top),
        exclude_self=loaded.same and not scored,
        progress=progress,
    )
    names, results = loaded.gallery.names, {}
    columns = zip(found.indices_Qk.tolist(), found.values_Qk.double().tolist(), strict=True)
    for query, (indices, values) in zip(loaded.queries.names, columns, strict=True):
        pairs = zip(indices, values, strict=True)
        results[query] = [(names[i], round(value, 5)) for i, value in pairs if i >= 0]
    return Ranking(words.kind, results)


def neighbours(
    queries: Described,
    gallery: Described,
    kind: Kind,
    k: int,
    *,
    exclude_self: bool,
    progress: Progress,
) -> Neighbours:
    """`nearest`, some queries at a time; told (done, total) queries.

    By cosine all at once: it is quick, and an index is worth its while for many queries alone.
    """
    parts, Q = [], len(queries.names)
    step = max(1, Q) if kind == "cosine" else PART
    for first in range(0, Q, step):
        part = taken(queries, range(first, min(first + step, Q)))
        parts.append(nearest(part, gallery, kind, k, exclude_self=exclude_self))
        progress(min(first + step, Q), Q)
    most = max(part.indices_Qk.shape[1] for part in parts)
    # Parts differ where only some of the queries are videos of the gallery.
    indices_Qk = torch.cat([_wide(part.indices_Qk, most, -1) for part in parts])
    values_Qk = torch.cat([_wide(part.values_Qk, most, -torch.inf) for part in parts])
    return Neighbours(indices_Qk, values_Qk)


def _wide(columns_qk: torch.Tensor, k: int, fill: float) -> torch.Tensor:
    missing = k - columns_qk.shape[1]
    return torch.nn.functional.pad(columns_qk, (0, missing), value=fill)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    """Whole or not at all; no cell of text is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([inert(c) if isinstance(c, str) else c for c in row] for row in rows)
    with atomic_write(path) as handle:
        handle.write(text.getvalue().encode("utf-8", "backslashreplace"))
