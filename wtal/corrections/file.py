"""The corrections file: what a person said of the segments of some videos, in seconds.

    {"format": "wtal corrections 1",
     "videos": {"<video>": {"complete": false,
       "segments": [
         {"label": "Cough", "segment": [1.2, 3.4], "verdict": "accepted"},
         {"label": "Cough", "segment": [5.0, 6.1], "verdict": "edited", "was": [4.2, 6.0]},
         {"label": "Cough", "segment": [9.0, 9.9], "verdict": "rejected"},
         {"label": "Sneeze", "segment": [12.0, 13.5], "verdict": "added"}]}}}

`accepted`, `edited` and `added`: the action is there, from start to end. `rejected`: the class does
not happen in that span. `complete`: somebody looked at the whole video, and nothing else is in it.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from wtal.errors import WtalError
from wtal_features import FeatureError
from wtal_features.files import check_name, read_json, write_json

FORMAT = "wtal corrections 1"
MAX_BYTES = 1 << 28  # a million corrections are about 100 MB
SHOWN = 3  # faults told at once
Verdict = Literal["accepted", "edited", "rejected", "added"]
VERDICTS: tuple[str, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Correction:
    """One segment with a verdict.

    Args:
        label: the class.
        start_s, end_s: seconds, 0 <= start < end.
        verdict: what was said of it.
        was: where an edited segment lay before, in seconds; None for the others.
    """

    label: str
    start_s: float
    end_s: float
    verdict: Verdict
    was: tuple[float, float] | None = None

    @property
    def happens(self) -> bool:
        """Whether the class is there, rather than not."""
        return self.verdict != "rejected"


@dataclass(frozen=True)
class VideoCorrections:
    """What was said of one video; `complete`: nothing else is in it."""

    complete: bool
    segments: tuple[Correction, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes that happen in it, sorted."""
        return tuple(sorted({each.label for each in self.segments if each.happens}))

    @property
    def says_anything(self) -> bool:
        """Whether somebody corrected it at all."""
        return self.complete or bool(self.segments)


@dataclass(frozen=True)
class Corrections:
    """What was said of some videos.

    Args:
        videos: video -> what was said of it.
        source: the file, for messages.
        notes: what was merged while reading, for the user.
    """

    videos: Mapping[str, VideoCorrections]
    source: str = "corrections"
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Segments with a verdict."""
        return sum(len(video.segments) for video in self.videos.values())

    @property
    def added_labels(self) -> frozenset[str]:
        """Classes of the segments that nobody had detected: the file may bring new ones."""
        return frozenset(
            each.label
            for video in self.videos.values()
            for each in video.segments
            if each.verdict == "added"
        )

    def only(self, names: frozenset[str]) -> Corrections:
        """Those of the named videos."""
        kept = {name: video for name, video in self.videos.items() if name in names}
        return Corrections(kept, self.source, self.notes)

    def about(self) -> dict[str, object]:
        """What the record of a run says of them."""
        counted = {"videos": len(self.videos), "segments": self.count}
        return {"file": self.source, **counted, "sha256": self.digest()}

    def digest(self) -> str | None:
        """A hash of what is said, in whatever order; None where nothing is."""
        said = {name: video for name, video in self.videos.items() if video.says_anything}
        if not said:
            return None
        rows = [
            [n, v.complete, sorted(_row(s) for s in v.segments)] for n, v in sorted(said.items())
        ]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _row(each: Correction) -> tuple[Any, ...]:
    was = [] if each.was is None else list(map(float, each.was))
    return each.label, float(each.start_s), float(each.end_s), each.verdict, was


def read_corrections(path: Path | str) -> Corrections:
    """Read a file of the form above; an unknown key, verdict or form is refused by name.

    A segment that stands there twice with one verdict counts once, and is named.

    Raises:
        FeatureError: it cannot be read, or is no JSON.
        WtalError: it has another form; the first faults, each with its place.
    """
    where, tree = str(path), read_json(path, max_bytes=MAX_BYTES)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        found = tree.get("format") if isinstance(tree, dict) else type(tree).__name__
        raise WtalError(
            f"{where} is no corrections file: its format is {str(found)[:60]!r}; expected "
            f"'{FORMAT}', as the page of `wtal report` saves it."
        )
    faults: list[str] = []
    notes: list[str] = []
    faults += _wrong_keys(tree, {"format", "videos"})
    videos: dict[str, VideoCorrections] = {}
    listed = tree.get("videos", {})
    if not isinstance(listed, dict):
        faults.append(f"'videos' is a {type(listed).__name__}; expected video names with contents")
        listed = {}
    for name, entry in listed.items():
        try:
            check_name(name)
        except FeatureError as error:
            faults.append(error.problem.rstrip("."))
            continue
        place = f"video '{name}'"
        read = _video(entry, place, faults)
        videos[name] = VideoCorrections(read.complete, _once(read.segments, place, faults, notes))
    if faults:
        more = f" (and {len(faults) - SHOWN} more)" if len(faults) > SHOWN else ""
        raise WtalError(f"{where}: {'; '.join(faults[:SHOWN])}{more}. Nothing was changed.")
    return Corrections(videos, where, tuple(notes))


def write_corrections(path: Path, corrections: Corrections) -> None:
    """Write what `read_corrections` reads, whole or not at all.

    Raises:
        FeatureError: it cannot be written.
    """
    write_json(path, {"format": FORMAT, "videos": dict(_as_json(corrections))})


def _as_json(corrections: Corrections) -> Iterator[tuple[str, dict[str, object]]]:
    for name, video in corrections.videos.items():
        segments = []
        for each in video.segments:
            entry: dict[str, object] = {"label": each.label, "segment": [each.start_s, each.end_s]}
            entry |= {"verdict": each.verdict}
            segments.append(entry if each.was is None else entry | {"was": list(each.was)})
        yield name, {"complete": video.complete, "segments": segments}


def _wrong_keys(
    entry: Mapping[str, Any], needed: set[str], allowed: set[str] | None = None
) -> list[str]:
    """What is there and not known, and what is not there and needed."""
    unknown = [key for key in entry if key not in needed | (allowed or set())]
    faults = [f"has the unknown key '{key[:60]}'" for key in unknown]
    return faults + [f"has no '{key}'" for key in sorted(needed - entry.keys())]


def _video(entry: Any, place: str, faults: list[str]) -> VideoCorrections:
    """One video; what is wrong is added to the faults."""
    nothing = VideoCorrections(False, ())
    if not isinstance(entry, dict):
        faults.append(f"{place} is a {type(entry).__name__}; expected complete and segments")
        return nothing
    wrong = _wrong_keys(entry, {"complete", "segments"})
    if wrong:
        faults += [f"{place} {each}" for each in wrong]
        return nothing
    complete, listed = entry["complete"], entry["segments"]
    if not isinstance(complete, bool) or not isinstance(listed, list):
        faults.append(f"{place}: expected complete: true or false, and segments: a list")
        return nothing
    segments = []
    for i, each in enumerate(listed, start=1):
        read = _segment(each)
        if isinstance(read, str):
            faults.append(f"{place}, segment {i} {read}")
        else:
            segments.append(read)
    return VideoCorrections(complete, tuple(segments))


def _segment(entry: Any) -> Correction | str:
    """One segment, or what is wrong with it."""
    if not isinstance(entry, dict):
        return f"is a {type(entry).__name__}; expected label, segment and verdict"
    wrong = _wrong_keys(entry, {"label", "segment", "verdict"}, {"was"})
    if wrong:
        return wrong[0]
    label, verdict = entry["label"], entry["verdict"]
    if not isinstance(label, str) or not _is_label(label):
        return f"has the label {str(label)[:60]!r}; expected a name without outer spaces"
    if verdict not in VERDICTS:
        return f"has the verdict {str(verdict)[:60]!r}; expected {', '.join(VERDICTS)}"
    if ("was" in entry) != (verdict == "edited"):
        return "has 'was' if and only if its verdict is edited; here it does not fit"
    span, was = _span(entry["segment"]), _span(entry["was"]) if "was" in entry else None
    if isinstance(span, str) or isinstance(was, str):
        return span if isinstance(span, str) else f"{was} ('was')"
    return Correction(label, *span, verdict, was)


def _is_label(label: str) -> bool:
    control = any(unicodedata.category(character) in ("Cc", "Cs") for character in label)
    return bool(label) and label == label.strip() and not control


def _span(value: Any) -> tuple[float, float] | str:
    """Start and end in seconds, or what is wrong with them."""
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_time, value)):
        return f"has the span {str(value)[:60]}; expected [start, end] in seconds from 0 on"
    start, end = float(value[0]), float(value[1])
    if start >= end:
        return f"ends at {end} s and starts at {start} s; expected start before end"
    return start, end


def _is_time(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value <= 1e9 and math.isfinite(value)


def _once(
    segments: tuple[Correction, ...], place: str, faults: list[str], notes: list[str]
) -> tuple[Correction, ...]:
    """Without repeats; the same span with opposite verdicts is nobody's to decide."""
    seen: dict[tuple[str, float, float], Correction] = {}
    kept: list[Correction] = []
    for each in segments:
        key = each.label, each.start_s, each.end_s
        before = seen.setdefault(key, each)
        what = f"'{each.label}' from {each.start_s} to {each.end_s} s"
        if before is each:
            kept.append(each)
        elif before.happens == each.happens:
            notes.append(f"Corrections of {place} hold {what} twice; it counts once.")
        else:
            faults.append(f"{place} says of {what} both '{before.verdict}' and '{each.verdict}'")
    return tuple(kept)
