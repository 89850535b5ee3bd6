"""TensorFlow 2 checkpoints, read without TensorFlow: `<prefix>.index` and one data file.

The index is a table of LevelDB: blocks of sorted names and values, one more block that says where
they are, and a footer that says where that one is. Each value is a small message of protocol
buffers: dtype, shape, and a range of the data file, which holds nothing but the numbers. Both
carry checksums (CRC-32C). No size that a file claims is believed before it was compared.

Source: tensorflow/tensorflow@00f0938 tensorflow/core/util/tensor_bundle/tensor_bundle.cc,
tensorflow/core/protobuf/tensor_bundle.proto, tensorflow/core/lib/io/format.cc.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wtal_features.errors import FeatureError
from wtal_features.npy import open_regular

# The index of a network with 300 tensors has 20 kB, and names of 100 characters.
MAX_INDEX_BYTES = 4 << 20
MAX_ENTRIES = 100_000
_MAX_NAME_BYTES = 1024
_MAX_AXES = 8
_MAX_NUMBERS = 1 << 40  # in one tensor

_FOOTER_BYTES = 48
_MAGIC = 0xDB4775248B80FB57
_TRAILER_BYTES = 5
_DATA = ".data-00000-of-00001"
# The graph of Python objects, as a string; no tensor of a network.
_OBJECT_GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"
# Numbers of tensorflow/core/framework/types.proto; only the first four can be read.
_READABLE: Final = {1: "float32", 19: "float16", 3: "int32", 9: "int64"}
_LISTED: Final = {2: "float64", 4: "uint8", 7: "string", 10: "bool", 14: "bfloat16"}


@dataclass(frozen=True)
class Entry:
    """What the index says about one tensor.

    Attributes:
        dtype: As NumPy names it, `string`, `bfloat16`, or `type N` for the rarer ones.
        shape: As stored.
        offset: First byte in the data file.
        size: Bytes.
        crc: Masked CRC-32C of the bytes.
        whole: False if the tensor is stored in slices, under other names.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    crc: int
    whole: bool


@dataclass(frozen=True)
class Bundle:
    """An opened checkpoint.

    Attributes:
        data: The file with the numbers.
        entries: Name -> what the index says; in the order of the index.
    """

    data: Path
    entries: Mapping[str, Entry]

    def read(self, name: str) -> NDArray[Any]:
        """The numbers of one tensor.

        Args:
            name: One of `entries`.

        Returns:
            A writable array of the stored shape and dtype, in native byte order.

        Raises:
            FeatureError: If there is no such tensor, its dtype is none of float32, float16, int32
                and int64, its shape and size disagree, or the data file ends early or is damaged.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise FeatureError(f"{self.data} holds no tensor {name!r}.", code="checkpoint")
        where = f"{self.data}: the tensor {name!r}"
        if entry.dtype not in _READABLE.values() or not entry.whole:
            kind = entry.dtype if entry.whole else "in slices"
            raise _fault(f"{where} is {kind}; expected {', '.join(_READABLE.values())}, whole")
        dtype = np.dtype(entry.dtype).newbyteorder("<")
        expected = math.prod(entry.shape) * dtype.itemsize
        if entry.size != expected:
            raise _fault(
                f"{where} of shape {entry.shape} and dtype {entry.dtype} has {entry.size} bytes; "
                f"expected {expected}"
            )
        raw = _read_range(self.data, entry.offset, entry.size, where)
        if _masked(crc32c(raw)) != entry.crc:
            raise _fault(f"{where} does not match its checksum")
        return raw.view(dtype).reshape(entry.shape).astype(entry.dtype, copy=False)


def open_bundle(prefix: str | Path) -> Bundle:
    """Read the index of a checkpoint; the numbers stay on disk.

    Args:
        prefix: Path of the checkpoint without `.index`.

    Returns:
        The names, dtypes and shapes of its tensors, and the means to read them.

    Raises:
        FeatureError: If a file is missing, the index is damaged, compressed, larger than 4 MiB,
            or speaks of several data files.
    """
    index, data = Path(f"{prefix}.index"), Path(f"{prefix}{_DATA}")
    try:
        with open_regular(data), open_regular(index) as handle:
            table = handle.read(MAX_INDEX_BYTES + 1)
    except (FeatureError, OSError) as error:
        raise FeatureError(
            f"The checkpoint {prefix} cannot be opened: {error}",
            f"It needs the files {index.name} and {data.name}, side by side.",
            code="checkpoint",
        ) from error
    try:
        return Bundle(data, dict(_entries(table)))
    except _DamagedError as error:
        raise _fault(
            f"{index} is no index of a TensorFlow checkpoint, or damaged: {error}"
        ) from error


def _fault(problem: str) -> FeatureError:
    return FeatureError(f"{problem}.", "Download the checkpoint again.", code="checkpoint")


def _read_range(path: Path, offset: int, size: int, where: str) -> NDArray[np.uint8]:
    """`size` bytes of a file; asked for only after they were seen to be there."""
    try:
        with open_regular(path) as handle:
            have = os.fstat(handle.fileno()).st_size
            if offset + size > have:
                raise _fault(f"{where} ends at byte {offset + size}, but the file has {have}")
            handle.seek(offset)
            raw = np.fromfile(handle, np.uint8, size)
    except (OSError, MemoryError) as error:
        raise _fault(f"{where} cannot be read: {error}") from error
    if raw.size != size:
        raise _fault(f"{where}: the file became shorter while it was read")
    return raw


# The index ----------------------------------------------------------------------------------------


class _DamagedError(Exception):
    """Why bytes are no index; `open_bundle` says of which file."""


def _entries(table: bytes) -> Iterator[tuple[str, Entry]]:
    """Name and entry of every tensor; the header, which has the empty name, is checked."""
    seen: set[bytes] = set()
    for name, message in _pairs(table):
        if name in seen:
            raise _DamagedError(f"the name {name[:80]!r} comes twice")
        seen.add(name)
        if len(seen) > MAX_ENTRIES:
            raise _DamagedError(f"more than {MAX_ENTRIES} entries")
        if name == b"":
            _check_header(message)
        elif name != _OBJECT_GRAPH:
            yield _text(name), _entry(message)
    if b"" not in seen:
        raise _DamagedError("it has no header")


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise _DamagedError(f"the name {name[:80]!r} is no text") from None


def _check_header(message: bytes) -> None:
    """BundleHeaderProto: 1 number of data files, 2 byte order (0 little)."""
    fields = dict(_fields(message))
    if fields.get(1, 0) != 1:
        raise _DamagedError(f"it speaks of {fields.get(1, 0)!r} data files; expected 1")
    if fields.get(2, 0) != 0:
        raise _DamagedError("its numbers are big-endian; expected little-endian")


def _entry(message: bytes) -> Entry:
    """BundleEntryProto: 1 dtype, 2 shape, 3 file, 4 offset, 5 size, 6 checksum, 7 slices."""
    fields = dict(_fields(message))
    shape = fields.get(2, b"")
    numbers = [fields.get(i, 0) for i in (1, 3, 4, 5, 6)]
    if not isinstance(shape, bytes) or not all(isinstance(n, int) for n in numbers):
        raise _DamagedError("an entry has fields of the wrong kind")
    dtype, shard, offset, size, crc = (int(n) for n in numbers)
    if shard != 0:
        raise _DamagedError(f"an entry lies in data file {shard}; expected 0")
    name = {**_READABLE, **_LISTED}.get(dtype, f"type {dtype}")
    return Entry(name, _shape(shape), offset, size, crc, whole=7 not in fields)


def _shape(message: bytes) -> tuple[int, ...]:
    """TensorShapeProto: 2 an axis, repeated, in which 1 is the size; absent numbers are zero."""
    sizes: list[int] = []
    for number, axis in _fields(message):
        if number == 2:
            size = dict(_fields(axis)).get(1, 0) if isinstance(axis, bytes) else None
            if not isinstance(size, int) or len(sizes) == _MAX_AXES:
                raise _DamagedError(f"a shape is no list of at most {_MAX_AXES} numbers")
            sizes.append(size)
    # Zeros left out: an empty tensor may claim axes that no array can have.
    if math.prod(n for n in sizes if n) > _MAX_NUMBERS:
        raise _DamagedError(f"a tensor claims the shape {tuple(sizes)}")
    return tuple(sizes)


def _pairs(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every name and message of the table, in order."""
    if len(table) > MAX_INDEX_BYTES:
        raise _DamagedError(f"more than {MAX_INDEX_BYTES} bytes")
    footer = table[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise _DamagedError("its end is not that of a table")
    _, at = _handle(footer, 0)  # of a block about blocks, which TensorFlow leaves empty
    index, _ = _handle(footer, at)
    left = len(table)
    for _, where in _block(table, *index):
        (offset, size), _ = _handle(where, 0)
        left -= size + _TRAILER_BYTES
        if left < 0:
            raise _DamagedError("its blocks overlap")
        yield from _block(table, offset, size)


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where the next thing begins."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of one block.

    A name gives how many bytes it shares with the one before and the rest. Offsets of names that
    share nothing, for a binary search, and their number close the block.
    """
    end = offset + size
    if end + _TRAILER_BYTES > len(table):
        raise _DamagedError(f"a block ends at byte {end}, beyond the file")
    kind, crc = table[end], table[end + 1 : end + _TRAILER_BYTES]
    if _masked(crc32c(table[offset : end + 1])) != int.from_bytes(crc, "little"):
        raise _DamagedError("a block does not match its checksum")
    if kind != 0:
        raise _DamagedError(f"a block is compressed (type {kind}), which TensorFlow does not do")
    block = table[offset:end]
    stop = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")
    if stop < 0:
        raise _DamagedError("a block is shorter than its list of restarts")
    at, name = 0, b""
    while at < stop:
        shared, at = _varint(block, at)
        more, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(name) or shared + more > _MAX_NAME_BYTES or at + more + length > stop:
            raise _DamagedError("a name or value runs over its end")
        name, at = name[:shared] + block[at : at + more], at + more
        yield name, block[at : at + length]
        at += length


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message of protocol buffers."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _DamagedError(f"a field of unknown kind {kind}")
        if at + length > len(message):
            raise _DamagedError("a field runs over the end of its message")
        value, at = message[at : at + length], at + length
        yield key >> 3, value if kind == 2 else int.from_bytes(value, "little")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An integer in groups of seven bits, low ones first, and where the next thing begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _DamagedError("it ends inside a number")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise _DamagedError("a number of more than ten bytes")


# Checksums ----------------------------------------------------------------------------------------


_POLYNOMIAL = np.uint32(0x82F63B78)  # bits reversed
_ONE = np.uint32(1)
_BITS = np.arange(32, dtype=np.uint32)
# Four bytes that bring an empty register to all ones, where the checksum starts.
_START = np.frombuffer(bytes.fromhex("54641f64"), np.uint8)


def _after_zero_byte(registers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    for _ in range(8):
        registers = registers >> _ONE ^ (registers & _ONE) * _POLYNOMIAL
    return registers


_TABLE = _after_zero_byte(np.arange(256, dtype=np.uint32))


def crc32c(data: bytes | NDArray[np.uint8]) -> int:
    """CRC-32C (Castagnoli) of some bytes.

    The register is linear in the data, so the data is cut into rows that go through the table side
    by side, and pairs of rows are joined: that of the left, moved on by the length of the right,
    plus that of the right. One byte at a time in Python, a network would take a minute.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    body = np.concatenate([_START, np.frombuffer(data, np.uint8)])
    halvings = body.size.bit_length() // 2
    rows = 1 << (-(-body.size >> halvings) - 1).bit_length()
    padded = np.zeros(rows << halvings, np.uint8)  # zeros in front leave an empty register empty
    padded[padded.size - body.size :] = body
    registers = np.zeros(rows, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(rows, -1).T):
        registers = _TABLE[(registers ^ column) & 0xFF] ^ registers >> 8
    move = _after_zero_byte(_ONE << _BITS)
    for _ in range(halvings):
        move = _moved(move, move)
    while registers.size > 1:
        registers = _moved(registers[0::2], move) ^ registers[1::2]
        move = _moved(move, move)
    return int(registers[0]) ^ 0xFFFFFFFF


def _moved(registers: NDArray[np.uint32], move: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Registers after so many zeros as `move` stands for; it has the result of each single bit."""
    bits = registers[:, None] >> _BITS & _ONE
    moved: NDArray[np.uint32] = np.bitwise_xor.reduce(bits * move, axis=1)
    return moved


def _masked(crc: int) -> int:
    """As it is stored: turned by 15 bits, plus a constant: checksums get checksums too."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
