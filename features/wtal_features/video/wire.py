"""What the decoder and its parent say to each other: a JSON head, then raw bytes.

A decoder that a hostile file took over can send wrong clips, but nothing that is executed: no
pickles pass here.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

_HEAD = struct.Struct("<II")  # bytes of the JSON head, bytes of the array after it
_MAX_HEAD = 1 << 20
_MAX_ARRAY = 1 << 30
_DTYPES = {"uint8": 1, "float16": 2}  # and bytes of one value

Message = dict[str, Any]
Array = npt.NDArray[Any]


class WireError(Exception):
    """The other side sent what no side of ours sends."""


def send(pipe: IO[bytes], head: Mapping[str, object], array: Array | None = None) -> None:
    """Write one message.

    Args:
        pipe: Unbuffered or to be flushed here.
        head: JSON values.
        array: uint8 or float16, C order; its shape and dtype are added to the head.
    """
    fields = dict(head)
    if array is not None:
        fields |= {"shape": array.shape, "dtype": str(array.dtype)}
    text = json.dumps(fields).encode()
    pipe.write(_HEAD.pack(len(text), 0 if array is None else array.nbytes) + text)
    if array is not None:
        pipe.write(array.data.cast("B"))
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[Message, Array | None] | None:
    """Read one message; None at the end.

    Raises:
        WireError: If the bytes are no message, or it is cut short.
    """
    raw = pipe.read(_HEAD.size)
    if not raw:
        return None
    if len(raw) < _HEAD.size:
        raise WireError("a message is cut short")
    n_head, n_array = _HEAD.unpack(raw)
    if n_head > _MAX_HEAD or n_array > _MAX_ARRAY:
        raise WireError(f"a message of {n_head + n_array} bytes")
    text = pipe.read(n_head)
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError("a message that is no JSON") from error
    if not isinstance(head, dict):
        raise WireError("a message that is no object")
    return head, _read_array(pipe, head, n_array) if n_array else None


def _read_array(pipe: IO[bytes], head: Message, size: int) -> Array:
    shape, dtype = head.get("shape"), head.get("dtype")
    if not isinstance(dtype, str) or dtype not in _DTYPES or not isinstance(shape, list):
        raise WireError("an array without shape and dtype")
    if not all(type(n) is int and n > 0 for n in shape) or len(shape) > 8:
        raise WireError("an array of an impossible shape")
    if math.prod(shape) * _DTYPES[dtype] != size:
        raise WireError(f"an array of shape {shape} in {size} bytes")
    array: Array = np.empty(size, np.uint8)
    view, done = array.data, 0
    while done < size:
        count = pipe.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise WireError("an array is cut short")
        done += count
    return array.view(dtype).reshape(shape)
