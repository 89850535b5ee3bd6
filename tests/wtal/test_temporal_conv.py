"""Packed convolutions against PyTorch's own, video by video."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wtal.temporal_conv import Packing, conv, shared_conv

LENGTHS = [(1,), (5,), (3, 1, 7), (4, 4)]


def padded(lengths: tuple[int, ...], D: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random double features with garbage at padding, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    T = max(lengths) + 2
    x_BTD = torch.randn(len(lengths), T, D, generator=generator, dtype=torch.float64)
    mask_BT = torch.arange(T) < torch.tensor(lengths).unsqueeze(1)
    return x_BTD.masked_fill(~mask_BT.unsqueeze(2), 1e6), mask_BT


def weights(D: int, E: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    weight_3DE = torch.randn(3, D, E, generator=generator, dtype=torch.float64, requires_grad=True)
    bias_E = torch.randn(E, generator=generator, dtype=torch.float64, requires_grad=True)
    return weight_3DE, bias_E


def reference(x_TD: Tensor, weight_3DE: Tensor, bias_E: Tensor) -> Tensor:
    """One unpadded video through `conv1d`."""
    y_ET = F.conv1d(x_TD.T.unsqueeze(0), weight_3DE.permute(2, 1, 0), bias_E, padding=1)[0]
    return y_ET.T


@pytest.mark.parametrize("lengths", LENGTHS)
def test_unpacking_restores_what_was_packed_and_zeroes_padding(lengths: tuple[int, ...]) -> None:
    x_BTD, mask_BT = padded(lengths, 4)
    packing = Packing.of(mask_BT)
    rows_ND = packing.pack(x_BTD)
    assert rows_ND.shape == (sum(lengths) + len(lengths) + 1, 4)
    assert not rows_ND[packing.gaps(rows_ND.device)].any()
    torch.testing.assert_close(
        packing.unpack(rows_ND), x_BTD.masked_fill(~mask_BT.unsqueeze(2), 0), rtol=0, atol=0
    )


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_packed_convolution_equals_conv1d_of_each_video_alone(lengths: tuple[int, ...]) -> None:
    x_BTD, mask_BT = padded(lengths, 4)
    weight_3DE, bias_E = weights(4, 5)
    packing = Packing.of(mask_BT)
    gaps = packing.gaps(x_BTD.device)
    y_BTE = packing.unpack(conv(packing.pack(x_BTD), weight_3DE, bias_E, gaps))
    for b, n in enumerate(lengths):
        torch.testing.assert_close(y_BTE[b, :n], reference(x_BTD[b, :n], weight_3DE, bias_E))
        assert not y_BTE[b, n:].any()


@pytest.mark.parametrize("lengths", LENGTHS)
def test_both_branches_and_all_gradients_equal_two_separate_conv1d(
    lengths: tuple[int, ...],
) -> None:
    x_BTD, mask_BT = padded(lengths, 4)
    packing = Packing.of(mask_BT)
    gaps = packing.gaps(x_BTD.device)
    generator = torch.Generator().manual_seed(2)
    w_BT = torch.rand(mask_BT.shape, generator=generator, dtype=torch.float64, requires_grad=True)
    x_BTD.requires_grad_()
    weight_3DE, bias_E = weights(4, 5)
    inputs = (x_BTD, w_BT, weight_3DE, bias_E)

    rows_ND = packing.pack(x_BTD)
    w_N = packing.pack(w_BT.unsqueeze(2)).squeeze(1)
    base_NE, supp_NE = shared_conv(rows_ND, w_N, weight_3DE, bias_E, gaps)
    ours = packing.unpack(base_NE).sin().sum() + packing.unpack(supp_NE).sin().sum() * 2
    theirs = torch.zeros((), dtype=torch.float64)
    for b, n in enumerate(lengths):
        base = reference(x_BTD[b, :n], weight_3DE, bias_E)
        supp = reference(w_BT[b, :n].unsqueeze(1) * x_BTD[b, :n], weight_3DE, bias_E)
        theirs = theirs + base.sin().sum() + 2 * supp.sin().sum()
    torch.testing.assert_close(ours, theirs)
    for got, expected in zip(
        torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True
    ):
        torch.testing.assert_close(got, expected)


def test_the_gradients_of_a_packed_convolution_equal_conv1d() -> None:
    lengths = (3, 1, 7)
    x_BTD, mask_BT = padded(lengths, 4)
    x_BTD.requires_grad_()
    packing = Packing.of(mask_BT)
    weight_3DE, bias_E = weights(4, 5)
    inputs = (x_BTD, weight_3DE, bias_E)
    rows_NE = conv(packing.pack(x_BTD), weight_3DE, bias_E, packing.gaps(x_BTD.device))
    ours = torch.autograd.grad(packing.unpack(rows_NE).sin().sum(), inputs)
    alone = [reference(x_BTD[b, :n], weight_3DE, bias_E) for b, n in enumerate(lengths)]
    theirs = torch.autograd.grad(torch.cat(alone).sin().sum(), inputs)
    for got, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, expected)


def test_features_that_need_no_gradient_get_none() -> None:
    x_BTD, mask_BT = padded((3, 2), 4)
    packing = Packing.of(mask_BT)
    weight_3DE, bias_E = weights(4, 5)
    w_N = torch.ones(packing.rows, dtype=torch.float64, requires_grad=True)
    base_NE, supp_NE = shared_conv(
        packing.pack(x_BTD), w_N, weight_3DE, bias_E, packing.gaps(x_BTD.device)
    )
    torch.testing.assert_close(base_NE, supp_NE)  # w = 1 suppresses nothing
    (base_NE.sum() + supp_NE.sum()).backward()  # type: ignore[no-untyped-call]
    assert x_BTD.grad is None
    assert weight_3DE.grad is not None


def test_autocast_computes_in_bfloat16_and_returns_float32_gradients() -> None:
    x_BTD, mask_BT = padded((6, 4), 8)
    packing = Packing.of(mask_BT)
    weight_3DE, bias_E = (w.detach().float().requires_grad_() for w in weights(8, 4))
    rows_ND = packing.pack(x_BTD).float()
    gaps = packing.gaps(rows_ND.device)
    w_N = torch.full((packing.rows,), 0.5, requires_grad=True)
    exact_NE = shared_conv(rows_ND, w_N, weight_3DE, bias_E, gaps)[1]
    with torch.autocast("cpu", torch.bfloat16):
        close_NE = shared_conv(rows_ND, w_N, weight_3DE, bias_E, gaps)[1]
    assert close_NE.dtype == torch.bfloat16
    torch.testing.assert_close(close_NE.float(), exact_NE, rtol=0.05, atol=0.05)
    close_NE.float().sum().backward()  # type: ignore[no-untyped-call]
    assert weight_3DE.grad is not None
    assert weight_3DE.grad.dtype == torch.float32
