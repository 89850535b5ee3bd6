"""CSV, WebVTT, ELAN and Label Studio: read back by the formats' own readers, whatever labels."""

import csv
import html
import json
import re
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings

from tests.wtal.exporting import HOSTILE, RATES, job_of, segments, video_of
from wtal.exports.eaf import write_eaf
from wtal.exports.job import Segment, Video
from wtal.exports.labelstudio import config_of, write_labelstudio
from wtal.exports.tables import write_csv
from wtal.exports.text import encoded, one_line, safe_name
from wtal.exports.webvtt import milliseconds, write_webvtt
from wtal_features.files import check_name

pympi: Any = pytest.importorskip("pympi", reason="pip install pympi-ling")
webvtt: Any = pytest.importorskip("webvtt", reason="pip install webvtt-py")

TOY = [("jump", 1.0, 2.5, 0.9), ("run", 2.0, 4.0, -0.25), ("jump", 2.5, 2.5, 1e-7)]


def csv_rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def unquoted(cell: str) -> str:
    """What `inert` was given."""
    return cell[1:] if re.match(r"'+[=+\-@\t\r]", cell) else cell


@settings(max_examples=40, deadline=None)
@given(segments())
@example([Segment("a\rb", 0.0, 1.0, 0.5)])
def test_csv_gives_back_every_label_score_and_time_to_the_bit(rows: list[Segment]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        write_csv(job_of([Video("v", tuple(rows)), Video("empty", ())], path))
        header, *found = csv_rows(path)
    assert header == ["video", "label", "score", "start_s", "end_s"]
    back = [
        Segment(unquoted(label), float(start), float(end), float(score))
        for _, label, score, start, end in found
    ]
    assert back == rows


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "'=1", "\t=1"])
def test_no_text_cell_of_a_csv_is_a_formula(text: str, tmp_path: Path) -> None:
    write_csv(job_of([video_of(text, [(text, 0, 1, -0.5)])], tmp_path / "a.csv"))
    video, label, score, *_ = csv_rows(tmp_path / "a.csv")[1]
    assert video == label == f"'{text}"
    assert score == "-0.5"  # a number stays one


def cues_of(path: Path) -> list[tuple[float, float, str]]:
    return [
        (cue.start_in_seconds, cue.end_in_seconds, html.unescape(cue.raw_text))
        for cue in webvtt.read(str(path))
    ]


def test_webvtt_has_a_file_per_video_with_label_and_score_in_time_order(tmp_path: Path) -> None:
    out = tmp_path / "vtt"
    write_webvtt(job_of([video_of("a", TOY), video_of("b", [])], out))
    stamps = [(cue.start, cue.end, cue.raw_text) for cue in webvtt.read(str(out / "a.vtt"))]
    assert stamps == [
        ("00:00:01.000", "00:00:02.500", "jump (0.9)"),
        ("00:00:02.000", "00:00:04.000", "run (-0.25)"),
        ("00:00:02.500", "00:00:02.501", "jump (1e-07)"),  # no cue is empty
    ]
    assert cues_of(out / "b.vtt") == []
    assert "NOTE a: wtal 9, runs/detections.json" in (out / "a.vtt").read_text(encoding="utf-8")


@settings(max_examples=40, deadline=None)
@given(segments())
def test_webvtt_gives_back_labels_on_one_line_and_times_in_milliseconds(
    rows: list[Segment],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_webvtt(job_of([Video("v", tuple(rows))], Path(folder, "vtt")))
        captions = list(webvtt.read(f"{folder}/vtt/v.vtt"))
    assert len(captions) == len(rows)
    for caption, row in zip(captions, rows, strict=True):
        label = html.unescape(caption.raw_text).rpartition(" (")[0]
        assert label.strip() == one_line(row.label).strip()
        start, stop = milliseconds(row)
        assert stamp(caption.start) == start
        assert stamp(caption.end) == stop > start


def stamp(text: str) -> int:
    hours, minutes, seconds = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


@pytest.mark.parametrize("label", HOSTILE)
def test_no_label_of_webvtt_is_markup_or_a_timing(label: str, tmp_path: Path) -> None:
    write_webvtt(
        job_of([video_of("v", [(label, 100 * 3600, 100 * 3600 + 1, 0.5)])], tmp_path / "o")
    )
    text = (tmp_path / "o" / "v.vtt").read_text(encoding="utf-8")
    body = text.split("\n\n")[2].splitlines()
    assert body[1] == "100:00:00.000 --> 100:00:01.000"
    assert len(body) == 3
    assert not set("<>") & set(body[2])
    assert text.count("-->") == 1


def test_elan_shows_a_tier_per_class_with_scores_and_one_of_annotations(tmp_path: Path) -> None:
    media = tmp_path / "videos" / "a b.mp4"
    truth = (Segment("jump", 1.1, 2.4, None),)
    video = video_of("a", TOY, truth=truth, media=media)
    write_eaf(job_of([video, video_of("b", [])], tmp_path / "eaf", folder=True))
    eaf = pympi.Elan.Eaf(str(tmp_path / "eaf" / "a.eaf"))
    assert set(eaf.get_tier_names()) == {"jump", "run", "jump (annotated)"}
    assert sorted(eaf.get_annotation_data_for_tier("jump")) == [
        (1000, 2500, "0.9"),
        (2500, 2501, "1e-07"),
    ]
    assert eaf.get_annotation_data_for_tier("jump (annotated)") == [(1100, 2400, "jump")]
    linked = eaf.get_linked_files()
    assert [file["RELATIVE_MEDIA_URL"] for file in linked] == ["../videos/a%20b.mp4"]
    assert [file["MIME_TYPE"] for file in linked] == ["video/mp4"]
    assert str(tmp_path) not in (tmp_path / "eaf" / "a.eaf").read_text(encoding="utf-8")
    assert list(pympi.Elan.Eaf(str(tmp_path / "eaf" / "b.eaf")).get_tier_names()) == []


@settings(max_examples=40, deadline=None)
@given(segments())
def test_elan_gives_back_all_segments_and_no_tier_overlaps(rows: list[Segment]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_eaf(job_of([Video("v", tuple(rows))], Path(folder, "eaf")))
        path = f"{folder}/eaf/v.eaf"
        eaf, root = pympi.Elan.Eaf(path), ET.parse(path).getroot()
    tiers = {name: sorted(eaf.get_annotation_data_for_tier(name)) for name in eaf.get_tier_names()}
    found = sorted((s, e, float(value)) for own in tiers.values() for s, e, value in own)
    expected = sorted((*milliseconds(row), float(f"{row.score:.4g}")) for row in rows)
    assert found == expected
    for name, own in tiers.items():
        assert all(a[1] <= b[0] for a, b in pairwise(own))
        assert any(name.startswith(one_line(row.label) or "(none)") for row in rows)
    slots = [int(slot.get("TIME_VALUE") or -1) for slot in root.iter("TIME_SLOT")]
    assert slots == sorted(slots)


@pytest.mark.parametrize("label", HOSTILE)
def test_any_label_can_be_a_tier(label: str, tmp_path: Path) -> None:
    write_eaf(job_of([video_of("v", [(label, 0, 1, 0.5)])], tmp_path / "eaf"))
    assert list(pympi.Elan.Eaf(str(tmp_path / "eaf" / "v.eaf")).get_tier_names()) == [
        one_line(label)
    ]


def tasks_of(path: Path) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return tasks


@pytest.mark.parametrize("rate", RATES)
def test_label_studio_ranges_count_frames_from_one_to_the_last(rate: Any, tmp_path: Path) -> None:
    frame_s = float(1 / rate)
    rows = [("x", 0.0, 3 * frame_s, 0.5), ("x", 7 * frame_s, 7 * frame_s, 0.25)]
    write_labelstudio(job_of([video_of("v", rows, rate=rate)], tmp_path / "a.json"))
    task = tasks_of(tmp_path / "a.json")[0]
    found = [region["value"]["ranges"] for region in task["predictions"][0]["result"]]
    assert found == [[{"start": 1, "end": 3}], [{"start": 8, "end": 8}]]
    assert task["data"] == {"video": "v", "fps": float(rate), "id": "v"}


def test_label_studio_has_predictions_with_scores_and_a_config_of_their_labels(
    tmp_path: Path,
) -> None:
    truth = (Segment("fall", 0.0, 1.0, None),)
    videos = [
        video_of(
            "a", TOY, rate=RATES[0], truth=truth, media=Path("x/a b.mp4"), media_name="a b.mp4"
        ),
        video_of("b", [], rate=RATES[0]),
    ]
    write_labelstudio(job_of(videos, tmp_path / "a.json"))
    first, second = tasks_of(tmp_path / "a.json")
    view = ET.parse(config_of(tmp_path / "a.json")).getroot()
    known = [label.get("value") for label in view.iter("Label")]
    assert known == ["fall", "jump", "run"]
    control, player = view.find("TimelineLabels"), view.find("Video")
    assert control is not None
    assert player is not None
    assert player.attrib == {"name": "video", "value": "$video", "frameRate": "$fps"}
    assert first["data"]["video"] == "/data/local-files/?d=a%20b.mp4"
    (prediction,) = first["predictions"]
    assert prediction["score"] == 0.9
    for region in prediction["result"]:
        assert region["from_name"] == control.get("name")
        assert region["to_name"] == control.get("toName") == player.get("name")
        assert set(region["value"]["timelinelabels"]) <= set(known)
    assert [region["score"] for region in prediction["result"]] == [0.9, -0.25, 1e-7]
    assert len({region["id"] for region in prediction["result"]}) == 3
    (annotation,) = first["annotations"]
    assert annotation["result"][0]["value"]["timelinelabels"] == ["fall"]
    assert second["predictions"][0]["result"] == []
    assert "annotations" not in second


def test_label_studio_has_one_label_for_those_that_read_the_same(tmp_path: Path) -> None:
    rows = [("a\nb", 0, 1, 0.5), ("a b", 0, 1, 0.5), ("", 0, 1, 0.5)]
    write_labelstudio(job_of([video_of("v", rows, rate=RATES[0])], tmp_path / "a.json"))
    view = ET.parse(config_of(tmp_path / "a.json")).getroot()
    assert sorted(str(label.get("value")) for label in view.iter("Label")) == ["(none)", "a b"]


def test_label_studio_of_no_video_is_an_empty_list(tmp_path: Path) -> None:
    write_labelstudio(job_of([], tmp_path / "a.json"))
    assert tasks_of(tmp_path / "a.json") == []


@pytest.mark.parametrize("text", [*HOSTILE, "", ".", "con", "a" * 300, "跳" * 100, "x.", "\ud800"])
def test_a_name_made_from_any_text_is_one_plain_file_name(text: str) -> None:
    name = safe_name(text)
    check_name(name)
    assert len(name.encode()) <= 120
    assert safe_name(text + "!") != name


def test_a_lone_surrogate_which_json_can_hold_is_replaced() -> None:
    assert encoded("a\ud800b").decode() == one_line("a\ud800b") == "a\ufffdb"
