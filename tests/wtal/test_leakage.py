"""`wtal doctor --leakage`: cut and altered copies are found, strangers are not."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.synthetic import make_store
from wtal.cli import app
from wtal.leakage import BLOCK, SCREENED_ROWS, few_rows, nearest_rows
from wtal_features.retrieval.similarity import chamfer, described

Rows = NDArray[np.float32]
SHARED = Path(os.environ.get("WTAL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
REAL = SHARED / "data" / "ucf-vgg16"


def doctor(*words: object) -> str:
    done = CliRunner().invoke(app, ["doctor", *(str(word) for word in words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.output


def found(said: str, code: str) -> list[str]:
    return [line for line in said.splitlines() if f"[{code}]" in line]


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path]:
    """A store whose videos are long enough to be cut, and its tags."""
    store, tags, _ = make_store(tmp_path)
    for seed, path in enumerate(sorted(store.glob("*.npy"))):
        rng = np.random.default_rng(seed)
        walk = np.cumsum(rng.normal(size=(120, 16)), axis=0)  # neighbours are alike, as in a video
        np.save(
            path, (walk - walk.mean(0) + 50).astype(np.float32)
        )  # all are alike before centring
    return store, tags


def between(rows: Rows, step: float, start: float = 0.5) -> Rows:
    """Rows at places between those of the video."""
    at = np.arange(start, len(rows) - 1, step)
    low = at.astype(int)
    part = (at - low)[:, None]
    mixed: Rows = (rows[low] * (1 - part) + rows[low + 1] * part).astype(np.float32)
    return mixed


ALTERED: dict[str, Callable[[Rows], Rows]] = {
    "cut": lambda x: between(x[40:75], 1),
    "slow": lambda x: between(x, 0.5),
    "fast": lambda x: between(x, 1.9),
    "thin": lambda x: x[np.sort(np.random.default_rng(0).permutation(len(x))[:80])],
    "all": lambda x: between(x[20:90], 1.5)[::3],
}


@pytest.mark.parametrize("how", list(ALTERED))
def test_an_altered_copy_in_another_subset_is_found_with_its_place(
    data: tuple[Path, Path], how: str
) -> None:
    store, tags = data
    copy = ALTERED[how](np.load(store / "video_003.npy"))
    np.save(store / "video_017.npy", copy)
    (line,) = found(doctor(store, "--tags", tags, "--leakage"), "near-duplicate")[-1:]
    assert "video_003 (training, 76.8 s)" in line
    assert "video_017 (test, " in line
    if how == "cut":  # rows 40.5 to 73.5, of .64 s each
        low, high = (float(word) for word in line.split("about ")[1].split(" s ")[0].split(" to "))
        assert low == pytest.approx(40 * 0.64, abs=2.5)
        assert high == pytest.approx(75 * 0.64, abs=2.5)


def test_a_cut_copy_is_not_found_by_the_quick_check(data: tuple[Path, Path]) -> None:
    store, tags = data
    np.save(store / "video_017.npy", ALTERED["cut"](np.load(store / "video_003.npy")))
    assert not found(doctor(store, "--tags", tags), "near-duplicate")


def test_strangers_are_not_reported_and_the_nearest_of_them_is_told(
    data: tuple[Path, Path],
) -> None:
    store, tags = data
    said = doctor(store, "--tags", tags, "--leakage")
    assert not found(said, "near-duplicate")
    assert not found(said, "similar-videos")
    assert "search for leakage: " in said
    assert "of 18 videos in full" in said


def test_copies_in_one_subset_are_one_group_and_equal_ones_are_named_once(
    data: tuple[Path, Path],
) -> None:
    store, tags = data
    rows = np.load(store / "video_003.npy")
    for name, copy in (("video_001", rows[:80]), ("video_002", rows[30:]), ("video_004", rows)):
        np.save(store / f"{name}.npy", copy)
    said = doctor(store, "--tags", tags, "--leakage")
    (line,) = found(said, "similar-videos")
    assert "3 videos are copies or pieces of one another" in line
    assert "video_001, video_002, video_003." in line
    (equal,) = found(said, "duplicate-video")
    assert "video_003, video_004" in equal
    assert not found(said, "near-duplicate")


def test_without_subsets_copies_are_found_too(data: tuple[Path, Path]) -> None:
    store, _ = data
    np.save(store / "video_017.npy", np.load(store / "video_003.npy")[10:60])
    said = doctor(store, "--leakage")
    assert "video_003, video_017" in found(said, "similar-videos")[0]
    assert "no subsets known" in said


def test_a_few_rows_that_occur_elsewhere_are_no_copy_but_a_short_copy_is(
    data: tuple[Path, Path],
) -> None:
    store, tags = data
    np.save(store / "video_017.npy", np.load(store / "video_003.npy")[10:15])
    assert not found(doctor(store, "--tags", tags, "--leakage"), "near-duplicate")
    rows = np.load(store / "video_003.npy")[10:15]
    np.save(store / "video_003.npy", rows)
    np.save(store / "video_017.npy", rows + 0.01)
    assert found(doctor(store, "--tags", tags, "--leakage"), "near-duplicate")


def test_broken_videos_are_named_and_the_others_compared(data: tuple[Path, Path]) -> None:
    store, tags = data
    np.save(store / "video_017.npy", np.load(store / "video_003.npy")[10:60])
    (store / "video_000.npy").write_bytes(b"broken")
    said = doctor(store, "--tags", tags, "--leakage")
    assert "video_000" in said
    assert "of 17 videos in full" in said
    assert found(said, "near-duplicate")


def test_one_video_is_compared_with_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((5, 4), np.float32))
    assert "0 errors" in doctor(tmp_path, "--fps", 25, "--stride", 16, "--leakage")


def test_what_has_no_rows_to_compare_is_one_sentence(data: tuple[Path, Path]) -> None:
    store, _ = data
    said = doctor(store, "--leakage", "--headers-only")
    assert "error: --leakage reads every array; leave --headers-only away." in said
    videos = store.parent / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(b"")
    said = doctor(videos, "--leakage")
    assert f"{videos} holds videos; --leakage compares features: run `wtal extract {videos}" in said


def test_rows_are_spread_evenly_and_a_short_video_keeps_all() -> None:
    long, short = np.eye(40, dtype=np.float32), np.eye(40, dtype=np.float32)[:3]
    few = few_rows(described([("long", long), ("short", short)]))
    assert few.starts == (0, SCREENED_ROWS, SCREENED_ROWS + 3)
    assert few.frames_ND is not None
    places = few.frames_ND[:SCREENED_ROWS].argmax(1).tolist()
    assert (places[0], places[-1]) == (0, 39)
    assert set(np.diff(places)) <= {2, 3}
    assert few.frames_ND[SCREENED_ROWS:].equal(torch.from_numpy(short))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 7), (BLOCK + 3, 4)])
def test_the_nearest_rows_of_blocks_are_those_of_the_whole(n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    videos = [("a", rng.normal(size=(n, 6))), ("b", rng.normal(size=(m, 6)))]
    rows = described(videos).frames_ND
    assert rows is not None
    best_n, place_n, best_m, place_m = nearest_rows(rows[:n].numpy(), rows[n:].numpy())
    whole = rows[:n] @ rows[n:].T
    assert place_n.tolist() == whole.argmax(1).tolist()
    assert place_m.tolist() == whole.argmax(0).tolist()
    assert best_n.mean() == pytest.approx(chamfer(rows[:n], rows[n:]).item(), abs=1e-6)
    assert best_m.mean() == pytest.approx(chamfer(rows[n:], rows[:n]).item(), abs=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(
    not REAL.is_dir(), reason="the folder of real data is absent; WTAL_SHARED names it"
)
def test_no_pair_of_the_real_set_is_reported() -> None:
    said = doctor(REAL, "--tags", REAL / "tags.csv", "--leakage")
    assert "the most alike across subsets: " in said
    assert not found(said, "near-duplicate")
    assert not found(said, "similar-videos")
