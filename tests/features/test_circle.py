"""Circle loss, and InfoNCE against a bank: closed forms, gradients, the released defect."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wtal_features.contrast.circle import circle_loss
from wtal_features.contrast.infonce import infonce, queue_logits

S = torch.tensor([[0.5, 0.3, -0.4]], dtype=torch.float64)


def released(similarities_BN: Tensor, margin: float = 0.25, gamma: float = 256.0) -> Tensor:
    """With the indexing of the released code: weights and margins go by row, not by column."""
    labels_B = torch.zeros(len(similarities_BN), dtype=torch.long)
    alpha = (similarities_BN + margin).detach().clamp(min=0)
    alpha[labels_B] = (-similarities_BN[labels_B] + 1 + margin).detach().clamp(min=0)
    sigma = torch.ones_like(similarities_BN) * margin
    sigma[labels_B] = 1 - margin
    return F.cross_entropy(alpha * (similarities_BN - sigma) * gamma, labels_B)


def test_closed_form_of_a_row_by_hand() -> None:
    # a = (.75, .55, 0): logits 256 x (.75 x -.25, .55 x .05, 0) = -48, 7.04, 0
    expected = 48 + math.log(math.exp(-48) + math.exp(7.04) + 1)
    assert circle_loss(S).item() == pytest.approx(expected, abs=1e-9)
    assert circle_loss(S).item() == pytest.approx(55.040876, abs=1e-6)
    better = torch.tensor([[0.9, 0.1, 0.3]], dtype=torch.float64)
    assert circle_loss(better).item() == pytest.approx(0.001660, abs=1e-6)


def test_gradients_are_weighted_by_how_far_each_similarity_is_off() -> None:
    s = S.clone().requires_grad_()
    circle_loss(s).backward()  # type: ignore[no-untyped-call]
    assert s.grad is not None
    # -256 x .75 and 256 x .55 times the softmax of 7.04 against 0; a negative far off gets none
    assert s.grad[0].tolist() == pytest.approx([-192, 140.6767, 0], abs=1e-3)


def test_the_released_indexing_gives_another_loss() -> None:
    torch.manual_seed(0)
    s = torch.rand(4, 9) * 1.2 - 0.4
    assert circle_loss(s).item() == pytest.approx(364.406, abs=1e-3)
    assert released(s).item() == pytest.approx(108.178, abs=1e-3)


def test_the_released_indexing_never_pulls_the_positives_that_are_farthest_off() -> None:
    def pull(loss: Callable[[Tensor], Tensor]) -> list[float]:
        s = torch.tensor([[-0.3, 0.3], [-0.3, 0.3]], dtype=torch.float64, requires_grad=True)
        loss(s).backward()  # type: ignore[no-untyped-call]
        assert s.grad is not None
        return [float(each) for each in s.grad[:, 0]]

    # Two rows alike: each is pulled by half of 256 x (1 + .25 + .3).
    assert pull(circle_loss) == pytest.approx([-198.4, -198.4])
    # Row 1 gets the weight of a negative, [s + m]+ = 0.
    assert pull(released) == pytest.approx([-198.4, 0])


def test_it_agrees_with_pytorch_metric_learning() -> None:
    from pytorch_metric_learning.losses import CircleLoss

    generator = torch.Generator().manual_seed(0)
    anchors, pairs = (
        F.normalize(torch.randn(6, 8, generator=generator, dtype=torch.float64), dim=1)
        for _ in range(2)
    )
    bank = F.normalize(torch.randn(20, 8, generator=generator, dtype=torch.float64), dim=1)
    similarities = torch.cat([(anchors * pairs).sum(1, keepdim=True), anchors @ bank.T], dim=1)
    theirs = CircleLoss(m=0.25, gamma=256)
    expected = []
    for row in range(6):
        others = torch.cat([pairs[row : row + 1], bank])
        labels = torch.arange(21)
        expected.append(
            theirs(anchors[row : row + 1], torch.tensor([0]), ref_emb=others, ref_labels=labels)
        )
    assert circle_loss(similarities).item() == pytest.approx(
        torch.stack(expected).mean().item(), rel=1e-6
    )


def test_infonce_against_a_bank_agrees_with_pytorch_metric_learning() -> None:
    from pytorch_metric_learning.losses import NTXentLoss

    generator = torch.Generator().manual_seed(0)
    anchors, pairs, bank = (
        F.normalize(torch.randn(rows, 8, generator=generator, dtype=torch.float64), dim=1)
        for rows in (6, 6, 20)
    )
    theirs = [
        NTXentLoss(temperature=0.07)(
            *(anchors[row : row + 1], torch.tensor([0])),
            ref_emb=torch.cat([pairs[row : row + 1], bank]),
            ref_labels=torch.arange(21),
        )
        for row in range(6)
    ]
    ours = infonce(queue_logits(anchors, pairs, bank.T))
    assert ours.item() == pytest.approx(torch.stack(theirs).mean().item(), rel=1e-6)
    assert infonce(S / 0.07).item() == pytest.approx(0.055846, abs=1e-6)  # by hand, of one row


def test_what_is_left_out_counts_neither_way() -> None:
    left_out = torch.tensor([[False, True, False]])
    assert torch.equal(circle_loss(S, left_out_BN=left_out), circle_loss(S[:, [0, 2]]))


def test_the_loss_falls_as_the_positive_rises_and_a_perfect_row_costs_nothing() -> None:
    rising = [circle_loss(torch.tensor([[s, 0.2]])).item() for s in (-0.5, 0.0, 0.5, 0.9)]
    assert rising == sorted(rising, reverse=True)
    assert circle_loss(torch.tensor([[1.0, -1.0]])).item() == pytest.approx(0, abs=1e-6)
