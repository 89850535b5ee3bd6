"""What `Quality` says of the values of a store: each corruption is found, sound data is not."""

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from wtal_features import FeatureStore, Finding, check_store, open_store
from wtal_features.__main__ import main
from wtal_features.quality import Quality, manifest_subsets

Floats = npt.NDArray[np.float32]
DIM = 24


def sound(videos: int = 60, dim: int = DIM, seed: int = 0) -> dict[str, Floats]:
    """Videos of one encoder: a third are test, dimensions differ in spread as after a PCA."""
    rng = np.random.default_rng(seed)
    spread_D = 4 / np.arange(1, dim + 1)
    arrays = {}
    for i in range(videos):
        T = int(rng.integers(20, 60))
        own_D = rng.normal(size=dim) * spread_D  # a video's snippets resemble each other
        x_TD = own_D + rng.normal(size=(T, dim)) * spread_D
        arrays[f"{'test' if i % 3 == 2 else 'train'}_{i:03d}"] = x_TD.astype(np.float32)
    return arrays


def write(folder: Path, arrays: Mapping[str, Floats], fps: float = 25, stride: int = 16) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for video, x_TD in arrays.items():
        np.save(folder / f"{video}.npy", x_TD)
    videos = {video: {"subset": video.split("_")[0]} for video in arrays}
    head = {"fps": fps, "stride": stride, "videos": videos}
    (folder / "manifest.json").write_text(json.dumps(head))
    return folder


def judged(store: FeatureStore) -> tuple[list[Finding], list[str]]:
    quality = Quality(store)
    return check_store(store, watch=(quality,)), quality.lines()


def judge(folder: Path, arrays: Mapping[str, Floats], **time: int) -> tuple[list[Finding], str]:
    findings, lines = judged(open_store(write(folder, arrays, **time)))
    return findings, "\n".join(lines)


def changed(
    arrays: Mapping[str, Floats], which: str, change: Callable[[Floats], Floats]
) -> dict[str, Floats]:
    return {
        video: np.ascontiguousarray(change(x_TD), np.float32) if which in video else x_TD
        for video, x_TD in arrays.items()
    }


def normalised(x_TD: Floats) -> Floats:
    unit: Floats = x_TD / np.linalg.norm(x_TD, axis=1, keepdims=True)
    return unit


def projected(x_TD: Floats) -> Floats:
    dim = x_TD.shape[1]
    other: Floats = x_TD @ np.random.default_rng(9).normal(size=(dim, dim)) / np.sqrt(dim)
    return other


CHANGES: dict[str, Callable[[Floats], Floats]] = {
    "doubled": lambda x_TD: x_TD * 2,
    "normalised": normalised,
    "projected": projected,
}


def test_sound_stores_have_no_findings_and_their_figures_are_told(tmp_path: Path) -> None:
    for seed in range(5):
        findings, said = judge(tmp_path / str(seed), sound(seed=seed))
        assert findings == []
    for part in (
        f"0 of {DIM} dimensions are always zero, 0 more never change",
        "norm of a snippet: median ",
        "norm of a video: spread ",
        "test against train: norm x",
        "repeated snippets: 0.0%",
    ):
        assert part in said


@pytest.mark.parametrize("change", CHANGES)
def test_a_store_that_is_changed_throughout_is_sound_too(tmp_path: Path, change: str) -> None:
    assert judge(tmp_path, changed(sound(), "", CHANGES[change]))[0] == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_subset_of_another_extractor_is_one_finding(tmp_path: Path, change: str) -> None:
    (finding,), _ = judge(tmp_path, changed(sound(), "test", CHANGES[change]))
    assert (finding.code, finding.severity) == ("subset-drift", "warning")
    assert finding.message.startswith("test against train: norm x")


def test_features_above_zero_of_another_network_show_in_their_mean(tmp_path: Path) -> None:
    # As many networks end in ReLU: every dimension has its own mean, and spreads are much alike.
    mean_D = np.random.default_rng(1).random(DIM, np.float32) * 3
    ours = changed(sound(), "", lambda x_TD: (1 + mean_D + x_TD / 20).astype(np.float32))
    assert judge(tmp_path / "ours", ours)[0] == []
    theirs = changed(ours, "test", lambda x_TD: x_TD[:, ::-1])
    (finding,), _ = judge(tmp_path / "theirs", theirs)
    assert finding.code == "subset-drift"


def test_subsets_that_are_too_small_are_not_compared(tmp_path: Path) -> None:
    few = changed(sound(29), "test", CHANGES["doubled"])
    assert sum("test" in video for video in few) == 9
    findings, said = judge(tmp_path / "9", few)
    assert "against" not in said
    assert [finding.code for finding in findings] == []
    ten = changed(sound(30), "test", CHANGES["doubled"])
    assert [finding.code for finding in judge(tmp_path / "10", ten)[0]] == ["subset-drift"]


def test_more_subsets_than_a_split_has_are_taken_for_none(tmp_path: Path) -> None:
    arrays = changed(sound(), "test", CHANGES["doubled"])
    store = open_store(write(tmp_path, arrays))
    each_its_own = {video: video for video in arrays}
    for subsets, shift in ((each_its_own, False), (manifest_subsets(store), True)):
        quality = Quality(store, subsets)
        check_store(store, watch=(quality,))
        assert any("against" in line for line in quality.lines()) is shift


@pytest.mark.parametrize("change", [CHANGES["doubled"], normalised, lambda x_TD: x_TD / 3])
def test_single_videos_of_another_norm_are_named_with_their_factor(
    tmp_path: Path, change: Callable[[Floats], Floats]
) -> None:
    arrays = changed(sound(), "", lambda x_TD: x_TD + 9)  # norms within a tenth
    arrays = changed(arrays, "_00", change)
    (finding,), said = judge(tmp_path, arrays)
    assert finding.code == "norm-outlier"
    assert "The norms of 10 of 60 videos" in finding.message
    assert finding.message.endswith("and 5 more.")
    first, factor = finding.message.split(": ")[1].split(",")[0].split(" (x")
    subset = first.split("_")[0]
    norms = {v: np.median(np.linalg.norm(x, axis=1)) for v, x in arrays.items() if subset in v}
    expected = norms[first] / np.median(list(norms.values()))
    assert float(factor.strip(")")) == pytest.approx(expected, rel=0.01)
    assert f"furthest x{expected:.2f} ({first})" in said


@pytest.mark.parametrize(("end", "found"), [(0.75, True), (0.95, False), (1.25, True)])
def test_a_norm_that_changes_along_the_videos_is_found(
    tmp_path: Path, end: float, found: bool
) -> None:
    def change(x_TD: Floats) -> Floats:
        last_T = np.arange(len(x_TD)) >= len(x_TD) - len(x_TD) // 5
        return np.where(last_T[:, None], np.float32(end), 1) * np.sign(x_TD)

    findings, said = judge(tmp_path, changed(sound(), "", change))
    assert [finding.code for finding in findings] == ["norm-drift"] * found
    assert f"from first to last fifth {end - 1:+.1%}" in said
    assert not found or f"changes by {end - 1:+.0%}" in findings[0].message


def test_videos_without_fifths_say_nothing_of_their_ends(tmp_path: Path) -> None:
    gain_T1 = np.array([[1], [1], [1], [9]], np.float32)
    short = changed(sound(), "", lambda x_TD: x_TD[:4] * gain_T1)
    findings, said = judge(tmp_path, short)
    assert findings == []
    assert "fifth" not in said


def test_dead_dimensions_are_zero_or_of_one_value(tmp_path: Path) -> None:
    def kill(x_TD: Floats) -> Floats:
        x_TD = x_TD.copy()
        x_TD[:, [3, 7]], x_TD[:, 5] = 0, 0.1
        x_TD[:, 6] = 1000 + x_TD[:, 6]  # large and lively
        return x_TD

    (finding,), said = judge(tmp_path, changed(sound(), "", kill))
    assert finding.code == "dead-dimensions"
    words = f"2 of {DIM} dimensions are zero in every video, 1 more never change; the first is 3."
    assert finding.message == words
    assert f"2 of {DIM} dimensions are always zero, 1 more never change" in said


def test_a_dimension_that_moves_in_one_video_only_is_alive(tmp_path: Path) -> None:
    arrays = changed(sound(), "", lambda x_TD: np.where(np.arange(DIM) == 3, 2, x_TD))
    arrays["train_000"][0, 3] = 2.5
    assert judge(tmp_path, arrays)[0] == []


def test_one_snippet_alone_tells_nothing_of_constancy(tmp_path: Path) -> None:
    findings, said = judge(tmp_path, {"test_0": np.ones((1, 3), np.float32)})
    assert findings == []
    assert "1 snippets: 0 of 3 dimensions" in said
    assert "fifth" not in said


def test_each_stream_is_judged_on_its_own(tmp_path: Path) -> None:
    for video, x_TD in sound().items():
        for stream, values in (("rgb", x_TD), ("flow", x_TD[:, 4:] * 0), ("audio", x_TD[:, :4])):
            (tmp_path / stream).mkdir(exist_ok=True)
            np.save(tmp_path / stream / f"{video}.npy", np.ascontiguousarray(values))
    findings, lines = judged(open_store(tmp_path, fps=25, stride=16))
    (finding,) = findings
    assert finding.where == str(tmp_path / "flow")
    assert f"{DIM - 4} of {DIM - 4} dimensions are zero" in finding.message
    assert sum(line.startswith("rgb: ") for line in lines) == 3
    assert sum(line.startswith("flow: ") for line in lines) == 1


def held(x_TD: Floats, times: int) -> Floats:
    return x_TD[np.arange(len(x_TD)) // times]


def test_a_source_of_ten_fps_on_a_grid_of_25_is_not_frozen(tmp_path: Path) -> None:
    def ten_fps(x_TD: Floats) -> Floats:
        return x_TD[np.arange(2 * len(x_TD)) * 10 // 25]

    findings, said = judge(tmp_path, changed(sound(), "", ten_fps), stride=1)
    assert findings == []
    assert "repeated snippets: 59.8%" in said  # three of five frames
    assert "the longest run 0.1 s" in said
    assert "0 videos stand still" in said


def test_frozen_videos_are_named(tmp_path: Path) -> None:
    def stop(share: float) -> Callable[[Floats], Floats]:
        return lambda x_TD: x_TD[np.minimum(np.arange(len(x_TD)), int(share * len(x_TD)))]

    arrays = changed(changed(sound(), "_001", stop(0.4)), "_004", stop(0.6))
    (finding,), said = judge(tmp_path, arrays)
    assert finding.code == "frozen"
    assert "1 of 60 videos" in finding.message
    assert "train_001." in finding.message
    assert "2 videos stand still for 2 s or more" in said


@pytest.mark.parametrize(
    ("times", "stride", "frozen"),
    # Snippets of 0.64 s: two are 1.3 s, four are 2.6 s. Snippets of 4 s: a pair may be chance.
    [(2, 16, False), (4, 16, True), (2, 100, False), (3, 100, True)],
)
def test_standing_still_is_two_seconds_and_three_snippets(
    tmp_path: Path, times: int, stride: int, frozen: bool
) -> None:
    arrays = changed(sound(), "", lambda x_TD: held(x_TD, times))
    findings, _ = judge(tmp_path, arrays, stride=stride)
    assert [finding.code for finding in findings] == ["frozen"] * frozen


def test_the_norms_told_are_the_percentiles_within_half_a_percent(tmp_path: Path) -> None:
    arrays = sound()
    norms = np.concatenate([np.linalg.norm(x_TD, axis=1) for x_TD in arrays.values()])
    arrays["test_zero"] = np.concatenate([np.zeros((2, DIM)), np.eye(3, DIM)]).astype(np.float32)
    norms = np.concatenate([norms, np.ones(3)])
    _, said = judge(tmp_path, arrays)
    (line,) = [line for line in said.splitlines() if line.startswith("norm of a snippet")]
    words = line.replace(",", "").split()
    told = [float(words[i]) for i in (words.index("median") + 1, -6, -4)]
    np.testing.assert_allclose(told, np.percentile(norms, [50, 5, 95]), rtol=0.01)
    assert line.endswith(", 2 are zero")


def test_values_at_the_ends_of_float32_are_counted(tmp_path: Path) -> None:
    for size in (1e-38, 1e38):
        arrays = {video: np.float32(size / 30) * x_TD for video, x_TD in sound().items()}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            findings, said = judge(tmp_path / str(size), arrays)
        assert findings == []
        assert ("e-39" if size < 1 else "e+37") in said


def test_the_order_of_the_videos_does_not_matter(tmp_path: Path) -> None:
    arrays = changed(sound(), "_004", CHANGES["doubled"])
    store = open_store(write(tmp_path, arrays))
    forward, backward = Quality(store), Quality(store)
    for video in store:
        forward.add(video, store.read(video))
    for video in reversed(store.videos):
        backward.add(video, store.read(video))
    assert forward.findings() == backward.findings()
    assert forward.lines() == backward.lines()


def test_subsets_come_from_the_entries_of_the_manifest(tmp_path: Path) -> None:
    path = write(tmp_path, sound(4))
    fields = json.loads((path / "manifest.json").read_text())
    fields["videos"]["train_000"]["subset"] = 3
    fields["videos"]["train_001"]["subset"] = ""
    del fields["videos"]["train_003"]
    (path / "manifest.json").write_text(json.dumps(fields))
    expected = {"test_002": "test", "train_000": None, "train_001": None, "train_003": None}
    assert manifest_subsets(open_store(path)) == expected


def test_nothing_is_said_of_a_store_without_a_sound_array(tmp_path: Path) -> None:
    findings, said = judge(tmp_path, {"test_0": np.full((4, 2), np.nan, np.float32)})
    assert [finding.code for finding in findings] == ["nan"]
    assert said == ""


def test_check_on_the_command_line_prints_the_figures_of_the_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, changed(sound(), "test", CHANGES["doubled"]))
    assert main(["check", str(tmp_path)]) == 0
    assert "norm of a snippet" not in capsys.readouterr().out
    assert main(["check", str(tmp_path), "--values"]) == 0
    said = capsys.readouterr().out
    assert "norm of a snippet" in said
    assert "warning [subset-drift]" in said
    assert "0 errors, 1 warning" in said
