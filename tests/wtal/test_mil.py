"""Top-k pooling and the terms of BaS-Net, by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from wtal.compat import Compat
from wtal.data import Batch
from wtal.losses import TERMS, Criterion, LossConfig
from wtal.losses.mil import attention_norm, classification, log_one_minus_softmax, top_k_mean
from wtal.model import Output


def full(T: int, B: int = 1) -> torch.Tensor:
    return torch.ones(B, T, dtype=torch.bool)


def test_top_k_is_the_mean_of_an_eighth_of_the_snippets() -> None:
    cas_BTC = torch.arange(16.0).view(1, 16, 1)  # k = 2: 15 and 14
    assert top_k_mean(cas_BTC, full(16), ratio=8).item() == 14.5


def test_top_k_never_looks_at_padding_and_takes_k_from_the_true_length() -> None:
    cas_BTC = torch.tensor([[1.0, 2, 9, 9], [1, 2, 3, 4]]).unsqueeze(2)
    mask_BT = torch.tensor([[True, True, False, False], [True] * 4])
    assert top_k_mean(cas_BTC, mask_BT, ratio=2).squeeze().tolist() == [2.0, 3.5]


def test_fewer_snippets_than_the_ratio_pool_their_maximum_and_nan_as_released() -> None:
    cas_BTC = torch.tensor([3.0, 5.0, 4.0]).view(1, 3, 1)
    assert top_k_mean(cas_BTC, full(3), ratio=8).item() == 5
    assert top_k_mean(cas_BTC, full(3), ratio=8, at_least_one=False).isnan().all()


def test_log_one_minus_softmax_is_exact_and_finite_for_sure_classes() -> None:
    logits_BC = torch.tensor([[0.0, 1.0, -2.0], [200.0, 0.0, 0.0], [-500.0, 0.0, 300.0]])
    log_not_p = log_one_minus_softmax(logits_BC.double())
    expected = torch.log1p(-logits_BC[:1].double().softmax(1))
    torch.testing.assert_close(log_not_p[:1], expected)
    assert log_not_p[1, 0].item() == pytest.approx(math.log(2) - 200)  # two others at e^-200
    assert log_not_p.isfinite().all()


def test_its_gradient_does_not_vanish_for_a_sure_but_wrong_class() -> None:
    logits_BC = torch.tensor([[150.0, 0.0]], requires_grad=True)
    classification(logits_BC, torch.tensor([[0.0]]), background=1.0).backward()  # type: ignore[no-untyped-call]
    assert logits_BC.grad is not None
    torch.testing.assert_close(logits_BC.grad, torch.tensor([[1.0, -1.0]]))


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_the_term_equals_cross_entropy_on_the_softmax_where_that_is_finite(
    background: float,
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits_BC = torch.randn(4, 6, generator=generator)
    labels_BC = torch.tensor([[1.0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]])
    target_BC = torch.cat([labels_BC, torch.full((4, 1), background)], 1)
    target_BC /= target_BC.sum(1, keepdim=True)
    expected = F.binary_cross_entropy(logits_BC.softmax(1), target_BC)
    got = classification(logits_BC, labels_BC, background=background)
    torch.testing.assert_close(got, expected)
    separate = classification(logits_BC, labels_BC, background=background, separate_log=True)
    assert torch.equal(separate, expected)


def test_a_background_only_video_pushes_every_class_down_in_the_suppression_branch() -> None:
    logits_BC = torch.zeros(1, 3)
    term = classification(logits_BC, torch.zeros(1, 2), background=0.0)
    assert term.item() == pytest.approx(-math.log(2 / 3))


def test_the_attention_norm_sums_over_time_or_scales_to_750() -> None:
    attention_BT = torch.full((2, 4), 0.5)
    mask_BT = torch.tensor([[True] * 4, [True, True, False, False]])
    assert attention_norm(attention_BT, mask_BT, per_750=False).item() == (2 + 1) / 2
    assert attention_norm(attention_BT, mask_BT).item() == 375  # .5 * 750 whatever the length


def test_both_forms_of_the_norm_agree_at_750_snippets() -> None:
    attention_BT = torch.rand(2, 750, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        attention_norm(attention_BT, full(750, 2)),
        attention_norm(attention_BT, full(750, 2), per_750=False),
    )


def toy_output() -> tuple[Output, Batch]:
    generator = torch.Generator().manual_seed(0)
    mask_BT = torch.tensor([[True] * 9, [True] * 4 + [False] * 5])
    output = Output(
        torch.rand(2, 9, generator=generator),
        torch.randn(2, 9, 4, generator=generator),
        torch.randn(2, 9, 4, generator=generator),
        torch.zeros(16, 2),
        torch.zeros(16, 2),
    )
    labels_BC = torch.tensor([[1.0, 0, 0], [0, 1, 1]])
    positions_BT = torch.arange(9).repeat(2, 1)
    return output, Batch(torch.zeros(2, 9, 1), mask_BT, labels_BC, torch.arange(2), positions_BT)


def test_the_total_is_the_weighted_sum_of_the_named_terms() -> None:
    criterion = Criterion(LossConfig(cls_scale=3.0, norm_weight=0.5), Compat(), 3)
    terms = criterion(*toy_output())
    assert set(terms) == set(TERMS) == set(criterion.weights)
    expected = 3 * terms["cls_base"] + 3 * terms["cls_supp"] + 0.5 * terms["norm"]
    torch.testing.assert_close(criterion.total(terms), expected)


@pytest.mark.parametrize(("C", "scale"), [(20, 1.0), (200, 201 / 21), (10, 11 / 21)])
def test_the_automatic_scale_is_the_released_one_at_twenty_classes(C: int, scale: float) -> None:
    weights = Criterion(LossConfig(), Compat(), C).weights
    assert weights["cls_base"] == weights["cls_supp"] == pytest.approx(scale)


def test_the_base_branch_wants_background_and_the_suppression_branch_does_not() -> None:
    output, batch = toy_output()
    sure = torch.full((2, 9, 4), -10.0)
    sure[..., 3] = 10  # background everywhere
    output = output._replace(cas_base_BTC=sure, cas_supp_BTC=sure)
    terms = Criterion(LossConfig(), Compat(), 3)(output, batch)
    assert terms["cls_supp"] > terms["cls_base"]
