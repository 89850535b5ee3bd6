"""Suggestions join the tags that people gave, and their videos the subset that votes or their own.

A video that the manifest of its store counts among another subset stays there: a video of the test
is not to be trained on because its neighbours are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wtal_features import Tags
from wtal_features.retrieval.suggestions import Suggestion

Subsets = Mapping[str, str | None]


@dataclass(frozen=True)
class Homes:
    """Where videos without a subset belong.

    Args:
        subset: of the voters; None where the tags name none.
        apart: video -> its own, which is another than that of the voters.
    """

    subset: str | None
    apart: Mapping[str, str]

    def of(self, video: str) -> str | None:
        """Subset of a video that was not listed."""
        return self.apart.get(video, self.subset)


def homes_of(
    videos: Iterable[str], known: Subsets, voters: Iterable[str | None], subset: str | None
) -> Homes:
    """Tell videos of other subsets.

    Args:
        videos: that are not listed.
        known: video -> its subset by the manifest of its store.
        voters: subsets of the voters by the manifest of theirs; they count where the tags name
            none.
        subset: of the voters by the tags.
    """
    named = {one.lower() for one in ([subset] if subset is not None else voters) if one}
    own = {video: known.get(video) for video in videos if named}
    apart = {video: one for video, one in own.items() if one and one.lower() not in named}
    return Homes(subset, apart)


def merged(tags: Tags, given: Tags, kept: Mapping[str, Sequence[Suggestion]], homes: Homes) -> Tags:
    """All tags, with new suggestions in place of earlier ones.

    One that had only suggestions and has none now is left out: an empty label would say that
    nothing happens in it.

    Args:
        tags: all of them.
        given: those of people.
        kept: video -> suggestions that are sure enough; none for some.
        homes: subsets of videos without a line.
    """
    labels, subsets = dict(tags.labels), dict(tags.subsets)
    confidences = {pair: c for pair, c in tags.confidences.items() if pair[0] not in kept}
    for video, suggestions in kept.items():
        home = homes.of(video)
        if suggestions:
            labels[video] = tuple(sorted(one.label for one in suggestions))
            confidences |= {(video, one.label): round(one.confidence, 4) for one in suggestions}
            if home is not None:
                subsets.setdefault(video, home)
        elif labels.get(video) and not given.labels[video]:
            del labels[video]
            subsets.pop(video, None)
    return Tags(labels, subsets, (), confidences)
