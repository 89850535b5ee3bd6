"""Only recordings are opened, only the file that was named, and every fault is one sentence."""

import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.features.videos import number_of, numbered, write_video
from wtal_features.errors import FeatureError
from wtal_features.video.container import MAX_PIXELS, VideoFacts, open_video
from wtal_features.video.frames import FrameReader

pytestmark = pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV")


def facts_of(path: Path | str) -> VideoFacts:
    with open_video(path) as video:
        return video.facts


def refusal(path: Path | str) -> FeatureError:
    """Why a path is refused; it names the path, in one or two sentences on one line."""
    with pytest.raises(FeatureError) as raised, open_video(path) as video:
        list(FrameReader(video))
    text = str(raised.value)
    assert Path(path).name in text
    assert "\n" not in text
    assert "Errno" not in text
    assert text.endswith(".")
    return raised.value


def write_sound(path: Path, codec: str, cover: bytes = b"") -> Path:
    """A tenth of a second of silence, with a cover picture where one is given."""
    import av

    kind = "mp3" if codec == "mp3" else "mp4"
    with av.open(str(path), "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=44100, layout="mono")
        picture: Any = container.add_stream("mjpeg") if cover else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        for i in range(4):
            frame = av.AudioFrame(stream.codec_context.format.name, "mono", 1152)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts = 44100, 1152 * i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if cover:
            packet = av.Packet(cover)
            packet.stream, packet.pts, packet.dts = picture, 0, 0
            container.mux(packet)
    return path


# What opens --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("v.mp4", "libx264", "yuv420p"),
        ("v.mov", "libx264", "yuv420p"),
        ("v.mkv", "mpeg4", "yuv420p"),
        ("v.webm", "libvpx-vp9", "yuv420p"),
        ("v.avi", "mjpeg", "yuvj420p"),
        ("v.ts", "libx264", "yuv420p"),
        ("v.mpg", "mpeg2video", "yuv420p"),
        ("v.flv", "flv", "yuv420p"),
        ("v.wmv", "wmv2", "yuv420p"),
        ("v.gif", "gif", "rgb8"),
        ("v.h264", "libx264", "yuv420p"),
        ("no_suffix", "libx264", "yuv420p"),
        ("wrong_suffix.avi", "libx264", "yuv420p"),
    ],
)
def test_recordings_open_whatever_their_name(
    tmp_path: Path, name: str, codec: str, pix_fmt: str
) -> None:
    container = {"no_suffix": "v.mp4", "wrong_suffix.avi": "v.mkv"}.get(name, name)
    path = write_video(
        tmp_path / container, numbered(5), codec=codec, options={}, pix_fmt=pix_fmt
    ).rename(tmp_path / name)
    with open_video(path) as video:
        assert (video.facts.width, video.facts.height) == (64, 48)
        assert len(list(FrameReader(video))) == 5


def test_facts_are_those_of_the_header(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered(10))
    expected = VideoFacts("mov,mp4,m4a,3gp,3g2,mj2", "h264", 64, 48, 25.0, 0.4, 0.4, 10)
    assert facts_of(path) == facts_of(str(path)) == expected
    matroska = facts_of(write_video(tmp_path / "v.mkv", numbered(10)))
    assert (matroska.duration_s, matroska.container_s, matroska.frames) == (None, 0.4, None)


@pytest.mark.parametrize(
    "name",
    [
        "name with spaces & ünïcode.mp4",
        "100%.mp4",
        "frame_%03d.mp4",
        "a?b#c.mp4",
        "x:y.mp4",
        "http:.mp4",
        "concat:a.mp4|b.mp4",
        "-i.mp4",
        "new\nline.mp4",
    ],
)
def test_a_name_is_a_name_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = write_video(tmp_path / "v.mp4", numbered(3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert facts_of(path).frames == 3
    assert facts_of(name).frames == 3


def test_a_link_to_a_video_opens(tmp_path: Path) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(write_video(tmp_path / "v.mp4", numbered(3)))
    assert facts_of(link).frames == 3


def test_sound_beside_the_pictures_does_not_disturb(tmp_path: Path) -> None:
    import av

    silent, sound = tmp_path / "v.mp4", write_sound(tmp_path / "s.mp4", "aac")
    write_video(silent, numbered(5))
    with (
        av.open(str(silent)) as pictures,
        av.open(str(sound)) as tones,
        av.open(str(tmp_path / "both.mp4"), "w") as both,
    ):
        sources = (tones, pictures)  # sound is stream 0
        targets = [both.add_stream_from_template(source.streams[0]) for source in sources]
        for source, target in zip(sources, targets, strict=True):
            for packet in source.demux(source.streams[0]):
                if packet.dts is not None:
                    packet.stream = target
                    both.mux(packet)
    with open_video(tmp_path / "both.mp4") as video:
        shown = [number_of(d.frame.to_ndarray(format="rgb24")) for d in FrameReader(video)]
    assert shown == list(range(5))


# What does not -----------------------------------------------------------------------------------


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path).code == "file"
    assert refusal(tmp_path / "absent.mp4").code == "missing"
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert refusal(empty).code == "empty"
    with pytest.raises(FeatureError, match="cannot be read"), open_video(f"{tmp_path}/a\0b.mp4"):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refusal(tmp_path / "pipe.mp4").code == "file"
    assert refusal("/dev/zero").code == "file"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything"
)
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered(2))
    path.chmod(0)
    assert refusal(path).code == "unreadable"


@pytest.mark.parametrize(
    "content",
    [b"x", b"This is a text about a video.\n" * 50, bytes(4096), b"\xff" * 4096, b"\x1aE\xdf\xa3"],
)
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.mp4"
    path.write_bytes(content)
    assert refusal(path).code in ("video", "no-video-stream")


def test_sound_alone_is_named_with_what_it_holds(tmp_path: Path) -> None:
    error = refusal(write_sound(tmp_path / "s.m4a", "aac"))
    assert error.code == "no-video-stream"
    assert "it holds audio" in str(error)
    # The demuxer of mp3 is not among those of recordings.
    assert refusal(write_sound(tmp_path / "s.mp3", "mp3")).code == "video"


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    import av

    motion_jpeg = write_video(
        tmp_path / "c.avi", numbered(1), codec="mjpeg", options={}, pix_fmt="yuvj420p"
    )
    with av.open(str(motion_jpeg)) as container:
        cover = bytes(next(container.demux(video=0)))
    for name, codec, code in (("s.m4a", "aac", "no-video-stream"), ("s.mp3", "mp3", "video")):
        path = write_sound(tmp_path / name, codec, cover)
        with av.open(str(path)) as container:  # the cover is there, as a stream of pictures
            assert len(container.streams.video) == 1
        assert refusal(path).code == code


def gif_of(width: int, height: int, path: Path) -> Path:
    data = bytearray(
        write_video(path, numbered(2), codec="gif", options={}, pix_fmt="rgb8").read_bytes()
    )
    data[6:10] = struct.pack("<HH", width, height)
    path.write_bytes(data)
    return path


def test_frames_of_an_impossible_size_are_refused(tmp_path: Path) -> None:
    assert MAX_PIXELS < 12000 * 12000
    error = refusal(gif_of(12000, 12000, tmp_path / "large.gif"))
    assert error.code == "too-large"
    assert "12000 x 12000 px" in str(error)
    assert refusal(gif_of(65535, 65535, tmp_path / "larger.gif")).code == "video"
    assert refusal(gif_of(0, 0, tmp_path / "nothing.gif")).code == "video"


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(FeatureError, match=r"pip install 'wtal\[video\]'") as raised:
        facts_of(tmp_path / "v.mp4")
    assert raised.value.code == "no-av"


# No other file, no network -----------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[tuple[str, list[object]]]:
    """The address of a local server, and those who called."""
    calls: list[object] = []
    done = threading.Event()

    def listen() -> None:
        while True:
            connection, caller = listening.accept()
            connection.close()
            if done.is_set():
                return
            calls.append(caller)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=listen)
        thread.start()
        host, port = listening.getsockname()
        yield f"{host}:{port}", calls
        done.set()
        socket.create_connection((host, port)).close()  # wakes it up
        thread.join()


def test_a_url_is_the_name_of_a_file_that_is_not_there(
    tmp_path: Path, server: tuple[str, list[object]]
) -> None:
    address, calls = server
    path = write_video(tmp_path / "v.mp4", numbered(2))
    urls = (
        f"http://{address}/v.mp4",
        f"tcp://{address}",
        f"file:{path}",
        f"file://{path}",
        f"concat:{path}|{path}",
        f"subfile,,start,0,end,0,,:{path}",
        f"crypto:{path}",
        f"pipe:0/{path.name}",
        "data:video/mp4;base64,AAAA",
    )
    for url in urls:
        assert refusal(url).code == "missing"
    assert calls == []


def test_a_playlist_named_as_a_video_opens_neither_files_nor_the_network(
    tmp_path: Path, server: tuple[str, list[object]]
) -> None:
    address, calls = server
    part = write_video(tmp_path / "part.ts", numbered(5))
    for segment in (part.name, str(part), f"file:{part}", f"http://{address}/part.ts"):
        hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.2,\n"
        path = tmp_path / "x.mp4"
        path.write_text(f"{hls}{segment}\n#EXT-X-ENDLIST\n")
        assert refusal(path).code == "video"
        path.write_text(f"ffconcat version 1.0\nfile '{segment}'\n")
        assert refusal(path).code == "video"
        path.write_text(
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
            f"<Period><AdaptationSet><Representation><BaseURL>{segment}</BaseURL>"
            "</Representation></AdaptationSet></Period></MPD>"
        )
        assert refusal(path).code == "video"
    assert calls == []


def test_the_playlists_above_would_be_followed_without_the_whitelists(tmp_path: Path) -> None:
    """The check of the check: what is refused there is not merely malformed."""
    import av

    part = write_video(tmp_path / "part.ts", numbered(5))
    path = tmp_path / "x.mp4"
    path.write_text(f"ffconcat version 1.0\nfile '{part.name}'\n")
    with av.open(str(path), options={"safe": "0"}) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_a_session_description_opens_no_port(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    assert refusal(path).code == "video"


def test_a_pattern_of_pictures_is_no_video(tmp_path: Path) -> None:
    import av

    for i in range(3):
        with av.open(str(tmp_path / f"p{i}.avi"), "w") as container:
            stream = container.add_stream("mjpeg", rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
            frame = av.VideoFrame.from_ndarray(numbered(1)[0], format="rgb24")
            (tmp_path / f"p{i}.jpg").write_bytes(bytes(stream.encode(frame)[0]))
    assert refusal(tmp_path / "p%d.jpg").code == "missing"
    assert refusal(tmp_path / "p0.jpg").code == "video"


def test_opening_prints_nothing(tmp_path: Path) -> None:
    """FFmpeg itself would write of damage to the terminal."""
    path = write_video(tmp_path / "v.avi", numbered(40), codec="mpeg4")
    path.write_bytes(
        re.sub(rb"\x00\x00\x01\xb6....", b"\0\0\1\xb6\xff\xff\xff\xff", path.read_bytes())
    )
    code = (
        "import sys\n"
        "from wtal_features.video.container import open_video\n"
        "from wtal_features.video.frames import FrameReader\n"
        "from wtal_features.errors import FeatureError\n"
        "try:\n"
        "    with open_video(sys.argv[1]) as video:\n"
        "        list(FrameReader(video))\n"
        "except FeatureError:\n"
        "    pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout + done.stderr == b""
