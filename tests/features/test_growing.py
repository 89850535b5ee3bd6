"""An array that grows row by row is, byte for byte, the one that NumPy saves in one go."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from wtal_features.errors import FeatureError
from wtal_features.growing import GrowingArray


def rows(T: int, D: int, dtype: str) -> npt.NDArray[np.floating]:
    return np.random.default_rng(T).standard_normal((T, D)).astype(dtype)


def saved(array: npt.NDArray[np.floating]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("blocks", [[1], [1] * 9, [4, 6], [3, 1, 96], [1000, 1]])
def test_the_bytes_are_those_of_numpy_save(tmp_path: Path, blocks: list[int], dtype: str) -> None:
    whole = rows(sum(blocks), 5, dtype)
    array = GrowingArray(tmp_path / "v.npy", 5, np.dtype(dtype))
    array.start()
    start = 0
    for T in blocks:
        array.append(whole[start : start + T])
        start += T
    assert len(whole) == array.T
    array.put_in_place()
    assert (tmp_path / "v.npy").read_bytes() == saved(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


@pytest.mark.parametrize("T", [9, 10, 99_999, 1_000_000, 1_234_567])
def test_the_header_keeps_its_length_as_the_number_of_rows_gains_digits(
    tmp_path: Path, T: int
) -> None:
    whole = np.arange(T, dtype=np.float32)[:, None]
    array = GrowingArray(tmp_path / "v.npy", 1, np.dtype(np.float32))
    array.start()
    array.append(whole[:1])
    array.append(whole[1:])
    array.put_in_place()
    assert (tmp_path / "v.npy").read_bytes() == saved(whole)


def test_a_block_that_is_not_in_c_order_is_written_as_it_reads(tmp_path: Path) -> None:
    whole = rows(6, 4, "float32")
    array = GrowingArray(tmp_path / "v.npy", 4, np.dtype(np.float32))
    array.start()
    array.append(np.asfortranarray(whole)[:3])
    array.append(whole[::-1][:3][::-1])
    array.put_in_place()
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), whole)


def test_nothing_stands_at_the_path_before_it_is_put_in_place(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    path.write_bytes(b"before")
    array = GrowingArray(path, 2, np.dtype(np.float16))
    array.start()
    array.append(rows(3, 2, "float16"))
    assert path.read_bytes() == b"before"
    array.discard()
    array.discard()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_to_discard_what_is_in_place_changes_nothing(tmp_path: Path) -> None:
    array = GrowingArray(tmp_path / "v.npy", 2, np.dtype(np.float16))
    array.start()
    array.append(rows(3, 2, "float16"))
    array.put_in_place()
    array.discard()
    assert np.load(tmp_path / "v.npy").shape == (3, 2)


def full(*ignored: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_named_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "v.npy"
    path.write_bytes(b"before")
    array = GrowingArray(path, 2, np.dtype(np.float16))
    array.start()
    array.append(rows(3, 2, "float16"))
    monkeypatch.setattr(os, call, full)
    with pytest.raises(FeatureError, match=r"No space is left for .*v\.npy") as caught:
        array.put_in_place()
    assert caught.value.code == "disk-full"
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_amid_the_rows_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = GrowingArray(tmp_path / "v.npy", 2, np.dtype(np.float16))
    array.start()
    array._handle.close()
    file = io.BytesIO()
    monkeypatch.setattr(array, "_handle", SimpleNamespace(write=full, close=file.close))
    with pytest.raises(FeatureError, match=r"No space is left for .*v\.npy"):
        array.append(rows(3, 2, "float16"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"none/v\.npy cannot be written: No such file"):
        GrowingArray(tmp_path / "none" / "v.npy", 2, np.dtype(np.float16)).start()


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="folders cannot be opened here")
def test_the_rename_reaches_the_disk_before_the_array_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []

    def noted(name: str) -> Callable[..., object]:
        call = getattr(os, name)

        def wrapper(*arguments: object) -> object:
            events.append(name)
            return call(*arguments)

        return wrapper

    for name in ("replace", "fsync"):
        monkeypatch.setattr(os, name, noted(name))
    array = GrowingArray(tmp_path / "v.npy", 1, np.dtype(np.float16))
    array.start()
    array.append(rows(1, 1, "float16"))
    array.put_in_place()
    assert events == ["fsync", "replace", "fsync"]  # the bytes, the name, the folder


def test_a_signal_that_comes_as_the_file_begins_leaves_nothing_to_those_who_discard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = GrowingArray(tmp_path / "v.npy", 2, np.dtype(np.float16))
    array.discard()  # not begun: nothing to remove
    monkeypatch.setattr(array, "_write_header", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        array.start()
    assert len(list(tmp_path.iterdir())) == 1
    array.discard()
    assert list(tmp_path.iterdir()) == []


def _interrupted() -> None:
    raise KeyboardInterrupt
