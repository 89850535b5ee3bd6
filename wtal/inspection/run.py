"""A trained run opened for looking: its localizer, its embeddings, what the contrast left behind.

Shapes: n snippets of a video, T bins, D feature dims, C action classes (column index C is the
background), E embedding dims, d projected dims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from wtal.checkpoint import STATE_FILE, State, load_state
from wtal.config import Config, load_config
from wtal.data import bins_of, grid_positions
from wtal.dcc import DenoisedContrast
from wtal.errors import WtalError
from wtal.localize import CHUNK, HALO, Localizer
from wtal.model import Output

Space = Literal["embedding", "base", "projected"]
SPACES: dict[Space, str] = {
    "embedding": "embedding of the suppression branch, which localizes",
    "base": "embedding of the base branch",
    "projected": "projection, the space of the contrast",
}
LEFT_OUT = "confidence, denoised labels and regions are left out"


class Heads(NamedTuple):
    """What the network says of every bin of one video, in evaluation mode."""

    features_TD: Tensor
    attention_T: Tensor  # foreground weight
    base_TC: Tensor  # (T, C+1) logits of the base branch
    supp_TC: Tensor  # (T, C+1) logits of the suppression branch
    embedding_base_TE: Tensor
    embedding_supp_TE: Tensor

    def as_output(self) -> Output:
        """The same in the form of a batch of one video."""
        # Packed rows have a zero row before and after the video (temporal_conv.py).
        packed = (F.pad(part, (0, 0, 1, 1)) for part in self[4:])
        return Output(*(part.unsqueeze(0) for part in self[1:4]), *packed)


@dataclass(frozen=True)
class InspectedRun:
    """Args: a run folder, its config, its localizer, and its last checkpoint if that is there."""

    folder: Path
    config: Config
    localizer: Localizer
    state: State | None

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> InspectedRun:
        """Open a run folder.

        Raises:
            WtalError: a file is missing, damaged, or not of this kind.
        """
        localizer = Localizer.load(folder, device)
        config = load_config(folder / "config.yaml")
        # A run without a contrast keeps nothing there that a picture needs.
        wanted = config.dcc.contrast != "none" and (folder / STATE_FILE).exists()
        return cls(folder, config, localizer, load_state(folder / STATE_FILE) if wanted else None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self.localizer.classes

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.localizer.network.classifier.weight_DE.device

    def bins(self, n: int) -> int:
        """T of a video of n snippets."""
        return bins_of(n, self.config.data, training=False)

    def heads(self, features_nD: NDArray[np.float32]) -> Heads:
        """One forward pass over one video, piece by piece where it is long.

        Args:
            features_nD: (n, D) float32, n >= 1, as the store has them.

        Raises:
            WtalError: D is not the one of the training.
        """
        rows_nD, n = self.localizer.rows(features_nD), len(features_nD)
        T = self.bins(n)
        rows_TD = rows_nD if n == T else rows_nD[grid_positions(n, T)]
        x_TD = torch.from_numpy(np.ascontiguousarray(rows_TD)).to(self.device)
        pieces = [self._piece(x_TD, start) for start in range(0, T, CHUNK)]
        return Heads(x_TD, *(torch.cat(parts) for parts in zip(*pieces, strict=True)))

    @torch.no_grad()
    def _piece(self, x_TD: Tensor, start: int) -> list[Tensor]:
        """What the network says of the bins from `start` on, with the neighbours it looks at."""
        low, stop = max(0, start - HALO), min(len(x_TD), start + CHUNK)
        x_1TD = x_TD[low : stop + HALO].unsqueeze(0)
        output = self.localizer.network(x_1TD, torch.ones_like(x_1TD[..., 0], dtype=torch.bool))
        of_bins = [part[0] for part in output[:3]] + [part[1:-1] for part in output[3:]]
        return [part[start - low : stop - low] for part in of_bins]

    def contrast(self, tags_1C: Tensor) -> DenoisedContrast | None:
        """Projection and clusters of the training, ready for one video; None if there are none.

        Args:
            tags_1C: 0/1 tags of that video.

        Raises:
            WtalError: the checkpoint does not fit the config.
        """
        if self.state is None:
            return None
        contrast = DenoisedContrast(
            self.config.dcc,
            self.config.cluster,
            hidden_dim=self.localizer.network.hidden_dim,
            labels_VC=tags_1C,
            steps=self.state.step,
            steps_per_epoch=1,
            seed=self.config.train.seed,
            weight_decay=0.0,
            device=self.device,
        )
        # The saved bank is that of all training videos; this one stays empty, nothing reads it.
        bank = {f"bank/{name}": part for name, part in contrast.bank.state().items()}
        try:
            contrast.load(self.state.contrast | bank, self.state.facts["contrast"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise WtalError(
                f"{self.folder / STATE_FILE} does not fit config.yaml: "
                f"{' '.join(str(error).split())[:160]}"
            ) from error
        return contrast

    @torch.no_grad()
    def embed(self, heads: Heads, space: Space, contrast: DenoisedContrast | None) -> Tensor:
        """The bins of a video in one of the spaces, (T, E) or (T, d).

        Raises:
            WtalError: this run has no projection.
        """
        if space == "embedding":
            return heads.embedding_supp_TE
        if space == "base":
            return heads.embedding_base_TE
        if contrast is None:
            raise WtalError(
                f"{self.folder} has no projection: {self._why_no_clusters()}; "
                "use --space embedding."
            )
        base = self.config.dcc.embedding == "base"
        x_Td: Tensor = contrast.projection(
            heads.embedding_base_TE if base else heads.embedding_supp_TE
        )
        return x_Td

    def _why_no_clusters(self) -> str:
        if self.config.dcc.contrast == "none":
            return "it was trained without a contrast (dcc.contrast: none)"
        return f"{STATE_FILE} is missing"

    def notes(self, contrast: DenoisedContrast | None) -> Sequence[str]:
        """What the reader of a picture must know of the clusters, in sentences."""
        if contrast is None or self.state is None:
            return [f"This run has no clusters, for {self._why_no_clusters()}: {LEFT_OUT}."]
        found, dcc, step = [], self.config.dcc, self.state.step
        if dcc.denoise == "off":
            found.append("dcc.denoise is off: every confidence is 1.")
        elif contrast.started is None:
            found.append(f"The contrast had not begun by step {step}: every confidence is 1.")
        elif dcc.denoise != "cluster":
            found.append(f"dcc.denoise is {dcc.denoise}: these confidences are a control.")
        elif self.config.cluster.lasts and not contrast.clusters.codebooks:
            found.append(f"No clusters had been made by step {step}: every confidence is 1.")
        elif self.config.cluster.scope == "batch":
            found.append("Clusters of a batch live for one step; these are of this video alone.")
        elif self.config.cluster.scope == "class":
            found.append("Clusters of a class say nothing of background: its confidence is 1.")
        best = self.state.facts.get("best_step", step)
        if self.config.validation.keep == "best" and best != step:
            found.append(f"The network is that of step {best}, the clusters those of step {step}.")
        return found
