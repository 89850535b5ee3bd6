"""Tags in and out, with every fault at its line."""

import csv
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal_features import FeatureError, Tags, read_tags, write_tags


def read(tmp_path: Path, text: str) -> Tags:
    path = tmp_path / "tags.csv"
    path.write_bytes(text.encode("utf-8"))
    return read_tags(path)


def test_one_row_per_pair(tmp_path: Path) -> None:
    tags = read(tmp_path, "video,label,subset\na,Run,train\na,Jump,train\nb,Run,test\n")
    assert tags.labels == {"a": ("Jump", "Run"), "b": ("Run",)}
    assert tags.subsets == {"a": "train", "b": "test"}
    assert (tags.videos, tags.classes) == (("a", "b"), ("Jump", "Run"))
    assert tags.of_subset("test").labels == {"b": ("Run",)}
    with pytest.raises(FeatureError, match=r"No video has the subset 'val'.*'test', 'train'"):
        tags.of_subset("val")


def test_one_row_per_video_with_semicolons(tmp_path: Path) -> None:
    tags = read(tmp_path, "video,labels\na,Run; Jump;\nb,\n")
    assert tags.labels == {"a": ("Jump", "Run"), "b": ()}


@pytest.mark.parametrize("first", ["", "sep=;\r\n", "\r\n"])
def test_a_file_of_a_european_spreadsheet_has_semicolons(tmp_path: Path, first: str) -> None:
    rows = 'Video;Label;Confidence\r\na;Run, fast;\r\nb;"Jump;x";0,75\r\nc;;\r\n'
    tags = read(tmp_path, f"\ufeff{first}{rows}")
    assert tags.labels == {"a": ("Run, fast",), "b": ("Jump;x",), "c": ()}
    assert tags.confidences == {("b", "Jump;x"): 0.75}


def test_a_cell_of_labels_holds_several_between_semicolons_if_it_is_quoted(tmp_path: Path) -> None:
    assert read(tmp_path, 'video;labels\na;"Run;Jump"\n').labels == {"a": ("Jump", "Run")}
    assert read(tmp_path, '"video";"labels"\na;Run\n').labels == {"a": ("Run",)}


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_file_with_tabs_is_read(tmp_path: Path, end: str) -> None:
    tags = read(tmp_path, f"video\tlabels\tsubset{end}a\tRun;Jump\ttrain{end}")
    assert tags.labels == {"a": ("Jump", "Run")}
    assert tags.subsets == {"a": "train"}


def test_an_empty_column_that_nobody_sees_is_left_out(tmp_path: Path) -> None:
    # Excel leaves separators at the end of a row out where it likes.
    tags = read(tmp_path, ",Video,Label,,\n,a,Run,,\n,b,Jump\n,c,Run,,,\n")
    assert tags.labels == {"a": ("Run",), "b": ("Jump",), "c": ("Run",)}


def test_an_empty_label_is_a_background_video(tmp_path: Path) -> None:
    assert read(tmp_path, "video,label\na,\n").labels == {"a": ()}


def test_what_spreadsheets_add_is_understood(tmp_path: Path) -> None:
    tags = read(tmp_path, '\ufeffVideo, Label ,Subset\r\na,"Clean, jerk",\r\n\r\n')
    assert tags.labels == {"a": ("Clean, jerk",)}
    assert tags.subsets == {}


def test_repeated_pairs_are_merged_and_noted(tmp_path: Path) -> None:
    tags = read(tmp_path, "video,label\na,Run\na,Run\n")
    assert tags.labels == {"a": ("Run",)}
    assert tags.notes[0].endswith("1 repeated pair of video and label was merged.")


def test_two_unicode_forms_of_a_name_are_one_video(tmp_path: Path) -> None:
    other = unicodedata.normalize("NFD", "é")
    assert read(tmp_path, f"video,label\né,{other}\n{other},é\n").labels == {"é": ("é",)}


def test_a_confidence_is_that_of_a_suggestion_and_an_empty_one_that_of_a_person(
    tmp_path: Path,
) -> None:
    tags = read(tmp_path, "video,label,subset,confidence\na,Run,x,\nb,Run,x,0.75\nb,Jump,x,1\n")
    assert tags.labels == {"a": ("Run",), "b": ("Jump", "Run")}
    assert tags.confidences == {("b", "Run"): 0.75, ("b", "Jump"): 1.0}
    assert tags.of_subset("x").confidences == tags.confidences


@pytest.mark.parametrize(("rows", "kept"), [(("0.25", "0.5"), 0.5), (("0.5", ""), None)])
def test_of_a_repeated_pair_the_surer_one_stays(
    tmp_path: Path, rows: tuple[str, str], kept: float | None
) -> None:
    for first, second in (rows, rows[::-1]):
        tags = read(tmp_path, f"video,label,confidence\na,Run,{first}\na,Run,{second}\n")
        assert tags.confidences.get(("a", "Run")) == kept
        assert "1 repeated pair" in tags.notes[0]


def test_suggestions_survive_a_round_trip(tmp_path: Path) -> None:
    tags = Tags({"a": ("=Run", "Jump"), "b": ()}, {}, (), {("a", "=Run"): 1 / 3})
    write_tags(tmp_path / "tags.csv", tags)
    assert read_tags(tmp_path / "tags.csv") == tags
    assert (tmp_path / "tags.csv").read_text().splitlines()[0] == "video,label,confidence"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1 is no header"),
        ("vidoe,lable\na,Run\n", "line 1 has no column 'video', but 'vidoe'; expected the header"),
        ("videos,label\na,Run\n", "line 1 has no column 'video', but 'videos'; expected the head"),
        ("a,Run\nb,Run\n", "line 1 is no header: 'a,Run'"),
        ("video_1,Run\n", "line 1 is no header: 'video_1,Run'"),
        ("Datei,Verhalten\n", "header: 'Datei,Verhalten'.* rename the columns to video,label"),
        ("Datei;Verhalten\n", "header: 'Datei;Verhalten'.* rename the columns to video,label"),
        ("video;lable\n", "unknown column 'lable'.*Did you mean 'label'"),
        ("sep=;\nvideo;label\n\na;Run;Jump\n", "line 4 has 3 cells; .*2: video;label.*semicolons"),
        ("video;label\na,Run\n", "line 2 has 1 cell; expected 2"),
        ("video,label\na;Run\n", "line 2 has 1 cell; expected 2"),
        ("video,label,\na,Run,\nb,Run,x\n", "line 3 has 'x' in a column without a name"),
        ("video,label,split\n", "unknown column 'split'"),
        ("video,lable\n", "unknown column 'lable'.*Did you mean 'label'"),
        ("video,label,labels\n", "line 1 is"),
        ("video,label,label\n", "line 1 is"),
        ("video,subset\n", "line 1 is"),
        ("video,label\na\n", "line 2 has 1 cell; expected 2"),
        ("video,label\na,Run,Jump\n", "line 2 has 3 cells; expected 2.*label of a video a line of"),
        ("video,label\n\n,Run\n", "line 3 names no video"),
        ("video,label\n../a,Run\n", "line 2: The video name '../a' contains a path separator"),
        ("video,label\nC:\\d\\a.mp4,Run\n", "line 2: .* Write the name of the file alone, 'a.mp4'"),
        ("video,label,subset\na,Run,x\na,Jump,y\n", "line 3 puts 'a' into 'y'; an .*'x'"),
        ("video,labels,confidence\n", "columns labels and confidence.*one row per pair"),
        ("video,label,confidence\na,Run,1.5\n", "line 2 has the confidence '1.5'.*from 0 to 1"),
        ("video,label,confidence\na,Run,nan\n", "line 2 has the confidence 'nan'"),
        ("video,label,confidence\na,Run,sure\n", "line 2 has the confidence 'sure'.*person gave"),
        ('video,label\na,"Ru\x00n"\n', "line 2 holds a control character"),
        ('video,label\na,"Run\n', "line 2 is no CSV"),
    ],
)
def test_a_faulty_file_names_the_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(FeatureError, match=reason):
        read(tmp_path, text)


def test_a_file_of_an_old_spreadsheet_names_the_encoding(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_bytes("video,label\né,Run\n".encode("cp1252"))
    with pytest.raises(FeatureError, match=r"not UTF-8 text: byte 12.*Save it as UTF-8"):
        read_tags(tmp_path / "tags.csv")


text = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), max_size=6)
labels = st.tuples(st.sampled_from(["", "=", "+", "-", "@", "'=", "''@", "'"]), text).map("".join)
plain_labels = labels.filter(bool).filter(lambda s: unicodedata.is_normalized("NFC", s))


@settings(deadline=None)
@given(st.sets(plain_labels, max_size=3), plain_labels, st.sampled_from(["-0r0HEwAYiQ", "a b"]))
def test_tags_survive_a_round_trip_and_no_cell_is_a_formula(
    tmp_path_factory: pytest.TempPathFactory, own: set[str], subset: str, video: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    tags = Tags({video: tuple(sorted(own)), "other": ("x;y",)}, {video: subset})
    write_tags(path, tags)
    assert read_tags(path) == tags
    with path.open(newline="", encoding="utf-8") as handle:
        cells = [cell for row in csv.reader(handle) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("label", ["", " a", "a\n", "\t=1", "e\u0301", "\ud800"])
def test_a_label_that_could_not_be_read_back_is_not_written(tmp_path: Path, label: str) -> None:
    path = tmp_path / "tags.csv"
    with pytest.raises(FeatureError, match="outer spaces and control characters"):
        write_tags(path, Tags({"a": (label,)}))
    assert not path.exists()
