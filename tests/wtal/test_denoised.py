"""What denoised labels teach directly, by hand."""

import math

import pytest
import torch

from wtal.losses import denoised


def test_classes_are_a_weighted_cross_entropy_of_labelled_snippets() -> None:
    cas = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]))
    weight = torch.tensor([[1.0, 0], [0, 0], [0, 3.0]])
    expected = (1 * -math.log(0.5) + 3 * -math.log(0.8)) / 4
    assert denoised.classes(cas, weight).item() == pytest.approx(expected)


def test_a_batch_without_labels_teaches_nothing() -> None:
    cas = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = denoised.classes(cas, torch.zeros(4, 2))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert cas.grad is not None
    assert not cas.grad.any()
    nothing = torch.zeros(4)
    assert denoised.attention(torch.rand(4), nothing, nothing).item() == 0


def test_attention_counts_action_and_background_the_same() -> None:
    attention = torch.tensor([0.5, 0.2, 0.9, 0.9])
    action = torch.tensor([1.0, 0, 0, 0])
    background = torch.tensor([0, 1.0, 1.0, 0])
    expected = -math.log(0.5) - (math.log(0.8) + math.log(0.1)) / 2
    assert denoised.attention(attention, action, background).item() == pytest.approx(expected)


def test_an_attention_of_zero_or_one_gives_a_finite_loss() -> None:
    attention = torch.tensor([0.0, 1.0], requires_grad=True)
    loss = denoised.attention(attention, torch.tensor([1.0, 0]), torch.tensor([0, 1.0]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert attention.grad is not None
    assert attention.grad.isfinite().all()
