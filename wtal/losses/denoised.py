"""What denoised pseudo-labels teach directly: which action a snippet shows, and whether it does.

Not part of DCC as published, which uses its labels for contrast alone; why these terms are here,
and what each is worth, stands in docs/decisions/0010 and docs/benchmarks/dcc.md.

Shapes: N snippets of a batch, C action classes; column index C is the background.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal.peers import ALONE

Total = Callable[[Tensor], Tensor]


def classes(cas_NC: Tensor, weight_NC: Tensor, total: Total = ALONE.total) -> Tensor:
    """Cross-entropy of labelled snippets.

    -sum_{t,c} w_{t,c} log softmax(A_t)_c / sum_{t,c} w_{t,c}

    Args:
        cas_NC: (N, C+1) logits of the suppression branch.
        weight_NC: (N, C) P S (D5); 0 where nothing is labelled.
        total: sum over the processes that share a batch.

    Returns:
        Scalar, the own part of the sum; 0 where no snippet is labelled.
    """
    log_p_NC = cas_NC.log_softmax(1)[:, :-1]
    return -(weight_NC * log_p_NC).sum() / _at_least_one(total(weight_NC.sum()))


def attention(
    attention_N: Tensor, action_N: Tensor, background_N: Tensor, total: Total = ALONE.total
) -> Tensor:
    """Cross-entropy of the foreground weight, action and background counting the same.

    -sum_t a_t log w_t / sum_t a_t - sum_t b_t log(1 - w_t) / sum_t b_t

    Args:
        attention_N: foreground weight w in [0, 1].
        action_N: a, the largest P S of any class.
        background_N: b, the weight of the snippet as background (D6).
        total: sum over the processes that share a batch.

    Returns:
        Scalar, the own part of the sum.
    """
    missed_N = F.binary_cross_entropy(attention_N, torch.ones_like(attention_N), reduction="none")
    wrong_N = F.binary_cross_entropy(attention_N, torch.zeros_like(attention_N), reduction="none")
    of_action = (action_N * missed_N).sum() / _at_least_one(total(action_N.sum()))
    of_background = (background_N * wrong_N).sum() / _at_least_one(total(background_N.sum()))
    return of_action + of_background


def _at_least_one(weight: Tensor) -> Tensor:
    """The sum that a mean divides by; a batch with less than one snippet's weight counts less."""
    return weight.clamp(min=1)
