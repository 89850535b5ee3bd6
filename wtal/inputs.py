"""What is known of the videos: tags from a CSV, or from the labels of an annotation file.

Training reads the labels of annotations and drops the time stamps; they serve again only where the
config says `validation.labels: segments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wtal.errors import WtalError
from wtal_eval import Annotations, read_annotations
from wtal_features import read_tags


@dataclass(frozen=True)
class Labels:
    """Tags and subsets of the videos of one data set.

    Args:
        tags: video -> its labels; empty for a background-only video.
        subsets: video -> its subset, None where none is named.
        source: the file, for messages.
        annotations: the segments, where the file has them.
        notes: what was merged while reading, for the user.
    """

    tags: Mapping[str, tuple[str, ...]]
    subsets: Mapping[str, str | None]
    source: str
    annotations: Annotations | None = None
    notes: tuple[str, ...] = ()


def read_labels(tags: Path | None = None, annotations: Path | None = None) -> Labels:
    """From exactly one of the two files.

    Raises:
        WtalError: none or both are given.
        FeatureError, EvalError: the file has a fault.
    """
    if (tags is None) == (annotations is None):
        raise WtalError(
            "Name the tags of the videos: either --tags FILE.csv or --annotations FILE.json."
        )
    for path, suffix, flag in ((tags, ".json", "--annotations"), (annotations, ".csv", "--tags")):
        if path is not None and path.suffix.lower() == suffix:
            raise WtalError(f"{path} looks like the other kind of file; give it with {flag}.")
    if tags is not None:
        read = read_tags(tags)
        subsets = {video: read.subsets.get(video) for video in read.labels}
        return Labels(read.labels, subsets, str(tags), notes=read.notes)
    assert annotations is not None  # exactly one is given
    return labels_of(read_annotations(annotations))


def labels_of(annotations: Annotations) -> Labels:
    """The tags that an annotation file implies."""
    sets: dict[str, set[str]] = {video: set() for video in annotations.videos}
    pairs = zip(annotations.video.tolist(), annotations.label.tolist(), strict=True)
    for video, label in set(pairs):
        sets[annotations.videos[video]].add(annotations.labels[label])
    return Labels(
        {video: tuple(sorted(labels)) for video, labels in sets.items()},
        {v: s or None for v, s in zip(annotations.videos, annotations.subsets, strict=True)},
        annotations.source,
        annotations,
    )


def videos_of(labels: Labels, subset: str) -> list[str]:
    """Videos of one subset, sorted.

    Raises:
        WtalError: there is none; names those that are present.
    """
    chosen = sorted(video for video, name in labels.subsets.items() if name == subset)
    if not chosen:
        present = sorted({str(name) for name in labels.subsets.values() if name is not None})
        raise WtalError(
            f"{labels.source} has no video of subset '{subset}'; "
            f"present: {', '.join(present) or 'none'}."
        )
    return chosen
