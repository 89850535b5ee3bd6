"""Encoders without learning: colours, motion, one pixel; closed forms."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.features.videos import texture
from wtal_features.encoders.histograms import ColourHistogram, MotionHistogram, Null

COLOUR, MOTION = ColourHistogram(), MotionHistogram()
RIGHT, DOWN, LEFT, UP = 0, 2, 4, 6  # bins of 45 degrees; dy points down
STILL = 8


def colours(*rgb: tuple[int, int, int], size: int = 4) -> Tensor:
    """One clip; equal shares of its rows have each colour."""
    clip = torch.zeros(1, 2, size, size, 3, dtype=torch.uint8)
    for i, colour in enumerate(rgb):
        clip[:, :, i * size // len(rgb) : (i + 1) * size // len(rgb)] = torch.tensor(
            colour, dtype=torch.uint8
        )
    return clip


def moving(dx: float, dy: float, size: int = 4) -> Tensor:
    return torch.tensor([dx, dy], dtype=torch.float16).expand(1, 3, size, size, 2)


# Colour ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "bin_"),
    [
        ((0, 0, 0), 0),
        ((63, 63, 63), 0),
        ((64, 0, 0), 16),
        ((0, 64, 0), 4),
        ((0, 0, 64), 1),
        ((255, 255, 255), 63),
        ((128, 191, 192), 2 * 16 + 2 * 4 + 3),
    ],
)
def test_one_colour_is_one_bin(colour: tuple[int, int, int], bin_: int) -> None:
    expected = torch.zeros(1, 64)
    expected[0, bin_] = 1
    assert torch.equal(COLOUR.encode(colours(colour)), expected)


def test_shares_of_colours_become_their_square_roots() -> None:
    y = COLOUR.encode(colours((0, 0, 0), (255, 255, 255), (255, 255, 255), (255, 255, 255)))
    assert y[0, 0] == 0.5
    assert y[0, 63] == pytest.approx(math.sqrt(0.75))


def test_rows_of_colour_have_unit_length_and_do_not_depend_on_places() -> None:
    clip = torch.from_numpy(texture(64))[None, None]
    y = COLOUR.encode(clip)
    assert y.norm().item() == pytest.approx(1)
    turned = clip.rot90(1, (2, 3))
    assert torch.equal(COLOUR.encode(turned), y)
    assert torch.equal(COLOUR.encode(torch.cat([clip, turned], dim=1)), y)


# Motion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dx", "dy", "bin_"),
    [(4, 0, RIGHT), (0, 4, DOWN), (-4, 0, LEFT), (0, -4, UP), (4, 4, 1), (-4, -4, 5)],
)
def test_motion_of_one_direction_is_one_bin_of_every_cell(dx: float, dy: float, bin_: int) -> None:
    y = MOTION.encode(moving(dx, dy)).reshape(4, 9)
    speed = torch.tensor(math.hypot(dx, dy)).sqrt()
    torch.testing.assert_close(y[:, bin_], speed.expand(4))
    assert (y.sum(dim=1) - y[:, bin_] == 0).all()


def test_left_and_barely_down_of_left_share_a_bin_across_the_cut_of_the_angle() -> None:
    for dy in (-0.001, 0.0, 0.001):
        y = MOTION.encode(torch.tensor([-4.0, dy]).expand(1, 1, 2, 2, 2)).reshape(4, 9)
        assert (y[:, LEFT] > 1.9).all()


def test_what_moves_by_less_than_half_a_pixel_is_still() -> None:
    for dx in (0.0, 0.3, -0.49):
        y = MOTION.encode(moving(dx, 0)).reshape(4, 9)
        assert (y[:, STILL] == 1).all()
        assert y.sum() == 4


def test_a_cell_of_motion_knows_its_place() -> None:
    clip = torch.zeros(1, 1, 4, 6, 2)
    clip[:, :, 2:, 3:, 0] = 9  # the cell at the bottom right
    y = MOTION.encode(clip).reshape(2, 2, 9)
    assert y[1, 1, RIGHT] == 3
    assert y[1, 1, STILL] == 0
    assert (y[[0, 0, 1], [0, 1, 0], STILL] == 1).all()
    assert y[..., RIGHT].count_nonzero() == 1


def test_a_clip_mirrored_left_to_right_swaps_the_bins() -> None:
    clip = 5 * torch.randn(1, 2, 6, 6, 2, generator=torch.Generator().manual_seed(0))
    mirrored = clip.flip(3) * torch.tensor([-1.0, 1.0])
    y, z = (MOTION.encode(c).reshape(2, 2, 9) for c in (clip, mirrored))
    swap = [LEFT, 3, DOWN, 1, RIGHT, 7, UP, 5, STILL]
    torch.testing.assert_close(z, y.flip(1)[..., swap])


# All ---------------------------------------------------------------------------------------------


def test_null_is_the_middle_pixel_of_the_first_frame() -> None:
    clip = torch.zeros(2, 3, 5, 5, 3, dtype=torch.uint8)
    clip[1, 0, 2, 2] = torch.tensor([255, 51, 0], dtype=torch.uint8)
    clip[:, 1:] = 99
    torch.testing.assert_close(Null().encode(clip), torch.tensor([[0.0, 0, 0], [1.0, 0.2, 0]]))


@dataclass
class Case:
    encoder: ColourHistogram | MotionHistogram | Null
    channels: int


CASES = [Case(ColourHistogram(), 3), Case(MotionHistogram(), 2), Case(Null(), 3)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.encoder.name)
def test_what_they_say_of_themselves_is_true(case: Case) -> None:
    encoder, clip = case.encoder, case.encoder.clip
    assert (clip.view == "rgb") == (case.channels == 3)
    S = clip.preprocess.size
    generator = np.random.default_rng(0)
    clips = torch.from_numpy(generator.integers(0, 9, (2, clip.frames, S, S, case.channels)))
    clips = clips.byte() if case.channels == 3 else clips.half()
    y = encoder.encode(clips)
    assert (y.shape, y.dtype) == ((2, encoder.dim), torch.float32)
    assert torch.equal(encoder.encode_dense(clips), y[:, None])
    assert encoder.to(torch.device("cpu")) is encoder
    said = json.loads(json.dumps(encoder.describe()))
    assert (said["name"], said["dim"]) == (encoder.name, encoder.dim)
    assert said["clip"]["frames"] == clip.frames
    assert y.isfinite().all()
