"""The text files of the THUMOS14 evalkit: detections, a folder of annotations, intervals.

Blanks and newlines of any kind separate; the last line may lack its newline; `.mp4` (2015 kit) and
`.mpeg` (2014 kit) after a video's name are taken off.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from wtal_eval.ambiguous import AMBIGUOUS
from wtal_eval.columns import Annotations, Detections
from wtal_eval.faults import EvalError, Faults, shown
from wtal_eval.json_files import read_text
from wtal_eval.notes import Notes
from wtal_eval.rows import Codes, number

CLASS_LIST = "detclasslist.txt"
SUBSETS = {"test": "test", "val": "validation"}  # part of a file's name -> subset

# What the numbers of evalkit detections mean where no detclasslist.txt lies beside the annotation.
THUMOS14_CLASSES: dict[int, str] = {
    7: "BaseballPitch",
    9: "BasketballDunk",
    12: "Billiards",
    21: "CleanAndJerk",
    22: "CliffDiving",
    23: "CricketBowling",
    24: "CricketShot",
    26: "Diving",
    31: "FrisbeeCatch",
    33: "GolfSwing",
    36: "HammerThrow",
    40: "HighJump",
    45: "JavelinThrow",
    51: "LongJump",
    68: "PoleVault",
    79: "Shotput",
    85: "SoccerPenalty",
    92: "TennisSwing",
    93: "ThrowDiscus",
    97: "VolleyballSpiking",
}


def read_detection_lines(path: Path, class_ids: Mapping[int, str] | None) -> Detections:
    """Read lines of `video start end classid score`, seconds.

    Args:
        path: the file.
        class_ids: what the numbers mean; None: THUMOS14. Lines of other numbers are dropped.

    Raises:
        EvalError: for every fault, with its line.
    """
    names = THUMOS14_CLASSES if class_ids is None else class_ids
    faults = Faults(str(path))
    videos, labels = Codes(), Codes()
    video, label, line = array("q"), array("q"), array("q")
    start, end, score = array("d"), array("d"), array("d")
    dropped: dict[int, int] = {}
    for n, fields in _lines(path):
        if len(fields) != 5:
            expected = "5: video start end classid score (or a JSON object)"
            faults.add(f"line {n}", "number of fields", len(fields), expected)
            continue
        class_id = _class_id(fields[3])
        if class_id is None:
            faults.add(f"line {n}", "classid", fields[3], "a whole number")
            continue
        values = _numbers(f"line {n}", ("start", "end", "score"), fields[1:3] + fields[4:], faults)
        if values is None:
            continue
        if class_id not in names:
            dropped[class_id] = dropped.get(class_id, 0) + 1
            continue
        for column, value in zip((start, end, score), values, strict=True):
            column.append(value)
        video.append(videos[_bare(fields[0])])
        label.append(labels[names[class_id]])
        line.append(n)
    faults.raise_if_any()
    return Detections(
        videos=tuple(videos),
        labels=tuple(labels),
        video=np.frombuffer(video, np.int64),
        label=np.frombuffer(label, np.int64),
        start=np.frombuffer(start),
        end=np.frombuffer(end),
        score=np.frombuffer(score),
        lines=np.frombuffer(line, np.int64),
        notes=_dropped_note(dropped),
        source=str(path),
    )


def read_intervals(path: str | os.PathLike[str]) -> dict[str, list[tuple[float, float]]]:
    """Read lines of `video start end`, such as Ambiguous_test.txt.

    Raises:
        EvalError: for every fault, with its line.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for video, start, end in _segment_lines(Path(path)):
        found.setdefault(video, []).append((start, end))
    return found


def read_annotation_folder(folder: Path) -> Annotations:
    """Read `detclasslist.txt`, `<Class>_test.txt`, `<Class>_val.txt` and `Ambiguous_*.txt`.

    Instances follow each other class by class in the order of the list, and inside a class in the
    order of its file, which is the order in which the evalkit asks them. There are no durations.

    Raises:
        EvalError: for every fault; a class of the list without instances is one.
    """
    if not (folder / CLASS_LIST).exists():
        raise EvalError(
            f"{folder} is a folder without {CLASS_LIST}; expected an annotation JSON, or a folder "
            f"of the THUMOS14 evalkit; are two names swapped?"
        )
    class_ids = _read_class_list(folder / CLASS_LIST)
    rows: list[tuple[str, str, float, float]] = []
    subset_of: dict[str, str] = {}
    for part, subset in SUBSETS.items():
        for label in (*class_ids.values(), AMBIGUOUS):
            for video, start, end in _class_file(folder, label, part, class_ids):
                if subset_of.setdefault(video, subset) != subset:
                    raise EvalError(
                        f"{folder}: video {shown(video)} is in subset {subset_of[video]!r} and in "
                        f"{subset!r}; expected each video in one subset."
                    )
                rows.append((video, label, start, end))
    if not rows:
        raise EvalError(
            f"{folder}: no <Class>_test.txt and no <Class>_val.txt lie beside {CLASS_LIST}."
        )
    videos = tuple(sorted(subset_of))
    labels = (*class_ids.values(), AMBIGUOUS)
    video_code = {video: code for code, video in enumerate(videos)}
    label_code = {label: code for code, label in enumerate(labels)}
    return Annotations(
        videos=videos,
        labels=labels,
        video=np.array([video_code[row[0]] for row in rows], np.int64),
        label=np.array([label_code[row[1]] for row in rows], np.int64),
        start=np.array([row[2] for row in rows]),
        end=np.array([row[3] for row in rows]),
        subsets=tuple(subset_of[video] for video in videos),
        durations=np.full(len(videos), np.nan),
        class_ids=class_ids,
        source=str(folder),
    )


def _class_file(
    folder: Path, label: str, part: str, class_ids: Mapping[int, str]
) -> list[tuple[str, float, float]]:
    """Rows of one class and subset; none if the folder has no file of that subset at all."""
    path = folder / f"{label}_{part}.txt"
    if not path.exists():
        present = [name for name in class_ids.values() if (folder / f"{name}_{part}.txt").exists()]
        if present and label != AMBIGUOUS:
            raise EvalError(
                f"{path} is missing; expected it, because {CLASS_LIST} lists {shown(label)} and "
                f"{present[0]}_{part}.txt is there."
            )
        return []
    rows = list(_segment_lines(path))
    if not rows and label != AMBIGUOUS:
        raise EvalError(f"{path} holds no instance; the evalkit cannot score a class without any.")
    return rows


def _read_class_list(path: Path) -> dict[int, str]:
    faults = Faults(str(path))
    class_ids: dict[int, str] = {}
    for n, fields in _lines(path):
        class_id = _class_id(fields[0])
        if len(fields) != 2 or class_id is None:
            faults.add(f"line {n}", "it", " ".join(fields), "a number and a class")
        elif class_id in class_ids or fields[1] in class_ids.values():
            faults.add(f"line {n}", "it", " ".join(fields), "each number and class once")
        elif not _begins_a_name(fields[1]) or fields[1] == AMBIGUOUS:
            faults.add(f"line {n}", "class", fields[1], "the first part of a file's name")
        else:
            class_ids[class_id] = fields[1]
    faults.raise_if_any()
    if not class_ids:
        raise EvalError(f"{path} lists no class; expected lines of a number and a class.")
    return class_ids


def _begins_a_name(label: str) -> bool:
    """Whether a class can be the first part of a file's name; no file system takes 256 bytes."""
    return Path(label).name == label and len(label.encode("utf-8", "replace")) < 240


def _segment_lines(path: Path) -> Iterator[tuple[str, float, float]]:
    faults = Faults(str(path))
    for n, fields in _lines(path):
        if len(fields) != 3:
            faults.add(f"line {n}", "number of fields", len(fields), "3: video start end")
            continue
        values = _numbers(f"line {n}", ("start", "end"), fields[1:], faults)
        if values is not None:
            yield _bare(fields[0]), values[0], values[1]
    faults.raise_if_any()


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number, from 1, and fields of every line that is not blank."""
    for n, line in enumerate(read_text(path, "a text file").split("\n"), 1):
        fields = line.split()
        if fields:
            yield n, fields


def _numbers(
    where: str, names: tuple[str, ...], words: list[str], faults: Faults
) -> list[float] | None:
    values = [number(word, strings=True) for word in words]
    for name, word, value in zip(names, words, values, strict=True):
        if value is None:
            faults.add(where, name, word, "a finite number")
    return None if None in values else [value for value in values if value is not None]


def _class_id(word: str) -> int | None:
    value = number(word, strings=True)
    return int(value) if value is not None and value == int(value) else None


def _bare(video: str) -> str:
    return video.removesuffix(".mp4").removesuffix(".mpeg")


def _dropped_note(dropped: Mapping[int, int]) -> tuple[str, ...]:
    if not dropped:
        return ()
    ids = ", ".join(map(str, sorted(dropped)[:5])) + (" .." if len(dropped) > 5 else "")
    notes = Notes()
    notes.warn(
        sum(dropped.values()),
        f"detection of a class number outside the class list was dropped ({ids})",
        f"detections of class numbers outside the class list were dropped ({ids})",
    )
    return tuple(notes.warnings)
