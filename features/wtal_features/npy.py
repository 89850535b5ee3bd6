"""The .npy format, read without pickle and without believing what a header claims.

Shapes: T snippets, D dimensions of a feature.
"""

import ast
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError

FeatureArray = npt.NDArray[np.floating[Any]]

# Plain scalar types only: no structures, no sub-arrays, no dates.
_DESCR = re.compile(r"[<>|=]?[?biufcSUVO]\d{0,9}")
# Version 1 headers end before 64 KiB; NumPy itself refuses longer than 10,000 unless told.
_MAX_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class NpyHeader:
    """What a .npy file says about itself.

    Attributes:
        shape: As stored.
        dtype: As stored, byte order included.
        fortran_order: Whether the first index runs fastest.
        data_offset: Bytes from the start of the file to the first value.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    data_offset: int

    @property
    def data_bytes(self) -> int:
        """Size of the values in bytes; a Python integer, so it cannot overflow."""
        return math.prod(self.shape) * self.dtype.itemsize


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading; folders, pipes and devices are refused.

    Raises:
        FeatureError: If the file is missing, no regular file, or not readable.
    """
    try:
        mode = path.stat().st_mode
        handle = path.open("rb") if stat.S_ISREG(mode) else None
    except FileNotFoundError as error:
        raise FeatureError(f"{path} does not exist.", "Check the name.", code="missing") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise FeatureError(f"{path} cannot be read: {error}.", code="unreadable") from error
    if handle is None:
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise FeatureError(f"{path} is {kind}; expected a file.", code="file")
    return handle


def read_header(handle: IO[bytes], where: object) -> NpyHeader:
    """Parse the header at the position of `handle`.

    Args:
        handle: Binary file at the first byte of a .npy file.
        where: The file's name in error messages.

    Raises:
        FeatureError: If this is no .npy header, or the file ends inside it.
    """
    start = handle.read(8)
    if not start:
        raise FeatureError(
            f"{where} is empty; expected a .npy array.", "Write it again.", code="empty"
        )
    if start[:6] != b"\x93NUMPY" or len(start) < 8 or start[6] not in (1, 2, 3):
        raise FeatureError(
            f"{where} is no .npy file: it starts with {start[:6]!r}.",
            "Save the array with numpy.save, or use wtal convert.",
            code="not-npy",
        )
    length_bytes = 2 if start[6] == 1 else 4
    length = int.from_bytes(handle.read(length_bytes), "little")
    if length > _MAX_HEADER_BYTES:
        raise FeatureError(
            f"{where} has a .npy header of {length} bytes; expected at most {_MAX_HEADER_BYTES}.",
            code="header",
        )
    text = handle.read(length)
    if len(text) < length:
        raise FeatureError(
            f"{where} ends inside its .npy header.", "Write it again.", code="truncated"
        )
    shape, dtype, fortran_order = _parse(text.decode("latin-1"), where)
    return NpyHeader(shape, dtype, fortran_order, 8 + length_bytes + length)


def _parse(text: str, where: object) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """The three fields of a header's dictionary."""
    wrong = FeatureError(
        f"{where} has a .npy header that cannot be understood: {text[:80].strip()!r}.",
        "Save the array again as plain float16 or float32.",
        code="header",
    )
    try:
        # Python 2 wrote long integers in shapes: (10L, 2048L).
        fields = ast.literal_eval(re.sub(r"(?<=\d)L", "", text).strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise wrong from error
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise wrong
    descr, shape = fields["descr"], fields["shape"]
    if not isinstance(descr, str) or not _DESCR.fullmatch(descr):
        raise FeatureError(
            f"{where} has dtype {str(descr)[:80]!r}; expected float16 or float32.",
            "Save plain arrays, one file per video.",
            code="dtype",
        )
    plain = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not plain or not isinstance(fields["fortran_order"], bool):
        raise wrong
    try:
        return shape, np.dtype(descr), fields["fortran_order"]
    except (TypeError, ValueError) as error:
        raise wrong from error


def check_size(header: NpyHeader, size: int, where: object) -> None:
    """Compare what the header claims with the bytes that are there.

    Args:
        header: The parsed header.
        size: Size of the whole file in bytes.
        where: The file's name in error messages.

    Raises:
        FeatureError: If the file is shorter or longer than the header says.
    """
    have = size - header.data_offset
    if have == header.data_bytes:
        return
    claim = f"{where} claims shape {header.shape} of {header.dtype}, {header.data_bytes} bytes"
    if have < header.data_bytes:
        raise FeatureError(
            f"{claim}, but holds {have}: it is truncated or its header lies.",
            "Write it again.",
            code="truncated",
        )
    raise FeatureError(
        f"{claim}, but holds {have}: bytes follow the array.", "Write it again.", code="trailing"
    )


def check_float(header: NpyHeader, where: object, *, double: bool = False) -> None:
    """Refuse every dtype but float16 and float32.

    Args:
        header: The parsed header.
        where: The file's name in error messages.
        double: Let float64 pass too, for a reader that converts it.

    Raises:
        FeatureError: Naming the dtype; object arrays and float64 get a cure of their own.
    """
    dtype = header.dtype
    if dtype.hasobject:
        raise FeatureError(
            f"{where} holds Python objects (dtype object), which only pickle can read; "
            "expected float16 or float32.",
            "Use wtal convert, which reads such files without running what is in them.",
            code="object-dtype",
        )
    if dtype.kind != "f" or dtype.itemsize not in ((2, 4, 8) if double else (2, 4)):
        raise FeatureError(
            f"{where} has dtype {dtype}; expected float16 or float32.",
            "Convert it knowingly: wtal convert --dtype float32.",
            code="dtype",
        )


def check_shape(shape: tuple[int, ...], where: object) -> None:
    """Refuse everything that is not (T, D) with at least one snippet.

    Raises:
        FeatureError: Naming the shape.
    """
    if len(shape) != 2:
        raise FeatureError(
            f"{where} has shape {shape}; expected two axes (T, D).",
            "Average or join crops and streams first; see features/README.md.",
            code="shape",
        )
    if 0 in shape:
        raise FeatureError(
            f"{where} has shape {shape}: it holds no snippets; expected (T, D) with T >= 1.",
            "The video may be shorter than one window; extract it again or leave it out.",
            code="no-snippets",
        )


def refuse_transposed(shapes: Sequence[tuple[int, ...]], where: str) -> None:
    """Refuse arrays that are (D, T): all begin with one number, and what follows varies.

    Videos cut to one length are alike in T, too, but then most have one D.

    Args:
        shapes: Of several videos, two-dimensional.
        where: Where they lie, for the message.

    Raises:
        FeatureError: If three or more look so.
    """
    most = max(Counter(D for _, D in shapes).values(), default=0)
    if len(shapes) > 2 and len({T for T, _ in shapes}) == 1 and 2 * most <= len(shapes):
        T, D = shapes[0]
        raise FeatureError(
            f"{where} holds arrays such as {(T, D)}: all begin with {T}; expected (T, {T}).",
            "They look transposed; save array.T.",
            code="transposed",
        )


def check_finite(array: FeatureArray, where: object, first: int = 0) -> None:
    """Refuse NaN and infinity.

    Args:
        array: (T, D).
        where: The file's name in the message.
        first: Number of the first snippet of `array`, where it is a part.

    Raises:
        FeatureError: Naming the first bad snippet and how many values are bad.
    """
    bad = ~np.isfinite(array)
    if bad.any():
        t, d = np.argwhere(bad)[0]
        raise FeatureError(
            f"{where} holds {int(bad.sum())} values that are NaN or infinite, "
            f"the first in snippet {first + t}, dimension {d}.",
            "Extract the video again; in float16, values above 65504 become infinite.",
            code="nan",
        )


def read_feature_header(path: Path) -> NpyHeader:
    """The checked header of a feature array; the values stay on disk.

    Raises:
        FeatureError: As `read_npy`, but for the values.
    """
    with open_regular(path) as handle:
        return _feature_header(handle, path)


def _feature_header(handle: IO[bytes], path: Path, *, double: bool = False) -> NpyHeader:
    header = read_header(handle, path)
    check_float(header, path, double=double)
    check_shape(header.shape, path)
    check_size(header, os.fstat(handle.fileno()).st_size, path)
    return header


def npy_shape(path: str | Path) -> tuple[int, int]:
    """Shape (T, D) of a feature array, from its header alone.

    Args:
        path: A .npy file.

    Returns:
        T snippets and D dimensions.

    Raises:
        FeatureError: As `read_npy`.
    """
    rows, dim = read_feature_header(Path(path)).shape
    return rows, dim


def read_npy(path: str | Path, *, double: bool = False) -> FeatureArray:
    """Read a feature array, never with pickle, never more than the file holds.

    Args:
        path: A .npy file, float16 or float32, shape (T, D).
        double: Let float64 pass too, for a reader that converts it.

    Returns:
        (T, D) in the stored dtype, C order, native byte order, writable.

    Raises:
        FeatureError: If the file is missing, empty, truncated, no .npy file, of another dtype
            (float64 and object included) or another shape, or larger than memory.
    """
    path = Path(path)
    with open_regular(path) as handle:
        header = _feature_header(handle, path, double=double)
        return read_values(handle, header, path)


def read_values(handle: IO[bytes], header: NpyHeader, where: object) -> FeatureArray:
    """Read the values that follow `header` in a real file; both must have been checked.

    Raises:
        FeatureError: If the file ends early or memory does not suffice.
    """
    count = math.prod(header.shape)
    try:
        values = np.fromfile(handle, dtype=header.dtype, count=count)
    except (MemoryError, OSError) as error:
        raise FeatureError(
            f"{where} cannot be read ({header.data_bytes} bytes): {error}.", code="unreadable"
        ) from error
    if values.size < count:
        raise FeatureError(f"{where} became shorter while it was read.", code="truncated")
    return shaped(values, header)


def shaped(values: npt.NDArray[Any], header: NpyHeader) -> npt.NDArray[Any]:
    """Give flat `values` the header's shape, in C order and native byte order."""
    array = values.reshape(header.shape, order="F" if header.fortran_order else "C")
    return np.ascontiguousarray(array, dtype=header.dtype.newbyteorder("="))
