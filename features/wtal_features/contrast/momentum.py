"""The key encoder: a slow copy of the query encoder, and keys that batch norm gives nothing away.

Shapes: B clips in this process, W processes, D numbers per key.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from wtal_features.contrast.processes import gather_rows, own_rows, rank_and_size

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def key_copy(encoder: nn.Module) -> nn.Module:
    """A copy that no gradient reaches, in training mode: its batch norm follows its own batches."""
    return deepcopy(encoder).requires_grad_(False).train()


def momentum_update(key_encoder: nn.Module, encoder: nn.Module, momentum: float = 0.999) -> None:
    """Let the key encoder follow: k <- m k + (1 - m) q, over parameters and not buffers.

    Args:
        key_encoder: k, as `key_copy` made it; changed in place.
        encoder: q.
        momentum: m in [0, 1].
    """
    import torch

    with torch.no_grad():
        pairs = zip(key_encoder.parameters(), encoder.parameters(), strict=True)
        for key, query in pairs:
            key.lerp_(query, 1 - momentum)


def step_keys(
    key_encoder: nn.Module,
    encoder: nn.Module,
    clips_BCTHW: Tensor,
    generator: torch.Generator,
    momentum: float = 0.999,
) -> Tensor:
    """The keys of a step: first the update, then the keys, of the updated encoder.

    Args:
        key_encoder: As `key_copy` made it.
        encoder: That of the queries.
        clips_BCTHW: The clips of the keys; row i goes with query i.
        generator: Shuffles; a CPU generator, in the same state in every process.
        momentum: Of the update.

    Returns:
        (B, D), without gradient.

    Source: MoCo (CVPR 2020), algorithm 1; TengdaHan/CoCLR model/pretrain.py, `InfoNCE.forward`.
    """
    momentum_update(key_encoder, encoder, momentum)
    return shuffled(key_encoder, clips_BCTHW, generator)


def shuffled(key_encoder: nn.Module, clips_BCTHW: Tensor, generator: torch.Generator) -> Tensor:
    """Keys of clips that met other companions in batch norm than their queries did.

    Otherwise a query could find its key by the statistics that the two share. Several processes
    shuffle the clips of all, encode a part each, and put the keys back; one process encodes the
    shuffled clips in two halves. Two processes and one process so form the same parts.

    Args:
        key_encoder: In training mode.
        clips_BCTHW: The same B in every process.
        generator: A CPU generator, in the same state in every process.

    Returns:
        (B, D), without gradient; row i is the key of clip i.

    Source: MoCo (CVPR 2020), section 3.3; with one process, TengdaHan/CoCLR does not run.
    """
    import torch

    with torch.no_grad():
        size = rank_and_size()[1]
        all_clips = gather_rows(clips_BCTHW)
        order = torch.randperm(len(all_clips), generator=generator).to(all_clips.device)
        own = own_rows(clips_BCTHW)
        parts = all_clips[order[own]].chunk(2 if size == 1 else 1)
        keys = gather_rows(torch.cat([key_encoder(part) for part in parts]))
        restored: Tensor = keys[order.argsort()[own]]
    return restored
