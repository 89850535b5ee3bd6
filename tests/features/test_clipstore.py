"""Clip stores: what is kept of a video, how it is read, what a run does when things go wrong."""

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.features.in_process import InProcessPool
from tests.features.videos import number_of, numbered, panned, write_video
from wtal_features.clips import Preprocess
from wtal_features.errors import FeatureError
from wtal_features.extraction.settings import MotionSettings
from wtal_features.preprocess import prepare_frame, resized
from wtal_features.pretraining import clipbuild, clipchildren
from wtal_features.pretraining.clipbuild import ClipReport, Expected, build_clip_store
from wtal_features.pretraining.clipchildren import Children
from wtal_features.pretraining.clipsettings import ClipSettings, clip_key, shrunk_size
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.clipworker import ShrinkRequest, quantized, serve
from wtal_features.pretraining.clipwriter import ClipSink, find_video, new_video, write_manifest
from wtal_features.video.decoder import fault_of
from wtal_features.video.limits import Limits
from wtal_features.video.wire import Array, Message, receive, send

ASKED: list[str] = []  # videos that were decoded in this process


class Here:
    """Stands for `Children`: the same answers through the same wire, without a process."""

    def __init__(self, count: int, limits: Limits) -> None:
        """Nothing to start."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to end."""

    def answers(self, request: ShrinkRequest) -> Iterator[tuple[Message, Array | None]]:
        ASKED.append(Path(request.path).stem)
        question, said = BytesIO(), BytesIO()
        send(question, asdict(request))
        question.seek(0)
        serve(question, said)
        said.seek(0)
        while (answer := receive(said)) is not None:
            if answer[0]["kind"] == "fault":
                raise fault_of(answer[0])
            yield answer

    def watch(self) -> None:
        """Nothing to watch."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Decode in this process; the videos that were decoded."""
    ASKED.clear()
    monkeypatch.setattr(clipbuild, "Children", Here)
    monkeypatch.setattr(clipbuild, "DecoderPool", InProcessPool)
    return ASKED


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


def build(videos: Path, **settings: Any) -> tuple[ClipStore, ClipReport]:
    """The store beside the videos."""
    report = build_clip_store(videos, videos.parent / "store", ClipSettings(**settings))
    return ClipStore(report.out), report


def numbers(frames: NDArray[np.uint8]) -> list[int]:
    return [number_of(frame) for frame in frames]


# What is kept ------------------------------------------------------------------------------------


def test_every_frame_is_kept_at_its_place(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(30))
    store, report = build(videos)
    assert report.written == ["v"]
    assert store.videos == ("v",)
    assert store.info("v").frames == store.info("v").pictures == 30
    assert numbers(store.frames("v", range(30))) == list(range(30))
    assert store.fps == 25


def test_frames_are_shrunk_whole_and_never_enlarged(videos: Path, here: list[str]) -> None:
    write_video(videos / "tall.mp4", numbered(2, 48, 96))
    write_video(videos / "tiny.mp4", numbered(2, 24, 16))
    write_video(videos / "wide.mp4", numbered(2, 96, 54))
    store, _ = build(videos, short_side=32)
    sizes = {video: store.frames(video, [0]).shape[1:3] for video in store.videos}
    assert sizes == {"tall": (64, 32), "tiny": (16, 24), "wide": (32, 56)}


def test_shrinking_is_that_of_the_extractor() -> None:
    frame = panned(1, 60, 60)[0]
    small = resized(frame, (25, 25))
    assert np.array_equal(small, prepare_frame(frame, Preprocess(short_side=25, crop=25)))
    assert resized(frame, (60, 60)) is frame


def test_an_odd_side_is_rounded_down() -> None:
    assert shrunk_size(241, 321, 128) == (128, 170)
    assert shrunk_size(1, 1, 128) == (1, 1)


def test_a_slow_source_is_kept_once_and_read_as_it_was_shown(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(10), fps=12, options={"preset": "ultrafast", "g": "5"})
    store, report = build(videos, fps=Fraction(24))
    info = store.info("v")
    assert (info.frames, info.pictures) == (20, 10)
    assert numbers(store.frames("v", range(20))) == [k // 2 for k in range(20)]
    assert numbers(store.frames("v", [19, 0, 7, 7])) == [9, 0, 3, 3]
    assert (report.out / f"{info.key}.rgb").stat().st_size == 10 * 48 * 64 * 3


def test_a_still_end_costs_nothing(videos: Path, here: list[str]) -> None:
    times = [0.0, 0.04, 0.08, 4.0]
    write_video(videos / "v.mkv", numbered(4), times_s=times)
    store, _ = build(videos)
    assert store.info("v").pictures == 4
    assert numbers(store.frames("v", [2, 50, 99])) == [2, 2, 2]


def test_i_frames_of_the_original_are_known(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(30))
    store, _ = build(videos)
    assert store.info("v").intra == (0, 12, 24)


def test_an_i_frame_that_the_grid_leaves_out_counts_for_the_next(
    videos: Path, here: list[str]
) -> None:
    write_video(videos / "v.mp4", numbered(50), fps=50)
    store, _ = build(videos)
    # At half the rate the grid shows the odd frames; the I-frames are 0, 12, 24, 36, 48.
    assert numbers(store.frames("v", range(3))) == [1, 3, 5]
    assert store.info("v").intra == (0, 6, 12, 18, 24)


@pytest.mark.parametrize("method", ["dis", "mv"])
def test_motion_is_that_of_the_content_in_px_of_the_source(
    videos: Path, here: list[str], method: str
) -> None:
    write_video(videos / "v.mp4", panned(8, 160, 120, (3, 1)), codec="mpeg4")
    motion = MotionSettings(method=method)  # type: ignore[arg-type]
    store, _ = build(videos, short_side=60, motion=motion, motion_side=30)
    maps = store.motion("v", range(8))
    assert maps.shape == (8, 30, 40, 2)
    assert maps.dtype == np.float32
    assert not maps[0].any()  # nothing was seen before
    middle = np.median(maps[2:, 8:-8, 8:-8], axis=(0, 1, 2))
    assert middle == pytest.approx([-3, -1], abs=0.3)
    assert store.settings["motion"]["source"] == method
    assert store.settings["motion"]["unit"] == "px of the source per grid frame"


def test_motion_is_rounded_to_a_127th_of_its_range_and_cut_there() -> None:
    px = np.array([0.0, 10.0, -10.0, 0.079, 0.08, 25.0, -25.0], np.float32)
    assert quantized(px, 20.0).tolist() == [0, 64, -64, 1, 1, 127, -127]
    assert quantized(px, 10.0).tolist() == [0, 127, -127, 1, 1, 127, -127]


def test_a_store_without_motion_says_so(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(2))
    store, _ = build(videos)
    assert store.info("v").motion is None
    with pytest.raises(FeatureError, match="holds no motion"):
        store.motion("v", [0])


def test_the_size_is_told_before_and_kept_to(videos: Path, here: list[str]) -> None:
    write_video(videos / "a.mp4", numbered(20, 96, 64))
    write_video(videos / "b.mp4", numbered(10, 96, 64), fps=50)
    told: list[Expected] = []
    settings = ClipSettings(short_side=32, motion=MotionSettings(), motion_side=16)
    out = videos.parent / "store"
    build_clip_store(videos, out, settings, before=told.append)
    (expected,) = told
    written = sum(path.stat().st_size for path in [*out.glob("*.rgb"), *out.glob("*.motion")])
    assert expected.bytes == written == 25 * (32 * 48 * 3 + 16 * 24 * 2)
    assert (expected.videos, expected.largest) == (2, "a")


# Reading -----------------------------------------------------------------------------------------


def test_indices_may_come_in_any_order_and_none_may_come(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(12))
    store, _ = build(videos)
    assert numbers(store.frames("v", [7, 3, 3, 11])) == [7, 3, 3, 11]
    assert store.frames("v", []).shape == (0, 48, 64, 3)
    for outside in ([-1], [0, 12]):
        with pytest.raises(IndexError, match=r"of 0\.\.11"):
            store.frames("v", outside)


def test_what_is_read_is_a_copy(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(3))
    store, _ = build(videos)
    store.frames("v", [1])[:] = 0
    assert numbers(store.frames("v", [1])) == [1]


def test_many_threads_read_at_once(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(40))
    store, _ = build(videos)
    found: dict[int, list[int]] = {}

    def read(start: int) -> None:
        found[start] = numbers(store.frames("v", range(start, start + 8)))

    threads = [threading.Thread(target=read, args=(start,)) for start in range(0, 32, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {start: list(range(start, start + 8)) for start in range(0, 32, 4)}


def test_an_unknown_video_is_named(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(2))
    store, _ = build(videos)
    assert "v" in store
    assert "w" not in store
    assert len(store) == 1
    with pytest.raises(FeatureError, match="has no video 'w'"):
        store.frames("w", [0])


def written_store(folder: Path, **changes: Any) -> Path:
    """A store of one video of 4 frames 2 x 3, its manifest entry changed."""
    key = clip_key("0" * 64, ClipSettings())
    with new_video(folder, key, motion=False) as sink:
        for value in range(4):
            sink.frame(np.full((2, 3, 3), value, np.uint8), intra=value == 0)
    entry = find_video(folder, key)
    assert entry is not None
    write_manifest(folder, ClipSettings().described(), {"v": {**entry, **changes}})
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "../../etc/passwd"},
        {"key": None},
        {"frames": 0},
        {"frames": "4"},
        {"pictures": True},
        {"motion": [1]},
        {"motion": [1, -1]},
        {"intra": [4]},
        {"intra": None},
        {"subset": 3},
    ],
)
def test_an_entry_that_is_not_of_its_form_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(FeatureError, match="entry of 'v' is not of its form"):
        ClipStore(written_store(tmp_path, **changes))


@pytest.mark.parametrize("changes", [{"pictures": 3}, {"height": 4}, {"motion": [2, 2]}])
def test_files_of_other_sizes_than_the_manifest_says_are_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(FeatureError, match="file of 'v' is missing or not whole"):
        ClipStore(written_store(tmp_path, **changes))


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    store = ClipStore(written_store(tmp_path))
    os.truncate(tmp_path / f"{store.info('v').key}.rgb", 5)
    with pytest.raises(FeatureError, match=r"missing or not whole.*only what is missing"):
        ClipStore(tmp_path)


def test_a_folder_that_is_no_clip_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"has no manifest\.json: it is no clip store"):
        ClipStore(tmp_path)
    (tmp_path / "manifest.json").write_text('{"encoder": "s3d", "stride": 16}')
    with pytest.raises(FeatureError, match="not of its form"):
        ClipStore(tmp_path)
    (tmp_path / "manifest.json").write_text('{"settings": {"format": "x"}, "videos": {}}')
    with pytest.raises(FeatureError, match=r"format 'x'; expected 'wtal-clips-1'"):
        ClipStore(tmp_path)


def test_motion_without_a_range_is_refused(tmp_path: Path) -> None:
    settings = ClipSettings(motion=MotionSettings())
    key = clip_key("0" * 64, settings)
    with new_video(tmp_path, key, motion=True) as sink:
        sink.frame(np.zeros((2, 2, 3), np.uint8))
        sink.motion(np.zeros((1, 1, 2), np.int8))
    entry = find_video(tmp_path, key)
    assert entry is not None
    write_manifest(tmp_path, {**settings.described(), "motion": {"range": "20"}}, {"v": entry})
    with pytest.raises(FeatureError, match="range '20'"):
        ClipStore(tmp_path)


# Writing one video -------------------------------------------------------------------------------


def test_a_video_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken_off() -> None:
        with new_video(tmp_path, "0" * 64, motion=True) as sink:
            sink.frame(np.zeros((2, 2, 3), np.uint8))
            raise KeyError

    with pytest.raises(KeyError):
        broken_off()
    assert list(tmp_path.iterdir()) == []


def test_frames_of_a_video_have_one_form(tmp_path: Path) -> None:
    sink = ClipSink(BytesIO(), BytesIO())
    sink.frame(np.zeros((2, 2, 3), np.uint8))
    for wrong in (np.zeros((2, 3, 3), np.uint8), np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8)):
        with pytest.raises(FeatureError, match=r"Frame 1 .* expected \(2, 2, 3\), uint8"):
            sink.frame(wrong)
    with pytest.raises(FeatureError, match="at least one grid frame"):
        sink.frame(np.zeros((2, 2, 3), np.uint8), 0)
    with pytest.raises(FeatureError, match="Map 0"):
        sink.motion(np.zeros((2, 2, 2), np.float16))
    with pytest.raises(FeatureError, match="1 frames and 0 maps"):
        sink.entry("0" * 64)


def test_a_store_without_motion_takes_no_map() -> None:
    with pytest.raises(FeatureError, match="Map 0"):
        ClipSink(BytesIO(), None).motion(np.zeros((2, 2, 2), np.int8))


def test_an_empty_video_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(FeatureError, match="at least one frame"),
        new_video(tmp_path, "0" * 64, motion=False),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_other_content_or_settings_have_another_key() -> None:
    settings = ClipSettings()
    changed = [
        replace(settings, fps=Fraction(12)),
        replace(settings, short_side=64),
        replace(settings, partial=True),
        replace(settings, motion=MotionSettings()),
        replace(settings, motion=MotionSettings("mv")),
        replace(settings, motion=MotionSettings(), motion_range_px=10.0),
    ]
    keys = {clip_key("a" * 64, one) for one in [settings, *changed]} | {clip_key("b", settings)}
    assert len(keys) == 8
    assert clip_key("a" * 64, replace(settings, workers=7)) == clip_key("a" * 64, settings)


@pytest.mark.parametrize(
    "wrong", [{"fps": Fraction(0)}, {"short_side": 0}, {"motion_range_px": 0.0}, {"workers": -1}]
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FeatureError, match=f"{next(iter(wrong))} is .*; expected"):
        ClipSettings(**wrong)


# Runs --------------------------------------------------------------------------------------------


def test_a_second_run_decodes_nothing(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(3))
    build(videos)
    before = (videos.parent / "store" / "manifest.json").read_bytes()
    _, report = build(videos)
    assert here == ["v"]
    assert (report.written, report.unchanged) == ([], ["v"])
    assert (videos.parent / "store" / "manifest.json").read_bytes() == before


def test_only_what_changed_is_decoded_and_the_old_files_go(videos: Path, here: list[str]) -> None:
    write_video(videos / "a.mp4", numbered(3))
    write_video(videos / "b.mp4", numbered(4))
    build(videos)
    write_video(videos / "b.mp4", numbered(5))
    store, report = build(videos)
    assert sorted(here) == ["a", "b", "b"]
    assert (report.written, report.unchanged) == (["b"], ["a"])
    assert store.info("b").frames == 5
    assert len(list(store.folder.glob("*.rgb"))) == 2


def test_a_run_that_was_stopped_goes_on(
    videos: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(videos / "a.mp4", numbered(3))
    write_video(videos / "b.mp4", numbered(4))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_clip_store(videos, videos.parent / "store", ClipSettings(workers=1), progress=stop)
    (videos.parent / "store" / ".wtal-tmp-0123").write_bytes(b"half")
    done = list(here)
    store, report = build(videos, workers=1)
    assert set(report.unchanged) | set(report.written) == {"a", "b"}
    assert "a" in report.unchanged
    assert here.count("a") == done.count("a") == 1
    assert store.videos == ("a", "b")
    assert not list(store.folder.glob(".wtal-tmp-*"))


def test_a_damaged_file_is_made_again(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(3))
    store, _ = build(videos)
    os.truncate(store.folder / f"{store.info('v').key}.rgb", 5)
    store, report = build(videos)
    assert report.written == ["v"]
    assert numbers(store.frames("v", range(3))) == [0, 1, 2]


def test_videos_of_another_folder_are_added(videos: Path, here: list[str]) -> None:
    write_video(videos / "a.mp4", numbered(3))
    build(videos)
    other = videos.parent / "other" / "test"
    other.mkdir(parents=True)
    write_video(other / "b.mp4", numbered(4))
    build_clip_store(other.parent, videos.parent / "store")
    store = ClipStore(videos.parent / "store")
    assert store.videos == ("a", "b")
    assert (store.info("a").subset, store.info("b").subset) == (None, "test")


def test_other_settings_need_another_folder(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(3))
    build(videos)
    with pytest.raises(FeatureError, match=r"not that of a clip store with these settings"):
        build(videos, short_side=16)


def test_a_feature_store_is_not_written_into(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(3))
    out = videos.parent / "store"
    out.mkdir()
    (out / "manifest.json").write_text('{"encoder": "s3d"}')
    with pytest.raises(FeatureError, match=r"it has None.*another folder"):
        build(videos)
    assert json.loads((out / "manifest.json").read_text()) == {"encoder": "s3d"}


def test_a_broken_video_is_named_and_the_others_go_on(videos: Path, here: list[str]) -> None:
    write_video(videos / "a.mp4", numbered(3))
    (videos / "b.mp4").write_bytes(b"no video" * 100)
    store, report = build(videos)
    (finding,) = report.skipped
    assert finding.where == "b"
    assert "does not open as a video" in finding.message
    assert store.videos == ("a",)
    manifest = json.loads((store.folder / "manifest.json").read_text())
    assert "does not open" in manifest["skipped"]["b"]


def test_a_video_that_broke_is_taken_out(videos: Path, here: list[str]) -> None:
    write_video(videos / "a.mp4", numbered(3))
    write_video(videos / "b.mp4", numbered(4))
    build(videos)
    (videos / "b.mp4").write_bytes(b"no video" * 100)
    store, _ = build(videos)
    assert store.videos == ("a",)
    assert len(list(store.folder.glob("*.rgb"))) == 1


def test_a_file_cut_short_is_kept_on_request(videos: Path, here: list[str]) -> None:
    whole = write_video(
        videos / "v.mp4", panned(60, 64, 48), container_options={"movflags": "faststart"}
    )
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    store, report = build(videos)
    assert [finding.code for finding in report.skipped] == ["cut-short"]
    assert store.videos == ()
    out = videos.parent / "partial"
    report = build_clip_store(videos, out, ClipSettings(partial=True))
    assert report.written == ["v"]
    assert "cut short" in report.notes[0]
    assert 0 < ClipStore(out).info("v").frames < 60


def test_two_names_of_one_content_share_the_files(videos: Path, here: list[str]) -> None:
    write_video(videos / "a.mp4", numbered(3))
    shutil.copy(videos / "a.mp4", videos / "b.mp4")
    store, report = build(videos, workers=1)
    assert store.info("a").key == store.info("b").key
    assert here == ["a"]
    assert report.written == ["a", "b"]


def test_too_little_space_is_said_before_the_first_video(
    videos: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(videos / "v.mp4", numbered(3))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=9))
    with pytest.raises(FeatureError, match=r"too little space.*'v' takes the most"):
        build(videos)
    assert here == []


def test_a_full_disk_ends_the_run_and_leaves_no_half_file(
    videos: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(videos / "v.mp4", numbered(3))

    def full(self: ClipSink, *args: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ClipSink, "frame", full)
    with pytest.raises(FeatureError, match="No space is left") as raised:
        build(videos)
    assert raised.value.code == "disk-full"
    left = {path.name for path in (videos.parent / "store").iterdir()}
    assert left == {".lock", ".sources.json"}


def test_a_disk_that_fails_ends_the_run(
    videos: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(videos / "v.mp4", numbered(3))

    def broken(self: ClipSink, *args: object, **more: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ClipSink, "frame", broken)
    with pytest.raises(FeatureError, match="cannot be written: Input/output error"):
        build(videos)


def test_two_runs_at_once_are_kept_apart(videos: Path, here: list[str]) -> None:
    write_video(videos / "v.mp4", numbered(3))
    refused: list[FeatureError] = []

    def again(expected: Expected) -> None:
        try:
            build(videos)
        except FeatureError as error:
            refused.append(error)

    build_clip_store(videos, videos.parent / "store", before=again)
    assert [error.code for error in refused] == ["locked"]


# Processes ---------------------------------------------------------------------------------------


def files_of(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}


@pytest.mark.slow
def test_processes_make_the_same_store(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        write_video(videos / f"v{i}.mp4", panned(6, 64, 48, seed=i), codec="mpeg4")
    (videos / "w.mp4").write_bytes(b"no video" * 100)
    settings = ClipSettings(short_side=32, motion=MotionSettings("mv"), workers=2)
    progress: list[tuple[int, int]] = []
    report = build_clip_store(
        videos,
        videos.parent / "apart",
        settings,
        progress=lambda done, total: progress.append((done, total)),
    )
    assert report.written == ["v0", "v1", "v2"]
    assert [finding.where for finding in report.skipped] == ["w"]
    assert progress == [(done, 4) for done in range(1, 5)]
    monkeypatch.setattr(clipbuild, "Children", Here)
    build_clip_store(videos, videos.parent / "here", settings)
    assert files_of(videos.parent / "apart") == files_of(videos.parent / "here")


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that do what the path says."""
    monkeypatch.setattr(clipchildren, "_MODULE", "tests.features.clip_child")


def ask(children: Children, act: str) -> int:
    """The process that answered."""
    request = ShrinkRequest(f"/videos/{act}", "25", 100, 8)
    messages = [message for message, _ in children.answers(request)]
    assert [message["kind"] for message in messages] == ["frame", "end"]
    return int(messages[0]["of"])


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("die", r"/videos/die ended its decoder \(SIGSEGV\)"),
        ("leave", r"/videos/leave ended its decoder \(exit code 3\)"),
        ("babble", r"/videos/babble ended its decoder \(a message of \d+ bytes\)"),
        ("fault", "It is odd"),
    ],
)
@pytest.mark.usefixtures("acting")
def test_what_a_video_does_to_its_process_costs_that_video_alone(act: str, said: str) -> None:
    with Children(1, Limits()) as children:
        first = ask(children, "fine")
        with pytest.raises(FeatureError, match=said):
            ask(children, act)
        then = ask(children, "fine")
    assert (first == then) is (act == "fault")  # a fault that is told ends no process


@pytest.mark.usefixtures("acting")
def test_a_process_that_shows_nothing_for_too_long_is_ended() -> None:
    with Children(1, Limits(stall_s=0.2)) as children:
        ask(children, "fine")
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.05):
                children.watch()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with pytest.raises(FeatureError, match=r"no further frame for 0\.2 s"):
                ask(children, "hang")
        finally:
            stop.set()
            watcher.join()
        ask(children, "fine")


@pytest.mark.usefixtures("acting")
def test_no_process_outlives_the_block() -> None:
    with Children(1, Limits()) as children:
        process = ask(children, "fine")
        os.kill(process, 0)  # it is there
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(FeatureError, match="were ended"):
        ask(children, "fine")


@pytest.mark.usefixtures("acting")
def test_a_process_whose_answers_are_not_heard_is_replaced() -> None:
    with Children(1, Limits()) as children:
        first = ask(children, "fine")
        answers = children.answers(ShrinkRequest("/videos/fine", "25", 100, 8))
        next(answers)
        answers.close()
        assert ask(children, "fine") != first


@pytest.mark.usefixtures("acting")
def test_a_block_that_is_left_ends_what_hangs() -> None:
    started = time.monotonic()
    with Children(1, Limits()) as children:
        next(children.answers(ShrinkRequest("/videos/hang", "25", 100, 8)))
    assert time.monotonic() - started < 20
