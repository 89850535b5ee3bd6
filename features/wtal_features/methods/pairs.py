"""Which videos make a pair, and which must never meet as strangers.

A pair comes from a video itself, changed in time (`time`); from its altered copies (`copies`,
named `video~1`, ...); from another video with the same tags (`tags`); or from a list (`list`).

Legend: V videos, C classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from wtal_features.augment.draws import below
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
        partners: Source -> video -> those with which it makes a pair.
    """

    videos: tuple[str, ...]
    group_V: Tensor
    labels_VC: Tensor
    partners: Mapping[PairSource, Mapping[int, tuple[int, ...]]]

    def to(self, device: torch.device) -> Relations:
        """The same on a device, for `related_to_slots`."""
        return replace(self, group_V=self.group_V.to(device), labels_VC=self.labels_VC.to(device))

    @cached_property
    def usable(self) -> list[int]:
        """Videos that have a partner and a stranger, each version of a video counted once."""
        with_partner = sorted({video for each in self.partners.values() for video in each})
        if not self.labels_VC.shape[1]:
            return with_partner if bool((self.group_V != self.group_V[0]).any()) else []
        return [video for video in with_partner if not bool(self.related(video).all())]

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

    def partner(self, video: int, generator: torch.Generator) -> tuple[PairSource, int]:
        """A source of pairs that the video has, and a partner from it."""
        sources = [source for source, each in self.partners.items() if video in each]
        source = sources[below(len(sources), generator)]
        partners = self.partners[source][video]
        return source, partners[below(len(partners), generator)]

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
        videos: Ids; those of copies end in `~1`, `~2`, ...
        config: Where pairs come from.
        labels: Video -> numbers of its tags; of a copy, those of its original count.

    Raises:
        FeatureError: If a source gives no pair, or the list cannot be used.
    """
    originals: dict[str, list[int]] = defaultdict(list)
    for place, video in enumerate(videos):
        originals[original_of(video)].append(place)
    # A version stands for all: it is drawn as often as a video without copies.
    first = {place[0]: tuple(place) for place in originals.values()}
    sources = config.chosen(any(len(places) > 1 for places in first.values()))
    tags = [labels.get(original_of(video), ()) for video in videos]
    joined = _listed(config.list, videos) if "list" in sources else []
    partners: dict[PairSource, dict[int, tuple[int, ...]]] = {}
    for source in sources:
        if source == "time":
            partners[source] = {place: (place,) for place in first}
        elif source == "copies":
            partners[source] = {place: all_ for place, all_ in first.items() if len(all_) > 1}
        elif source == "tags":
            partners[source] = _same_tags(list(first), tags)
        else:
            partners[source] = _both_ways(joined)
        if not partners[source]:
            raise _no_pair(source)
    same = [(places[0], other) for places in first.values() for other in places]
    C = 1 + max((max(each) for each in tags if each), default=-1) if "tags" in sources else 0
    labels_VC = torch.zeros(len(videos), C)
    for place, each in enumerate(tags if C else []):
        labels_VC[place, list(each)] = 1
    group_V = torch.arange(len(videos))
    for members in groups(same + joined, len(videos)):
        group_V[members] = members[0]
    return Relations(tuple(videos), group_V, labels_VC, partners)


def _same_tags(
    places: Sequence[int], tags: Sequence[tuple[int, ...]]
) -> dict[int, tuple[int, ...]]:
    """Video -> others with exactly the same tags, not none."""
    by_tags: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place in places:
        if tags[place]:
            by_tags[tuple(sorted(tags[place]))].append(place)
    return {
        place: tuple(other for other in alike if other != place)
        for alike in by_tags.values()
        if len(alike) > 1
        for place in alike
    }


def _both_ways(pairs: Sequence[tuple[int, int]]) -> dict[int, tuple[int, ...]]:
    found: dict[int, list[int]] = defaultdict(list)
    for first, second in pairs:
        found[first].append(second)
        found[second].append(first)
    return {place: tuple(others) for place, others in found.items()}


def _listed(path: str | None, videos: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of a file, as places of videos; those of other videos are left out."""
    assert path is not None  # PairConfig
    place = {video: number for number, video in enumerate(videos)}
    found = []
    for line, row in read_rows(Path(path)):
        if len(row) != 2:
            raise FeatureError(
                f"{path} line {line} has {len(row)} cells; expected two names of videos.",
                code="pairs",
            )
        if row[0] in place and row[1] in place and row[0] != row[1]:
            found.append((place[row[0]], place[row[1]]))
    return found


def _no_pair(source: PairSource) -> FeatureError:
    cures = {
        "copies": "Give videos, of which copies are made, or take pairs.sources=[time].",
        "tags": "Give --tags or --annotations in which two videos have the same tags.",
        "list": "Names of videos are those of their files, without the ending.",
    }
    return FeatureError(
        f"The source {source!r} gives no pair of videos.", cures.get(source, ""), code="pairs"
    )
