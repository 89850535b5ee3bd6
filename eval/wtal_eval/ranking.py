"""Which detections take part, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wtal_eval.ambiguous import touching
from wtal_eval.average_precision import class_blocks, rank
from wtal_eval.columns import Annotations, Detections, codes_of, repeated
from wtal_eval.corrections import correct, take
from wtal_eval.faults import EXAMPLES, EvalError, Faults, shown
from wtal_eval.grid import comparable_detections, comparable_instances
from wtal_eval.notes import Notes
from wtal_eval.protocols import Protocol, nearest
from wtal_eval.segments import Bools, Floats, Ints, Segments
from wtal_eval.truth import Truth

RAW_OVERLAP, RAW_SHARE = 0.5, 0.2  # P-MIL's raw proposals: 73 %, TGM's final detections: 0 %
TIES_WORTH_A_WARNING = 0.01  # share of detections; rounding scores to one decimal costs 0.2 points

# Public files of one data set differ in how they write the same id.
RENAMINGS: dict[str, Callable[[str], str]] = {
    "without the prefix 'v_' they are": lambda video: video.removeprefix("v_"),
    "with the prefix 'v_' they are": lambda video: "v_" + video,
    "without the suffix after the last dot they are": lambda video: video.rpartition(".")[0],
}


@dataclass(frozen=True, eq=False)
class Ranking:
    """The detections that take part; video V stands for any video outside the subset.

    Attributes:
        segments: in file order (ties=video: by video name), in seconds.
        score: (N,).
        removable: (N,) those that leave the ranking as false positives (ambiguous=drop-fp).
        order: (N,) rows class by class and by rank, see `average_precision.rank`; None: not known.
    """

    segments: Segments
    score: Floats
    removable: Bools | None = None
    order: Ints | None = None


def select_detections(
    detections: Detections, annotations: Annotations, truth: Truth, protocol: Protocol, notes: Notes
) -> Ranking:
    """Cut the detections to those that count, under the codes of `truth`.

    Raises:
        EvalError: for what the protocol refuses: unknown labels, unknown videos, reversed segments.
    """
    notes.warnings += detections.notes
    notes.counts["detections_read"] = len(detections)
    detections = correct(detections, annotations, protocol, notes)
    if protocol.ties in ("video", "true-first"):
        detections = take(detections, _by_video_name(detections))
    class_of = _classes_of(detections, annotations, truth, protocol, notes)
    video_of = _videos_of(detections, annotations, truth, protocol)
    label, video = class_of[detections.label], video_of[detections.video]
    outside = video == len(truth.videos)
    notes.counts["detections_unknown_video"] = int(outside.sum())
    keep = label >= 0
    _warn_of_other_subsets(detections, annotations, keep & outside, truth, protocol, notes)
    keep &= _on_known_videos(detections, keep, outside, truth, protocol, notes)
    removable = _on_ambiguous(detections, keep, truth, protocol, notes)
    if protocol.ambiguous == "drop-all" and removable is not None:
        keep &= ~removable
        removable = None
    segments = Segments(video, label, detections.start, detections.end)
    score = detections.score
    if not keep.all():
        segments, score = segments.take(keep), score[keep]
        removable = None if removable is None else removable[keep]
    order = rank(segments.label, score, protocol.ties)
    ranking = Ranking(segments, score, removable, order)
    _describe_detections(ranking, truth, protocol, notes)
    return ranking


def _by_video_name(detections: Detections) -> Ints:
    """Rows by the bytes of their video's name, inside a video in file order."""
    place = np.empty(len(detections.videos), np.int64)
    place[sorted(range(len(place)), key=detections.videos.__getitem__)] = np.arange(len(place))
    order: Ints = np.argsort(place[detections.video], kind="stable")
    return order


def _warn_of_other_subsets(
    detections: Detections,
    annotations: Annotations,
    outside: Bools,
    truth: Truth,
    protocol: Protocol,
    notes: Notes,
) -> None:
    """Of strangers nothing better is known; a result that has training videos too is a slip."""
    if protocol.unknown_videos != "fp":
        return
    elsewhere = dict.fromkeys(set(annotations.videos) - {*truth.videos, *truth.excluded}, 1)
    known = codes_of(detections.videos, elsewhere, 0) == 1
    notes.warn(
        int((outside & known[detections.video]).sum()),
        "detection on a video of another subset is a false positive (--unknown-videos ignore "
        "drops it)",
        "detections on videos of other subsets are false positives (--unknown-videos ignore "
        "drops them)",
    )


def _on_known_videos(
    detections: Detections,
    keep: Bools,
    outside: Bools,
    truth: Truth,
    protocol: Protocol,
    notes: Notes,
) -> Bools:
    """Which rows stay after the rule for videos outside the subset."""
    if protocol.unknown_videos != "fp":
        notes.warn(
            int((keep & outside).sum()),
            "detection on a video outside the subset was ignored",
            "detections on videos outside the subset were ignored",
        )
        return ~outside
    if truth.excluded:
        on_excluded = codes_of(detections.videos, dict.fromkeys(truth.excluded, 1), 0)
        notes.warn(
            int((keep & (on_excluded[detections.video] == 1)).sum()),
            "detection on an excluded video is a false positive (unknown_videos=ignore drops it)",
            "detections on excluded videos are false positives (unknown_videos=ignore drops them)",
        )
    return np.ones_like(keep)


def _on_ambiguous(
    detections: Detections, keep: Bools, truth: Truth, protocol: Protocol, notes: Notes
) -> Bools | None:
    """Detections that touch an Ambiguous interval, counted; None if there are no intervals."""
    if not truth.intervals:
        return None
    rows = touching(detections, truth.intervals, protocol)
    notes.counts["detections_ambiguous"] = int((rows & keep).sum())
    return rows


def _classes_of(
    detections: Detections, annotations: Annotations, truth: Truth, protocol: Protocol, notes: Notes
) -> Ints:
    """(L,) class of each label of the result file; -1 for labels that take no part."""
    count = np.bincount(detections.label, minlength=len(detections.labels))
    known = set(annotations.labels)
    faults = Faults(detections.source)
    ignored = outside = 0
    classes = {name: c for c, name in enumerate(truth.classes)}
    for name, rows in zip(detections.labels, count.tolist(), strict=True):
        if name in classes or not rows:
            continue
        if name in known:
            outside += rows
        elif protocol.unknown_labels == "ignore":
            ignored += rows
        else:
            faults.add_sentence(
                f"label {shown(name)} ({rows} detections) is nowhere in {annotations.source}"
                f"{nearest(name, sorted(known))}"
            )
    if faults.count:
        faults.examples[-1] += " (unknown_labels=ignore drops such detections)"
    faults.raise_if_any()
    notes.warn(
        outside,
        "detection of a label without instances in this subset was dropped",
        "detections of labels without instances in this subset were dropped",
    )
    notes.warn(
        ignored,
        "detection of a label unknown to the annotation file was ignored",
        "detections of labels unknown to the annotation file were ignored",
    )
    return codes_of(detections.labels, classes, -1)


def _videos_of(
    detections: Detections, annotations: Annotations, truth: Truth, protocol: Protocol
) -> Ints:
    """(V',) video of each of the result file; V outside the subset."""
    codes = {v: i for i, v in enumerate(truth.videos)}
    video_of = codes_of(detections.videos, codes, len(truth.videos))
    count = np.bincount(detections.video, minlength=len(detections.videos))
    used = [v for v, n in zip(detections.videos, count.tolist(), strict=True) if n]
    unknown = [v for v in used if v not in codes and v not in truth.excluded]
    refused = protocol.unknown_videos == "error" and unknown
    # A few strangers are the field's daily bread; a majority means that the names do not fit.
    limit = len(used) / 2 if protocol.unknown_videos == "fp" else len(used) - 1
    if refused or (unknown and len(unknown) > limit):
        raise EvalError(
            f"{detections.source}: {len(unknown)} of {len(used)} videos are not in the evaluated "
            f"subset of {annotations.source}, for example {shown(unknown[0])}"
            f"{_cure(unknown, annotations, truth, alone=len(unknown) == len(used))}."
        )
    return video_of


def _cure(unknown: list[str], annotations: Annotations, truth: Truth, *, alone: bool) -> str:
    """What mends it; `alone`: the result has no video of the subset at all."""
    known = set(truth.videos)
    for words, rename in RENAMINGS.items():
        if sum(rename(v) in known for v in unknown) > len(unknown) / 2:
            return f"; {words}"
    subsets = dict(zip(annotations.videos, annotations.subsets, strict=True))
    elsewhere = Counter(subsets[v] for v in unknown if v in subsets)
    if elsewhere:
        name, count = elsewhere.most_common(1)[0]
        if alone:
            cure = f"subset={name} (--subset {name}) evaluates that one"
        else:
            cure = "unknown_videos=ignore (--unknown-videos ignore) evaluates the others alone"
        return f"; {count} of them are in subset {name!r}: {cure}"
    return f"; the annotation's ids look like {shown(truth.videos[0])}"


def _describe_detections(ranking: Ranking, truth: Truth, protocol: Protocol, notes: Notes) -> None:
    segments, score = ranking.segments, ranking.score
    empty = int((segments.start == segments.end).sum())
    duration = np.append(truth.durations, np.nan)[segments.video]
    ties, duplicates = _ties(ranking)
    notes.counts.update(
        detections_kept=len(segments),
        detections_zero_length=empty,
        detections_duplicate=duplicates,
        detections_tied=ties,
        detections_before_zero=int((segments.start < 0).sum()),
        detections_past_duration=int((segments.end > duration).sum()),
    )
    notes.warn(empty, "detection has zero length", "detections have zero length")
    effect = "it matches at every threshold" if protocol.zero_union == "match" else "no match"
    notes.warn(
        _zero_unions(segments, truth.instances, protocol),
        f"detection has a union of zero with an instance, so a tIoU of 0/0: {effect} "
        f"(zero_union={protocol.zero_union})",
        f"detections have a union of zero with an instance, so a tIoU of 0/0: {effect} "
        f"(zero_union={protocol.zero_union})",
    )
    if not len(score):
        notes.warnings.append("No detections: every figure is 0.")
        return
    if ties > TIES_WORTH_A_WARNING * len(score):
        notes.warnings.append(
            f"{ties} of {len(score)} detections share their score with another of their class: the "
            f"order of the file decides between them."
        )
    if protocol.match == "per-instance":
        _warn_of_raw_proposals(ranking, notes)
    found = set(np.unique(segments.label).tolist())
    silent = [name for code, name in enumerate(truth.classes) if code not in found]
    names = ", ".join(map(shown, silent[:EXAMPLES]))
    if len(silent) > EXAMPLES:
        names += f" and {len(silent) - EXAMPLES} more"
    notes.warn(
        len(silent),
        f"class has no detection ({names}); its AP of 0 stays in the mean",
        f"classes have no detection ({names}); their AP of 0 stays in the mean",
    )


def _zero_unions(segments: Segments, instances: Segments, protocol: Protocol) -> int:
    """Detections with (ge - gs) + (e - s) = 0 for an instance of their video and class.

    Both are empty, or the detection is reversed and as long as the instance; then I = 0, too.
    """
    if protocol.overlap != "union":
        return 0  # the evalkit's ratio has no 0/0
    segments = comparable_detections(segments, protocol)
    rows = np.flatnonzero(segments.end <= segments.start)
    if not len(rows):
        return 0
    found, truth = segments.take(rows), comparable_instances(instances, protocol)
    lengths = set(zip(truth.video.tolist(), truth.label.tolist(), _lengths(truth), strict=True))
    against = zip(
        found.video.tolist(), found.label.tolist(), (-x for x in _lengths(found)), strict=True
    )
    return sum(key in lengths for key in against)


def _lengths(segments: Segments) -> list[float]:
    lengths: list[float] = (segments.end - segments.start).tolist()
    return lengths


def _warn_of_raw_proposals(ranking: Ranking, notes: Notes) -> None:
    """Per instance the best fitting detection counts, not the best scored; so they collapse."""
    from wtal_eval.nms import hard_nms

    segments = ranking.segments
    group = segments.video.astype(np.int64) * (int(segments.label.max()) + 1) + segments.label
    end = np.maximum(segments.start, segments.end)
    alone = hard_nms(segments.start, end, ranking.score, group, threshold=RAW_OVERLAP)
    share = 1 - len(alone) / len(segments)
    if share > RAW_SHARE:
        notes.warnings.append(
            f"{100 * share:.0f} % of the detections overlap a better one of their video and class "
            f"by {RAW_OVERLAP} or more, as raw proposals do; match=per-instance needs them after "
            f"NMS (--nms)."
        )


def _ties(ranking: Ranking) -> tuple[int, int]:
    """Detections that share label and score with another; exact repetitions of another."""
    segments = ranking.segments
    if not len(segments):
        return 0, 0
    order = ranking.order
    if order is None:
        order = rank(segments.label, ranking.score, "last")
    ties = duplicates = 0
    for _, rows in class_blocks(order, np.bincount(segments.label)):
        label, score = segments.label[rows], ranking.score[rows]
        same = (label[1:] == label[:-1]) & (score[1:] == score[:-1])
        tied = rows[np.append(same, False) | np.append(False, same)]
        ties += len(tied)
        # Only these can be repetitions.
        columns = (segments.video, segments.label, segments.start, segments.end, ranking.score)
        duplicates += repeated(tuple(column[tied] for column in columns))
    return ties, duplicates
