"""The linear probe: how well a straight cut through frozen features tells classes apart.

Legend: N clips, D dimensions, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wtal_features.errors import FeatureError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class ProbeSettings:
    """How the probe is trained.

    Attributes:
        lr: Learning rate of SGD with momentum 0.9; published probes take 0.1 to 1.
        weight_decay: On all weights; published probes take 1e-4 to 1e-1.
        batch: Clips per step.
        epochs: Passes over the training clips.
        drops: The learning rate is a tenth from each of these epochs on.
    """

    lr: float = 1.0
    weight_decay: float = 1e-3
    batch: int = 1024
    epochs: int = 100
    drops: tuple[int, ...] = (60, 80)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for name, least in (("batch", 2), ("epochs", 1)):
            if getattr(self, name) < least:
                raise FeatureError(
                    f"{name} is {getattr(self, name)}; expected at least {least}.", code="option"
                )


@dataclass(frozen=True)
class ProbeResult:
    """Top-1 accuracy on the test clips.

    Attributes:
        accuracy: After the last epoch: the figure to report.
        by_epoch: After each epoch.
    """

    accuracy: float
    by_epoch: tuple[float, ...]

    @property
    def selected_on_test(self) -> tuple[int, float]:
        """Best epoch, from 1, and its accuracy: chosen by the test clips, so it says too much.

        Public code prints it. It is here to compare with such figures, and must be named so.
        """
        best = max(self.by_epoch)
        return self.by_epoch.index(best) + 1, best


def linear_probe(
    train_ND: Tensor,
    train_labels_N: Tensor,
    test_ND: Tensor,
    test_labels_N: Tensor,
    generator: torch.Generator,
    settings: ProbeSettings | None = None,
) -> ProbeResult:
    """Batch norm and one linear layer on frozen features, trained with cross-entropy.

    Everything happens on the device of the features; what is random is drawn on the CPU, so that a
    seed means the same everywhere.

    Args:
        train_ND: (N, D) features.
        train_labels_N: (N,) int, classes from 0.
        test_ND: The same of the test clips.
        test_labels_N: Likewise; a class that no training clip has is never found.
        generator: A CPU generator: first weights and the order of the clips.
        settings: How it is trained.

    Returns:
        Accuracies on the test clips.

    Raises:
        FeatureError: If shapes do not fit, a value is not finite, or there are fewer than two
            training clips.

    Source: TengdaHan/CoCLR eval/feature_linear_probe.py, with `--final_bn`.
    """
    import torch
    from torch.nn import functional as F

    settings = settings or ProbeSettings()
    _check(train_ND, train_labels_N, 2)
    _check(test_ND, test_labels_N, 1)
    train_ND, test_ND = train_ND.float(), test_ND.float()
    probe = new_probe(train_ND.shape[1], int(train_labels_N.max()) + 1, generator)
    probe.to(train_ND.device)
    optimizer = torch.optim.SGD(
        probe.parameters(), settings.lr, momentum=0.9, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, settings.drops)
    accuracies = []
    for _ in range(settings.epochs):
        probe.train()
        for rows in _batches(len(train_ND), settings.batch, generator):
            rows = rows.to(train_ND.device)
            loss = F.cross_entropy(probe(train_ND[rows]), train_labels_N[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
        accuracies.append(_accuracy(probe, test_ND, test_labels_N))
    return ProbeResult(accuracies[-1], tuple(accuracies))


def new_probe(dim: int, classes: int, generator: torch.Generator) -> nn.Sequential:
    """BatchNorm1d and a linear layer with weights N(0, 0.01) and bias 0."""
    from torch import nn

    layer = nn.Linear(dim, classes, device="meta").to_empty(device="cpu")  # no global draw
    nn.init.normal_(layer.weight, std=0.01, generator=generator)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.BatchNorm1d(dim), layer)


def _batches(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows in random order; a rest of one is left out, for batch norm needs two."""
    import torch

    for rows in torch.split(torch.randperm(count, generator=generator), batch):
        if len(rows) > 1:
            yield rows


def _accuracy(probe: nn.Module, test_ND: Tensor, test_labels_N: Tensor) -> float:
    import torch

    probe.eval()
    with torch.inference_mode():
        right_N = probe(test_ND).argmax(dim=1) == test_labels_N
    return float(right_N.double().mean())


def _check(features_ND: Tensor, labels_N: Tensor, least: int) -> None:
    fits = features_ND.ndim == 2 and labels_N.shape == features_ND.shape[:1]
    if not fits or len(features_ND) < least or int(labels_N.min()) < 0:
        raise FeatureError(
            f"Features {tuple(features_ND.shape)} with labels {tuple(labels_N.shape)}; "
            f"expected (N, D) and (N,) from 0 on, N at least {least}.",
            code="shape",
        )
    if not features_ND.isfinite().all():
        raise FeatureError(
            "The features hold NaN or infinity.",
            "Look at the encoder: its training may have diverged.",
            code="nan",
        )
