"""TensorFlow's checkpoints: written here from the description of the format, and by TensorFlow."""

import base64
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wtal_features.checkpoints.tf_bundle import MAX_INDEX_BYTES, crc32c, open_bundle
from wtal_features.errors import FeatureError

NUMBERS = {"float32": 1, "float64": 2, "int32": 3, "string": 7, "int64": 9, "float16": 19}
MAGIC = bytes.fromhex("57fb808b247547db")


# A writer -----------------------------------------------------------------------------------------


def polynomial_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = polynomial_table()


def plain_crc(data: bytes) -> int:
    """CRC-32C, a byte at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = plain_crc(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % (1 << 32))


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(key: int, value: int) -> bytes:
    """A field that holds an integer; zeros are left out, as protocol buffers do."""
    return varint(key << 3) + varint(value) if value else b""


def message(key: int, body: bytes) -> bytes:
    return varint(key << 3 | 2) + varint(len(body)) + body


def entry(kind: int, shape: Sequence[int], offset: int, size: int, crc: bytes) -> bytes:
    axes = b"".join(message(2, number(1, n)) for n in shape)
    return (
        number(1, kind)
        + message(2, axes)
        + number(4, offset)
        + number(5, size)
        + varint(6 << 3 | 5)
        + crc
    )


HEADER = number(1, 1) + message(3, number(1, 1))
Pairs = Iterable[tuple[bytes, bytes]]


def block(pairs: Pairs, restart_every: int) -> bytes:
    out, restarts, last = b"", [], b""
    for i, (name, value) in enumerate(pairs):
        shared = 0
        if i % restart_every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(name), len(last)) and name[shared] == last[shared]:
                shared += 1
        rest = name[shared:]
        out += varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value
        last = name
    restarts = restarts or [0]
    return out + b"".join(struct.pack("<I", r) for r in [*restarts, len(restarts)])


@dataclass
class Table:
    """How the index is laid out, and what is done to each block before its checksum."""

    per_block: int = 1000
    restart_every: int = 16
    kind: int = 0
    change: Callable[[bytes], bytes] = field(default=lambda data: data)

    def of(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        out, index = b"", []
        for start in range(0, len(pairs), self.per_block):
            some = pairs[start : start + self.per_block]
            out, handle = self.add(out, block(some, self.restart_every))
            index.append((some[-1][0], handle))
        out, meta = self.add(out, block([], 1))
        out, top = self.add(out, block(index, 1))
        return out + (meta + top).ljust(40, b"\0") + MAGIC

    def add(self, out: bytes, content: bytes) -> tuple[bytes, bytes]:
        content = self.change(content)
        body = content + bytes([self.kind])
        return out + body + masked(body), varint(len(out)) + varint(len(content))


def write_bundle(
    prefix: Path,
    arrays: Mapping[str, NDArray[Any]],
    table: Table | None = None,
    *,
    header: bytes = HEADER,
    more: Sequence[tuple[bytes, bytes]] = (),
) -> Path:
    """A checkpoint of some arrays; `more` are raw entries beside theirs."""
    data, pairs = b"", [(b"", header), *more]
    for name, array in arrays.items():
        raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
        kind = NUMBERS[str(array.dtype)]
        pairs.append((name.encode(), entry(kind, array.shape, len(data), len(raw), masked(raw))))
        data += raw
    Path(f"{prefix}.index").write_bytes((table or Table()).of(sorted(pairs, key=lambda p: p[0])))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return prefix


def some_arrays() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    shapes = [(3, 1, 1, 4, 5), (7,), (2, 3), ()]
    arrays: dict[str, NDArray[Any]] = {
        f"net/layer-{i}/kernel/.ATTRIBUTES/VARIABLE_VALUE": rng.normal(size=shape).astype("f4")
        for i, shape in enumerate(shapes * 5)
    }
    arrays["net/step"] = np.array(-(2**40), "i8")
    arrays["net/count"] = np.array([[1, -2]], "i4")
    arrays["net/half"] = np.array([0.5, -65504], "f2")
    arrays["net/empty"] = np.empty((0, 3), "f4")
    return arrays


# Checksums ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, appendix B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"", 0),
    ],
)
def test_checksums_are_those_of_the_standard(data: bytes, expected: int) -> None:
    assert crc32c(data) == plain_crc(data) == expected


@pytest.mark.parametrize("length", [*range(1, 40), 255, 256, 257, 4091, 4092, 4093, 20_000])
def test_checksums_in_rows_equal_those_byte_by_byte(length: int) -> None:
    data = np.random.default_rng(length).integers(0, 256, length, dtype=np.uint8)
    assert crc32c(data) == plain_crc(data.tobytes())


# Reading ------------------------------------------------------------------------------------------

# tf.train.Checkpoint(kernel=..., count=..., scale=...).write("tiny"), TensorFlow 2.21.
TINY_INDEX = """
AAAGCAEaAggBABwOX0NIRUNLUE9JTlRBQkxFX09CSkVDVF9HUkFQSAgHEgAgMij7ATXXFqJyACAPY291bnQvLkFUVFJJ
QlVURVMvVkFSSUFCTEVfVkFMVUUICRIEEgIIAygYNbHoA7kAIRVrZXJuZWwvLkFUVFJJQlVURVMvVkFSSUFCTEVfVkFM
VUUIARIIEgIIAhICCAMgGCgYNU3JwDcAIA1zY2FsZS8uQVRUUklCVVRFUy9WQVJJQUJMRV9WQUxVRQgTEgAgMCgCNc3G
C6UAAAAAAQAAAAD8PXh1AAAAAAEAAAAAwPKhsAABA3QA2QEAAAAAAQAAAAA7EF/O3gEI6wEPAAAAAAAAAAAAAAAAAAAA
AAAAAAAAAAAAAAAAAAAAAAAAAFf7gIskdUfb
"""
TINY_DATA = """
AQAAAAAAAAD+/////////wMAAAAAAAAAAAAAAAAAgD4AAAA/AABAPwAAgD8AAKA/AD71AWc9R2oKJgoJCAESBWNvdW50
CgoIAhIGa2VybmVsCgkIAxIFc2NhbGUqAggBCkISPAoOVkFSSUFCTEVfVkFMVUUSCFZhcmlhYmxlGiBjb3VudC8uQVRU
UklCVVRFUy9WQVJJQUJMRV9WQUxVRSoCCAEKQxI9Cg5WQVJJQUJMRV9WQUxVRRIIVmFyaWFibGUaIWtlcm5lbC8uQVRU
UklCVVRFUy9WQVJJQUJMRV9WQUxVRSoCCAEKQhI8Cg5WQVJJQUJMRV9WQUxVRRIIVmFyaWFibGUaIHNjYWxlLy5BVFRS
SUJVVEVTL1ZBUklBQkxFX1ZBTFVFKgIIAQ==
"""


def test_a_checkpoint_that_tensorflow_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "tiny.index").write_bytes(base64.b64decode(TINY_INDEX))
    (tmp_path / "tiny.data-00000-of-00001").write_bytes(base64.b64decode(TINY_DATA))
    bundle = open_bundle(tmp_path / "tiny")
    read = {name.split("/")[0]: bundle.read(name) for name in bundle.entries}
    assert sorted(read) == ["count", "kernel", "scale"]
    np.testing.assert_array_equal(read["kernel"], np.arange(6, dtype="f4").reshape(2, 3) / 4)
    np.testing.assert_array_equal(read["count"], [1, -2, 3])
    np.testing.assert_array_equal(read["scale"], np.array(1.5, "f2"), strict=True)


@pytest.mark.parametrize("per_block", [1, 3, 1000])
@pytest.mark.parametrize("restart_every", [1, 4, 1000])
def test_arrays_come_back_however_the_index_is_cut(
    tmp_path: Path, per_block: int, restart_every: int
) -> None:
    arrays = some_arrays()
    bundle = open_bundle(write_bundle(tmp_path / "net", arrays, Table(per_block, restart_every)))
    assert set(bundle.entries) == set(arrays)
    for name, array in arrays.items():
        assert bundle.entries[name].shape == array.shape
        assert bundle.entries[name].dtype == str(array.dtype)
        read = bundle.read(name)
        assert read.dtype == array.dtype
        assert read.flags.writeable
        np.testing.assert_array_equal(read, array)


def test_a_start_that_names_share_is_stored_once_and_given_to_all(tmp_path: Path) -> None:
    arrays = {f"net/layer-{i}": np.array(i, "f4") for i in range(9)}
    prefix = write_bundle(tmp_path / "net", arrays)
    assert (tmp_path / "net.index").read_bytes().count(b"net/layer-") == 2  # and in its last block
    assert read_all(prefix) == arrays


def test_the_graph_of_objects_is_no_tensor_and_other_dtypes_are_listed_only(tmp_path: Path) -> None:
    more = [
        (b"_CHECKPOINTABLE_OBJECT_GRAPH", entry(7, (), 0, 4, bytes(4))),
        (b"text", entry(7, (), 0, 4, bytes(4))),
        (b"odd", entry(99, (1,), 0, 4, bytes(4))),
        (b"sliced", entry(1, (1,), 0, 4, bytes(4)) + message(7, b"")),
    ]
    arrays = {"double": np.ones(2)}
    bundle = open_bundle(write_bundle(tmp_path / "net", arrays, more=more))
    kinds = {name: e.dtype for name, e in bundle.entries.items()}
    assert kinds == {
        "double": "float64",
        "text": "string",
        "odd": "type 99",
        "sliced": "float32",
    }
    for name, kind in (
        ("double", "float64"),
        ("text", "string"),
        ("odd", "99"),
        ("sliced", "slices"),
    ):
        with pytest.raises(FeatureError, match=f"tensor {name!r} is .*{kind}; expected float32"):
            bundle.read(name)
    with pytest.raises(FeatureError, match="holds no tensor 'other'"):
        bundle.read("other")


# Files that lie -----------------------------------------------------------------------------------


def read_all(prefix: Path) -> dict[str, NDArray[Any]]:
    bundle = open_bundle(prefix)
    return {name: bundle.read(name) for name in bundle.entries}


def fails(prefix: Path, reason: str) -> None:
    """Opening, or reading some tensor, says the reason in a sentence."""
    with pytest.raises(FeatureError, match=reason) as caught:
        read_all(prefix)
    assert caught.value.code == "checkpoint"
    assert str(prefix.parent) in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (
            entry(1, (1 << 20,), 0, 8, bytes(4)),
            r"shape \(1048576,\).* has 8 bytes; expected 4194304",
        ),
        (entry(1, (3,), 0, 8, bytes(4)), "has 8 bytes; expected 12"),
        (entry(1, (1 << 19, 1 << 19), 0, 1 << 40, bytes(4)), "ends at byte .*, but the file has 8"),
        (entry(1, (2,), 4, 8, bytes(4)), "ends at byte 12, but the file has 8"),
        (entry(1, (2,), (1 << 64) - 8, 8, bytes(4)), "ends at byte"),
        (entry(1, (2,), 0, 8, bytes(4)), "does not match its checksum"),
        (entry(1, (1 << 31, 1 << 31), 0, 8, bytes(4)), "claims the shape"),
        (entry(1, (0, 1 << 62), 0, 0, bytes(4)), "claims the shape"),
        (entry(1, (1,) * 9, 0, 4, bytes(4)), "at most 8 numbers"),
        (number(1, 1) + number(3, 2), "lies in data file 2"),
        (number(1, 1) + number(2, 5), "fields of the wrong kind"),
        (message(1, b"x"), "fields of the wrong kind"),
        (number(1, 1) + message(2, number(2, 5)), "no list of"),
        (number(1, 1) + message(2, message(2, message(1, b"x"))), "no list of"),
        (varint(2 << 3 | 2) + varint(99), "over the end of its message"),
        (varint(1 << 3 | 3), "unknown kind 3"),
        (b"\x80", "ends inside a number"),
        (b"\xff" * 11, "more than ten bytes"),
    ],
)
def test_an_entry_that_lies_is_found_out(tmp_path: Path, raw: bytes, reason: str) -> None:
    arrays = {"good": np.ones(2, "f4")}
    fails(write_bundle(tmp_path / "net", arrays, more=[(b"bad", raw)]), reason)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (number(1, 2), "speaks of 2 data files; expected 1"),
        (b"", "speaks of 0 data files"),
        (HEADER + number(2, 1), "big-endian"),
    ],
)
def test_other_headers_are_refused(tmp_path: Path, header: bytes, reason: str) -> None:
    fails(write_bundle(tmp_path / "net", {}, header=header), reason)


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([(b"a", entry(1, (), 0, 0, bytes(4)))], "no header"),
        ([(b"", HEADER), (b"a", b""), (b"a", b"")], "'a' comes twice"),
        ([(b"", HEADER), (b"\xff", b"")], "no text"),
        ([(b"", HEADER), (b"a" * 5000, b"")], "runs over its end"),
    ],
)
def test_other_names_are_refused(
    tmp_path: Path, pairs: list[tuple[bytes, bytes]], reason: str
) -> None:
    prefix = write_bundle(tmp_path / "net", {})
    (tmp_path / "net.index").write_bytes(Table().of(pairs))
    fails(prefix, reason)


def test_more_entries_than_any_network_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = write_bundle(tmp_path / "net", some_arrays())
    monkeypatch.setattr("wtal_features.checkpoints.tf_bundle.MAX_ENTRIES", 20)
    fails(prefix, "more than 20 entries")


def test_a_compressed_index_is_refused_by_name(tmp_path: Path) -> None:
    fails(write_bundle(tmp_path / "net", {}, Table(kind=1)), r"compressed \(type 1\)")


def test_blocks_that_are_listed_again_and_again_are_refused(tmp_path: Path) -> None:
    table = Table()
    out, meta = table.add(b"", block([], 1))
    out, top = table.add(out, block([(b"", meta)] * 300, 1000))
    prefix = write_bundle(tmp_path / "net", {})
    (tmp_path / "net.index").write_bytes(out + (meta + top).ljust(40, b"\0") + MAGIC)
    fails(prefix, "its blocks overlap")


def test_a_block_without_room_for_its_restarts_is_refused(tmp_path: Path) -> None:
    table = Table(change=lambda data: data[:-4] + struct.pack("<I", 1 << 30))
    fails(write_bundle(tmp_path / "net", {}, table), "shorter than its list of restarts")


@pytest.mark.parametrize("keep", [0, 1, 47, 48, 60, -49, -48, -1])
def test_an_index_that_is_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    prefix = write_bundle(tmp_path / "net", some_arrays())
    index = tmp_path / "net.index"
    index.write_bytes(index.read_bytes()[:keep])
    fails(prefix, "is no index of a TensorFlow checkpoint, or damaged")


def test_one_wrong_bit_in_a_block_of_the_index_is_seen(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "net", some_arrays())
    index = tmp_path / "net.index"
    data = bytearray(index.read_bytes())
    data[100] ^= 4
    index.write_bytes(data)
    fails(prefix, "a block does not match its checksum")


def test_one_wrong_bit_in_the_numbers_is_seen(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "net", {"kernel": np.ones(100, "f4")})
    path = tmp_path / "net.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    fails(prefix, "the tensor 'kernel' does not match its checksum")


def test_data_that_is_cut_short_is_seen_when_read(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "net", {"kernel": np.ones(100, "f4")})
    path = tmp_path / "net.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1])
    fails(prefix, "ends at byte 400, but the file has 399")


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_both_files_are_needed(tmp_path: Path, suffix: str) -> None:
    prefix = write_bundle(tmp_path / "net", {})
    Path(f"{prefix}{suffix}").unlink()
    fails(prefix, "does not exist.*It needs the files net.index and net.data-00000-of-00001")


def test_an_index_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "net", {})
    with (tmp_path / "net.index").open("r+b") as handle:
        handle.truncate(MAX_INDEX_BYTES * 100)  # a sparse file
    fails(prefix, "more than 4194304 bytes")


@pytest.mark.parametrize("checked", [False, True], ids=["on disk", "before the checksums"])
def test_damage_gives_an_array_or_a_sentence_and_nothing_else(
    tmp_path: Path, checked: bool
) -> None:
    rng = np.random.default_rng(7)
    arrays = {name: array for name, array in some_arrays().items() if "layer-1" not in name}
    prefix = write_bundle(tmp_path / "net", arrays)
    files = [Path(f"{prefix}{suffix}") for suffix in (".index", ".data-00000-of-00001")]
    sound = [path.read_bytes() for path in files]

    def damaged(data: bytes) -> bytes:
        changed = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[at] = rng.integers(0, 256)
        return bytes(changed[: rng.integers(0, len(data))] if rng.random() < 0.1 else changed)

    codes = []
    for _ in range(150):
        if checked:
            write_bundle(prefix, arrays, Table(per_block=9, change=damaged))
        else:
            which = rng.integers(0, 2)
            files[which].write_bytes(damaged(sound[which]))
            files[1 - which].write_bytes(sound[1 - which])
        try:
            read_all(prefix)
        except FeatureError as error:
            codes.append(error.code)
    assert 0 < len(codes) < 150
    assert set(codes) == {"checkpoint"}
