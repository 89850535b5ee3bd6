"""Which files of a folder are videos, and under which ids."""

import os
import sys
import unicodedata
from pathlib import Path

import pytest

from wtal_features.errors import FeatureError
from wtal_features.extraction.listing import list_videos


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def ids(source: Path) -> list[str]:
    return [video.video for video in list_videos(source).videos]


def test_videos_are_found_below_folders_and_sorted_by_id(tmp_path: Path) -> None:
    touch(tmp_path, "z.mp4", "b/y.webm", "b/c/x.avi", "a/w.mkv", "b/c/d/e/v.mov")
    listing = list_videos(tmp_path)
    assert [(v.video, v.name) for v in listing.videos] == [
        ("v", "b/c/d/e/v.mov"),
        ("w", "a/w.mkv"),
        ("x", "b/c/x.avi"),
        ("y", "b/y.webm"),
        ("z", "z.mp4"),
    ]
    assert listing.videos[0].path == tmp_path / "b/c/d/e/v.mov"
    assert (listing.faults, listing.others) == ((), ())


@pytest.mark.parametrize("subset", ["train", "test", "Validation", "val", "training"])
def test_a_folder_named_like_a_subset_says_the_subset(tmp_path: Path, subset: str) -> None:
    touch(tmp_path, f"{subset}/a.mp4", f"x/{subset}/b.mp4", f"{subset}/x/c.mp4", "d.mp4")
    found = {v.video: v.subset for v in list_videos(tmp_path).videos}
    assert found == {"a": subset, "b": subset, "c": None, "d": None}
    assert list_videos(tmp_path / subset).videos[0].subset == subset


def test_two_files_of_one_id_are_named_and_neither_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "x/a.mp4", "y/a.mkv", "y/b.mkv")
    listing = list_videos(tmp_path)
    assert [v.video for v in listing.videos] == ["b"]
    (fault,) = listing.faults
    assert (fault.code, fault.where) == ("twice", "a")
    assert (
        "3 files have this name, and none of them is used: 'a.mp4', 'x/a.mp4', 'y/a.mkv'"
        in fault.message
    )


def test_hidden_files_and_folders_are_left_out_without_a_word(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", ".b.mp4", "._a.mp4", ".trash/c.mp4", ".DS_Store")
    listing = list_videos(tmp_path)
    assert [v.video for v in listing.videos] == ["a"]
    assert (listing.faults, listing.others) == ((), ())


def test_a_name_in_two_unicode_forms_is_one_id_in_nfc(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "été")
    touch(tmp_path, f"{name}.mp4")
    (video,) = list_videos(tmp_path).videos
    assert video.video == "été"
    assert unicodedata.is_normalized("NFC", video.video)
    assert video.path.exists()
    touch(tmp_path, "x/été.mp4")
    assert list_videos(tmp_path).faults[0].code == "twice"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a:b.mp4", "< > :"),
        ("a?.mp4", "< > :"),
        ("nul.mp4", "device name on Windows"),
        ("a .mp4", "space"),
        ("a\tb.mp4", "control character"),
        ("a" * 252 + ".ts", "longer than 255 bytes"),  # as the name of an array
    ],
)
def test_a_name_that_not_every_file_system_takes_is_a_fault(
    tmp_path: Path, name: str, reason: str
) -> None:
    touch(tmp_path, name, "good.mp4")
    listing = list_videos(tmp_path)
    assert [v.video for v in listing.videos] == ["good"]
    (fault,) = listing.faults
    assert (fault.code, fault.where) == ("name", name)
    assert reason in fault.message


def test_endings_are_known_in_either_case(tmp_path: Path) -> None:
    assert ids(touch(tmp_path, "a.MP4", "b.Mov", "c.M2TS", "d.AVI")) == ["a", "b", "c", "d"]


def test_only_the_last_ending_is_taken_off(tmp_path: Path) -> None:
    assert ids(touch(tmp_path, "v.2019.mp4", "w.mp4.mp4")) == ["v.2019", "w.mp4"]


def test_files_of_other_names_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "tags.csv", "a.wav", "x/readme", "x/a.mp4.part")
    listing = list_videos(tmp_path)
    assert listing.others == ("a.wav", "tags.csv", "x/a.mp4.part", "x/readme")


def test_one_file_is_a_list_of_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "test/c.mp4")
    (video,) = list_videos(tmp_path / "a.mp4").videos
    assert (video.video, video.name, video.subset) == ("a", "a.mp4", None)
    assert list_videos(tmp_path / "test" / "c.mp4").videos[0].subset == "test"


def test_one_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"tags\.csv is no video by its name"):
        list_videos(touch(tmp_path, "tags.csv") / "tags.csv")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"none does not exist; expected a folder of videos\."):
        list_videos(tmp_path / "none")


@pytest.mark.parametrize("url", ["https://example.org/a.mp4", "s3://bucket/videos"])
def test_an_address_is_refused_with_a_hint(url: str) -> None:
    for source in (url, Path(url)):
        with pytest.raises(FeatureError, match="Videos are read from local files only"):
            list_videos(source)


def test_a_folder_without_videos_says_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path, "a.npy", "b.npy", "c.npy", "d.npy")
    with pytest.raises(FeatureError, match=r"holds no video.*'a\.npy', 'b\.npy', 'c\.npy', \.\.\."):
        list_videos(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        FeatureError,
        match=r"no video by its name\. Expected files such as kitchen_1\.mp4;",
    ):
        list_videos(tmp_path / "empty")


def test_a_folder_of_faulty_names_is_a_list_of_faults(tmp_path: Path) -> None:
    listing = list_videos(touch(tmp_path, "a:b.mp4"))
    assert (len(listing.videos), len(listing.faults)) == (0, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "videos", "a.mp4", "sub/b.mp4")
    touch(tmp_path / "elsewhere", "c.mp4")
    (tmp_path / "videos" / "loop").symlink_to(tmp_path / "videos")
    (tmp_path / "videos" / "sub" / "up").symlink_to("..")
    (tmp_path / "videos" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "videos" / "d.mp4").symlink_to(tmp_path / "elsewhere" / "c.mp4")
    listing = list_videos(tmp_path / "videos")
    assert [v.video for v in listing.videos] == ["a", "b", "c", "d"]
    assert listing.faults == ()


def test_a_folder_that_cannot_be_listed_is_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.mp4", "sealed/b.mp4")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("sealed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FeatureError, match=r"sealed cannot be listed: Permission denied"):
        list_videos(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")
def test_a_name_that_is_no_text_can_still_be_printed(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")).touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\x1b[2J\xff.txt")).touch()
    listing = list_videos(tmp_path)
    assert "not valid Unicode" in listing.faults[0].message
    (tmp_path / "a.mp4").unlink()
    listing.faults[0].message.encode()
    (tmp_path / os.fsdecode(b"\xff.mp4")).unlink()
    with pytest.raises(FeatureError, match="holds no video") as caught:
        list_videos(tmp_path)
    assert str(caught.value).encode().isascii()
