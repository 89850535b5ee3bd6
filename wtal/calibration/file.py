"""calibration.json of a run folder, and its copy in a result file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wtal.calibration.scale import Calibration
from wtal_eval.io import form_of
from wtal_features.files import read_json, write_json

CALIBRATION_FILE = "calibration.json"


def read_calibration(run_or_detections: Path | str) -> Calibration | None:
    """The calibration of a run folder, or the one that a result file carries.

    Args:
        run_or_detections: a run folder, or a detections.json.

    Returns:
        None where there is none.

    Raises:
        WtalError, FeatureError: the file cannot be read, or holds something else.
    """
    path = Path(run_or_detections)
    if path.is_dir():
        path = path / CALIBRATION_FILE
        return Calibration.from_json(read_json(path), str(path)) if path.is_file() else None
    if form_of(str(path)) != "json":
        return None  # tables and arrays have no place for it
    document = read_json(path)
    details = document.get("external_data") if isinstance(document, Mapping) else None
    found = details.get("calibration") if isinstance(details, Mapping) else None
    return None if found is None else Calibration.from_json(found, str(path))


def write_calibration(run: Path, calibration: Calibration) -> Path:
    """Write it into a run folder.

    Raises:
        FeatureError: it cannot be written.
    """
    path = run / CALIBRATION_FILE
    write_json(path, calibration.to_json())
    return path
