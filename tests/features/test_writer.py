"""A store that was stopped anywhere goes on to the same bytes."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wtal_features import FeatureError, StoreWriter, check_store, open_store, writer
from wtal_features.npy import FeatureArray


def array(T: int = 4, D: int = 3, dtype: str = "float32") -> FeatureArray:
    return np.random.default_rng(T).random((T, D)).astype(dtype)


def write_and_stop(path: Path, videos: str) -> None:
    with StoreWriter(path, encoder="toy", stride=16, fps=25) as store:
        for video in videos:
            store.write(video, array())
        raise KeyboardInterrupt


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    with StoreWriter(
        tmp_path / "s", encoder="toy", stride=16, window=16, info={"weights": "abc"}
    ) as store:
        store.write("b", array(4), fps=25.0, frames=64)
        store.write("a", array(9), fps=30.0, duration_s=4.8, subset="test")
    opened = open_store(tmp_path / "s")
    assert opened.videos == ("a", "b")
    np.testing.assert_array_equal(opened.read("a"), array(9))
    assert opened.timing("a").duration_s == 4.8
    assert opened.timing("b").duration_s == 2.56
    assert check_store(opened, values=True) == []
    fields = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert fields["encoder"] == "toy"
    assert fields["weights"] == "abc"
    assert (fields["dim"], fields["dtype"]) == (3, "float32")
    assert fields["videos"]["a"] == {"fps": 30.0, "duration": 4.8, "subset": "test"}


def test_streams_are_written_side_by_side(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25, streams=("rgb", "flow")) as store:
        store.write("a", {"flow": array(4, 2), "rgb": array(4, 3)})
    opened = open_store(tmp_path)
    assert opened.streams == ("rgb", "flow")
    assert opened.read("a").shape == (4, 5)


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(tmp_path, "a")
    with pytest.raises(FeatureError, match="not finished"):
        open_store(tmp_path)
    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25) as store:
        assert store.done("a")
        assert not store.done("b")
        store.write("b", array())
    assert open_store(tmp_path).videos == ("a", "b")
    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25) as store:
        assert store.videos == ("a", "b")


def test_a_run_killed_in_a_write_loop_loses_no_finished_video(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\nfrom wtal_features import StoreWriter\n"
        "with StoreWriter(sys.argv[1], encoder='toy', stride=16, fps=25) as store:\n"
        " for i in range(10**6):\n"
        "  store.write(f'v{i}', np.ones((50, 8), np.float32))\n"
        "  print(i, flush=True)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        while child.stdout.readline() != b"20\n":
            pass
        child.send_signal(signal.SIGKILL)
    (tmp_path / ".wtal-tmp-0").write_bytes(b"half")
    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25) as store:
        assert all(store.done(f"v{i}") for i in range(21))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".wtal-tmp-")]
    opened = open_store(tmp_path)
    assert not [f for f in check_store(opened, values=True) if f.severity == "error"]


def test_a_journal_line_cut_short_is_dropped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(tmp_path, "ab")
    journal = tmp_path / writer.JOURNAL
    journal.write_bytes(journal.read_bytes()[:-10])
    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25) as store:
        assert store.videos == ("a",)
        store.write("b", array())
    assert open_store(tmp_path).videos == ("a", "b")


def test_other_settings_do_not_mix_into_a_store(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25) as store:
        store.write("a", array())
    with (
        pytest.raises(FeatureError, match="written with stride 16; now it is 8"),
        StoreWriter(tmp_path, encoder="toy", stride=8, fps=25),
    ):
        pass


@pytest.mark.parametrize("name", ["notes.txt", "rgb/a.npy"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with (
        pytest.raises(FeatureError, match="is not empty"),
        StoreWriter(tmp_path, encoder="toy", stride=16, fps=25, streams=("rgb",)),
    ):
        pass
    assert (tmp_path / name).read_text() == "mine"


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        StoreWriter(tmp_path, encoder="toy", stride=16, fps=25),
        pytest.raises(FeatureError, match="in use"),
        StoreWriter(tmp_path, encoder="toy", stride=16, fps=25),
    ):
        pass


@pytest.mark.parametrize(
    ("video", "features", "reason"),
    [
        ("../a", array(), "separator"),
        ("a", array(dtype="float64"), "dtype float64"),
        ("a", array(dtype="float16"), "the store is float32"),
        ("a", array(D=4), r"D \[4\]; the videos before it have \[3\]"),
        ("a", array()[0], "two axes"),
        ("a", array()[:0], "no snippets"),
        ("a", array() * np.float32(np.nan), "NaN or infinite"),
        ("a", {"rgb": array()}, "comes with the streams"),
    ],
)
def test_what_a_reader_would_refuse_is_not_written(
    tmp_path: Path, video: str, features: object, reason: str
) -> None:
    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25) as store:
        store.write("first", array())
        with pytest.raises(FeatureError, match=reason):
            store.write(video, features)  # type: ignore[arg-type]
    assert open_store(tmp_path).videos == ("first",)
    assert not (tmp_path.parent / "a.npy").exists()


def test_a_video_without_frame_rate_is_refused(tmp_path: Path) -> None:
    with (
        StoreWriter(tmp_path, encoder="toy", stride=16) as store,
        pytest.raises(FeatureError, match="never guessed"),
    ):
        store.write("a", array())


def test_names_that_one_file_system_takes_for_one_are_refused(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25) as store:
        store.write("a", array())
        store.write("B", array())
        store.write("A", array())  # fine where the two are two files
        (tmp_path / "b.npy").hardlink_to(tmp_path / "B.npy")
        with pytest.raises(FeatureError, match="'b' and 'B' are one file"):
            store.write("b", array())


def test_a_full_disk_keeps_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fsync = os.fsync
    calls = 0

    def no_space(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 4:  # the head of the journal, and the array, its folder and line of the first
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(FeatureError, match="No space is left"):
        write_and_stop(tmp_path, "ab")
    monkeypatch.undo()
    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25) as store:
        assert store.videos == ("a",)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a.npy", "manifest.json"]


def test_a_full_disk_leaves_no_half_line_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with StoreWriter(tmp_path, encoder="toy", stride=16, fps=25) as store:
        store.write("a", array())
        monkeypatch.setattr(os, "fsync", no_space)
        with pytest.raises(FeatureError, match="No space is left"):
            store._append({"video": "b"})
        monkeypatch.undo()
        store.write("c", array())
        lines = (tmp_path / writer.JOURNAL).read_text().splitlines()
        assert [json.loads(line).get("video") for line in lines] == [None, "a", "c"]
