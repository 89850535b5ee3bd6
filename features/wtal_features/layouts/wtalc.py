"""W-TALC: `X-I3D-JOINTFeatures.npy`, one object array, beside `X-Annotations/*.npy`."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wtal_features import object_arrays
from wtal_features.annotations import Annotations, collect, make_entry, plain_label
from wtal_features.errors import FeatureError, Finding, counted
from wtal_features.files import check_name, read_json
from wtal_features.layouts import Layout, Limits, named_in
from wtal_features.npy import FeatureArray, check_size, open_regular, read_header, read_npy

FEATURES_SUFFIX = "Features.npy"
NAMES = "videoname.npy"
_MAX_AXES = 4  # the public files have one, or (videos, 1)


def find_annotations(features: Path) -> Path:
    """The annotation folder that belongs to a feature file.

    Raises:
        FeatureError: If none or several lie beside it; the names of the videos are in there.
    """
    folders = [path.parent for path in sorted(features.parent.glob(f"*/{NAMES}"))]
    prefix = features.name.split("-")[0]
    same = [folder for folder in folders if folder.name.split("-")[0] == prefix]
    chosen = same or folders
    if len(chosen) != 1:
        raise FeatureError(
            f"{features} has {len(chosen)} annotation folders beside it; expected one with "
            f"{NAMES}, which holds the names of the videos.",
            "Name it with --annotations.",
            code="annotations",
        )
    return chosen[0]


# Annotations -------------------------------------------------------------------------------------


def read_annotations(folder: Path, limits: Limits) -> Annotations:
    """Read an annotation folder.

    Args:
        folder: With `videoname.npy`, and `labels`, `labels_all`, `segments`, `subset`,
            `duration`, `original_fps` where there are.
        limits: For the child process.

    Returns:
        The annotations; a video whose entry is faulty is among the faults. The tags are those
        of `labels_all`, from which W-TALC learns, or of the segments where that is empty.

    Raises:
        FeatureError: If a file cannot be read, or they differ in length.
    """
    columns = {path.stem: _column(path, limits) for path in sorted(folder.glob("*.npy"))}
    names = columns.get("videoname")
    if not names:
        raise FeatureError(f"{folder / NAMES} is missing or empty.", code="annotations")
    wanted = ("labels", "labels_all", "segments", "subset", "duration", "original_fps")
    for key in wanted:
        if key in columns and len(columns[key]) != len(names):
            raise FeatureError(
                f"{folder / key}.npy has {len(columns[key])} entries; {NAMES} has {len(names)}.",
                "The folder is incomplete; copy it again.",
                code="annotations",
            )
    rows = {key: columns[key] if key in columns else [None] * len(names) for key in wanted}
    database: dict[str, dict[str, Any]] = {}
    labels: dict[str, list[str]] = {}
    faults = []
    for index, name in enumerate(names):
        try:
            video = _new_name(name, database)
            row = {key: rows[key][index] for key in wanted}
            database[video] = _entry(video, row)
            if row["labels_all"] is not None:
                labels[video] = [
                    plain_label(video, item) for item in _items(video, row["labels_all"])
                ]
        except FeatureError as error:
            faults.append(Finding.of(error, str(name)))
    return collect(database, faults, labels, _fps_note(folder, columns))


def _new_name(name: object, known: dict[str, dict[str, Any]]) -> str:
    if not isinstance(name, str):
        raise FeatureError(f"A video name is {name!r}; expected a text.", code="annotations")
    check_name(name, ".npy")
    if name in known:
        raise FeatureError(f"{NAMES} lists {name!r} twice.", code="annotations")
    return name


def _entry(video: str, row: dict[str, Any]) -> dict[str, Any]:
    labels = _items(video, row["labels"] or [])
    segments = _items(video, row["segments"] or [])
    if len(labels) != len(segments):
        raise FeatureError(
            f"{video!r} has {len(labels)} labels and {len(segments)} segments.",
            "Correct the entry.",
            code="annotations",
        )
    return make_entry(
        video,
        subset=row["subset"],
        numbers={"duration": _single(row["duration"]), "fps": _single(row["original_fps"])},
        pairs=list(zip(labels, segments, strict=True)),
    )


def _items(video: str, value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    raise FeatureError(
        f"The labels or segments of {video!r} are {str(value)[:80]!r}; expected a list.",
        "Correct the entry.",
        code="annotations",
    )


def _single(value: object) -> object:
    """`duration` comes as (N,) and as (N, 1)."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _fps_note(folder: Path, columns: dict[str, list[Any]]) -> tuple[str, ...]:
    """The folder's `extracted_fps` is not that of the features; say so.

    Source: sujoyp/wtalc-pytorch detectionMAP.py, `factor`; no line there reads extracted_fps.
    """
    stated = sorted({str(value) for value in columns.get("extracted_fps", [])})
    if not stated:
        return ()
    return (
        f"{folder.name}/extracted_fps.npy says {', '.join(stated[:3])}. It was not used: W-TALC's "
        "evaluation places I3D snippets at 25 fps, 16 frames each, and UntrimmedNet's at 10 and 4.",
    )


def _column(path: Path, limits: Limits) -> list[Any]:
    """One file as a list: numbers and texts read directly, objects through the child."""
    with open_regular(path) as handle:
        header = read_header(handle, path)
        if header.dtype.hasobject:
            with tempfile.TemporaryDirectory() as folder:
                _run_child("json", path, header.data_offset, Path(folder), limits)
                values = read_json(Path(folder) / "values.json")
            return values if isinstance(values, list) else []
        # No byte stands for the values of such shapes, so any number of them can be claimed.
        empty = header.dtype.itemsize == 0 or 0 in header.shape[1:]
        if empty or len(header.shape) > _MAX_AXES:
            raise FeatureError(
                f"{path} has shape {str(header.shape)[:80]} of {header.dtype}; "
                "expected one entry per video.",
                "Copy the folder again.",
                code="annotations",
            )
        check_size(header, os.fstat(handle.fileno()).st_size, path)
        flat = np.fromfile(handle, dtype=header.dtype)
    if header.dtype.kind == "U" and _beyond_unicode(flat):
        raise FeatureError(
            f"{path} holds what is no text.", "Copy the folder again.", code="annotations"
        )
    values = flat.reshape(header.shape, order="F" if header.fortran_order else "C").tolist()
    listed = values if isinstance(values, list) else [values]
    return [_decoded(value) for value in listed]


def _beyond_unicode(texts: np.ndarray[Any, Any]) -> bool:
    """Whether some bytes of an array of texts are numbers that stand for no character."""
    native = texts.astype(texts.dtype.newbyteorder("="))
    return bool((native.view(np.uint32) > sys.maxunicode).any())


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


# Features ----------------------------------------------------------------------------------------


def read_features(path: Path, annotations: Path, limits: Limits) -> Layout:
    """The features of a W-TALC file, by the names in its annotation folder.

    Args:
        path: An object array of (T, D) arrays.
        annotations: The folder with `videoname.npy`.
        limits: For the child process.

    Raises:
        FeatureError: If the file holds no object array, or another number of videos than names.
    """
    names = [str(name) for name in _column(annotations / NAMES, limits)]
    with open_regular(path) as handle:
        header = read_header(handle, path)
    if not header.dtype.hasobject or len(header.shape) != 1:
        raise FeatureError(
            f"{path} has shape {header.shape} of {header.dtype}; "
            "expected an object array with one (T, D) array per video.",
            "For plain arrays use one .npy per video.",
            code="layout",
        )
    if header.shape[0] != len(names):
        raise FeatureError(
            f"{path} holds {counted(header.shape[0], 'video')}; "
            f"{annotations / NAMES} names {len(names)}.",
            "The two do not belong together.",
            code="annotations",
        )
    twice = {name for name, count in Counter(names).items() if count > 1}
    array = _ObjectArray(path, header.data_offset, limits)
    subset_file = annotations / "subset.npy"
    subsets = _column(subset_file, limits) if subset_file.exists() else []
    return Layout(
        streams=(),
        videos={name: array.reader(i) for i, name in enumerate(names) if name not in twice},
        subsets={name: str(subset) for name, subset in zip(names, subsets, strict=False)},
        faults=tuple(
            Finding("twice", name, f"{NAMES} lists the video twice.") for name in sorted(twice)
        ),
        prepare=array.unpack,
    )


class _ObjectArray:
    """A feature file and, once unpacked, the plain files of its elements."""

    def __init__(self, path: Path, offset: int, limits: Limits) -> None:
        self._path, self._offset, self._limits = path, offset, limits
        self._scratch = Path()
        self._faults: dict[str, str] = {}

    def unpack(self, scratch: Path) -> None:
        """Let the child write every element into `scratch`."""
        _run_child("arrays", self._path, self._offset, scratch, self._limits)
        faults = read_json(scratch / "values.json")
        self._faults = faults if isinstance(faults, dict) else {}
        self._scratch = scratch

    def reader(self, index: int) -> Callable[[], dict[str, FeatureArray]]:
        """Reads element `index` and frees its room in the scratch folder."""

        def arrays() -> dict[str, FeatureArray]:
            where = named_in(self._path, str(index))
            if str(index) in self._faults:
                problem = f"{where} {self._faults[str(index)]}."
                raise FeatureError(problem, "Extract the video again.", code="dtype")
            path = self._scratch / f"{index}.npy"
            try:
                array = read_npy(path, double=True)
            except FeatureError as error:
                problem = error.problem.replace(str(path), where)
                raise FeatureError(problem, error.cure, code=error.code) from error
            path.unlink()
            return {"": array}

        return arrays


# The child process -------------------------------------------------------------------------------


def _run_child(mode: str, path: Path, offset: int, folder: Path, limits: Limits) -> None:
    """Let a child process read an object array and write plain files into `folder`.

    Raises:
        FeatureError: If the file names anything that arrays do not need, is damaged, or takes
            too much memory or time.
    """
    # -P: the script's own folder is not searched for modules. One thread: it computes nothing,
    # and every further one reserves memory that counts against the limit.
    command = [sys.executable, "-P", object_arrays.__file__, mode, str(path), str(offset)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        child = subprocess.run(
            [*command, str(folder)],
            capture_output=True,
            text=True,
            timeout=limits.max_seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FeatureError(
            f"{path} took longer than {limits.max_seconds:g} s to read.", code="too-large"
        ) from error
    if child.returncode == 3:
        raise FeatureError(
            f"{path} was refused: it asks for {child.stderr.strip()}, which arrays of numbers "
            "and texts do not need. Nothing in it was run.",
            "Do not trust the file; get it from its source again.",
            code="hostile-pickle",
        )
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or [f"signal {-child.returncode}"])[-1]
        raise FeatureError(
            f"{path} cannot be read as an object array: {reason[:200]}.",
            "It may be cut short; copy it again.",
            code="damaged",
        )
