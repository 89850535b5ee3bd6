"""Hostile pickles are refused by name and leave no trace; object arrays of numbers are read."""

import builtins
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wtal_features import object_arrays
from wtal_features.errors import FeatureError
from wtal_features.layouts import Limits
from wtal_features.layouts.wtalc import _column


def with_pickle(path: Path, data: bytes, count: int = 1) -> Path:
    """A .npy file of objects whose pickle is `data`."""
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': ({count},), }}\n".encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data)
    return path


def read(path: Path) -> list[Any]:
    return _column(path, Limits(max_seconds=20))


def as_objects(*items: object) -> np.ndarray[Any, np.dtype[np.object_]]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


class Call:
    """A pickle of this object calls a function when it is loaded."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def hostile(marker: Path) -> dict[str, bytes]:
    """Pickles that would create `marker`, by different roads."""
    touch = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    call = Call(os.system, touch)
    return {
        "os.system": pickle.dumps(call),
        "builtins.eval": pickle.dumps(Call(builtins.eval, code)),
        "inside an array": pickle.dumps(as_objects([1, [call]])),
        "protocol 0": pickle.dumps(call, protocol=0),
        "protocol 2": pickle.dumps(call, protocol=2),
        "subprocess": pickle.dumps(Call(subprocess.getoutput, touch)),
        "getattr": pickle.dumps(Call(getattr, Call(__import__, "os"), "system")),
        "numpy's own evaluator": b"cnumpy.testing._private.utils\nrunstring\n(V"
        + code.encode()
        + b"\n(dtR.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__class__\x93.",
        "extension registry": b"\x80\x02\x82\x01.",
        "persistent id": b"Pid\n.",
        "py2 file": b"c__builtin__\nfile\n(S'" + str(marker).encode() + b"'\nS'w'\ntR.",
    }


@pytest.mark.parametrize("road", list(hostile(Path("marker"))))
def test_a_pickle_that_would_run_something_is_refused_and_nothing_runs(
    tmp_path: Path, road: str
) -> None:
    marker = tmp_path / "marker"
    data = hostile(marker)[road]
    path = with_pickle(tmp_path / "labels.npy", data)
    with pytest.raises(FeatureError) as caught:
        read(path)
    assert caught.value.code in {"hostile-pickle", "damaged"}
    assert str(path) in str(caught.value)
    assert not marker.exists()
    if road in ("os.system", "builtins.eval"):
        assert "Nothing in it was run" in str(caught.value)
        assert road.split(".")[1] in str(caught.value)


def test_the_roads_of_the_test_do_run_with_a_plain_unpickler(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(hostile(marker)["os.system"])  # noqa: S301 (shows that the refusal above matters)
    assert marker.exists()


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        # numpy.ndarray called directly, for a terabyte
        (b"cnumpy\nndarray\n((L1099511627776L\ntS'f8'\ntR.", "not callable"),
        (ARRAY + b"(cnumpy\nndarray\n(L1099511627776L\ntS'b'\ntR.", "without data"),
        (b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNN(dI8\nI8\nI0\ntb.", "structured"),
        (b"cnumpy\ndtype\n(S'(99999999,)f8'\ntR.", "the dtype"),
        (b"c_codecs\nencode\n(Vx\nVzlib\ntR.", "the codec 'zlib'"),
        (b"(lp0\n.", "something else than an object array"),
    ],
)
def test_numpys_own_parts_cannot_be_misused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = with_pickle(tmp_path / "labels.npy", data)
    with pytest.raises(FeatureError, match=reason):
        read(path)


def test_shared_elements_do_not_multiply_on_the_way_out(tmp_path: Path) -> None:
    shared: list[Any] = [0] * 10
    for _ in range(12):
        shared = [shared] * 10
    path = with_pickle(tmp_path / "labels.npy", pickle.dumps(as_objects(shared)))
    assert path.stat().st_size < 1000
    with pytest.raises(FeatureError, match="elements are shared"):
        read(path)
    endless: list[Any] = []
    endless.append(endless)
    with_pickle(path, pickle.dumps(as_objects(endless)) + b" " * 1000)
    with pytest.raises(FeatureError, match="nested deeper"):
        read(path)


@pytest.mark.skipif(sys.platform != "linux", reason="memory limits of processes are Linux's")
def test_a_pickle_that_asks_for_much_memory_is_stopped_by_the_limit(tmp_path: Path) -> None:
    # A memo index near 2^32: the unpickler would clear a table of 64 GiB.
    path = with_pickle(tmp_path / "labels.npy", b"\x80\x02]r\xf0\xff\xff\xff.")
    with pytest.raises(FeatureError, match="MemoryError"):
        read(path)


def test_a_truncated_pickle_is_damaged_not_hostile(tmp_path: Path) -> None:
    data = pickle.dumps(as_objects([1.5, 2.5], ["a"]))
    with pytest.raises(FeatureError, match="may be cut short") as caught:
        read(with_pickle(tmp_path / "labels.npy", data[:-5]))
    assert caught.value.code == "damaged"


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_lists_texts_numbers_and_arrays_come_back(tmp_path: Path, protocol: int) -> None:
    items = [
        [["Run", b"Jump"], [1, 2.5, None, True]],
        np.array([[1.5, 2.0], [3.0, 4.0]]),
        np.array(["Run", "Jump"]),
        np.array([b"Run"]),
        [np.float32(0.5), np.str_("é")],
        as_objects("x", [1]),
        [float("nan")],
        np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    ]
    path = with_pickle(tmp_path / "a.npy", pickle.dumps(as_objects(*items), protocol), len(items))
    assert read(path) == [
        [["Run", "Jump"], [1, 2.5, None, True]],
        [[1.5, 2.0], [3.0, 4.0]],
        ["Run", "Jump"],
        ["Run"],
        [0.5, "é"],
        ["x", [1]],
        ["nan"],
        [[0, 1, 2], [3, 4, 5]],
    ]


def test_what_numpy_saves_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", as_objects(["Run"], []), allow_pickle=True)
    assert read(tmp_path / "a.npy") == [["Run"], []]


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    # As Python 2 wrote it: byte strings for names, dtype, order and labels.
    data = (
        b"\x80\x02" + ARRAY + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
        b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K?tb\x89](U\x03RunU\x02\xc3\xa9etb."
    )
    assert read(with_pickle(tmp_path / "a.npy", data, 2)) == ["Run", "é"]


def test_only_one_file_of_the_package_imports_pickle() -> None:
    package = Path(object_arrays.__file__).parent
    users = [p.name for p in package.rglob("*.py") if "import pickle" in p.read_text("utf-8")]
    assert users == ["object_arrays.py"]
