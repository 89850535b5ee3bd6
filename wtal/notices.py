"""What labels leave out: said once before the work begins, since its result will not show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from wtal.inputs import Labels
from wtal_features.errors import counted

EXAMPLES = 5  # names listed of each kind


def before_training(labels: Labels, names: Sequence[str], readable: Sequence[str]) -> list[str]:
    """Sentences about the tags of a training.

    Args:
        labels: of all subsets.
        names: videos of the training subset.
        readable: those of them whose features can be used.
    """
    learned = classes_of(labels, readable)
    unread = classes_of(labels, names) - learned
    elsewhere = classes_of(labels, labels.tags) - classes_of(labels, names)
    untagged = [name for name in readable if not labels.tags[name]]
    found = [*labels.notes, *spelt_alike(learned)]
    if unread:
        found.append(
            f"{counted(len(unread), 'class has', 'classes have')} no training video that can be "
            f"read and cannot be learned: {some(unread)}."
        )
    if elsewhere:
        found.append(
            f"{counted(len(elsewhere), 'class occurs', 'classes occur')} in other subsets only "
            f"and cannot be learned: {some(elsewhere)}."
        )
    if untagged:
        found.append(f"{without_action(untagged)}.")
    return found


def without_action(names: Sequence[str]) -> str:
    """What is said of training videos with no tag, of which there is at least one."""
    return (
        f"{counted(len(names), 'training video shows', 'training videos show')} none of the "
        f"actions, as the tags say: {some(names)}"
    )


def before_localizing(labels: Labels, names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Sentences about tags that a model cannot answer; a video without any needs no word here.

    Args:
        labels: of all subsets.
        names: videos to localize.
        classes: that the model knows.
    """
    unknown = classes_of(labels, names) - set(classes)
    found = [*labels.notes]
    if unknown:
        found.append(
            f"{counted(len(unknown), 'class is', 'classes are')} unknown to the model and "
            f"cannot be detected: {some(unknown)}."
        )
    return found


def spelt_alike(classes: Iterable[str]) -> list[str]:
    """A sentence for each group of classes that may be meant as one."""
    return [
        f"{' and '.join(map(repr, group))} are different classes, to the letter; if one is meant, "
        "write it alike."
        for group in look_alikes(classes)
    ]


def look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Names that differ in capitals, spaces, hyphens and underscores alone, in groups.

    Example:
        >>> look_alikes(["Cough", "High Jump", "cough", "high_jump", "Run"])
        [['Cough', 'cough'], ['High Jump', 'high_jump']]
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(re.sub(r"[\s_-]", "", name.casefold()), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def classes_of(labels: Labels, names: Iterable[str]) -> set[str]:
    """Classes that occur in some videos."""
    return {label for name in names for label in labels.tags[name]}


def some(names: Iterable[str]) -> str:
    """A few names, sorted, and how many more there are."""
    listed = sorted(names)
    more = f" and {len(listed) - EXAMPLES} more" if len(listed) > EXAMPLES else ""
    return ", ".join(listed[:EXAMPLES]) + more
