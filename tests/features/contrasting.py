"""The same contrastive steps, by one process or by several that share each batch.

A process of its own: `python -m tests.features.contrasting FOLDER PORT RANK SIZE` writes
FOLDER/RANK.pt.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from tests.group import join, leave
from wtal_features.contrast.infonce import infonce, queue_logits
from wtal_features.contrast.momentum import key_copy, step_keys
from wtal_features.contrast.nt_xent import nt_xent
from wtal_features.contrast.pointwise import pointwise_infonce
from wtal_features.contrast.queue import KeyQueue

BATCH, STEPS, SLOTS = 8, 5, 24


class Encoder(nn.Module):
    """6 numbers -> 4, of length one. In training mode a row depends on its companions."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(6, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.norm(self.linear(x)), dim=1)


def mean(value: Tensor, size: int) -> Tensor:
    """Over the processes, as DistributedDataParallel takes it of gradients."""
    total = value.detach().clone()
    if size > 1:
        distributed.all_reduce(total)
    return total / size


def part(rows: Tensor, rank: int, size: int) -> Tensor:
    """What one process sees of a batch."""
    return rows.chunk(size)[rank]


def pretrain(rank: int, size: int) -> dict[str, Tensor]:
    """InfoNCE with a queue and a key encoder: what the queue and the encoder hold in the end."""
    torch.manual_seed(0)
    generator, shuffle = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    encoder = Encoder().eval()
    key_encoder = key_copy(encoder)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.5)
    queue = KeyQueue(4, SLOTS, BATCH, generator=generator, second_dim=6)
    for step in range(STEPS):
        views = torch.randn(2, BATCH, 6, generator=generator)
        q, k = (part(view, rank, size) for view in views)
        own = part(step * BATCH + torch.arange(BATCH), rank, size)
        keys = step_keys(key_encoder, encoder, k, shuffle, 0.7)
        loss = infonce(queue_logits(encoder(q), keys, queue.keys_DK))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter in encoder.parameters():
            assert parameter.grad is not None
            parameter.grad = mean(parameter.grad, size)
        optimizer.step()
        queue.enqueue(keys, second_BD=k, labels_B=own % 3, sources_B=own)
    return {**queue.state_dict(), **encoder.state_dict(), "loss": mean(loss, size)}


def in_batch(rank: int, size: int) -> dict[str, Tensor]:
    """NT-Xent and the pointwise loss of one batch, with the gradients of two networks."""
    generator = torch.Generator().manual_seed(3)
    ours, theirs = (torch.randn(6, 4, generator=generator).requires_grad_() for _ in range(2))
    x, y = (part(torch.randn(BATCH, 6, generator=generator), rank, size) for _ in range(2))
    clips = torch.randn(3, BATCH, 5, 6, generator=generator)  # query, target, other; 5 points each
    q, target, other = (part(clip, rank, size).flatten(0, 1) for clip in clips)
    found = {}
    losses = {
        "nt_xent": nt_xent(F.normalize(x @ ours, dim=1), F.normalize(y @ theirs, dim=1)),
        "pointwise": pointwise_infonce(
            F.normalize(q @ ours, dim=1),
            F.normalize(torch.cat([target, other]) @ theirs, dim=1),
        ),
    }
    for name, loss in losses.items():
        of_ours, of_theirs = torch.autograd.grad(loss, (ours, theirs))
        found[f"{name} loss"] = mean(loss, size)
        found[f"{name} ours"], found[f"{name} theirs"] = mean(of_ours, size), mean(of_theirs, size)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, (rank, size) = Path(sys.argv[1]), join(*sys.argv[2:])
    torch.save(
        {"pretrain": pretrain(rank, size), "in_batch": in_batch(rank, size)}, folder / f"{rank}.pt"
    )
    leave()
