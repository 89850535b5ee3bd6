"""Damage to a file by what it is: the structure that its reader trusts, or just its bytes."""

from __future__ import annotations

import io
import json
import lzma
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

from tests.fuzz.texts import mutate_bytes
from tests.fuzz.tokens import CELLS, DESCRS, EDGES, OPCODES, SHAPES, YAML
from tests.fuzz.trees import Draw, Pairs, as_text, mutate_tree, places, put


def bytes_of(data: bytes, draw: Draw) -> bytes:
    """Bits, bytes and numbers that differ; parts that are missing, doubled, blank or moved."""
    for _ in range(int(draw.choice([1, 1, 1, 2, 3, 8]))):
        low, high = sorted(draw.integers(len(data) + 1, size=2).tolist())
        high = min(high, low + int(draw.choice([1, 4, 16, 64, 1024])))
        kind = int(draw.integers(9))
        if kind == 0:
            middle = bytes(b ^ (1 << int(draw.integers(8))) for b in data[low : low + 1])
            data = data[:low] + middle + data[low + 1 :]
        elif kind in (1, 2, 3):
            width, order = int(draw.choice([1, 2, 4, 8])), str(draw.choice(["little", "big"]))
            edge = EDGES[draw.integers(len(EDGES))] % (1 << 8 * width)
            number = edge.to_bytes(width, "little" if order == "little" else "big")
            data = data[:low] + number + data[low + width :]
        elif kind == 4:
            data = data[: low if draw.random() < 0.5 else high]
        elif kind == 5:
            data = data[:low] + data[high:]
        elif kind == 6:
            data = data[:high] + data[low:]
        elif kind == 7:
            data = data[:low] + bytes(high - low) + data[high:]
        else:
            data = data[:low] + draw.bytes(high - low) + data[low:]
    return data


def json_of(data: bytes, draw: Draw) -> bytes:
    """Values, keys and members of a tree, or tokens of its text."""
    try:
        tree = json.loads(data, object_pairs_hook=Pairs)
    except (ValueError, RecursionError):  # damaged already
        return mutate_bytes(data, draw)
    if draw.random() < 0.35 or not isinstance(tree, Pairs):
        return mutate_bytes(data, draw)
    return _edited(tree, draw).encode("utf-8", "surrogatepass")


def _edited(tree: Pairs, draw: Draw) -> str:
    """A tree with an edit; half of the time inside a text that is a tree itself."""
    inner = [(c, i) for c, i in places(tree) if str(_value(c, i)).startswith('{"')]
    if inner and draw.random() < 0.7:
        container, i = inner[draw.integers(len(inner))]
        text = str(_value(container, i)).encode("utf-8", "surrogatepass")
        put(container, i, json_of(text, draw).decode("utf-8", "replace"))
    else:
        mutate_tree(tree, draw)
    return as_text(tree, ascii_only=bool(draw.random() < 0.5))


def _value(container: list[object], i: int) -> object:
    member = container[i]
    return member[1] if isinstance(container, Pairs) and isinstance(member, tuple) else member


def lines_of(data: bytes, draw: Draw) -> bytes:
    """Lines and cells that are missing, doubled, moved, or odd."""
    if draw.random() < 0.4:
        return mutate_bytes(data, draw)
    separator = b"," if b"," in data else b" "
    rows = [line.split(separator) for line in data.split(b"\n")]
    for _ in range(int(draw.choice([1, 1, 2, 4]))):
        row = rows[draw.integers(len(rows))]
        spot, kind = int(draw.integers(len(row) + 1)), int(draw.integers(6))
        cell = CELLS[draw.integers(len(CELLS))].encode()
        if kind < 3:
            row[spot : spot + 1] = [cell]
        elif kind == 3:
            row.insert(spot, cell)
        elif kind == 4:
            rows.insert(int(draw.integers(len(rows))), list(row))
        else:
            del row[spot : spot + 1]
    return b"\n".join(separator.join(row) for row in rows)


def yaml_of(data: bytes, draw: Draw) -> bytes:
    """Values, lines, depth and marks of YAML."""
    if draw.random() < 0.25:
        return mutate_bytes(data, draw)
    rows = data.split(b"\n")
    for _ in range(int(draw.choice([1, 1, 2, 4]))):
        spot, kind = int(draw.integers(len(rows))), int(draw.integers(5))
        token = YAML[draw.integers(len(YAML))]
        key, colon, _ = rows[spot].partition(b":")
        if kind < 2 and colon:
            rows[spot] = key + b": " + token
        elif kind == 2:
            rows.insert(spot, token)
        elif kind == 3:
            rows.insert(spot, rows[draw.integers(len(rows))])
        else:
            rows[spot] = b" " * int(draw.integers(5)) + rows[spot].lstrip()
    return b"\n".join(rows)


def npy_of(data: bytes, draw: Draw) -> bytes:
    """Another header before the same values, or other bytes; objects are pickles."""
    if draw.random() < 0.3 or data[:6] != b"\x93NUMPY":
        return bytes_of(data, draw)
    length = int.from_bytes(data[8:10], "little")
    header, values = data[10 : 10 + length].decode("latin-1"), data[10 + length :]
    if "'|O'" in header and draw.random() < 0.8:
        return data[: 10 + length] + pickle_of(values, draw)
    if draw.random() < 0.2:
        return data[: 10 + length] + bytes_of(values, draw)
    before, _, shape = header.partition("'shape': ")
    if draw.random() < 0.5:
        header = f"{before}'shape': {SHAPES[draw.integers(len(SHAPES))]}}}\n"
    elif draw.random() < 0.7:
        descr = DESCRS[draw.integers(len(DESCRS))]
        header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape.rstrip()}\n"
    else:
        header = mutate_bytes(header.encode("latin-1"), draw).decode("latin-1")
    if draw.random() < 0.3 and len(values) >= 2:
        values = bytes_of(values, draw)
    return _with_header(header.encode("latin-1"), values, draw)


def _with_header(header: bytes, values: bytes, draw: Draw) -> bytes:
    version = int(draw.choice([1, 1, 1, 2, 3]))
    width = 2 if version == 1 else 4
    stated = len(header) if draw.random() < 0.9 else EDGES[draw.integers(len(EDGES))]
    length = (stated % (1 << 8 * width)).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + values


def pickle_of(data: bytes, draw: Draw) -> bytes:
    """Instructions in the middle of a pickle, or other bytes."""
    if draw.random() < 0.4:
        return bytes_of(data, draw)
    for _ in range(int(draw.choice([1, 1, 2, 4]))):
        spot = int(draw.integers(len(data) + 1))
        more = OPCODES[draw.integers(len(OPCODES))]
        data = data[:spot] + more + data[spot + (len(more) if draw.random() < 0.5 else 0) :]
    return data


# What the standard reader raises over archives that are damaged already.
_UNREADABLE = (
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def zip_of(data: bytes, draw: Draw) -> bytes:
    """Another member, or another list of members, or other bytes."""
    choice = draw.random()
    if choice < 0.25:
        return bytes_of(data, draw)
    if choice < 0.6:
        return _listing_edited(data, draw)
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(data)) as archive:
            warnings.simplefilter("ignore")
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except _UNREADABLE:
        members = []
    if not members:
        return bytes_of(data, draw)
    return _packed(_members_edited(members, draw), draw)


def _members_edited(members: list[tuple[str, bytes]], draw: Draw) -> list[tuple[str, bytes]]:
    i = int(draw.integers(len(members)))
    name, content = members[i]
    kind = int(draw.integers(8))
    if kind == 0:
        del members[i]
    elif kind == 1:
        members.insert(i, members[draw.integers(len(members))])
    elif kind == 2:
        members[i] = (
            str(draw.choice(["../../x", "a/b", "x\n", "rgb.npy", "video.npy"])),
            content,
        )
    else:
        members[i] = (name, damaged(name, content, draw))
    return members


def _packed(members: list[tuple[str, bytes]], draw: Draw) -> bytes:
    out = io.BytesIO()
    packing = [zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", packing[draw.integers(4)]) as archive:
        warnings.simplefilter("ignore")  # of names that come twice, on purpose
        for name, content in members:
            info = zipfile.ZipInfo(name)  # of 1980, not of now
            info.compress_type = archive.compression
            archive.writestr(info, content)
    return out.getvalue()


def _listing_edited(data: bytes, draw: Draw) -> bytes:
    """A field of a local header, of the central directory, or of its end."""
    marks = [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"]
    spots = [i for mark in marks for i in range(len(data)) if data.startswith(mark, i)]
    for _ in range(int(draw.choice([1, 1, 2]))):
        at = spots[draw.integers(len(spots))] + int(draw.integers(4, 46)) if spots else 0
        width = int(draw.choice([1, 2, 4]))
        number = EDGES[draw.integers(len(EDGES))] % (1 << 8 * width)
        data = data[:at] + number.to_bytes(width, "little") + data[at + width :]
    return data


def safetensors_of(data: bytes, draw: Draw) -> bytes:
    """Another header before the same numbers, or other bytes."""
    if draw.random() < 0.2 or len(data) < 8:
        return bytes_of(data, draw)
    length = int.from_bytes(data[:8], "little")
    header = json_of(data[8 : 8 + length], draw)
    stated = len(header) if draw.random() < 0.9 else EDGES[draw.integers(len(EDGES))]
    return (stated % 2**64).to_bytes(8, "little") + header + data[8 + length :]


def index_of(data: bytes, draw: Draw) -> bytes:
    """Other bytes in a block of TensorFlow's index, most often with a checksum that fits."""
    from wtal_features.checkpoints.tf_bundle import (
        _block,
        _DamagedError,
        _handle,
        _masked,
        crc32c,
    )

    if draw.random() < 0.2:
        return bytes_of(data, draw)
    try:
        _, at = _handle(data[-48:], 0)
        top, _ = _handle(data[-48:], at)
        blocks = [top, *(_handle(where, 0)[0] for _, where in _block(data, *top))]
    except _DamagedError:
        return bytes_of(data, draw)
    offset, size = blocks[draw.integers(len(blocks))]
    block = bytearray(data[offset : offset + size + 1])
    for _ in range(int(draw.choice([1, 1, 2, 4]))):
        block[draw.integers(len(block))] = int(
            draw.choice([0, 1, 2, 8, 127, 128, 255, int(draw.integers(256))])
        )
    crc = struct.pack("<I", _masked(crc32c(bytes(block))))
    return data[:offset] + bytes(block) + crc + data[offset + size + 5 :]


DAMAGE: dict[str, Callable[[bytes, Draw], bytes]] = {
    ".json": json_of,
    ".jsonl": json_of,
    ".yaml": yaml_of,
    ".csv": lines_of,
    ".txt": lines_of,
    ".npy": npy_of,
    ".npz": zip_of,
    ".pt": zip_of,
    ".pkl": pickle_of,
    ".safetensors": safetensors_of,
    ".index": index_of,
}


def damaged(name: str, data: bytes, draw: Draw) -> bytes:
    """The file of this name with something wrong; by its bytes where nothing is known of it."""
    _, dot, suffix = name.rpartition(".")
    return DAMAGE.get(dot + suffix, bytes_of)(data, draw)
