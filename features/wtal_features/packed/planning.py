"""Which video goes into which shard: by name, as the headers say, before any array is read."""

import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wtal_features.errors import FeatureError
from wtal_features.files import read_json
from wtal_features.manifest import MANIFEST
from wtal_features.packed.layout import aligned
from wtal_features.store import FeatureStore
from wtal_features.writer import difference

# So many videos lie in one shard at most, so that memory is bounded where they are tiny.
MOST_VIDEOS = 100_000
# Of the head of a manifest, what two stores that go into one may differ in.
_FREE = frozenset({"videos", "packed", "dtype", "made_with", "dims", "streams"})


class Planned(NamedTuple):
    """One video that is to be packed."""

    video: str
    source: int  # which of the stores
    rows: int
    itemsize: int
    entry: str  # JSON, as it will stand in the texts
    stamp: list[int]  # other numbers as soon as the values are others


@dataclass(frozen=True)
class Plan:
    """What is packed.

    Attributes:
        sources: The stores.
        head: The head of the manifest to write, without `packed`.
        most_bytes: Of a shard; a longer video has one of its own.
        skipped: Video -> why it cannot be packed; grows while `shards` is gone through.
        content: A digest of what `shards` has given so far: names, sizes and entries, not values.
    """

    sources: tuple[FeatureStore, ...]
    head: Mapping[str, object]
    most_bytes: int
    skipped: dict[str, str] = field(default_factory=dict)
    content: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def dim(self) -> int:
        """D over all streams."""
        return self.sources[0].dim

    def shards(self) -> Iterator[list[Planned]]:
        """The videos of one shard after the other, sorted; to be gone through once.

        Raises:
            FeatureError: Two stores have a video of one name.
        """
        self.content.update(json.dumps([self.most_bytes, self.head]).encode())
        shard: list[Planned] = []
        end = 0
        for planned in self._videos():
            size = planned.rows * self.dim * planned.itemsize
            if shard and (end + size > self.most_bytes or len(shard) == MOST_VIDEOS):
                yield shard
                shard, end = [], 0
            shard.append(planned)
            self.content.update(json.dumps([planned.video, *planned[2:5]]).encode())
            end = aligned(end + size)
        if shard:
            yield shard

    def _videos(self) -> Iterator[Planned]:
        before: tuple[bytes, int] | None = None
        for key, source in heapq.merge(*map(_named, self.sources, range(len(self.sources)))):
            if before is not None and before[0] == key:
                raise FeatureError(
                    f"{self.sources[before[1]].root} and {self.sources[source].root} both have the "
                    f"video {key.decode()!r}.",
                    "Take it out of one of them.",
                    code="twice",
                )
            before = key, source
            video, store = key.decode(), self.sources[source]
            try:
                rows, (itemsize, stamp) = store.length(video), store.stored(video)
                store.timing(video)
            except FeatureError as error:
                self.skipped[video] = str(error)
                continue
            entry = json.dumps(store.manifest.videos.get(video, {}), ensure_ascii=False)
            yield Planned(video, source, rows, itemsize, entry, stamp)


def plan(sources: Sequence[FeatureStore], most_bytes: int) -> Plan:
    """Check that the stores can become one.

    Raises:
        FeatureError: They differ in what made them, or in their dimensions.
    """
    first, *others = sources
    head = _head(first)
    made_with = _made_with(head)
    for store in others:
        found = _head(store)
        for key in sorted((head.keys() | found.keys()) - _FREE):
            if head.get(key) != found.get(key):
                name, ours, theirs = difference(key, head.get(key), found.get(key))
                raise FeatureError(
                    f"{first.root} has {name} {ours!r}, {store.root} has {theirs!r}.",
                    "One store holds the features of one encoder; pack the two apart.",
                    code="other-store",
                )
        if dict(first.dims) != dict(store.dims):
            raise FeatureError(
                f"{first.root} has the dimensions {dict(first.dims)}, "
                f"{store.root} {dict(store.dims)}.",
                "One store holds the features of one encoder; pack the two apart.",
                code="dim",
            )
        made_with += [versions for versions in _made_with(found) if versions not in made_with]
    kept = {key: value for key, value in head.items() if key not in _FREE}
    widths = {"streams": list(first.streams), "dims": list(first.dims.values())}
    versions = {"made_with": made_with} if made_with else {}
    return Plan(tuple(sources), {**kept, "dim": first.dim, **widths, **versions}, most_bytes)


def _named(store: FeatureStore, number: int) -> Iterator[tuple[bytes, int]]:
    """By the bytes of the names: the order of code points is that of their UTF-8, too."""
    return ((video.encode(), number) for video in store.videos)


def _head(store: FeatureStore) -> dict[str, object]:
    """The head of a store's manifest, with the time base that was given by flags."""
    path = store.root / MANIFEST
    found = read_json(path) if path.exists() else {}
    assert isinstance(found, dict)  # the store is open: it was read before
    times = {"fps": store.manifest.fps, "stride": store.manifest.stride_frames}
    head = {**found, **{key: value for key, value in times.items() if value is not None}}
    return {key: value for key, value in head.items() if key != "videos"}


def _made_with(head: Mapping[str, object]) -> list[object]:
    found = head.get("made_with")
    return list(found) if isinstance(found, list) else []
