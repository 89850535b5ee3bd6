"""Copies whose motion vectors are motion per frame."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.videos import number_of, numbered, panned, texture, write_video
from wtal_features.errors import FeatureError
from wtal_features.motion.usable import why_no_vectors
from wtal_features.motion.vectors import ask_for_vectors, dense_map, is_intra, vectors_of
from wtal_features.video import reencode as module
from wtal_features.video.container import open_video
from wtal_features.video.reencode import OPTIONS, copy_size, encode_frames, reencode

pytestmark = pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV")

CODECS = sorted(OPTIONS)


def decoded(path: Path) -> list[Any]:
    with open_video(path) as video:
        ask_for_vectors(video.stream)
        return list(video.container.decode(video.stream))


def i_frames(path: Path) -> list[int]:
    return [i for i, frame in enumerate(decoded(path)) if is_intra(frame)]


def cuts() -> list[Any]:
    return [texture(64, seed)[:48] for seed in (0, 1, 2) for _ in range(9)]


@pytest.mark.parametrize("codec", CODECS)
def test_a_copy_of_a_video_without_vectors_has_the_motion_of_the_original(
    tmp_path: Path, codec: str
) -> None:
    path = write_video(
        tmp_path / "v.webm",
        panned(15, 320, 240),
        codec="libvpx-vp9",
        options={"deadline": "realtime"},
    )
    out = tmp_path / "copy"
    assert reencode(path, out, codec=codec) == 15
    with open_video(out) as video:
        assert why_no_vectors(video) is None
    for i, frame in enumerate(decoded(out)):
        vectors = vectors_of(frame)
        assert (vectors is None) == is_intra(frame) == (i in (0, 12))
        if vectors is not None:
            np.testing.assert_array_equal(np.median(dense_map(vectors, 240, 320), (0, 1)), (-3, -1))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("gop", [1, 5, 12])
def test_i_frames_stand_at_multiples_of_the_gop_whatever_the_cuts(
    tmp_path: Path, codec: str, gop: int
) -> None:
    path = write_video(tmp_path / "v.mp4", cuts(), codec="mpeg4")
    reencode(path, tmp_path / "copy", codec=codec, gop=gop)
    assert i_frames(tmp_path / "copy") == list(range(0, 27, gop))


@pytest.mark.parametrize("codec", CODECS)
def test_frame_n_of_a_copy_is_frame_n_of_a_video_of_variable_rate(
    tmp_path: Path, codec: str
) -> None:
    times = np.cumsum([0.04, 0.04, 0.5, 0.011, 0.1, 0.033, 2.0, 0.04, 0.04, 0.3]).tolist()
    path = write_video(tmp_path / "v.mkv", numbered(10), times_s=times)
    assert reencode(path, tmp_path / "copy", codec=codec) == 10
    rgb = [frame.to_ndarray(format="rgb24") for frame in decoded(tmp_path / "copy")]
    assert [number_of(frame) for frame in rgb] == list(range(10))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("width", "height"), [(33, 25), (34, 25), (33, 26), (1, 1), (2, 7)])
def test_an_odd_side_grows_by_one_pixel_that_repeats_the_border(
    tmp_path: Path, codec: str, width: int, height: int
) -> None:
    frames = panned(3, width, height)
    path = write_video(
        tmp_path / "v.mp4", frames, codec="mpeg4", options={"qmin": "1", "qmax": "1"}
    )
    reencode(path, tmp_path / "copy", codec=codec)
    original, copy = decoded(path)[0], decoded(tmp_path / "copy")[0]
    assert (copy.width, copy.height) == (width + width % 2, height + height % 2)
    luma = [
        np.frombuffer(f.planes[0], np.uint8).reshape(f.height, -1)[:, : f.width].astype(int)
        for f in (original, copy)
    ]
    expected = np.pad(luma[0], ((0, height % 2), (0, width % 2)), "edge")
    assert np.abs(luma[1] - expected).mean() < 6
    assert dense_map(None, copy.height, copy.width).shape == dense_map(None, height, width).shape


def test_a_smaller_copy_keeps_its_proportions_and_even_sides(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", panned(2, 96, 64), codec="mpeg4")
    for short_side, size in ((33, (48, 32)), (64, (96, 64)), (500, (96, 64)), (2, (2, 2))):
        reencode(path, tmp_path / "copy", short_side=short_side)
        frame = decoded(tmp_path / "copy")[0]
        assert (frame.width, frame.height) == size == copy_size(96, 64, short_side)
    assert copy_size(1080, 1920, 256) == (256, 454)


def test_a_frame_of_another_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    frames = [decoded(write_video(tmp_path / f"{w}.mp4", panned(2, w, 48)))[1] for w in (64, 80)]
    assert encode_frames(frames, tmp_path / "copy") == 2
    assert [frame.width for frame in decoded(tmp_path / "copy")] == [64, 64]


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, codec: str) -> None:
    path = write_video(tmp_path / "v.mp4", panned(14, 64, 48))
    for name in ("a", "b"):
        reencode(path, tmp_path / name, codec=codec)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_breaks_in_the_middle_leaves_nothing_and_keeps_the_old_copy(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", panned(6, 64, 48))
    out = tmp_path / "out" / "copy"
    out.parent.mkdir()
    out.write_bytes(b"old")

    def stopped() -> Iterator[Any]:
        yield from decoded(path)[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_frames(stopped(), out)
    with pytest.raises(FeatureError, match="no frame to copy"):
        encode_frames([], out)
    assert [p.name for p in out.parent.iterdir()] == ["copy"]
    assert out.read_bytes() == b"old"


def test_a_video_that_is_cut_short_is_not_copied(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", panned(75, 64, 48), codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FeatureError, match=r"v\.avi is damaged or cut short"):
        reencode(path, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert 0 < reencode(path, tmp_path / "copy", partial=True) < 75


def test_impossible_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="'vp9'; expected mpeg4 or libx264"):
        encode_frames([], tmp_path / "copy", codec="vp9")
    with pytest.raises(FeatureError, match="GOP of 0"):
        encode_frames([], tmp_path / "copy", gop=0)
    with pytest.raises(FeatureError, match="short side of 1 px"):
        encode_frames([], tmp_path / "copy", short_side=1)


def test_an_encoder_that_this_build_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "v.mp4", panned(1, 64, 48))
    monkeypatch.setattr(module, "OPTIONS", {"libnothing": {}})
    with pytest.raises(FeatureError, match=r"libnothing.*another codec"):
        reencode(path, tmp_path / "copy", codec="libnothing")
    assert list(tmp_path.iterdir()) == [path]


def test_the_manifest_says_how_a_copy_was_made() -> None:
    described = module.describe_copy("mpeg4", 12, None)
    assert described == {"codec": "mpeg4", "gop": 12, "short_side": None, **OPTIONS["mpeg4"]}
