"""Frames with their times: what a clock on the screen would say, whatever the file is."""

import os
import random
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from importlib.util import find_spec
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.features.videos import number_of, numbered, texture, write_video
from wtal_features.errors import FeatureError
from wtal_features.video.container import open_video
from wtal_features.video.frames import CutShortError, FrameReader, to_rgb
from wtal_features.video.grid import Grid, on_grid

pytestmark = pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV")

HALF = Fraction(1, 2)
NTSC = Fraction(30000, 1001)
B_FRAMES = {"preset": "ultrafast", "g": "12", "bf": "3", "b_strategy": "0"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
VP9 = {"deadline": "realtime", "cpu-used": "8"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3"}


class Read:
    """Everything about one file."""

    def __init__(self, path: Path, *, partial: bool = False) -> None:
        from av.video.reformatter import VideoReformatter

        reformatter = VideoReformatter()
        with open_video(path) as video:
            self.reader = FrameReader(video, partial=partial)
            self.cells: list[int] = []  # for each grid frame the picture that it shows
            self.times: list[Fraction] = []
            self.pictures: list[NDArray[np.uint8]] = []
            for cells, decoded in on_grid(self.reader, Grid(Fraction(25), 10**6)):
                self.cells += [len(self.pictures)] * len(cells)
                self.times.append(decoded.time)
                self.pictures.append(to_rgb(decoded, reformatter))

    @property
    def numbers(self) -> list[int]:
        """What each picture says."""
        return [number_of(picture) for picture in self.pictures]

    @property
    def grid(self) -> list[int]:
        """What each grid frame shows."""
        numbers = self.numbers
        return [numbers[i] for i in self.cells]


def shown_by(times: Sequence[Fraction], N: int) -> list[int]:
    """By definition: grid frame k shows the last frame with time <= (k + 1/2) / 25."""
    return [max(i for i, t in enumerate(times) if t <= (k + HALF) / 25) for k in range(N)]


def milliseconds(n: int, seed: int = 0) -> list[float]:
    """n rising times from 0 on: a variable rate, with pauses and bursts, in seconds."""
    generator = random.Random(seed)
    times = [0]
    while len(times) < n:
        times.append(times[-1] + generator.choice([11, 33, 40, 40, 67, 100, 500]))
    return [t / 1000 for t in times]


# Times -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "options", "muxer"),
    [
        ("v.mp4", "libx264", None, {}),
        ("b.mp4", "libx264", B_FRAMES, {}),
        ("v.mov", "mpeg4", {"bf": "2"}, {}),
        ("f.mp4", "libx264", None, FRAGMENTED),
        ("fb.mp4", "libx264", B_FRAMES, FRAGMENTED),
        ("v.mkv", "libx264", B_FRAMES, {}),
        ("h.mp4", "libx265", X265, {}),
        ("v.webm", "libvpx-vp9", VP9, {}),
        ("v.avi", "mpeg4", None, {}),
        ("b.avi", "mpeg4", {"bf": "2", "g": "12"}, {}),
        ("h.avi", "libx264", B_FRAMES, {}),
        ("v.ts", "libx264", B_FRAMES, {}),
        ("v.mpg", "mpeg2video", {"bf": "2", "g": "12"}, {}),
        ("v.flv", "libx264", B_FRAMES, {}),
        ("v.h264", "libx264", B_FRAMES, {}),
        ("v.hevc", "libx265", X265, {}),
    ],
)
@pytest.mark.parametrize("rate", [Fraction(24), NTSC, Fraction(50)])
def test_each_grid_frame_shows_the_frame_of_its_time(
    tmp_path: Path,
    name: str,
    codec: str,
    options: Mapping[str, str] | None,
    muxer: Mapping[str, str],
    rate: Fraction,
) -> None:
    n = 45
    path = write_video(
        tmp_path / name,
        numbered(n),
        fps=rate,
        codec=codec,
        options=options,
        container_options=muxer,
    )
    read = Read(path)
    assert read.numbers == list(range(n))
    assert max(abs(t - i / rate) for i, t in enumerate(read.times)) < Fraction(1, 1000)
    assert abs(read.reader.end - n / rate) < Fraction(2, 1000)
    N = floor(n / rate * 25 + HALF)
    if path.suffix in (".mkv", ".webm", ".flv"):  # they round times to milliseconds
        assert read.grid == shown_by(read.times, N)
    else:
        assert read.grid == [min(n - 1, floor((k + HALF) * rate / 25)) for k in range(N)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("name", "codec", "options", "muxer"),
    [
        ("v.mp4", "libx264", None, {}),
        ("b.mp4", "libx264", B_FRAMES, {}),
        ("f.mp4", "libx264", None, FRAGMENTED),
        ("v.mov", "mpeg4", None, {}),
        ("v.mkv", "libx264", B_FRAMES, {}),
        ("v.webm", "libvpx-vp9", VP9, {}),
        ("v.flv", "flv", {}, {}),
    ],
)
def test_at_a_variable_rate_each_grid_frame_shows_the_frame_of_its_time(
    tmp_path: Path,
    name: str,
    codec: str,
    options: Mapping[str, str] | None,
    muxer: Mapping[str, str],
    seed: int,
) -> None:
    times = milliseconds(40, seed)
    path = write_video(
        tmp_path / name,
        numbered(40),
        codec=codec,
        options=options,
        times_s=times,
        container_options=muxer,
    )
    read = Read(path)
    exact = [Fraction(round(t * 1000), 1000) for t in times]
    assert read.times == exact
    assert read.grid == shown_by(exact, len(read.grid))
    assert len(read.grid) == floor(read.reader.end * 25 + HALF)
    assert Fraction(0) < read.reader.end - exact[-1] <= Fraction(1, 2)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts", "v.flv"])
def test_a_late_start_counts_from_the_first_frame(tmp_path: Path, name: str) -> None:
    late = [5 + i / 25 for i in range(20)]
    read = Read(write_video(tmp_path / name, numbered(20), times_s=late))
    assert read.times == [Fraction(i, 25) for i in range(20)]
    assert read.grid == list(range(20))
    assert 5 <= read.reader.start < 7  # MPEG-TS adds its own delay


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.avi", "v.ts", "v.h264", "v.gif"])
def test_one_frame_is_a_video(tmp_path: Path, name: str) -> None:
    gif = name.endswith("gif")
    read = Read(
        write_video(
            tmp_path / name,
            numbered(6)[5:],
            codec="gif" if gif else "libx264",
            options={} if gif else None,
            pix_fmt="rgb8" if gif else "yuv420p",
        )
    )
    assert read.times == [0]
    assert read.grid == [5]
    assert 0 < read.reader.end <= Fraction(1, 10)


def test_a_still_image_at_the_end_lasts_as_long_as_the_file_says(tmp_path: Path) -> None:
    import av

    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 64, 48
        packets = [
            packet
            for array in [*numbered(5), None]
            for packet in stream.encode(array if array is None else _frame(array))
        ]
        packets[-1].duration = 250  # in 1/25 s
        container.mux(packets)
    read = Read(path)
    assert read.reader.end == Fraction(4, 25) + 10
    assert read.grid == [0, 1, 2, 3] + [4] * 250


def _frame(array: NDArray[np.uint8]) -> Any:
    import av

    return av.VideoFrame.from_ndarray(array, format="rgb24")


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.ts", "libx264", B_FRAMES),
        ("v.mkv", "mpeg4", {}),
        ("v.webm", "libvpx-vp9", VP9),
    ],
)
def test_recordings_joined_end_to_end_follow_each_other(
    tmp_path: Path, name: str, codec: str, options: Mapping[str, str]
) -> None:
    path = write_video(tmp_path / name, numbered(50), codec=codec, options=options)
    path.write_bytes(path.read_bytes() * 2)  # the time stamps start again in the middle
    read = Read(path)
    assert read.numbers == [*range(50), *range(50)]
    assert read.grid == read.numbers
    assert read.reader.end == 4


def test_disorder_of_time_stamps_is_no_new_start(tmp_path: Path) -> None:
    class Stamped:
        """A stream whose frames have these time stamps, in 1/25 s."""

        def __init__(self, stamps: Sequence[int | None]) -> None:
            self.stamps = stamps

        def decode(self, stream: object) -> Any:
            for stamp in self.stamps:
                frame = _frame(numbered(1)[0])
                frame.time_base, frame.pts = Fraction(1, 25), stamp
                yield frame

    def times(*stamps: int | None) -> list[Fraction]:
        with open_video(path) as video:
            object.__setattr__(video, "container", Stamped(stamps))
            return [decoded.time * 25 for decoded in FrameReader(video)]

    path = write_video(tmp_path / "v.mkv", numbered(2))
    assert times(10, 12, 11, 13) == [0, 2, 2, 3]
    assert times(10, 11, None, None, 14) == [0, 1, 2, 3, 4]
    assert times(None, None, 700, 701) == [0, 1, 2, 3]
    assert times(700, 701, 0, 1, 2) == [0, 1, 2, 3, 4]
    assert times(None, None, None) == [0, 1, 2]


def test_a_rate_is_steady_if_only_rounding_disturbs_it(tmp_path: Path) -> None:
    for name in ("v.mp4", "v.mkv"):
        path = write_video(tmp_path / name, numbered(30), fps=NTSC)
        assert Read(path).reader.steady
        write_video(path, numbered(30), times_s=milliseconds(30))
        assert not Read(path).reader.steady
    assert Read(write_video(tmp_path / "one.mp4", numbered(1))).reader.steady


# Pixels ------------------------------------------------------------------------------------------

COLOURS = [(200, 60, 30), (20, 180, 90), (128, 128, 128), (250, 250, 250), (5, 5, 5)]


def flat(path: Path, colour: tuple[int, int, int], size: tuple[int, int], **how: Any) -> Path:
    width, height = size
    frame = np.full((height, width, 3), colour, np.uint8)
    return write_video(path, [frame] * 3, **how)


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt", "options"),
    [
        ("mp4", "libx264", "yuv420p", None),
        ("mp4", "libx264", "yuv422p", None),
        ("mp4", "libx264", "yuv444p", None),
        ("mp4", "libx264", "yuv420p10le", None),
        ("mkv", "ffv1", "yuv444p16le", {}),
        ("mkv", "ffv1", "bgra", {}),
        ("mkv", "libx264rgb", "rgb24", {"preset": "ultrafast"}),
        ("avi", "mjpeg", "yuvj420p", {"qmin": "1", "qmax": "1"}),
        ("avi", "mjpeg", "yuvj444p", {"qmin": "1", "qmax": "1"}),
        ("mkv", "ffv1", "yuv410p", {}),
        ("webm", "libvpx-vp9", "yuv420p", VP9),
    ],
)
@pytest.mark.parametrize("size", [(64, 48), (239, 143), (8, 8)])
def test_a_colour_stays_itself_in_any_format_and_size(
    tmp_path: Path,
    suffix: str,
    codec: str,
    pix_fmt: str,
    options: Mapping[str, str] | None,
    size: tuple[int, int],
) -> None:
    if codec == "libx264" and pix_fmt != "yuv444p":
        size = (size[0] // 2 * 2, size[1] // 2 * 2)
    for colour in COLOURS[:2]:
        path = flat(
            tmp_path / f"v.{suffix}", colour, size, codec=codec, pix_fmt=pix_fmt, options=options
        )
        for picture in Read(path).pictures:
            assert picture.shape == (size[1], size[0], 3)
            assert picture.dtype == np.uint8
            assert picture.flags.c_contiguous
            assert np.abs(picture.astype(int) - colour).max() <= 6


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("v.mkv", "ffv1", "gray"), ("v.mkv", "ffv1", "gray16le"), ("v.gif", "gif", "gray")],
)
def test_gray_becomes_three_equal_channels(
    tmp_path: Path, name: str, codec: str, pix_fmt: str
) -> None:
    for level in (10, 128, 240):
        path = flat(
            tmp_path / name, (level, level, level), (32, 16), codec=codec, pix_fmt=pix_fmt,
            options={},
        )  # fmt: skip
        picture = Read(path).pictures[0].astype(int)
        assert np.abs(picture - level).max() <= 3


def test_a_gif_has_the_colours_of_its_palette(tmp_path: Path) -> None:
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[:, :8], frame[:, 8:16], frame[:8, 16:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = write_video(tmp_path / "v.gif", [frame] * 3, codec="gif", options={}, pix_fmt="rgb8")
    with open_video(path) as video:
        assert next(iter(FrameReader(video))).frame.format.name == "bgra"
    assert np.abs(Read(path).pictures[1].astype(int) - frame).max() <= 40


@pytest.mark.parametrize("matrix", [8, 10, 14])  # YCgCo, BT.2020 constant luminance, ICtCp
def test_colours_that_ffmpeg_cannot_convert_are_shown_as_if_nothing_were_claimed(
    tmp_path: Path, matrix: int
) -> None:
    import av

    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = matrix
        frame = _frame(np.full((48, 64, 3), COLOURS[0], np.uint8))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_video(path) as video:
        claimed = next(video.container.decode(video.stream)).colorspace
    assert claimed == matrix
    assert np.abs(Read(path).pictures[0].astype(int) - COLOURS[0]).max() <= 6


def test_pixels_that_cannot_be_converted_are_named() -> None:
    import av
    from av.video.reformatter import VideoReformatter

    from wtal_features.video.frames import Decoded

    frame = av.VideoFrame(16, 16, "yuv420p")
    frame.colorspace = 8  # the reader would not let it pass
    with pytest.raises(FeatureError, match=r"format yuv420p cannot be shown: operation not"):
        to_rgb(Decoded(Fraction(0), frame, 0), VideoReformatter())


# Upright -----------------------------------------------------------------------------------------

# Matrices of ISO/IEC 14496-12, 8.3.2: x' = a x + c y, y' = b x + d y, x to the right and y down;
# (a, b, c, d), and the turns of np.rot90 that do the same.
TURNS = {
    "as it is": ((1, 0, 0, 1), 0),
    "90 degrees clockwise": ((0, 1, -1, 0), 3),
    "upside down": ((-1, 0, 0, -1), 2),
    "90 degrees anticlockwise": ((0, -1, 1, 0), 1),
}


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write the matrix into the track header of an mp4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd")
    assert data[at + 4] == 0  # version
    a, b, c, d = (v << 16 for v in matrix)
    # After the type: version and flags, 5 fields of 4 bytes, 8 reserved, 4 of 2 bytes.
    struct.pack_into(">9i", data, at + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def moved(picture: NDArray[Any], matrix: tuple[int, int, int, int]) -> NDArray[Any]:
    """Each pixel where the matrix puts its centre; a slow independent definition of `upright`."""
    H, W = picture.shape[:2]
    a, b, c, d = matrix
    to = {}
    for y in range(H):
        for x in range(W):
            to[y, x] = (b * (x + 0.5) + d * (y + 0.5), a * (x + 0.5) + c * (y + 0.5))
    top, left = (min(place[i] for place in to.values()) for i in (0, 1))
    out = np.zeros((H, W, 3) if a else (W, H, 3), picture.dtype)
    for (y, x), (down, right) in to.items():
        out[int(down - top), int(right - left)] = picture[y, x]
    return out


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_turned_video_is_shown_upright(tmp_path: Path, name: str, suffix: str) -> None:
    matrix, quarter_turns = TURNS[name]
    picture = texture(64)[:32, :48]
    picture[:8, :8] = (255, 0, 0)  # top left
    picture[-8:, :8] = (0, 0, 255)
    path = write_video(tmp_path / f"v.{suffix}", [picture] * 2)
    plain = Read(path).pictures[0]
    upright = Read(turn(path, matrix)).pictures[0]
    np.testing.assert_array_equal(upright, moved(plain, matrix))
    np.testing.assert_array_equal(upright, np.rot90(plain, quarter_turns))
    assert upright.flags.c_contiguous


# Streams that change -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["h264", "ts"])
def test_frames_of_another_size_in_the_middle_all_come(tmp_path: Path, suffix: str) -> None:
    first = write_video(tmp_path / f"a.{suffix}", numbered(20))
    second = write_video(tmp_path / f"b.{suffix}", numbered(20, 96, 80))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    read = Read(first)
    assert read.numbers == [*range(20), *range(20)]
    assert read.grid == read.numbers
    assert {picture.shape for picture in read.pictures} == {(48, 64, 3), (80, 96, 3)}


# Files that are cut short ------------------------------------------------------------------------


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


@pytest.mark.parametrize(
    ("name", "codec", "muxer"),
    [
        ("v.mp4", "libx264", {"movflags": "faststart"}),
        ("v.mp4", "mpeg4", {"movflags": "faststart"}),
        ("v.avi", "mpeg4", {}),
        ("v.avi", "mjpeg", {}),
    ],
)
def test_a_file_that_is_cut_short_says_when(
    tmp_path: Path, name: str, codec: str, muxer: Mapping[str, str]
) -> None:
    path = write_video(
        tmp_path / name,
        numbered(100),
        codec=codec,
        options={"preset": "ultrafast"} if codec == "libx264" else {},
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        container_options=muxer,
    )
    cut(path, 0.5)
    with pytest.raises(CutShortError, match=rf"{name} is damaged or cut short after ") as raised:
        Read(path)
    error = raised.value
    assert error.code == "cut-short"
    assert 0 < error.decoded < 75
    assert f"after {error.decoded / 25:.1f} s of 4.0 s ({error.decoded} frames)" in str(error)
    assert "--partial" in str(error)

    read = Read(path, partial=True)
    assert read.cells == list(range(error.decoded))
    whole = error.decoded - 1  # the last one may be half a picture
    assert read.numbers[:whole] == list(range(whole))
    assert read.reader.count == error.decoded
    assert read.reader.end == Fraction(error.decoded, 25)
    assert str(read.reader.fault) == str(error)


def test_what_is_whole_has_no_fault(tmp_path: Path) -> None:
    read = Read(write_video(tmp_path / "v.mp4", numbered(5)), partial=True)
    assert read.reader.fault is None


def test_a_file_without_one_good_frame_is_refused_even_in_part(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "v.mp4", numbered(30), container_options={"movflags": "faststart"}
    )
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
    for partial in (False, True):
        with pytest.raises(FeatureError, match="holds no frame that can be decoded") as raised:
            Read(path, partial=partial)
        assert raised.value.code == "video"


def test_memory_that_is_missing_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    import av

    class Poor:
        def decode(self, stream: object) -> Any:
            frame = _frame(numbered(1)[0])
            frame.time_base = Fraction(1, 25)
            yield frame
            raise av.error.MemoryError(12, "Cannot allocate memory")

    with open_video(write_video(tmp_path / "v.mp4", numbered(2))) as video:
        object.__setattr__(video, "container", Poor())
        with pytest.raises(MemoryError):
            list(FrameReader(video, partial=True))


# Odd files of the field --------------------------------------------------------------------------

ODD = Path(os.environ.get("WTAL_SHARED", Path(__file__).parents[3] / "shared"))
ODD = ODD / "data" / "sample-videos" / "odd"
# Frames and end in seconds of each file that is whole; of the others, the code of the fault and
# how many frames come before it.
WHOLE = {
    "mpeg4_part2.avi": (46, 4.6),
    "front_index.mp4": (46, 4.6),
    "back_index.mp4": (46, 4.6),
    "variable_frame_rate.mp4": (46, 3.484),
    "late_start.mp4": (30, 3.0),
    "ntsc_29_97.mp4": (30, 1.001),
    "bframes_open_gop.mkv": (46, 4.6),
    "fragmented.mp4": (40, 4.0),
    "video_with_audio.mp4": (30, 3.0),
    "hevc.mp4": (30, 3.0),
    "vp9.webm": (30, 3.0),
    "mjpeg.avi": (15, 1.5),
    "animation.gif": (12, 1.2),
    "ten_bit.mp4": (20, 2.0),
    "odd_size_yuv444.mp4": (20, 2.0),
    "tiny_8x8.mp4": (20, 2.0),
    "one_frame.mp4": (1, 0.1),
    "name with spaces & ünïcode.mp4": (1, 0.1),
}
FAULTY = {
    "audio_only.m4a": ("no-video-stream", 0),
    "truncated_after_index.mp4": ("cut-short", 18),
    "truncated_no_index.mp4": ("video", 0),
    "truncated_real.mp4": ("cut-short", 58),
    "corrupt_payload.mp4": ("cut-short", 9),
    "empty.mp4": ("empty", 0),
    "text_renamed.mp4": ("video", 0),
}


def odd(name: str) -> Path:
    if not ODD.is_dir():
        pytest.skip("The folder of real data is absent; WTAL_SHARED names it.")
    return ODD / name


@pytest.mark.parametrize("name", WHOLE)
def test_odd_files_that_are_whole_are_read_to_their_end(name: str) -> None:
    read = Read(odd(name))
    frames, end = WHOLE[name]
    assert len(read.pictures) == frames
    assert float(read.reader.end) == pytest.approx(end, abs=1e-3)
    assert len(read.cells) == max(1, floor(end * 25 + 0.5))
    assert read.times == sorted(set(read.times))


@pytest.mark.parametrize("name", FAULTY)
def test_odd_files_that_are_not_whole_are_named(name: str) -> None:
    path = odd(name)
    code, frames = FAULTY[name]
    with pytest.raises(FeatureError, match=name) as raised:
        Read(path)
    assert raised.value.code == code
    if frames:
        read = Read(path, partial=True)
        assert len(read.pictures) == frames
        assert read.reader.fault is not None


def test_no_odd_file_is_forgotten() -> None:
    assert {path.name for path in odd(".").iterdir()} == {*WHOLE, *FAULTY}
