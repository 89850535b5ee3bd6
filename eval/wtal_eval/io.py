"""Files in and out, whatever their form; each fault names file, video, place and field."""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from wtal_eval.columns import Annotations, Detections, VideoScores
from wtal_eval.faults import EvalError, Faults, shown
from wtal_eval.json_files import read_members
from wtal_eval.rows import Rows, number
from wtal_eval.segments import Floats

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]

_FORMS = {"npz": "an .npz file", "text": "text, such as evalkit detections"}


def read_annotations(source: Source) -> Annotations:
    """Read `{"database": {video: {"subset", "duration", "annotations": [{"label", "segment"}]}}}`.

    Segments and durations may be numbers or numeric strings (BaS-Net's own file has strings);
    `duration`, `version` and `taxonomy` may be missing, other keys are ignored.

    Args:
        source: a file, a mapping of the same form, or a folder of the THUMOS14 evalkit, see
            `text_files.py`.

    Raises:
        EvalError: for every fault, in one sentence with at most five examples.
    """
    if isinstance(source, Mapping):
        name = "annotations"
        reader = _AnnotationReader(name)
        top = _visit_mapping(source, "database", reader.add_video, name)
    else:
        name = os.fspath(source)
        form = form_of(name)
        if form == "folder":
            from wtal_eval.text_files import read_annotation_folder

            return read_annotation_folder(Path(name))
        if form != "json":
            raise EvalError(
                f"{name} is {_FORMS[form]}; expected an annotation JSON or a folder with "
                f"detclasslist.txt; are the two files swapped?"
            )
        reader = _AnnotationReader(name)
        top = read_members(Path(name), "database", reader.add_video)
    _require(top, "database", "results", "result", name)
    return reader.finish(_version(top))


def read_detections(source: Source, class_ids: Mapping[int, str] | None = None) -> Detections:
    """Read `{"results": {video: [{"label", "score", "segment"}]}}`, with `video_scores` if present.

    Args:
        source: a file, or a mapping of the same form. The content tells whether a file is JSON,
            text of the THUMOS14 evalkit (`text_files.py`) or `.npz` (`arrays.py`); a mapping may
            also hold arrays, see `arrays.from_columns`.
        class_ids: what the class numbers of evalkit text mean; None: THUMOS14.

    Raises:
        EvalError: for every fault, in one sentence with at most five examples.
    """
    if isinstance(source, Mapping):
        name = "detections"
        from wtal_eval.arrays import are_columns, from_columns

        if are_columns(source):
            return from_columns(source, name)
        rows = Rows(name, "detection", scored=True)
        top = _visit_mapping(source, "results", rows.add, name)
    else:
        name = os.fspath(source)
        form = form_of(name)
        if form == "folder":
            raise EvalError(
                f"{name} is a folder; expected a result file; are the two names swapped?"
            )
        if form == "text":
            from wtal_eval.text_files import read_detection_lines

            return read_detection_lines(Path(name), class_ids)
        if form == "npz":
            from wtal_eval.arrays import read_npz

            return read_npz(Path(name))
        rows = Rows(name, "detection", scored=True)
        top = read_members(Path(name), "results", rows.add)
    _require(top, "results", "database", "annotation", name)
    video_scores = _video_scores(top.get("video_scores"), rows.faults)
    rows.faults.raise_if_any()
    return Detections(
        **rows.columns(),
        score=np.frombuffer(rows.score),
        video_scores=video_scores,
        version=_version(top),
        source=name,
    )


def read_video_scores(source: Source) -> VideoScores:
    """Read `{video: {label: score}}`, alone or as the member `video_scores` of a JSON object.

    Args:
        source: a file, or a mapping of the same form.

    Raises:
        EvalError: for every fault, in one sentence with at most five examples.
    """
    if isinstance(source, Mapping):
        name, member = "video_scores", source.get("video_scores", source)
    else:
        name = os.fspath(source)
        found: dict[str, Any] = {}
        top = read_members(Path(name), "video_scores", found.__setitem__)
        member = found if "video_scores" in top else top
    faults = Faults(name)
    scores = _video_scores(member, faults)
    faults.raise_if_any()
    return scores or {}


def form_of(name: str) -> str:
    """`folder`, `npz`, `json` or `text`, told from the first bytes and not from the name."""
    path = Path(name)
    try:
        if path.is_dir():
            return "folder"
        if not path.is_file():
            return "json"  # absent, or a pipe: its reader says what is wrong
        with path.open("rb") as file:
            head = file.read(4096)
    except (OSError, ValueError):
        return "json"
    if head.startswith(b"PK\x03\x04"):
        return "npz"
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return "json" if first in (b"", b"{", b"[") else "text"


def write_detections(detections: Detections, path: str | os.PathLike[str]) -> None:
    """Write a result JSON that reads back to the same columns; it appears whole or not at all.

    Raises:
        EvalError: if the file cannot be written.
    """
    results: dict[str, list[dict[str, object]]] = {video: [] for video in detections.videos}
    rows = zip(
        detections.video.tolist(),
        detections.label.tolist(),
        detections.score.tolist(),
        detections.start.tolist(),
        detections.end.tolist(),
        strict=True,
    )
    for video, label, score, start, end in rows:
        row = {"label": detections.labels[label], "score": score, "segment": [start, end]}
        results[detections.videos[video]].append(row)
    document: dict[str, object] = {"version": detections.version, "results": results}
    if detections.video_scores is not None:
        document["video_scores"] = detections.video_scores
    write_json(document | {"external_data": {}}, path)


def write_json(document: Mapping[str, object], path: str | os.PathLike[str]) -> None:
    """Write JSON beside its final place and move it there, so a crash leaves no half file.

    Raises:
        EvalError: if the file cannot be written.
    """
    final = Path(path)
    temporary = final.with_name(f"{final.name}.{os.getpid()}.part")
    text = json.dumps(document, allow_nan=False)
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(final)
    except OSError as error:
        raise EvalError(f"{final} cannot be written: {error.strerror or error}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def read_video_list(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read video ids, one a line; blank lines and lines that start with # are skipped.

    Raises:
        EvalError: if the file cannot be read as text.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvalError(
            f"{os.fspath(path)} cannot be read: {error}; expected a text file, one video id a line."
        ) from None
    names = (line.strip() for line in lines)
    return tuple(name for name in names if name and not name.startswith("#"))


def _visit_mapping(
    source: Mapping[str, Any], inner: str, visit: Callable[[str, Any], None], name: str
) -> dict[str, Any]:
    if inner not in source:
        return dict(source)
    members = source[inner]
    if not isinstance(members, Mapping):
        raise EvalError(f"{name}: {inner!r} is a {type(members).__name__}, expected a mapping.")
    for video, value in members.items():
        if not isinstance(video, str):
            raise EvalError(
                f"{name}: {inner!r} has the key {video!r}, expected a video id as text."
            )
        visit(video, value)
    return {**source, inner: None}


def _require(top: Mapping[str, Any], wanted: str, other: str, other_kind: str, name: str) -> None:
    if wanted in top:
        return
    if other in top:
        raise EvalError(
            f"{name}: no {wanted!r} but {other!r}: it looks like the {other_kind} file; "
            f"are the two files swapped?"
        )
    found = ", ".join(shown(key) for key in list(top)[:5]) or "nothing"
    raise EvalError(f"{name}: key {wanted!r} is missing; found {found}.")


def _version(top: Mapping[str, Any]) -> str:
    version = top.get("version")
    return "" if version is None else str(version)


class _AnnotationReader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.rows = Rows(source, "instance", scored=False)
        self.subsets: list[str] = []
        self.durations = array("d")
        self.fps = array("d")

    def add_video(self, video: str, entry: Any) -> None:
        faults = self.rows.faults
        where = f"video {shown(video)}"
        if not isinstance(entry, Mapping):
            faults.add(where, "its entry", entry, "an object with subset and annotations")
            return
        for field in ("subset", "annotations"):
            if field not in entry:
                faults.add_missing(where, field, "subset and annotations")
                return
        if not isinstance(entry["subset"], str):
            faults.add(where, "subset", entry["subset"], "text")
            return
        duration = entry.get("duration")
        seconds = math.nan if duration is None else number(duration, strings=True)
        if seconds is None:
            faults.add(where, "duration", duration, "seconds, a finite number")
            return
        self.subsets.append(entry["subset"])
        self.durations.append(seconds)
        rate = number(entry.get("fps"))
        self.fps.append(rate if rate is not None and rate > 0 else math.nan)
        self.rows.add(video, entry["annotations"])

    def finish(self, version: str) -> Annotations:
        self.rows.faults.raise_if_any()
        durations: Floats = np.frombuffer(self.durations)
        return Annotations(
            **self.rows.columns(),
            subsets=tuple(self.subsets),
            durations=durations,
            fps=np.frombuffer(self.fps),
            version=version,
            source=self.source,
        )


def _video_scores(member: Any, faults: Faults) -> VideoScores | None:
    if member is None:
        return None
    if not isinstance(member, Mapping):
        faults.add("", "video_scores", member, "an object {video: {label: score}}")
        return None
    for video, scores in member.items():
        if not isinstance(scores, Mapping):
            faults.add(
                f"video {shown(video)}", "its video_scores", scores, "an object {label: score}"
            )
            continue
        for label, score in scores.items():
            if number(score) is None:
                faults.add(
                    f"video {shown(video)}, label {shown(label)}", "score", score, "a finite number"
                )
    if faults.count:
        return None
    return {
        video: {label: float(score) for label, score in scores.items()}
        for video, scores in member.items()
    }
