"""A video written block by block: whole or not at all, as `StoreWriter.write` would write it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from wtal_features import FeatureError, StoreWriter, check_store, open_store
from wtal_features.writer import JOURNAL, SKIPPED


def block(T: int, D: int = 3, dtype: str = "float16", seed: int = 0) -> npt.NDArray[np.floating]:
    return np.random.default_rng(seed).random((T, D)).astype(dtype)


def store(path: Path, *streams: str, **settings: Any) -> StoreWriter:
    return StoreWriter(path, encoder="toy", stride=16, fps=25, streams=streams, **settings)


def manifest(path: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((path / "manifest.json").read_text())
    return fields


def contents(path: Path) -> Mapping[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }


def write_rows(writer: StoreWriter, video: str, *blocks: npt.NDArray[np.floating]) -> None:
    rows = writer.rows(video)
    for part in blocks:
        rows.append(part)
    rows.commit(frames=16 * sum(map(len, blocks)))


def stopped(path: Path, work: Callable[[StoreWriter], object], **settings: Any) -> None:
    """A run that Ctrl-C ends after its work."""

    def run() -> None:
        with store(path, **settings) as writer:
            work(writer)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()


def adopt_all(path: Path, folders: Sequence[Path]) -> None:
    with store(path) as writer:
        for folder in folders:
            writer.adopt(folder)


# Equal to writing in one go ----------------------------------------------------------------------


def test_a_video_in_blocks_is_the_video_in_one_piece(tmp_path: Path) -> None:
    with store(tmp_path / "one") as one:
        one.write("v", block(5), frames=80, subset="test")
    with store(tmp_path / "rows") as other:
        rows = other.rows("v")
        rows.append(block(5)[:1])
        rows.append(block(5)[1:])
        rows.commit(frames=80, subset="test", duration=None)
    assert contents(tmp_path / "rows") == contents(tmp_path / "one")
    assert check_store(open_store(tmp_path / "rows"), values=True) == []


def test_videos_may_be_open_side_by_side(tmp_path: Path) -> None:
    with store(tmp_path) as writer:
        a, b = writer.rows("a"), writer.rows("b")
        for t in range(4):
            a.append(block(1, seed=t))
            b.append(block(1, seed=-t - 1 + 10))
        b.commit()
        assert writer.videos == ("b",)
        a.commit()
    opened = open_store(tmp_path)
    assert opened.videos == ("a", "b")
    np.testing.assert_array_equal(
        opened.read("a"), np.concatenate([block(1, seed=t) for t in range(4)]).astype(np.float32)
    )


def test_streams_grow_at_their_own_pace(tmp_path: Path) -> None:
    with store(tmp_path, "rgb", "flow") as writer:
        rows = writer.rows("v")
        rows.append(block(2), "rgb")
        rows.append(block(3, 2), "flow")
        rows.append(block(1), "rgb")
        rows.commit()
    assert open_store(tmp_path).read("v").shape == (3, 5)
    assert manifest(tmp_path)["dims"] == [3, 2]


# Nothing before commit ---------------------------------------------------------------------------


def test_nothing_of_a_video_counts_before_commit(tmp_path: Path) -> None:
    with store(tmp_path) as writer:
        rows = writer.rows("v")
        rows.append(block(2))
        assert not writer.done("v")
        assert not (tmp_path / "v.npy").exists()
        rows.discard()
        assert writer.videos == ()
    assert contents(tmp_path).keys() == {"manifest.json"}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".wtal")] == []


def test_discard_after_commit_does_nothing(tmp_path: Path) -> None:
    with store(tmp_path) as writer:
        rows = writer.rows("v")
        rows.append(block(2))
        rows.commit()
        rows.discard()
    assert open_store(tmp_path).read("v").shape == (2, 3)


def test_what_a_killed_run_was_writing_is_cleared_away(tmp_path: Path) -> None:
    stopped(tmp_path, lambda writer: write_rows(writer, "a", block(2)))
    (tmp_path / ".wtal-tmp-0").write_bytes(b"half a video")
    (tmp_path / ".wtal-tmp-1").mkdir()
    with store(tmp_path) as writer:
        assert writer.videos == ("a",)
    assert list(tmp_path.glob(".wtal-tmp-*")) == []


def test_a_run_stopped_between_array_and_journal_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: StoreWriter, *record: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StoreWriter, "_finish", stop)
    stopped(tmp_path, lambda writer: write_rows(writer, "v", block(2)))
    monkeypatch.undo()
    assert (tmp_path / "v.npy").exists()
    with store(tmp_path) as writer:
        assert not writer.done("v")
        write_rows(writer, "v", block(3))
    assert open_store(tmp_path).read("v").shape == (3, 3)


def test_a_changed_video_replaces_the_old_one(tmp_path: Path) -> None:
    with store(tmp_path) as writer:
        write_rows(writer, "a", block(2))
        write_rows(writer, "b", block(2))
    with store(tmp_path) as writer:
        write_rows(writer, "a", block(4, seed=1))
    opened = open_store(tmp_path)
    np.testing.assert_array_equal(opened.read("a"), block(4, seed=1).astype(np.float32))
    assert manifest(tmp_path)["videos"]["a"]["frames"] == 64
    assert opened.videos == ("a", "b")


# Faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_their_snippet(
    tmp_path: Path, value: float
) -> None:
    bad = block(2)
    bad[1, 2] = value
    with store(tmp_path) as writer:
        rows = writer.rows("v")
        rows.append(block(7))
        with pytest.raises(FeatureError, match=r"'v' holds 1 values .* in snippet 8, dimension 2"):
            rows.append(bad)
        rows.discard()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (block(1, dtype="float64"), "dtype float64; expected float16 or float32"),
        (block(1, dtype="float32"), r"a block is float32 \(1, 3\); expected float16 \(T, 3\)"),
        (block(1, D=4), r"a block is float16 \(1, 4\)"),
        (block(1)[0], "two axes"),
        (block(0), "no snippets"),
    ],
)
def test_a_block_of_another_kind_is_refused(
    tmp_path: Path, wrong: npt.NDArray[np.floating], reason: str
) -> None:
    with store(tmp_path) as writer:
        rows = writer.rows("v")
        rows.append(block(1))
        with pytest.raises(FeatureError, match=reason):
            rows.append(wrong)
        rows.commit()
    assert open_store(tmp_path).read("v").shape == (1, 3)


def test_streams_of_different_lengths_are_refused(tmp_path: Path) -> None:
    with store(tmp_path, "rgb", "flow") as writer:
        rows = writer.rows("v")
        rows.append(block(2), "rgb")
        rows.append(block(3), "flow")
        with pytest.raises(FeatureError, match=r"'v' differ in length: {'rgb': 2, 'flow': 3}"):
            rows.commit()
        rows.discard()
        assert writer.videos == ()
    assert contents(tmp_path).keys() == {"manifest.json"}


def test_a_stream_that_is_lacking_or_unknown_is_named(tmp_path: Path) -> None:
    with store(tmp_path, "rgb", "flow") as writer:
        rows = writer.rows("v")
        rows.append(block(2), "rgb")
        with pytest.raises(FeatureError, match=r"\['rgb'\]; expected \['rgb', 'flow'\]"):
            rows.commit()
        with pytest.raises(FeatureError, match=r"'v' \(depth\): expected one of .*'rgb', 'flow'"):
            rows.append(block(2), "depth")
        rows.discard()


def test_a_video_without_blocks_is_refused(tmp_path: Path) -> None:
    with store(tmp_path) as writer, pytest.raises(FeatureError, match=r"comes with the streams"):
        writer.rows("v").commit()


def test_videos_of_another_width_or_dtype_do_not_join_the_store(tmp_path: Path) -> None:
    with store(tmp_path) as writer:
        write_rows(writer, "a", block(2))
        for wrong, reason in ((block(2, D=4), r"has D \[4\]"), (block(2, 3, "float32"), "float32")):
            rows = writer.rows("b")
            rows.append(wrong)
            with pytest.raises(FeatureError, match=reason):
                rows.commit()
            rows.discard()
    assert contents(tmp_path).keys() == {"a.npy", "manifest.json"}


@pytest.mark.parametrize("entry", [{"frames": 0}, {"duration": -1.0}, {"fps": 0}, {"fps": "25"}])
def test_an_impossible_entry_leaves_the_old_array_in_place(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    with store(tmp_path) as writer:
        write_rows(writer, "v", block(2))
        rows = writer.rows("v")
        rows.append(block(5))
        with pytest.raises(FeatureError, match="expected a number above zero"):
            rows.commit(**entry)
        rows.discard()
    assert open_store(tmp_path).read("v").shape == (2, 3)


def test_a_video_without_a_frame_rate_is_refused(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, encoder="toy", stride=16) as writer:
        rows = writer.rows("v")
        rows.append(block(2))
        with pytest.raises(FeatureError, match="never guessed"):
            rows.commit()
        rows.commit(fps=30.0)
    assert open_store(tmp_path).timing("v").fps == 30


@pytest.mark.parametrize("name", ["../v", "", ".v", "a/b", "con"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with store(tmp_path / "s") as writer, pytest.raises(FeatureError, match="plain file name"):
        writer.rows(name)


# What features were made with --------------------------------------------------------------------


def test_the_manifest_lists_the_versions_that_made_some_of_its_videos(tmp_path: Path) -> None:
    old, new = {"torch": "2.10", "av": "18.1"}, {"torch": "2.13", "av": "18.1"}
    with store(tmp_path, made_with=old) as writer:
        write_rows(writer, "a", block(2))
    assert manifest(tmp_path)["made_with"] == [old]
    with store(tmp_path, made_with=new):
        pass
    assert manifest(tmp_path)["made_with"] == [old]  # nothing was made with the new ones
    with store(tmp_path, made_with=new) as writer:
        write_rows(writer, "b", block(2))
    assert manifest(tmp_path)["made_with"] == [old, new]


def test_versions_survive_in_the_journal(tmp_path: Path) -> None:
    old = {"torch": "1"}
    stopped(tmp_path, lambda writer: write_rows(writer, "a", block(2)), made_with=old)
    with store(tmp_path, made_with={"torch": "2"}) as writer:
        write_rows(writer, "b", block(2))
    assert manifest(tmp_path)["made_with"] == [old, {"torch": "2"}]


# Looking, amending, adopting ---------------------------------------------------------------------


def test_a_peek_tells_what_is_there_and_touches_nothing(tmp_path: Path) -> None:
    assert store(tmp_path / "none").peek() == {}
    stopped(tmp_path, lambda writer: write_rows(writer, "a", block(2)))
    stopped(tmp_path, lambda writer: write_rows(writer, "b", block(2)))
    (tmp_path / "b.npy").unlink()
    journal = (tmp_path / JOURNAL).read_bytes() + b'{"video": "c'
    (tmp_path / JOURNAL).write_bytes(journal)
    (tmp_path / ".wtal-tmp-0").touch()
    assert store(tmp_path).peek() == {"a": {"frames": 32, "fps": 25}}
    assert (tmp_path / JOURNAL).read_bytes() == journal
    assert (tmp_path / ".wtal-tmp-0").exists()


def test_a_peek_refuses_what_entering_would_refuse(tmp_path: Path) -> None:
    with store(tmp_path / "other") as writer:
        write_rows(writer, "a", block(2))
    with pytest.raises(FeatureError, match="written with stride 16; now it is 8"):
        StoreWriter(tmp_path / "other", encoder="toy", stride=8, fps=25).peek()
    with pytest.raises(FeatureError, match=r"is not empty and no store of ours: it holds .*other"):
        store(tmp_path).peek()


def test_an_entry_can_be_amended_without_its_array(tmp_path: Path) -> None:
    with store(tmp_path) as writer:
        write_rows(writer, "a", block(2))
    before = (tmp_path / "a.npy").stat().st_mtime_ns
    changes = {"subset": "test", "start": None}
    stopped(tmp_path, lambda writer: writer.amend("a", {**writer.entry("a"), **changes}))
    with store(tmp_path):
        pass
    assert manifest(tmp_path)["videos"]["a"] == {"frames": 32, "subset": "test", "fps": 25}
    assert (tmp_path / "a.npy").stat().st_mtime_ns == before
    assert open_store(tmp_path).dim == 3


def parts(path: Path, *, streams: tuple[str, ...] = ()) -> list[Path]:
    """Three stores of one kind, the last empty."""
    folders = [path / ".parts" / name for name in "xyz"]
    for folder, videos in zip(folders, ("ab", "c", ""), strict=True):
        with store(folder, *streams, made_with={"torch": folder.name}) as writer:
            for video in videos:
                rows = writer.rows(video)
                for stream in streams or ("",):
                    rows.append(block(2, seed=ord(video)), stream)
                rows.commit(subset="test")
    return folders


@pytest.mark.parametrize("streams", [(), ("rgb", "flow")])
def test_adopted_parts_are_the_store_that_was_written_at_once(
    tmp_path: Path, streams: tuple[str, ...]
) -> None:
    with store(tmp_path / "whole", *streams, made_with={"torch": "z"}) as writer:
        for folder in parts(tmp_path / "whole", streams=streams):
            writer.adopt(folder)
    whole = manifest(tmp_path / "whole")
    assert whole["made_with"] == [{"torch": "x"}, {"torch": "y"}]
    with store(tmp_path / "one", *streams) as writer:
        for video in "abc":
            rows = writer.rows(video)
            for stream in streams or ("",):
                rows.append(block(2, seed=ord(video)), stream)
            rows.commit(subset="test")
    found, expected = contents(tmp_path / "whole"), contents(tmp_path / "one")
    assert found.keys() - {name for name in found if name.startswith(".parts")} == expected.keys()
    assert all(found[name] == data for name, data in expected.items() if name.endswith(".npy"))
    del whole["made_with"]
    assert whole == manifest(tmp_path / "one")


@pytest.mark.parametrize("steps", range(3))
def test_an_adoption_stopped_half_way_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    folders = parts(tmp_path)
    append, calls = StoreWriter._append, 0

    def stop(self: StoreWriter, record: Mapping[str, object]) -> None:
        nonlocal calls
        calls += 1
        if calls > steps + 1:  # the first is the head of the journal
            raise KeyboardInterrupt
        append(self, record)

    monkeypatch.setattr(StoreWriter, "_append", stop)
    with pytest.raises(KeyboardInterrupt):
        adopt_all(tmp_path, folders)
    monkeypatch.undo()
    adopt_all(tmp_path, folders)
    assert open_store(tmp_path).videos == ("a", "b", "c")
    assert check_store(open_store(tmp_path), values=True) == []
    assert manifest(tmp_path)["made_with"] == [{"torch": "x"}, {"torch": "y"}]


def test_versions_of_what_was_adopted_are_kept_when_others_go_on(tmp_path: Path) -> None:
    folders = parts(tmp_path)
    stopped(tmp_path, lambda writer: writer.adopt(folders[0]))
    with store(tmp_path):
        pass
    assert manifest(tmp_path)["made_with"] == [{"torch": "x"}]


def test_a_part_that_lacks_an_array_or_has_other_settings_is_not_adopted(tmp_path: Path) -> None:
    folders = parts(tmp_path)
    (folders[1] / "c.npy").unlink()
    with store(tmp_path) as writer:
        with pytest.raises(FeatureError, match=r"c\.npy is missing"):
            writer.adopt(folders[1])
        assert writer.videos == ()
    with (
        StoreWriter(tmp_path / "o", encoder="toy", stride=8, fps=25) as writer,
        pytest.raises(FeatureError, match="written with stride 16; now it is 8"),
    ):
        writer.adopt(folders[0])


# The folder --------------------------------------------------------------------------------------


def test_a_list_of_what_was_skipped_is_no_stranger(tmp_path: Path) -> None:
    (tmp_path / SKIPPED).write_text("{}")
    with store(tmp_path) as writer:
        write_rows(writer, "a", block(1))
    assert open_store(tmp_path).videos == ("a",)


@pytest.mark.parametrize("text", ["[]", '{"videos": []}', '{"videos": {"a": 5}}', "{"])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(FeatureError, match=r"manifest\.json is no"), store(tmp_path):
        pass
    with pytest.raises(FeatureError, match=r"manifest\.json is no"):
        store(tmp_path).peek()


def test_a_key_deep_in_the_settings_is_named_when_it_differs(tmp_path: Path) -> None:
    def deep(size: int) -> dict[str, Any]:
        return {"info": {"encoders": {"clip": {"frames": 16, "size": size}}}}

    with store(tmp_path, **deep(112)) as writer:
        write_rows(writer, "a", block(1))
    with (
        pytest.raises(FeatureError, match=r"with encoders\.clip\.size 112; now it is 64"),
        store(tmp_path, **deep(64)),
    ):
        pass
