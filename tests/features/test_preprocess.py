"""Geometry and scale of frames and motion maps, against Pillow and by hand."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import wtal_features
from tests.features.videos import texture
from wtal_features.clips import IMAGENET_MEAN, IMAGENET_STD, ClipSpec, Preprocess
from wtal_features.errors import FeatureError
from wtal_features.preprocess import geometry, prepare_frame, prepare_motion, to_network

SIZES = [(240, 320), (320, 240), (239, 143), (97, 211), (100, 100)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """A texture with hard edges, which is where filters differ."""
    frame = texture(max(height, width), seed=height)[:height, :width].copy()
    frame[height // 3 : height // 2, width // 4 : width // 2] = (255, 0, 128)
    return frame


def gap(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> int:
    """The largest difference in levels of 255."""
    assert ours.shape == theirs.shape
    return int(np.abs(ours.astype(int) - theirs.astype(int)).max())


# Geometry ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (240, 320, (128, 170, 8, 29)),  # 170.67 is cut
        (320, 240, (170, 128, 29, 8)),
        (239, 143, (213, 128, 50, 8)),  # 213.93 is cut
        (128, 128, (128, 128, 8, 8)),
        (1, 1, (128, 128, 8, 8)),
    ],
)
def test_the_short_side_is_exact_and_the_other_edge_is_cut(
    height: int, width: int, expected: tuple[int, int, int, int]
) -> None:
    assert geometry(height, width, Preprocess(128, 112)) == expected


def test_the_other_edge_is_rounded_where_asked() -> None:
    assert geometry(240, 320, Preprocess(128, 112, long_side="round")) == (128, 171, 8, 29)


def test_an_odd_margin_leaves_one_pixel_more_behind_the_crop() -> None:
    assert geometry(11, 11, Preprocess(11, 8)) == (11, 11, 1, 1)


# Colour ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("resampling", "levels"), [("bilinear", 1), ("bicubic", 2)])
def test_frames_agree_with_pillow(
    height: int, width: int, resampling: Literal["bilinear", "bicubic"], levels: int
) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is the reference of this test")
    frame, preprocess = picture(height, width), Preprocess(128, 112, resampling=resampling)
    resized_h, resized_w, top, left = geometry(height, width, preprocess)
    resized = image.fromarray(frame).resize(
        (resized_w, resized_h), getattr(image.Resampling, resampling.upper())
    )
    theirs = np.asarray(resized)[top : top + 112, left : left + 112]
    assert gap(prepare_frame(frame, preprocess), theirs) <= levels


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(
    ("name", "resampling", "levels"),
    [
        ("VideoMAEImageProcessorPil", "bilinear", 1),
        ("CLIPImageProcessorPil", "bicubic", 2),
        ("BitImageProcessorPil", "bicubic", 2),  # DINOv2's
    ],
)
def test_pixels_agree_with_the_pillow_processors_of_transformers(
    height: int,
    width: int,
    name: str,
    resampling: Literal["bilinear", "bicubic"],
    levels: int,
) -> None:
    transformers = pytest.importorskip("transformers", reason="needs wtal[encoders]")
    pytest.importorskip("PIL", reason="Pillow is what these processors use")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        processor = getattr(transformers, name)(
            size={"shortest_edge": 64},
            crop_size={"height": 56, "width": 56},
            image_mean=list(IMAGENET_MEAN),
            image_std=list(IMAGENET_STD),
        )
        frame = picture(height, width)
        theirs = torch.as_tensor(np.asarray(processor([frame])["pixel_values"][0]))
    spec = ClipSpec(1, 1, "rgb", Preprocess(64, 56, resampling=resampling))
    ours = to_network(_clips(prepare_frame(frame, spec.preprocess)), spec)[0, :, 0]
    gap_per_C = (ours - theirs.reshape(3, 56, 56)).abs().amax(dim=(1, 2))
    assert (gap_per_C * 255 * torch.tensor(IMAGENET_STD) <= levels + 1e-3).all()


def test_a_frame_that_fits_is_returned_as_it_is() -> None:
    frame = picture(32, 32)
    for antialias in (True, False):
        prepared = prepare_frame(frame, Preprocess(32, 32, antialias=antialias))
        np.testing.assert_array_equal(prepared, frame)


def test_a_short_side_that_fits_is_only_cut() -> None:
    frame = picture(32, 41)
    prepared = prepare_frame(frame, Preprocess(32, 30))
    np.testing.assert_array_equal(prepared, frame[1:31, 5:35])
    assert prepared.flags.c_contiguous


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 8), (1, 7), (9, 5), (239, 143)])
@pytest.mark.parametrize("preprocess", [Preprocess(32, 28), Preprocess(36, 32, 20, "bicubic")])
def test_every_size_of_frame_becomes_the_square(
    height: int, width: int, preprocess: Preprocess
) -> None:
    frame = np.full((height, width, 3), (10, 100, 250), np.uint8)
    prepared = prepare_frame(frame, preprocess)
    assert prepared.shape == (preprocess.size, preprocess.size, 3)
    assert prepared.dtype == np.uint8
    assert prepared.flags.c_contiguous
    assert (prepared == (10, 100, 250)).all()


def test_the_crop_is_resized_once_more_where_asked() -> None:
    frame = picture(60, 80)
    once = prepare_frame(frame, Preprocess(48, 40))
    twice = prepare_frame(frame, Preprocess(48, 40, resize=24))
    np.testing.assert_array_equal(twice, prepare_frame(once, Preprocess(24, 24)))


def test_without_antialias_values_are_cut_and_not_rounded() -> None:
    # Twice as wide: the new pixels lie at 1/4 and 3/4 between the old ones.
    frame = np.zeros((1, 2, 3), np.uint8)
    frame[0, 1] = 3
    preprocess = Preprocess(2, 2, antialias=False)
    wide = np.repeat(frame, 2, axis=0)  # 2 x 2: no change of size
    np.testing.assert_array_equal(prepare_frame(wide, preprocess), wide)
    prepared = prepare_frame(wide, Preprocess(4, 4, antialias=False))
    np.testing.assert_array_equal(prepared[0, :, 0], [0, 0, 2, 3])  # 0, .75, 2.25, 3


def test_without_antialias_every_level_stays_what_it_was() -> None:
    for level in range(256):
        frame = np.full((5, 7, 3), level, np.uint8)
        assert (prepare_frame(frame, Preprocess(11, 11, antialias=False)) == level).all()


def test_without_antialias_pixels_between_the_samples_are_skipped() -> None:
    frame = np.zeros((40, 40, 3), np.uint8)
    frame[:, 0::10] = 255  # 4 of 40 columns; the samples lie at 4.5, 14.5, ...
    assert prepare_frame(frame, Preprocess(4, 4, antialias=False)).max() == 0
    assert prepare_frame(frame, Preprocess(4, 4)).max() > 0


def test_read_only_and_strided_frames_are_taken() -> None:
    frame = picture(60, 80)
    expected = prepare_frame(frame, Preprocess(32, 32))
    frame.flags.writeable = False
    np.testing.assert_array_equal(prepare_frame(frame, Preprocess(32, 32)), expected)
    mirrored = prepare_frame(frame[:, ::-1], Preprocess(32, 32))
    np.testing.assert_array_equal(
        mirrored, prepare_frame(np.ascontiguousarray(frame[:, ::-1]), Preprocess(32, 32))
    )


# Motion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(240, 320), (60, 80), (1, 1), (239, 143)])
def test_motion_keeps_its_pixels_per_frame_when_resized(height: int, width: int) -> None:
    motion = np.full((height, width, 2), (-3.25, 1.5), np.float32)
    prepared = prepare_motion(motion, Preprocess(48, 40))
    assert prepared.shape == (40, 40, 2)
    assert prepared.dtype == np.float16
    assert prepared.flags.c_contiguous
    np.testing.assert_allclose(prepared, np.broadcast_to((-3.25, 1.5), (40, 40, 2)), atol=1e-2)


def test_motion_is_cut_where_the_frame_is_cut() -> None:
    frame = np.zeros((48, 96, 3), np.uint8)
    frame[:, 60:] = 200
    motion = frame[..., :2].astype(np.float32)
    preprocess = Preprocess(48, 40)
    np.testing.assert_array_equal(
        prepare_motion(motion, preprocess), prepare_frame(frame, preprocess)[..., :2]
    )


@pytest.mark.parametrize("side", [24, 64])
def test_motion_is_resized_as_colour_is(side: int) -> None:
    frame = picture(48, 60)
    preprocess = Preprocess(side, side)
    difference = prepare_motion(frame[..., :2].astype(np.float32), preprocess).astype(
        float
    ) - prepare_frame(frame, preprocess)[..., :2].astype(float)
    assert np.abs(difference).max() <= 1


# To the network ----------------------------------------------------------------------------------


def _clips(frame: NDArray[Any]) -> torch.Tensor:
    """One clip of one frame."""
    return torch.from_numpy(frame)[None, None]


def _motion(*values: float) -> torch.Tensor:
    """(1, 1, 1, len, 2): dx = values, dy = 0."""
    motion = torch.zeros(1, 1, 1, len(values), 2, dtype=torch.float16)
    motion[..., 0] = torch.tensor(values)
    return motion


def test_colour_is_divided_and_normalised_per_channel() -> None:
    clips = torch.tensor([255, 0, 51], dtype=torch.uint8).expand(2, 4, 5, 6, 3)
    x_BCTHW = to_network(clips, ClipSpec(4, 1, "rgb"))
    assert x_BCTHW.shape == (2, 3, 4, 5, 6)
    assert x_BCTHW.dtype == torch.float32
    expected = (torch.tensor([1, 0, 0.2]) - torch.tensor(IMAGENET_MEAN)) / torch.tensor(
        IMAGENET_STD
    )
    torch.testing.assert_close(x_BCTHW[1, :, 3, 4, 5], expected)


def test_without_a_mean_colour_stays_between_zero_and_one() -> None:
    clips = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 1, 256, 1).expand(1, 1, 1, 256, 3)
    spec = ClipSpec(1, 1, "rgb", Preprocess(8, 8, mean=None, std=None))
    x_BCTHW = to_network(clips, spec)
    torch.testing.assert_close(x_BCTHW[0, 0, 0, 0], torch.linspace(0, 1, 256))


def test_the_axes_of_a_clip_are_not_mixed_up() -> None:
    clips = torch.randint(256, (2, 3, 4, 5, 3), dtype=torch.uint8, generator=_seeded())
    spec = ClipSpec(3, 1, "rgb", Preprocess(8, 8, mean=None, std=None))
    x_BCTHW = to_network(clips, spec)
    assert x_BCTHW[1, 2, 0, 3, 4] == clips[1, 0, 3, 4, 2] / 255


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_motion_as_an_image_has_zero_in_the_middle_and_an_empty_third_channel() -> None:
    spec = ClipSpec(1, 1, "motion", Preprocess(8, 8, mean=(0, 0, 0), std=(1, 1, 1)))
    x_BCTHW = to_network(_motion(0, 20, -20, 35, 10), spec)
    assert x_BCTHW.shape == (1, 3, 1, 1, 5)
    torch.testing.assert_close(
        x_BCTHW[0, 0, 0, 0] * 255, torch.tensor([127.5, 255, 0, 255, 191.25])
    )
    torch.testing.assert_close(x_BCTHW[0, 1], torch.full((1, 1, 5), 127.5 / 255))
    assert (x_BCTHW[0, 2] == 0).all()


def test_motion_as_an_image_is_normalised_like_colour() -> None:
    x_BCTHW = to_network(_motion(0), ClipSpec(1, 1, "motion"))
    expected = (torch.tensor([0.5, 0.5, 0]) - torch.tensor(IMAGENET_MEAN)) / torch.tensor(
        IMAGENET_STD
    )
    torch.testing.assert_close(x_BCTHW.flatten(), expected)


def test_without_a_mean_motion_is_clamped_to_ten_pixels_in_two_channels() -> None:
    spec = ClipSpec(1, 1, "motion", Preprocess(8, 8, mean=None, std=None))
    x_BCTHW = to_network(_motion(0, 5, -10, 80), spec)
    assert x_BCTHW.shape == (1, 2, 1, 1, 4)
    torch.testing.assert_close(x_BCTHW[0, 0, 0, 0], torch.tensor([0, 0.5, -1, 1]))


@pytest.mark.parametrize(("view", "channels"), [("rgb", 2), ("motion", 3)])
def test_clips_of_the_other_view_are_refused(view: Literal["rgb", "motion"], channels: int) -> None:
    with pytest.raises(FeatureError, match=f"the view {view}"):
        to_network(torch.zeros(1, 1, 8, 8, channels), ClipSpec(1, 1, view))


def test_a_mean_of_two_channels_is_refused() -> None:
    spec = ClipSpec(1, 1, "rgb", Preprocess(8, 8, mean=(0.5, 0.5)))
    with pytest.raises(FeatureError, match="three numbers each"):
        to_network(torch.zeros(1, 1, 8, 8, 3), spec)


def test_importing_the_module_brings_no_torch() -> None:
    program = "import sys, wtal_features.preprocess; sys.exit('torch' in sys.modules)"
    source = Path(wtal_features.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(source)}
    )
    assert run.returncode == 0
