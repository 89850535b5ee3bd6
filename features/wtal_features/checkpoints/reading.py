"""Tensors out of a stranger's file; nothing in it is run.

torch files go through the unpickler that knows tensors alone (`weights_only=True`); safetensors
files hold nothing else. Which of the two a file is, its first bytes say.
"""

from __future__ import annotations

import hashlib
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.npy import open_regular

# Larger than any video encoder whose weights are public (V-JEPA 2 ViT-g: 4 GB).
MAX_BYTES = 16 << 30

# Where training programs put the network among epoch, optimizer and the like.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


class _Ignored:
    """Stands in for a NumPy number and its type, which best accuracies often are.

    NumPy's own types believe whatever state a file gives them: one of six parts instead of eight
    ends the process (NumPy 2.4).
    """

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


_NUMBERS: list[Any] = [
    (_Ignored, name)
    for name in (
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    )
]
_WANTED = re.compile(r"(?:GLOBAL|[Cc]lass) ([\w.]+\.\w+)")
# What the unpickler and the archive reader were seen to raise over damaged bytes.
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    UnpicklingError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)


def read_tensors(path: str | Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Tensor]:
    """The tensors of a torch or safetensors file, by name.

    A dict around the network's own is opened; what is no tensor (epoch, optimizer) is left out; a
    `module.` in front of every name, which parallel training adds, goes.

    Args:
        path: The file.
        max_bytes: Larger files are refused before they are read.

    Returns:
        Name -> tensor on the CPU. Those of a torch archive are mapped: read when first used.

    Raises:
        FeatureError: If the file is missing, empty, too large, cut short, no checkpoint, without
            tensors, or a pickle that asks for more than tensors.
    """
    path = Path(path)
    start = _start_of(path, max_bytes)
    try:
        value = _read(path, start)
    except _DAMAGED as error:
        _refuse(path, error)
    tensors = _plain(_unwrapped(value))
    if not tensors:
        raise FeatureError(
            f"{path} holds no tensors by name; expected the state_dict of a network.",
            code="checkpoint",
        )
    return tensors


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; the file is read in pieces.

    Raises:
        FeatureError: If the file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    with _open(Path(path)) as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _open(path: Path) -> IO[bytes]:
    try:
        return open_regular(path)
    except FeatureError as error:
        raise FeatureError(error.problem, error.cure, code="checkpoint") from error


def _start_of(path: Path, max_bytes: int) -> bytes:
    """The first bytes of a file of bounded size."""
    with _open(path) as handle:
        size = handle.seek(0, 2)
        handle.seek(0)
        start = handle.read(16)
    if not start:
        raise FeatureError(
            f"{path} is empty; expected a checkpoint.", "Download it again.", code="checkpoint"
        )
    if size > max_bytes:
        raise FeatureError(
            f"{path} has {size} bytes; expected at most {max_bytes}.",
            "It is not the weights of one network, or pass a higher max_bytes.",
            code="checkpoint",
        )
    return start


def _read(path: Path, start: bytes) -> object:
    """Whatever the file holds, by its first bytes."""
    if start[8:9] == b"{":  # after the length of the header
        return load_file(path)
    archive = start.startswith(b"PK")
    if archive:
        with zipfile.ZipFile(path) as file:
            packed = any(part.compress_type != zipfile.ZIP_STORED for part in file.infolist())
        if packed:  # torch would map the packed bytes as if they were numbers
            raise ValueError("compressed parts")
    elif not start.startswith(b"\x80"):
        raise ValueError("neither an archive nor a pickle")
    with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMBERS):
        warnings.simplefilter("ignore")  # about pickles of other programs, which are refused anyway
        return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)


def _refuse(path: Path, error: Exception) -> NoReturn:
    """Say what is wrong with a file, in our words: torch's own advise to run it."""
    wanted = _WANTED.search(str(error))
    if isinstance(error, UnpicklingError) and wanted:
        raise FeatureError(
            f"{path} holds more than tensors: it asks for {wanted[1]}, and nothing of it was run.",
            "If you trust its source, load it there and save its state_dict alone.",
            code="checkpoint",
        ) from None
    raise FeatureError(
        f"{path} is cut short, damaged, or no checkpoint of torch or safetensors.",
        "Download it again, and compare its size.",
        code="checkpoint",
    ) from error


def _unwrapped(value: object) -> object:
    """The innermost dict under the names that training programs use."""
    for key in _WRAPPERS:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    return value


def _plain(value: object) -> dict[str, Tensor]:
    """The ordinary tensors of a dict, without a `module.` that all names share."""
    if not isinstance(value, Mapping):
        return {}
    tensors = {
        name: tensor.detach()
        for name, tensor in value.items()
        if isinstance(name, str)
        and isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
    }
    shared = all(name.startswith("module.") for name in tensors)
    return {name.removeprefix("module.") if shared else name: t for name, t in tensors.items()}
