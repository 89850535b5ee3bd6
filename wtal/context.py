"""Features in context: snippets that know their video, beside the raw ones or in their place.

A context model (`wtal pretrain tca STORE`) looks at all snippets of a video at once. Its last norm
takes the lengths of the rows away; BaS-Net has no norm of its own and reads them, so every refined
row gets the length of its raw row back. Nothing else is fitted: what a snippet becomes depends on
its video and the context model alone, in training as in localization.

Shapes: n snippets of a video, D dims of the store, d dims of a refined row.

Source: TCA (WACV 2021), section 3.2, which compares rows of length one; the lengths are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from wtal.errors import WtalError
from wtal_features import FeatureStore
from wtal_features.checkpoints.reading import sha256_of
from wtal_features.retrieval.context import ContextModel, load_context, save_context

CONTEXT_FILE = "context.safetensors"  # of a run folder: its own copy

FloatnD = NDArray[np.float32]
Join = Literal["both", "refined"]


@dataclass(frozen=True)
class FeaturesConfig:
    """What a snippet is, before any network of ours sees it."""

    context: Literal["none", "tca"] = "none"
    """`tca`: the snippets of a video are refined by one another; `none`: they stay as stored."""
    context_file: str | None = None
    """File of `wtal pretrain tca` for this store; in a YAML file, seen from its folder. The run
    keeps a copy, context.safetensors."""
    context_join: Join = "both"
    """`both`: raw and refined rows side by side, D + d dims; `refined`: the refined ones alone.
    Widths and rates under `auto` follow the store's D all the same, so that the networks with and
    without context differ in their first layers alone."""


@dataclass(frozen=True)
class Context:
    """What turns the raw snippets of a video into those that a network sees.

    Args:
        model: refines rows.
        join: what becomes of the raw rows.
        sha256: of the file the model was read from.
    """

    model: ContextModel
    join: Join
    sha256: str = ""

    @property
    def dim_in(self) -> int:
        """D of the raw rows."""
        return self.model.dim_in

    @property
    def dim(self) -> int:
        """Dims of what `rows` gives: D + d, or d."""
        return self.model.dim + (self.dim_in if self.join == "both" else 0)

    def check(self, store: FeatureStore) -> None:
        """Refuse a store that the model was not trained for.

        Raises:
            FeatureError: dims or encoder differ.
        """
        self.model.check(store.dim, store.manifest.encoder, str(store.root))

    def to(self, device: torch.device | str) -> Context:
        """Compute on another device from here on."""
        self.model.to(device)
        return self

    def rows(self, raw_nD: FloatnD) -> FloatnD:
        """All snippets of a video in the light of one another.

        Args:
            raw_nD: (n, D) float32, finite, n >= 1: the whole video, before any sampling.

        Returns:
            (n, D + d) or (n, d) float32; refined rows are as long as their raw rows.
        """
        refined_nd = self.model.refine(raw_nD)
        length_n1 = np.linalg.norm(raw_nD, axis=1, keepdims=True)
        own_n1 = np.linalg.norm(refined_nd, axis=1, keepdims=True)
        refined_nd = refined_nd * (length_n1 / np.maximum(own_n1, 1e-12))
        joined = [raw_nD, refined_nd] if self.join == "both" else [refined_nd]
        return np.concatenate(joined, axis=1, dtype=np.float32)

    def save(self, run: Path) -> None:
        """Write the copy of a run, so that the run needs no other file."""
        save_context(run / CONTEXT_FILE, self.model)


def context_file(config: FeaturesConfig) -> Path | None:
    """The file of the context model; None where no context is wanted.

    Raises:
        WtalError: one is wanted, and no file is named.
    """
    if config.context == "none":
        return None
    if config.context_file is None:
        raise WtalError(
            f"features.context={config.context} needs a context model: "
            "-o features.context_file=FILE, made by `wtal pretrain tca STORE --out FILE`."
        )
    return Path(config.context_file)


def open_context(config: FeaturesConfig, device: torch.device | str = "cpu") -> Context | None:
    """The context that a config wants; None where it wants none.

    Raises:
        WtalError: no file is named.
        FeatureError: the file is missing, damaged, or holds something else.
    """
    file = context_file(config)
    if file is None:
        return None
    return Context(load_context(file), config.context_join, sha256_of(file)).to(device)
