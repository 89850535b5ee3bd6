"""Shares of an extraction: together they are one run, in any order, and a join can be repeated."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
import torch

from tests.features.crashing import contents
from tests.features.in_process import decode_here
from tests.features.test_extract import environment, times
from tests.features.videos import panned, write_video
from wtal_features import FeatureError, StoreWriter, extract, open_store
from wtal_features.encoders.encoder import Encoder
from wtal_features.encoders.histograms import ColourHistogram, MotionHistogram, Null
from wtal_features.extraction import ExtractionReport, ExtractSettings, MotionSettings, joining
from wtal_features.files import lock
from wtal_features.shards import Shard

torch.set_num_threads(1)

Share = Callable[..., ExtractionReport]
VECTORS = ExtractSettings(motion=MotionSettings("mv"))


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Decode in this process; the paths of the videos that were decoded."""
    return decode_here(monkeypatch)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Seven videos, two of them faulty."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, name in enumerate("acdfg"):
        write_video(folder / f"{name}.mp4", panned(3 + 15 * i, 64, 48, seed=i))
    (folder / "b.mp4").write_bytes(b"no video")
    (folder / "e.mp4").touch()
    (folder / "readme.txt").touch()
    (folder / "a:z.mp4").touch()
    return folder


@pytest.fixture
def share(videos: Path, tmp_path: Path) -> Share:
    """Run one share of three into `tmp_path / "s"`."""

    def run(i: int, count: int = 3, settings: ExtractSettings | None = None) -> ExtractionReport:
        return extract(videos, tmp_path / "s", ColourHistogram(), settings, shard=Shard(i, count))

    return run


def visible(store: Path) -> set[str]:
    return {path.name for path in store.iterdir() if not path.name.startswith(".")}


# The union ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [*permutations((1, 2, 3))])
def test_shares_in_any_order_are_one_run_byte_for_byte(
    videos: Path, tmp_path: Path, share: Share, order: tuple[int, ...]
) -> None:
    extract(videos, tmp_path / "one", ColourHistogram())
    notes = [share(i).notes[-1] for i in order]
    assert notes[0] == f"2 of 3 shares are to come, such as {min(order[1:])}-of-3"
    assert notes[1] == f"1 of 3 shares are to come, such as {order[2]}-of-3"
    assert notes[2] == "3 shares joined"
    assert contents(tmp_path / "s") == contents(tmp_path / "one")
    assert "skipped.json" in visible(tmp_path / "s")


@pytest.mark.parametrize("count", [1, 2, 10])
def test_any_number_of_shares_joins_to_the_whole(
    videos: Path, tmp_path: Path, share: Share, count: int
) -> None:
    extract(videos, tmp_path / "one", ColourHistogram())
    for i in range(1, count + 1):
        share(i, count)
    assert contents(tmp_path / "s") == contents(tmp_path / "one")


def test_streams_are_joined_too(videos: Path, tmp_path: Path) -> None:
    both: dict[str, Encoder] = {"rgb": Null(), "flow": MotionHistogram()}
    extract(videos, tmp_path / "one", both, VECTORS)
    for i in (2, 1):
        extract(videos, tmp_path / "s", both, VECTORS, shard=Shard(i, 2))
    assert contents(tmp_path / "s") == contents(tmp_path / "one")
    assert open_store(tmp_path / "s").streams == ("rgb", "flow")


def test_nothing_is_to_be_seen_before_the_shares_are_joined(tmp_path: Path, share: Share) -> None:
    share(1)
    share(3)
    assert visible(tmp_path / "s") == set()
    with pytest.raises(FeatureError):
        open_store(tmp_path / "s")


def test_each_fault_and_note_is_told_by_one_share(share: Share) -> None:
    reports = [share(i) for i in (1, 2, 3)]
    assert sorted(f.where for r in reports for f in r.skipped) == ["a:z.mp4", "b", "e"]
    assert sum("by name and left out" in note for r in reports for note in r.notes) == 1
    assert sorted(video for r in reports for video in r.written) == list("acdfg")


# Again -------------------------------------------------------------------------------------------


def test_a_share_after_the_join_does_nothing(
    tmp_path: Path, share: Share, asked: list[str]
) -> None:
    for i in (1, 2, 3):
        share(i)
    before = times(tmp_path / "s"), contents(tmp_path / "s")
    asked.clear()
    report = share(2)
    assert (report.written, report.unchanged, asked) == ([], ["c", "d"], [])
    shutil.rmtree(tmp_path / "s" / ".shards")
    assert (times(tmp_path / "s"), contents(tmp_path / "s")) == before


def test_all_shares_again_leave_the_same_bytes_and_nothing_hidden(
    tmp_path: Path, share: Share
) -> None:
    for i in (1, 2, 3):
        share(i)
    before = contents(tmp_path / "s")
    for i in (3, 1, 2):
        assert share(i).written == []
    assert contents(tmp_path / "s") == before
    assert not (tmp_path / "s" / ".shards").exists()


def test_after_a_video_was_added_and_one_changed_the_shares_do_just_these(
    videos: Path, tmp_path: Path, share: Share
) -> None:
    for i in (1, 2, 3):
        share(i)
    write_video(videos / "bb.mp4", panned(9, 64, 48, seed=9))
    (videos / "g.mp4").write_bytes((videos / "f.mp4").read_bytes())
    written = [video for i in (1, 2, 3) for video in share(i).written]
    assert sorted(written) == ["bb", "g"]
    extract(videos, tmp_path / "one", ColourHistogram())
    assert contents(tmp_path / "s") == contents(tmp_path / "one")


def test_a_video_that_was_moved_is_not_done_again_by_its_share(
    videos: Path, tmp_path: Path, share: Share
) -> None:
    for i in (1, 2, 3):
        share(i)
    (videos / "test").mkdir()
    (videos / "d.mp4").rename(videos / "test" / "d.mp4")
    assert [share(i).written for i in (1, 2, 3)] == [[], [], []]
    fields = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert fields["videos"]["d"]["subset"] == "test"
    extract(videos, tmp_path / "one", ColourHistogram())
    assert fields == json.loads((tmp_path / "one" / "manifest.json").read_text())


def test_a_run_without_shares_goes_on_from_joined_ones_and_the_other_way_round(
    videos: Path, tmp_path: Path, share: Share
) -> None:
    for i in (1, 2, 3):
        share(i)
    report = extract(videos, tmp_path / "s", ColourHistogram())
    assert (report.written, len(report.unchanged)) == ([], 5)
    extract(videos, tmp_path / "whole", ColourHistogram())
    report = extract(videos, tmp_path / "whole", ColourHistogram(), shard=Shard(1, 1))
    assert (report.written, len(report.unchanged)) == ([], 5)
    assert contents(tmp_path / "whole") == contents(tmp_path / "s")


def test_a_share_reads_no_video_that_the_store_has_read(
    videos: Path, tmp_path: Path, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in (1, 2, 3):
        share(i)
    read: list[Path] = []
    monkeypatch.setattr("wtal_features.extraction.sources._digest", read.append)
    for i in (1, 2, 3):
        share(i)
    assert read == []


def test_a_video_that_came_after_its_share_was_done_is_named(
    videos: Path, tmp_path: Path, share: Share
) -> None:
    share(1)
    share(2)
    for name in ("aa", "ab", "ac"):
        write_video(videos / f"{name}.mp4", panned(3, 64, 48))
    note = share(3).notes[-1]
    assert note.startswith("3 shares joined; 3 videos came after their share was done, such as aa")
    for i in (1, 2, 3):
        share(i)
    extract(videos, tmp_path / "one", ColourHistogram())
    assert contents(tmp_path / "s") == contents(tmp_path / "one")


# Refused -----------------------------------------------------------------------------------------


def test_a_share_with_other_settings_is_refused_before_it_begins(
    videos: Path, tmp_path: Path, share: Share, asked: list[str]
) -> None:
    share(1)
    asked.clear()
    with pytest.raises(FeatureError, match=r"1-of-3.*written with stride 16; now it is 8"):
        share(2, settings=ExtractSettings(stride=8))
    with pytest.raises(FeatureError, match=r"written with encoder 'colour-histogram'; now"):
        extract(videos, tmp_path / "s", Null(), shard=Shard(3, 3))
    assert asked == []
    share(2)
    share(3)
    with pytest.raises(FeatureError, match=r"written with stride 16; now it is 8"):
        share(1, settings=ExtractSettings(stride=8))


def test_a_share_with_other_settings_that_ran_at_the_same_time_is_not_joined(
    videos: Path, tmp_path: Path, share: Share
) -> None:
    share(1)
    (tmp_path / "s" / ".shards" / "1-of-3").rename(tmp_path / "aside")
    share(2, settings=ExtractSettings(stride=8))
    (tmp_path / "aside").rename(tmp_path / "s" / ".shards" / "1-of-3")
    (tmp_path / "s" / ".shards" / "2-of-3").rename(tmp_path / "aside")
    share(3)
    (tmp_path / "aside").rename(tmp_path / "s" / ".shards" / "2-of-3")
    with pytest.raises(FeatureError, match=r"2-of-3.*written with stride 8; now it is 16"):
        share(3)
    assert visible(tmp_path / "s") == set()  # not even the first was moved


def test_shares_do_not_go_into_a_folder_of_somebody_else(tmp_path: Path, share: Share) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").write_text("mine")
    with pytest.raises(FeatureError, match=r"no store of ours: it holds .*notes\.txt"):
        share(1)
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["notes.txt"]


# At the same time --------------------------------------------------------------------------------


def test_a_share_that_is_being_done_again_is_waited_for(tmp_path: Path, share: Share) -> None:
    share(1)
    share(2)
    journal = tmp_path / "s" / ".shards" / "1-of-3" / "manifest.partial.jsonl"
    journal.touch()
    assert share(3).notes[-1] == "1 of 3 shares are to come, such as 1-of-3"
    journal.unlink()
    assert share(3).notes[-1] == "3 shares joined"


def test_two_that_finish_together_do_not_join_twice(
    videos: Path, tmp_path: Path, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(videos, tmp_path / "one", ColourHistogram())
    share(1)
    share(2)
    with lock(tmp_path / "s" / ".shards"):
        assert share(3).notes[-1] == "another share is joining them all"
    join = joining._is_finished
    calls = 0

    def joined_meanwhile(folder: Path) -> bool:
        nonlocal calls
        calls += 1
        if calls == 4:  # the first of the second look
            monkeypatch.setattr(joining, "_is_finished", join)
            return False
        return join(folder)

    monkeypatch.setattr(joining, "_is_finished", joined_meanwhile)
    assert share(3).notes[-1] == "another share has joined them all"
    assert share(3).notes[-1] == "3 shares joined"
    assert contents(tmp_path / "s") == contents(tmp_path / "one")


def test_a_store_that_is_in_use_is_not_joined_into(tmp_path: Path, share: Share) -> None:
    share(1)
    share(2)
    with lock(tmp_path / "s"), pytest.raises(FeatureError, match="in use by another run"):
        share(3)
    assert share(3).notes[-1] == "3 shares joined"


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_share_or_a_join_that_is_killed_at_any_step_can_be_repeated(
    tmp_path: Path, every: int
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, name in enumerate("abc"):
        write_video(folder / f"{name}.mp4", panned(3 + 9 * i, 64, 48, seed=i))
    (folder / "d.mp4").write_bytes(b"no video")
    command = [sys.executable, "-m", "tests.features.crashing", "last_share"]
    done = subprocess.run(
        [*command, str(folder), str(tmp_path), str(every)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40  # steps


def test_a_join_stopped_by_hand_is_finished_without_decoding(
    videos: Path, tmp_path: Path, share: Share, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(videos, tmp_path / "one", ColourHistogram())
    share(1)
    share(2)
    adopt, calls = StoreWriter.adopt, 0

    def stopped(self: StoreWriter, part: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        adopt(self, part)

    monkeypatch.setattr(StoreWriter, "adopt", stopped)
    with pytest.raises(KeyboardInterrupt):
        share(3)
    monkeypatch.setattr(StoreWriter, "adopt", adopt)
    asked.clear()
    report = share(1)
    assert (report.written, report.notes[-1]) == ([], "3 shares joined")
    assert [Path(path).name for path in asked] == ["b.mp4"]  # it was skipped, so it is tried again
    assert contents(tmp_path / "s") == contents(tmp_path / "one")
