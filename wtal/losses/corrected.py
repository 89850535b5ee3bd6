"""What a person's corrections teach: where a class is and is not, and what is background.

Why these terms and no others stands in docs/decisions/0018.

Shapes: N snippets of a batch, video by video, B videos, C action classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal.losses.denoised import Total
from wtal.peers import ALONE


def classes(
    logits_NC: Tensor,
    here_NC: Tensor,
    not_here_NC: Tensor,
    video_N: Tensor,
    total: Total = ALONE.total,
) -> Tensor:
    """Logistic loss of known snippets against all others of their video, class by class.

    mean_{(v,c)} mean_t softplus(m_{v,c} - A_{t,c}) over what is there
    + mean_{(v,c)} mean_t softplus(A_{t,c} - m'_{v,c}) over what is not

    m: mean of A_{.,c} over the snippets of v where c is not known to be; m': over those where it is
    not known not to be. A pair of video and class that has none of these is left out. Only
    differences inside a video count, so that a class of which nothing was corrected is not pushed
    down for it.

    Args:
        logits_NC: (N, C) of a branch, action classes only.
        here_NC: bool, where a class is known to happen.
        not_here_NC: bool, where it is known not to.
        video_N: int64, video of each snippet.
        total: sum over the processes that share a batch.

    Returns:
        Scalar, the own part of the sum; 0 where nothing is known.
    """
    rest_NC, found_NC = _mean_of_the_rest(logits_NC, here_NC, video_N)
    of_here = _mean_of_means(F.softplus(rest_NC - logits_NC), here_NC & found_NC, video_N, total)
    rest_NC, found_NC = _mean_of_the_rest(logits_NC, not_here_NC, video_N)
    absent_NC = not_here_NC & found_NC
    of_absent = _mean_of_means(F.softplus(logits_NC - rest_NC), absent_NC, video_N, total)
    return of_here + of_absent


def attention(
    attention_N: Tensor,
    action_N: Tensor,
    background_N: Tensor,
    video_N: Tensor,
    total: Total = ALONE.total,
) -> Tensor:
    """Cross-entropy of the foreground weight, every video counting the same.

    mean_v mean_t -log w_t over action + mean_v mean_t -log(1 - w_t) over background

    Args:
        attention_N: foreground weight w in [0, 1].
        action_N: bool, where some class is known to happen.
        background_N: bool, where all of the video's classes are known not to.
        video_N: int64, video of each snippet.
        total: sum over the processes that share a batch.

    Returns:
        Scalar, the own part of the sum; 0 where nothing is known.
    """
    missed_N = F.binary_cross_entropy(attention_N, torch.ones_like(attention_N), reduction="none")
    wrong_N = F.binary_cross_entropy(attention_N, torch.zeros_like(attention_N), reduction="none")
    of_action = _mean_of_means(missed_N.unsqueeze(1), action_N.unsqueeze(1), video_N, total)
    return of_action + _mean_of_means(
        wrong_N.unsqueeze(1), background_N.unsqueeze(1), video_N, total
    )


def _mean_of_the_rest(
    logits_NC: Tensor, known_NC: Tensor, video_N: Tensor
) -> tuple[Tensor, Tensor]:
    """For every snippet and class, the mean over what is not known in its video; is there any?"""
    total_BC, count_BC = _sums(logits_NC, ~known_NC, video_N)
    mean_BC = total_BC / count_BC.clamp(min=1)
    return mean_BC[video_N], (count_BC > 0)[video_N]


def _mean_of_means(values_NC: Tensor, where_NC: Tensor, video_N: Tensor, total: Total) -> Tensor:
    """Mean over the snippets of a video and class, then over those pairs that have any."""
    total_BC, count_BC = _sums(values_NC, where_NC, video_N)
    pairs = total((count_BC > 0).sum()).clamp(min=1)
    return (total_BC / count_BC.clamp(min=1)).sum() / pairs


def _sums(values_NC: Tensor, where_NC: Tensor, video_N: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C) sums of the values at the given places, and how many these are."""
    weight_NC = where_NC.to(values_NC.dtype)
    videos = int(video_N.max()) + 1 if len(video_N) else 0
    zero_BC = values_NC.new_zeros(videos, values_NC.shape[1])
    total_BC = zero_BC.index_add(0, video_N, values_NC * weight_NC)
    return total_BC, zero_BC.index_add(0, video_N, weight_NC)
