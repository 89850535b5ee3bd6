"""The corrections file: what is read, what is refused and by which name, and what a hash covers."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from wtal.corrections.file import (
    Correction,
    Corrections,
    VideoCorrections,
    read_corrections,
    write_corrections,
)
from wtal.errors import WtalError
from wtal_features import FeatureError

EXAMPLE = {
    "format": "wtal corrections 1",
    "videos": {
        "a": {
            "complete": False,
            "segments": [
                {"label": "Cough", "segment": [1.2, 3.4], "verdict": "accepted"},
                {"label": "Cough", "segment": [5.0, 6.1], "verdict": "edited", "was": [4.2, 6]},
                {"label": "Cough", "segment": [9.0, 9.9], "verdict": "rejected"},
                {"label": "Sneeze", "segment": [12, 13.5], "verdict": "added"},
            ],
        },
        "b": {"complete": True, "segments": []},
    },
}


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))
    return path


def of_one(*segments: Any, **more: Any) -> dict[str, Any]:
    video = {"complete": False, "segments": list(segments)} | more
    return {"format": "wtal corrections 1", "videos": {"a": video}}


def segment(**changed: Any) -> dict[str, Any]:
    return {"label": "Cough", "segment": [1.0, 2.0], "verdict": "accepted"} | changed


def test_what_the_page_saves_is_read_and_written_back_alike(tmp_path: Path) -> None:
    read = read_corrections(written(tmp_path, EXAMPLE))
    assert read.count == 4
    assert read.videos["b"] == VideoCorrections(True, ())
    assert read.videos["a"].segments[1] == Correction("Cough", 5.0, 6.1, "edited", (4.2, 6.0))
    assert read.videos["a"].labels == ("Cough", "Sneeze")
    assert read.added_labels == {"Sneeze"}
    write_corrections(tmp_path / "again.json", read)
    assert read_corrections(tmp_path / "again.json").videos == read.videos
    assert json.loads((tmp_path / "again.json").read_text()) == EXAMPLE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no corrections file: its format is 'list'"),
        ({"videos": {}}, "its format is 'None'"),
        ({"format": "wtal corrections 2", "videos": {}}, "'wtal corrections 2'; expected"),
        ({"format": "wtal corrections 1"}, "has no 'videos'"),
        ({"format": "wtal corrections 1", "videos": []}, "'videos' is a list"),
        (EXAMPLE | {"by": "me"}, "unknown key 'by'"),
        (of_one(complete=1), "expected complete: true or false"),
        (of_one(done=True), "video 'a' has the unknown key 'done'"),
        (of_one(segment(), segment(colour="red")), "segment 2 has the unknown key 'colour'"),
        (of_one({"label": "x", "segment": [0, 1]}), "segment 1 has no 'verdict'"),
        (of_one(segment(verdict="maybe")), "verdict 'maybe'; expected accepted, edited"),
        (of_one(segment(label=" Cough")), "label ' Cough'; expected a name"),
        (of_one(segment(label="")), "label ''"),
        (of_one(segment(label=3)), "label '3'"),
        (of_one(segment(segment=[2.0, 1.0])), "ends at 1.0 s and starts at 2.0 s"),
        (of_one(segment(segment=[1.0, 1.0])), "expected start before end"),
        (of_one(segment(segment=[-1.0, 1.0])), "seconds from 0 on"),
        (of_one(segment(segment=["1", "2"])), "seconds from 0 on"),
        (of_one(segment(segment=[True, 2])), "seconds from 0 on"),
        (of_one(segment(segment=[1.0])), "seconds from 0 on"),
        (of_one(segment(segment=[0, 10**400])), "seconds from 0 on"),
        (of_one(segment(was=[0, 1])), "'was' if and only if its verdict is edited"),
        (of_one(segment(verdict="edited")), "'was' if and only if its verdict is edited"),
        (of_one(segment(verdict="edited", was=[3, 1])), r"starts at 3.0 s.*\('was'\)"),
        (of_one("Cough"), "segment 1 is a str"),
        ({"format": "wtal corrections 1", "videos": {"a": 3}}, "video 'a' is a int"),
    ],
)
def test_another_form_is_refused_by_name(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(WtalError, match=message):
        read_corrections(written(tmp_path, content))


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/b", "", ".", "a\x00"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    content = {"format": "wtal corrections 1", "videos": {name: EXAMPLE["videos"]}}
    with pytest.raises(WtalError, match="The video name"):
        read_corrections(written(tmp_path, content))


def test_of_many_faults_the_first_are_told_with_their_number(tmp_path: Path) -> None:
    content = of_one(*(segment(segment=[i + 1, i]) for i in range(7)))
    with pytest.raises(WtalError, match=r"segment 1 .*segment 3 .*\(and 4 more\)"):
        read_corrections(written(tmp_path, content))


def test_what_is_no_json_or_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text(json.dumps(EXAMPLE)[:40])
    with pytest.raises(FeatureError, match=r"cut\.json is no JSON"):
        read_corrections(tmp_path / "cut.json")
    (tmp_path / "nan.json").write_text(json.dumps(of_one(segment(segment=[0, float("nan")]))))
    with pytest.raises(FeatureError, match="NaN is not JSON"):
        read_corrections(tmp_path / "nan.json")
    with pytest.raises(FeatureError, match=r"none\.json"):
        read_corrections(tmp_path / "none.json")


def test_a_segment_said_twice_counts_once_and_is_named(tmp_path: Path) -> None:
    read = read_corrections(written(tmp_path, of_one(segment(), segment(verdict="added"))))
    assert read.count == 1
    assert read.videos["a"].segments[0].verdict == "accepted"
    assert "'Cough' from 1.0 to 2.0 s twice" in read.notes[0]


def test_one_segment_with_opposite_verdicts_is_refused(tmp_path: Path) -> None:
    content = of_one(segment(), segment(verdict="rejected"))
    with pytest.raises(WtalError, match="both 'accepted' and 'rejected'"):
        read_corrections(written(tmp_path, content))
    other = of_one(segment(), segment(label="Sneeze", verdict="rejected"))
    assert read_corrections(written(tmp_path, other)).count == 2  # of another class it is none


def test_a_million_corrections_are_read_in_seconds(tmp_path: Path) -> None:
    """A hundred thousand in the tenth of the time: the file takes 80 s to write else."""
    many = [segment(segment=[i, i + 0.5]) for i in range(100_000)]
    path = written(tmp_path, of_one(*many))
    started = time.process_time()
    assert read_corrections(path).count == 100_000
    assert time.process_time() - started < 10  # 1 s on an idle core; squared it would be minutes


def test_a_hash_covers_what_is_said_and_not_the_order(tmp_path: Path) -> None:
    one, two = segment(), segment(segment=[5, 6])
    hashes = {
        read_corrections(written(tmp_path, content)).digest()
        for content in (of_one(one, two), of_one(two, one), of_one(one, two, one))
    }
    assert len(hashes) == 1
    for other in (of_one(one), of_one(one, two, complete=True)):
        assert read_corrections(written(tmp_path, other)).digest() not in hashes
    assert read_corrections(written(tmp_path, of_one())).digest() is None
    assert Corrections({}).digest() is None
