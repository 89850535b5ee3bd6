"""Everything the page is made from but curves and videos: results, labels, what was skipped."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wtal.errors import WtalError
from wtal.inputs import Labels, read_labels, videos_of
from wtal.report.choice import placed_in
from wtal.report.privacy import without_folders
from wtal.report.words import Words
from wtal_eval import Annotations, Detections, EvalError
from wtal_eval.io import form_of, read_detections
from wtal_features import FeatureError
from wtal_features.files import read_json

if TYPE_CHECKING:
    from wtal.calibration import Calibration

ENVIRONMENT_FILE = "environment.json"
# Of a run: what the localizer, and before it the training, could not read.
SKIPPED_FILES = ("localize-skipped.json", "skipped.json")

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Gathered:
    """What was read.

    Attributes:
        detections: of the whole result file.
        names: the videos of the page, sorted.
        annotations: None: nobody gave any.
        annotated: video -> its name in the annotations, of those that are in them.
        tags: video -> labels; a video that is not in it has unknown tags.
        subsets: video -> subset, where one is named.
        skipped: video of the page -> why it has no place in the results.
        calibration: None: scores are shown as they are.
        corrections: content of a corrections file, its videos those of the page; None: no file.
        environment: of the run; empty without one.
    """

    detections: Detections
    names: tuple[str, ...]
    annotations: Annotations | None = None
    annotated: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subsets: Mapping[str, str | None] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None
    corrections: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)


def gather(words: Words, say: Say, warn: Say) -> Gathered:
    """Read what the options name, and what the run folder has beside it.

    Args:
        words: the options.
        say: told of files that were found without being named.
        warn: told of what is left out.

    Raises:
        WtalError, FeatureError, EvalError: a file that was named cannot be used.
    """
    detections = read_detections(str(words.file))
    detections.refuse_reversed(detections.end < detections.start, "correct the file")
    annotated = None if words.annotations is None else read_labels(None, words.annotations)
    annotations = None if annotated is None else annotated.annotations
    if annotations is not None:
        wrong = annotations.end < annotations.start
        annotations.refuse_reversed(wrong, "correct the file")
    environment = _environment(words.folder, warn)
    tagged = _tagged(words, annotated, environment, say, warn)
    for note in () if tagged is None else tagged.notes:
        warn(note)
    subsets = _subsets(tagged, annotated)
    placed = placed_in(detections)
    skipped = {v: why for v, why in _skipped(words, warn).items() if v not in placed}
    names = _names(sorted({*placed, *skipped}), words.subset, annotated or tagged)
    return Gathered(
        detections=detections,
        names=names,
        annotations=annotations,
        annotated={}
        if annotations is None
        else _by_name(names, {v: v for v in annotations.videos}),
        tags={} if tagged is None else _by_name(names, tagged.tags),
        subsets=_by_name(names, subsets),
        skipped={v: skipped[v] for v in names if v in skipped},
        calibration=_calibration(words, warn),
        corrections=_corrections(words, names, warn),
        environment=environment,
    )


def _names(found: list[str], subset: str | None, labels: Labels | None) -> tuple[str, ...]:
    """The videos of the page: all, or those of one subset."""
    if subset is None:
        return tuple(found)
    if labels is None:
        raise WtalError("--subset needs --annotations FILE.json or --tags FILE.csv that name it.")
    wanted = set(videos_of(labels, subset))
    kept = tuple(video for video in found if video in wanted or _nfc(video) in wanted)
    if not kept:
        like = f"videos like {found[0]!r}" if found else "no video at all"
        raise WtalError(
            f"No video of the result is in subset '{subset}' of {labels.source}; it has {like}."
        )
    return kept


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _by_name(names: tuple[str, ...], values: Mapping[str, T]) -> dict[str, T]:
    """The values of videos, whatever the Unicode form in which a label file has their names."""
    plain = {_nfc(name): value for name, value in values.items()}
    pairs = ((name, values.get(name, plain.get(_nfc(name)))) for name in names)
    return {name: value for name, value in pairs if value is not None}


def _tagged(
    words: Words,
    annotated: Labels | None,
    environment: Mapping[str, Any],
    say: Say,
    warn: Say,
) -> Labels | None:
    """Tags of --tags, else the labels of the annotations, else what the run learned from."""
    if words.tags is not None:
        return read_labels(words.tags)
    source = _input(environment, "labels")
    if annotated is not None or source is None:
        return annotated
    try:
        by_json = source.suffix.lower() == ".json"
        labels = read_labels(None, source) if by_json else read_labels(source)
    except (WtalError, FeatureError, EvalError, OSError) as error:
        warn(f"The page shows no tags, for those of the run cannot be read: {error}")
        return None
    say(f"tags: {source}, as the run has them.")
    return labels


def _subsets(tagged: Labels | None, annotated: Labels | None) -> dict[str, str | None]:
    """What the annotations say of a video's subset goes before what the tags say."""
    subsets: dict[str, str | None] = {}
    for labels in (tagged, annotated):
        if labels is not None:
            subsets |= {video: subset for video, subset in labels.subsets.items() if subset}
    return subsets


def store_of(words: Words, environment: Mapping[str, Any]) -> Path | None:
    """The feature store: that of --features, else the run's own if it is still there."""
    return words.features or _input(environment, "features")


def _input(environment: Mapping[str, Any], name: str) -> Path | None:
    """A file or folder that the run was made from, if it is still there."""
    inputs = environment.get("inputs")
    given = inputs.get(name) if isinstance(inputs, Mapping) else None
    if not isinstance(given, str) or not given or "\x00" in given:
        return None
    return Path(given) if Path(given).exists() else None


def _environment(folder: Path | None, warn: Say) -> Mapping[str, Any]:
    """environment.json of a run; a damaged one costs only what it would have told."""
    return {} if folder is None else _object(folder / ENVIRONMENT_FILE, warn)


def _skipped(words: Words, warn: Say) -> dict[str, str]:
    """Video -> why the run could not read it."""
    skipped: dict[str, str] = {}
    folder = words.folder
    for name in SKIPPED_FILES if folder is not None else ():
        assert folder is not None
        for video, why in _object(folder / name, warn).items():
            skipped.setdefault(video, without_folders(str(why), [folder, words.videos]))
    return skipped


def _object(path: Path, warn: Say) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = read_json(path)
    except FeatureError as error:
        warn(f"Left out of the page: {error}")
        return {}
    return found if isinstance(found, dict) else {}


def _calibration(words: Words, warn: Say) -> Calibration | None:
    """The one that the result file carries, else the run's, if it speaks of its weights."""
    from wtal.calibration import CALIBRATION_FILE, read_calibration

    try:
        if _may_hold(words.file, b'"calibration"'):
            found = read_calibration(words.file)
            if found is not None:
                return found
        if words.folder is not None and (words.folder / CALIBRATION_FILE).is_file():
            from wtal.calibration.identity import calibration_of
            from wtal.localize import Localizer

            return calibration_of(words.folder, Localizer.load(words.folder), warn)
    except (WtalError, FeatureError) as error:
        warn(f"The page shows plain scores: {error}")
    return None


def _may_hold(file: Path, key: bytes) -> bool:
    """Whether a JSON file has the key at all: one of a million detections is not parsed for it."""
    if form_of(str(file)) != "json":
        return False
    with file.open("rb") as handle, mmap(handle.fileno(), 0, access=ACCESS_READ) as content:
        return content.find(key) >= 0


def _corrections(words: Words, names: tuple[str, ...], warn: Say) -> Mapping[str, Any] | None:
    """The file as it is, checked, without videos that the page does not have."""
    if words.corrections is None:
        return None
    from wtal.corrections.file import read_corrections

    read = read_corrections(words.corrections)
    content = read_json(words.corrections)
    assert isinstance(content, dict)  # else it were no corrections
    known = {_nfc(name): name for name in names}
    kept = {known[v]: entry for v, entry in content["videos"].items() if v in known}
    if len(kept) < len(read.videos):
        warn(
            f"{words.corrections}: corrections of {len(read.videos) - len(kept)} videos that the "
            "page does not have were left out of it."
        )
    return content | {"videos": kept}
