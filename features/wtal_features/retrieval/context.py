"""A context model: what a file of `wtal pretrain tca` holds, and what it makes of a video.

Rows of a feature store are whitened where the model has a whitening, scaled to length one, and
looked at together by the transformer. One safetensors file holds all of it.

Legend: T rows of a video, D dimensions of the store, d of the result.
"""

from __future__ import annotations

import hashlib
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
from wtal_features.retrieval.aggregator import HEADS, TCA, check_heads
from wtal_features.retrieval.whitening import Whitening

Rows = npt.NDArray[np.float32]

_ENTRY = "wtal.context"
_LAYERS, _WHITENING = "transformer_encoder.layers.", "whitening."
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_CURE = "It is no file of wtal pretrain tca, or it is damaged; take it from its source again."


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
        """Move network and whitening; the object stays the same."""
        self.network.to(device)
        self.whitening = None if self.whitening is None else self.whitening.to(device)
        return self

    def digest(self) -> str:
        """SHA-256 of what decides the result: heads, and the names, shapes and values of tensors.

        Files that hold the same model differently, or say otherwise where it is from, agree in it.
        """
        digest = hashlib.sha256(str(self.about.heads).encode())
        for name, tensor in sorted(_tensors(self).items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

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
        # A copy: the array may be read-only, or run backwards.
        given_TD = torch.from_numpy(np.array(rows_TD, np.float32, order="C"))
        with torch.inference_mode():
            rows_Td = prepared(given_TD.to(device), self.whitening)
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
    about = json.dumps(asdict(model.about), sort_keys=True)
    with atomic_write(path) as handle:
        handle.write(save(_tensors(model), {_ENTRY: about}))


def _tensors(model: ContextModel) -> dict[str, Tensor]:
    """All that a file holds, copied to the CPU."""
    tensors = dict(model.network.state_dict())
    if model.whitening is not None:
        white = asdict(model.whitening)
        tensors |= {_WHITENING + name: tensor for name, tensor in white.items()}
    return {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}


def load_context(path: str | Path) -> ContextModel:
    """A file of `wtal pretrain tca`, or the state_dict of the released code.

    Args:
        path: The file. Of one without our metadata, the heads are the published 8.

    Raises:
        FeatureError: If it is missing, damaged, or holds something else.
    """
    tensors, about = read_tensors(path), _about(path)
    own = _part(tensors, _LAYERS)
    first = own.get(f"{_LAYERS}0.linear1.weight")
    if first is None or first.ndim != 2 or not first.numel():
        raise FeatureError(
            f"{path} holds no context model: it has no tensor {_LAYERS}0.linear1.weight.",
            "Expected a file of wtal pretrain tca.",
            code="checkpoint",
        )
    # What the file claims is compared with its tensors before any of it costs memory.
    hidden, dim = first.shape
    one = _shapes(dim, hidden)
    layers = -(-len(own) // len(one))
    _check(own, {f"{_LAYERS}{n}.{name}": one[name] for n in range(layers) for name in one}, path)
    white = _whitening(tensors, dim, path)
    try:
        check_heads(dim, about.heads)
    except FeatureError as error:
        raise FeatureError(f"{path}: {error.problem}", _CURE, code="checkpoint") from error
    network = TCA(dim, about.heads, hidden, layers, generator=torch.Generator())
    load_mapped(network, own, {name: name for name in own}, {}, str(path))
    return ContextModel(network, white, about)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin so."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _shapes(dim: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The twelve tensors of a layer."""
    return {
        "self_attn.in_proj_weight": (3 * dim, dim),
        "self_attn.in_proj_bias": (3 * dim,),
        "self_attn.out_proj.weight": (dim, dim),
        "self_attn.out_proj.bias": (dim,),
        "linear1.weight": (hidden, dim),
        "linear1.bias": (hidden,),
        "linear2.weight": (dim, hidden),
        "linear2.bias": (dim,),
        **{f"norm{n}.{name}": (dim,) for n in (1, 2) for name in ("weight", "bias")},
    }


def _check(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], path: str | Path
) -> None:
    """Refuse other names, shapes and types, and values that no computation survives."""
    odd = sorted(tensors.keys() ^ shapes.keys())
    if odd:
        what = "an unexpected" if odd[0] in tensors else "no"
        raise FeatureError(f"{path} has {what} tensor {odd[0]}.", _CURE, code="checkpoint")
    for name, shape in shapes.items():
        tensor, found = tensors[name], tuple(tensors[name].shape)
        # One number repeated by a stride of 0 can claim any shape.
        held = tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
        if found != shape or tensor.dtype not in _FLOATS or not held:
            raise FeatureError(
                f"{path}: {name} is {found} {str(tensor.dtype).removeprefix('torch.')}; expected "
                f"{shape} floating-point numbers.",
                _CURE,
                code="checkpoint",
            )
        if not tensor.float().isfinite().all():
            raise FeatureError(f"{path}: {name} holds NaN or infinity.", _CURE, code="checkpoint")


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
    parts = _part(tensors, _WHITENING)
    if not parts:
        return None
    axes = parts.get(f"{_WHITENING}directions_nD")
    D = max(1, axes.shape[-1]) if axes is not None and axes.ndim else 1
    shapes = {"mean_D": (D,), "directions_nD": (dim, D), "values_n": (dim,)}
    _check(parts, {_WHITENING + name: shape for name, shape in shapes.items()}, path)
    white = Whitening(**{name: parts[_WHITENING + name].float() for name in shapes})
    if not (white.values_n > 0).all():
        raise FeatureError(
            f"{path}: {_WHITENING}values_n holds a number that is not above zero.",
            _CURE,
            code="checkpoint",
        )
    return white
