"""Random views: what is drawn, and what it does to colours and to motion."""

import colorsys
import math
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.features.videos import flip_map
from wtal_features.augment.augmentation import Augmentation, Recipe
from wtal_features.augment.blur import gaussian_blur
from wtal_features.augment.colour import (
    CHANGES,
    Change,
    brightness,
    channel_contrast,
    contrast,
    gray,
    hsv_saturation,
    hue,
    luma,
    saturation,
    solarize,
)
from wtal_features.augment.draws import below, chance, order, uniform
from wtal_features.augment.geometry import Crop, CropRange
from wtal_features.augment.recipes import (
    cmd_clip,
    coclr_base,
    coclr_null,
    cvrl_views,
    draw_cmd,
    draw_coclr,
    draw_cvrl,
)
from wtal_features.errors import FeatureError

DRAWS = 2000
HW = (48, 64)
RECIPES: dict[str, Callable[[int], Recipe]] = {
    "CoCLR base": coclr_base,
    "CoCLR null": coclr_null,
    "CVRL first": lambda size: cvrl_views(size)[0],
    "CVRL second": lambda size: cvrl_views(size)[1],
    "CMD": cmd_clip,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clip(n: int = 3, hw: tuple[int, int] = HW, seed: int = 0) -> Tensor:
    """(n, H, W, 3) uint8 noise, smooth enough to be resized."""
    coarse = torch.rand(n, 3, 6, 8, generator=generator(seed))
    smooth = F.interpolate(coarse, hw, mode="bicubic", align_corners=False).clamp(0, 1)
    return (smooth * 255).byte().permute(0, 2, 3, 1).contiguous()


def planes(*colours: tuple[float, float, float]) -> Tensor:
    """(3, 1, 1, W) float64, one pixel per colour."""
    return torch.tensor(colours, dtype=torch.float64).T[:, None, None]


def colours_of(x: Tensor) -> list[list[float]]:
    """The pixels of `planes`."""
    pixels: list[list[float]] = x[:, 0, 0].T.tolist()
    return pixels


def within_three_sigma(hits: int, p: float, draws: int = DRAWS) -> bool:
    return abs(hits - draws * p) <= 3 * math.sqrt(draws * p * (1 - p))


def everything(recipe: Recipe) -> Recipe:
    """The recipe with all that it may do happening always."""
    return replace(recipe, jitter_p=1.0, gray_p=1.0, blur_p=1.0, solarize_p=1.0)


# Draws -------------------------------------------------------------------------------------------


def test_a_chance_of_zero_never_comes_and_of_one_always() -> None:
    g = generator()
    assert not any(chance(0.0, g) for _ in range(DRAWS))
    assert all(chance(1.0, g) for _ in range(DRAWS))


def test_single_numbers_are_uniform() -> None:
    g = generator()
    values = [uniform(2, 5, g) for _ in range(DRAWS)]
    assert 2 <= min(values) <= max(values) < 5
    assert within_three_sigma(sum(value < 3 for value in values), 1 / 3)
    counts = np.bincount([below(3, g) for _ in range(DRAWS)], minlength=3)
    assert all(within_three_sigma(int(count), 1 / 3) for count in counts)
    firsts = [order(4, g)[0] for _ in range(DRAWS)]
    assert all(within_three_sigma(firsts.count(i), 1 / 4) for i in range(4))
    assert sorted(order(7, g)) == list(range(7))


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_generator_state_gives_the_same_pixels_and_the_next_gives_others(
    name: str,
) -> None:
    recipe, frames, g = RECIPES[name](16), clip(), generator(4)
    first, following = recipe.draw(HW, g), recipe.draw(HW, g)
    again = recipe.draw(HW, generator(4))
    assert first == again != following
    assert torch.equal(first.frames(frames), again.frames(frames))


def test_drawing_and_applying_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    everything(coclr_base(16)).draw(HW, generator()).frames(clip())
    assert torch.equal(torch.get_rng_state(), before)


def test_what_was_drawn_cannot_be_changed() -> None:
    drawn = coclr_base(16).draw(HW, generator())
    with pytest.raises(FrozenInstanceError):
        drawn.gray = True  # type: ignore[misc]


# Geometry ----------------------------------------------------------------------------------------


def crops(range_: CropRange, hw: tuple[int, int] = HW, draws: int = DRAWS) -> Iterator[Crop]:
    g = generator(1)
    return (range_.draw(hw, g) for _ in range(draws))


def test_crops_have_the_area_and_the_ratio_asked_for_and_lie_in_the_picture() -> None:
    hw = (400, 500)
    for crop in crops(CropRange(32, (0.2, 1.0), (3 / 4, 4 / 3)), hw, 500):
        top, left, height, width = crop.box
        assert 0 <= top <= top + height <= 400
        assert 0 <= left <= left + width <= 500
        assert 0.19 < height * width / (400 * 500) <= 1
        assert 0.74 < width / height < 1.34


def test_crops_reach_every_edge() -> None:
    boxes = [crop.box for crop in crops(CropRange(8, (0.2, 0.3), (1, 1)), (16, 20))]
    assert {top for top, _, _, _ in boxes} >= {0, 1, 8}
    assert 0 in {left for _, left, _, _ in boxes}
    assert 16 in {top + height for top, _, height, _ in boxes}
    assert 20 in {left + width for _, left, _, width in boxes}


def test_areas_of_crops_that_always_fit_are_uniform() -> None:
    areas = [
        crop.box[2] * crop.box[3] / 400**2
        for crop in crops(CropRange(8, (0.2, 0.6), (1, 1)), (400, 400))
    ]
    assert within_three_sigma(sum(area < 0.3 for area in areas), 1 / 4)


def test_width_and_height_are_swapped_half_of_the_time() -> None:
    wide = [
        crop.box[3] > crop.box[2]
        for crop in crops(CropRange(8, (0.2, 0.3), (2, 2), swap=True), (100, 100))
    ]
    assert within_three_sigma(sum(wide), 1 / 2)
    kept = crops(CropRange(8, (0.2, 0.3), (2, 2)), (100, 100), 50)
    assert all(crop.box[3] > crop.box[2] for crop in kept)


def test_flips_come_with_their_probability() -> None:
    for p in (0.5, 0.2):
        flips = sum(crop.flip for crop in crops(CropRange(8, (0.2, 1), (1, 1), flip_p=p)))
        assert within_three_sigma(flips, p)


@pytest.mark.parametrize(
    ("hw", "box"), [((10, 1000), (0, 495, 10, 10)), ((1001, 10), (495, 0, 10, 10))]
)
def test_where_no_crop_fits_the_middle_is_taken(
    hw: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    assert all(crop.box == box for crop in crops(CropRange(8, (0.2, 1), (1, 1)), hw, 20))


def test_a_crop_that_does_not_fit_is_drawn_anew() -> None:
    # Half of them are too high. Ten in a row, after which the whole is taken, are 1 in 1024.
    found = [crop.box for crop in crops(CropRange(8, (0.5, 0.5), (0.25, 0.75)), (100, 100))]
    assert found.count((0, 0, 100, 100)) < 10
    assert all(width in range(50, 88) for _, _, _, width in found if width < 100)


@pytest.mark.parametrize("size", [12, 31, 70])
def test_resizing_agrees_with_pillow(size: int) -> None:
    from PIL import Image

    frames = clip(2)
    resampling = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    for kind in ("bilinear", "bicubic"):
        of = CropRange(size, (1, 1), (1, 1), resampling=kind)
        ours = Crop(HW, (3, 7, 40, 33), False, of).frames(frames)
        for frame, mine in zip(frames.numpy(), ours, strict=True):
            cut = Image.fromarray(frame[3:43, 7:40]).resize((size, size), resampling[kind])
            assert np.abs(np.asarray(cut, int) - mine.numpy().astype(int)).max() <= 2


def test_pixels_come_out_rounded_where_no_wider_filter_is_asked_for() -> None:
    frames = torch.tensor([0, 255], dtype=torch.uint8)[None, None, :, None].expand(1, 2, 2, 3)
    of = CropRange(4, (1, 1), (1, 1), antialias=False)
    found = Crop((2, 2), (0, 0, 2, 2), False, of).frames(frames)
    assert found[0, 0, :, 0].tolist() == [0, 64, 191, 255]


def test_a_wider_filter_sees_what_lies_between_the_points_that_are_taken() -> None:
    line = torch.tensor([0, 0, 0, 255, 0, 0, 0, 0], dtype=torch.uint8)
    frames = line[None, None, :, None].expand(1, 8, 8, 3)
    narrow, wide = (
        Crop((8, 8), (0, 0, 8, 8), False, CropRange(2, (1, 1), (1, 1), antialias=antialias))
        for antialias in (False, True)
    )
    assert narrow.frames(frames)[0, 0, :, 0].tolist() == [0, 0]  # means of pixels 1, 2 and 5, 6
    assert min(wide.frames(frames)[0, 0, :, 0].tolist()) > 0


# Motion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("box", "size"), [((3, 7, 40, 33), 16), ((0, 0, 48, 64), 70)])
def test_motion_of_the_frames_own_resolution_is_cut_as_they_are(
    box: tuple[int, int, int, int], size: int
) -> None:
    maps = torch.randn(3, *HW, 2, generator=generator())
    top, left, height, width = box
    cut = maps[:, top : top + height, left : left + width].permute(0, 3, 1, 2)
    expected = F.interpolate(cut, (size, size), mode="bilinear", antialias=True)
    found = Crop(HW, box, False, CropRange(size, (1, 1), (1, 1))).motion(maps)
    torch.testing.assert_close(found, expected.permute(0, 2, 3, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cells", [(48, 64), (24, 32), (12, 16)])
def test_coarse_motion_lies_where_fine_motion_does(cells: tuple[int, int]) -> None:
    """A slope over the picture, 1 px of motion per px of place, whatever cells it is kept in."""
    y = (torch.arange(cells[0]) + 0.5) * HW[0] / cells[0]
    x = (torch.arange(cells[1]) + 0.5) * HW[1] / cells[1]
    maps = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)[None]
    found = Crop(HW, (10, 21, 17, 25), False, CropRange(8, (1, 1), (1, 1))).motion(maps)
    inner = slice(2, -2)  # at the border of a crop a cell lacks a neighbour to be mixed with
    expected_x = 21 + (torch.arange(8) + 0.5) * 25 / 8
    expected_y = 10 + (torch.arange(8) + 0.5) * 17 / 8
    torch.testing.assert_close(found[0, 4, inner, 0], expected_x[inner], atol=0.2, rtol=0)
    torch.testing.assert_close(found[0, inner, 4, 1], expected_y[inner], atol=0.2, rtol=0)


def test_resizing_does_not_rescale_motion() -> None:
    maps = torch.tensor([3.0, -2.0]).expand(2, 12, 16, 2)
    found = Crop(HW, (1, 2, 30, 41), False, CropRange(9, (1, 1), (1, 1))).motion(maps)
    torch.testing.assert_close(found, torch.tensor([3.0, -2.0]).expand(2, 9, 9, 2))


def test_a_flip_negates_dx() -> None:
    maps = torch.randn(2, 12, 16, 2, generator=generator())
    straight, flipped = (
        Crop(HW, (1, 2, 30, 41), flip, CropRange(9, (1, 1), (1, 1))).motion(maps)
        for flip in (False, True)
    )
    np.testing.assert_array_equal(flipped.numpy(), flip_map(straight.numpy()))
    torch.testing.assert_close(flipped[:, :, 0, 0], -straight[:, :, -1, 0])
    torch.testing.assert_close(flipped[:, :, 0, 1], straight[:, :, -1, 1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_motion_keeps_its_type(dtype: torch.dtype) -> None:
    maps = torch.randn(2, 12, 16, 2, generator=generator()).to(dtype)
    for flip in (False, True):
        found = Crop(HW, (0, 0, 48, 64), flip, CropRange(9, (1, 1), (1, 1))).motion(maps)
        assert found.dtype == dtype
        assert found.is_contiguous()


@pytest.mark.parametrize("name", RECIPES)
def test_frames_and_motion_share_crop_and_flip(name: str) -> None:
    """Red says x and green says y; so does motion, at a quarter of the resolution."""
    hw, cells = (200, 240), (50, 60)
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(240.0), indexing="ij")
    frames = torch.stack([x, y, 0 * x], dim=-1)[None].byte()
    y, x = torch.meshgrid(torch.arange(50.0) * 4 + 1.5, torch.arange(60.0) * 4 + 1.5, indexing="ij")
    maps = torch.stack([x, y], dim=-1)[None]
    assert maps.shape[1:3] == cells
    recipe, g = RECIPES[name](24), generator(2)
    seen = set()
    for _ in range(12):
        drawn = recipe.draw(hw, g)
        place = Augmentation(drawn.crop).frames(frames)[0, 3:-3, 3:-3].float()
        motion = drawn.motion(maps)[0, 3:-3, 3:-3]
        sign = -1 if drawn.crop.flip else 1
        assert (place[..., 0] - sign * motion[..., 0]).abs().max() < 2.5
        assert (place[..., 1] - motion[..., 1]).abs().max() < 2.5
        seen.add(drawn.crop.flip)
    assert seen == {False, True}


def test_colour_never_touches_motion() -> None:
    maps = torch.randn(2, 12, 16, 2, generator=generator())
    drawn = everything(coclr_base(16)).draw(HW, generator())
    assert torch.equal(drawn.motion(maps), Augmentation(drawn.crop).motion(maps))


# Colour ------------------------------------------------------------------------------------------

LEVELS = (0.0, 0.2, 0.5, 0.9, 1.0)
# Grays, pure colours, ties between channels.
ALL_COLOURS = [(r, g, b) for r in LEVELS for g in LEVELS for b in LEVELS]
FACTORS = (0.0, 0.2, 0.6, 1.0, 1.4, 1.8)


def clipped(*values: float) -> list[float]:
    return [min(max(value, 0.0), 1.0) for value in values]


def assert_pixels(found: Tensor, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(colours_of(found), expected, atol=1e-9)


@pytest.mark.parametrize("factor", FACTORS)
def test_brightness_saturation_and_both_contrasts_agree_with_a_loop(factor: float) -> None:
    x = planes(*ALL_COLOURS)
    bright = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in ALL_COLOURS]
    mean = sum(bright) / len(bright)
    means = [sum(channel) / len(channel) for channel in zip(*ALL_COLOURS, strict=True)]
    away = [
        (brightness, [[0.0] * 3 for _ in bright]),
        (contrast, [[mean] * 3 for _ in bright]),
        (channel_contrast, [means for _ in bright]),
        (saturation, [[value] * 3 for value in bright]),
    ]
    for change, centres in away:
        expected = [
            clipped(*(c + factor * (v - c) for v, c in zip(colour, centre, strict=True)))
            for colour, centre in zip(ALL_COLOURS, centres, strict=True)
        ]
        assert_pixels(change(x, factor), expected)


@pytest.mark.parametrize("turns", [-1.0, -0.2, -0.1, 0.0, 0.05, 1 / 6, 1 / 3, 0.5])
def test_hue_agrees_with_colorsys(turns: float) -> None:
    expected = []
    for colour in ALL_COLOURS:
        h, s, v = colorsys.rgb_to_hsv(*colour)
        expected.append(list(colorsys.hsv_to_rgb((h + turns) % 1, s, v)))
    assert_pixels(hue(planes(*ALL_COLOURS), turns), expected)


@pytest.mark.parametrize("factor", FACTORS)
def test_saturation_of_hsv_agrees_with_colorsys(factor: float) -> None:
    expected = []
    for colour in ALL_COLOURS:
        h, s, v = colorsys.rgb_to_hsv(*colour)
        expected.append(list(colorsys.hsv_to_rgb(h, min(s * factor, 1.0), v)))
    assert_pixels(hsv_saturation(planes(*ALL_COLOURS), factor), expected)


def test_a_third_of_a_turn_makes_red_into_green() -> None:
    assert_pixels(hue(planes((1, 0, 0), (0.5, 0.5, 0.5)), 1 / 3), [[0, 1, 0], [0.5, 0.5, 0.5]])


def test_gray_is_the_luma_in_all_channels() -> None:
    x = planes((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))
    assert luma(x).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114, 1.0])
    assert_pixels(gray(x), [[value] * 3 for value in (0.299, 0.587, 0.114, 1.0)])


def test_solarizing_turns_the_bright_half_over() -> None:
    x = planes((0.0, 0.49, 0.5), (0.51, 0.9, 1.0))
    assert_pixels(solarize(x), [[0.0, 0.49, 0.5], [0.49, 0.1, 0.0]])


@pytest.mark.parametrize("change", [contrast, channel_contrast])
def test_contrast_is_about_the_mean_of_the_whole_clip(
    change: Callable[[Tensor, float], Tensor],
) -> None:
    black_and_white = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)], dim=1)
    torch.testing.assert_close(change(black_and_white, 0.0), torch.full((3, 2, 2, 2), 0.5))
    halved = change(black_and_white, 0.5)
    torch.testing.assert_close(halved[:, 0], torch.full((3, 2, 2), 0.25))
    torch.testing.assert_close(halved[:, 1], torch.full((3, 2, 2), 0.75))


@pytest.mark.parametrize("name", CHANGES)
def test_a_neutral_change_changes_nothing(name: Change) -> None:
    x = torch.rand(3, 2, 5, 5, generator=generator())
    torch.testing.assert_close(CHANGES[name](x.clone(), 0.0 if name == "hue" else 1.0), x)


@pytest.mark.parametrize("name", CHANGES)
def test_colours_stay_between_black_and_white_and_the_input_stays_as_it_is(name: Change) -> None:
    x = torch.rand(3, 2, 5, 5, generator=generator())
    before = x.clone()
    for strength in (0.2, 1.8):
        found = CHANGES[name](x, strength)
        assert 0 <= found.min() <= found.max() <= 1
    assert torch.equal(x, before)


# Blur --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.3, 2.0])
def test_blur_agrees_with_scipy(sigma: float) -> None:
    from scipy.ndimage import gaussian_filter

    x = torch.rand(2, 40, 70, generator=generator(), dtype=torch.float64)
    expected = [gaussian_filter(frame, sigma, mode="nearest", truncate=8) for frame in x.numpy()]
    np.testing.assert_allclose(gaussian_blur(x, sigma, 99).numpy(), expected, atol=3e-4)


def test_a_blurred_point_is_the_kernel_and_ends_at_its_radius() -> None:
    x = torch.zeros(1, 9, 9)
    x[0, 4, 4] = 1
    found = gaussian_blur(x, 1.0, 2)[0]
    weights = torch.exp(-torch.tensor([4.0, 1, 0, 1, 4]) / 2)
    weights /= weights.sum()
    torch.testing.assert_close(found[2:7, 2:7], weights[:, None] * weights)
    assert found.sum().item() == pytest.approx(1)
    assert (found != 0).sum() == 25


def test_blur_keeps_an_even_colour_up_to_the_border() -> None:
    x = torch.full((3, 2, 10, 33), 0.7)
    torch.testing.assert_close(gaussian_blur(x, 2.0, 8), x)
    assert torch.equal(gaussian_blur(x, 2.0, 0), x)


def test_pictures_smaller_than_the_kernel_can_be_blurred() -> None:
    torch.testing.assert_close(
        gaussian_blur(torch.ones(3, 1, 1, 2), 2.0, 8), torch.ones(3, 1, 1, 2)
    )


# Augmentations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_a_clip_of_equal_frames_stays_one(name: str) -> None:
    still, g = clip(1).expand(4, -1, -1, -1), generator()
    still_motion = torch.randn(1, 12, 16, 2, generator=g).expand(4, -1, -1, -1)
    for recipe in (RECIPES[name](16), everything(RECIPES[name](16))):
        for _ in range(8):
            drawn = recipe.draw(HW, g)
            frames, motion = drawn.frames(still), drawn.motion(still_motion)
            assert (frames == frames[0]).all()
            assert (motion == motion[0]).all()


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(("n", "hw"), [(1, (48, 64)), (2, (33, 47)), (2, (1, 1)), (1, (5, 300))])
def test_clips_of_any_size_become_squares(name: str, n: int, hw: tuple[int, int]) -> None:
    drawn = everything(RECIPES[name](20)).draw(hw, generator(3))
    found = drawn.frames(torch.zeros(n, *hw, 3, dtype=torch.uint8))
    assert found.shape == (n, 20, 20, 3)
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert drawn.motion(torch.zeros(n, *hw, 2)).shape == (n, 20, 20, 2)


def test_steps_come_in_order_crop_jitter_gray_blur_solarize() -> None:
    frames = clip()
    crop = Crop(HW, (4, 4, 40, 40), True, CropRange(16, (1, 1), (1, 1)))
    steps: tuple[tuple[Change, float], ...] = (("hue", 0.1), ("brightness", 1.3))
    x = crop.frames(frames).permute(3, 0, 1, 2).float() / 255
    x = gaussian_blur(gray(brightness(hue(x, 0.1), 1.3)), 1.0, 8)
    expected = (solarize(x) * 255).round().byte().permute(1, 2, 3, 0)
    assert torch.equal(Augmentation(crop, steps, True, 1.0, 8, True).frames(frames), expected)


def test_each_step_alone_is_done() -> None:
    frames, crop = clip(), Crop(HW, (4, 4, 40, 40), False, CropRange(16, (1, 1), (1, 1)))
    plain = Augmentation(crop)
    assert torch.equal(plain.frames(frames), crop.frames(frames))
    alone = [
        replace(plain, jitter=(("contrast", 0.5),)),
        replace(plain, gray=True),
        replace(plain, blur_sigma=2.0),
        replace(plain, solarize=True),
    ]
    looks = {drawn.frames(frames).numpy().tobytes() for drawn in [plain, *alone]}
    assert len(looks) == 5


@pytest.mark.parametrize(
    ("frames", "found"),
    [
        (torch.zeros(2, 48, 64, 3), r"\(2, 48, 64, 3\), torch.float32"),
        (torch.zeros(2, 64, 48, 3, dtype=torch.uint8), r"\(2, 64, 48, 3\)"),
        (torch.zeros(2, 48, 64, 2, dtype=torch.uint8), r"\(2, 48, 64, 2\)"),
        (torch.zeros(48, 64, 3, dtype=torch.uint8), r"\(48, 64, 3\)"),
    ],
)
def test_frames_of_another_form_are_refused(frames: Tensor, found: str) -> None:
    with pytest.raises(FeatureError, match=found + r".*expected \(n, 48, 64, 3\), uint8"):
        coclr_null(16).draw(HW, generator()).frames(frames)


@pytest.mark.parametrize(
    "maps",
    [torch.zeros(2, 4, 4, 3), torch.zeros(4, 4, 2), torch.zeros(2, 4, 4, 2, dtype=torch.int8)],
)
def test_motion_of_another_form_is_refused(maps: Tensor) -> None:
    with pytest.raises(FeatureError, match=r"Motion of shape.*expected \(n, H', W', 2\)"):
        coclr_null(16).draw(HW, generator()).motion(maps)


# Recipes -----------------------------------------------------------------------------------------

PUBLISHED = {  # jitter, gray, blur, solarize
    "CoCLR base": (0.8, 0.2, 0.5, 0.0),
    "CoCLR null": (0.0, 0.0, 0.0, 0.0),
    "CVRL first": (0.8, 0.2, 1.0, 0.0),
    "CVRL second": (0.8, 0.2, 0.1, 0.2),
    "CMD": (0.5, 0.2, 0.5, 0.0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_steps_come_with_the_published_probabilities(name: str) -> None:
    recipe, g = RECIPES[name](16), generator(7)
    drawn = [recipe.draw(HW, g) for _ in range(DRAWS)]
    counts = (
        sum(bool(one.jitter) for one in drawn),
        sum(one.gray for one in drawn),
        sum(one.blur_sigma is not None for one in drawn),
        sum(one.solarize for one in drawn),
    )
    for count, p in zip(counts, PUBLISHED[name], strict=True):
        assert within_three_sigma(count, p)
    assert within_three_sigma(sum(one.crop.flip for one in drawn), 0.5)


@pytest.mark.parametrize("name", ["CoCLR base", "CVRL first", "CMD"])
def test_jitter_has_random_order_and_strengths_over_the_whole_range(name: str) -> None:
    recipe, g = replace(RECIPES[name](16), jitter_p=1.0), generator(5)
    drawn = [recipe.draw(HW, g).jitter for _ in range(DRAWS)]
    for change, low, high in recipe.jitter:
        first = sum(steps[0][0] == change for steps in drawn)
        assert within_three_sigma(first, 1 / 4)
        strengths = [dict(steps)[change] for steps in drawn]
        assert low <= min(strengths) <= max(strengths) < high
        lower = sum(strength < low + (high - low) / 3 for strength in strengths)
        assert within_three_sigma(lower, 1 / 3)


@pytest.mark.parametrize("name", ["CoCLR base", "CVRL first", "CMD"])
def test_blur_is_between_a_tenth_of_a_pixel_and_two(name: str) -> None:
    recipe, g = replace(RECIPES[name](16), blur_p=1.0), generator(5)
    sigmas = [recipe.draw(HW, g).blur_sigma or 0.0 for _ in range(DRAWS)]
    assert 0.1 <= min(sigmas) <= max(sigmas) < 2
    assert within_three_sigma(sum(sigma < 1.05 for sigma in sigmas), 1 / 2)


def test_recipes_have_the_published_ranges() -> None:
    weak = {"brightness": (0.6, 1.4), "contrast": (0.6, 1.4), "saturation": (0.6, 1.4)}
    for recipe, resampling, size in ((coclr_base(), "bicubic", 128), (cmd_clip(), "bilinear", 112)):
        assert (recipe.crop.size, recipe.crop.resampling) == (size, resampling)
        assert (recipe.crop.area, recipe.crop.ratio) == ((0.2, 1.0), (3 / 4, 4 / 3))
        assert {name: (low, high) for name, low, high in recipe.jitter} == {
            **weak,
            "hue": (-0.1, 0.1),
        }
    assert coclr_base().crop.swap
    assert not cmd_clip().crop.swap
    first, second = cvrl_views()
    assert (first.crop.size, first.crop.area, first.crop.ratio) == (224, (0.3, 1.0), (0.5, 2.0))
    assert [(low, high) for _, low, high in first.jitter] == [(0.2, 1.8)] * 3 + [(-0.2, 0.2)]
    assert 2 * first.blur_radius + 1 == 23
    assert second == replace(first, blur_p=0.1, solarize_p=0.2)
    assert coclr_null().crop == coclr_base().crop


def test_coclr_shows_two_clips_or_one_and_marks_them_as_published() -> None:
    base, null, g = replace(coclr_base(16), jitter_p=1.0), coclr_null(16), generator(6)
    pairs = [draw_coclr(base, null, HW, g) for _ in range(DRAWS)]
    marks = [tuple(bool(view.jitter) for view in pair.views) for pair in pairs]
    two = [mark for pair, mark in zip(pairs, marks, strict=True) if pair.clips == (0, 1)]
    one = [mark for pair, mark in zip(pairs, marks, strict=True) if pair.clips != (0, 1)]
    assert within_three_sigma(len(two), 0.5)
    for i in range(2):
        assert within_three_sigma(sum(mark[i] for mark in two), 0.3, len(two))
    assert within_three_sigma(sum(mark == (True, True) for mark in two), 0.09, len(two))
    assert set(one) == {(True, False), (False, True)}
    assert within_three_sigma(sum(mark[0] for mark in one), 0.5, len(one))
    shown = [pair.clips for pair in pairs if pair.clips != (0, 1)]
    assert set(shown) == {(0, 0), (1, 1)}
    assert within_three_sigma(shown.count((1, 1)), 0.5, len(shown))


def test_the_two_views_of_a_pair_are_drawn_apart() -> None:
    g = generator()
    for pair in (
        draw_coclr(coclr_base(16), coclr_null(16), HW, g),
        draw_cvrl(cvrl_views(16), HW, g),
    ):
        assert pair.views[0].crop != pair.views[1].crop


def test_cvrl_blurs_the_first_view_and_solarizes_the_second_alone() -> None:
    g = generator()
    pairs = [draw_cvrl(cvrl_views(16), HW, g) for _ in range(200)]
    assert all(pair.clips == (0, 1) for pair in pairs)
    assert all(pair.views[0].blur_sigma is not None for pair in pairs)
    assert not any(pair.views[0].solarize for pair in pairs)
    assert any(pair.views[1].solarize for pair in pairs)


def test_cmd_draws_clip_i_frame_and_every_other_motion_clip_apart() -> None:
    views = draw_cmd(cmd_clip(16), HW, 3, generator())
    assert len(views.others) == 3
    drawn = [views.clip, views.i_frame, *views.others]
    assert len({one.crop.box for one in drawn}) == 5
    assert draw_cmd(cmd_clip(16), HW, 0, generator()).others == ()
