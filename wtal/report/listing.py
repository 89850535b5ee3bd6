"""The list of videos: their classes, lengths, tags and notes, from wherever they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wtal.exports.selection import lengths
from wtal.report.blocks import Blocks
from wtal.report.curves import Drawer
from wtal.report.data import VideoRow
from wtal.report.gathering import Gathered
from wtal.report.media import Media
from wtal_features import FeatureError


def class_names(gathered: Gathered) -> tuple[str, ...]:
    """Every label that the page names, sorted."""
    labels = {label for tags in gathered.tags.values() for label in tags}
    labels |= set(gathered.detections.labels)
    if gathered.annotations is not None:
        labels |= set(gathered.annotations.labels)
    for entry in (gathered.corrections or {}).get("videos", {}).values():
        labels |= {segment["label"] for segment in entry["segments"]}
    return tuple(sorted(labels))


def durations_of(gathered: Gathered, media: Media, drawer: Drawer | None) -> dict[str, float]:
    """Video -> seconds: of its header, else as annotated, else as its features say."""
    durations: dict[str, float] = {}
    if drawer is not None:
        for video in gathered.names:
            seconds = _manifest_s(drawer, video)
            if seconds is not None:
                durations[video] = seconds
    known = lengths(gathered.annotations)
    durations |= {v: known[name] for v, name in gathered.annotated.items() if name in known}
    return durations | dict(media.durations)


def _manifest_s(drawer: Drawer, video: str) -> float | None:
    try:
        return drawer.store.timing(video).duration_s
    except FeatureError:  # not in the store, or a faulty entry: there are no curves either
        return None


def rows_of(
    gathered: Gathered,
    classes: tuple[str, ...],
    durations: Mapping[str, float],
    media: Media,
    blocks: Blocks,
) -> Iterator[VideoRow]:
    """The rows of the list, in the order of the names.

    Args:
        gathered: what was read.
        classes: labels of the page, in its order.
        durations: video -> seconds, where known.
        media: what there is to play.
        blocks: of the videos, for truth and faults of features.

    Yields:
        A row per video.
    """
    code = {label: c for c, label in enumerate(classes)}
    for video in gathered.names:
        sources = (gathered.skipped, media.notes, blocks.notes)
        notes = [source[video] for source in sources if video in source]
        tags, seconds = gathered.tags.get(video), durations.get(video)
        yield VideoRow(
            name=video,
            subset=gathered.subsets.get(video),
            duration_s=None if seconds is None else round(seconds, 3),
            media=media.urls.get(video),
            tags=None if tags is None else tuple(code[label] for label in tags),
            truth=len(blocks.truth[video]) if video in blocks.truth else None,
            note=" ".join(distinct(notes)) or None,
            skipped=video in gathered.skipped,
        )


def distinct(notes: list[str]) -> list[str]:
    """Each note once: the run may have met its file from another folder than the page does.

    Example:
        >>> distinct(["in/a.mp4 is empty.", "a.mp4 is empty.", "No curves."])
        ['a.mp4 is empty.', 'No curves.']
    """
    once = list(dict.fromkeys(notes))
    return [one for one in once if not any(one.endswith(note) for note in once if note != one)]
