"""TCA: frames of a video look at one another, so that each knows what the video is about.

One transformer encoder layer (or a few) without positions: attention, then two linear layers, each
plus its input, then norm. Without positions, permuting the frames permutes the result, and leaves
the mean over the frames as it is.

Shapes: B videos, T frames (padded), d dims, h heads of e = d / h dims.

In training, dropout draws from the generator that is passed in.

Source: TCA (WACV 2021), section 3.2; xwen99/temporal_context_aggregation model.py, whose tensors
have these names.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.encoders.dropout import dropout as dropout_of
from wtal_features.errors import FeatureError

HEADS, HIDDEN, DROPOUT = 8, 2048, 0.2  # the last as in the training script; the paper says .5


def check_heads(dim: int, heads: int) -> None:
    """Refuse dimensions that heads cannot share.

    Raises:
        FeatureError: If d is no multiple of h.
    """
    if dim % heads:
        fewer = f"Take fewer heads: {dim}, or a number that divides it."
        whiten = f"Take other heads, or whiten to {dim // heads * heads} dimensions."
        raise FeatureError(
            f"{dim} dimensions cannot be shared by {heads} heads of attention.",
            fewer if dim < heads else whiten,
            code="option",
        )


class Attention(nn.Module):
    """Each frame takes a mean of all real frames, in h spaces of e dims.

    Args:
        dim: d, a multiple of h.
        heads: h.
        generator: Draws the initial weights.
    """

    def __init__(self, dim: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))  # of q, k and v
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = _linear(dim, dim, generator)
        nn.init.xavier_uniform_(self.in_proj_weight, generator=generator)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, x_BTd: Tensor, mask_BT: Tensor | None, dropout: float, draws: torch.Generator | None
    ) -> Tensor:
        """(B, T, d) -> (B, T, d). Dropout acts on the weights of the mean."""
        q, k, v = (
            part.view(*part.shape[:2], self.heads, -1).transpose(1, 2)
            for part in F.linear(x_BTd, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=2)
        )  # (B, h, T, e) each
        seen = None if mask_BT is None else mask_BT[:, None, None]
        if draws is None:
            mean_BhTe = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        else:
            scores_BhTT = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
            if seen is not None:
                scores_BhTT = scores_BhTT.masked_fill(~seen, -math.inf)
            mean_BhTe = _dropped(scores_BhTT.softmax(dim=3), dropout, draws) @ v
        y_BTd: Tensor = self.out_proj(mean_BhTe.transpose(1, 2).flatten(2))
        return y_BTd


class Layer(nn.Module):
    """Attention and two linear layers with ReLU between, each plus its input, then norm.

    Args:
        dim: d.
        heads: h.
        hidden: Dims between the linear layers.
        generator: Draws the initial weights.
    """

    def __init__(self, dim: int, heads: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads, generator)
        self.linear1 = _linear(dim, hidden, generator)
        self.linear2 = _linear(hidden, dim, generator)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(
        self, x_BTd: Tensor, mask_BT: Tensor | None, dropout: float, draws: torch.Generator | None
    ) -> Tensor:
        """(B, T, d) -> (B, T, d)."""
        seen = self.self_attn(x_BTd, mask_BT, dropout, draws)
        x_BTd = self.norm1(x_BTd + _dropped(seen, dropout, draws))
        inner = _dropped(F.relu(self.linear1(x_BTd)), dropout, draws)
        y_BTd: Tensor = self.norm2(x_BTd + _dropped(self.linear2(inner), dropout, draws))
        return y_BTd


class Layers(nn.Module):
    """A stack of layers; a module of its own for the names of the tensors.

    Args:
        layers: In their order.
    """

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class TCA(nn.Module):
    """Temporal context aggregation: (B, T, d) -> (B, T, d), every frame in the light of all.

    At d = 1024 one layer has 8,399,872 parameters.

    Args:
        dim: d.
        heads: h, which divides d.
        hidden: Dims of the feed-forward part.
        layers: Published: 1.
        dropout: Share of what is dropped in training.
        generator: Draws the initial weights; a CPU generator.

    Attributes:
        dim: d.

    Raises:
        FeatureError: If d is no multiple of h.
    """

    def __init__(
        self,
        dim: int,
        heads: int = HEADS,
        hidden: int = HIDDEN,
        layers: int = 1,
        dropout: float = DROPOUT,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        check_heads(dim, heads)
        self.dim, self.dropout = dim, dropout
        self.transformer_encoder = Layers(
            [Layer(dim, heads, hidden, generator) for _ in range(layers)]
        )

    def forward(
        self,
        rows_BTd: Tensor,
        mask_BT: Tensor | None = None,
        draws: torch.Generator | None = None,
    ) -> Tensor:
        """Context for every frame.

        Args:
            rows_BTd: Float, finite also where there is padding.
            mask_BT: Bool, True where a frame is real, at least one per video; None: all are.
            draws: Of dropout, on the device of the rows; None: no dropout.

        Returns:
            (B, T, d); zeros where there is padding.
        """
        for layer in self.transformer_encoder.layers:
            rows_BTd = layer(rows_BTd, mask_BT, self.dropout, draws)
        return rows_BTd if mask_BT is None else rows_BTd * mask_BT[:, :, None]


def pooled(rows_BTd: Tensor, mask_BT: Tensor | None = None) -> Tensor:
    """TCA_c: the mean of the real frames of a video, of length one.

    Args:
        rows_BTd: (B, T, d).
        mask_BT: Bool, True where a frame is real; None: all are.

    Returns:
        (B, d) unit rows.

    Example:
        >>> rows = torch.tensor([[[3.0, 0.0], [3.0, 8.0], [9.0, 9.0]]])
        >>> pooled(rows, torch.tensor([[True, True, False]]))
        tensor([[0.6000, 0.8000]])
    """
    if mask_BT is None:
        return F.normalize(rows_BTd.mean(dim=1), dim=1)
    real_BT1 = mask_BT[:, :, None]
    return F.normalize((rows_BTd * real_BT1).sum(1) / real_BT1.sum(1), dim=1)


def _dropped(x: Tensor, dropout: float, draws: torch.Generator | None) -> Tensor:
    """Dropout with an explicit generator; without one, x itself."""
    if draws is None or not dropout:
        return x
    left, scale = dropout_of(x, dropout, draws)
    return left * scale


def _linear(dim_in: int, dim_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer as torch draws it, from this generator."""
    layer = nn.Linear(dim_in, dim_out, device="meta")
    layer.to_empty(device="cpu")  # memory, without a draw from torch's global generator
    bound = 1 / math.sqrt(dim_in)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer
