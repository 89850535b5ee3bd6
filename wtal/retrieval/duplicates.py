"""Near-duplicates: videos that are alike by a threshold or more, in groups that hang together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from wtal.errors import WtalError
from wtal.retrieval.loading import FEW, Loaded, Progress, joined
from wtal.retrieval.ranking import write_csv
from wtal.retrieval.sources import Sources
from wtal.retrieval.words import Words
from wtal_features.retrieval.groups import groups, near_duplicates
from wtal_features.retrieval.similarity import Described, Kind

SHOWN = 10


@dataclass(frozen=True)
class Duplicates:
    """Groups of near-duplicates.

    Args:
        kind, least: similarity, and from which on.
        videos: how many were compared.
        rows: number of the group from 1, video, the most alike of its group, similarity.
    """

    kind: Kind
    least: float
    videos: int
    rows: list[tuple[int, str, str, float]]

    def lines(self, *, every: bool) -> Iterator[str]:
        """How many groups there are, and a line for each; the first few unless all."""
        members: dict[int, list[str]] = {}
        for group, video, _, value in self.rows:
            members.setdefault(group, []).append(f"{video} ({value:.3f})")
        yield (
            f"near-duplicates among {self.videos} videos: {len(members)} groups, "
            f"{len(self.rows)} videos; by {self.kind}, from {self.least:g}"
        )
        shown = len(members) if every else SHOWN
        for group, videos in list(members.items())[:shown]:
            yield f"  {group}: {', '.join(videos)}"
        if shown < len(members):
            yield f"  and {len(members) - shown} more; -v shows all."

    def write(self, path: Path) -> None:
        """As CSV."""
        write_csv(path, ("group", "video", "most alike", "similarity"), self.rows)


def check_least(words: Words, where: str, videos: int) -> None:
    """Refuse a threshold that was set for centred rows where none are centred.

    Args:
        words: the options.
        where: the gallery, for messages.
        videos: how many it has.

    Raises:
        WtalError: near-duplicates of few videos are wanted, without `--above`.
    """
    if words.duplicates is not None and words.above is None and videos < FEW:
        raise WtalError(
            f"{where} has fewer than {FEW} videos, so that rows are not centred, and the default "
            "of --above was set for centred rows; give --above with --duplicates."
        )


def find_duplicates(
    loaded: Loaded, sources: Sources, kind: Kind, least: float, progress: Progress
) -> Duplicates:
    """Among all videos; of two stores, in and between both, under names that say of which.

    Chamfer has a direction; the larger of both counts, so that a piece is a duplicate of the whole.
    Progress is told of every pair that is found, of a total that nobody knows.
    """
    videos = loaded.gallery
    if not loaded.same:
        one, other = folders(sources.queries.where, sources.gallery.where)
        videos = joined(_named(loaded.queries, one), _named(loaded.gallery, other))
    best: dict[int, tuple[float, str]] = {}  # video -> minus the similarity, and to which
    pairs = []
    for i, j, value in near_duplicates(videos, kind, least):
        pairs.append((i, j))
        progress(len(pairs), 0)
        for own, partner in ((i, j), (j, i)):
            found = -value, videos.names[partner]
            best[own] = min(best.get(own, found), found)
    rows = [
        (number, videos.names[member], best[member][1], round(-best[member][0], 5))
        for number, group in enumerate(groups(pairs, len(videos.names)), 1)
        for member in group
    ]
    return Duplicates(kind, least, len(videos.names), rows)


def folders(one: str, other: str) -> tuple[str, str]:
    """Short names of two stores that tell them apart."""
    short = Path(one).stem, Path(other).stem
    return short if short[0] != short[1] else (one, other)


def _named(videos: Described, folder: str) -> Described:
    return replace(videos, names=tuple(f"{folder}/{name}" for name in videos.names))
