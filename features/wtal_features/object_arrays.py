"""Read a NumPy object array without running what is in it.

Object arrays are pickles, and a pickle is a program. This one may name six things; each is
answered by a stand-in below, so that not even NumPy's own constructors run on its data. It works
in a child process under a memory limit: a damaged file ends the child, not the conversion. No
other file of the project unpickles.

Run as a script, it imports nothing of the package: `python -P object_arrays.py MODE FILE OFFSET
FOLDER`. MODE `json` writes the array as `values.json`; MODE `arrays` writes each (T, D) element as
`<index>.npy` and the faults of the others into `values.json`.
"""

import json
import math
import os
import pickle
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

# Lists in lists: videos, segments, two ends. Deeper is no annotation.
_MAX_DEPTH = 16
_DTYPE = re.compile(r"[biufcSUO]\d{0,9}")
# Objects of a pickle take more room than its bytes: a list of one small integer, 64 for 3.
_MEMORY_FACTOR = 8
_MEMORY_BASE_BYTES = 1 << 30


class RefusedError(Exception):
    """The pickle asks for something that no array of numbers and texts needs."""


class _DType:
    """Stands in for numpy.dtype; holds plain scalar types only."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else code
        if not _DTYPE.fullmatch(self.code):
            raise RefusedError(f"the dtype {self.code[:80]!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """(version, byte order, sub-array, names, fields, ...): the last three must be empty."""
        if any(part is not None for part in state[2:5]):
            raise RefusedError("a structured dtype")
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in {"<", ">", "=", "|"}:
            raise RefusedError(f"the byte order {order!r}")
        self.code = order + self.code

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.code)


class _Array:
    """Stands in for numpy.ndarray; the values are a list of objects or an array of numbers."""

    values: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """(version, shape, dtype, Fortran order, bytes or list of objects)."""
        shape, dtype, fortran, data = state[-4:]
        if not isinstance(dtype, _DType) or not all(type(n) is int and n >= 0 for n in shape):
            raise RefusedError("an array without shape or dtype")
        if dtype.numpy().hasobject:
            if not isinstance(data, list) or len(shape) != 1 or len(data) != shape[0]:
                raise RefusedError(f"an object array of shape {shape}; expected one axis")
            self.values = data
            return
        # NumPy compares the number of bytes with the shape and raises ValueError.
        flat = np.frombuffer(_as_bytes(data), dtype=dtype.numpy())
        self.values = flat.reshape(shape, order="F" if fortran else "C")


def _as_bytes(data: object) -> bytes:
    """The bytes of an array; Python 2 text read by Python 3 is one character per byte."""
    if isinstance(data, str):
        return data.encode("latin-1")
    if isinstance(data, bytes):
        return data
    raise RefusedError(f"array data of type {type(data).__name__}")


_NDARRAY = "numpy.ndarray"  # a mere token: the pickle can name the class, not call it


def _reconstruct(subtype: object, shape: object, _: object) -> _Array:
    """numpy.core.multiarray._reconstruct: an empty array that BUILD fills."""
    if subtype != _NDARRAY or shape != (0,):
        raise RefusedError(f"an array of shape {shape!r} without data")
    return _Array()


def _scalar(dtype: object, data: object) -> object:
    """numpy.core.multiarray.scalar: one number or text."""
    if not isinstance(dtype, _DType) or dtype.numpy().hasobject:
        raise RefusedError("a scalar of objects")
    return np.frombuffer(_as_bytes(data), dtype=dtype.numpy(), count=1)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """_codecs.encode: how Python 3 wrote bytes for Python 2; other codecs are not needed."""
    if encoding not in {"latin1", "latin-1"}:
        raise RefusedError(f"the codec {str(encoding)[:80]!r}")
    return text.encode("latin-1")


_ADMITTED: dict[str, Callable[..., object] | str] = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.ndarray": _NDARRAY,
    "numpy.dtype": _DType,
    "_codecs.encode": _encode,
}


class _Unpickler(pickle.Unpickler):
    """Admits what object arrays of numbers, texts and lists are made of; nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name not in _ADMITTED:
            raise RefusedError(f"{full_name[:200]!r}")
        return _ADMITTED[full_name]


def load(path: Path, offset: int) -> list[object]:
    """The elements of the one-axis object array whose pickle starts at `offset`.

    Raises:
        RefusedError: If the pickle names anything but the parts of arrays.
    """
    with path.open("rb") as handle:
        handle.seek(offset)
        # Python 2 texts stay bytes; `_plain` decodes them.
        array = _Unpickler(handle, encoding="bytes").load()
    if not isinstance(array, _Array) or not isinstance(array.values, list):
        raise RefusedError("something else than an object array with one axis")
    return array.values


class _Budget:
    """Bounds what is written out, for elements may be shared: a list of itself, 2^40 of one."""

    def __init__(self, size: int) -> None:
        self.left = size

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise RefusedError("more values than the file has bytes: elements are shared")


def _plain(value: object, budget: _Budget, depth: int = 0) -> object:
    """`value` as JSON has it."""
    budget.spend(1)
    if depth > _MAX_DEPTH:
        raise RefusedError(f"lists nested deeper than {_MAX_DEPTH}")
    if isinstance(value, _Array):
        value = value.values
    if isinstance(value, np.ndarray):
        budget.spend(value.size)
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item, budget, depth + 1) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no NaN; whoever wants a number there will refuse the text
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise RefusedError(f"an element of type {type(value).__name__}")


def _write_json(elements: Iterable[object], size: int, folder: Path) -> None:
    budget = _Budget(size)
    _dump(folder, [_plain(element, budget) for element in elements])


def _write_arrays(elements: Iterable[object], size: int, folder: Path) -> None:
    """One file per element that is a (T, D) array; the others are named."""
    budget = _Budget(size)
    faults: dict[str, str] = {}
    for index, element in enumerate(elements):
        array = element.values if isinstance(element, _Array) else element
        if not isinstance(array, np.ndarray):
            faults[str(index)] = f"is {type(array).__name__}; expected an array (T, D)"
            continue
        budget.spend(array.nbytes)
        with (folder / f"{index}.npy").open("wb") as handle:
            np.lib.format.write_array(handle, array, allow_pickle=False)
    _dump(folder, faults)


def _dump(folder: Path, value: object) -> None:
    (folder / "values.json").write_text(json.dumps(value), encoding="utf-8")


def _limit_memory(size: int) -> None:
    """Let the process grow by a multiple of the file; beyond that, MemoryError."""
    try:
        import resource
    except ImportError:  # Windows; there only the parent's time limit holds
        return
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # macOS
        pages = 0
    limit = pages * os.sysconf("SC_PAGE_SIZE") + _MEMORY_BASE_BYTES + _MEMORY_FACTOR * size
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


_MODES = {"json": _write_json, "arrays": _write_arrays}


def main(mode: str, path: str, offset: str, folder: str) -> int:
    """Write the elements of one file into `folder`; 3 and a reason on stderr when refused."""
    size = os.path.getsize(path)
    _limit_memory(size)
    try:
        _MODES[mode](load(Path(path), int(offset)), size, Path(folder))
    except RefusedError as error:
        sys.stderr.write(str(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
