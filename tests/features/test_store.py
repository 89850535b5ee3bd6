"""Opening and reading a store: streams, time base, and every fault by name."""

import json
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wtal_features import FeatureError, Timing, open_store

SaveArray = Callable[..., Path]

HEAD = {"encoder": "toy", "dim": 6, "dtype": "float32", "window": 16, "stride": 16, "fps": 25.0}


def manifest(folder: Path, **fields: object) -> None:
    (folder / "manifest.json").write_text(json.dumps({**HEAD, **fields}))


def test_a_folder_of_arrays_opens_with_fps_and_stride(tmp_path: Path, save: SaveArray) -> None:
    for video in ("b", "a"):
        save(tmp_path / f"{video}.npy", (4, 6), "float16")
    store = open_store(tmp_path, fps=25, stride=16)
    assert store.videos == ("a", "b")
    assert (store.dim, store.streams, store.length("a")) == (6, (), 4)
    assert store.read("a").dtype == np.float32
    np.testing.assert_array_equal(store.read("a"), np.load(tmp_path / "a.npy"))
    assert store.timing("a") == Timing(fps=25, stride_frames=16)
    assert "a" in store
    assert "c" not in store


def test_the_time_base_is_never_guessed(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "a.npy")
    for fps, stride in ((None, None), (25, None), (None, 16)):
        with pytest.raises(FeatureError, match="--fps and --stride"):
            open_store(tmp_path, fps=fps, stride=stride)


def test_a_folder_beside_a_manifest_points_to_it(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "features" / "a.npy")
    manifest(tmp_path)
    assert open_store(tmp_path).videos == ("a",)
    with pytest.raises(FeatureError, match=r"manifest\.json exists: open that folder"):
        open_store(tmp_path / "features")


def test_snippets_lie_where_the_contract_says() -> None:
    timing = Timing(fps=25.0, stride_frames=16)
    assert timing.seconds_per_snippet == 0.64
    assert timing.span_s(0) == (0.0, 0.64)
    assert timing.span_s(10) == (6.4, 7.04)


def test_a_videos_own_fps_wins_over_the_stores(tmp_path: Path, save: SaveArray) -> None:
    for video in "abc":
        save(tmp_path / f"{video}.npy")
    videos = {"a": {"fps": 30.0, "frames": 60}, "b": {"frames": 50}}
    manifest(tmp_path, videos=videos)
    store = open_store(tmp_path)
    assert store.timing("a") == Timing(30.0, 16, 16, 2.0)
    assert store.timing("b") == Timing(25.0, 16, 16, 2.0)
    assert store.timing("c") == Timing(25.0, 16, 16, None)


def test_flags_that_contradict_the_manifest_are_refused(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "a.npy")
    manifest(tmp_path)
    assert open_store(tmp_path, fps=25, stride=16).timing("a").fps == 25
    with pytest.raises(FeatureError, match=r"says fps 25\.0, but fps 30 was asked for"):
        open_store(tmp_path, fps=30)


def test_a_video_without_time_base_is_left_out_and_named(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "a.npy")
    save(tmp_path / "b.npy")
    manifest(tmp_path, fps=None, videos={"a": {"fps": 25.0}})
    store = open_store(tmp_path)
    assert store.videos == ("a",)
    assert [(f.code, f.where) for f in store.faults()] == [("time-base", "b")]
    assert open_store(tmp_path, fps=24).timing("b").fps == 24


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"fps": 0}, "fps is 0; expected a number above zero"),
        ({"fps": "25"}, "fps is '25'"),
        ({"fps": True}, "fps is True"),
        ({"stride": -1}, "stride is -1"),
        ({"dim": 6.5}, "dim is 6.5"),
        ({"dim": 7}, "expected .T, 7."),
        ({"videos": []}, "videos is list"),
        ({"encoder": 1}, "encoder is 1"),
        ({"videos": {"a": {"fps": -1}}}, "video 'a': fps is -1"),
        ({"videos": {"a": 25}}, "video 'a': the entry is int"),
    ],
)
def test_a_faulty_manifest_is_named_field_by_field(
    tmp_path: Path, save: SaveArray, fields: dict[str, object], reason: str
) -> None:
    save(tmp_path / "a.npy")
    manifest(tmp_path, **fields)
    with pytest.raises(FeatureError, match=reason):  # noqa: PT012 (either may tell)
        store = open_store(tmp_path)
        store.read("a")
        store.timing("a")


def test_streams_are_joined_rgb_first_or_as_asked(tmp_path: Path, save: SaveArray) -> None:
    parts = {s: np.load(save(tmp_path / s / "a.npy", (4, D))) for s, D in STREAMS.items()}
    store = open_store(tmp_path, fps=25, stride=16)
    assert (store.streams, store.dim) == (("rgb", "flow", "audio"), 9)
    joined = np.concatenate([parts["rgb"], parts["flow"], parts["audio"]], axis=1)
    np.testing.assert_array_equal(store.read("a"), joined)
    store = open_store(tmp_path, streams=("flow", "rgb"), fps=25, stride=16)
    assert store.dim == 5
    np.testing.assert_array_equal(
        store.read("a"), np.concatenate([parts["flow"], parts["rgb"]], axis=1)
    )
    with pytest.raises(FeatureError, match="no stream 'depth'"):
        open_store(tmp_path, streams=("depth",), fps=25, stride=16)


STREAMS = {"audio": 4, "flow": 2, "rgb": 3}


def test_a_video_without_partner_is_left_out_and_named(tmp_path: Path, save: SaveArray) -> None:
    for name in ("rgb/a", "rgb/b", "flow/a"):
        save(tmp_path / f"{name}.npy")
    store = open_store(tmp_path, fps=25, stride=16)
    assert store.videos == ("a",)
    (finding,) = store.faults()
    assert (finding.code, finding.where) == ("no-partner", "b")
    assert "flow/" in finding.message


def test_streams_of_different_length_are_refused(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "rgb" / "a.npy", (4, 6))
    save(tmp_path / "flow" / "a.npy", (5, 6))
    store = open_store(tmp_path, fps=25, stride=16)
    with pytest.raises(FeatureError, match=r"differ in length: .*has 4, .*has 5 snippets"):
        store.read("a")


def test_a_transposed_array_is_recognised(tmp_path: Path, save: SaveArray) -> None:
    for video, shape in {"a": (311, 8), "b": (20, 8), "c": (8, 311)}.items():
        save(tmp_path / f"{video}.npy", shape)
    store = open_store(tmp_path, fps=25, stride=16)
    with pytest.raises(FeatureError, match=r"shape \(8, 311\); expected \(T, 8\)\. It looks trans"):
        store.read("c")
    assert store.read("a").shape == (311, 8)


def test_a_store_of_transposed_arrays_is_recognised(tmp_path: Path, save: SaveArray) -> None:
    for video, length in {"a": 311, "b": 20, "c": 77}.items():
        save(tmp_path / f"{video}.npy", (8, length))
    with pytest.raises(FeatureError, match=r"all begin with 8.*look transposed"):
        open_store(tmp_path, fps=25, stride=16)


def test_another_dimension_is_named(tmp_path: Path, save: SaveArray) -> None:
    for video, D in {"a": 6, "b": 6, "c": 7}.items():
        save(tmp_path / f"{video}.npy", (3, D))
    with pytest.raises(FeatureError, match=r"expected \(T, 6\).*another encoder"):
        open_store(tmp_path, fps=25, stride=16).length("c")


def test_one_snippet_is_a_video(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "a.npy", (1, 6))
    assert open_store(tmp_path, fps=25, stride=16).read("a").shape == (1, 6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_named_with_their_place(
    tmp_path: Path, save: SaveArray, bad: float
) -> None:
    array = np.zeros((4, 6), dtype=np.float16)
    array[2, 3] = bad
    save(tmp_path / "a.npy", array)
    with pytest.raises(FeatureError, match=r"1 values .* snippet 2, dimension 3"):
        open_store(tmp_path, fps=25, stride=16).read("a")


def test_an_unknown_video_is_named(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "a.npy")
    with pytest.raises(FeatureError, match=r"no features of the video '\.\./a'"):
        open_store(tmp_path, fps=25, stride=16).read("../a")


def test_hidden_files_are_no_videos(tmp_path: Path, save: SaveArray) -> None:
    for name in ("a", "._a", ".wtal-tmp-1"):
        save(tmp_path / f"{name}.npy")
    assert open_store(tmp_path, fps=25, stride=16).videos == ("a",)


def test_names_in_the_form_of_macos_are_found_by_the_names_people_type(
    tmp_path: Path, save: SaveArray
) -> None:
    save(tmp_path / f"{unicodedata.normalize('NFD', 'café')}.npy")
    store = open_store(tmp_path, fps=25, stride=16)
    assert store.videos == ("café",)
    assert store.read("café").shape == (4, 6)
    save(tmp_path / "café.npy")
    assert [f.code for f in open_store(tmp_path, fps=25, stride=16).faults()] == ["name"]


def test_folders_that_are_no_store_are_refused_with_the_cure_that_fits(
    tmp_path: Path, save: SaveArray
) -> None:
    with pytest.raises(FeatureError, match="does not exist"):
        open_store(tmp_path / "missing", fps=25, stride=16)
    with pytest.raises(FeatureError, match="holds no arrays"):
        open_store(tmp_path, fps=25, stride=16)
    save(tmp_path / "train" / "rgb" / "a.npy")
    with pytest.raises(FeatureError, match="BaS-Net layout; wtal convert"):
        open_store(tmp_path, fps=25, stride=16)
    save(tmp_path / "test" / "a.npy")
    with pytest.raises(FeatureError, match="BaS-Net layout; wtal convert"):
        open_store(tmp_path, fps=25, stride=16)


def test_arrays_beside_stream_folders_are_ambiguous(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "a.npy")
    save(tmp_path / "rgb" / "a.npy")
    with pytest.raises(FeatureError, match="arrays and folders of arrays"):
        open_store(tmp_path, fps=25, stride=16)


def test_streams_without_a_common_video_are_refused(tmp_path: Path, save: SaveArray) -> None:
    save(tmp_path / "rgb" / "a.npy")
    save(tmp_path / "flow" / "b.npy")
    with pytest.raises(FeatureError, match="no video with an array in every stream"):
        open_store(tmp_path, fps=25, stride=16)


def test_listing_does_not_touch_the_arrays_of_a_large_store(
    tmp_path: Path, save: SaveArray
) -> None:
    first = save(tmp_path / "00000.npy", (1, 2))
    for index in range(1, 5000):
        (tmp_path / f"{index:05}.npy").hardlink_to(first)
    start = time.perf_counter()
    store = open_store(tmp_path, fps=25, stride=16)
    # 0.05 s here; a visit of every file takes ten times as long.
    assert time.perf_counter() - start < 1.0
    assert len(store) == 5000
