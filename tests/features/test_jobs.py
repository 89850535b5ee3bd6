"""The drivers of shares: all are done whatever happens to a process, and each fault is named."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.features.shared_works import Square
from wtal_features import FeatureError
from wtal_features.files import lock
from wtal_features.jobs import attempt
from wtal_features.jobs.processes import in_processes
from wtal_features.jobs.ray_tasks import load_ray, on_ray
from wtal_features.jobs.underway import UnderWay
from wtal_features.shards import Shard, begun, divide, shards_of

ROOT = Path(__file__).parents[2]


def do(work: Square, count: int, processes: int) -> tuple[dict[int, int | None], list[str]]:
    """Results by shard, and the faults."""
    found = list(in_processes([work] * processes, shards_of(count), lambda: None))
    assert len({each.shard for each in found}) == len(found) == count
    faults = [each.fault for each in found if each.result is None]
    return {each.shard.index: each.result for each in found}, faults


# Processes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "processes"), [(1, 3), (5, 2)])
def test_processes_do_every_share_once(tmp_path: Path, count: int, processes: int) -> None:
    work = Square(tmp_path / "log", pause_s=0.2)
    assert do(work, count, processes) == ({i: i**2 for i in range(1, count + 1)}, [])
    assert sorted(work.calls()) == list(range(1, count + 1))
    assert len(work.processes()) == min(count, processes)
    assert str(os.getpid()) not in work.processes()


def test_a_share_whose_process_was_killed_is_done_by_another(tmp_path: Path) -> None:
    work = Square(tmp_path / "log", deadly=2, times=1)
    assert do(work, 3, 1) == ({1: 1, 2: 4, 3: 9}, [])
    assert work.calls() == [1, 2, 2, 3]
    assert len(work.processes()) == 2


def test_a_share_that_kills_every_process_costs_itself_alone(tmp_path: Path) -> None:
    work = Square(tmp_path / "log", deadly=2, times=9)
    found, faults = do(work, 3, 1)
    assert found == {1: 1, 2: None, 3: 9}
    assert faults == ["Its process ended with exit code -9, twice."]


def test_a_share_with_a_fault_is_not_tried_again_and_the_others_go_on(tmp_path: Path) -> None:
    work = Square(tmp_path / "log", refused=1)
    found, faults = do(work, 3, 1)
    assert found == {1: None, 2: 4, 3: 9}
    assert faults == ["The disk is full. Free some space."]
    assert work.calls() == [1, 2, 3]


def test_no_process_is_left_when_the_driver_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = (
        "from pathlib import Path\n"
        "from tests.features.shared_works import Square\n"
        "from wtal_features.jobs.processes import in_processes\n"
        "from wtal_features.shards import shards_of\n"
        f"work = Square(Path({str(log)!r}), pause_s=600)\n"
        "if __name__ == '__main__':\n"
        "    list(in_processes([work], shards_of(1), lambda: None))\n"
    )
    (tmp_path / "driver.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    driver = subprocess.Popen([sys.executable, tmp_path / "driver.py"], env=environment, cwd=ROOT)
    try:
        wait_for(log.exists)
        (child,) = Square(log).processes()
        assert Path(f"/proc/{child}").exists()
    finally:
        driver.kill()
        driver.wait()
    wait_for(lambda: not Path(f"/proc/{child}").exists())


def wait_for(is_so: object, seconds: float = 300) -> None:
    assert callable(is_so)
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


# One attempt -------------------------------------------------------------------------------------


def test_a_lock_that_goes_soon_is_waited_for_and_one_that_stays_is_a_fault(tmp_path: Path) -> None:
    tries = []

    def work(shard: Shard) -> str:
        tries.append(shard)
        if len(tries) < 2:
            with lock(tmp_path), lock(tmp_path):
                pass
        return "done"

    assert attempt(work, Shard(1, 1), patience_s=60).result == "done"
    assert len(tries) == 2
    tries.clear()
    assert "in use by another run" in attempt(work, Shard(1, 1), patience_s=-1).fault


def test_what_the_system_refuses_is_a_sentence(tmp_path: Path) -> None:
    def missing(shard: Shard) -> str:
        return (tmp_path / "gone").read_text()

    def huge(shard: Shard) -> str:
        raise MemoryError

    assert attempt(missing, Shard(1, 1)).fault == f"{tmp_path / 'gone'}: No such file or directory."
    assert attempt(huge, Shard(1, 1)).fault == "Out of memory."


def test_a_mistake_of_ours_is_no_fault_of_a_share() -> None:
    def wrong(shard: Shard) -> str:
        raise KeyError("x")

    with pytest.raises(KeyError):
        attempt(wrong, Shard(1, 1))


def test_without_ray_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    with pytest.raises(FeatureError, match=r'not installed. Run pip install "wtal\[ray\]"'):
        load_ray()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1"])
def test_where_no_cluster_is_one_sentence_says_so_at_once(address: str) -> None:
    class Ray:
        """Would try for minutes."""

        def is_initialized(self) -> bool:
            return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ray", Ray())
        with pytest.raises(FeatureError, match=r"no cluster answers there .*HOST:PORT"):
            list(on_ray(Square(Path("log")), shards_of(1), address, lambda: None))


# Divisions ---------------------------------------------------------------------------------------


def test_a_work_is_divided_as_wanted_but_no_share_is_empty(tmp_path: Path) -> None:
    assert divide(tmp_path / "new", 10, 4) == shards_of(4)
    assert divide(tmp_path, 3, 8) == shards_of(3)
    assert divide(tmp_path, 0, 8) == shards_of(1)
    assert divide(tmp_path, 10**6, 10**6) == shards_of(10_000)


def test_the_division_of_a_run_that_was_stopped_is_kept(tmp_path: Path) -> None:
    for name in ("2-of-5", "4-of-5", ".lock", "notes", "x-of-3"):
        (tmp_path / name).mkdir()
    assert begun(tmp_path) == [Shard(2, 5), Shard(4, 5)]
    assert divide(tmp_path, 100, 8) == shards_of(5)
    (tmp_path / "1-of-2").mkdir()  # two divisions: neither has everything
    assert divide(tmp_path, 100, 8) == shards_of(8)


# What is under way -------------------------------------------------------------------------------


def test_the_shards_together_tell_what_is_done_skipped_and_missing(tmp_path: Path) -> None:
    found = UnderWay(tmp_path, "features")
    found.add(Shard(1, 3), finished=True)
    found.add(Shard(3, 3), finished=False)
    found.done |= {"a", "e"}
    found.skipped |= {"b": "It is broken. Copy it again.", "a": "of an earlier time"}
    found.settle("abcdef")
    assert found.facts() == [
        f"{tmp_path} is not finished: 2 videos done, 1 skipped, 3 missing",
        "1 of 3 shards done; at work or stopped: 3/3; not begun: 2/3",
    ]
    assert [str(finding) for finding in found.findings()] == [
        "warning [skipped] b: It is broken. Copy it again.",
        "error [not-done] c: Its features are missing. Run --shard 2/3.",
        "error [not-done] d: Its features are missing. Run --shard 2/3.",
        "error [not-done] f: Its features are missing. Run --shard 3/3.",
    ]


def test_without_shards_the_same_command_goes_on(tmp_path: Path) -> None:
    found = UnderWay(tmp_path, "features", done={"a"})
    found.settle(["a", "b"])
    assert found.facts() == [f"{tmp_path} is not finished: 1 video done, 0 skipped, 1 missing"]
    assert "Run the same command again." in str(found.findings()[0])


def test_where_nothing_is_missing_the_last_step_is_and_the_unknown_is_said(tmp_path: Path) -> None:
    found = UnderWay(tmp_path, "features", finished=shards_of(2), done={"a"})
    found.settle(None)
    assert "an unknown number missing" in found.facts()[0]
    assert "cannot be seen from here" in str(found.findings()[0])
    found.settle(["a"])
    assert "which joins them, is to come. Run --shard 2/2 again." in str(found.findings()[0])


def test_of_two_divisions_the_fuller_one_counts(tmp_path: Path) -> None:
    found = UnderWay(tmp_path, "features", begun=[Shard(1, 2), Shard(1, 4), Shard(2, 4)])
    assert found.shards == shards_of(4)
