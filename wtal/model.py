"""BaS-Net: a filtering module, and a class activation sequence in two branches that share it.

Shapes: B videos, T snippets (padded), D input dims, E embedding dims, C action classes; row index C
is the background; N packed rows (temporal_conv.py).

The network sees features and a mask: no label, no option of training, no logger. In training,
dropout draws from the generator that is passed in.

Source: BaS-Net (AAAI 2020), section "Background Suppression Network"; layers as released in
Pilhyeon/BaSNet-pytorch@c8c6bbd model.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal.errors import WtalError
from wtal.temporal_conv import Packing, conv, shared_conv
from wtal_features.encoders.dropout import dropout


@dataclass(frozen=True)
class ModelConfig:
    """Widths of BaS-Net."""

    hidden_dim: int | Literal["auto"] = "auto"
    """E. `auto` is the feature dim D, as published (2048 for 2048)."""
    filter_dim: int | Literal["auto"] = "auto"
    """Width of the filtering module. `auto` is D/4, as published (512 for 2048)."""
    second_kernel: Literal[1, 3] = 1
    """Width of the second convolution. 3 is the published one, for videos stretched to 750 bins; at
    native length the same reach in seconds needs less (docs/decisions/0006)."""
    dropout: float = 0.7
    """Applied to the embedding before the classifier, in training."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("hidden_dim", "filter_dim"):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise WtalError(f"model.{name} is {value}; expected 'auto' or an integer >= 1.")
        if not 0 <= self.dropout < 1:
            raise WtalError(f"model.dropout is {self.dropout}; expected a number in [0, 1).")

    def widths(self, feature_dim: int) -> tuple[int, int]:
        """E and the width of the filtering module, for features of D dims."""
        hidden = feature_dim if self.hidden_dim == "auto" else self.hidden_dim
        filtering = max(1, feature_dim // 4) if self.filter_dim == "auto" else self.filter_dim
        return hidden, filtering


class Output(NamedTuple):
    """What one forward pass gives; zero at padding."""

    attention_BT: Tensor  # foreground weight w in [0, 1]
    cas_base_BTC: Tensor  # (B, T, C+1) logits of the base branch
    cas_supp_BTC: Tensor  # (B, T, C+1) logits of the suppression branch
    # Embedding H of either branch as packed rows; zero rows hold anything. Only contrast reads it.
    embedding_base_NE: Tensor
    embedding_supp_NE: Tensor


class TemporalConv(nn.Module):
    """Parameters of a kernel-3 convolution over time, taps first; initialised as `nn.Conv1d` is."""

    def __init__(self, dim_in: int, dim_out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight_3DE = nn.Parameter(torch.empty(3, dim_in, dim_out))
        self.bias_E = nn.Parameter(torch.empty(dim_out))
        _uniform(self.weight_3DE, 3 * dim_in, generator)
        _uniform(self.bias_E, 3 * dim_in, generator)


class Linear(nn.Module):
    """A kernel-1 convolution over time: the same matrix at every snippet."""

    def __init__(
        self, dim_in: int, dim_out: int, generator: torch.Generator, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight_DE = nn.Parameter(torch.empty(dim_in, dim_out))
        _uniform(self.weight_DE, dim_in, generator)
        self.bias_E = nn.Parameter(torch.empty(dim_out)) if bias else None
        if self.bias_E is not None:
            _uniform(self.bias_E, dim_in, generator)

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, D) -> (N, E)."""
        y_NE = x_ND @ self.weight_DE
        return y_NE if self.bias_E is None else y_NE + self.bias_E


class Projection(nn.Module):
    """Embedding H -> the space of the contrast (DCC, D4). Part of training, not of the network.

    Args:
        hidden_dim: E.
        projected_dim: d.
        layers: 1, or 2 with a LeakyReLU and E dims in between.
        generator: draws the initial weights.
    """

    def __init__(
        self, hidden_dim: int, projected_dim: int, layers: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.inner = Linear(hidden_dim, hidden_dim, generator) if layers == 2 else None
        self.outer = Linear(hidden_dim, projected_dim, generator)

    def forward(self, h_NE: Tensor) -> Tensor:
        """(N, E) -> (N, d)."""
        x_Nd: Tensor = self.outer(h_NE if self.inner is None else F.leaky_relu(self.inner(h_NE)))
        return x_Nd


def _uniform(parameter: nn.Parameter, fan_in: int, generator: torch.Generator) -> None:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default for convolutions and their biases."""
    bound = fan_in**-0.5
    with torch.no_grad():
        parameter.uniform_(-bound, bound, generator=generator)


class BaSNet(nn.Module):
    """Background Suppression Network.

    Args:
        feature_dim: D.
        n_classes: C, without the background.
        config: widths.
        generator: draws the initial weights.
    """

    def __init__(
        self, feature_dim: int, n_classes: int, config: ModelConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        E, S = config.widths(feature_dim)
        self.feature_dim, self.hidden_dim, self.n_classes = feature_dim, E, n_classes
        self.dropout = config.dropout
        self.filter_in = Linear(feature_dim, S, generator)
        self.filter_out = Linear(S, 1, generator)
        self.conv1 = TemporalConv(feature_dim, E, generator)
        self.conv2 = (
            TemporalConv(E, E, generator) if config.second_kernel == 3 else Linear(E, E, generator)
        )
        self.classifier = Linear(E, n_classes + 1, generator, bias=False)

    def forward(
        self,
        x_BTD: Tensor,
        mask_BT: Tensor,
        generator: torch.Generator | None = None,
        rows: tuple[int, int] | None = None,
    ) -> Output:
        """Attention and both class activation sequences.

        Args:
            x_BTD: features; values at padding are ignored.
            mask_BT: True at valid snippets, a prefix of each row with at least one.
            generator: source of dropout; needed in training mode only.
            rows: of a batch that several processes share: packed rows before these, and in all.
        """
        packing = Packing.of(mask_BT)
        gaps = packing.gaps(x_BTD.device)
        x_ND = packing.pack(x_BTD)
        w_N = self.attention(x_ND)
        base_NE, supp_NE = shared_conv(x_ND, w_N, self.conv1.weight_3DE, self.conv1.bias_E, gaps)
        base_NE, supp_NE = self._embed(base_NE, gaps), self._embed(supp_NE, gaps)
        cas_base_NC = self._classify(base_NE, generator, rows)
        cas_supp_NC = self._classify(supp_NE, generator, rows)
        return Output(
            packing.unpack(w_N.unsqueeze(1)).squeeze(2),
            packing.unpack(cas_base_NC),
            packing.unpack(cas_supp_NC),
            base_NE,
            supp_NE,
        )

    def suppressed(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Attention (B, T) and suppression branch (B, T, C+1) alone: what localization needs."""
        packing = Packing.of(mask_BT)
        gaps = packing.gaps(x_BTD.device)
        x_ND = packing.pack(x_BTD)
        w_N = self.attention(x_ND)
        supp_NE = conv(w_N.unsqueeze(1) * x_ND, self.conv1.weight_3DE, self.conv1.bias_E, gaps)
        cas_NC = self._classify(self._embed(supp_NE, gaps))
        return packing.unpack(w_N.unsqueeze(1)).squeeze(2), packing.unpack(cas_NC)

    def attention(self, x_ND: Tensor) -> Tensor:
        """Filtering module: (N, D) -> (N,) foreground weights."""
        hidden_NS = F.leaky_relu(self.filter_in(x_ND), inplace=True)
        score_N1: Tensor = self.filter_out(hidden_NS)
        return score_N1.squeeze(1).sigmoid()

    def _embed(self, first_NE: Tensor, gaps: Tensor) -> Tensor:
        """Output of the first convolution -> embedding H."""
        first_NE = F.leaky_relu(first_NE, inplace=True)
        if isinstance(self.conv2, TemporalConv):
            second_NE = conv(first_NE, self.conv2.weight_3DE, self.conv2.bias_E, gaps)
        else:
            second_NE = self.conv2(first_NE)  # what the zero rows become is never read
        return F.leaky_relu(second_NE, inplace=True)

    def _classify(
        self,
        h_NE: Tensor,
        generator: torch.Generator | None = None,
        rows: tuple[int, int] | None = None,
    ) -> Tensor:
        """Embedding H -> (N, C+1) logits."""
        factor = 1.0
        if self.training:
            if generator is None:
                raise ValueError("BaSNet.forward needs a generator in training mode, for dropout.")
            h_NE, factor = dropout(h_NE, self.dropout, generator, rows)
        logits_NC: Tensor = self.classifier(h_NE)
        return logits_NC * factor
