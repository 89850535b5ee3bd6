"""Clips and contact sheets: the right frames, at their times, and never outside the folder."""

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.videos import loud_seconds, number_of, numbered, write_beeps, write_video
from tests.wtal.cutting_here import Here
from tests.wtal.exporting import export, sentence, write_results
from wtal.exports import command
from wtal_features import FeatureError
from wtal_features.video import cutter
from wtal_features.video.cutter import _upright
from wtal_features.video.cutting import Cutter, Header, Piece
from wtal_features.video.frames import Decoded

av: Any = pytest.importorskip("av", reason="pip install 'wtal[video]'")
FPS = 25


@pytest.fixture(autouse=True)
def cut_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "slow" not in request.keywords:
        monkeypatch.setattr(command, "Cutter", Here)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a: 50 frames of 25 fps that say their numbers; b: likewise, at times of their own."""
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "a.mp4", numbered(50), fps=FPS)
    times = [i / FPS if i < 20 else 0.8 + (i - 20) / 10 for i in range(30)]
    write_video(folder / "b.mkv", numbered(30), times_s=times)
    return folder


def numbers_of(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        frames = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        return [number_of(frame) for frame in frames]


def seconds_of(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.duration / 1e6)


def files_of(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_a_clip_has_the_frames_of_its_segment_and_its_length(films: Path, tmp_path: Path) -> None:
    rows = [("jump", 0.4, 0.8, 0.9), ("jump", 1.0, 1.0, 0.5)]
    results = write_results(tmp_path / "d.json", {"a": rows})
    export(results, "--to", "clips", "--videos", films)
    out = tmp_path / "d-clips"
    assert files_of(out) == {"jump/a_0.40-0.80_0.9.mp4", "jump/a_1.00-1.00_0.5.mp4"}
    first = out / "jump" / "a_0.40-0.80_0.9.mp4"
    assert numbers_of(first) == list(range(10, 20))
    assert seconds_of(first) == pytest.approx(0.4, abs=0.002)
    assert numbers_of(out / "jump" / "a_1.00-1.00_0.5.mp4") == [25]  # the shortest has one frame
    with av.open(str(first)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_a_clip_keeps_times_of_variable_rate(films: Path, tmp_path: Path) -> None:
    results = write_results(tmp_path / "d.json", {"b": [("x", 0.72, 1.2, 0.5)]})
    export(results, "--to", "clips", "--videos", films)
    clip = tmp_path / "d-clips" / "x" / "b_0.72-1.20_0.5.mp4"
    assert numbers_of(clip) == [18, 19, 20, 21, 22, 23]
    with av.open(str(clip)) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 0.04, 0.08, 0.18, 0.28, 0.38], abs=0.002)
    assert seconds_of(clip) == pytest.approx(0.48, abs=0.002)


def cut_beeps(source: Path, tmp_path: Path, start: float, end: float) -> Path:
    clip = tmp_path / "clip.mp4"
    assert list(Here().cut(str(source), [Piece(start, end, str(clip))])) == [0]
    return clip


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp4", "aac", 44_100),
        ("a.mkv", "libopus", 48_000),
        ("a.mkv", "pcm_s16le", 96_000),  # a rate that the clip does not have
        ("a.ts", "mp2", 44_100),  # time stamps that do not begin at 0
    ],
)
def test_a_clip_has_the_sound_of_its_time(name: str, codec: str, rate: int, tmp_path: Path) -> None:
    source = write_beeps(tmp_path / name, numbered(100), fps=FPS, codec=codec, rate=rate)
    clip = cut_beeps(source, tmp_path, 1.2, 3.0)
    beeps = [pytest.approx((0.3, 0.8), abs=0.035), pytest.approx((1.3, 1.8), abs=0.035)]
    assert loud_seconds(clip) == beeps
    assert numbers_of(clip) == list(range(30, 75))
    with av.open(str(clip)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert float(container.duration / 1e6) == pytest.approx(1.8, abs=0.03)


def test_sound_that_begins_late_is_silent_until_then(tmp_path: Path) -> None:
    source = write_beeps(tmp_path / "a.mp4", numbered(50), late_s=0.4)
    clip = cut_beeps(source, tmp_path, 0.0, 1.2)
    assert loud_seconds(clip) == [pytest.approx((0.9, 1.2), abs=0.03)]


def test_sound_that_ends_early_is_silent_from_then_on(tmp_path: Path) -> None:
    source = write_beeps(tmp_path / "a.mkv", numbered(50), sound_s=1.2)
    clip = cut_beeps(source, tmp_path, 0.0, 2.0)
    assert loud_seconds(clip) == [pytest.approx((0.5, 1.0), abs=0.03)]  # not 1.5 to 2
    with av.open(str(clip)) as container:
        stream = container.streams.audio[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(2.0, abs=0.05)


def test_sound_that_cannot_be_decoded_leaves_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_beeps(tmp_path / "a.mp4", numbered(50))

    class Broken:
        def __init__(self, **words: object) -> None:
            pass

        def resample(self, frame: object) -> None:
            raise av.error.InvalidDataError(1, "invalid data")

    monkeypatch.setattr(av, "AudioResampler", Broken)
    clip = cut_beeps(source, tmp_path, 0.4, 0.8)
    assert numbers_of(clip) == list(range(10, 20))
    monkeypatch.undo()
    assert loud_seconds(clip) == []


def test_the_cutter_says_that_it_lives_while_it_writes_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutter, "_BEAT_S", -1.0)  # at each call
    said: list[str] = []
    piece = Piece(0.0, 2.0, str(tmp_path / "clip.mp4"))
    for name, write in (("silent.mp4", write_video), ("loud.mp4", write_beeps)):
        source = str(write(tmp_path / name, numbered(50)))
        request = cutter.CutRequest(source, (piece,))
        cutter.cut(request, lambda message, array: said.append(str(message["kind"])))
        said.append(name)
    frames = said.index("silent.mp4") - 1
    assert len(said) - 2 - frames - 1 > 1.5 * frames


def test_a_silent_video_gives_a_clip_without_a_stream_of_sound(films: Path, tmp_path: Path) -> None:
    clip = cut_beeps(films / "a.mp4", tmp_path, 0.4, 0.8)
    with av.open(str(clip)) as container:
        assert not container.streams.audio


def test_padding_widens_a_clip_inside_its_video(films: Path, tmp_path: Path) -> None:
    results = write_results(tmp_path / "d.json", {"a": [("x", 0.2, 0.4, 0.5), ("x", 1.8, 9, 0.4)]})
    export(results, "--to", "clips", "--videos", films, "--padding", "0.3")
    out = tmp_path / "d-clips" / "x"
    assert numbers_of(out / "a_0.20-0.40_0.5.mp4") == list(range(18))
    assert numbers_of(out / "a_1.80-2.00_0.4.mp4") == list(range(37, 50))


def test_any_number_of_clips_may_overlap(films: Path, tmp_path: Path) -> None:
    rows = [("x", 0.04 * i, 1.0, 0.5) for i in range(12)]
    results = write_results(tmp_path / "d.json", {"a": rows})
    export(results, "--to", "clips", "--videos", films, "--top", "12")
    for i in range(12):
        clip = tmp_path / "d-clips" / "x" / f"a_{0.04 * i:.2f}-1.00_0.5.mp4"
        assert numbers_of(clip) == list(range(i, 25))


def test_of_clips_the_ten_best_of_a_video_are_taken_and_equal_names_told_apart(
    films: Path, tmp_path: Path
) -> None:
    rows = [("x", 0.0, 0.04, i / 100) for i in range(11)] + [("x", 0.001, 0.04, 0.1)]
    results = write_results(tmp_path / "d.json", {"a": rows})
    said = export(results, "--to", "clips", "--videos", films)
    assert "10 detections of 1 video, the best 10 of each" in said
    found = files_of(tmp_path / "d-clips" / "x")
    assert len(found) == 10
    assert {"a_0.00-0.04_0.1.mp4", "a_0.00-0.04_0.1_2.mp4"} <= found
    assert not found & {"a_0.00-0.04_0.mp4", "a_0.00-0.04_0.01.mp4"}


@pytest.mark.parametrize("name", ["clips", "sheet"])
def test_no_label_leads_out_of_the_folder(name: str, films: Path, tmp_path: Path) -> None:
    labels = ["../up", "/etc", "a/b", "", "con", "$x_{", "<b>", "Jump", "jump", "y" * 300, "跳"]
    rows = [(label, 0.0, 0.08, 0.5) for label in labels]
    results = write_results(tmp_path / "d.json", {"a": rows})
    export(results, "--to", name, "--videos", films, "--top", "99")
    assert {path.name for path in tmp_path.iterdir()} == {"d.json", f"d-{name}"}
    found = files_of(tmp_path / f"d-{name}")
    places = {path.split("/")[0].removesuffix(".png").casefold() for path in found}
    assert len(places) == len(labels)


@pytest.mark.parametrize("name", ["clips", "sheet"])
def test_a_broken_video_and_one_that_is_not_there_are_named_and_the_rest_is_done(
    name: str, films: Path, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(films, videos)
    whole = (videos / "a.mp4").read_bytes()
    (videos / "no.mp4").write_bytes(b"no video at all")
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    names = ("a", "no", "empty", "cut", "gone", "../a")
    results = write_results(tmp_path / "d.json", {v: [("x", 0, 0.2, 0.5)] for v in names})
    said = export(results, "--to", name, "--videos", videos, "-v", code=1)
    assert "5 videos were skipped" in said
    for video in ("no", "empty", "cut", "gone", "../a"):
        assert f"  {video}: " in said
    expected = {"x/a_0.00-0.20_0.5.mp4"} if name == "clips" else {"x.png"}
    assert files_of(tmp_path / f"d-{name}") == expected
    export(results, "--to", name, "--videos", videos, "--keep-going")


def test_clips_that_were_whole_before_a_video_breaks_off_stay(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "a.mkv", numbered(100, 160, 120), fps=FPS)
    data = (videos / "a.mkv").read_bytes()
    (videos / "a.mkv").write_bytes(data[: len(data) * 3 // 5])
    rows = [("x", 0.0, 0.2, 0.5), ("x", 0.1, 3.9, 0.4)]
    results = write_results(tmp_path / "d.json", {"a": rows})
    said = export(results, "--to", "clips", "--videos", videos, code=1)
    assert "cut short" in said or "behind the end" in said
    assert "--partial" not in said  # an export has no such option
    assert "x/a_0.00-0.20_0.5.mp4" in files_of(tmp_path / "d-clips")
    assert not list((tmp_path / "d-clips" / "x").glob(".wtal-tmp-*"))


def test_a_clip_of_an_odd_size_is_even(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "a.mkv", numbered(5, 61, 47), codec="ffv1", options={}, pix_fmt="yuv444p")
    results = write_results(tmp_path / "d.json", {"a": [("x", 0, 1, 0.5)]})
    export(results, "--to", "clips", "--videos", videos)
    (clip,) = (tmp_path / "d-clips" / "x").iterdir()
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (60, 46)
    assert numbers_of(clip) == list(range(5))


def test_a_frame_that_lies_on_its_side_is_set_upright() -> None:
    sideways = np.rot90(numbered(11)[10], -1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(sideways), format="rgb24")
    reformatter = av.video.reformatter.VideoReformatter()
    upright = _upright(Decoded(Fraction(0), frame, 1), reformatter)
    assert (upright.width, upright.height) == (64, 48)
    assert number_of(upright.to_ndarray(format="rgb24")) == 10


def test_no_video_of_the_detections_in_the_folder_is_one_sentence(
    films: Path, tmp_path: Path
) -> None:
    results = write_results(tmp_path / "d.json", {"v_a": [("x", 0, 1, 0.5)]})
    said = sentence(results, "--to", "clips", "--videos", films)
    assert "names like 'a', the detections like 'v_a'" in said


def test_rates_and_links_come_from_the_videos(films: Path, tmp_path: Path) -> None:
    results = write_results(tmp_path / "d.json", {"a": [("x", 1.0, 99, 0.5)], "c": []})
    edl = tmp_path / "edl"
    said = export(results, "--to", "edl", "--videos", films, "--out", edl, code=1)
    assert "  c: There is no video of this name" in said
    lines = (edl / "a.edl").read_text().splitlines()
    assert lines[3].split()[4:6] == ["00:00:01:00", "00:00:02:00"]  # cut where the video ends
    assert lines[4] == "* FROM CLIP NAME: a.mp4"
    export(results, "--to", "edl", "--videos", films, "--fps", "30", "--out", edl)
    assert files_of(edl) == {"a.edl", "c.edl"}
    said = export(results, "--to", "eaf", "--videos", films)  # needs no video
    assert "1 video without a file to link to, the first 'c': There is no video" in said


def test_a_sheet_shows_middle_frames_the_best_first(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'wtal[plots]'")
    from wtal.exports import sheet

    drawn: dict[str, list[tuple[str, int]]] = {}

    def draw(label: str, cells: Any, path: Path) -> None:
        drawn[label] = [(about.split("\n")[1], number_of(picture)) for about, picture in cells]
        original(label, cells, path)

    original = sheet._draw
    monkeypatch.setattr(sheet, "_draw", draw)
    rows = [("x", 0.0, 0.8, 0.2), ("x", 1.0, 1.08, 0.9), ("$y$ 跳", 0.0, 2.0, 0.5)]
    results = write_results(tmp_path / "d.json", {"a": rows, "b": [("x", 0.4, 0.4, 0.5)]})
    export(results, "--to", "sheet", "--videos", films)
    assert drawn == {
        "$y$ 跳": [("1.0 s   0.5", 25)],
        "x": [("1.0 s   0.9", 26), ("0.4 s   0.5", 10), ("0.4 s   0.2", 10)],
    }
    for path in ("x.png", "$y$ 跳.png"):
        head = (tmp_path / "d-sheet" / path).read_bytes()
        assert head.startswith(b"\x89PNG")


def test_a_sheet_holds_the_best_of_a_class_and_no_more(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wtal.exports import sheet

    counts = []
    monkeypatch.setattr(sheet, "BEST", 3)
    monkeypatch.setattr(sheet, "_draw", lambda label, cells, path: counts.append(len(cells)))
    rows = [("x", 0.1 * i, 0.1 * i + 0.1, 0.5) for i in range(9)]
    results = write_results(tmp_path / "d.json", {"a": rows})
    export(results, "--to", "sheet", "--videos", films)
    assert counts == [3]


def test_a_still_behind_the_end_is_the_last_frame(films: Path) -> None:
    found = dict(Here().stills(str(films / "a.mp4"), [99.0, 0.5], 24))
    assert {index: number_of(picture) for index, picture in found.items()} == {0: 49, 1: 12}
    assert found[0].shape == (24, 32, 3)
    assert found[0].dtype == np.uint8


def test_a_piece_behind_the_end_is_not_written(films: Path, tmp_path: Path) -> None:
    pieces = [Piece(5.0, 6.0, str(tmp_path / "x.mp4")), Piece(0, 0.1, str(tmp_path / "y.mp4"))]
    assert list(Here().cut(str(films / "a.mp4"), pieces)) == [1]
    assert files_of(tmp_path) == {"y.mp4"}


@pytest.mark.slow
def test_a_process_of_its_own_cuts_and_names_what_is_broken(films: Path, tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no video at all")
    with Cutter() as cutter:
        with pytest.raises(FeatureError, match="does not open as a video"):
            cutter.header(str(tmp_path / "no.mp4"))
        assert cutter.header(str(films / "a.mp4")) == Header(FPS, pytest.approx(2.0))  # type: ignore[arg-type]
        done = list(cutter.cut(str(films / "a.mp4"), [Piece(0.4, 0.8, str(tmp_path / "x.mp4"))]))
        assert done == [0]
        (still,) = cutter.stills(str(films / "a.mp4"), [1.0], 24)
    assert numbers_of(tmp_path / "x.mp4") == list(range(10, 20))
    assert number_of(still[1]) == 25
