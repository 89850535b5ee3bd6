"""`wtal doctor`: look over features, tags and annotations before hours are spent.

Every finding has a code, a place and a cure. The checks of one array are wtal_features' own; here
is what only the files together show: names without a partner, classes that cannot be learned or
scored, times that do not fit, one video in two subsets, and what a training will cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from wtal.config import Config
from wtal.data import select_subset
from wtal.errors import WtalError
from wtal.inputs import Labels
from wtal.leakage import Leakage
from wtal.notices import classes_of, some
from wtal.time_base import wrong_time_base
from wtal.twins import Copies
from wtal_eval import Annotations
from wtal_features import FeatureError, FeatureStore, Finding
from wtal_features.check import Watcher, check_store
from wtal_features.errors import counted
from wtal_features.extraction.underway import skipped_of
from wtal_features.quality import Quality, manifest_subsets

FEW_VIDEOS = 3  # a class with fewer training videos can hardly be learned


@dataclass(frozen=True)
class Examination:
    """What the doctor found."""

    findings: tuple[Finding, ...]
    facts: tuple[str, ...]  # what there is, one line each
    per_class: tuple[str, ...] = ()  # videos of each class, the rarest in training first

    @property
    def errors(self) -> int:
        """Findings that keep a video from being used."""
        return sum(finding.severity == "error" for finding in self.findings)


def examine(
    store: FeatureStore,
    labels: Labels | None,
    config: Config,
    *,
    annotated: Labels | None = None,
    values: bool = True,
    leakage: bool = False,
    progress: Callable[[int, int], None] | None = None,
    comparing: Callable[[int, int], None] | None = None,
) -> Examination:
    """All checks.

    Args:
        store: features.
        labels: tags or annotations, if there are any.
        config: whose training is estimated.
        annotated: the annotations beside tags, which are then compared with them.
        values: read every array, to find NaN, copies and drift; without it headers only.
        leakage: compare all videos frame by frame, too, not only by a signature each.
        progress: told (done, total) videos.
        comparing: told (done, total) comparisons of `leakage`.
    """
    subsets = _subsets_of(store, labels, annotated)
    quality, copies = Quality(store, subsets), Copies(store, subsets)
    watchers: list[Watcher] = [quality, copies] if values else []
    search = Leakage(store, subsets, copies, comparing)
    watchers += [search] if leakage else []
    findings = check_store(store, watch=watchers, progress=progress)
    findings += skipped_of(store.root)
    facts = [_store_line(store), *quality.lines(), *copies.lines(), *search.lines()]
    per_class: list[str] = []
    if annotated is not None and labels is not None:
        findings += contradictions(labels, annotated)
        facts.append(_labels_line(annotated))
    if labels is not None:
        findings += partners(str(store.root), set(store.videos), labels, FEATURES)
        findings += learnable(labels, config)
        facts += [_labels_line(labels), *labels.notes, *estimate(store, labels, config)]
        per_class = videos_per_class(labels)
        segments = (annotated or labels).annotations
        if segments is not None:
            findings += _lengths(store, segments)
    return Examination(tuple(findings), tuple(facts), tuple(per_class))


def examine_videos(
    videos: Path,
    labels: Labels | None,
    config: Config,
    *,
    annotated: Labels | None = None,
    decode: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Examination:
    """The checks of a folder of videos: can each be decoded, and do the tags fit.

    Args:
        videos: the folder.
        labels: tags or annotations, if there are any.
        config: whose training is asked for.
        annotated: the annotations beside tags, which are then compared with them.
        decode: decode every video to its end; without it headers only.
        progress: told (done, total) videos.
    """
    from wtal_features.extraction.survey import survey

    found = survey(videos, decode=decode, progress=progress)
    findings, facts = list(found.findings), list(found.facts)
    per_class: list[str] = []
    if annotated is not None and labels is not None:
        findings += contradictions(labels, annotated)
        facts.append(_labels_line(annotated))
    if labels is not None:
        findings += partners(str(videos), set(found.videos), labels, VIDEOS)
        findings += learnable(labels, config)
        facts += [_labels_line(labels), *labels.notes]
        per_class = videos_per_class(labels)
        segments = (annotated or labels).annotations
        if segments is not None:
            lengths = {video: (s, 1 + 0.02 * s) for video, s in found.videos.items() if s}
            findings += times(lengths, segments, VIDEOS)
    return Examination(tuple(findings), tuple(facts), tuple(per_class))


def may_search_leakage(path: Path, *, videos: bool, headers_only: bool) -> None:
    """Refuse `--leakage` where there are no arrays to compare.

    Raises:
        WtalError: the folder holds videos, or arrays are not to be read.
    """
    if videos:
        raise WtalError(
            f"{path} holds videos; --leakage compares features: run `wtal extract {path} "
            "--encoder E --out STORE` first, then `wtal doctor STORE --leakage`."
        )
    if headers_only:
        raise WtalError("--leakage reads every array; leave --headers-only away.")


def contradictions(tags: Labels, annotated: Labels) -> list[Finding]:
    """Where tags and annotations say different things of the same videos."""
    shared = tags.tags.keys() & annotated.tags.keys()
    where = f"{tags.source}, {annotated.source}"
    if not shared:
        text = "The two files have no video in common."
        return [Finding("no-common-video", where, text, "Compare how both write the ids.")]
    known = len(tags.tags.keys() | annotated.tags.keys())
    kinds: tuple[tuple[str, str, set[str], str, Literal["error", "warning"]], ...] = (
        (
            "tags-differ",
            "with other tags than annotated labels",
            {v for v in shared if set(tags.tags[v]) != set(annotated.tags[v])},
            "Training follows the tags, scores the annotations; correct the wrong file.",
            "error",
        ),
        (
            "subsets-differ",
            "in one subset here and in another there",
            {
                v
                for v in shared
                if None not in (both := _subsets(v, tags, annotated)) and len(both) > 1
            },
            "A test video among the training videos spoils the score; correct the wrong file.",
            "error",
        ),
        (
            "not-annotated",
            "with tags and no entry in the annotations",
            tags.tags.keys() - annotated.tags.keys(),
            "They cannot be scored.",
            "warning",
        ),
        (
            "not-tagged",
            "annotated, without a line in the tags",
            annotated.tags.keys() - tags.tags.keys(),
            "They are not trained on.",
            "warning",
        ),
    )
    return [
        Finding(
            code, where, f"{len(videos)} of {known} videos {what}: {some(videos)}.", cure, severity
        )
        for code, what, videos, cure, severity in kinds
        if videos
    ]


def _subsets(video: str, *files: Labels) -> set[str | None]:
    """Subsets of one video, in lower case."""
    return {name and name.lower() for name in (file.subsets.get(video) for file in files)}


def videos_per_class(labels: Labels) -> list[str]:
    """One line per class: its videos in each subset, the rarest class first."""
    subsets = sorted({name or "" for name in labels.subsets.values()})
    counts = {
        subset: Counter(
            label
            for video, tagged in labels.tags.items()
            if (labels.subsets.get(video) or "") == subset
            for label in tagged
        )
        for subset in subsets
    }
    classes = sorted(
        classes_of(labels, labels.tags),
        key=lambda name: (sum(count[name] for count in counts.values()), name),
    )
    return [
        f"{name}: " + ", ".join(f"{counts[s][name]} {s or 'videos'}" for s in subsets)
        for name in classes
    ]


class _Kind(NamedTuple):
    """What a folder holds, in the words of the findings."""

    what: str
    code: str  # where a tagged video has none
    cure: str
    wrong_time: str


FEATURES = _Kind(
    "features",
    "no-features",
    "Extract them, or expect them to be skipped.",
    "A wrong fps or stride costs 3 to 5 points of mAP; check the manifest.",
)
VIDEOS = _Kind(
    "file that can be used",
    "no-video",
    "Look for them, or expect them to be skipped.",
    "The annotations may be of another cut of the video.",
)


def partners(where: str, present: set[str], labels: Labels, kind: _Kind) -> list[Finding]:
    """Videos with tags but nothing in the folder, and the other way round."""
    tagged = set(labels.tags)
    if present and tagged and not tagged & present:
        ours, theirs = min(present), min(tagged)
        return [
            Finding(
                "no-common-video",
                labels.source,
                f"No video of it is in {where}: that has names like {ours!r}, "
                f"the file like {theirs!r}.",
                "Compare prefixes (v_) and suffixes (.mp4); rename one side.",
            )
        ]
    findings = []
    if tagged - present:
        findings.append(
            Finding(
                kind.code,
                labels.source,
                f"{len(tagged - present)} of {len(tagged)} videos have no {kind.what}: "
                f"{some(tagged - present)}.",
                kind.cure,
                "warning",
            )
        )
    if present - tagged:
        findings.append(
            Finding(
                "no-tags",
                where,
                f"{len(present - tagged)} of {len(present)} videos have no line in "
                f"{labels.source}: {some(present - tagged)}.",
                "They are not trained on; a video without action needs a line with an empty label.",
                "warning",
            )
        )
    return findings


def learnable(labels: Labels, config: Config) -> list[Finding]:
    """Classes with too few training videos, or none."""
    try:
        names, subset = select_subset(labels.subsets, config.data.train_subset, labels.source)
    except WtalError as error:
        return [Finding("no-subset", labels.source, str(error))]
    counts = Counter(label for name in names for label in labels.tags[name])
    everywhere = {label for each in labels.tags.values() for label in each}
    where = f"{labels.source}, subset {subset or 'all'}"
    findings = []
    if not counts:
        findings.append(
            Finding("no-label", where, "No training video has a tag.", "Fill in the labels.")
        )
    unseen = everywhere - set(counts)
    if counts and unseen:
        findings.append(
            Finding(
                "unseen-class",
                where,
                f"{counted(len(unseen), 'class occurs', 'classes occur')} in no training video: "
                f"{some(unseen)}.",
                "They can never be detected.",
                "warning",
            )
        )
    rare = {label for label, n in counts.items() if n < FEW_VIDEOS}
    if rare:
        findings.append(
            Finding(
                "rare-class",
                where,
                f"{counted(len(rare), 'class has', 'classes have')} fewer than {FEW_VIDEOS} "
                f"training videos: {some(rare)}.",
                "Expect little of them.",
                "warning",
            )
        )
    return findings


def times(
    lengths: Mapping[str, tuple[float, float]], annotations: Annotations, kind: _Kind
) -> list[Finding]:
    """Segments beyond the end of a video, and durations that contradict its length.

    Args:
        lengths: video -> length and what it may be off by, in seconds.
        annotations: segments and durations.
        kind: whose lengths they are.
    """
    longer, beyond = [], []
    last_end = np.full(len(annotations.videos), -np.inf)
    np.maximum.at(last_end, annotations.video, annotations.end)
    for video, duration, end in zip(
        annotations.videos, annotations.durations.tolist(), last_end.tolist(), strict=True
    ):
        if video not in lengths:
            continue
        covered, slack = lengths[video]
        if duration == duration and abs(duration - covered) > slack:
            longer.append(f"{video} ({covered:.1f} s against {duration:.1f} s)")
        if end > covered + slack:
            beyond.append(f"{video} ({end:.1f} s after {covered:.1f} s)")
    of = "features" if kind is FEATURES else "files"
    return [
        Finding(
            code,
            annotations.source,
            f"{counted(len(names), 'video has', 'videos have')} {what}: {some(names)}.",
            kind.wrong_time,
            "warning",
        )
        for code, what, names in (
            ("duration", f"{of} of another length than stated", longer),
            ("segment-beyond-end", f"segments after the end of the {of}", beyond),
        )
        if names
    ]


def _lengths(store: FeatureStore, annotations: Annotations) -> list[Finding]:
    """What durations say of the features: of all by one cause, else video by video."""
    lengths = _covered(store)
    durations = dict(zip(annotations.videos, annotations.durations.tolist(), strict=True))
    steps_s = [store.timing(video).seconds_per_snippet for video in lengths]
    wrong = wrong_time_base(lengths, durations, steps_s, str(store.root))
    return [wrong] if wrong else times(lengths, annotations, FEATURES)


def _covered(store: FeatureStore) -> dict[str, tuple[float, float]]:
    """Video -> seconds that its features cover, and what that may be off by."""
    lengths = {}
    for video in store.videos:
        try:
            snippet_s = store.timing(video).seconds_per_snippet
            covered = store.length(video) * snippet_s
        except FeatureError:
            continue  # check_store names it
        lengths[video] = covered, 2 * snippet_s + 0.02 * covered
    return lengths


def _subsets_of(store: FeatureStore, *files: Labels | None) -> Mapping[str, str | None]:
    """Video -> subset, from the first file that names any, else from the store's manifest."""
    named = (file.subsets for file in files if file is not None and any(file.subsets.values()))
    return next(named, None) or manifest_subsets(store)


def estimate(store: FeatureStore, labels: Labels, config: Config) -> list[str]:
    """Time, memory and disk of one training run, from sizes and the speed of this machine."""
    from wtal.cost import training_cost

    try:
        names, _ = select_subset(labels.subsets, config.data.train_subset, labels.source)
    except WtalError:
        return []
    lengths = []
    for name in names:
        try:
            lengths.append(store.length(name))
        except FeatureError:
            continue  # check_store names it
    if not lengths:
        return []
    classes = len({label for name in names for label in labels.tags[name]})
    return [training_cost(lengths, store.dim, classes, config).line()]


def _store_line(store: FeatureStore) -> str:
    streams = f", streams {' + '.join(store.streams)}" if any(store.streams) else ""
    return f"{store.root}: {counted(len(store.videos), 'video')} of {store.dim} dims{streams}"


def _labels_line(labels: Labels) -> str:
    subsets = Counter(subset or "no subset" for subset in labels.subsets.values())
    classes = {label for each in labels.tags.values() for label in each}
    parts = ", ".join(f"{n} {name}" for name, n in sorted(subsets.items()))
    empty = sum(not each for each in labels.tags.values())
    background = f", {empty} without a tag" if empty else ""
    return (
        f"{labels.source}: {counted(len(labels.tags), 'video')} ({parts}), "
        f"{counted(len(classes), 'class', 'classes')}{background}"
    )
