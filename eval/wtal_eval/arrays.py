"""Detections as arrays: of the caller, or of an `.npz` file."""

from __future__ import annotations

import lzma
import struct
import sys
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wtal_eval.columns import Detections
from wtal_eval.faults import EvalError, shown
from wtal_eval.json_files import MAX_BYTES
from wtal_eval.segments import Floats, Ints

FIELDS = ("video", "label", "start", "end", "score")


def are_columns(source: Mapping[str, Any]) -> bool:
    """Whether a mapping holds one array per field, and not the JSON form."""
    return "results" not in source and set(FIELDS) <= set(source)


def from_columns(columns: Mapping[str, ArrayLike | Sequence[str]], source: str) -> Detections:
    """Detections from one array per field.

    Args:
        columns: `video` and `label` hold names, or codes with the names in `videos` and `labels`;
            `start`, `end` (seconds) and `score` hold numbers. float64 is not copied, other types
            are converted once.
        source: name for messages.

    Example:
        >>> columns = {"video": ["v", "v"], "label": ["Run", "Jump"], "start": [0, 1]}
        >>> found = from_columns(columns | {"end": [4, 9], "score": [0.5, 0.7]}, "arrays")
        >>> found.labels, found.label
        (('Jump', 'Run'), array([1, 0]))

    Raises:
        EvalError: if an array is missing, does not fit the others or has the wrong type.
    """
    missing = [field for field in FIELDS if field not in columns]
    if missing:
        raise EvalError(f"{source}: array {missing[0]!r} is missing; expected {', '.join(FIELDS)}.")
    videos, video = _coded(columns, "video", "videos", source)
    labels, label = _coded(columns, "label", "labels", source)
    return Detections(
        videos=videos,
        labels=labels,
        video=video,
        label=label,
        start=_numbers(columns["start"], "start", source),
        end=_numbers(columns["end"], "end", source),
        score=_numbers(columns["score"], "score", source),
        source=source,
    )


# What the readers of archives and arrays were seen to raise over damaged bytes. MemoryError: a
# header that claims terabytes.
_DAMAGED = (
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: Path) -> Detections:
    """Read an `.npz` file with the arrays of `from_columns`. Nothing in it is unpickled.

    Raises:
        EvalError: if it is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise EvalError(f"{path} unpacks to {size} bytes; expected at most {MAX_BYTES}.")
        with warnings.catch_warnings(), np.load(path, allow_pickle=False) as arrays:
            warnings.simplefilter("ignore")  # that Python 2 wrote it
            columns = {
                name: arrays[name] for name in (*FIELDS, "videos", "labels") if name in arrays
            }
    except EvalError:
        raise
    except _DAMAGED as error:
        raise EvalError(f"{path} cannot be read as .npz: {error}.") from None
    return from_columns(columns, str(path))


def _coded(
    columns: Mapping[str, Any], field: str, names_field: str, source: str
) -> tuple[tuple[str, ...], Ints]:
    values = np.asarray(columns[field])
    names = columns.get(names_field)
    if values.dtype.kind == "O" and all(isinstance(name, str) for name in values.flat):
        values = values.astype(str)
    if values.ndim == 1 and (values.dtype.kind == "U" or not len(values)):
        texts = _texts(values.astype(str, copy=False), field, source)
        known, codes = np.unique(texts, return_inverse=True)
        return tuple(known.tolist()), codes
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer) or names is None:
        raise EvalError(
            f"{source}: {field} has type {values.dtype} and shape {values.shape}; expected (N,) "
            f"names, or (N,) whole numbers with the names in {names_field!r}."
        )
    texts = np.asarray(names)
    if texts.ndim != 1 or (texts.dtype.kind != "U" and len(texts)):
        raise EvalError(f"{source}: {names_field} is {shown(names)}; expected a list of names.")
    return tuple(_texts(texts, names_field, source).tolist()), values


def _texts(texts: NDArray[Any], field: str, source: str) -> NDArray[Any]:
    """Names that Python can hold: bytes of a file may be numbers that stand for no character."""
    if texts.dtype.kind == "U" and texts.size and texts.dtype.itemsize:
        native = np.ascontiguousarray(texts, texts.dtype.newbyteorder("="))
        if native.view(np.uint32).max() > sys.maxunicode:
            raise EvalError(f"{source}: {field} holds what is no text; expected names.")
    return texts


def _numbers(values: ArrayLike, field: str, source: str) -> Floats:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" and array.size:
        raise EvalError(f"{source}: {field} has type {array.dtype}; expected numbers.")
    numbers: Floats = array.astype(np.float64, copy=False)
    return numbers
