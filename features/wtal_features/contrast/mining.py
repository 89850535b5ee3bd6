"""Which slots of a queue are positives of a clip: same label, same source, near in another view.

Shapes: see the package. A mask (B, K) speaks of the slots, a mask (B, 1 + K) of the logits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wtal_features.contrast.queue import UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor

    from wtal_features.contrast.queue import KeyQueue


def with_own(slots_BK: Tensor) -> Tensor:
    """(B, 1 + K): the slots behind column 0, the own key, which always is a positive."""
    from torch.nn import functional as F

    return F.pad(slots_BK, (1, 0), value=True)


def same_as(values_B: Tensor, slots_K: Tensor) -> Tensor:
    """(B, K) bool: slots with the label, or the source, of each clip; the unknown is like nothing.

    Args:
        values_B: (B,) int.
        slots_K: (K,) int, -1 in slots that hold no key yet.
    """
    known_K = slots_K != UNKNOWN
    return (values_B[:, None] == slots_K[None]) & known_K


def nearest(similarities_BK: Tensor, allowed_BK: Tensor, k: int) -> Tensor:
    """(B, K) bool: of the allowed slots of each row, the k most similar.

    Rows with fewer than k allowed slots get all of these, and no other.

    Args:
        similarities_BK: (B, K).
        allowed_BK: (B, K) bool.
        k: How many.
    """
    import torch

    ranked_BK = similarities_BK.masked_fill(~allowed_BK, -math.inf)
    best_Bk = ranked_BK.topk(min(k, ranked_BK.shape[1]), dim=1).indices
    return torch.zeros_like(allowed_BK).scatter_(1, best_Bk, True) & allowed_BK


def label_positives(labels_B: Tensor, queue: KeyQueue) -> Tensor:
    """(B, 1 + K) bool, UberNCE's positives: the own key, and slots of the same label.

    Args:
        labels_B: (B,) int, classes from 0; a clip whose label is -1 has its own key alone.
        queue: Before this step's keys are put in.
    """
    return with_own(same_as(labels_B, queue.labels_K))


def coclr_positives(
    second_BD: Tensor, sources_B: Tensor, queue: KeyQueue, k: int = 5, *, siblings: bool = True
) -> Tensor:
    """(B, 1 + K) bool, CoCLR's positives: own key, slots of the same source, k mined ones.

    Mined are the slots that the other stream finds most similar, among those that hold a clip of
    another source. Another clip of the same video is a positive without being asked for; among
    the k it would take the place of one that teaches more.

    Args:
        second_BD: (B, D') what the other stream makes of the key clips, L2-normalised.
        sources_B: (B,) int, source videos from 0.
        queue: With a second key space, before this step's keys are put in.
        k: Mined positives per clip.
        siblings: Whether slots of the same source are positives; they are never mined.

    Raises:
        ValueError: If the queue has no second key space.

    Source: CoCLR (NeurIPS 2020); TengdaHan/CoCLR model/pretrain.py, `CoCLR.forward`.
    """
    if queue.second_DK is None:
        raise ValueError("positives are mined in the second key space, and this queue has none")
    same_BK = same_as(sources_B, queue.sources_K)
    others_BK = ~same_BK & (queue.sources_K != UNKNOWN)
    similarities_BK = second_BD.detach() @ queue.second_DK
    mined_BK = nearest(similarities_BK, others_BK, k)
    return with_own(same_BK | mined_BK if siblings else mined_BK)
