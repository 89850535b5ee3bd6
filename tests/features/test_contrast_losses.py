"""Contrastive losses: closed forms, independent implementations, gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wtal_features.contrast.infonce import infonce, queue_logits, top1
from wtal_features.contrast.mil_nce import mil_nce, without_own
from wtal_features.contrast.nt_xent import nt_xent
from wtal_features.contrast.pointwise import point_logits, pointwise_infonce
from wtal_features.contrast.uber_nce import uber_nce

SIMILARITIES = torch.tensor([[0.8, 0.6, 0.2, -0.4]], dtype=torch.float64)
FIRST_TWO = torch.tensor([[True, True, False, False]])

Loss = Callable[[Tensor], Tensor]
ON_ONE_ROW: dict[str, tuple[Loss, float, float]] = {
    "InfoNCE": (infonce, 0.056023, 0.129114),
    "UberNCE": (lambda logits: uber_nce(logits, FIRST_TWO), 1.484595, 1.129114),
    "MIL-NCE": (lambda logits: mil_nce(logits, FIRST_TWO), 0.000179, 0.002186),
    "MIL-NCE without the own key": (
        lambda logits: mil_nce(logits, FIRST_TWO, drop_own=True),
        2.913166,
        2.129114,
    ),
}


def unit(*shape: int, seed: int = 0, dim: int = -1) -> Tensor:
    """Random float64 rows of length one."""
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(rows, dim=dim)


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (3, 17) of three queries, their positives, the queries and the keys [own, queue]."""
    generator = torch.Generator().manual_seed(0)
    q, k, queue = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((3, 8), (3, 8), (8, 16))
    )
    q, k, queue = F.normalize(q, dim=1), F.normalize(k, dim=1), F.normalize(queue, dim=0)
    positives = torch.zeros(3, 17, dtype=torch.bool)
    positives[:, 0] = True
    positives[0, [3, 5]] = positives[1, 7] = True
    return (
        queue_logits(q, k, queue),
        positives,
        q,
        torch.stack([k, *queue.T[:, None].expand(16, 3, 8)]),
    )


# One row, by hand --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_ONE_ROW)
def test_one_row_costs_what_the_formula_says(name: str) -> None:
    loss, warm, cool = ON_ONE_ROW[name]
    assert loss(SIMILARITIES / 0.07).item() == pytest.approx(warm, abs=5e-7)
    assert loss(SIMILARITIES / 0.1).item() == pytest.approx(cool, abs=5e-7)


def test_a_batch_costs_the_mean_over_its_rows() -> None:
    logits, positives, _, _ = batch()
    for loss in (uber_nce, mil_nce):
        rows = [loss(logits[i : i + 1], positives[i : i + 1]) for i in range(3)]
        torch.testing.assert_close(loss(logits, positives), torch.stack(rows).mean())
    torch.testing.assert_close(
        infonce(logits), F.cross_entropy(logits, torch.zeros(3, dtype=torch.long))
    )


def test_the_batch_of_the_specification_costs_what_it_says() -> None:
    torch.manual_seed(0)
    q, k, queue = torch.randn(3, 8), torch.randn(3, 8), torch.randn(8, 16)
    q, k, queue = F.normalize(q, dim=1), F.normalize(k, dim=1), F.normalize(queue, dim=0)
    logits, positives = queue_logits(q, k, queue), batch()[1]
    assert uber_nce(logits, positives).item() == pytest.approx(9.8675, abs=5e-5)
    assert mil_nce(logits, positives).item() == pytest.approx(7.7536, abs=5e-5)
    assert infonce(logits).item() == pytest.approx(9.9158, abs=5e-5)


def test_two_views_of_two_clips_cost_what_the_formula_says() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=torch.float64)
    assert nt_xent(a, b).item() == pytest.approx(2 * 1.064850, abs=2e-6)


def test_the_pointwise_loss_is_cross_entropy_with_the_own_row() -> None:
    q = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    targets = torch.tensor([[0.8, 0.6], [0.6, 0.8], [1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    rows = [(8, (8, 6, 10, 0)), (8, (6, 8, 0, -10))]
    expected = [math.log(sum(map(math.exp, logits))) - own for own, logits in rows]
    assert pointwise_infonce(q, targets).item() == pytest.approx(sum(expected) / 2, abs=1e-9)


# Independent implementations ---------------------------------------------------------------------


def test_uber_nce_is_the_supervised_contrastive_loss() -> None:
    from pytorch_metric_learning.losses import SupConLoss

    logits, positives, q, keys = batch()
    theirs = [
        SupConLoss(temperature=0.07)(
            q[i : i + 1], torch.ones(1), ref_emb=keys[:, i], ref_labels=positives[i].double()
        )
        for i in range(3)
    ]
    torch.testing.assert_close(uber_nce(logits, positives), torch.stack(theirs).mean())


def test_nt_xent_is_twice_the_mean_over_all_views() -> None:
    from pytorch_metric_learning.losses import NTXentLoss

    a, b = unit(6, 5, seed=1), unit(6, 5, seed=2)
    theirs = NTXentLoss(temperature=0.1)(torch.cat([a, b]), torch.arange(6).repeat(2))
    torch.testing.assert_close(nt_xent(a, b), 2 * theirs)


def test_the_pointwise_loss_without_other_targets_is_one_way_of_cross_entropy() -> None:
    q, k = unit(7, 4, seed=3), unit(7, 4, seed=4)
    torch.testing.assert_close(
        pointwise_infonce(q, k, 0.2), F.cross_entropy(q @ k.T / 0.2, torch.arange(7))
    )


# Relations ---------------------------------------------------------------------------------------


def test_with_the_own_key_alone_the_three_losses_agree() -> None:
    logits = batch()[0]
    own = torch.zeros_like(logits, dtype=torch.bool)
    own[:, 0] = True
    torch.testing.assert_close(uber_nce(logits, own), infonce(logits))
    torch.testing.assert_close(mil_nce(logits, own), infonce(logits))
    torch.testing.assert_close(mil_nce(logits, own, drop_own=True), infonce(logits))


def test_one_near_positive_satisfies_mil_nce_and_not_uber_nce() -> None:
    logits, both = torch.tensor([[20.0, -20.0, 0.0]]), torch.tensor([[True, True, False]])
    assert mil_nce(logits, both) < 1e-6
    assert uber_nce(logits, both) > 19


def test_the_own_key_leaves_only_rows_that_have_another_positive() -> None:
    positives = torch.tensor([[True, False, True], [True, False, False], [True, True, True]])
    expected = [[False, False, True], [True, False, False], [False, True, True]]
    assert without_own(positives).tolist() == expected
    assert positives[:, 0].all()  # the mask that was given is as it was


def test_a_row_without_positives_shows() -> None:
    logits, none = torch.zeros(1, 3), torch.zeros(1, 3, dtype=torch.bool)
    assert uber_nce(logits, none).isnan()
    assert mil_nce(logits, none).isinf()


def test_the_order_of_the_slots_does_not_matter() -> None:
    logits, positives, _, _ = batch()
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(16)])
    for loss in (uber_nce, mil_nce):
        torch.testing.assert_close(
            loss(logits[:, order], positives[:, order]), loss(logits, positives)
        )


def test_large_logits_stay_finite() -> None:
    logits = torch.tensor([[-1e4, 1e4, 0.0]])
    positives = torch.tensor([[True, False, False]])
    for loss in (infonce(logits), uber_nce(logits, positives), mil_nce(logits, positives)):
        assert loss.item() == pytest.approx(2e4)


# What is lost when nothing is learnt -------------------------------------------------------------


def test_a_collapsed_embedding_costs_the_logarithm_of_the_number_of_columns() -> None:
    same = unit(1, 4).expand(5, 4)
    assert nt_xent(same, same).item() == pytest.approx(2 * math.log(2 * 5 - 1))
    logits = queue_logits(same, same, same[:1].T.expand(4, 12))
    assert infonce(logits).item() == pytest.approx(math.log(12 + 1))
    points, targets = unit(1, 4).expand(2 * 49, 4), unit(1, 4).expand(2 * 4 * 49, 4)
    assert pointwise_infonce(points, targets).item() == pytest.approx(math.log(196 * 2))


def test_random_embeddings_of_many_dimensions_cost_about_as_much() -> None:
    a, b, queue = unit(16, 4096), unit(16, 4096, seed=1), unit(4096, 64, seed=2, dim=0)
    assert nt_xent(a, b).item() == pytest.approx(2 * math.log(2 * 16 - 1), abs=0.1)
    assert infonce(queue_logits(a, b, queue)).item() == pytest.approx(math.log(65), abs=0.1)


def test_embeddings_that_carry_the_class_alone_reach_the_floor() -> None:
    classes, per_class, slots, T = 4, 3, 40, 0.02
    x = torch.eye(classes, dtype=torch.float64).repeat_interleave(per_class, 0)
    assert nt_xent(x, x, T).item() / 2 == pytest.approx(math.log(2 * per_class - 1), abs=1e-6)
    queue = torch.eye(classes, dtype=torch.float64).repeat_interleave(slots // classes, 0).T
    logits = queue_logits(x, x, queue, T)
    assert infonce(logits).item() == pytest.approx(math.log(1 + slots / classes), abs=1e-6)
    mined = torch.zeros(len(x), 1 + slots, dtype=torch.bool)
    mined[:, 0] = True
    for row in range(len(x)):
        start = 1 + row // per_class * (slots // classes)
        mined[row, start : start + 5] = True
    expected = math.log((1 + slots / classes) / 6)
    assert mil_nce(logits, mined).item() == pytest.approx(expected, abs=1e-6)


# Gradients ---------------------------------------------------------------------------------------


def gradients_are_right(loss: Callable[..., Tensor], *inputs: Tensor) -> bool:
    return torch.autograd.gradcheck(loss, [x.clone().requires_grad_() for x in inputs])


@pytest.mark.parametrize("drop_own", [False, True])
def test_gradients_of_mil_nce_are_those_of_finite_differences(drop_own: bool) -> None:
    logits, positives, _, _ = batch()
    assert gradients_are_right(lambda x: mil_nce(x, positives, drop_own=drop_own), logits / 10)


def test_gradients_of_the_others_are_those_of_finite_differences() -> None:
    logits, positives, q, _ = batch()
    assert gradients_are_right(infonce, logits / 10)
    assert gradients_are_right(lambda x: uber_nce(x, positives), logits / 10)
    assert gradients_are_right(lambda a, b: nt_xent(a, b, 0.5), unit(4, 3), unit(4, 3, seed=1))
    assert gradients_are_right(
        lambda a, b: pointwise_infonce(a, b, 0.5), unit(3, 2), unit(12, 2, seed=1)
    )
    k, queue = unit(3, 8, seed=5), unit(8, 4, seed=6, dim=0)
    assert gradients_are_right(lambda x: queue_logits(x, k, queue), q)


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(loss, inputs, allow_unused=True)


def test_gradients_reach_the_queries_and_neither_keys_nor_queue() -> None:
    q, k, queue = (x.requires_grad_() for x in (unit(3, 8), unit(3, 8, seed=1), unit(8, 5, dim=0)))
    of_q, of_k, of_queue = gradients(infonce(queue_logits(q, k, queue)), q, k, queue)
    assert of_q is not None
    assert of_q.abs().min() > 0
    assert of_k is None
    assert of_queue is None


def test_gradients_of_nt_xent_reach_both_views_of_every_clip() -> None:
    a, b = unit(3, 4).requires_grad_(), unit(3, 4, seed=1).requires_grad_()
    for gradient in gradients(nt_xent(a, b), a, b):
        assert gradient is not None
        assert (gradient.abs().sum(1) > 0).all()


def test_gradients_of_the_pointwise_loss_reach_every_query_and_every_target() -> None:
    q, targets = unit(4, 3).requires_grad_(), unit(16, 3, seed=1).requires_grad_()
    for gradient in gradients(pointwise_infonce(q, targets), q, targets):
        assert gradient is not None
        assert (gradient.abs().sum(1) > 0).all()


def test_new_keys_may_come_before_the_backward_pass() -> None:
    q, k, queue = unit(3, 8).requires_grad_(), unit(3, 8, seed=1), unit(8, 6, dim=0, seed=2)
    expected = gradients(infonce(queue_logits(q, k, queue)), q)
    loss = infonce(queue_logits(q, k, queue))
    queue[:, :3] = k.T
    torch.testing.assert_close(gradients(loss, q), expected)


# The figure beside the loss ----------------------------------------------------------------------


def test_top1_counts_rows_where_a_positive_beats_all_else() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [1.0, 3.0, 2.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    positives = torch.tensor([[True, True, False]] * 4)
    assert top1(logits).item() == pytest.approx(1 / 4)
    assert top1(logits, positives).item() == pytest.approx(2 / 4)
    assert top1(torch.zeros(5, 3)) == 0  # a collapse is no success


def test_points_know_their_columns() -> None:
    q, targets = unit(6, 4), unit(24, 4, seed=1)
    logits, own = point_logits(q, targets)
    assert logits.shape == (6, 24)
    assert own.tolist() == list(range(6))
    assert top1(point_logits(targets[:1], targets)[0]) == 1  # column 0 is the own of row 0
