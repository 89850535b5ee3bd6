"""Motion as the extractor sees it: flow, scaling to the grid, turns and flips, the cache."""

import os
import subprocess
import sys
import types
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.features.videos import flip_map, panned, write_video
from wtal_features.errors import FeatureError
from wtal_features.motion.cache import MotionCache, motion_key
from wtal_features.motion.flow import FLOWS, TVL1, Dis, Farneback, FlowView
from wtal_features.motion.source import (
    MOTION_SOURCES,
    MotionView,
    VectorView,
    motion_maps,
    motion_view,
    rotate_map,
)
from wtal_features.motion.vectors import Map, ask_for_vectors
from wtal_features.video.container import open_video
from wtal_features.video.frames import Decoded, FrameReader
from wtal_features.video.grid import Grid, on_grid

pytestmark = [
    pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV"),
    pytest.mark.skipif(find_spec("cv2") is None, reason="needs OpenCV"),
]

FPS = Fraction(25)
KEY = motion_key("ab" * 32, {"method": "dis"})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def median(field: Map) -> list[float]:
    return [float(x) for x in np.median(field, (0, 1))]


def av_frame(array: NDArray[np.uint8]) -> Any:
    import av

    return av.VideoFrame.from_ndarray(array, format="rgb24")


# Flow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Farneback(), Dis("ultrafast"), Dis("fast"), Dis("medium")])
def test_every_flow_sees_the_content_of_a_pan_move_the_other_way(method: Farneback | Dis) -> None:
    view = FlowView(method)
    first, *rest = (view.next(frame) for frame in panned(3, 320, 240))
    assert first.shape == (240, 320, 2)
    assert not first.any()
    for field in rest:
        assert field.dtype == np.float32
        np.testing.assert_allclose(median(field), (-3, -1), atol=0.3)


def test_tvl1_sees_the_content_of_a_pan_move_the_other_way() -> None:
    view = FlowView(TVL1(scales=3, warps=2))
    _, field = (view.next(frame) for frame in panned(2, 64, 48))
    np.testing.assert_allclose(median(field), (-3, -1), atol=0.3)


@pytest.mark.parametrize("name", ["farneback", "dis"])
def test_frames_are_shrunk_and_values_stay_in_pixels_of_the_source(name: str) -> None:
    view = motion_view(name, short_side=96)
    _, field = (view.next(frame) for frame in panned(2, 320, 192, (6, 2)))
    assert field.shape == (96, 160, 2)
    np.testing.assert_allclose(median(field), (-6, -2), atol=0.6)


def test_frames_are_never_enlarged() -> None:
    assert motion_view("dis").next(panned(1, 64, 48)[0]).shape == (48, 64, 2)
    assert motion_view("dis", short_side=25).next(panned(1, 64, 49)[0]).shape == (25, 32, 2)


@pytest.mark.parametrize("short_side", [48, 256])
def test_decoded_frames_colour_arrays_and_gray_arrays_give_the_same_flow(short_side: int) -> None:
    import cv2

    frames = panned(2, 96, 64)
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    fields = []
    for inputs in (frames, grays, [av_frame(frame) for frame in frames]):
        view = motion_view("farneback", short_side=short_side)
        fields.append([view.next(frame) for frame in inputs][1])
    np.testing.assert_array_equal(fields[0], fields[1])
    assert np.abs(fields[0] - fields[2]).max() < 0.1


def test_still_frames_do_not_move() -> None:
    frame = panned(1, 64, 48)[0]
    for name in ("farneback", "dis"):
        view = motion_view(name)
        assert np.abs([view.next(frame) for _ in range(3)]).mean() < 1e-3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 40), (12, 200), (8, 300), (31, 5)])
@pytest.mark.parametrize("method", [Dis("fast"), Dis("medium"), Farneback(), TVL1(2, 1)])
def test_frames_that_would_kill_opencv_have_their_flow(
    height: int, width: int, method: Dis | Farneback | TVL1
) -> None:
    view = FlowView(method)
    for frame in panned(2, width, height):
        field = view.next(frame)
        assert field.shape == (height, width, 2)
        assert np.isfinite(field).all()


def test_a_later_frame_of_another_size_is_scaled_to_the_first() -> None:
    view = motion_view("dis")
    view.next(panned(1, 64, 48)[0])
    assert view.next(panned(1, 80, 60)[0]).shape == (48, 64, 2)
    assert view.next(av_frame(panned(1, 40, 32)[0])).shape == (48, 64, 2)


@pytest.mark.parametrize(
    "frame",
    [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8), np.uint8)],
)
def test_arrays_that_are_no_frames_are_refused(frame: NDArray[Any]) -> None:
    with pytest.raises(FeatureError, match="expected \\(H, W, 3\\) RGB or \\(H, W\\) gray, uint8"):
        motion_view("dis").next(frame)


def test_a_view_says_how_it_was_made() -> None:
    import cv2

    assert motion_view("dis").describe() == {
        "method": "dis",
        "preset": "fast",
        "short_side": 256,
        "opencv": cv2.__version__,
    }
    described = motion_view("tvl1", short_side=128).describe()
    assert {
        "scales": 5,
        "warps": 5,
        "lambda_": 0.15,
        "short_side": 128,
    }.items() <= described.items()
    assert motion_view("mv").describe() == {"method": "mv", "cell_px": 4}
    assert [motion_view(name).name for name in MOTION_SOURCES] == [*FLOWS, "mv"]


def test_tvl1_is_computed_with_opencvs_defaults() -> None:
    import cv2

    optflow: Any = cv2.optflow
    default, ours = optflow.DualTVL1OpticalFlow_create(), TVL1()
    getters = {
        "scales": default.getScalesNumber,
        "warps": default.getWarpingsNumber,
        "tau": default.getTau,
        "lambda_": default.getLambda,
        "theta": default.getTheta,
        "epsilon": default.getEpsilon,
        "inner": default.getInnerIterations,
        "outer": default.getOuterIterations,
        "scale_step": default.getScaleStep,
    }
    assert {name: get() for name, get in getters.items()} == vars(ours)


def test_unknown_names_and_sizes_are_refused() -> None:
    with pytest.raises(FeatureError, match="'raft'; expected tvl1, farneback, dis, mv"):
        motion_view("raft")
    with pytest.raises(FeatureError, match="no preset 'slow'; expected ultrafast, fast, medium"):
        Dis("slow")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="short side of 0"):
        motion_view("dis", short_side=0)


def test_without_opencv_flow_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    for name in FLOWS:
        with pytest.raises(FeatureError, match=r"pip install 'wtal\[flow\]'"):
            motion_view(name)
    assert motion_view("mv").name == "mv"


def test_plain_opencv_without_optflow_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", types.ModuleType("cv2"))
    with pytest.raises(FeatureError, match="opencv-contrib-python-headless"):
        motion_view("tvl1")


def test_importing_motion_brings_neither_opencv_nor_pyav_nor_torch() -> None:
    code = (
        "import sys, wtal_features.motion.source, wtal_features.motion.cache, "
        "wtal_features.motion.usable, wtal_features.motion.keyframes, "
        "wtal_features.video.reencode; print({'av', 'cv2', 'torch'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "set()"


# On the grid -------------------------------------------------------------------------------------


class Scripted:
    """A view whose frame n moved by its own value; frames are (value, H, W)."""

    name = "scripted"

    def __init__(self, every_frame: bool) -> None:
        self.every_frame = every_frame

    def describe(self) -> dict[str, object]:
        return {}

    def next(self, frame: Any) -> Map:
        value, height, width = frame
        return np.full((height, width, 2), value, np.float32)


def shown(time: Any, value: float, turns: int = 0, size: tuple[int, int] = (2, 3)) -> Decoded:
    return Decoded(Fraction(time), (value, *size), turns)


def grid_maps(path: Path, method: str) -> list[Map]:
    with open_video(path) as video:
        ask_for_vectors(video.stream)
        pairs = on_grid(FrameReader(video), Grid(FPS, 10_000))
        return [m for cells, m in motion_maps(pairs, motion_view(method), FPS) for _ in cells]


@pytest.mark.parametrize("method", ["mv", "dis"])
@pytest.mark.parametrize(("fps", "per_grid"), [(25, 1), (50, 2), (Fraction(25, 2), 0.5)])
def test_motion_per_grid_frame_does_not_depend_on_the_frame_rate(
    tmp_path: Path, method: str, fps: Fraction, per_grid: float
) -> None:
    # What moves by 3 px per frame of the file moves by 3 px x its rate / 25 per grid frame.
    path = write_video(tmp_path / "v.mp4", panned(10, 96, 64), codec="mpeg4", fps=fps)
    maps = grid_maps(path, method)
    assert len(maps) == round(10 / per_grid)
    assert not maps[0].any()
    for field in maps[round(2 / per_grid) :]:
        expected = (-3 * per_grid, -1 * per_grid)
        np.testing.assert_allclose(median(field), expected, atol=0.3 * per_grid)


def test_motion_is_divided_by_the_time_since_the_frame_kept_before() -> None:
    view = MotionView(Scripted(every_frame=True), FPS)
    assert not view.feed(shown(0, 7)).any()  # the first frame is zero, whatever it carries
    assert np.allclose(view.feed(shown("0.04", 2)), 2)
    assert np.allclose(view.feed(shown("0.12", 2)), 1)
    assert np.allclose(view.feed(shown("0.13", 2)), 8)


def test_vectors_of_frames_that_the_grid_leaves_out_are_added() -> None:
    view = MotionView(Scripted(every_frame=True), FPS)
    view.feed(shown(0, 0))
    view.skip(shown("0.02", 3))
    assert np.allclose(view.feed(shown("0.04", 4)), 7)
    assert np.allclose(view.feed(shown("0.08", 5)), 5)


def test_flow_does_not_look_at_frames_that_the_grid_leaves_out() -> None:
    view = MotionView(Scripted(every_frame=False), FPS)
    view.skip(shown(0, 9))
    assert not view.feed(shown("0.01", 9)).any()
    view.skip(shown("0.02", 9))
    assert np.allclose(view.feed(shown("0.05", 4)), 4)


def test_the_first_frame_that_the_grid_keeps_is_zero() -> None:
    view = MotionView(Scripted(every_frame=True), FPS)
    view.skip(shown(0, 3))
    assert not view.feed(shown("0.02", 3)).any()
    assert np.allclose(view.feed(shown("0.06", 3)), 3)


def test_times_that_stand_still_and_sizes_that_change_are_refused() -> None:
    view = MotionView(Scripted(every_frame=True), FPS)
    view.feed(shown(0, 0))
    view.feed(shown("0.04", 1))
    with pytest.raises(FeatureError, match=r"Two frames are shown at 0\.040 s"):
        view.feed(shown("0.04", 1))
    with pytest.raises(FeatureError, match=r"at 0\.080 s has another size"):
        view.feed(shown("0.08", 1, size=(4, 4)))


def test_maps_of_a_turned_video_are_upright() -> None:
    view = MotionView(Scripted(every_frame=True), FPS)
    assert view.feed(shown(0, 0, turns=1)).shape == (3, 2, 2)
    field = view.feed(shown("0.04", 2, turns=1))
    assert field.shape == (3, 2, 2)
    np.testing.assert_array_equal(field[0, 0], (2, -2))


def test_vectors_of_a_smaller_copy_are_scaled_to_the_source(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", panned(2, 96, 64), codec="mpeg4")
    for scale in ((1.0, 1.0), (2.0, 4.0)):
        view = VectorView(scale)
        with open_video(path) as video:
            ask_for_vectors(video.stream)
            _, field = (view.next(decoded.frame) for decoded in FrameReader(video))
        np.testing.assert_array_equal(median(field), (-3 * scale[0], -1 * scale[1]))


# Turns and flips ---------------------------------------------------------------------------------


def random_map(seed: int = 0, *shape: int) -> Map:
    return np.random.default_rng(seed).normal(size=(*shape, 5, 7, 2)).astype(np.float32)


def test_four_turns_are_none_and_a_turn_back_undoes_one() -> None:
    field = random_map()
    np.testing.assert_array_equal(rotate_map(field, 4), field)
    np.testing.assert_array_equal(rotate_map(rotate_map(field, 1), -1), field)
    np.testing.assert_array_equal(rotate_map(rotate_map(field, 1), 2), rotate_map(field, 3))


def test_a_turn_moves_cells_as_rot90_does() -> None:
    field = random_map()
    for k in range(4):
        np.testing.assert_array_equal(
            np.linalg.norm(rotate_map(field, k), axis=-1),
            np.rot90(np.linalg.norm(field, axis=-1), k),
        )


def test_a_flip_negates_dx() -> None:
    field = random_map()
    flipped = flip_map(field)
    np.testing.assert_array_equal(flipped[..., 0], -field[:, ::-1, 0])
    np.testing.assert_array_equal(flipped[..., 1], field[:, ::-1, 1])
    np.testing.assert_array_equal(flip_map(flipped), field)


def test_two_turns_are_a_flip_and_an_upside_down_flip() -> None:
    field = random_map()
    upside_down = flip_map(field)[::-1] * np.array([1, -1], np.float32)
    np.testing.assert_array_equal(rotate_map(field, 2), upside_down)


def test_clips_turn_and_flip_as_their_maps_do() -> None:
    clip = random_map(1, 3)
    np.testing.assert_array_equal(rotate_map(clip, 1), [rotate_map(field, 1) for field in clip])
    np.testing.assert_array_equal(flip_map(clip), [flip_map(field) for field in clip])


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_flow_of_turned_frames_is_the_turned_flow(k: int) -> None:
    frames = panned(2, 96, 64)
    view, turned = motion_view("farneback"), motion_view("farneback")
    field = [view.next(frame) for frame in frames][1]
    of_turned = [turned.next(np.ascontiguousarray(np.rot90(frame, k))) for frame in frames][1]
    np.testing.assert_allclose(median(of_turned), median(rotate_map(field, k)), atol=0.05)


def test_flow_of_mirrored_frames_is_the_mirrored_flow() -> None:
    frames = panned(2, 96, 64)
    view, mirrored = motion_view("farneback"), motion_view("farneback")
    field = [view.next(frame) for frame in frames][1]
    of_mirrored = [mirrored.next(np.ascontiguousarray(frame[:, ::-1])) for frame in frames][1]
    np.testing.assert_allclose(median(of_mirrored), median(flip_map(field)), atol=0.05)


# The cache ---------------------------------------------------------------------------------------


def kept(folder: Path, n: int = 3) -> tuple[MotionCache, Path]:
    cache = MotionCache(folder)
    with cache.writer(KEY) as sink:
        for i in range(n):
            sink.append(random_map(i))
    (path,) = folder.iterdir()
    return cache, path


def test_maps_come_back_as_float16(tmp_path: Path) -> None:
    cache, _ = kept(tmp_path / "new" / "folder")
    maps = cache.get(KEY)
    assert maps is not None
    assert maps.maps_MHW2.dtype == np.float16
    assert not maps.maps_MHW2.flags.writeable
    expected = np.stack([random_map(i) for i in range(3)]).astype("f2")
    np.testing.assert_array_equal(maps.maps_MHW2, expected)


def test_one_map_may_stand_for_several_grid_frames(tmp_path: Path) -> None:
    cache = MotionCache(tmp_path)
    with cache.writer(KEY) as sink:
        sink.append(random_map(0), 2)
        sink.append(random_map(1), 0)
        sink.append(random_map(2))
    maps = cache.get(KEY)
    assert maps is not None
    expected = [random_map(i).astype("f2") for i in (0, 0, 2, 2)]
    assert len(maps) == 3
    for k, map_HW2 in enumerate(expected):  # beyond the end, the last
        np.testing.assert_array_equal(maps.at(k), map_HW2)
    assert len(maps.maps_MHW2) == 2  # each is kept once


def test_values_beyond_float16_are_cut_and_not_infinite(tmp_path: Path) -> None:
    cache = MotionCache(tmp_path)
    with cache.writer(KEY) as sink:
        sink.append(np.array([[[1e9, -1e9]]], np.float32))
    maps = cache.get(KEY)
    assert maps is not None
    assert maps.at(0).tolist() == [[[65504.0, -65504.0]]]


def test_a_key_without_maps_is_none(tmp_path: Path) -> None:
    assert MotionCache(tmp_path).get(KEY) is None
    (tmp_path / f"{KEY}.motion").mkdir()
    assert MotionCache(tmp_path).get(KEY) is None


@pytest.mark.parametrize("damage", ["cut", "longer", "flipped", "empty", "foreign", "head"])
def test_a_damaged_file_counts_as_absent_and_can_be_written_again(
    tmp_path: Path, damage: str
) -> None:
    cache, path = kept(tmp_path)
    good = path.read_bytes()
    middle = len(good) // 2
    path.write_bytes(
        {
            "cut": good[:-4],
            "longer": good + bytes(4),
            "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
            "empty": b"",
            "foreign": b"\x93NUMPY" + good[6:],
            "head": good[:20],
        }[damage]
    )
    assert cache.get(KEY) is None
    kept(tmp_path)
    assert path.read_bytes() == good


def test_a_header_that_claims_terabytes_is_not_believed(tmp_path: Path) -> None:
    cache, path = kept(tmp_path)
    data = bytearray(path.read_bytes())
    data[40:48] = (1 << 60).to_bytes(8, "little")
    path.write_bytes(data)
    assert cache.get(KEY) is None


def test_a_file_under_the_name_of_another_key_is_not_trusted(tmp_path: Path) -> None:
    cache, path = kept(tmp_path)
    other = motion_key("cd" * 32, {"method": "dis"})
    path.rename(tmp_path / f"{other}.motion")
    assert cache.get(other) is None


def test_what_stops_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    cache = MotionCache(tmp_path)
    with pytest.raises(KeyboardInterrupt), cache.writer(KEY) as sink:  # noqa: PT012
        sink.append(random_map())
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with pytest.raises(FeatureError, match="no map to keep"), cache.writer(KEY) as sink:
        sink.append(random_map(), 0)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    code = (
        "import os, sys, numpy as np\n"
        "from wtal_features.motion.cache import MotionCache\n"
        "with MotionCache(sys.argv[1]).writer(sys.argv[2]) as sink:\n"
        "    sink.append(np.zeros((400, 400, 2), np.float32))\n"
        "    os._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), KEY], env=environment, check=False
    )
    assert done.returncode == 9
    cache = MotionCache(tmp_path)
    assert cache.get(KEY) is None
    (left,) = tmp_path.iterdir()
    kept(tmp_path / "other")
    cache.sweep()
    assert not left.exists()


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (0, 7, 2), (7, 5, 2)])
def test_a_map_of_another_shape_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    cache = MotionCache(tmp_path)
    with pytest.raises(FeatureError, match="Map 1 has shape"), cache.writer(KEY) as sink:  # noqa: PT012
        sink.append(random_map())
        sink.append(np.zeros(shape, np.float32))
    assert not list(tmp_path.iterdir())


def test_nan_is_refused(tmp_path: Path) -> None:
    cache = MotionCache(tmp_path)
    with pytest.raises(FeatureError, match="Map 0 holds NaN"), cache.writer(KEY) as sink:
        sink.append(np.full((2, 2, 2), np.nan, np.float32))


def test_whatever_changes_the_maps_changes_the_key() -> None:
    settings = {**motion_view("dis").describe(), "fps": "25"}
    keys = {
        motion_key("ab" * 32, settings),
        motion_key("cd" * 32, settings),
        motion_key("ab" * 32, {**settings, "fps": "30"}),
        motion_key("ab" * 32, {**settings, "preset": "medium"}),
        motion_key("ab" * 32, {**settings, "short_side": 128}),
        motion_key("ab" * 32, motion_view("mv").describe()),
    }
    assert len(keys) == 6
    assert motion_key("ab" * 32, dict(reversed(settings.items()))) in keys


@pytest.mark.parametrize("key", ["", "../x", "a" * 63, "A" * 64])
def test_a_key_is_never_a_path(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        MotionCache(tmp_path).get(key)
