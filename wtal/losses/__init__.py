"""The criterion: named terms of one batch, and the weight of each.

A new term is one function in a file of this folder, one line in TERMS, and one weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from wtal.compat import Compat
from wtal.data import Batch
from wtal.errors import WtalError
from wtal.losses import mil
from wtal.model import Output

Auto = Literal["auto"]


@dataclass(frozen=True)
class LossConfig:
    """Weights and forms of the BaS-Net terms."""

    cls_scale: float | Auto = "auto"
    """Factor of both classification terms. The mean over C+1 classes shrinks their gradient as C
    grows; `auto` is (C+1)/21, which is the released weight at C = 20."""
    norm: Literal["per_750", "sum"] = "per_750"
    """Attention norm as a mean over time times 750, or the released sum over time."""
    norm_weight: float = 1e-4
    """alpha."""
    topk_ratio: int = 8
    """k = max(1, floor(T / 8))."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.topk_ratio < 1:
            raise WtalError(f"loss.topk_ratio is {self.topk_ratio}; expected an integer >= 1.")
        if self.norm_weight < 0:
            raise WtalError(f"loss.norm_weight is {self.norm_weight}; expected at least 0.")
        if self.cls_scale != "auto" and self.cls_scale < 0:
            raise WtalError(
                f"loss.cls_scale is {self.cls_scale}; expected 'auto' or a number >= 0."
            )


def cls_base(output: Output, batch: Batch, config: LossConfig, compat: Compat) -> Tensor:
    """Base branch: the tags and the background are in the video."""
    return _branch(output.cas_base_BTC, 1.0, batch, config, compat)


def cls_supp(output: Output, batch: Batch, config: LossConfig, compat: Compat) -> Tensor:
    """Suppression branch: the tags, and no background once the filter has taken it out."""
    return _branch(output.cas_supp_BTC, 0.0, batch, config, compat)


def norm(output: Output, batch: Batch, config: LossConfig, compat: Compat) -> Tensor:
    """L1 norm of the attention."""
    return mil.attention_norm(output.attention_BT, batch.mask_BT, per_750=config.norm == "per_750")


def _branch(
    cas_BTC: Tensor, background: float, batch: Batch, config: LossConfig, compat: Compat
) -> Tensor:
    logits_BC = mil.top_k_mean(
        cas_BTC,
        batch.mask_BT,
        ratio=config.topk_ratio,
        at_least_one=not compat.log_of_softmax,
    )
    return mil.classification(
        logits_BC, batch.labels_BC, background=background, separate_log=compat.log_of_softmax
    )


Term = Callable[[Output, Batch, LossConfig, Compat], Tensor]
TERMS: dict[str, Term] = {"cls_base": cls_base, "cls_supp": cls_supp, "norm": norm}


class Criterion:
    """L = s (cls_base + cls_supp) + alpha norm, each term by name.

    Args:
        config: weights and forms.
        compat: quirks of the released code to repeat.
        n_classes: C, action classes without the background.
    """

    def __init__(self, config: LossConfig, compat: Compat, n_classes: int) -> None:
        self.config = config
        self.compat = compat
        scale = config.cls_scale
        if scale == "auto":
            scale = (n_classes + 1) / (mil.PUBLISHED_CLASSES + 1)
        self.weights = {"cls_base": scale, "cls_supp": scale, "norm": config.norm_weight}

    def __call__(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Unweighted terms, each a scalar; 0 in a batch without videos."""
        if not len(batch.labels_BC):
            nothing = sum((part.sum() for part in output[:3]), output.attention_BT.new_zeros(()))
            return dict.fromkeys(TERMS, 0 * nothing)
        return {name: term(output, batch, self.config, self.compat) for name, term in TERMS.items()}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum that is minimised."""
        weighted = [self.weights[name] * value for name, value in terms.items()]
        total = weighted[0]
        for value in weighted[1:]:
            total = total + value
        return total
