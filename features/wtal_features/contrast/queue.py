"""The keys of the last steps: a first-in, first-out queue. Shapes: see the package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wtal_features.contrast.processes import gather_rows
from wtal_features.errors import FeatureError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Label and source of a slot that holds no key yet, or one about which neither is known.
UNKNOWN = -1


def check_queue(slots: int, batch: int) -> None:
    """Refuse a queue that batches do not fill exactly.

    Args:
        slots: K.
        batch: Rows per step, of all processes together.

    Raises:
        FeatureError: If K is no multiple of the batch.
    """
    if batch < 1 or slots < 1 or slots % batch:
        raise FeatureError(
            f"A queue of {slots} keys, filled {batch} at a time; expected a multiple of the batch.",
            f"Take a queue of {max(1, round(slots / max(1, batch))) * max(1, batch)}.",
            code="option",
        )


class KeyQueue:
    """K keys, the oldest replaced first, with what is known about the clip of each.

    A second key space can share the slots: CoCLR keeps, beside each key, what the other stream
    makes of the same clip. Random directions fill the slots at first. With several processes,
    each holds the whole queue: give all the same generator state.

    Args:
        dim: D of the keys.
        slots: K.
        batch: Keys per step, of all processes together; K is a multiple of it.
        generator: Draws the first directions; a CPU generator.
        second_dim: Numbers per key of the second space; None: there is none.

    Attributes:
        keys_DK: (D, K) float32, L2-normalised columns.
        second_DK: The same of the second space, or None.
        labels_K: (K,) int64, the class of each clip; -1 where it is unknown.
        sources_K: (K,) int64, the source video of each clip; likewise.
        enqueued: Keys put in so far.

    Raises:
        FeatureError: If K is no multiple of the batch.

    Source: MoCo (CVPR 2020); TengdaHan/CoCLR model/pretrain.py.
    """

    def __init__(
        self,
        dim: int,
        slots: int,
        batch: int,
        *,
        generator: torch.Generator,
        second_dim: int | None = None,
    ) -> None:
        import torch

        check_queue(slots, batch)
        self.batch, self.enqueued = batch, 0
        self.keys_DK = _directions(dim, slots, generator)
        self.second_DK = None
        if second_dim is not None:
            self.second_DK = _directions(second_dim, slots, generator)
        self.labels_K = torch.full((slots,), UNKNOWN)
        self.sources_K = torch.full((slots,), UNKNOWN)

    def to(self, device: torch.device) -> None:
        """Move everything to a device."""
        self.keys_DK = self.keys_DK.to(device)
        self.labels_K, self.sources_K = self.labels_K.to(device), self.sources_K.to(device)
        if self.second_DK is not None:
            self.second_DK = self.second_DK.to(device)

    @property
    def pointer(self) -> int:
        """The slot that is replaced next."""
        return self.enqueued % len(self.labels_K)

    @property
    def filled(self) -> bool:
        """Whether every slot holds a real key; CoCLR trains nothing before."""
        return self.enqueued >= len(self.labels_K)

    def enqueue(
        self,
        keys_BD: Tensor,
        *,
        second_BD: Tensor | None = None,
        labels_B: Tensor | None = None,
        sources_B: Tensor | None = None,
    ) -> None:
        """Replace the oldest keys by those of this step, of all processes by rank.

        Args:
            keys_BD: (B, D), L2-normalised; the same B in every process.
            second_BD: The same of the second space, where there is one.
            labels_B: (B,) int, classes from 0; None: unknown.
            sources_B: (B,) int, source videos from 0; None: unknown.

        Raises:
            FeatureError: If the processes bring another number of keys than the queue was made for.
            ValueError: If the second space is given and there is none, or the reverse.
        """
        keys_WBD = gather_rows(keys_BD.detach())
        if len(keys_WBD) != self.batch:
            raise FeatureError(
                f"A step brought {len(keys_WBD)} keys to a queue filled {self.batch} at a time.",
                "Leave out the last, shorter batch of an epoch.",
                code="shape",
            )
        if (second_BD is None) is not (self.second_DK is None):
            raise ValueError("keys of the second space go with a queue that has one")
        now = slice(self.pointer, self.pointer + self.batch)
        self.keys_DK[:, now] = keys_WBD.T.to(self.keys_DK)
        if self.second_DK is not None and second_BD is not None:
            self.second_DK[:, now] = gather_rows(second_BD.detach()).T.to(self.second_DK)
        self.labels_K[now] = UNKNOWN if labels_B is None else gather_rows(labels_B)
        self.sources_K[now] = UNKNOWN if sources_B is None else gather_rows(sources_B)
        self.enqueued += self.batch

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of everything that a resumed run needs."""
        import torch

        copies = {name: tensor.clone() for name, tensor in self._tensors().items()}
        return {**copies, "enqueued": torch.tensor(self.enqueued)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state_dict` gave; afterwards both queues are the same to the bit.

        Raises:
            FeatureError: If the state is of a queue of another form.
        """
        own = self._tensors()
        expected = {"enqueued": (), **{name: tuple(own[name].shape) for name in own}}
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if found != expected or int(state["enqueued"]) % self.batch:
            raise FeatureError(
                f"The saved queue has {found}; expected {expected}, "
                f"{self.batch} keys put in at a time.",
                "Resume with the batch size, the queue and the dimension of the interrupted run.",
                code="resume",
            )
        for name, tensor in own.items():
            tensor.copy_(state[name])
        self.enqueued = int(state["enqueued"])

    def _tensors(self) -> dict[str, Tensor]:
        named = {"keys": self.keys_DK, "labels": self.labels_K, "sources": self.sources_K}
        return named if self.second_DK is None else {**named, "second": self.second_DK}


def _directions(dim: int, slots: int, generator: torch.Generator) -> Tensor:
    """(dim, slots) random unit columns."""
    import torch
    from torch.nn import functional as F

    return F.normalize(torch.randn(dim, slots, generator=generator), dim=0)
