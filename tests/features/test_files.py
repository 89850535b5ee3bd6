"""Whole files or none, bounded reads, one run per folder."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wtal_features.files import (
    FeatureError,
    atomic_write,
    lock,
    read_json,
    read_rows,
    read_text,
    remove_folder,
    sweep,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, [1])
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as handle:  # noqa: PT012 (the block is what is tested)
        handle.write(b"half")
        signal.raise_signal(signal.SIGINT)
    assert path.read_text() == "[1]\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_json(path, [1])

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(FeatureError, match=r"No space is left for .*a\.json.*Free some space"):
        write_json(path, [2])
    assert path.read_text() == "[1]\n"
    assert list(tmp_path.iterdir()) == [path]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.text(max_size=3) | st.integers() | st.booleans(), inner, max_size=3
            )
        ),
    )
)
def test_json_has_the_text_that_the_standard_library_gives(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.json"
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:  # infinity
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(path, value)
        assert not list(tmp_path.glob(".wtal-tmp-*"))
        return
    write_json(path, value)
    assert path.read_bytes() == text.encode("utf-8", "backslashreplace") + b"\n"


def test_writing_into_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="cannot be written"):
        write_json(tmp_path / "missing" / "a.json", [])


def test_json_that_is_cut_short_names_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"é": 1,')
    with pytest.raises(FeatureError, match=r"a\.json is no JSON: .* at byte 9 \(line 1\)"):
        read_json(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "byte 0"),
        (b"[" * 100_000, "nested too deep"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[" + b"9" * 10_000 + b"]", "bad number"),
        (b'["\xff"]', "not UTF-8 text: byte 2"),
    ],
)
def test_hostile_or_damaged_json_is_refused_by_name(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FeatureError, match=reason):
        read_json(path)


def test_a_file_over_the_cap_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b" " * 100)
    with pytest.raises(FeatureError, match="has 100 bytes; expected at most 99"):
        read_json(path, max_bytes=99)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_of_editors_and_shells_are_understood(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"é": 1}', encoding=encoding)
    assert read_json(path) == {"é": 1}


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="does not exist"):
        read_text(tmp_path / "missing")
    with pytest.raises(FeatureError, match="is a folder"):
        read_text(tmp_path)
    with pytest.raises(FeatureError, match="no regular file"):
        read_text("/dev/null")


def test_rows_have_line_numbers_whatever_the_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\r\n\r\n 1 ,"x\ny"\r\n2,z')
    assert list(read_rows(path)) == [(1, ["a", "b"]), (4, ["1", "x\ny"]), (5, ["2", "z"])]


def test_a_quote_that_does_not_close_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"2\n')
    with pytest.raises(FeatureError, match="line 2 is no CSV"):
        list(read_rows(path))


def test_a_second_run_in_one_folder_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    with (
        lock(tmp_path),
        pytest.raises(FeatureError, match=rf"{tmp_path.name} is in use .*process {os.getpid()}"),
        lock(tmp_path),
    ):
        pass
    with lock(tmp_path):
        pass


def test_a_lock_that_is_a_link_to_another_file_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("keep")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".lock").symlink_to(mine)
    with pytest.raises(FeatureError, match="cannot be written"), lock(tmp_path / "store"):
        pass
    assert mine.read_text() == "keep"


def test_an_error_keeps_its_parts_on_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(FeatureError("Bad.", "Mend it.", code="x")))  # noqa: S301 (ours)
    assert (str(error), error.problem, error.cure, error.code) == (
        "Bad. Mend it.",
        "Bad.",
        "Mend it.",
        "x",
    )


def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom wtal_features.files import lock\n"
        "with lock(sys.argv[1]):\n print('held', flush=True)\n time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(FeatureError, match=f"process {child.pid}"), lock(tmp_path):
            pass
        child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with lock(tmp_path):
                return
        except FeatureError:
            time.sleep(0.01)
    pytest.fail("the lock outlived its process")


def test_what_a_killed_run_left_is_swept_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    left = tmp_path / ".wtal-tmp-0123456789abcdef"
    left.write_bytes(b"half")
    (tmp_path / ".wtal-tmp-folder").mkdir()
    (tmp_path / ".mine").write_text("keep")
    with atomic_write(tmp_path / "a") as handle:
        handle.write(b"whole")
        sweep(tmp_path, tmp_path / "missing")
        assert len(list(tmp_path.glob(".wtal-tmp-*"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine", "a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_file_that_is_swept_before_it_is_held_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, opened = Path.open, list[Path]()

    def swept_at_once(self: Path, mode: str = "r") -> IO[Any]:
        handle: IO[Any] = real(self, mode)
        opened.append(self)
        if len(opened) == 1:
            self.unlink()
        return handle

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", swept_at_once)
        write_json(tmp_path / "a.json", [1])
    assert (tmp_path / "a.json").read_text() == "[1]\n"
    assert len(opened) == 2


def test_ctrl_c_while_a_file_is_begun_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **more: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("wtal_features.files._held", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_json(tmp_path / "a.json", [1])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_being_removed_is_whole_or_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "x").write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *args, **more: None)  # killed before it began
        remove_folder(folder)
    assert not folder.exists()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    remove_folder(folder)  # that it is gone already is no fault


def test_one_file_of_a_folder_can_be_held_alone(tmp_path: Path) -> None:
    with (
        lock(tmp_path, "a.json"),
        lock(tmp_path, "b.json"),
        pytest.raises(FeatureError, match=r"a\.json is in use"),
        lock(tmp_path, "a.json"),
    ):
        pass
