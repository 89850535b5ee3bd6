"""Annotations that come with features: read to tag and to check, written in the ActivityNet form.

`{"database": {video: {"subset", "duration", "annotations": [{"label", "segment": [start, end]}]}}}`
"""

import math
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wtal_features.errors import FeatureError, Finding
from wtal_features.files import check_name, read_json
from wtal_features.tags import Tags, check_text


@dataclass(frozen=True)
class Annotations:
    """Annotated videos.

    Attributes:
        database: As in the ActivityNet form, segments as numbers in seconds.
        tags: Labels of the videos that have any; a video without annotations is not called
            background, for test sets hide theirs.
        faults: Videos left out, and why.
        notes: For the user.
    """

    database: dict[str, dict[str, Any]]
    tags: Tags
    faults: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    def duration_s(self, video: str) -> float | None:
        """Length of the video in seconds, where known."""
        duration: float | None = self.database.get(video, {}).get("duration")
        return duration


def read_activitynet(path: Path) -> Annotations:
    """Read an ActivityNet JSON file; segments may be texts, as in BaS-Net's gt.json.

    Raises:
        FeatureError: If the file is no JSON or has no `database`.
    """
    fields = read_json(path)
    videos = fields.get("database") if isinstance(fields, dict) else None
    if not isinstance(videos, dict):
        raise FeatureError(
            f"{path} has no object 'database'; expected annotations in the ActivityNet form.",
            "See features/README.md.",
            code="annotations",
        )
    database, faults = {}, []
    for name, entry in videos.items():
        video = unicodedata.normalize("NFC", name)
        try:
            database[video] = _entry(video, entry)
        except FeatureError as error:
            faults.append(Finding.of(error, video))
    return collect(database, faults)


def _entry(video: str, entry: Any) -> dict[str, Any]:
    """One video of the database, checked."""
    check_name(video)
    items = entry.get("annotations", []) if isinstance(entry, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _fault(video, "its entry has no list 'annotations'")
    return make_entry(
        video,
        subset=entry.get("subset"),
        numbers={key: entry.get(key) for key in ("duration", "fps", "frames")},
        pairs=[(item.get("label"), item.get("segment")) for item in items],
    )


def make_entry(
    video: str, *, subset: object, numbers: dict[str, object], pairs: list[tuple[Any, Any]]
) -> dict[str, Any]:
    """Build one entry of the database.

    Args:
        video: The id, for messages.
        subset: The part of the data set; None where unknown.
        numbers: `duration` in seconds and others; None where unknown.
        pairs: Label and segment [start, end] in seconds, as numbers or texts.

    Raises:
        FeatureError: If a value is not of its kind.
    """
    entry: dict[str, Any] = {}
    if subset is not None:
        if not isinstance(subset, str):
            raise _fault(video, f"its subset is {subset!r}")
        check_text(subset, video)
        entry["subset"] = subset
    for key, value in numbers.items():
        if value is not None:
            entry[key] = _number(video, value, key)
            if entry[key] <= 0:
                raise _fault(video, f"{key} is {entry[key]}")
    annotations = []
    for label, segment in pairs:
        if not isinstance(segment, list | tuple) or len(segment) != 2:
            raise _fault(video, f"a segment is {str(segment)[:80]}, not [start, end]")
        ends = [_number(video, end, "an end of a segment") for end in segment]
        annotations.append({"label": plain_label(video, label), "segment": ends})
    entry["annotations"] = annotations
    return entry


def plain_label(video: str, label: object) -> str:
    """A label in Unicode form NFC without outer spaces.

    Raises:
        FeatureError: If it is no text, empty, or holds control characters.
    """
    if not isinstance(label, str):
        raise _fault(video, f"a label is {str(label)[:80]!r}, not a text")
    plain = unicodedata.normalize("NFC", label.strip())
    check_text(plain, video)
    return plain


def _number(video: str, value: object, what: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value) if isinstance(value, str) else value
        if not math.isfinite(number):
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise _fault(video, f"{what} is {str(value)[:80]!r}, not a number") from error
    return number


def _fault(video: str, problem: str) -> FeatureError:
    return FeatureError(
        f"The annotations of {video!r} cannot be used: {problem}.",
        "Correct the entry.",
        code="annotations",
    )


def collect(
    database: dict[str, dict[str, Any]],
    faults: list[Finding],
    labels: dict[str, list[str]] | None = None,
    notes: tuple[str, ...] = (),
) -> Annotations:
    """Derive the tags of a database.

    Args:
        database: In the ActivityNet form.
        faults: Videos left out.
        labels: Tags where the source has them apart from the segments.
        notes: For the user.
    """
    of_segments = {
        video: sorted({item["label"] for item in entry["annotations"]})
        for video, entry in database.items()
    }
    # An empty list beside segments says nothing; W-TALC's has one.
    apart = {video: sorted(set(own)) for video, own in (labels or {}).items() if own}
    tagged = {video: tuple(own) for video, own in (of_segments | apart).items() if own}
    subsets = {video: database[video]["subset"] for video in tagged if "subset" in database[video]}
    differing = [video for video, own in apart.items() if own != of_segments[video]]
    if differing:
        notes += (
            f"The tags of {len(differing)} videos differ from the labels of their segments, the "
            f"first is {differing[0]!r}: {apart[differing[0]]} and {of_segments[differing[0]]}.",
        )
    untagged = len(database) - len(tagged)
    if untagged:
        notes += (
            f"{untagged} videos have no annotations; they are not in tags.csv, because nothing "
            "says whether they are background or their labels are hidden.",
        )
    return Annotations(database, Tags(tagged, subsets), tuple(faults), notes)
