"""calibration.json of a run folder, and its copy in a result file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path

from wtal.calibration.scale import Calibration
from wtal_eval.io import form_of
from wtal_eval.json_files import read_members
from wtal_features.files import read_json, write_json

CALIBRATION_FILE = "calibration.json"
_DETAILS = b'"external_data"'


def read_calibration(run_or_detections: Path | str) -> Calibration | None:
    """The calibration of a run folder, or the one that a result file carries.

    Args:
        run_or_detections: a run folder, or a detections.json.

    Returns:
        None where there is none.

    Raises:
        WtalError, FeatureError, EvalError: the file cannot be read, or holds something else.
    """
    path = Path(run_or_detections)
    if path.is_dir():
        path = path / CALIBRATION_FILE
        return Calibration.from_json(read_json(path), str(path)) if path.is_file() else None
    if form_of(str(path)) != "json":
        return None  # tables and arrays have no place for it
    details = _details(path)
    found = details.get("calibration") if isinstance(details, Mapping) else None
    return None if found is None else Calibration.from_json(found, str(path))


def _details(path: Path) -> object:
    """`external_data` of a result file: from its end, where we write it, else by going through.

    The detections are never held: as Python's objects a million of them take half a gigabyte.
    """
    tail = _tail(path)
    try:
        # What follows the last key of the file can only be its value and the end of the file.
        value, end = json.JSONDecoder().raw_decode(tail)
        if tail[end:].strip() == "}":
            return value
    except (ValueError, RecursionError):
        pass
    return read_members(path, "results", lambda video, rows: None).get("external_data")


def _tail(path: Path) -> str:
    """What follows the colon after the last `"external_data"`; empty where there is none."""
    if not path.is_file() or not path.stat().st_size:
        return ""
    with path.open("rb") as handle, mmap(handle.fileno(), 0, access=ACCESS_READ) as content:
        at = content.rfind(_DETAILS)
        tail = content[at + len(_DETAILS) :] if at >= 0 else b""
    mark, _, value = tail.decode("utf-8", "replace").partition(":")
    return value.strip() if not mark.strip() else ""


def write_calibration(run: Path, calibration: Calibration) -> Path:
    """Write it into a run folder.

    Raises:
        FeatureError: it cannot be written.
    """
    path = run / CALIBRATION_FILE
    write_json(path, calibration.to_json())
    return path
