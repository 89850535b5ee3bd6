"""`--jobs`, and commands that go on with the shares of others: the bytes of an undivided run."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.features.crashing import contents
from tests.features.in_process import decode_here
from tests.features.videos import panned, write_video
from wtal.cli import app
from wtal.errors import WtalError
from wtal.sharing import MOST_TASKS, PER_PROCESS, Sharing, Watch, refuse_undone
from wtal_features.shards import Shard, shards_of

torch.set_num_threads(1)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Five videos, one of them broken."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for i in range(4):
        write_video(folder / f"v{i}.mp4", panned(20 + i, 64, 48, seed=i))
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def wtal(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert "Traceback" not in done.output
    return done.exit_code, done.output


def extract(videos: Path, out: Path, *words: object) -> tuple[int, str]:
    here = ("--encoder", "colour-histogram", "--device", "cpu", "--keep-going")
    return wtal("extract", videos, "--out", out, *here, *words)


# Drivers -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_extract_the_bytes_of_a_serial_run_and_a_second_time_nothing(
    videos: Path, tmp_path: Path
) -> None:
    extract(videos, tmp_path / "one")
    code, said = extract(videos, tmp_path / "two", "--jobs", 2)
    assert code == 0, said
    assert "4 videos extracted" in said
    assert "  broken: " in said
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert "0 videos extracted" in extract(videos, tmp_path / "two", "--jobs", 2)[1]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_an_undivided_command_goes_on_with_the_shares_that_are_there(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = decode_here(monkeypatch)
    extract(videos, tmp_path / "one")
    extract(videos, tmp_path / "s", "--shard", "2/3")
    asked.clear()
    code, said = extract(videos, tmp_path / "s")
    assert code == 0, said
    assert "3 shares joined" in said
    done_before = {"v0", "v1"} & {Path(path).stem for path in asked}
    assert len(asked) < 5
    assert len(done_before) < 2
    assert contents(tmp_path / "s") == contents(tmp_path / "one")


def test_shares_that_failed_are_named_with_the_first_reason() -> None:
    refuse_undone({})
    with pytest.raises(WtalError, match=r"^2 of 8 shares are not done, such as 3/8: It is full\."):
        refuse_undone({Shard(3, 8): "It is full.", Shard(4, 8): "x"})


def test_one_share_and_all_of_them_are_not_asked_for_together(videos: Path, tmp_path: Path) -> None:
    for words in (("--jobs", 2), ("--ray", "local")):
        code, said = extract(videos, tmp_path / "s", "--shard", "1/2", *words)
        assert code == 1
        assert "--shard does one share, --jobs and --ray do all" in said
    assert not (tmp_path / "s").exists()


def test_shares_are_some_more_than_processes_and_never_more_than_videos(tmp_path: Path) -> None:
    assert Sharing().shares(tmp_path, 100) == shards_of(1)
    assert Sharing(jobs=1).shares(tmp_path, 100) == shards_of(1)
    assert Sharing(jobs=3).shares(tmp_path, 100) == shards_of(3 * PER_PROCESS)
    assert Sharing(jobs=3).shares(tmp_path, 5) == shards_of(5)
    assert Sharing(ray="auto").shares(tmp_path, 10**5) == shards_of(MOST_TASKS)
    assert Sharing(ray="auto", jobs=7).shares(tmp_path, 10**5) == shards_of(7)


def test_progress_counts_whole_lines_of_the_shares_and_the_videos_of_those_that_ended(
    tmp_path: Path,
) -> None:
    told: list[tuple[int, int]] = []
    first, second = shards_of(2)
    journals = {first: tmp_path / "1", second: tmp_path / "2"}
    watch = Watch(journals, 7, lambda done, total: told.append((done, total)))
    watch.tick()
    (tmp_path / "1").write_text("head\na\nb\nhalf")
    (tmp_path / "2").write_text("head\n")
    watch.tick()
    with (tmp_path / "1").open("a") as file:
        file.write(" a line\n")
    watch.tick()
    watch.end(first)
    watch.end(second)
    assert told == [(0, 7), (2, 7), (3, 7), (3, 7), (7, 7)]


# Doctor ------------------------------------------------------------------------------------------


def test_doctor_tells_which_shares_and_videos_of_a_store_are_missing(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_here(monkeypatch)
    out = tmp_path / "s"
    extract(videos, out, "--shard", "1/3")
    code, said = wtal("doctor", out)
    assert code == 1
    assert f"{out} is not finished: 0 videos done, 1 skipped, 4 missing" in said
    assert "1 of 3 shards done; not begun: 2/3 3/3" in said
    assert "warning [skipped] broken: " in said
    for video, shard in (("v0", 2), ("v1", 2), ("v2", 3), ("v3", 3)):
        assert f"error [not-done] {video}: Its features are missing. Run --shard {shard}/3." in said
    extract(videos, out, "--shard", "2/3")
    assert f"{out} is not finished: 2 videos done, 1 skipped, 2 missing" in wtal("doctor", out)[1]
    extract(videos, out, "--shard", "3/3")
    code, said = wtal("doctor", out)
    assert code == 0, said
    assert "warning [skipped] broken: " in said
    assert "0 errors" in said


def test_doctor_sees_a_run_that_was_stopped_with_what_it_skipped_so_far(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_here(monkeypatch)
    from wtal_features.writer import Rows

    commit, calls = Rows.commit, []

    def stopped(self: Rows, **entry: object) -> None:
        calls.append(entry)
        if len(calls) == 3:
            raise KeyboardInterrupt
        commit(self, **entry)

    monkeypatch.setattr(Rows, "commit", stopped)
    extract(videos, tmp_path / "s", "--batch", 1)
    monkeypatch.setattr(Rows, "commit", commit)
    code, said = wtal("doctor", tmp_path / "s")
    assert code == 1
    assert "is not finished: 2 videos done, 1 skipped, 2 missing" in said
    assert "error [not-done] v3: Its features are missing. Run the same command again." in said
    extract(videos, tmp_path / "s", "--batch", 1)
    assert {path.name for path in (tmp_path / "s").glob(".[sv]*")} == {".sources.json"}
    assert set(json.loads((tmp_path / "s" / "skipped.json").read_text())) == {"broken"}


def test_doctor_says_so_where_the_videos_are_out_of_sight(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_here(monkeypatch)
    extract(videos, tmp_path / "s", "--shard", "1/3")
    videos.rename(tmp_path / "elsewhere")
    code, said = wtal("doctor", tmp_path / "s")
    assert code == 1
    assert "0 videos done, 1 skipped, an unknown number missing" in said
    assert "Run doctor where the work runs." in said
