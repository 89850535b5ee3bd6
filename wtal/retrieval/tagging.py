"""Tags for untagged videos from their neighbours, as a file that `wtal train --tags` takes.

A video without a line counts as untagged; so does one whose tags are all suggestions of an earlier
turn, since nobody has looked at them. An empty label is a tag: nothing happens in that video. Only
tags that a person gave have a vote, and where subsets are named only those of the training subset:
tags of a test are not to reach training through neighbours.

Shapes: Q untagged videos, V videos that vote, C labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from wtal.data import TRAIN_NAMES, select_subset
from wtal.errors import WtalError
from wtal.inputs import read_labels
from wtal.notices import some
from wtal.retrieval.loading import Loaded, Progress
from wtal.retrieval.merging import Homes, homes_of, merged
from wtal.retrieval.searching import neighbours
from wtal.retrieval.sources import Sources
from wtal.retrieval.words import Words
from wtal_features import Tags, read_tags, write_tags
from wtal_features.retrieval.suggestions import (
    CONFIDENCE,
    Reliability,
    Suggestion,
    reliability,
    shares,
    suggest,
)

SHOWN = 10
BINS = 7  # of a tenth each, from CONFIDENCE to 1


@dataclass(frozen=True)
class Suggested:
    """Suggestions, and how far they can be trusted.

    Args:
        listed: all tags that there were.
        given: those of people.
        untagged: video -> its suggestions of at least `CONFIDENCE`, the surest first.
        sure: confidence from which they are among the tags.
        voters: how many videos had a vote.
        homes: their subset, and videos of others.
        bins: how often suggestions of about one confidence are right, on the voters.
    """

    listed: Tags
    given: Tags
    untagged: dict[str, list[Suggestion]]
    sure: float
    voters: int
    homes: Homes
    bins: Sequence[Reliability]

    def lines(self, *, every: bool) -> Iterator[str]:
        """How good they are where the tags are known, and the first of them, or all."""
        subset = self.homes.subset
        of = f" of {subset}" if subset is not None else ""
        yield f"tags of {self.voters} videos{of} vote; each of them, were it untagged, would get:"
        yield "  confidence   suggestions   right"
        for one in self.bins:
            right = f"{one.accuracy:8.0%}" if one.suggestions else f"{'-':>8}"
            yield f"  {one.low:.1f} to {one.high:.1f} {one.suggestions:13d}{right}"
        sure = {video: found for video, found in self.untagged.items() if self._kept(found)}
        count = sum(len(self._kept(found)) for found in sure.values())
        yield (
            f"{count} tags for {len(sure)} of {len(self.untagged)} untagged videos, "
            f"from --sure {self.sure:g} on"
        )
        yield from self._joining(sure)
        for video, found in list(sure.items())[: None if every else SHOWN]:
            listed = ", ".join(f"{one.label} {one.confidence:.2f}" for one in self._kept(found))
            yield f"  {video}: {listed}"
        if len(sure) > SHOWN and not every:
            yield f"  and {len(sure) - SHOWN} more; -v shows all."

    def _joining(self, sure: Iterable[str]) -> Iterator[str]:
        subset, apart = self.homes.subset, self.homes.apart
        new = [video for video in sure if video not in self.listed.labels]
        joining = [video for video in new if video not in apart]
        if joining:
            yield f"  {len(joining)} of them had no line and join {subset or 'the tagged ones'}"
        if subset is None and apart:
            yield f"  {len(apart)} get none: the manifest counts them among other subsets"
        elif len(joining) < len(new):
            yield f"  {len(new) - len(joining)} had none and keep the subset of the manifest"

    def _kept(self, found: Sequence[Suggestion]) -> list[Suggestion]:
        return [one for one in found if one.confidence >= self.sure]

    def write(self, path: Path) -> None:
        """As CSV: video,label, subset where one is named, and confidence."""
        kept = {video: self._kept(found) for video, found in self.untagged.items()}
        write_tags(path, merged(self.listed, self.given, kept, self.homes))


def tags_of(words: Words) -> Tags:
    """The tags that were given, as a tags file or as the labels of annotations."""
    if words.tags is not None and words.annotations is None:
        read_labels(words.tags)  # refuses a JSON file in its words
        return read_tags(words.tags)
    labels = read_labels(words.tags, words.annotations)
    subsets = {video: subset for video, subset in labels.subsets.items() if subset is not None}
    return Tags(labels.tags, subsets, labels.notes)


def people_gave(tags: Tags) -> Tags:
    """Without what earlier turns suggested."""
    kept = {
        video: tuple(label for label in labels if (video, label) not in tags.confidences)
        for video, labels in tags.labels.items()
    }
    return replace(tags, labels=kept, confidences={})


def untagged(tags: Tags, given: Tags, video: str) -> bool:
    """Whether no person has said anything of a video.

    Args:
        tags: All of them.
        given: Those of people.
        video: Its name.
    """
    suggested_alone = bool(tags.labels.get(video)) and not given.labels[video]
    return video not in tags.labels or suggested_alone


def voters_of(given: Tags) -> tuple[set[str], str | None]:
    """Videos with a vote, and their subset."""
    tagged = {video for video, labels in given.labels.items() if labels}
    subsets = {video: given.subsets.get(video) for video in given.labels}
    named = {subset.lower() for subset in subsets.values() if subset is not None}
    if named.isdisjoint(TRAIN_NAMES):
        return tagged, None
    chosen, subset = select_subset(subsets, "auto", "the tags")
    return tagged.intersection(chosen), subset


def check_labels(tags: Tags, sources: Sources, words: Words) -> None:
    """Refuse what leaves nothing to suggest, before anything is read.

    Raises:
        WtalError: no video of the gallery votes, or none of the queries is untagged.
    """
    given = people_gave(tags)
    voters, _ = voters_of(given)
    if voters.isdisjoint(sources.gallery.videos):
        raise WtalError(
            f"{words.tags or words.annotations} tags no video of {sources.gallery.where} that may "
            f"vote; tagged are {some(voters) or 'none'}."
        )
    if not any(untagged(tags, given, video) for video in sources.queries.videos):
        raise WtalError(
            f"Every video of {sources.queries.where} has a tag or an empty label, which says that "
            "nothing happens; --suggest is for those without a line."
        )


def suggest_tags(
    loaded: Loaded, sources: Sources, tags: Tags, words: Words, progress: Progress
) -> Suggested:
    """Ask the neighbours.

    Raises:
        WtalError: no video that votes could be read.
    """
    given = people_gave(tags)
    allowed, subset = voters_of(given)
    gallery, queries = loaded.gallery, loaded.queries
    voters = [place for place, name in enumerate(gallery.names) if name in allowed]
    if not voters:
        raise WtalError("None of the tagged videos can be read; there is nothing to vote.")
    labels = [given.labels[gallery.names[place]] for place in voters]
    classes = sorted({label for some in labels for label in some})
    labels_VC = torch.tensor(
        [[label in some for label in classes] for some in labels], device=gallery.pooled_VD.device
    )
    asking = [p for p, name in enumerate(queries.names) if untagged(tags, given, name)]
    total, found = len(voters) + len(asking), []
    if asking:
        near = neighbours(
            *(queries, gallery, words.kind, words.top),
            exclude_self=False,
            progress=lambda done, _: progress(done, total),
            asking=asking,
            among=voters,
        )
        least = min(CONFIDENCE, words.confidence)
        found = suggest(near, labels_VC, classes, min_confidence=least)
    near = neighbours(
        *(gallery, gallery, words.kind, words.top),
        exclude_self=True,
        progress=lambda done, _: progress(len(asking) + done, total),
        asking=voters,
        among=voters,
    )
    bins = reliability(shares(near, labels_VC), labels_VC, bins=BINS)
    names = [queries.names[place] for place in asking]
    suggestions = dict(zip(names, found, strict=True))
    voting = [sources.gallery.subsets.get(gallery.names[place]) for place in voters]
    homes = homes_of(names, sources.queries.subsets, voting, subset)
    if subset is None:  # a line without a subset would be trained on
        suggestions |= {video: [] for video in homes.apart}
    return Suggested(tags, given, suggestions, words.confidence, len(voters), homes, bins)
