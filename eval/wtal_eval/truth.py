"""The evaluated subset: which videos, classes and instances take part."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from wtal_eval.ambiguous import AMBIGUOUS, Intervals, find_intervals, labelled_ambiguous
from wtal_eval.columns import Annotations, codes_of, repeated
from wtal_eval.faults import EvalError, shown
from wtal_eval.notes import Notes
from wtal_eval.protocols import Protocol, nearest
from wtal_eval.segments import Bools, Floats, Segments

# The same subset under the names that public files give it.
SUBSET_ALIASES = {"train": "training", "val": "validation", "test": "testing"}


@dataclass(frozen=True, eq=False)
class Truth:
    """The evaluated subset: `V` videos, `C` classes in alphabetical order, `G` instances.

    Attributes:
        videos: (V,) names in file order.
        durations: (V,) seconds, NaN where unknown.
        classes: (C,) labels with at least one instance.
        instances: in file order and seconds; video 0 to V - 1, label 0 to C - 1.
        excluded: names of the videos left out on request.
        intervals: Ambiguous intervals, also of videos outside the subset; empty if the protocol
            does not ask for them.
    """

    videos: tuple[str, ...]
    durations: Floats
    classes: tuple[str, ...]
    instances: Segments
    excluded: frozenset[str]
    intervals: Intervals = field(default_factory=dict)


def select_truth(annotations: Annotations, protocol: Protocol, notes: Notes) -> Truth:
    """Cut the annotations to the subset, and find its classes.

    Raises:
        EvalError: if the subset is not there or holds no instance, or for a reversed instance.
    """
    subset = find_subset(annotations, protocol.subset, notes)
    excluded = frozenset(protocol.exclude_videos)
    absent = excluded.difference(annotations.videos)
    notes.warn(
        len(absent),
        "excluded video is not in the annotation file",
        "excluded videos are not in the annotation file",
    )
    chosen = np.array(
        [
            s == subset and v not in excluded
            for v, s in zip(annotations.videos, annotations.subsets, strict=True)
        ],
        bool,
    )
    keep = chosen[annotations.video]
    keep &= _no_ambiguous(annotations, keep, protocol, notes)
    keep &= _no_excluded_class(annotations, protocol)
    start, end, positive = _positive(annotations, keep, protocol, notes)
    keep &= positive
    keep &= _no_repetition(annotations, keep, protocol, notes)
    if not keep.any():
        raise EvalError(
            f"{annotations.source}: subset {subset!r} holds no instance; "
            f"the file holds {_subset_counts(annotations)}."
        )
    used = np.unique(annotations.label[keep])
    classes = sorted(annotations.labels[code] for code in used)
    class_of = codes_of(annotations.labels, {name: c for c, name in enumerate(classes)}, -1)
    video_of = np.cumsum(chosen) - 1
    instances = Segments(
        video_of[annotations.video[keep]],
        class_of[annotations.label[keep]],
        start[keep],
        end[keep],
    )
    truth = Truth(
        videos=tuple(v for v, c in zip(annotations.videos, chosen, strict=True) if c),
        durations=annotations.durations[chosen],
        classes=tuple(classes),
        instances=instances,
        excluded=excluded,
        intervals=_intervals(annotations, protocol, notes),
    )
    _describe_truth(truth, notes)
    notes.counts["annotation_version"] = annotations.version
    return truth


def find_subset(annotations: Annotations, wanted: str, notes: Notes) -> str:
    """The subset as the file spells it: exactly, or else by case and alias, with a note.

    Raises:
        EvalError: if no subset, or more than one, fits.
    """
    present = dict.fromkeys(annotations.subsets)
    if wanted in present:
        return wanted
    fits = [name for name in present if _plain_subset(name) == _plain_subset(wanted)]
    if len(fits) != 1:
        raise EvalError(
            f"{annotations.source}: subset {wanted!r} is not there; "
            f"the file holds {_subset_counts(annotations)}."
        )
    notes.warnings.append(f"Subset {fits[0]!r} of the annotation file is used for {wanted!r}.")
    return fits[0]


def _plain_subset(name: str) -> str:
    return SUBSET_ALIASES.get(name.lower(), name.lower())


def _subset_counts(annotations: Annotations) -> str:
    instances = np.bincount(annotations.video, minlength=len(annotations.videos))
    videos: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for name, count in zip(annotations.subsets, instances.tolist(), strict=True):
        videos[name] += 1
        total[name] += count
    parts = [f"{shown(name)} ({videos[name]} videos, {total[name]} instances)" for name in videos]
    return ", ".join(parts) or "no videos"


def _no_ambiguous(annotations: Annotations, keep: Bools, protocol: Protocol, notes: Notes) -> Bools:
    """The instances that are not set aside as Ambiguous intervals."""
    ambiguous = labelled_ambiguous(annotations)
    if protocol.ambiguous != "class":
        return ~ambiguous
    notes.warn(
        int((ambiguous & keep).sum()),
        f"instance labelled {AMBIGUOUS!r} is counted as a class like any other",
        f"instances labelled {AMBIGUOUS!r} are counted as a class like any other",
    )
    return np.ones_like(ambiguous)


def _intervals(annotations: Annotations, protocol: Protocol, notes: Notes) -> Intervals:
    if not protocol.ambiguous.startswith("drop"):
        return {}
    intervals = find_intervals(annotations, protocol)
    if not intervals:
        notes.warnings.append(
            f"ambiguous={protocol.ambiguous} asks for Ambiguous intervals, and there are none: "
            f"ambiguous_file (--ambiguous-file) names a file of them, such as Ambiguous_test.txt."
        )
    return intervals


def _no_excluded_class(annotations: Annotations, protocol: Protocol) -> Bools:
    """The instances whose class takes part.

    Raises:
        EvalError: for the name of a class that is not there.
    """
    for name in protocol.exclude_class:
        if name not in annotations.labels:
            raise EvalError(
                f"Option exclude_class names {shown(name)}, which is no label of "
                f"{annotations.source}{nearest(name, annotations.labels)}."
            )
    left_out = codes_of(annotations.labels, dict.fromkeys(protocol.exclude_class, 1), 0)
    rows: Bools = left_out[annotations.label] == 0
    return rows


def _positive(
    annotations: Annotations, keep: Bools, protocol: Protocol, notes: Notes
) -> tuple[Floats, Floats, Bools]:
    """Start and end, and which rows stay, after the rule for zero and negative lengths."""
    start, end = annotations.start, annotations.end
    if protocol.nonpositive_gt == "drop":
        notes.warn(
            int((keep & (end <= start)).sum()),
            "instance of zero or negative length was dropped",
            "instances of zero or negative length were dropped",
        )
        return start, end, end > start
    if protocol.nonpositive_gt == "swap":
        notes.warn(
            int((keep & (end < start)).sum()),
            "instance ends before it starts (turned round)",
            "instances end before they start (turned round)",
        )
        start, end = np.minimum(start, end), np.maximum(start, end)
    annotations.refuse_reversed(keep & (end < start), "nonpositive_gt=drop removes them")
    notes.warn(
        int((keep & (end == start)).sum()),
        "instance has zero length and stays as a positive that hardly anything reaches",
        "instances have zero length and stay as positives that hardly anything reaches",
    )
    return start, end, np.ones_like(keep)


def _no_repetition(
    annotations: Annotations, keep: Bools, protocol: Protocol, notes: Notes
) -> Bools:
    """The instances that do not repeat an earlier one that stays, within the tolerance.

    Source: sming256/OpenTAD@3dd7b03 opentad/evaluations/builder.py, remove_duplicate_annotations.
    """
    stays = np.ones_like(keep)
    if protocol.dedup_gt is None:
        return stays
    earlier: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for i in np.flatnonzero(keep).tolist():
        segment = float(annotations.start[i]), float(annotations.end[i])
        others = earlier.setdefault((int(annotations.video[i]), int(annotations.label[i])), [])
        if any(_within(segment, other, protocol.dedup_gt) for other in others):
            stays[i] = False
        else:
            others.append(segment)
    notes.warn(
        int((~stays).sum()),
        f"instance was removed: it repeats another within {protocol.dedup_gt} s",
        f"instances were removed: they repeat others within {protocol.dedup_gt} s",
    )
    return stays


def _within(one: tuple[float, float], other: tuple[float, float], tolerance: float) -> bool:
    return abs(one[0] - other[0]) <= tolerance and abs(one[1] - other[1]) <= tolerance


def _describe_truth(truth: Truth, notes: Notes) -> None:
    instances = truth.instances
    duration = truth.durations[instances.video]
    columns = (instances.video, instances.label, instances.start, instances.end)
    notes.counts.update(
        videos=len(truth.videos),
        instances=len(instances),
        classes=len(truth.classes),
        instances_duplicate=repeated(columns),
        instances_before_zero=int((instances.start < 0).sum()),
        instances_past_duration=int((instances.end > duration).sum()),
    )
