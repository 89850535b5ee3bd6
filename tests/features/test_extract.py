"""Videos in, a store out: what is in it, when it is done again, and what happens on the way."""

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.features.in_process import decode_here
from tests.features.videos import number_of, numbered, panned, write_video
from wtal_features import FeatureError, FeatureStore, Finding, check_store, extract, open_store
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.catalog import EncoderOptions, load_encoder
from wtal_features.encoders.encoder import Encoder
from wtal_features.encoders.histograms import ColourHistogram, MotionHistogram, Null
from wtal_features.extraction import ExtractionReport, ExtractSettings, MotionSettings, run
from wtal_features.video.limits import Limits
from wtal_features.video.pool import DecoderPool
from wtal_features.writer import JOURNAL, Rows

torch.set_num_threads(1)

# Grid frames at 25 fps.
FRAMES = {"one": 1, "short": 5, "exact": 16, "odd": 47, "ntsc": 50, "long": 100}
SNIPPETS = {"one": 1, "short": 1, "exact": 1, "odd": 2, "ntsc": 3, "long": 6}
FLOAT32 = ExtractSettings(dtype="float32")
VECTORS = ExtractSettings(motion=MotionSettings("mv"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One frame, less than a window, a window, an odd number, 29.97 fps, and some seconds."""
    root = tmp_path_factory.mktemp("videos")
    for folder in ("test", "training"):
        (root / folder).mkdir()
    write_video(root / "one.mp4", panned(1, 64, 48))
    write_video(root / "short.mp4", panned(5, 64, 48, seed=1))
    write_video(root / "exact.mp4", panned(16, 64, 48, seed=2))
    write_video(root / "training" / "odd.mkv", panned(47, 64, 48, seed=3))
    write_video(root / "ntsc.mp4", panned(60, 64, 48, seed=4), fps=Fraction(30000, 1001))
    write_video(root / "test" / "long.mp4", panned(100, 64, 48, seed=5))
    return root


@pytest.fixture
def some(videos: Path, tmp_path: Path) -> Path:
    """A folder of three, to be changed."""
    folder = tmp_path / "some"
    folder.mkdir()
    for name in ("short.mp4", "exact.mp4", "training/odd.mkv"):
        (folder / Path(name).name).write_bytes((videos / name).read_bytes())
    return folder


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Decode in this process; the paths of the videos that were decoded."""
    return decode_here(monkeypatch)


@dataclass
class Toy:
    """Any function of a clip (n, S, S, 3) -> (T', D), as an encoder; nothing is resized."""

    positions: Callable[[Tensor], Tensor]
    dim: int = 1
    clip: ClipSpec = field(default_factory=lambda: ClipSpec(16, 1, "rgb", Preprocess(64, 64)))
    any_length: bool = True
    name: str = "toy"

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        return self.encode_dense(clips_BnHWC).mean(dim=1)

    def encode_dense(self, clips_BnHWC: Tensor) -> Tensor:
        return torch.stack([self.positions(clip) for clip in clips_BnHWC]).float()

    def describe(self) -> Mapping[str, object]:
        return {"name": self.name, "dim": self.dim, "clip": self.clip.describe()}

    def to(self, device: torch.device) -> "Toy":
        return self


def read_numbers(clip: Tensor) -> Tensor:
    """(n, 1): the number that each frame says."""
    return torch.tensor([[float(number_of(frame.numpy()))] for frame in clip])


def brightness(clip: Tensor) -> Tensor:
    return clip.float().mean(dim=(1, 2, 3))[:, None]


def filled(path: Path, *values: int, fps: int = 25) -> Path:
    """A video of plain gray frames."""
    return write_video(path, [np.full((64, 64, 3), v, np.uint8) for v in values], fps=fps)


def arrays(store: Path) -> dict[str, bytes]:
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in store.rglob("*.npy")
        if not path.name.startswith(".")
    }


def manifest(store: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((store / "manifest.json").read_text())
    return fields


def times(store: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in store.rglob("*.npy")}


def environment() -> dict[str, str]:
    """For a process that finds what this one finds."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def errors_of(store: FeatureStore) -> list[Finding]:
    return [f for f in check_store(store, values=True) if f.severity == "error"]


def temporaries(store: Path) -> list[Path]:
    return list(store.rglob(".wtal-tmp-*"))


def reasons(report: ExtractionReport) -> dict[str, str]:
    return {finding.where: finding.code for finding in report.skipped}


# What is in the store ----------------------------------------------------------------------------


def test_a_video_has_its_snippets_its_times_and_its_origin(videos: Path, tmp_path: Path) -> None:
    report = extract(videos, tmp_path / "s", ColourHistogram())
    assert report.written == sorted(FRAMES)
    assert (report.skipped, report.unchanged, report.notes) == ([], [], [])
    assert report.snippets == sum(SNIPPETS.values())
    store = open_store(tmp_path / "s")
    assert {video: store.length(video) for video in store.videos} == SNIPPETS
    assert errors_of(store) == []
    fields = manifest(tmp_path / "s")
    assert {video: entry["frames"] for video, entry in fields["videos"].items()} == FRAMES
    assert {v: e.get("subset") for v, e in fields["videos"].items() if "subset" in e} == {
        "long": "test",
        "odd": "training",
    }
    entry = fields["videos"]["ntsc"]
    assert entry["duration"] == pytest.approx(60 * 1001 / 30000)
    assert entry["source_fps"] == pytest.approx(29.97, abs=0.001)
    assert (entry["source_frames"], entry["fps"], entry["codec"]) == (60, 25.0, "h264")
    assert (entry["width"], entry["height"], entry["file"]) == (64, 48, "ntsc.mp4")
    assert fields["videos"]["odd"]["file"] == "training/odd.mkv"


def test_the_manifest_says_all_that_decides_the_features(videos: Path, tmp_path: Path) -> None:
    extract(videos / "one.mp4", tmp_path / "s", Null(), ExtractSettings(stride=8, batch=3))
    fields = manifest(tmp_path / "s")
    assert (fields["encoder"], fields["stride"], fields["window"]) == ("null", 8, 16)
    assert (fields["fps"], fields["dim"], fields["dtype"]) == (25.0, 3, "float16")
    assert fields["encoders"] == json.loads(json.dumps(Null().describe()))
    assert fields["extraction"] == {"grid_fps": "25", "mode": "window", "dtype": "float16"}
    (made_with,) = fields["made_with"]
    assert made_with["batch"] == "3"
    assert re.fullmatch(r"cpu, \w+, threads: 1", made_with["device"])
    assert made_with["torch"] == torch.__version__
    assert made_with["av"] == av.__version__
    assert made_with["libavcodec"].count(".") == 2


@pytest.mark.parametrize("name", ["null", "r2plus1d26"])
def test_a_store_is_the_one_made_video_by_video_to_the_bit(
    videos: Path, tmp_path: Path, name: str
) -> None:
    options = EncoderOptions(width=0.125, size=16) if name != "null" else EncoderOptions()
    encoder, _ = load_encoder(name, options)
    extract(videos, tmp_path / "all", encoder)
    for path in (path for path in videos.rglob("*") if path.is_file()):
        extract(path, tmp_path / "each", encoder)
    assert arrays(tmp_path / "each") == arrays(tmp_path / "all")
    assert manifest(tmp_path / "each").keys() == manifest(tmp_path / "all").keys()
    assert open_store(tmp_path / "all").read("long").any(axis=1).all()


@pytest.mark.parametrize(("n", "r", "stride"), [(16, 1, 16), (4, 4, 16), (32, 1, 16), (3, 2, 5)])
def test_a_window_is_centred_on_its_snippet_and_repeats_the_edges(
    tmp_path: Path, n: int, r: int, stride: int
) -> None:
    write_video(tmp_path / "v.mp4", numbered(47, 64, 64))
    toy = Toy(lambda clip: read_numbers(clip).T, n, ClipSpec(n, r, "rgb", Preprocess(64, 64)))
    extract(tmp_path / "v.mp4", tmp_path / "s", toy, ExtractSettings(stride=stride))
    span = (n - 1) * r + 1
    expected = [
        [min(max(math.floor(t * stride + stride / 2 - span / 2) + m * r, 0), 46) for m in range(n)]
        for t in range(47 // stride)
    ]
    assert open_store(tmp_path / "s").read("v").tolist() == expected


@pytest.mark.parametrize(
    ("fps", "N"), [("29.97", 60), ("30000/1001", 60), ("10", 20), ("59.94", 120), ("0.1", 1)]
)
def test_the_grid_has_the_rate_that_was_asked_for(
    videos: Path, tmp_path: Path, fps: str, N: int
) -> None:
    settings = ExtractSettings(fps=Fraction(fps))
    extract(videos / "ntsc.mp4", tmp_path / "s", ColourHistogram(), settings)
    assert manifest(tmp_path / "s")["videos"]["ntsc"]["frames"] == N
    assert manifest(tmp_path / "s")["extraction"]["grid_fps"] == str(Fraction(fps))
    store = open_store(tmp_path / "s")
    assert store.length("ntsc") == max(1, N // 16)
    assert store.timing("ntsc").fps == float(Fraction(fps))
    assert errors_of(store) == []


@pytest.mark.parametrize("motion", ["dis", "farneback", "mv"])
def test_two_encoders_make_two_streams_of_one_length(
    videos: Path, tmp_path: Path, motion: Any
) -> None:
    if motion != "mv":
        pytest.importorskip("cv2", reason="needs wtal[flow]")
    settings = ExtractSettings(motion=MotionSettings(motion))
    both: dict[str, Encoder] = {"rgb": ColourHistogram(), "flow": MotionHistogram()}
    report = extract(videos, tmp_path / "both", both, settings)
    assert reasons(report) == {}
    store = open_store(tmp_path / "both")
    assert (store.streams, store.dim) == (("rgb", "flow"), 64 + 36)
    assert {video: store.length(video) for video in store.videos} == SNIPPETS
    extract(videos, tmp_path / "alone", ColourHistogram())
    found = {name.removeprefix("rgb/"): data for name, data in arrays(tmp_path / "both").items()}
    assert {name: found[name] for name in arrays(tmp_path / "alone")} == arrays(tmp_path / "alone")
    # The camera pans to the right: what it sees moves to the left.
    bins = store.read("long")[:, 64:].reshape(-1, 4, 9).mean(axis=(0, 1))
    assert bins[:8].argmax() == 4
    fields = manifest(tmp_path / "both")
    assert fields["extraction"]["motion"]["source"] == motion
    assert fields["encoder"] == "colour-histogram + motion-histogram"
    assert set(fields["encoders"]) == {"rgb", "flow"}
    assert fields["dims"] == [64, 36]


def test_colour_alone_says_nothing_of_motion(videos: Path, tmp_path: Path) -> None:
    extract(videos / "one.mp4", tmp_path / "s", Null(), VECTORS)
    assert "motion" not in manifest(tmp_path / "s")["extraction"]
    extract(videos / "one.mp4", tmp_path / "s", Null())  # so another source changes nothing


def test_motion_is_the_same_with_a_cache_and_without(videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs wtal[flow]")
    kept = ExtractSettings(motion=MotionSettings(cache=str(tmp_path / "cache")))
    extract(videos, tmp_path / "a", MotionHistogram())
    extract(videos, tmp_path / "b", MotionHistogram(), kept)
    extract(videos, tmp_path / "c", MotionHistogram(), kept)
    assert len(list((tmp_path / "cache").glob("*.motion"))) == len(FRAMES)
    assert arrays(tmp_path / "a") == arrays(tmp_path / "b") == arrays(tmp_path / "c")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_arrays_have_the_dtype_that_was_asked_for(videos: Path, tmp_path: Path, dtype: Any) -> None:
    extract(videos / "short.mp4", tmp_path / "s", Null(), ExtractSettings(dtype=dtype))
    assert np.load(tmp_path / "s" / "short.npy").dtype == dtype


def test_equal_seeds_of_an_untrained_network_give_equal_stores_that_are_not_zero(
    videos: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        options = EncoderOptions(width=0.125, size=16, seed=seed)
        encoder, _ = load_encoder("r3d26", options)
        extract(videos / "short.mp4", tmp_path / name, encoder)
    assert arrays(tmp_path / "a") == arrays(tmp_path / "b") != arrays(tmp_path / "c")
    assert open_store(tmp_path / "a").read("short").any()


# Dense -------------------------------------------------------------------------------------------


DENSE = ExtractSettings(mode="dense", dtype="float32")


@pytest.mark.parametrize("frames", [1, 15, 16, 47, 64, 65, 200])
def test_dense_snippets_average_the_frames_that_lie_in_them(tmp_path: Path, frames: int) -> None:
    write_video(tmp_path / "v.mp4", numbered(frames, 64, 64))
    toy = Toy(read_numbers)
    extract(tmp_path / "v.mp4", tmp_path / "s", toy, DENSE)
    expected = [
        np.mean([min(k, frames - 1) for k in range(16 * t, 16 * t + 16)])
        for t in range(max(1, frames // 16))
    ]
    np.testing.assert_allclose(open_store(tmp_path / "s").read("v")[:, 0], expected)


@pytest.mark.parametrize("any_length", [True, False])
@pytest.mark.parametrize("n", [8, 16, 32])
def test_a_constant_video_is_the_same_in_both_modes(
    tmp_path: Path, n: int, any_length: bool
) -> None:
    filled(tmp_path / "v.mp4", *[77] * 150)
    toy = Toy(brightness, clip=ClipSpec(n, 2, "rgb", Preprocess(64, 64)), any_length=any_length)
    extract(tmp_path / "v.mp4", tmp_path / "window", toy, FLOAT32)
    extract(tmp_path / "v.mp4", tmp_path / "dense", toy, DENSE)
    window, dense = (open_store(tmp_path / mode).read("v") for mode in ("window", "dense"))
    assert window.shape == dense.shape == (9, 1)
    np.testing.assert_allclose(dense, window, rtol=1e-6)


def test_dense_mode_sees_few_long_clips_where_the_encoder_takes_them(tmp_path: Path) -> None:
    filled(tmp_path / "v.mp4", *range(0, 200))
    clips: list[tuple[int, ...]] = []

    def noted(clip: Tensor) -> Tensor:
        clips.append(tuple(clip.shape))
        return brightness(clip)

    extract(tmp_path / "v.mp4", tmp_path / "s", Toy(noted), DENSE)
    assert {shape[0] for shape in clips} == {64}
    assert len(clips) == 4  # 12 snippets, four to a clip, and one that fills the batch
    extract(tmp_path / "v.mp4", tmp_path / "t", Toy(noted, any_length=False), DENSE)
    assert {shape[0] for shape in clips[4:]} == {16}


def test_both_modes_have_one_length_for_every_video(videos: Path, tmp_path: Path) -> None:
    for encoder in (Null(), Toy(brightness, clip=ClipSpec(5, 3, "rgb", Preprocess(64, 64)))):
        out = tmp_path / encoder.name
        extract(videos, out, encoder, DENSE)
        store = open_store(out)
        assert {video: store.length(video) for video in store.videos} == SNIPPETS


# A second run ------------------------------------------------------------------------------------


def test_a_second_run_does_nothing(some: Path, tmp_path: Path, asked: list[str]) -> None:
    first = extract(some, tmp_path / "s", Null())
    assert len(asked) == len(first.written) == 3
    before, entries = times(tmp_path / "s"), manifest(tmp_path / "s")
    second = extract(some, tmp_path / "s", Null())
    assert (second.written, second.unchanged) == ([], ["exact", "odd", "short"])
    assert len(asked) == 3
    assert (times(tmp_path / "s"), manifest(tmp_path / "s")) == (before, entries)
    assert second.lines() == [
        f"{tmp_path / 's'}: 0 videos extracted (0 snippets, 0.0 min of video), 3 unchanged, "
        "0 skipped"
    ]


def test_a_video_that_was_added_is_done_alone(
    some: Path, videos: Path, tmp_path: Path, asked: list[str]
) -> None:
    extract(some, tmp_path / "s", Null())
    before = times(tmp_path / "s")
    (some / "aaa.mp4").write_bytes((videos / "one.mp4").read_bytes())
    assert extract(some, tmp_path / "s", Null()).written == ["aaa"]
    assert asked[3:] == [str(some / "aaa.mp4")]
    assert {name: t for name, t in times(tmp_path / "s").items() if name != "aaa.npy"} == before


def test_a_video_that_changed_is_done_again_and_only_it(
    some: Path, videos: Path, tmp_path: Path, asked: list[str]
) -> None:
    extract(some, tmp_path / "s", Null())
    before = times(tmp_path / "s")
    (some / "short.mp4").write_bytes((videos / "test" / "long.mp4").read_bytes())
    assert extract(some, tmp_path / "s", Null()).written == ["short"]
    assert asked[3:] == [str(some / "short.mp4")]
    assert open_store(tmp_path / "s").length("short") == 6
    assert {n for n, t in times(tmp_path / "s").items() if before[n] != t} == {"short.npy"}
    extract(some, tmp_path / "fresh", Null())
    assert arrays(tmp_path / "s") == arrays(tmp_path / "fresh")
    assert manifest(tmp_path / "s") == manifest(tmp_path / "fresh")


def test_a_touched_video_keeps_its_features(some: Path, tmp_path: Path, asked: list[str]) -> None:
    extract(some, tmp_path / "s", Null())
    os.utime(some / "short.mp4", ns=(1, 1))
    assert extract(some, tmp_path / "s", Null()).written == []
    assert len(asked) == 3


def test_a_moved_video_keeps_its_features_and_says_where_it_is(
    some: Path, tmp_path: Path, asked: list[str]
) -> None:
    extract(some, tmp_path / "s", Null())
    (some / "test").mkdir()
    (some / "short.mp4").rename(some / "test" / "short.mp4")
    report = extract(some, tmp_path / "s", Null())
    assert (report.written, len(report.unchanged), len(asked)) == ([], 3, 3)
    entry = manifest(tmp_path / "s")["videos"]["short"]
    assert (entry["file"], entry["subset"]) == ("test/short.mp4", "test")
    assert entry["frames"] == 5
    (some / "test" / "short.mp4").rename(some / "short.mp4")
    extract(some, tmp_path / "s", Null())
    assert "subset" not in manifest(tmp_path / "s")["videos"]["short"]


def test_an_array_that_was_lost_is_made_again(some: Path, tmp_path: Path) -> None:
    extract(some, tmp_path / "s", Null())
    before = arrays(tmp_path / "s")
    (tmp_path / "s" / "odd.npy").unlink()
    assert extract(some, tmp_path / "s", Null()).written == ["odd"]
    assert arrays(tmp_path / "s") == before


def test_without_its_memory_a_store_knows_its_videos_by_their_content(
    some: Path, tmp_path: Path, asked: list[str]
) -> None:
    extract(some, tmp_path / "s", Null())
    (tmp_path / "s" / ".sources.json").write_text("{")
    assert len(extract(some, tmp_path / "s", Null()).unchanged) == 3
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("settings", "encoder", "key"),
    [
        (ExtractSettings(stride=8), Null(), r"stride 16; now it is 8"),
        (ExtractSettings(fps=Fraction(30)), Null(), r"fps 25.0; now it is 30.0"),
        (ExtractSettings(fps=Fraction("25.0001")), Null(), r"fps 25.0; now it is 25.0001"),
        (ExtractSettings(mode="dense"), Null(), r"extraction.mode 'window'; now it is 'dense'"),
        (FLOAT32, Null(), r"extraction.dtype 'float16'; now it is 'float32'"),
        (ExtractSettings(), ColourHistogram(), r"encoder 'null'; now it is 'colour-histogram'"),
        (
            ExtractSettings(),
            Null(clip=ClipSpec(16, 1, "rgb", Preprocess(128, 96))),
            r"encoders.clip.preprocess.crop 112; now it is 96",
        ),
    ],
)
def test_other_settings_are_refused_before_anything_is_decoded(
    some: Path,
    tmp_path: Path,
    asked: list[str],
    settings: ExtractSettings,
    encoder: Encoder,
    key: str,
) -> None:
    extract(some, tmp_path / "s", Null())
    before = arrays(tmp_path / "s")
    with pytest.raises(FeatureError, match=rf"manifest\.json was written with {key}\.") as caught:
        extract(some, tmp_path / "s", encoder, settings)
    assert caught.value.code == "other-store"
    assert len(asked) == 3
    assert arrays(tmp_path / "s") == before


def test_what_only_decides_the_speed_may_change(some: Path, tmp_path: Path) -> None:
    extract(some, tmp_path / "s", Null())
    faster = ExtractSettings(batch=7, workers=3, limits=Limits(5, 1, 1))
    assert len(extract(some, tmp_path / "s", Null(), faster).unchanged) == 3


def test_what_shows_in_the_last_bits_is_listed_when_it_changed_between_runs(
    some: Path, videos: Path, tmp_path: Path
) -> None:
    extract(some, tmp_path / "s", Null())
    other = ExtractSettings(batch=7)
    extract(some, tmp_path / "s", Null(), other)  # makes nothing, so it is not listed
    (some / "aaa.mp4").write_bytes((videos / "one.mp4").read_bytes())
    extract(some, tmp_path / "s", Null(), other)
    assert [m["batch"] for m in manifest(tmp_path / "s")["made_with"]] == ["4", "7"]


# Faults ------------------------------------------------------------------------------------------


def test_a_faulty_video_is_named_and_the_rest_is_there(some: Path, tmp_path: Path) -> None:
    (some / "broken.mp4").write_bytes(b"no video at all")
    (some / "empty.avi").touch()
    (some / "a:b.mp4").touch()
    (some / "x").mkdir()
    (some / "x" / "short.mp4").write_bytes(b"another of that name")
    (some / "readme.txt").touch()
    (some / "gone.mp4").symlink_to("nowhere")
    report = extract(some, tmp_path / "s", Null())
    assert report.written == ["exact", "odd"]
    assert reasons(report) == {
        "a:b.mp4": "name",
        "broken": "video",
        "empty": "empty",
        "gone": "unreadable",
        "short": "twice",
    }
    assert list(reasons(report)) == sorted(reasons(report))
    assert report.notes == ["1 file is no video by name and left out: 'readme.txt'"]
    assert open_store(tmp_path / "s").videos == ("exact", "odd")
    listed = json.loads((tmp_path / "s" / "skipped.json").read_text())
    assert list(listed) == sorted(reasons(report))
    assert "broken.mp4 does not open as a video" in listed["broken"]
    assert temporaries(tmp_path / "s") == []


def test_what_was_skipped_is_tried_again_and_the_list_goes_when_all_is_well(
    some: Path, tmp_path: Path, asked: list[str]
) -> None:
    good = (some / "short.mp4").read_bytes()
    (some / "short.mp4").write_bytes(good[: len(good) // 2])
    extract(some, tmp_path / "s", Null())
    before = (tmp_path / "s" / "skipped.json").read_bytes()
    again = extract(some, tmp_path / "s", Null())
    assert (again.written, list(reasons(again))) == ([], ["short"])
    assert asked[3:] == [str(some / "short.mp4")]
    assert (tmp_path / "s" / "skipped.json").read_bytes() == before
    (some / "short.mp4").write_bytes(good)
    assert extract(some, tmp_path / "s", Null()).written == ["short"]
    assert not (tmp_path / "s" / "skipped.json").exists()


def test_a_folder_of_faulty_videos_makes_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.mp4").write_bytes(b"x")
    report = extract(tmp_path / "v", tmp_path / "s", Null())
    assert list(reasons(report)) == ["a"]
    assert manifest(tmp_path / "s")["videos"] == {}
    assert list(reasons(extract(tmp_path / "v", tmp_path / "s", Null()))) == ["a"]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_that_do_not_fit_the_dtype_are_named_with_their_snippet(
    tmp_path: Path, dtype: Any
) -> None:
    (tmp_path / "v").mkdir()
    for name, last in (("a", 10), ("b", 200), ("c", 10)):
        filled(tmp_path / "v" / f"{name}.mp4", *[10] * 64, *[last] * 32, *[10] * 64)
    toy = Toy(lambda clip: 1000 * brightness(clip))
    report = extract(tmp_path / "v", tmp_path / "s", toy, ExtractSettings(dtype=dtype))
    if dtype == "float32":
        assert report.written == ["a", "b", "c"]
        return
    assert report.written == ["a", "c"]
    (fault,) = report.skipped
    assert (fault.where, fault.code) == ("b", "nan")
    assert "NaN or infinite, the first in snippet 4, dimension 0" in fault.message
    assert "in float16, values above 65504 become infinite" in fault.cure
    assert temporaries(tmp_path / "s") == []


def cut_in_two(path: Path, frames: int) -> None:
    """A file whose header promises all frames, and which holds the first half of them."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for array in numbered(frames, 64, 64):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def test_of_a_file_that_is_cut_short_partial_keeps_what_is_there(tmp_path: Path) -> None:
    cut_in_two(tmp_path / "v.mp4", 96)
    whole = extract(tmp_path / "v.mp4", tmp_path / "s", Toy(read_numbers))
    assert reasons(whole) == {"v": "cut-short"}
    assert "--partial" in whole.skipped[0].cure
    partial = ExtractSettings(partial=True)
    kept = extract(tmp_path / "v.mp4", tmp_path / "s", Toy(read_numbers), partial)
    assert kept.written == ["v"]
    assert "cut short" in kept.notes[0]
    entry = manifest(tmp_path / "s")["videos"]["v"]
    assert entry["partial"] is True
    T = open_store(tmp_path / "s").length("v")
    assert 1 < T < 6
    assert entry["frames"] // 16 == T
    np.testing.assert_allclose(
        open_store(tmp_path / "s").read("v")[:, 0], 16 * np.arange(T) + 7.5, atol=0.01
    )


def test_a_video_that_is_too_long_is_refused_by_name(videos: Path, tmp_path: Path) -> None:
    settings = ExtractSettings(limits=Limits(max_hours=1 / 3600))
    report = extract(videos, tmp_path / "s", Null(), settings)
    assert report.written == ["exact", "one", "short"]
    assert reasons(report) == {"long": "too-long", "ntsc": "too-long", "odd": "too-long"}
    assert "--max-hours" in report.skipped[0].cure


def test_motion_vectors_that_must_not_be_copied_skip_the_videos_that_lack_them(
    some: Path, tmp_path: Path
) -> None:
    write_video(some / "vp9.webm", panned(20, 64, 48), codec="libvpx-vp9")
    settings = ExtractSettings(motion=MotionSettings("mv", reencode=False))
    report = extract(some, tmp_path / "s", MotionHistogram(), settings)
    assert reasons(report) == {"vp9": "vectors"}
    copied = extract(some, tmp_path / "s", MotionHistogram(), VECTORS)
    assert copied.written == ["vp9"]
    assert "vectors_from_copy" in manifest(tmp_path / "s")["videos"]["vp9"]


# What stops a run --------------------------------------------------------------------------------


def test_a_full_disk_stops_the_run_and_leaves_a_store_that_goes_on(
    some: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    commit, calls = Rows.commit, 0

    def full(self: Rows, **entry: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise FeatureError("No space is left for x.npy.", code="disk-full")
        commit(self, **entry)

    monkeypatch.setattr(Rows, "commit", full)
    with pytest.raises(FeatureError, match="No space is left"):
        extract(some, tmp_path / "s", Null())
    monkeypatch.setattr(Rows, "commit", commit)
    assert temporaries(tmp_path / "s") == []
    assert not (tmp_path / "s" / "manifest.json").exists()
    done = len(asked)
    report = extract(some, tmp_path / "s", Null())
    assert len(report.unchanged) == 1
    assert len(asked) == done + 2
    extract(some, tmp_path / "fresh", Null())
    assert arrays(tmp_path / "s") == arrays(tmp_path / "fresh")
    assert manifest(tmp_path / "s") == manifest(tmp_path / "fresh")


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_run_goes_on_where_it_stopped(
    some: Path, tmp_path: Path, asked: list[str], stop_after: int
) -> None:
    def stop(done: int, total: int, video_s: float) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(some, tmp_path / "s", Null(), progress=stop)
    assert temporaries(tmp_path / "s") == []
    assert (tmp_path / "s" / JOURNAL).exists()
    with pytest.raises(FeatureError, match="not finished"):
        open_store(tmp_path / "s")
    report = extract(some, tmp_path / "s", Null())
    assert len(report.unchanged) == stop_after
    extract(some, tmp_path / "fresh", Null())
    assert arrays(tmp_path / "s") == arrays(tmp_path / "fresh")
    assert (tmp_path / "s" / "manifest.json").read_bytes() == (
        tmp_path / "fresh" / "manifest.json"
    ).read_bytes()


def test_an_interrupted_run_remembers_what_it_read(
    some: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int, video_s: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(some, tmp_path / "s", Null(), progress=stop)
    assert len(json.loads((tmp_path / "s" / ".sources.json").read_text())) >= 1


def test_a_second_run_at_the_same_time_is_refused(some: Path, tmp_path: Path) -> None:
    def meanwhile(done: int, total: int, video_s: float) -> None:
        with pytest.raises(FeatureError, match="in use by another run"):
            extract(some, tmp_path / "s", Null())

    assert len(extract(some, tmp_path / "s", Null(), progress=meanwhile).written) == 3


@pytest.mark.parametrize("name", ["notes.txt", "other.npy"])
def test_a_folder_of_somebody_else_is_left_alone(some: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(FeatureError, match=rf"not empty and no store of ours: it holds .*{name}"):
        extract(some, tmp_path / "mine", Null())
    assert [p.name for p in (tmp_path / "mine").iterdir() if p.name != ".lock"] == [name]


def test_a_missing_pyav_is_said_once_and_first(
    some: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(FeatureError, match=r"PyAV.*pip install 'wtal\[video\]'") as caught:
        extract(some, tmp_path / "s", Null())
    assert caught.value.code == "no-av"
    assert not (tmp_path / "s").exists()


def test_a_missing_opencv_is_said_first_where_flow_is_wanted(
    some: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(FeatureError, match=r"OpenCV.*pip install 'wtal\[flow\]'"):
        extract(some, tmp_path / "s", MotionHistogram())
    assert not (tmp_path / "s").exists()
    extract(some, tmp_path / "s", Null())  # colour needs none
    extract(some, tmp_path / "mv", MotionHistogram(), VECTORS)  # nor do motion vectors


@pytest.mark.parametrize(
    "streams", [{}, {"": Null(), "rgb": Null()}, {"test": Null()}, {"Training": Null()}]
)
def test_encoders_without_a_name_of_their_own_are_refused(
    some: Path, tmp_path: Path, streams: dict[str, Encoder]
) -> None:
    with pytest.raises(FeatureError, match="Name"):
        extract(some, tmp_path / "s", streams)
    assert not (tmp_path / "s").exists()


def said(word: str) -> Any:
    """A word from a command line, which no type checker has seen."""
    return word


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: ExtractSettings(fps=Fraction(0)), "fps is 0.0; expected above 0"),
        (lambda: ExtractSettings(fps=Fraction(1001)), "fps is 1001.0"),
        (lambda: ExtractSettings(stride=0), "stride is 0; expected at least 1"),
        (lambda: ExtractSettings(batch=0), "batch is 0"),
        (lambda: ExtractSettings(workers=-1), "workers is -1"),
        (
            lambda: ExtractSettings(mode=said("denser")),
            "mode is 'denser'; expected window or",
        ),
        (lambda: ExtractSettings(dtype=said("float64")), "dtype is 'float64'; expected float16 or"),
        (
            lambda: MotionSettings(said("raft")),
            "motion is 'raft'; expected tvl1, farneback",
        ),
        (lambda: MotionSettings(short_side=0), "short_side is 0"),
        (lambda: Limits(stall_s=0), "stall_s is 0"),
        (lambda: Limits(max_hours=math.inf), "max_hours is inf"),
        (lambda: Limits(memory_gb=math.nan), "memory_gb is nan"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_when_they_are_made(
    make: Callable[[], object], reason: str
) -> None:
    with pytest.raises(FeatureError, match=reason) as caught:
        make()
    assert caught.value.code == "option"


# Progress, order, memory -------------------------------------------------------------------------


def test_progress_counts_every_video_once_whatever_became_of_it(some: Path, tmp_path: Path) -> None:
    extract(some / "short.mp4", tmp_path / "s", Null())
    (some / "broken.mp4").write_bytes(b"x")
    (some / "a:b.mp4").touch()  # no video, so it is not one of the total
    told: list[tuple[int, int, float]] = []
    extract(some, tmp_path / "s", Null(), progress=lambda *now: told.append(now))
    assert [total for _, total, _ in told] == [4] * len(told)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1][0] == 4
    assert told[-1][2] == pytest.approx((16 + 47) / 25)
    told.clear()
    (some / "broken.mp4").unlink()
    extract(some, tmp_path / "s", Null(), progress=lambda *now: told.append(now))
    assert told == [(3, 3, 0.0)]


class Slow(Null):
    """So slow that decoders have to wait, and a long video takes seconds."""

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        time.sleep(0.03)
        return super().encode(clips_BnHWC)


def test_a_long_video_holds_up_no_short_one_and_decoders_change_no_bit(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    # 250 s in 100 pictures: the grid repeats them, and 390 clips have to be encoded.
    write_video(folder / "aaa.mp4", panned(100, 64, 48), fps=Fraction(2, 5))
    for i, name in enumerate(("one", "short", "exact", "test/long") * 2):
        path = videos / f"{name}.mp4"
        (folder / f"b{i}.mp4").write_bytes(path.read_bytes())
    order: list[str] = []
    commit = Rows.commit

    def noted(self: Rows, **entry: object) -> None:
        order.append(str(entry["file"]))
        commit(self, **entry)

    monkeypatch.setattr(Rows, "commit", noted)
    with monkeypatch.context() as patch:
        patch.setattr(run, "DecoderPool", DecoderPool)
        extract(folder, tmp_path / "two", Slow(), ExtractSettings(workers=2))
    assert order[-1] == "aaa.mp4"
    assert sorted(order[:-1]) == [f"b{i}.mp4" for i in range(8)]
    extract(folder, tmp_path / "here", Null())
    assert arrays(tmp_path / "two") == arrays(tmp_path / "here")
    assert (tmp_path / "two" / "manifest.json").read_bytes() == (
        tmp_path / "here" / "manifest.json"
    ).read_bytes()


PEAK = """
import resource, sys, torch
torch.set_num_threads(1)
from wtal_features import extract
from wtal_features.encoders.histograms import Null
from wtal_features.extraction import ExtractSettings
print(extract(sys.argv[1], sys.argv[2], Null(), ExtractSettings(workers=1)).snippets)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path: Path) -> None:
    peaks = []
    for minutes in (2, 20):
        path = write_video(
            tmp_path / f"{minutes}.mp4", panned(100, 64, 48) * (15 * minutes), options={"g": "50"}
        )
        command = [sys.executable, "-c", PEAK, str(path), str(tmp_path / f"s{minutes}")]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stderr
        snippets, *kilobytes = map(int, done.stdout.split())
        assert snippets == minutes * 60 * 25 // 16
        peaks.append(kilobytes)
    (encoder, decoder), (encoder_long, decoder_long) = peaks
    assert abs(encoder_long - encoder) < 20_000  # of some 350 MB
    assert abs(decoder_long - decoder) < 20_000


def test_import_brings_no_torch_before_extract_is_used() -> None:
    code = (
        "import sys, wtal_features\nassert 'torch' not in sys.modules\n"
        "assert 'extract' in dir(wtal_features)\n"
        "from wtal_features import extract\nassert 'torch' not in sys.modules\n"
        "try:\n wtal_features.nonsense\nexcept AttributeError as error:\n print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert "no attribute 'nonsense'" in done.stdout
