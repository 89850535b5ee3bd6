"""CMD's motion transformer: from what a clip shows to what each place will look like in motion.

Shapes: B clips, K key points (the places of the video's map, by t, y, x), Q query points (the
places of the motion's map, likewise), L and N of either, d = 512 dims at width 1, h heads.

Two encoder layers over the key points, four decoder layers over the query points. Positions are
learned and added wherever one point looks at another: to what asks and to what is asked, never to
what is answered. The decoder starts from zeros; what a query point is, its position says alone.
The values of the first decoder layer's self-attention are therefore a bias and nothing else; the
matrix that makes them gets no gradient.

In training, dropout draws from the generator that is passed in.

Source: CMD (CVPR 2021); foolwood/DRL@9bd1768 Context-Motion-Decoupling/models/transformer.py,
whose modules have these names. Weights start as its pretrain.py leaves them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.pretraining.randomness import on_device

HEADS, ENCODER_LAYERS, DECODER_LAYERS = 8, 2, 4
DROPOUT = 0.1


def linear(
    dim_in: int, dim_out: int, generator: torch.Generator, *, bias: bool = True
) -> nn.Linear:
    """A linear layer drawn from N(0, 0.01); its bias is zero at first."""
    layer = nn.Linear(dim_in, dim_out, bias=bias, device="meta")
    layer.to_empty(device="cpu")  # memory, without a draw from torch's global generator
    nn.init.normal_(layer.weight, std=0.01, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def positions(count: int, dim: int, generator: torch.Generator) -> nn.Embedding:
    """One learned vector for each of `count` places, drawn from U(0, 1)."""
    table = nn.Embedding(count, dim, device="meta").to_empty(device="cpu")
    nn.init.uniform_(table.weight, generator=generator)
    return table


def dropped(x: Tensor, draws: torch.Generator | None) -> Tensor:
    """Dropout with an explicit generator; without one, x itself.

    Args:
        x: Any shape.
        draws: On the device of x.
    """
    if draws is None:
        return x
    kept = torch.empty_like(x).bernoulli_(1 - DROPOUT, generator=draws)
    return x * kept / (1 - DROPOUT)


class Attention(nn.Module):
    """Each point of q asks all points of k and takes a mean of v, in h spaces of d/h dims.

    Dropout acts on the weights of that mean.

    Args:
        dim: d, a multiple of h.
        generator: Draws the initial weights.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))  # of q, k and v
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = linear(dim, dim, generator)
        nn.init.xavier_uniform_(self.in_proj_weight, generator=generator)

    def forward(
        self, q_BLd: Tensor, k_BNd: Tensor, v_BNd: Tensor, draws: torch.Generator | None
    ) -> Tensor:
        """(B, L, d), (B, N, d), (B, N, d) -> (B, L, d)."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q_BhLe, k_BhNe, v_BhNe = (
            F.linear(x, weight, bias).view(*x.shape[:2], HEADS, -1).transpose(1, 2)
            for x, weight, bias in zip((q_BLd, k_BNd, v_BNd), weights, biases, strict=True)
        )
        scores_BhLN = q_BhLe @ k_BhNe.transpose(2, 3) * q_BhLe.shape[3] ** -0.5
        mean_BhLe = dropped(scores_BhLN.softmax(dim=3), draws) @ v_BhNe
        y_BLd: Tensor = self.out_proj(mean_BhLe.transpose(1, 2).flatten(2))
        return y_BLd


class EncoderLayer(nn.Module):
    """Key points look at one another; then two linear layers. Each plus its input, then norm.

    Args:
        dim: d.
        generator: Draws the initial weights.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.self_attn = Attention(dim, generator)
        self.norm1 = nn.LayerNorm(dim)
        self.fc1, self.fc2 = linear(dim, dim, generator), linear(dim, dim, generator)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x_BKd: Tensor, place_Kd: Tensor, draws: torch.Generator | None) -> Tensor:
        """(B, K, d) and the positions (K, d) -> (B, K, d)."""
        placed = x_BKd + place_Kd
        seen = self.self_attn(placed, placed, x_BKd, draws)
        x_BKd = self.norm1(x_BKd + dropped(seen, draws))
        hidden = dropped(F.relu(self.fc1(x_BKd)), draws)
        y_BKd: Tensor = self.norm2(x_BKd + dropped(self.fc2(hidden), draws))
        return y_BKd


class DecoderLayer(nn.Module):
    """Query points look at one another, then at the key points; then two linear layers.

    Args:
        dim: d.
        generator: Draws the initial weights.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.self_attn = Attention(dim, generator)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn = Attention(dim, generator)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1, self.fc2 = linear(dim, dim, generator), linear(dim, dim, generator)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self,
        x_BQd: Tensor,
        memory_BKd: Tensor,
        q_place_Qd: Tensor,
        k_place_Kd: Tensor,
        draws: torch.Generator | None,
    ) -> Tensor:
        """(B, Q, d), the encoder's (B, K, d), and the positions of both -> (B, Q, d)."""
        placed = x_BQd + q_place_Qd
        seen = self.self_attn(placed, placed, x_BQd, draws)
        x_BQd = self.norm1(x_BQd + dropped(seen, draws))
        seen = self.cross_attn(x_BQd + q_place_Qd, memory_BKd + k_place_Kd, memory_BKd, draws)
        x_BQd = self.norm2(x_BQd + dropped(seen, draws))
        hidden = dropped(F.relu(self.fc1(x_BQd)), draws)
        y_BQd: Tensor = self.norm3(x_BQd + dropped(self.fc2(hidden), draws))
        return y_BQd


class Encoder(nn.Module):
    """The encoder layers, one behind the other; arguments as of a layer."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, generator) for _ in range(ENCODER_LAYERS))

    def forward(self, x_BKd: Tensor, place_Kd: Tensor, draws: torch.Generator | None) -> Tensor:
        """As a layer."""
        for layer in self.layers:
            x_BKd = layer(x_BKd, place_Kd, draws)
        return x_BKd


class Decoder(nn.Module):
    """The decoder layers, one behind the other; arguments as of a layer."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, generator) for _ in range(DECODER_LAYERS))

    def forward(
        self,
        x_BQd: Tensor,
        memory_BKd: Tensor,
        q_place_Qd: Tensor,
        k_place_Kd: Tensor,
        draws: torch.Generator | None,
    ) -> Tensor:
        """As a layer."""
        for layer in self.layers:
            x_BQd = layer(x_BQd, memory_BKd, q_place_Qd, k_place_Kd, draws)
        return x_BQd


class MotionTransformer(nn.Module):
    """Predicts the motion at each query point from all key points.

    Args:
        dim: d, a multiple of h = 8.
        generator: Draws the initial weights.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = Encoder(dim, generator)
        self.decoder = Decoder(dim, generator)

    def forward(
        self,
        tokens_BKd: Tensor,
        q_place_Qd: Tensor,
        k_place_Kd: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Key points -> query points.

        Args:
            tokens_BKd: What the clip shows at each key point.
            q_place_Qd: Positions of the query points.
            k_place_Kd: Positions of the key points.
            generator: Draws the dropout of training, on the CPU or on the tokens' device. Without
                it, and in evaluation, nothing is dropped.

        Returns:
            (B, Q, d).
        """
        draws = on_device(generator, tokens_BKd.device) if self.training else None
        memory_BKd = self.encoder(tokens_BKd, k_place_Kd, draws)
        zeros_BQd = tokens_BKd.new_zeros(len(tokens_BKd), *q_place_Qd.shape)
        predicted_BQd: Tensor = self.decoder(zeros_BQd, memory_BKd, q_place_Qd, k_place_Kd, draws)
        return predicted_BQd
