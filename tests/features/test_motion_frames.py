"""The motion of a video as clips are made of it: from the file, from a copy, from the cache."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.features.videos import ONE_REFERENCE, panned, write_video
from wtal_features.clips import Preprocess
from wtal_features.errors import FeatureError
from wtal_features.motion.frames import MotionFrames, Wish
from wtal_features.motion.source import rotate_map
from wtal_features.video.container import open_video
from wtal_features.video.frames import FrameReader
from wtal_features.video.grid import Grid, on_grid

pytestmark = [
    pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV"),
    pytest.mark.skipif(find_spec("cv2") is None, reason="needs OpenCV"),
]

Map = NDArray[np.float16]
VP9 = {"deadline": "realtime", "cpu-used": "8"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none"}
B_FRAMES = {**ONE_REFERENCE, "bf": "2", "b_strategy": "0", "preset": "ultrafast"}
# Short side 60: maps of vectors at 320 x 240 pass through unscaled but for their sides.
AS_IT_IS = Preprocess(60, 60)


@dataclass
class Moved:
    """What a video gave."""

    copied: str | None = None
    pictures: list[Map] = field(default_factory=list)  # one per grid frame
    steps: list[bool] = field(default_factory=list)  # whether each has motion at all
    beats: int = 0

    @property
    def median(self) -> tuple[float, float]:
        """Of the grid frames that have motion: I-frames have none."""
        moving = [p for p, moves in zip(self.pictures, self.steps, strict=True) if moves]
        dx, dy = np.median(np.stack(moving).reshape(-1, 2), axis=0)
        return float(dx), float(dy)


def moved(
    path: Path,
    method: str = "mv",
    *,
    cache: Path | None = None,
    reencode: bool = True,
    short_side: int = 256,
    partial: bool = False,
    sha256: str = "0" * 64,
    preprocess: Preprocess = AS_IT_IS,
    fps: Fraction = Fraction(25),
) -> Moved:
    wish = Wish(
        sha256,
        fps,
        method,
        short_side,
        reencode,
        None if cache is None else str(cache),
        partial,
    )
    out = Moved()

    def beat() -> None:
        out.beats += 1

    with open_video(path) as video, MotionFrames(video, wish, beat) as motion:
        for cells, decoded in on_grid(FrameReader(video, partial=partial), Grid(wish.fps, 10**5)):
            motion.take(cells, decoded)
            if cells:
                picture = motion.of(decoded, preprocess)()
                out.pictures += [picture] * len(cells)
                out.steps += [bool(picture.any())] * len(cells)
        out.copied = motion.copied
    return out


def same(a: Moved, b: Moved) -> bool:
    return len(a.pictures) == len(b.pictures) and all(
        x.tobytes() == y.tobytes() for x, y in zip(a.pictures, b.pictures, strict=True)
    )


def pan(path: Path, codec: str = "libx264", n: int = 15, **how: Any) -> Path:
    """320 x 240, the camera pans by (+3, +1) px per frame: the content moves by (-3, -1)."""
    size = how.pop("size", (320, 240))
    return write_video(path, panned(n, *size), codec=codec, **how)


# From the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_vectors_are_read_from_the_file_where_they_mean_something(
    tmp_path: Path, codec: str
) -> None:
    found = moved(pan(tmp_path / "v.mp4", codec))
    assert found.copied is None
    assert found.median == (-3, -1)
    assert [i for i, moves in enumerate(found.steps) if not moves] == [0, 12]
    assert found.beats == 0


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_flow_needs_no_copy_whatever_the_codec(tmp_path: Path, method: str) -> None:
    path = pan(tmp_path / "v.webm", "libvpx-vp9", n=4, options=VP9)
    found = moved(path, method, reencode=False)
    assert found.copied is None
    np.testing.assert_allclose(found.median, (-3, -1), atol=0.3)
    assert [i for i, moves in enumerate(found.steps) if not moves] == [0]


# From a copy -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "options", "reason"),
    [
        ("v.webm", "libvpx-vp9", VP9, "is coded as vp9"),
        ("v.mp4", "libx265", X265, "is coded as hevc"),
        ("b.mp4", "libx264", B_FRAMES, "has B-frames"),
        ("r.mp4", "libx264", {**ONE_REFERENCE, "refs": "3"}, "refers to up to 3 earlier frames"),
    ],
)
@pytest.mark.parametrize("short_side", [256, 120])
def test_a_copy_has_the_motion_in_pixels_of_the_source(
    tmp_path: Path, name: str, codec: str, options: Mapping[str, str], reason: str, short_side: int
) -> None:
    path = pan(tmp_path / name, codec, options=options)
    found = moved(path, short_side=short_side)
    assert (found.copied or "").startswith(reason)
    np.testing.assert_allclose(found.median, (-3, -1), atol=0.01 if short_side == 256 else 0.5)
    assert len(found.pictures) == 15
    assert found.beats == 15
    assert [path] == list(tmp_path.iterdir())


def test_without_leave_to_copy_the_codec_is_named(tmp_path: Path) -> None:
    path = pan(tmp_path / "v.webm", "libvpx-vp9", n=2, options=VP9)
    with pytest.raises(FeatureError, match=r"v\.webm is coded as vp9.*--reencode") as raised:
        moved(path, reencode=False)
    assert raised.value.code == "vectors"


@pytest.mark.parametrize("size", [(321, 241), (239, 143), (33, 77), (8, 8)])
def test_odd_sizes_are_copied_without_scaling(tmp_path: Path, size: tuple[int, int]) -> None:
    side = min(size) // 4
    path = pan(tmp_path / "v.mkv", "ffv1", n=8, size=size, options={}, pix_fmt="yuv444p")
    found = moved(path, preprocess=Preprocess(side, side))
    assert len(found.pictures) == 8
    if min(size) > 70:
        np.testing.assert_allclose(found.median, (-3, -1), atol=0.3)


def test_a_copy_is_kept_in_the_cache_and_found_again(tmp_path: Path) -> None:
    path, cache = pan(tmp_path / "v.webm", "libvpx-vp9", n=6, options=VP9), tmp_path / "cache"
    first = moved(path, cache=cache)
    copies = {p: p.stat().st_mtime_ns for p in cache.glob("*.mp4")}
    assert len(copies) == 1
    for maps in cache.glob("*.motion"):
        maps.unlink()
    again = moved(path, cache=cache)
    assert {p: p.stat().st_mtime_ns for p in cache.glob("*.mp4")} == copies
    assert again.beats == 0
    assert same(first, again)


def test_a_copy_that_lacks_frames_is_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = pan(tmp_path / "v.webm", "libvpx-vp9", n=6, options=VP9)
    moved(path, cache=cache)
    for maps in cache.glob("*.motion"):
        maps.unlink()
    (copy,) = cache.glob("*.mp4")
    write_video(copy, panned(3, 320, 240), codec="mpeg4")
    with pytest.raises(FeatureError, match=r"v\.webm has fewer frames.*Empty the cache"):
        moved(path, cache=cache)
    assert not list(cache.glob("*.motion"))


# From the cache ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["mv", "dis", "farneback"])
@pytest.mark.parametrize("name", ["v.mp4", "v.webm"])
def test_what_is_cached_equals_what_is_computed_to_the_bit(
    tmp_path: Path, method: str, name: str
) -> None:
    vp9 = name == "v.webm"
    times = [0.0, 0.04, 0.08, 0.09, 0.1, 0.3, 0.34, 0.38, 0.5, 0.51]
    path = pan(
        tmp_path / name,
        "libvpx-vp9" if vp9 else "libx264",
        n=10,
        options=VP9 if vp9 else None,
        times_s=times,
    )
    cache, crop = tmp_path / "cache", Preprocess(48, 40, resize=16)
    without = moved(path, method, preprocess=crop)
    written = moved(path, method, cache=cache, preprocess=crop)
    (maps,) = cache.glob("*.motion")
    stamp = maps.stat().st_mtime_ns
    read = moved(path, method, cache=cache, preprocess=crop)
    assert maps.stat().st_mtime_ns == stamp
    assert same(without, written)
    assert same(without, read)
    assert without.copied == written.copied == read.copied
    assert without.pictures[-1].shape == (16, 16, 2)


def test_motion_beyond_float16_is_cut_with_and_without_the_cache(tmp_path: Path) -> None:
    """Two frames a millisecond apart, on a grid of one cell in 100 s: their motion times 1e5."""
    path = write_video(
        tmp_path / "v.mp4", panned(4, 320, 240, shift=(9, 0)), times_s=[0, 50, 50.001, 160]
    )
    slow = Fraction(1, 100)
    plain = moved(path, "farneback", fps=slow)
    cached = [moved(path, "farneback", fps=slow, cache=tmp_path / "cache") for _ in range(2)]
    assert all(same(plain, other) for other in cached)
    assert all(np.isfinite(p).all() for p in plain.pictures)
    assert plain.median[0] == -65504


def test_other_content_other_settings_and_other_methods_share_nothing(tmp_path: Path) -> None:
    path, cache = pan(tmp_path / "v.mp4", n=3), tmp_path / "cache"
    moved(path, cache=cache)
    moved(path, cache=cache, sha256="1" * 64)
    moved(path, "dis", cache=cache)
    moved(path, "dis", cache=cache, short_side=60)
    moved(path, cache=cache, partial=True)
    assert len(list(cache.glob("*.motion"))) == 5


def test_what_breaks_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    path, cache = pan(tmp_path / "v.avi", "mpeg4", n=80, size=(64, 48)), tmp_path / "cache"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(FeatureError, match="cut short"):
        moved(path, cache=cache, preprocess=Preprocess(12, 12))
    assert list(cache.iterdir()) == []
    part = moved(path, cache=cache, partial=True, preprocess=Preprocess(12, 12))
    assert same(part, moved(path, cache=cache, partial=True, preprocess=Preprocess(12, 12)))
    assert 10 < len(part.pictures) < 80


def test_a_video_without_vectors_that_is_cut_short_is_copied_in_part(tmp_path: Path) -> None:
    frames = panned(40, 64, 48)
    path = write_video(tmp_path / "v.avi", frames, codec="mjpeg", options={}, pix_fmt="yuvj420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FeatureError, match="cut short"):
        moved(path, preprocess=Preprocess(12, 12))
    part = moved(path, partial=True, preprocess=Preprocess(12, 12))
    assert 10 < len(part.pictures) < 30


# Rate and rotation -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["mv", "dis"])
def test_the_same_motion_in_the_world_is_the_same_map_at_any_frame_rate(
    tmp_path: Path, method: str
) -> None:
    """150 px/s to the left and 50 px/s up are 6 and 2 px per frame of a grid of 25 fps."""
    for rate in (10, 25, 50):
        shift = (150 / rate, 50 / rate)
        frames = panned(rate // 2, 320, 240, shift=shift)
        path = write_video(tmp_path / f"{rate}.mp4", frames, fps=rate)
        found = moved(path, method)
        assert found.copied is None
        assert len(found.pictures) == floor(Fraction(rate // 2, rate) * 25 + Fraction(1, 2))
        np.testing.assert_allclose(found.median, (-6, -2), atol=0.5)


TURNS = {0: (1, 0, 0, 1), 1: (0, -1, 1, 0), 2: (-1, 0, 0, -1), 3: (0, 1, -1, 0)}


def turned(path: Path, quarter_turns: int) -> Path:
    """The same file, to be shown after so many turns anticlockwise (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (v << 16 for v in TURNS[quarter_turns])
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    out = path.with_name(f"{quarter_turns}.mp4")
    out.write_bytes(data)
    return out


@pytest.mark.parametrize("quarter_turns", TURNS)
@pytest.mark.parametrize(
    ("method", "options", "short_side"),
    [("mv", None, 256), ("mv", B_FRAMES, 256), ("mv", B_FRAMES, 120), ("dis", None, 256)],
    ids=["vectors", "copy", "smaller copy", "flow"],
)
def test_the_motion_of_a_turned_video_is_turned_with_it(
    tmp_path: Path,
    quarter_turns: int,
    method: str,
    options: Mapping[str, str] | None,
    short_side: int,
) -> None:
    path = turned(pan(tmp_path / "v.mp4", options=options), quarter_turns)
    found = moved(path, method, short_side=short_side)
    assert (found.copied is None) == (options is None)
    expected = rotate_map(np.array([[[-3, -1]]], np.float32), quarter_turns)[0, 0]
    np.testing.assert_allclose(found.median, expected, atol=0.5)
    sides = {0: (60, 80), 1: (80, 60), 2: (60, 80), 3: (80, 60)}[quarter_turns]
    if options is None and method == "mv":
        with open_video(path) as video:
            wish = Wish("0" * 64, Fraction(25), "mv", 256, True, None, False)
            with MotionFrames(video, wish, lambda: None) as motion:
                motion.take(range(1), next(iter(FrameReader(video))))
                assert motion._map is not None
                assert motion._map.shape == (*sides, 2)


def test_upright_motion_moves_as_the_upright_pictures_do(tmp_path: Path) -> None:
    """Flow computed on upright pictures is the witness."""
    from av.video.reformatter import VideoReformatter

    from wtal_features.motion.source import motion_view
    from wtal_features.video.frames import to_rgb

    path = turned(pan(tmp_path / "v.mp4", n=6), 1)
    witness, reformatter = motion_view("dis"), VideoReformatter()
    with open_video(path) as video:
        flows = [witness.next(to_rgb(decoded, reformatter)) for decoded in FrameReader(video)]
    seen = np.median(np.stack(flows[1:]).reshape(-1, 2), axis=0)
    for method in ("mv", "dis"):
        np.testing.assert_allclose(moved(path, method).median, seen, atol=0.3)


def test_a_one_frame_video_does_not_move(tmp_path: Path) -> None:
    for method in ("mv", "dis"):
        found = moved(pan(tmp_path / "v.mp4", n=1), method)
        assert found.steps == [False]
