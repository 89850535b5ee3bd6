"""Clips of many videos -> batches of one size -> one row per clip.

A batch always has the same shape; the last is filled up with zeros. Kernels are chosen by shape,
so a clip's row does not depend on which clips it shared a batch with, to the bit on a CPU: a run
that was killed and started again, with other neighbours, ends in the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError

if TYPE_CHECKING:
    import torch

    from wtal_features.encoders.encoder import Encoder

Owner = TypeVar("Owner")
Floats = npt.NDArray[np.float32]


class Batcher(Generic[Owner]):
    """Collects the clips of one encoder."""

    def __init__(
        self, encoder: Encoder, size: int, device: torch.device, *, dense: bool = False
    ) -> None:
        """Set up.

        Args:
            encoder: On `device`.
            size: Clips per batch.
            device: Where it computes.
            dense: Keep the time positions of each clip apart.
        """
        self._encoder, self._size, self._device, self._dense = encoder, size, device, dense
        self._batch: npt.NDArray[Any] | None = None
        self._owners: list[Owner] = []

    def add(self, owner: Owner, clip: npt.NDArray[Any]) -> Iterator[tuple[Owner, Floats]]:
        """Take one clip.

        Args:
            owner: Whose it is; comes back with its row.
            clip: (n, S, S, C).

        Yields:
            (owner, row (D,), or (T', D) where dense) for a whole batch, when it is full.
        """
        if self._batch is None:
            try:
                self._batch = np.zeros((self._size, *clip.shape), clip.dtype)
            except (MemoryError, ValueError) as error:  # more than there is; more than can be
                raise self._too_large() from error
        self._batch[len(self._owners)] = clip
        self._owners.append(owner)
        if len(self._owners) == self._size:
            yield from self.flush()

    def flush(self) -> Iterator[tuple[Owner, Floats]]:
        """Encode what is there."""
        if not self._owners or self._batch is None:
            return
        self._batch[len(self._owners) :] = 0
        rows, owners = self._encode(self._batch), self._owners
        self._owners = []
        yield from zip(owners, rows, strict=False)  # the rows of the filling have no owner

    def _encode(self, batch: npt.NDArray[Any]) -> Floats:
        import torch

        try:
            clips = torch.from_numpy(batch).to(self._device)
            rows = self._encoder.encode_dense(clips) if self._dense else self._encoder.encode(clips)
            found: Floats = rows.float().cpu().numpy()
        except RuntimeError as error:
            # PyTorch has no class of its own for memory that the CPU lacks.
            if "tried to allocate" not in str(error).lower():
                raise
            raise self._too_large() from error
        return found

    def _too_large(self) -> FeatureError:
        return FeatureError(
            f"A batch of {self._size} clips does not fit into the memory of {self._device}.",
            "Choose a smaller --batch.",
            code="memory",
        )
