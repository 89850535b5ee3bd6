"""A file's content is read once, as long as it does not change."""

import hashlib
import json
import os
import sys
import threading
from pathlib import Path

import pytest

from wtal_features.errors import FeatureError
from wtal_features.extraction import sources
from wtal_features.extraction.sources import CACHE, Sources


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "videos" / "a.mp4"
    path.parent.mkdir()
    path.write_bytes(b"content")
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content was read."""
    digest, found = sources._digest, []

    def noted(path: Path) -> str:
        found.append(path.name)
        return digest(path)

    monkeypatch.setattr(sources, "_digest", noted)
    return found


def remembered(store: Path, video: Path) -> str:
    memory = Sources(store)
    found = memory.sha256("a.mp4", video)
    store.mkdir(exist_ok=True)
    memory.save()
    return found


def test_the_content_is_its_sha256(tmp_path: Path, video: Path) -> None:
    assert Sources(tmp_path).sha256("a.mp4", video) == sha256(b"content")
    video.write_bytes(b"x" * (2 << 20) + b"y")
    assert Sources(tmp_path).sha256("a.mp4", video) == sha256(video.read_bytes())


def test_a_file_that_did_not_change_is_not_read_again(
    tmp_path: Path, video: Path, reads: list[str]
) -> None:
    first = remembered(tmp_path / "s", video)
    assert remembered(tmp_path / "s", video) == first
    assert reads == ["a.mp4"]


def test_a_file_that_was_touched_is_read_and_has_the_same_content(
    tmp_path: Path, video: Path, reads: list[str]
) -> None:
    first = remembered(tmp_path / "s", video)
    os.utime(video, ns=(1, 1))
    assert remembered(tmp_path / "s", video) == first
    assert len(reads) == 2
    assert remembered(tmp_path / "s", video) == first
    assert len(reads) == 2


def test_changed_content_is_another_content(tmp_path: Path, video: Path) -> None:
    remembered(tmp_path / "s", video)
    status = video.stat()
    video.write_bytes(b"CONTENT")
    os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert remembered(tmp_path / "s", video) == sha256(b"CONTENT")
    video.write_bytes(b"content, longer")
    os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # the size alone differs
    assert remembered(tmp_path / "s", video) == sha256(b"content, longer")


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "\0",
        '{"a.mp4": 5}',
        '{"a.mp4": [7]}',
        '{"a.mp4": [SIZE, TIME, 5]}',
        '{"a.mp4": [SIZE, TIME, "abc"]}',
        '{"a.mp4": [SIZE, TIME]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_memory_is_no_memory(
    tmp_path: Path, video: Path, reads: list[str], damage: str
) -> None:
    status = video.stat()
    damage = damage.replace("SIZE", str(status.st_size)).replace("TIME", str(status.st_mtime_ns))
    (tmp_path / CACHE).write_text(damage)
    memory = Sources(tmp_path)
    assert memory.sha256("a.mp4", video) == sha256(b"content")
    assert reads == ["a.mp4"]
    memory.save()
    assert json.loads((tmp_path / CACHE).read_text())["a.mp4"][2] == sha256(b"content")


def test_equal_memories_are_equal_bytes_in_any_order(tmp_path: Path, video: Path) -> None:
    other = video.with_name("b.mp4")
    other.write_bytes(b"other")
    files = [("a.mp4", video), ("b.mp4", other)]
    for folder, order in (("x", files), ("y", files[::-1])):
        (tmp_path / folder).mkdir()
        memory = Sources(tmp_path / folder)
        for name, path in order:
            memory.sha256(name, path)
        memory.save()
    assert (tmp_path / "x" / CACHE).read_bytes() == (tmp_path / "y" / CACHE).read_bytes()


def test_a_share_uses_the_memory_of_the_whole_and_saves_its_own(
    tmp_path: Path, video: Path, reads: list[str]
) -> None:
    other = video.with_name("b.mp4")
    other.write_bytes(b"other")
    whole = tmp_path / "s"
    whole.mkdir()
    memory = Sources(whole)
    memory.sha256("a.mp4", video)
    memory.sha256("b.mp4", other)
    memory.save()
    share = Sources(tmp_path, whole)
    assert share.sha256("a.mp4", video) == sha256(b"content")
    assert len(reads) == 2
    share.save()
    assert json.loads((tmp_path / CACHE).read_text()).keys() == {"a.mp4"}
    new = Sources(tmp_path / "new")
    new.learn(tmp_path)
    new.sha256("a.mp4", video)
    assert len(reads) == 2


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"gone\.mp4 cannot be read: No such file"):
        Sources(tmp_path).sha256("gone.mp4", tmp_path / "gone.mp4")
    (tmp_path / "link.mp4").symlink_to("nowhere")
    with pytest.raises(FeatureError, match=r"link\.mp4 cannot be read"):
        Sources(tmp_path).sha256("link.mp4", tmp_path / "link.mp4")


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders")
def test_a_pipe_with_the_name_of_a_video_does_not_keep_us_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    faults: list[FeatureError] = []

    def ask() -> None:
        try:
            Sources(tmp_path).sha256("a.mp4", tmp_path / "a.mp4")
        except FeatureError as error:
            faults.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert "no regular file" in str(faults[0])
