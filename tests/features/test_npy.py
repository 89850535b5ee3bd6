"""Arrays that lie about themselves, and arrays that do not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wtal_features.files import FeatureError, npy_shape, read_npy

SaveArray = Callable[..., Path]


def with_header(path: Path, header: str, data: bytes = b"") -> Path:
    text = header.encode("latin-1") + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data)
    return path


def fields(descr: str = "'<f4'", shape: str = "(2, 3)", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_an_array_comes_back_as_it_was_saved(tmp_path: Path, save: SaveArray, dtype: str) -> None:
    path = save(tmp_path / "v.npy", (5, 3), dtype)
    array = read_npy(path)
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    np.testing.assert_array_equal(array, np.load(path))
    assert npy_shape(path) == (5, 3)


def test_column_order_and_foreign_byte_order_keep_the_values(
    tmp_path: Path, save: SaveArray
) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for stored in (np.asfortranarray(values), values.astype(">f4")):
        array = read_npy(save(tmp_path / "v.npy", stored))
        np.testing.assert_array_equal(array, values)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous


def test_a_header_of_200_bytes_that_claims_a_terabyte_is_refused(tmp_path: Path) -> None:
    path = with_header(tmp_path / "v.npy", fields(shape="(134217728, 2048)"), b"\0" * 100)
    with pytest.raises(FeatureError, match="1099511627776 bytes, but holds 100"):
        read_npy(path)
    with pytest.raises(FeatureError, match="truncated or its header lies"):
        npy_shape(path)


def test_sizes_beyond_64_bits_do_not_wrap(tmp_path: Path) -> None:
    path = with_header(tmp_path / "v.npy", fields(shape="(4294967296, 4294967296)"))
    with pytest.raises(FeatureError, match="header lies"):
        read_npy(path)


def test_a_header_that_python_2_wrote_is_understood(tmp_path: Path) -> None:
    path = with_header(tmp_path / "v.npy", fields(shape="(2L, 3L)"), b"\0" * 24)
    assert read_npy(path).shape == (2, 3)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (fields(descr="'|O'"), "dtype object.*only pickle"),
        (fields(descr="'<f8'"), "dtype float64; expected float16 or float32.*--dtype"),
        (fields(descr="'<i4'"), "dtype int32"),
        (fields(descr="'<f4,<f4'"), "dtype"),
        (fields(descr="[('a', '<f4')]"), "dtype"),
        (fields(descr="'<M8[ns]'"), "dtype"),
        (fields(shape="(6,)"), "two axes"),
        (fields(shape="(1, 2, 3)"), "two axes"),
        (fields(shape="(0, 3)"), "holds no snippets"),
        (fields(shape="(2, 0)"), "holds no snippets"),
        (fields(shape="(-2, -3)"), "cannot be understood"),
        (fields(shape="(True, 6)"), "cannot be understood"),
        (fields(order="__import__('os')"), "cannot be understood"),
        ("{'descr': '<f4'}", "cannot be understood"),
        ("(" * 5000, "cannot be understood"),
        ("-" * 9000 + "1", "cannot be understood"),
    ],
)
def test_a_header_of_anything_but_features_is_refused_by_name(
    tmp_path: Path, header: str, reason: str
) -> None:
    path = with_header(tmp_path / "v.npy", header, b"\0" * 24)
    for read in (read_npy, npy_shape):
        with pytest.raises(FeatureError, match=reason):
            read(path)


def test_empty_truncated_and_foreign_files_are_told_apart(tmp_path: Path, save: SaveArray) -> None:
    whole = save(tmp_path / "v.npy", (4, 6)).read_bytes()
    cases = {
        b"": "is empty",
        b"not an array at all": "is no .npy file",
        whole[:50]: "ends inside its .npy header",
        whole[:-1]: "truncated",
        whole + b"x": "bytes follow the array",
        b"\x93NUMPY\x09\x00": "is no .npy file",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff": "header of 4294967295 bytes",
    }
    for content, reason in cases.items():
        (tmp_path / "v.npy").write_bytes(content)
        with pytest.raises(FeatureError, match=reason):
            read_npy(tmp_path / "v.npy")
