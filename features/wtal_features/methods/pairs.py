"""Which videos make a pair, and which must never meet as strangers.

A pair comes from a video itself, changed in time (`time`); from two versions of it (`copies`, named
`video~1`, ...); from another video with the same tags (`tags`); or from a list (`list`).

Legend: V videos, C classes.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal_features.augment.draws import below, order
from wtal_features.errors import FeatureError
from wtal_features.files import read_rows
from wtal_features.methods.settings import require
from wtal_features.retrieval.alterations import TimeAlteration
from wtal_features.retrieval.groups import groups
from wtal_features.retrieval.versions import original_of

PairSource = Literal["time", "copies", "tags", "list"]
_TRIES = 64  # at a stranger by chance, before all are listed


@dataclass(frozen=True)
class PairConfig:
    """Pairs, and what is shown of each video.

    Attributes:
        sources: Any of `time`, `copies`, `tags` and `list`, each taken equally often where a video
            has several. `auto`: `list` where there is one, else `copies` where there are some,
            else `time`.
        list: CSV file with two names of videos a line.
        rows: Of each video that are shown, in one piece at a random place; shorter ones are padded.
        time: What `time` does to the second of a pair.
        noise: Length of random noise that `time` adds to rows of length one.
    """

    sources: tuple[PairSource, ...] | Literal["auto"] = "auto"
    list: str | None = None
    rows: int = 64
    time: TimeAlteration = field(default_factory=TimeAlteration)
    noise: float = 0.3

    def __post_init__(self) -> None:
        """Check ranges, and that a list goes with its source."""
        require(self, "rows", self.rows >= 1, "at least 1")
        require(self, "noise", 0 <= self.noise < 100, "0 to 100")
        require(self, "sources", len(self.sources) > 0, "at least one, or auto")
        listed = "list" in self.sources
        require(self, "list", not listed or self.list is not None, "a file, for the source list")
        unused = self.sources != "auto" and not listed and self.list is not None
        require(self, "list", not unused, "nothing, where list is no source")

    def chosen(self, has_copies: bool) -> tuple[PairSource, ...]:
        """What `auto` means here."""
        if self.sources != "auto":
            return self.sources
        if self.list is not None:
            return ("list",)
        return ("copies",) if has_copies else ("time",)


@dataclass(frozen=True)
class Relations:
    """Who belongs to whom; made by `relate`.

    Attributes:
        videos: V ids.
        group_V: Versions of one video, and videos that a list joins, share a number.
        labels_VC: 1 where a video has a tag; C = 0 where tags make no pairs.
        pools: Source -> video -> those among which it finds a partner, ascending. They may hold
            the video itself; videos of one pool share one tuple.
        absent: Names of the list that are no videos here.
        digest: SHA-256 of all that decides pairs and strangers.
    """

    videos: tuple[str, ...]
    group_V: Tensor
    labels_VC: Tensor
    pools: Mapping[PairSource, Mapping[int, tuple[int, ...]]]
    absent: tuple[str, ...]
    digest: str

    def to(self, device: torch.device) -> Relations:
        """The same on a device, for `related_to_slots`."""
        return replace(self, group_V=self.group_V.to(device), labels_VC=self.labels_VC.to(device))

    @cached_property
    def usable(self) -> frozenset[int]:
        """Videos that have a partner and a stranger, each version of a video counted once."""
        with_partner = frozenset(video for each in self.pools.values() for video in each)
        some_VC = F.pad(self.labels_VC, (0, 1))  # `unique` takes no rows of nothing
        by_tags, kinds_V = some_VC.unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
        counts = kinds_V.bincount(minlength=len(by_tags))
        alike = by_tags @ by_tags.T > 0
        kinds, groups_V = kinds_V.tolist(), self.group_V.tolist()
        sharing = (alike * counts).sum(1).tolist()  # videos with a tag in common
        members: dict[int, list[int]] = defaultdict(list)
        for video, group in enumerate(groups_V):
            members[group].append(video)

        def lonely(video: int) -> bool:
            kin = [kinds[other] for other in members[groups_V[video]]]
            apart = sum(not alike[kinds[video], kind] for kind in kin)
            return bool(sharing[kinds[video]] + apart == len(kinds))

        return frozenset(video for video in with_partner if not lonely(video))

    def related(self, video: int) -> Tensor:
        """(V,) bool: versions of the same, joined by a list, or with a tag in common."""
        alike = self.group_V == self.group_V[video]
        return alike | (self.labels_VC @ self.labels_VC[video] > 0)

    def related_to_slots(self, videos_B: Tensor, slots_K: Tensor) -> Tensor:
        """(B, K) bool: what of a bank belongs to each video; never a slot with the number -1.

        Args:
            videos_B: Numbers of videos.
            slots_K: Likewise, -1 where there is none; all on the device of the relations.
        """
        known_K = slots_K >= 0
        slots_K = slots_K.clamp(min=0)
        alike_BK = self.group_V[videos_B][:, None] == self.group_V[slots_K]
        alike_BK |= self.labels_VC[videos_B] @ self.labels_VC[slots_K].T > 0
        return alike_BK & known_K

    def pair(self, video: int, generator: torch.Generator) -> tuple[PairSource, int, int]:
        """A source of pairs that the video has, and a pair from it: two different videos.

        Of `time` it is the video twice; of `copies` any two of its versions.
        """
        sources = [source for source, each in self.pools.items() if video in each]
        source = sources[below(len(sources), generator)]
        pool = self.pools[source][video]
        if source == "time":
            return source, video, video
        if source == "copies":
            first, second = order(len(pool), generator)[:2]
            return source, pool[first], pool[second]
        own = bisect_left(pool, video)
        inside = own < len(pool) and pool[own] == video
        other = below(len(pool) - inside, generator)
        return source, video, pool[other + (inside and other >= own)]

    def stranger(self, video: int, generator: torch.Generator) -> int:
        """Any video that is not related."""
        for _ in range(_TRIES):
            other = below(len(self.videos), generator)
            apart = self.group_V[other] != self.group_V[video]
            if bool(apart) and not bool(self.labels_VC[other] @ self.labels_VC[video] > 0):
                return other
        strangers = (~self.related(video)).nonzero()[:, 0]
        return int(strangers[below(len(strangers), generator)])


def relate(
    videos: Sequence[str], config: PairConfig, labels: Mapping[str, tuple[int, ...]]
) -> Relations:
    """The pairs that a config makes of videos.

    Args:
        videos: Ids; `a~1`, `a~2`, ... are altered copies of `a`, if that is among them.
        config: Where pairs come from.
        labels: Video -> numbers of its tags; of a copy, those of its original count.

    Raises:
        FeatureError: If a source gives no pair, or the list cannot be used.
    """
    original = originals_of(videos)
    versions: dict[str, list[int]] = defaultdict(list)
    for place, video in enumerate(videos):
        versions[original[video]].append(place)
    # A version stands for all: it is drawn as often as a video without copies.
    first = {places[0]: tuple(places) for places in versions.values()}
    sources = config.chosen(any(len(places) > 1 for places in first.values()))
    tags = [labels.get(original[video], ()) for video in videos]
    joined, absent = _listed(config.list, videos) if "list" in sources else ([], ())
    pools: dict[PairSource, dict[int, tuple[int, ...]]] = {}
    for source in sources:
        if source == "time":
            pools[source] = {place: (place,) for place in first}
        elif source == "copies":
            pools[source] = {place: all_ for place, all_ in first.items() if len(all_) > 1}
        elif source == "tags":
            pools[source] = _same_tags(list(first), tags)
        else:
            pools[source] = _both_ways(joined)
        if not pools[source]:
            raise _no_pair(source)
    same = [(places[0], other) for places in first.values() for other in places]
    C = 1 + max((max(each) for each in tags if each), default=-1) if "tags" in sources else 0
    labels_VC = torch.zeros(len(videos), C)
    for place, each in enumerate(tags if C else []):
        labels_VC[place, list(each)] = 1
    group_V = torch.arange(len(videos))
    for members in groups(same + joined, len(videos)):
        group_V[members] = members[0]
    about = [list(videos), list(sources), tags if C else [], joined]
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    return Relations(tuple(videos), group_V, labels_VC, pools, absent, digest)


def originals_of(videos: Collection[str]) -> dict[str, str]:
    """Video -> the one whose altered copy it is; itself, where there is no such video.

    Example:
        >>> originals_of(["a", "a~1", "b~1"])
        {'a': 'a', 'a~1': 'a', 'b~1': 'b~1'}
    """
    known = frozenset(videos)
    names = ((video, original_of(video)) for video in videos)
    return {video: original if original in known else video for video, original in names}


def _same_tags(
    places: Sequence[int], tags: Sequence[tuple[int, ...]]
) -> dict[int, tuple[int, ...]]:
    """Video -> all with exactly the same tags, where there are two; not of those without any."""
    by_tags: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place in places:
        if tags[place]:
            by_tags[tuple(sorted(tags[place]))].append(place)
    pools = (tuple(sorted(alike)) for alike in by_tags.values() if len(alike) > 1)
    return {place: pool for pool in pools for place in pool}


def _both_ways(pairs: Sequence[tuple[int, int]]) -> dict[int, tuple[int, ...]]:
    found: dict[int, set[int]] = defaultdict(set)
    for first, second in pairs:
        found[first].add(second)
        found[second].add(first)
    return {place: tuple(sorted(others)) for place, others in found.items()}


def _listed(
    path: str | None, videos: Sequence[str]
) -> tuple[list[tuple[int, int]], tuple[str, ...]]:
    """The pairs of a file, as places of videos, and the names that are none."""
    assert path is not None  # PairConfig
    place = {video: number for number, video in enumerate(videos)}
    found, absent = [], set()
    for line, row in read_rows(Path(path)):
        if len(row) != 2 or row[0] == row[1]:
            what = f"names {row[0]!r} twice" if len(row) == 2 else f"has {len(row)} cells"
            raise FeatureError(
                f"{path} line {line} {what}; expected the names of two videos.", code="pairs"
            )
        if row[0] in place and row[1] in place:
            found.append((place[row[0]], place[row[1]]))
        absent |= {name for name in row if name not in place}
    return found, tuple(sorted(absent))


def _no_pair(source: PairSource) -> FeatureError:
    cures = {
        "copies": "Give videos, of which copies are made, or take pairs.sources=[time].",
        "tags": "Give --tags or --annotations in which two videos have the same tags.",
        "list": "Names of videos are those of their files, without the ending.",
    }
    return FeatureError(
        f"The source {source!r} gives no pair of videos.", cures.get(source, ""), code="pairs"
    )
