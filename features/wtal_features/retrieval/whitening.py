"""PCA-whitening of descriptors: axes of largest variance, each scaled to variance 1.

Legend: N rows (frames) in all, T of them in a block; D dimensions before, n after.

Source: TCA (WACV 2021), section 3.1; layout of the file as in xwen99/temporal_context_aggregation.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.files import atomic_write
from wtal_features.layouts.npz import members, open_member
from wtal_features.npy import check_float, check_size, read_header, shaped
from wtal_features.retrieval.aggregator import HEADS

# Smaller eigenvalues are noise that 1 / sqrt would blow up.
_FLOOR = 1e-9
# The same, as a share of the largest eigenvalue: rounding leaves less than 1e-12 of it in an axis
# along which nothing varies; the last axis of real features (VGG, 384 of 384) has 3e-4.
_SHARE = 1e-7
# Ten times the directions of a square 3840 x 3840 in float64.
_MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Whitening:
    """y = diag(1 / sqrt(values)) U^T (x - mean).

    Attributes:
        mean_D: float32, mean of the rows that it was fitted on.
        directions_nD: float32, U^T: unit eigenvectors of their covariance, one per row, by
            descending eigenvalue.
        values_n: float32, the eigenvalues, all above zero.
    """

    mean_D: Tensor
    directions_nD: Tensor
    values_n: Tensor

    @property
    def dim_in(self) -> int:
        """D."""
        return self.directions_nD.shape[1]

    @property
    def dim(self) -> int:
        """Number of directions, n."""
        return self.directions_nD.shape[0]

    def apply(self, rows_TD: Tensor) -> Tensor:
        """Whiten rows.

        Args:
            rows_TD: (..., D) floating point, on any device.

        Returns:
            (..., n), of the same dtype and device; not of unit length.

        Raises:
            FeatureError: If the rows have another D.
        """
        if rows_TD.ndim == 0 or rows_TD.shape[-1] != self.dim_in:
            raise FeatureError(
                f"Rows of shape {tuple(rows_TD.shape)}; this PCA-whitening takes rows of "
                f"{self.dim_in} values.",
                "Use the features that it was fitted on.",
                code="shape",
            )
        directions_nD = self.directions_nD.to(rows_TD)
        scale_n = self.values_n.to(rows_TD).rsqrt()
        return (rows_TD - self.mean_D.to(rows_TD)) @ directions_nD.T * scale_n

    def to(self, device: torch.device | str) -> Whitening:
        """The same on a device, so that `apply` has nothing to move."""
        tensors = (self.mean_D, self.directions_nD, self.values_n)
        return Whitening(*(tensor.to(device) for tensor in tensors))


def fit_whitening(rows: Iterable[Tensor | NDArray[Any]], dim: int) -> Whitening:
    """Fit mean and axes on blocks of rows that need not fit into memory together.

    Mean and covariance (divisor N - 1) are added up in float64. Every axis points to where its
    largest component is positive, so that two fits of the same rows agree in sign.

    Args:
        rows: Blocks (any T, D), finite; all of one D.
        dim: n.

    Returns:
        The whitening: on the rows, covariance(y) is the identity.

    Raises:
        FeatureError: If `dim` is not in 1..D, the rows vary along fewer than `dim` axes (at most
            one less than there are rows), the blocks differ in D, or a value is not finite.
    """
    count, mean_D, scatter_DD = _moments(rows)
    D = mean_D.shape[0]
    if not 1 <= dim <= D:
        raise FeatureError(
            f"PCA-whitening to {dim} dimensions; expected 1 to {D}, as many as the rows have.",
            code="option",
        )
    if count <= dim:  # N rows vary along N - 1 axes
        raise FeatureError(
            f"PCA-whitening to {dim} dimensions was given {count} rows; expected more than {dim}.",
            f"Add videos, or ask for fewer dimensions (at most {max(count - 1, 1)}).",
            code="few-rows",
        )
    values_D, vectors_DD = torch.linalg.eigh(scatter_DD / (count - 1))  # ascending
    _check_axes(values_D, dim, count)
    values_n = values_D.flip(0)[:dim]
    directions_nD = vectors_DD.flip(1)[:, :dim].T.contiguous()
    largest_n1 = directions_nD.gather(1, directions_nD.abs().argmax(1, keepdim=True))
    directions_nD = directions_nD * largest_n1.sign()
    return Whitening(mean_D.float(), directions_nD.float(), values_n.float())


def _check_axes(values_D: Tensor, dim: int, count: int) -> None:
    """Refuse axes of nothing but rounding: whitened, they would outweigh all others in new rows."""
    axes = int((values_D > max(_FLOOR, _SHARE * values_D.max().item())).sum())
    if axes >= dim:
        return
    # What the published heads can share, where there is so much.
    fewer = axes // HEADS * HEADS or axes
    ask = f", or ask for at most {axes} dimensions: whitening.dim={fewer}" if axes else ""
    raise FeatureError(
        f"PCA-whitening to {dim} dimensions was given {count} rows that vary along {axes} axes "
        f"only; expected at least {dim}.",
        f"Add videos that differ{ask}.",
        code="few-rows",
    )


def _moments(rows: Iterable[Tensor | NDArray[Any]]) -> tuple[int, Tensor, Tensor]:
    """N, the mean and the sum of (x - mean)(x - mean)^T, in float64.

    Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances" (1979), for blocks.
    """
    count, mean_D, scatter_DD = 0, torch.zeros(0), torch.zeros(0)
    for block in rows:
        x_TD = torch.as_tensor(block).detach().cpu().double()
        if x_TD.ndim != 2 or (count and x_TD.shape[1] != mean_D.shape[0]):
            expected = f"(T, {mean_D.shape[0]})" if count else "(T, D)"
            raise FeatureError(
                f"Rows of shape {tuple(x_TD.shape)}; expected {expected}.",
                "All rows must come from one encoder.",
                code="shape",
            )
        if not x_TD.isfinite().all():
            raise FeatureError("A row holds NaN or infinity.", "Extract it again.", code="nan")
        if len(x_TD) == 0:
            continue
        block_mean_D = x_TD.mean(0)
        centred_TD = x_TD - block_mean_D
        if not count:
            mean_D = torch.zeros_like(block_mean_D)
            scatter_DD = centred_TD.new_zeros(mean_D.shape[0], mean_D.shape[0])
        both, step_D = count + len(x_TD), block_mean_D - mean_D
        # The distance of the means counts like one more row; without temporaries of D x D.
        between_D = step_D * (count * len(x_TD) / both) ** 0.5
        spread_SD = torch.cat([centred_TD, between_D[None]])
        scatter_DD.addmm_(spread_SD.T, spread_SD)
        mean_D = mean_D + step_D * (len(x_TD) / both)
        count = both
    if not count:
        raise FeatureError("PCA-whitening was given no rows.", "Add videos.", code="few-rows")
    return count, mean_D, scatter_DD


# Files -------------------------------------------------------------------------------------------


def save_whitening(path: str | Path, whitening: Whitening) -> None:
    """Write an .npz with U (D, n), lams (n,), mu (D, 1) and Utmu (n, 1), float32.

    Args:
        path: The file; it gets no other ending.
        whitening: Anywhere.

    Raises:
        FeatureError: If the file cannot be written.
    """
    U = whitening.directions_nD.cpu().numpy().T
    mu = whitening.mean_D.cpu().numpy()[:, None]
    lams = whitening.values_n.cpu().numpy()
    with atomic_write(path) as handle:
        np.savez(handle, U=U, lams=lams, mu=mu, Utmu=U.T @ mu)


def load_whitening(path: str | Path) -> Whitening:
    """Read what `save_whitening` or the public code of TCA wrote.

    Args:
        path: An .npz with U, lams, mu and Utmu, of any floating point type. Utmu is checked for
            its shape alone: it follows from the others.

    Raises:
        FeatureError: If it is no such file, an array is missing, has another shape, or holds NaN,
            infinity or an eigenvalue below zero.
    """
    path = Path(path)
    infos = members(path)
    missing = [name for name in ("U", "lams", "mu", "Utmu") if name not in infos]
    if missing:
        raise FeatureError(
            f"{path} has no {missing[0]}; expected the arrays U, lams, mu and Utmu of a "
            "PCA-whitening.",
            code="checkpoint",
        )
    arrays = {name: _array(path, infos[name]) for name in ("U", "lams", "mu", "Utmu")}
    _check(path, arrays)
    values_n = torch.from_numpy(arrays["lams"]).clamp(min=_FLOOR)
    directions_nD = torch.from_numpy(np.ascontiguousarray(arrays["U"].T))
    return Whitening(torch.from_numpy(arrays["mu"][:, 0].copy()), directions_nD, values_n)


def _array(path: Path, info: zipfile.ZipInfo) -> NDArray[np.float32]:
    """One array of an archive; its header must agree with the bytes that there are."""
    where = f"{path}, {info.filename}"
    if info.file_size > _MAX_BYTES:
        raise FeatureError(
            f"{where} has {info.file_size} bytes; expected at most {_MAX_BYTES}.", code="too-large"
        )
    with open_member(path, info, where) as handle:
        header = read_header(handle, where)
        check_float(header, where, double=True)
        check_size(header, info.file_size, where)
        data = handle.read(header.data_bytes)
    if len(data) < header.data_bytes:
        raise FeatureError(f"{where} ends early.", "Write it again.", code="truncated")
    with np.errstate(over="ignore"):  # infinite values are refused by `_check`
        return shaped(np.frombuffer(data, header.dtype), header).astype(np.float32)


def _check(path: Path, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Shapes that fit each other, and values that can be used."""
    D, n = arrays["U"].shape if arrays["U"].ndim == 2 else (0, 0)
    if not 1 <= n <= D:
        raise FeatureError(
            f"{path}: U has shape {arrays['U'].shape}; expected (D, n) with n of 1..D.",
            code="checkpoint",
        )
    expected: dict[str, tuple[int, ...]] = {"lams": (n,), "mu": (D, 1), "Utmu": (n, 1)}
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise FeatureError(
                f"{path}: {name} has shape {arrays[name].shape}; expected {shape}, as U is "
                f"({D}, {n}).",
                code="checkpoint",
            )
    finite = all(np.isfinite(array).all() for array in arrays.values())
    if not finite or (arrays["lams"] < 0).any():
        raise FeatureError(
            f"{path} holds NaN, infinity or an eigenvalue below zero.",
            "Fit it again.",
            code="checkpoint",
        )
