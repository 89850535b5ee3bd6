"""TensorFlow's lopsided padding, against values computed by hand."""

import pytest
import torch
from torch import nn

from wtal_features.encoders.padding import SameConv3d, SameMaxPool3d, pad_same, same_padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (16, 5, 2, (1, 2)),  # stem of R3D-50, time
        (224, 7, 2, (2, 3)),  # stem, space
        (112, 3, 2, (0, 1)),  # pool, and the middle convolution of stages 2 to 4
        (7, 5, 2, (2, 2)),
        (7, 3, 2, (1, 1)),
        (1, 7, 2, (3, 3)),
        (2, 7, 2, (2, 3)),
        (9, 3, 1, (1, 1)),
        (8, 1, 2, (0, 0)),
        (9, 1, 2, (0, 0)),
        (5, 2, 1, (0, 1)),
    ],
)
def test_the_larger_half_comes_behind(
    size: int, kernel: int, stride: int, expected: tuple[int, int]
) -> None:
    assert same_padding(size, kernel, stride) == expected


def ramp(n: int, axis: int, first: int = 0) -> torch.Tensor:
    shape = [1, 1, 1, 1, 1]
    shape[axis] = n
    return torch.arange(first, first + n, dtype=torch.float32).reshape(shape)


def summing(convolution: nn.Conv3d) -> nn.Conv3d:
    nn.init.ones_(convolution.weight)
    return convolution


@torch.no_grad()
def test_a_convolution_with_stride_2_sums_a_ramp_as_tensorflow_does() -> None:
    convolution = summing(SameConv3d(1, 1, (1, 1, 3), (1, 1, 2), bias=False))
    # [0 1 2] [2 3 4] [4 5 .]; symmetric padding would give [. 0 1] [1 2 3] [3 4 5].
    assert convolution(ramp(6, axis=4)).flatten().tolist() == [3, 9, 9]
    symmetric = summing(nn.Conv3d(1, 1, (1, 1, 3), (1, 1, 2), (0, 0, 1), bias=False))
    assert symmetric(ramp(6, axis=4)).flatten().tolist() == [1, 6, 12]


@torch.no_grad()
def test_the_stem_s_kernel_in_time_starts_one_frame_before_the_clip() -> None:
    convolution = summing(SameConv3d(1, 1, (5, 1, 1), (2, 1, 1), bias=False))
    # [. 0 1 2 3] [1 2 3 4 5] [3 4 5 6 7] [5 6 7 . .]
    assert convolution(ramp(8, axis=2)).flatten().tolist() == [6, 15, 25, 18]


@torch.no_grad()
def test_with_an_odd_size_both_rules_agree() -> None:
    convolution = summing(SameConv3d(1, 1, (1, 3, 1), (1, 2, 1), bias=False))
    symmetric = summing(nn.Conv3d(1, 1, (1, 3, 1), (1, 2, 1), (0, 1, 0), bias=False))
    clip = ramp(7, axis=3)
    assert torch.equal(convolution(clip), symmetric(clip))


def test_what_is_added_never_is_the_maximum() -> None:
    pool = SameMaxPool3d((1, 1, 3), (1, 1, 2))
    # [-6 -5 -4] [-4 -3 -2] [-2 -1 .]
    assert pool(ramp(6, axis=4, first=-6)).flatten().tolist() == [-4, -2, -1]


def test_every_axis_is_padded_by_its_own_size() -> None:
    clip = torch.ones(1, 1, 4, 5, 6)
    padded = pad_same(clip, (5, 3, 3), (2, 2, 2), 0.0)
    assert padded.shape[2:] == (4 + 3, 5 + 2, 6 + 1)
    assert padded[0, 0, 0].sum() == 0  # one frame before
    assert padded[0, 0, -2:].sum() == 0  # two behind
    assert torch.equal(padded[:, :, 1:5, 1:6, :6], clip)


def test_nothing_is_copied_where_nothing_is_missing() -> None:
    clip = torch.ones(1, 1, 4, 4, 4)
    assert pad_same(clip, (1, 1, 1), (2, 2, 2), 0.0) is clip
