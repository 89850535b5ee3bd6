"""Temporal convolution (kernel 3, padding 1) over packed rows, as plain matrix products.

Packed rows: the valid snippets of all videos of a batch one below the other, one zero row before,
between and after them. The zero rows are the padding of the convolution, so a video of 200 snippets
costs 200 rows, whatever its neighbours in the batch, and every product runs on one tall contiguous
matrix.

Shapes: N packed rows, D input dims, E output dims, 3 taps; `weight_3DE[j]` multiplies row r + j -
1.

Both functions spell out their gradients for two reasons. Automatic differentiation of the shifted
sums would allocate a zero-filled copy for every slice. And both branches of BaS-Net share the first
layer: with z_j = x W_j,

    base_r = b + sum_j z_j[r + j - 1]          supp_r = b + sum_j w[r + j - 1] z_j[r + j - 1],

so that one set of products serves both branches, forward and backward, and the gradient of w needs
no product at all. At the published shape a step takes 2,416 GFLOP this way, and 3,322 as released.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Packing:
    """Where the snippets of a padded batch lie among the packed rows.

    Args:
        lengths: valid snippets of each video, all >= 1.
        padded: T of the padded batch.
    """

    lengths: tuple[int, ...]
    padded: int

    @classmethod
    def of(cls, mask_BT: Tensor) -> Packing:
        """From a mask whose True entries are a prefix of each row."""
        return cls(tuple(mask_BT.sum(1).tolist()), mask_BT.shape[1])

    @property
    def rows(self) -> int:
        """N: snippets plus one zero row before, between and after the videos."""
        return sum(self.lengths) + len(self.lengths) + 1

    def starts(self) -> list[int]:
        """First row of each video."""
        starts, row = [], 1
        for length in self.lengths:
            starts.append(row)
            row += length + 1
        return starts

    def gaps(self, device: torch.device) -> Tensor:
        """Indices of the zero rows."""
        ends = [start + n for start, n in zip(self.starts(), self.lengths, strict=True)]
        return torch.tensor([0, *ends], device=device)

    def snippet_rows(self, device: torch.device) -> Tensor:
        """Indices of the rows that are snippets, video by video."""
        pieces = [
            torch.arange(start, start + n)
            for start, n in zip(self.starts(), self.lengths, strict=True)
        ]
        return torch.cat([torch.arange(0), *pieces]).to(device)

    def pack(self, padded_BTD: Tensor) -> Tensor:
        """(B, T, D) -> (N, D)."""
        rows_ND = padded_BTD.new_zeros(self.rows, *padded_BTD.shape[2:])
        for b, (start, n) in enumerate(zip(self.starts(), self.lengths, strict=True)):
            rows_ND[start : start + n] = padded_BTD[b, :n]
        return rows_ND

    def unpack(self, rows_ND: Tensor) -> Tensor:
        """(N, D) -> (B, T, D), zero at padding."""
        if not self.lengths:  # the part of a process without a video
            return rows_ND[:0].reshape(0, self.padded, *rows_ND.shape[1:])
        pieces = [
            torch.nn.functional.pad(
                rows_ND[start : start + n], (0, 0) * (rows_ND.dim() - 1) + (0, self.padded - n)
            )
            for start, n in zip(self.starts(), self.lengths, strict=True)
        ]
        return torch.stack(pieces)


def _shifted(rows_ND: Tensor, tap: int) -> tuple[Tensor, Tensor]:
    """The rows as target and as source of one tap: target row r meets source row r + tap - 1."""
    N = rows_ND.shape[0]
    target = slice(max(0, 1 - tap), min(N, N + 1 - tap))
    source = slice(max(0, tap - 1), min(N, N - 1 + tap))
    return rows_ND[target], rows_ND[source]


def _target(rows_ND: Tensor, tap: int) -> Tensor:
    return _shifted(rows_ND, tap)[0]


def _source(rows_ND: Tensor, tap: int) -> Tensor:
    return _shifted(rows_ND, tap)[1]


def _compute_dtype(rows: Tensor) -> torch.dtype:
    """bfloat16 or float16 inside `torch.autocast`, else the rows' own type."""
    kind = rows.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else rows.dtype


class _SharedConv(torch.autograd.Function):
    """First layer of both branches; see the module's text."""

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, w_N: Tensor, weight_3DE: Tensor, bias_E: Tensor, gaps: Tensor
    ) -> tuple[Tensor, Tensor]:
        dtype = _compute_dtype(x_ND)
        x_ND, weight_3DE = x_ND.to(dtype), weight_3DE.to(dtype)
        z_3NE = x_ND.new_empty(3, x_ND.shape[0], weight_3DE.shape[2])
        for tap in range(3):
            torch.mm(x_ND, weight_3DE[tap], out=z_3NE[tap])
        bias_E = bias_E.to(dtype)
        w_N1 = w_N.to(dtype).unsqueeze(1)
        base_NE = z_3NE[1] + bias_E
        supp_NE = torch.addcmul(bias_E, z_3NE[1], w_N1)
        for tap in (0, 2):
            _target(base_NE, tap).add_(_source(z_3NE[tap], tap))
            _target(supp_NE, tap).addcmul_(_source(z_3NE[tap], tap), _source(w_N1, tap))
        base_NE[gaps] = 0
        supp_NE[gaps] = 0
        ctx.save_for_backward(x_ND, w_N1, weight_3DE, z_3NE, gaps)
        return base_NE, supp_NE

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, d_base_NE: Tensor, d_supp_NE: Tensor
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None]:
        x_ND, w_N1, weight_3DE, z_3NE, gaps = ctx.saved_tensors
        d_weight_3DE = torch.empty_like(weight_3DE)
        d_w_N = torch.zeros_like(w_N1[:, 0])
        d_x_ND = torch.zeros_like(x_ND) if ctx.needs_input_grad[0] else None
        # A shift leaves the first or the last row of this buffer as it was: both are zero rows of
        # x, so nothing but the gradient of those rows sees it, and that is cleared below.
        d_z_NE = torch.zeros_like(d_base_NE)
        for tap in range(3):
            # dz_j[r + j - 1] = d_base[r] + w[r + j - 1] d_supp[r]
            source, d_supp = _source(d_z_NE, tap), _target(d_supp_NE, tap)
            torch.addcmul(_target(d_base_NE, tap), d_supp, _source(w_N1, tap), out=source)
            torch.mm(x_ND.T, d_z_NE, out=d_weight_3DE[tap])
            _source(d_w_N, tap).add_(_row_dot(_source(z_3NE[tap], tap), d_supp))
            if d_x_ND is not None:
                d_x_ND.addmm_(d_z_NE, weight_3DE[tap].T)
        if d_x_ND is not None:
            d_x_ND[gaps] = 0  # the zero rows are constants
        return d_x_ND, d_w_N, d_weight_3DE, d_base_NE.sum(0).add_(d_supp_NE.sum(0)), None


class _Conv(torch.autograd.Function):
    """One layer on packed rows."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_3DE: Tensor, bias_E: Tensor, gaps: Tensor) -> Tensor:
        dtype = _compute_dtype(x_ND)
        x_ND, weight_3DE = x_ND.to(dtype), weight_3DE.to(dtype)
        y_NE = torch.addmm(bias_E.to(dtype), x_ND, weight_3DE[1])
        for tap in (0, 2):
            _target(y_NE, tap).addmm_(_source(x_ND, tap), weight_3DE[tap])
        y_NE[gaps] = 0
        ctx.save_for_backward(x_ND, weight_3DE, gaps)
        return y_NE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y_NE: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x_ND, weight_3DE, gaps = ctx.saved_tensors
        d_x_ND = torch.mm(d_y_NE, weight_3DE[1].T)
        d_weight_3DE = torch.empty_like(weight_3DE)
        torch.mm(x_ND.T, d_y_NE, out=d_weight_3DE[1])
        for tap in (0, 2):
            _source(d_x_ND, tap).addmm_(_target(d_y_NE, tap), weight_3DE[tap].T)
            torch.mm(_source(x_ND, tap).T, _target(d_y_NE, tap), out=d_weight_3DE[tap])
        d_x_ND[gaps] = 0  # the zero rows are constants
        return d_x_ND, d_weight_3DE, d_y_NE.sum(0), None


def _row_dot(a_NE: Tensor, b_NE: Tensor) -> Tensor:
    """(N,) dot products of the rows of two (N, E) matrices, without an (N, E) temporary."""
    return torch.bmm(a_NE.unsqueeze(1), b_NE.unsqueeze(2)).view(-1)


def shared_conv(
    x_ND: Tensor, w_N: Tensor, weight_3DE: Tensor, bias_E: Tensor, gaps: Tensor
) -> tuple[Tensor, Tensor]:
    """conv(x) and conv(w * x) in one go.

    Args:
        x_ND: packed rows, zero at `gaps`.
        w_N: foreground weight of each row.
        weight_3DE: taps.
        bias_E: bias.
        gaps: indices of the zero rows.

    Returns:
        Two (N, E) tensors, zero at `gaps`. Their gradient must be zero there too, as it is for
        everything that this module and element-wise functions with f(0) = 0 do with them.
    """
    base_NE, supp_NE = _SharedConv.apply(x_ND, w_N, weight_3DE, bias_E, gaps)  # type: ignore[no-untyped-call]
    return base_NE, supp_NE


def conv(x_ND: Tensor, weight_3DE: Tensor, bias_E: Tensor, gaps: Tensor) -> Tensor:
    """One convolution of packed rows, zero at `gaps`; arguments as in `shared_conv`."""
    y_NE: Tensor = _Conv.apply(x_ND, weight_3DE, bias_E, gaps)  # type: ignore[no-untyped-call]
    return y_NE
