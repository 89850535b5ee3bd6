"""L_dcc by hand and against pytorch-metric-learning; who is positive and who negative."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import CircleLoss, NTXentLoss, SupConLoss
from torch import Tensor
from torch.nn import functional as F

from wtal.losses.dcc import contrast, relate
from wtal.memory import Slots

# Videos: 0 {0}, 1 {0}, 2 {1}, 3 {0, 1}, 4 {}.
LABELS = torch.tensor([[1, 0], [1, 0], [0, 1], [1, 1], [0, 0]], dtype=torch.bool)
SLOTS = Slots.of(LABELS.float())
NAMES = [
    f"{v}{'b' if b else c}" for v, c, b in zip(*(part.tolist() for part in SLOTS), strict=True)
]


def related(anchor: str, **options: bool) -> tuple[set[str], set[str]]:
    index = torch.tensor([NAMES.index(anchor)])
    found = relate(SLOTS.select(index), SLOTS, LABELS, **options)
    return tuple({n for n, on in zip(NAMES, part[0].tolist(), strict=True) if on} for part in found)  # type: ignore[return-value]


def test_the_slots_are_these() -> None:
    assert NAMES == ["00", "0b", "10", "1b", "21", "2b", "30", "31", "3b", "4b"]


def test_positives_are_action_regions_of_the_class_in_any_video() -> None:
    assert related("00")[0] == {"00", "10", "30"}
    assert related("31")[0] == {"21", "31"}


def test_negatives_are_backgrounds_and_other_classes_of_videos_without_a_conflict() -> None:
    # Video 3 carries class 0 too: its class 1 is no negative of class 0 in video 0.
    assert related("00")[1] == {"0b", "1b", "2b", "3b", "4b", "21"}
    # And for an anchor of video 3 every other class conflicts with its own tags.
    assert related("30")[1] == {"0b", "1b", "2b", "3b", "4b"}


def test_literal_conflicts_take_every_other_class_of_another_video() -> None:
    assert related("00", literal_conflicts=True)[1] >= {"21", "31"}
    assert related("30", literal_conflicts=True)[1] >= {"21"}


def test_the_other_class_of_the_same_video_is_neither_unless_asked_for() -> None:
    positive, negative = related("30")
    assert "31" not in positive | negative
    assert "31" in related("30", same_video_negatives=True)[1]


def on(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.bool)


UNIT = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0.6, 0.8]])


def test_one_positive_and_one_negative_by_hand() -> None:
    # Similarities of (1, 0): 0 to the positive, -1 to the negative.
    found = contrast(UNIT[:1], UNIT, on([0, 1, 0, 0]), on([0, 0, 1, 0]), tau=0.5)
    expected = math.log(1 + math.exp(-1 / 0.5))
    assert found.loss.item() == pytest.approx(expected, rel=1e-6)
    assert found.positive_mass == pytest.approx(math.exp(-expected), rel=1e-6)
    assert found.counted_A.tolist() == [True]


def test_the_sum_over_positives_is_inside_or_outside_of_the_logarithm() -> None:
    pos, neg = on([0, 1, 0, 1]), on([0, 0, 1, 0])
    e = [math.exp(s / 0.5) for s in (0, 0.6, -1)]  # positive, positive, negative
    inside = contrast(UNIT[:1], UNIT, pos, neg, tau=0.5).loss.item()
    outside = contrast(UNIT[:1], UNIT, pos, neg, tau=0.5, form="outside").loss.item()
    assert inside == pytest.approx(-math.log((e[0] + e[1]) / sum(e)), rel=1e-6)
    assert outside == pytest.approx(
        -(math.log(e[0] / sum(e)) + math.log(e[1] / sum(e))) / 2, rel=1e-6
    )


def test_an_anchor_without_a_positive_does_not_count() -> None:
    pos, neg = on([0, 1, 0, 0], [0, 0, 0, 0]), on([0, 0, 1, 0], [0, 0, 1, 0])
    both = contrast(UNIT[:2], UNIT, pos, neg, tau=0.5)
    one = contrast(UNIT[:1], UNIT, pos[:1], neg[:1], tau=0.5)
    assert both.counted_A.tolist() == [True, False]
    torch.testing.assert_close(both.loss, one.loss)


def test_a_bank_that_holds_nothing_gives_zero_without_a_gradient_of_nan() -> None:
    anchors = UNIT[:2].clone().requires_grad_()
    nothing = torch.zeros(2, 4, dtype=torch.bool)
    found = contrast(anchors, torch.zeros(4, 2), nothing, nothing, tau=0.07)
    assert found.loss.item() == 0
    assert not found.loss.requires_grad
    assert math.isnan(found.positive_mass)


def test_without_negatives_the_loss_is_zero_and_its_gradient_too() -> None:
    anchors = UNIT[:1].clone().requires_grad_()
    found = contrast(anchors, UNIT, on([0, 1, 0, 0]), on([0, 0, 0, 0]), tau=0.07)
    found.loss.backward()  # type: ignore[no-untyped-call]
    assert found.loss.item() == pytest.approx(0, abs=1e-6)
    assert anchors.grad is not None
    assert anchors.grad.abs().max() < 1e-6


def test_the_gradient_has_the_length_that_the_derivation_gives() -> None:
    # |dL/dr| = (1 - p+)/tau |mean positive key - mean negative key| for one anchor.
    draw = torch.Generator().manual_seed(0)
    anchor = F.normalize(torch.randn(1, 8, generator=draw), dim=1).requires_grad_()
    keys = F.normalize(torch.randn(7, 8, generator=draw), dim=1)
    pos, neg = on([1, 1, 0, 0, 0, 0, 0]), on([0, 0, 1, 1, 1, 1, 1])
    found = contrast(anchor, keys, pos, neg, tau=0.2)
    found.loss.backward()  # type: ignore[no-untyped-call]
    e = (anchor.detach() @ keys.T / 0.2).exp()[0]
    mean = [(e[s] @ keys[s]) / e[s].sum() for s in (slice(0, 2), slice(2, 7))]
    expected = -(1 - found.positive_mass) / 0.2 * (mean[0] - mean[1])
    torch.testing.assert_close(anchor.grad, expected.unsqueeze(0))


def random_case() -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    vectors = F.normalize(torch.randn(12, 6, generator=draw), dim=1)
    return vectors, torch.arange(12) % 3, torch.eye(12, dtype=torch.bool)


def test_one_positive_each_equals_nt_xent_of_pytorch_metric_learning() -> None:
    vectors, _, itself = random_case()
    pairs = torch.arange(12) // 2
    same = pairs.unsqueeze(1) == pairs
    ours = contrast(vectors, vectors, same & ~itself, ~same, tau=0.1).loss
    torch.testing.assert_close(ours, NTXentLoss(temperature=0.1)(vectors, pairs))


def test_the_sum_outside_equals_supcon_of_pytorch_metric_learning() -> None:
    vectors, classes, itself = random_case()
    same = classes.unsqueeze(1) == classes
    ours = contrast(vectors, vectors, same & ~itself, ~same, tau=0.1, form="outside").loss
    torch.testing.assert_close(ours, SupConLoss(temperature=0.1)(vectors, classes))


def test_circle_equals_circle_loss_of_pytorch_metric_learning() -> None:
    vectors, classes, itself = random_case()
    same = classes.unsqueeze(1) == classes
    ours = contrast(vectors, vectors, same & ~itself, ~same, tau=1 / 80, form="circle").loss
    theirs = CircleLoss(m=0.25, gamma=80)(vectors, classes)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_only_the_hardest_negatives_count_where_that_is_asked() -> None:
    pos, neg = on([0, 1, 0, 0]), on([0, 0, 1, 1])
    hard = contrast(UNIT[:1], UNIT, pos, neg, tau=0.5, hardest=1).loss
    only = contrast(UNIT[:1], UNIT, pos, on([0, 0, 0, 1]), tau=0.5).loss
    torch.testing.assert_close(hard, only)
    everything = contrast(UNIT[:1], UNIT, pos, neg, tau=0.5, hardest=4).loss
    torch.testing.assert_close(everything, contrast(UNIT[:1], UNIT, pos, neg, tau=0.5).loss)


def test_similar_regions_at_a_small_temperature_stay_finite() -> None:
    anchors = UNIT[:1].clone().requires_grad_()
    found = contrast(anchors, UNIT, on([0, 0, 1, 0]), on([1, 0, 0, 0]), tau=1e-3)
    found.loss.backward()  # type: ignore[no-untyped-call]
    assert found.loss.item() == pytest.approx(2000)
    assert anchors.grad is not None
    assert anchors.grad.isfinite().all()
