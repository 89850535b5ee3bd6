"""Messages between a decoder and its parent: exact, and never executed."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wtal_features.video.wire import WireError, receive, send


def raw(head: object, payload: bytes = b"") -> bytes:
    """A message with any head."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<II", len(text), len(payload)) + text + payload


def read(data: bytes) -> Any:
    return receive(io.BufferedReader(io.BytesIO(data)))


def sent(head: dict[str, object], array: NDArray[Any] | None = None) -> bytes:
    pipe = io.BytesIO()
    send(pipe, head, array)
    return pipe.getvalue()


ARRAYS: list[NDArray[Any]] = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.linspace(-9, 9, 8).astype(np.float16).reshape(1, 2, 2, 2),
    np.array([np.nan, np.inf, -0.0], np.float16),
    np.zeros((1,), np.uint8),
]


@pytest.mark.parametrize("array", ARRAYS)
def test_an_array_arrives_as_it_was_sent(array: NDArray[Any]) -> None:
    head = {"kind": "clip", "j": 3, "path": "ä \udcff.mp4"}
    found, values = read(sent(head, array))
    assert {key: found[key] for key in head} == head
    assert values.dtype == array.dtype
    np.testing.assert_array_equal(values, array)


def test_messages_follow_each_other_and_then_it_is_the_end() -> None:
    data = sent({"a": 1}) + sent({"b": [2]}, ARRAYS[0]) + sent({})
    pipe = io.BufferedReader(io.BytesIO(data))
    assert receive(pipe) == ({"a": 1}, None)
    head, array = receive(pipe) or ({}, None)
    assert head["b"] == [2]
    np.testing.assert_array_equal(array, ARRAYS[0])
    assert receive(pipe) == ({}, None)
    assert receive(pipe) is None


def test_every_cut_of_a_message_is_an_error() -> None:
    data = sent({"kind": "clip"}, ARRAYS[0])
    for length in range(1, len(data)):
        with pytest.raises(WireError):
            read(data[:length])


@pytest.mark.parametrize(
    ("head_bytes", "array_bytes"), [((1 << 20) + 1, 0), (2, (1 << 30) + 1), (2**32 - 1, 2**32 - 1)]
)
def test_a_message_that_claims_too_much_is_refused_unread(
    head_bytes: int, array_bytes: int
) -> None:
    with pytest.raises(WireError, match="bytes"):
        read(struct.pack("<II", head_bytes, array_bytes) + b"{}")


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"dtype": "uint8"},
        {"shape": [8]},
        {"shape": [8], "dtype": "object"},
        {"shape": [8], "dtype": "O"},
        {"shape": [1], "dtype": "float64"},
        {"shape": [8], "dtype": ["uint8"]},
        {"shape": [8], "dtype": {"names": ["a"]}},
        {"shape": [8], "dtype": None},
        {"shape": 8, "dtype": "uint8"},
        {"shape": "8", "dtype": "uint8"},
        {"shape": {"0": 8}, "dtype": "uint8"},
        {"shape": [-1], "dtype": "uint8"},
        {"shape": [-2, -4], "dtype": "uint8"},
        {"shape": [[8]], "dtype": "uint8"},
        {"shape": [8.0], "dtype": "uint8"},
        {"shape": [8, True], "dtype": "uint8"},
        {"shape": ["8"], "dtype": "uint8"},
        {"shape": [None], "dtype": "uint8"},
        {"shape": [9], "dtype": "uint8"},
        {"shape": [8], "dtype": "float16"},
        {"shape": [0, 8], "dtype": "uint8"},
        {"shape": [2**70, 8], "dtype": "uint8"},
        {"shape": [8] + [1] * 40, "dtype": "uint8"},
        {"shape": [], "dtype": "uint8"},
        [],
        "clip",
        None,
        7,
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"cos\nsystem\n(S'touch marker'\ntR.",
        b'{"j": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda head: repr(head)[:30],
)
def test_a_hostile_head_is_an_error(head: object) -> None:
    with pytest.raises(WireError):
        read(raw(head, bytes(8)))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60))
def test_random_bytes_are_a_message_or_an_error(data: bytes) -> None:
    try:
        found = read(data)
    except WireError:
        return
    assert found is None or isinstance(found[0], dict)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from(["shape", "dtype", "kind"]), Json), st.integers(1, 16))
def test_no_shape_and_no_dtype_do_more_than_raise(head: dict[str, object], size: int) -> None:
    for dtype in (head.get("dtype"), "uint8", "float16"):
        try:
            found = read(raw(head | {"dtype": dtype}, bytes(size)))
        except WireError:
            continue
        assert found[1].nbytes == size


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    code = f"cbuiltins\nopen\n(V{marker}\nVw\ntR.".encode()
    for payload in (raw(code), raw({"shape": [len(code)], "dtype": "object"}, code)):
        with pytest.raises(WireError):
            read(payload)
    found, values = read(raw({"shape": [len(code)], "dtype": "uint8"}, code))
    assert values.tobytes() == code
    assert not marker.exists()
    assert found["dtype"] == "uint8"
