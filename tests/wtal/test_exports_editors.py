"""EDL and OpenTimelineIO, read back by OpenTimelineIO: exact frames, no drift."""

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wtal.exporting import HOSTILE, RATES, Rows, job_of, segments, video_of
from wtal.exports.editors import clock, write_edl, write_otio
from wtal.exports.job import Segment, Timecode, Video

otio: Any = pytest.importorskip("opentimelineio", reason="pip install opentimelineio")
RATE = Fraction(25)
TOY = [("jump", 1.0, 2.0, 0.9), ("run", 1.5, 4.0, 0.25), ("jump", 3.0, 3.0, 0.1)]


def events_of(path: Path, rate: int) -> list[Any]:
    """Clips of an EDL."""
    pytest.importorskip("otio_cmx3600_adapter", reason="pip install otio-cmx3600-adapter")
    timeline = otio.adapters.read_from_file(str(path), adapter_name="cmx_3600", rate=rate)
    return list(timeline.find_clips())


def spans(clips: list[Any]) -> list[tuple[int, int]]:
    ranges = [clip.source_range for clip in clips]
    return [(int(r.start_time.value), int(r.end_time_exclusive().value)) for r in ranges]


def test_an_edl_has_an_event_per_segment_with_an_exclusive_end(tmp_path: Path) -> None:
    video = video_of("match 1", TOY, rate=RATE, media=Path("x/match 1.mp4"))
    write_edl(job_of([video, video_of("empty", [], rate=RATE)], tmp_path / "edl"))
    clips = events_of(tmp_path / "edl" / "match 1.edl", 25)
    assert spans(clips) == [(25, 50), (38, 100), (75, 76)]
    assert [clip.name for clip in clips] == ["match 1.mp4"] * 3
    lines = (tmp_path / "edl" / "match 1.edl").read_text(encoding="ascii").splitlines()
    assert lines[:2] == ["TITLE: match 1", "FCM: NON-DROP FRAME"]
    assert lines[3].split() == [
        *("001", "MATCH1", "V", "C"),
        *("00:00:01:00", "00:00:02:00", "01:00:00:00", "01:00:01:00"),
    ]
    assert lines[5] == "* COMMENT: jump 0.9"
    assert lines[6].split()[6] == "01:00:01:00"  # the record goes on without a gap
    empty = (tmp_path / "edl" / "empty.edl").read_text(encoding="ascii").splitlines()
    assert empty == ["TITLE: empty", "FCM: NON-DROP FRAME", ""]


@settings(max_examples=40, deadline=None)
@given(segments(), st.sampled_from(RATES))
def test_an_edl_gives_back_the_frames_of_every_segment(rows: list[Segment], rate: Fraction) -> None:
    video = Video("v", tuple(rows), rate=rate)
    with tempfile.TemporaryDirectory() as folder:
        write_edl(job_of([video], Path(folder, "edl")))
        found = spans(events_of(Path(folder, "edl", "v.edl"), round(rate))) if rows else []
    assert found == [video.frames(row) for row in rows]


def test_the_clock_of_ntsc_video_counts_frames_and_does_not_drift(tmp_path: Path) -> None:
    rate = Fraction(24000, 1001)
    hour = 86_400 / rate  # so many frames are an hour on the clock of 24, and 3.6 s more of time
    rows = [("x", float(hour), float(hour + 1 / rate), 0.5)]
    write_edl(job_of([video_of("v", rows, rate=rate)], tmp_path / "edl"))
    text = (tmp_path / "edl" / "v.edl").read_text(encoding="ascii")
    assert " 01:00:00:00 01:00:00:01 " in text


def test_a_start_time_code_shifts_the_source_and_nothing_else(tmp_path: Path) -> None:
    video = video_of("v", TOY[:1], rate=RATE)
    write_edl(job_of([video], tmp_path / "edl", timecode=Timecode(10, 0, 0, 5)))
    line = (tmp_path / "edl" / "v.edl").read_text(encoding="ascii").splitlines()[3]
    assert line.split()[4:] == ["10:00:01:05", "10:00:02:05", "01:00:00:00", "01:00:01:00"]


def test_more_than_999_events_go_to_further_files(tmp_path: Path) -> None:
    rows: Rows = [("x", float(i), i + 1.0, 0.5) for i in range(2000)]
    write_edl(job_of([video_of("v", rows, rate=RATE)], tmp_path / "edl"))
    parts = [tmp_path / "edl" / name for name in ("v.edl", "v.part2.edl", "v.part3.edl")]
    counts = [sum(line[:3].isdigit() for line in p.read_text().splitlines()) for p in parts]
    assert counts == [999, 999, 2]
    assert "\n001 " in parts[2].read_text(encoding="ascii")


@pytest.mark.parametrize("label", HOSTILE)
def test_no_label_adds_a_line_to_an_edl(label: str, tmp_path: Path) -> None:
    write_edl(job_of([video_of("v", [(label, 0, 1, 0.5)], rate=RATE)], tmp_path / "edl"))
    assert len((tmp_path / "edl" / "v.edl").read_text(encoding="utf-8").split("\n")) == 7


@pytest.mark.parametrize("rate", [Fraction(1, 4), Fraction(240)])
def test_a_rate_that_a_time_code_cannot_count_is_named(rate: Fraction, tmp_path: Path) -> None:
    faults = write_edl(job_of([video_of("v", TOY, rate=rate)], tmp_path / "edl"))
    assert "time code counts 1 to 100" in faults["v"]


def test_a_day_on_the_clock_starts_again() -> None:
    assert clock(24 * 3600 * 25 + 1, 25) == "00:00:00:01"


def markers_of(track: Any) -> list[Any]:
    (clip,) = track
    return list(clip.markers)


def test_one_video_is_a_timeline_with_a_marker_per_detection(tmp_path: Path) -> None:
    media = tmp_path / "videos" / "a b.mp4"
    truth = (Segment("jump", 1.0, 2.2, None),)
    video = video_of("a", TOY, rate=RATE, duration_s=10.0, media=media, truth=truth)
    write_otio(job_of([video], tmp_path / "a.otio"))
    timeline = otio.adapters.read_from_file(str(tmp_path / "a.otio"))
    assert isinstance(timeline, otio.schema.Timeline)
    detections, annotations = timeline.tracks
    (clip,) = detections
    assert clip.media_reference.target_url == "videos/a%20b.mp4"
    assert clip.source_range.duration == otio.opentime.RationalTime(250, 25)
    assert [m.name for m in clip.markers] == ["jump", "run", "jump"]
    assert clip.markers[0].color == clip.markers[2].color != clip.markers[1].color
    assert clip.markers[0].comment == "0.9"
    assert not annotations.enabled
    assert [m.metadata["wtal"]["end_s"] for m in markers_of(annotations)] == [2.2]


def test_many_videos_are_a_collection_and_none_an_empty_one(tmp_path: Path) -> None:
    videos = [video_of(name, TOY, rate=RATE) for name in ("a", "b")]
    for chosen in (videos, []):
        write_otio(job_of(chosen, tmp_path / "a.otio"))
        collection = otio.adapters.read_from_file(str(tmp_path / "a.otio"))
        assert isinstance(collection, otio.schema.SerializableCollection)
        assert [timeline.name for timeline in collection] == [video.name for video in chosen]


@settings(max_examples=40, deadline=None)
@given(
    segments(),
    st.sampled_from(RATES),
    st.sampled_from([Timecode(0, 0, 0, 0), Timecode(1, 2, 3, 4)]),
)
def test_otio_gives_back_seconds_and_exact_frames(
    rows: list[Segment], rate: Fraction, start: Timecode
) -> None:
    video = Video("v", tuple(rows), rate=rate)
    with tempfile.TemporaryDirectory() as folder:
        write_otio(job_of([video], Path(folder, "v.otio"), timecode=start))
        timeline = otio.adapters.read_from_file(f"{folder}/v.otio")
    (track,) = timeline.tracks
    shift = start.count(round(rate))
    found = markers_of(track)
    exact = [m.metadata["wtal"] for m in found]
    assert [e["label"] for e in exact] == [row.label for row in rows]
    for e, row in zip(exact, rows, strict=True):  # its reader rounds the last bit
        assert (e["start_s"], e["end_s"], e["score"]) == pytest.approx(row[1:], rel=1e-12)
    for marker, row in zip(found, rows, strict=True):
        first, stop = video.frames(row)
        assert marker.marked_range.start_time.value == first + shift
        assert marker.marked_range.end_time_exclusive().value == stop + shift
        assert abs(float(first / rate) - row.start_s) <= 0.5001 / float(rate)


@pytest.mark.parametrize("label", HOSTILE)
def test_any_label_can_be_a_marker(label: str, tmp_path: Path) -> None:
    write_otio(job_of([video_of(label, [(label, 0, 1, 0.5)], rate=RATE)], tmp_path / "a.otio"))
    timeline = otio.adapters.read_from_file(str(tmp_path / "a.otio"))
    assert markers_of(timeline.tracks[0])[0].metadata["wtal"]["label"] == label
