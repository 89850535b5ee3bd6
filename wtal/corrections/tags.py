"""Corrections and tags: what each says of the classes of a video, brought together."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from wtal.corrections.file import Corrections
from wtal.errors import WtalError
from wtal.inputs import Labels
from wtal.notices import some


def merge(
    labels: Labels, corrections: Corrections | None, names: Sequence[str]
) -> tuple[Labels, Corrections | None]:
    """Tags with what corrections imply of the training videos, and the corrections of these.

    A class that happens is a tag. A tag of which a complete video shows nothing is none. Whatever
    changes, and every video that is left out, stands in `notes` of the labels.

    Args:
        labels: of all videos.
        corrections: of any videos; None: nothing changes.
        names: the training videos.

    Returns:
        The labels, and the corrections; None where they say nothing of the training videos.

    Raises:
        WtalError: a label is no class of the tags, and no segment was added with it.
    """
    if corrections is None:
        return labels, None
    check_labels(labels, corrections)
    training = frozenset(names)
    notes = [*labels.notes, *corrections.notes]
    outside = {n for n, video in corrections.videos.items() if video.says_anything} - training
    if outside:
        notes.append(
            f"Corrections are kept out where a video is none of the training: {some(outside)}."
        )
    kept = corrections.only(training)
    if kept.digest() is None:
        return replace(labels, notes=tuple(notes)), None
    tags = dict(labels.tags)
    for name, video in kept.videos.items():
        before, seen = set(tags[name]), set(video.labels)
        now = seen if video.complete else before | seen
        tags[name] = tuple(sorted(now))
        if now != before:
            notes.append(_changed(name, now - before, before - now))
    return replace(labels, tags=tags, notes=tuple(notes)), kept


def check_labels(labels: Labels, corrections: Corrections) -> None:
    """Refuse a label that is neither a tag of some video nor a new class.

    Raises:
        WtalError: for the first, with the nearest class.
    """
    classes = {label for tags in labels.tags.values() for label in tags} | corrections.added_labels
    for name, video in corrections.videos.items():
        for each in video.segments:
            if each.label not in classes:
                near = difflib.get_close_matches(each.label, sorted(classes), n=1)
                hint = f"; the nearest is '{near[0]}'" if near else ""
                raise WtalError(
                    f"{corrections.source}: video '{name}' has the label '{each.label}', which is "
                    f"no class of {labels.source}{hint}. Only an added segment brings a new class."
                )


def _changed(name: str, more: set[str], fewer: set[str]) -> str:
    """What became of the tags of a video, in a sentence."""
    told = [f"add {', '.join(sorted(more))} to its tags"] if more else []
    if fewer:
        told.append(f"take {', '.join(sorted(fewer))} from {'them' if more else 'its tags'}")
    return f"{name}: the corrections {' and '.join(told)}."
