"""A video name is one file inside the folder, and never that of another name."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wtal_features.files import FeatureError, path_in


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("..", "starts with a dot"),
        ("../x", "separator"),
        ("/etc/passwd", "separator"),
        ("a/b", "separator"),
        ("a\\b", "separator"),
        ("C:x", "contains one of"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("\ud800", "valid Unicode"),
        (".hidden", "dot"),
        ("a ", "space"),
        (" a", "space"),
        ("a.", "dot"),
        ("what?", "contains one of"),
        ("NUL", "device name"),
        ("com1.take2", "device name"),
        ("e\u0301t\u00e9", "NFC"),
        ("x" * 252, "255 bytes"),
        ("\u00e9" * 126, "255 bytes"),
    ],
)
def test_a_name_that_could_leave_the_folder_or_not_be_a_file_is_refused(
    name: str, reason: str
) -> None:
    with pytest.raises(FeatureError, match=reason) as caught:
        path_in("root", name, ".npy")
    assert caught.value.code == "name"


@pytest.mark.parametrize(
    "name",
    ["video_test_0000004", "-0r0HEwAYiQ", "---9CpRcKoU", "name with spaces & ünïcode", "x" * 251],
)
def test_names_of_real_videos_are_plain_files(name: str) -> None:
    assert path_in("root", name, ".npy") == Path("root", name + ".npy")


def file_of(root: Path, name: str) -> Path | None:
    try:
        return path_in(root, name, ".npy")
    except FeatureError:
        return None


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("./\\:a\u00e9e\u0301CONul \t", max_size=12))
@example("..")
@example("\u00e9")
def test_an_accepted_name_stays_directly_under_the_root(name: str) -> None:
    root = Path("/some/root")
    path = file_of(root, name)
    if path is not None:
        assert path.parent == root
        assert path.resolve().parent == root.resolve()
        assert len(path.name.encode()) <= 255


@settings(deadline=None)
@given(st.lists(st.text("ae\u0301\u00e9./A ", max_size=6), min_size=2, max_size=8, unique=True))
def test_no_two_ids_share_a_file_even_where_unicode_forms_are_one(names: list[str]) -> None:
    paths = [file_of(Path("root"), name) for name in names]
    # macOS compares names after normalisation.
    accepted = [unicodedata.normalize("NFD", str(path)) for path in paths if path is not None]
    assert len(set(accepted)) == len(accepted)
