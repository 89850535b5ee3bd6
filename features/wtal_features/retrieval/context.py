"""A context model: what a file of `wtal pretrain tca` holds, and what it makes of a video.

Rows of a feature store are whitened where the model has a whitening, scaled to length one, and
looked at together by the transformer. One safetensors file holds all of it.

Legend: T rows of a video, D dimensions of the store, d of the result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from wtal_features.checkpoints.reading import read_tensors
from wtal_features.checkpoints.report import load_mapped
from wtal_features.errors import FeatureError
from wtal_features.files import atomic_write
from wtal_features.retrieval.aggregator import HEADS, TCA
from wtal_features.retrieval.whitening import Whitening

Rows = npt.NDArray[np.float32]

_ENTRY = "wtal.context"
_LAYERS, _WHITENING = "transformer_encoder.layers.", "whitening."


@dataclass(frozen=True)
class ContextAbout:
    """Where a context model comes from.

    Attributes:
        heads: Of attention.
        encoder: Of the store it was trained on, as its manifest names it; None if not said.
        step: Optimizer steps done.
        videos: Videos it was trained on.
        versions: Package -> version.
        config_sha256: Of the configuration of the training.
    """

    heads: int = HEADS
    encoder: str | None = None
    step: int = 0
    videos: int = 0
    versions: Mapping[str, str] | None = None
    config_sha256: str = ""


class ContextModel:
    """Rows of a store in, rows that know their video out.

    Args:
        network: In any mode; it is used without dropout.
        whitening: Comes first; None: there is none.
        about: Where it comes from.

    Attributes:
        dim_in: D of the store.
        dim: d of the result.
    """

    def __init__(self, network: TCA, whitening: Whitening | None, about: ContextAbout) -> None:
        self.network, self.whitening, self.about = network.eval(), whitening, about
        self.dim = network.dim
        self.dim_in = network.dim if whitening is None else whitening.dim_in

    @property
    def encoder(self) -> str | None:
        """Of the store that it was trained on."""
        return self.about.encoder

    def to(self, device: torch.device | str) -> ContextModel:
        """Move the network; the object stays the same."""
        self.network.to(device)
        return self

    def check(self, dim: int, encoder: str | None, where: str) -> None:
        """Refuse a store that the model was not trained for.

        Args:
            dim: D of the store.
            encoder: That made it; None if not said.
            where: The store, for the message.

        Raises:
            FeatureError: If dimensions or encoder differ.
        """
        if dim != self.dim_in:
            raise FeatureError(
                f"{where} has {dim} dimensions; the context model takes {self.dim_in}.",
                "Train one on this store: wtal pretrain tca STORE --out FILE.",
                code="context",
            )
        if None not in (encoder, self.encoder) and encoder != self.encoder:
            raise FeatureError(
                f"{where} comes from the encoder {encoder!r}; the context model was trained on "
                f"{self.encoder!r}.",
                "Train one on this store: wtal pretrain tca STORE --out FILE.",
                code="context",
            )

    def refine(self, rows_TD: Rows) -> Rows:
        """Every row in the light of all.

        Args:
            rows_TD: (T, D) float32, finite, T at least 1.

        Returns:
            (T, d) float32, not of length one; `pooled` of it is TCA_c, its unit rows are TCA_f.
        """
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            rows_Td = prepared(torch.from_numpy(rows_TD).to(device), self.whitening)
            refined: Rows = self.network(rows_Td[None])[0].cpu().numpy()
        return refined


def prepared(rows_TD: Tensor, whitening: Whitening | None) -> Tensor:
    """What the transformer is shown: whitened rows where there is a whitening, of length one.

    Args:
        rows_TD: (..., D).
        whitening: Or None.

    Returns:
        (..., d).
    """
    return F.normalize(rows_TD if whitening is None else whitening.apply(rows_TD), dim=-1)


def save_context(path: str | Path, model: ContextModel) -> None:
    """Write a model, whole or not at all. Equal models give equal bytes.

    Raises:
        FeatureError: If the file cannot be written.
    """
    tensors = dict(model.network.state_dict())
    if model.whitening is not None:
        white = asdict(model.whitening)
        tensors |= {_WHITENING + name: tensor for name, tensor in white.items()}
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    about = json.dumps(asdict(model.about), sort_keys=True)
    with atomic_write(path) as handle:
        handle.write(save(tensors, {_ENTRY: about}))


def load_context(path: str | Path) -> ContextModel:
    """A file of `wtal pretrain tca`, or the state_dict of the released code.

    Args:
        path: The file. Of one without our metadata, the heads are the published 8.

    Raises:
        FeatureError: If it is missing, damaged, or holds something else.
    """
    tensors = read_tensors(path)
    about = _about(path)
    layers = {name.removeprefix(_LAYERS).partition(".")[0] for name in tensors if _LAYERS in name}
    first = tensors.get(f"{_LAYERS}0.linear1.weight")
    if first is None or first.ndim != 2:
        raise FeatureError(
            f"{path} holds no context model: it has no tensor {_LAYERS}0.linear1.weight.",
            "Expected a file of wtal pretrain tca.",
            code="checkpoint",
        )
    hidden, dim = first.shape
    network = TCA(dim, about.heads, hidden, len(layers), generator=torch.Generator())
    own = {name: name for name in tensors if name.startswith(_LAYERS)}
    left = {name: "not of the transformer" for name in tensors if name not in own}
    load_mapped(network, tensors, own, left, str(path))
    return ContextModel(network, _whitening(tensors, dim, path), about)


def _about(path: str | Path) -> ContextAbout:
    """The metadata; the defaults where there are none."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_ENTRY)
    except (SafetensorError, OSError):  # a torch file
        return ContextAbout()
    if text is None:
        return ContextAbout()
    try:
        fields: dict[str, Any] = json.loads(text)
        about = ContextAbout(**fields)
        sound = type(about.heads) is int and about.heads >= 1
        if not sound or not isinstance(about.encoder, str | None):
            raise ValueError("not of its form")
    except (TypeError, ValueError, RecursionError) as error:
        raise FeatureError(
            f"{path}: what it says about its context model cannot be read.",
            "It was written by another version, or it is damaged.",
            code="checkpoint",
        ) from error
    return about


def _whitening(tensors: Mapping[str, Tensor], dim: int, path: str | Path) -> Whitening | None:
    """The whitening of a file, if it has one."""
    parts = {
        name.removeprefix(_WHITENING): tensor
        for name, tensor in tensors.items()
        if name.startswith(_WHITENING)
    }
    if not parts:
        return None
    try:
        white = Whitening(**parts)
        fits = white.directions_nD.shape == (dim, len(white.mean_D))
        fits = fits and white.values_n.shape == (dim,)
    except TypeError:
        fits = False
    if not fits:
        raise FeatureError(
            f"{path}: its whitening does not fit its transformer of {dim} dimensions.",
            "Take the file from its source again.",
            code="checkpoint",
        )
    return white
