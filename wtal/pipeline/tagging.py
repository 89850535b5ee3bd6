"""Tags meet videos: which video has which, which are learned from, and who is left without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from wtal.corrections.file import Corrections
from wtal.data import select_subset
from wtal.errors import WtalError
from wtal.inputs import Labels
from wtal.notices import look_alikes, some, spelt_alike, without_action
from wtal_features import Tags
from wtal_features.errors import counted
from wtal_features.extraction.listing import EXTENSIONS
from wtal_features.files import read_text
from wtal_features.tags import tags_text, write_tags


@dataclass(frozen=True)
class Tagging:
    """The tags of the videos that are there.

    Attributes:
        labels: tags and subsets under the ids of the videos; of no others.
        training: ids that are learned from, sorted.
        subset: its name; None: all tagged videos.
        unknown: names in the tags that no video has.
        untagged: ids of videos without a line.
    """

    labels: Labels
    training: tuple[str, ...]
    subset: str | None
    unknown: tuple[str, ...]
    untagged: tuple[str, ...]

    @property
    def classes(self) -> Mapping[str, int]:
        """Class -> training videos, the rarest last."""
        counts = Counter(label for video in self.training for label in self.labels.tags[video])
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def tags_of_training(self) -> dict[str, tuple[str, ...]]:
        """Tags of the videos that are learned from."""
        return {video: self.labels.tags[video] for video in self.training}

    @property
    def without_action(self) -> list[str]:
        """Videos that are learned from and show no class."""
        return [video for video in self.training if not self.labels.tags[video]]

    def lines(self) -> list[str]:
        """For a person."""
        subset = f" (subset {self.subset})" if self.subset else ""
        shown = [f"{name} {count}" for name, count in self.classes.items()]
        more = f", and {len(shown) - 12} more" if len(shown) > 12 else ""
        return [
            f"{self.labels.source}: {counted(len(self.labels.tags), 'tagged video')}, "
            f"{len(self.training)} to learn from{subset}, {len(self.untagged)} without a line",
            f"{counted(len(shown), 'class', 'classes')}: {', '.join(shown[:12])}{more}",
            *([without_action(self.without_action)] if self.without_action else []),
        ]

    def warnings(self) -> list[str]:
        """What a person should know before hours are spent."""
        found = [*self.labels.notes]
        if self.unknown:
            fit = "fits" if len(self.unknown) == 1 else "fit"
            found.append(
                f"{counted(len(self.unknown), 'name')} in {self.labels.source} {fit} no video: "
                f"{some(self.unknown)}.{self._meant()}"
            )
        if self.untagged:
            found.append(
                f"{counted(len(self.untagged), 'video')} without a line in {self.labels.source}: "
                f"{some(self.untagged)}. Nothing is learned there; segments are looked for all "
                "the same."
            )
        return found + spelt_alike(self.classes) + self._thin()

    def _meant(self) -> str:
        """Which videos the first names that fit none may mean."""
        videos = {*self.labels.tags, *self.untagged}
        names = {_without_ending(name): name for name in self.unknown}
        pairs = [
            f"{names[name]} may mean {video}"
            for group in look_alikes(videos | names.keys())
            for name, video in product(group, group)
            if name in names and video in videos
        ]
        return f" To the letter: {some(pairs)}." if pairs else ""

    def _thin(self) -> list[str]:
        """What too few videos mean."""
        found = []
        if len(self.training) == 1:
            found.append(
                "One tagged video: there is nothing to compare it with. Expect its own likeness "
                "in the others, no more."
            )
        if len(self.classes) == 1:
            found.append(
                f"One class, {next(iter(self.classes))!r}: every video is asked for it alone. "
                "Videos with an empty label, in which it does not happen, help most."
            )
        single = [name for name, count in self.classes.items() if count == 1]
        if single and len(self.training) > 1:
            found.append(
                f"{counted(len(single), 'class has', 'classes have')} one video to learn from: "
                f"{some(single)}. Expect little of them; three and more help."
            )
        return found


def put_on(
    labels: Labels, videos: Mapping[str, str | None], wanted: str, broken: Iterable[str] = ()
) -> Tagging:
    """Find the video of every name in the tags.

    Args:
        labels: as they were read.
        videos: ids of the videos -> subset that their folder names.
        wanted: `data.train_subset`.
        broken: names of files that are left out; tags of them are passed over.

    Raises:
        WtalError: no name fits a video, or no video to learn from has a tag.
    """
    tags: dict[str, set[str]] = {}
    subsets: dict[str, str | None] = {}
    unknown, left_out = [], dict.fromkeys(broken)
    for name, own in labels.tags.items():
        video = _video_of(name, videos)
        if video is None:
            if _video_of(name, left_out) is None:
                unknown.append(name)
            continue
        tags.setdefault(video, set()).update(own)
        subsets[video] = labels.subsets.get(name) or subsets.get(video)
    if not tags:
        raise WtalError(_none_fits(labels, videos))
    if not any(subsets.values()):  # then folders such as train/ and test/ say it
        subsets = {video: videos[video] for video in tags}
    kept = replace(
        labels,
        tags={video: tuple(sorted(own)) for video, own in sorted(tags.items())},
        subsets={video: subsets[video] for video in sorted(tags)},
    )
    training, subset = select_subset(kept.subsets, wanted, labels.source)
    if not any(kept.tags[video] for video in training):
        where = f"subset {subset} of {labels.source}" if subset else labels.source
        raise WtalError(f"No video of {where} has a tag: there is nothing to learn.")
    untagged = tuple(sorted(videos.keys() - tags.keys()))
    return Tagging(kept, tuple(training), subset, tuple(sorted(unknown)), untagged)


def corrected(
    tagging: Tagging, corrections: Corrections, videos: Mapping[str, str | None]
) -> Tagging:
    """Untagged videos that somebody corrected are learned from: what was said of them is a tag.

    Args:
        tagging: without corrections.
        corrections: of any videos; those of tagged ones are the training's own affair.
        videos: id -> subset that its folder names; those of another subset stay out.
    """
    told = {
        video: said.labels
        for video, said in corrections.videos.items()
        if video in tagging.untagged
        and videos[video] in (None, tagging.subset)
        and (said.labels or said.complete)
    }
    labels = replace(
        tagging.labels,
        tags={**tagging.labels.tags, **told},
        subsets={**tagging.labels.subsets, **dict.fromkeys(told, tagging.subset)},
    )
    return replace(
        tagging,
        labels=labels,
        training=tuple(sorted({*tagging.training, *told})),
        untagged=tuple(video for video in tagging.untagged if video not in told),
    )


def without(tagging: Tagging, skipped: Iterable[str]) -> Tagging:
    """The same without videos that turned out to be broken.

    Raises:
        WtalError: nothing is left to learn from.
    """
    gone, labels = set(skipped), tagging.labels
    kept = replace(
        labels,
        tags={video: own for video, own in labels.tags.items() if video not in gone},
        subsets={video: own for video, own in labels.subsets.items() if video not in gone},
    )
    training = tuple(video for video in tagging.training if video not in gone)
    if not any(kept.tags[video] for video in training):
        raise WtalError(
            f"None of the {len(tagging.training)} videos to learn from can be used, the first is "
            f"{tagging.training[0]!r}; `wtal doctor` on the folder says why."
        )
    untagged = tuple(video for video in tagging.untagged if video not in gone)
    return replace(tagging, labels=kept, training=training, untagged=untagged)


def learned(tagging: Tagging) -> Labels:
    """The labels of the videos that are learned from alone."""
    kept = tagging.tags_of_training
    return replace(tagging.labels, tags=kept, subsets=dict.fromkeys(kept))


def save(path: Path, labels: Labels) -> None:
    """Write the tags under the ids of the videos; a file that says the same is left alone.

    Raises:
        FeatureError: a label cannot be written as CSV, or the disk is full.
    """
    subsets = {video: subset for video, subset in labels.subsets.items() if subset}
    tags = Tags(dict(labels.tags), subsets)
    if not path.exists() or read_text(path) != tags_text(tags):
        write_tags(path, tags)


def _video_of(name: str, videos: Mapping[str, str | None]) -> str | None:
    """The id that a name means: itself, or what it is without the ending of a recording."""
    found = name if name in videos else _without_ending(name)
    return found if found in videos else None


def _without_ending(name: str) -> str:
    """The name of a recording without its ending; any other as it is."""
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending}".lower() in EXTENSIONS else name


def _none_fits(labels: Labels, videos: Mapping[str, str | None]) -> str:
    if not labels.tags:
        return f"{labels.source} names no video."
    return (
        f"No name in {labels.source} fits a video: the videos are called like {min(videos)!r}, "
        f"the names are like {min(labels.tags)!r}. Names of videos are those of their files, with "
        "or without the ending."
    )
