"""Fine-tuning: how well an encoder classifies clips after all its weights were trained on labels.

The network, dropout and a linear layer learn with cross-entropy from one random view of each clip
per epoch. A test clip is classified by the mean softmax over all its windows, at the centre crop;
CoCLR's published figures average ten crops of each window, which is not done here.

Legend: M clips, B of a batch, n frames of a window, S the side of the square that the network sees,
D dimensions, C classes.

Source: TengdaHan/CoCLR eval/main_classifier.py, `--train_what ft`, and model/classifier.py.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from wtal_features.augment.augmentation import Augmentation, Recipe
from wtal_features.augment.recipes import coclr_base
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.errors import FeatureError
from wtal_features.preprocess import to_network
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.sampling import coclr_clip
from wtal_features.probing.clips import LabelledClip, clip_features
from wtal_features.probing.encode import check_view, prepared

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from wtal_features.encoders.catalog import TrainableNetwork

_AHEAD = 2  # batches that are drawn before they are needed


@dataclass(frozen=True)
class FinetuneSettings:
    """How a network and its classifier are trained, by Adam; the defaults are CoCLR's.

    Attributes:
        epochs: Passes over the training clips.
        batch: Clips per step.
        lr: Learning rate of the classifier.
        backbone_lr_share: That of the network, as a share of it.
        dropout: Share of the features that is put to zero in training.
        weight_decay: On all weights, added to the gradient.
        drops: The learning rate is a tenth from each of these shares of the run on.
        flip: Mirror half of the views. Turn it off where left and right are different classes.
        jitter_p: Share of the views whose colours are changed.
        loaders: Threads that read and augment clips; 0: the network waits for each batch.
    """

    epochs: int = 500
    batch: int = 32
    lr: float = 1e-3
    backbone_lr_share: float = 0.1
    dropout: float = 0.9
    weight_decay: float = 1e-3
    drops: tuple[float, ...] = (0.8, 0.9)
    flip: bool = True
    jitter_p: float = 0.3
    loaders: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        checks = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch": (self.batch >= 2, "at least 2"),
            "lr": (0 <= self.lr <= 1000, "0 to 1000"),
            "backbone_lr_share": (0 <= self.backbone_lr_share <= 1000, "0 to 1000"),
            "dropout": (0 <= self.dropout < 1, "a share of 0 to below 1"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "0 or more"),
            "drops": (all(0 <= drop <= 1 for drop in self.drops), "shares of the run, 0 to 1"),
            "jitter_p": (0 <= self.jitter_p <= 1, "a share of 0 to 1"),
            "loaders": (self.loaders >= 0, "0 or more"),
        }
        for name, (fine, expected) in checks.items():
            if not fine:
                raise FeatureError(
                    f"{name} is {getattr(self, name)!r}; expected {expected}.", code="option"
                )

    def recipe(self, pixels: Preprocess) -> Recipe:
        """What may happen to a view: a crop of a fifth or more of the picture, flip, colours.

        Args:
            pixels: Size and filter of the network's own preprocessing.
        """
        jittered = coclr_base(pixels.size)
        crop = replace(
            jittered.crop,
            flip_p=0.5 if self.flip else 0.0,
            resampling=pixels.resampling,
            antialias=pixels.antialias,
        )
        return Recipe(crop, jitter=jittered.jitter, jitter_p=self.jitter_p)


@dataclass(frozen=True)
class FineTuned:
    """A network that classifies clips, on the device where it was trained.

    Attributes:
        network: (B, C_in, T, H, W) -> (B, D, T', H', W').
        classifier: (B, D) -> (B, C).
        clip: What the network sees.
        channels: C_in.
        losses: Mean cross-entropy of each epoch.
    """

    network: nn.Module
    classifier: nn.Linear
    clip: ClipSpec
    channels: int
    losses: tuple[float, ...]

    def probabilities(
        self, store: ClipStore, clips: Sequence[LabelledClip], batch: int = 8
    ) -> Tensor:
        """Mean softmax over all windows of each clip, at the centre crop.

        Args:
            store: Has the videos of all clips.
            clips: M of them, not none.
            batch: Windows of a clip at a time.

        Returns:
            (M, C) float32.
        """
        self.network.eval()
        device = self.classifier.weight.device

        def classify(clips_BnHWC: Tensor) -> Tensor:
            squares_BnSSC = prepared(clips_BnHWC, self.clip.preprocess)
            pooled_BD = _pooled(self.network, squares_BnSSC.to(device), self.clip, self.channels)
            return self.classifier(pooled_BD).softmax(dim=1)  # type: ignore[no-any-return]

        return clip_features(
            *(store, clips, classify),
            n=self.clip.frames,
            r=self.clip.every,
            view=self.clip.view,
            batch=batch,
        )

    def accuracy(
        self, store: ClipStore, clips: Sequence[LabelledClip], labels_M: Tensor, batch: int = 8
    ) -> float:
        """Top-1 on labelled clips.

        Args:
            store: Has the videos of all clips.
            clips: M of them, not none.
            labels_M: (M,) int64; one that no training clip has is never found.
            batch: Windows of a clip at a time.
        """
        guessed_M = self.probabilities(store, clips, batch).argmax(dim=1).cpu()
        return float((guessed_M == labels_M).double().mean())


def fine_tune(
    start: TrainableNetwork,
    store: ClipStore,
    clips: Sequence[LabelledClip],
    labels_M: Tensor,
    generator: torch.Generator,
    settings: FinetuneSettings | None = None,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FineTuned:
    """Train a copy of a network, and a linear layer on it, to classify clips.

    What is random is drawn on the CPU from the generator, so that a seed means the same whatever
    the number of threads.

    Args:
        start: The network to begin with; it stays as it is.
        store: Has the videos of all clips.
        clips: M of them, at least two.
        labels_M: (M,) int64, classes from 0; C is the largest + 1.
        generator: A CPU generator: first weights, order, views, dropout.
        settings: How it is trained.
        device: Where.
        progress: Told (epochs done, epochs in all).

    Returns:
        What it was after the last epoch: nothing is chosen by test clips.

    Raises:
        FeatureError: If there are fewer than two clips, labels do not fit, the store lacks the view
            that the network sees, or the loss is not finite.
    """
    import torch
    from torch.nn import functional as F

    settings, device = settings or FinetuneSettings(), torch.device(device)
    check_view(store, start.name, start.clip)
    _check(clips, labels_M)
    network = copy.deepcopy(start.network).to(device)
    classifier = _new_classifier(start.dim, int(labels_M.max()) + 1, generator).to(device)
    optimizer = torch.optim.Adam(
        [
            {"params": network.parameters(), "lr": settings.lr * settings.backbone_lr_share},
            {"params": classifier.parameters(), "lr": settings.lr},
        ],
        weight_decay=settings.weight_decay,
    )
    views = _Views(store, clips, start.clip, settings)
    steps = settings.epochs * len(views)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimizer, [round(share * steps) for share in settings.drops]
    )
    losses = []
    with _threads(settings.loaders) as submit:
        network.train()
        for epoch in range(settings.epochs):
            sums, seen = 0.0, 0
            for rows, squares_BnSSC in views.epoch(generator, submit):
                pooled_BD = _pooled(network, squares_BnSSC.to(device), start.clip, start.channels)
                logits_BC = classifier(dropped(pooled_BD, settings.dropout, generator))
                loss = F.cross_entropy(logits_BC, labels_M[rows].to(device))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                sums, seen = sums + loss.item() * len(rows), seen + len(rows)
            losses.append(_finite(sums / seen, epoch))
            progress(epoch + 1, settings.epochs)
    return FineTuned(network, classifier, start.clip, start.channels, tuple(losses))


def dropped(x_BD: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Dropout: each value is zero with probability `share`, else divided by 1 - share.

    torch's own draws from a global generator.
    """
    import torch

    kept_BD = torch.rand(x_BD.shape, generator=generator) >= share
    return x_BD * kept_BD.to(x_BD.device) / (1 - share)


def _pooled(network: nn.Module, squares_BnSSC: Tensor, clip: ClipSpec, channels: int) -> Tensor:
    """(B, D): the mean over time and space of the last map, as an encoder gives it."""
    maps_BDTHW: Tensor = network(to_network(squares_BnSSC, clip)[:, :channels])
    return maps_BDTHW.mean(dim=(2, 3, 4))


def _new_classifier(dim: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """Weights N(0, 0.01), bias 0."""
    from torch import nn

    # Memory, without a draw from torch's global generator.
    layer = nn.Linear(dim, classes, device="meta").to_empty(device="cpu")
    nn.init.normal_(layer.weight, std=0.01, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


# Views -------------------------------------------------------------------------------------------

Submit = Callable[["Callable[[], Tensor]"], "Callable[[], Tensor]"]


@contextmanager
def _threads(count: int) -> Iterator[Submit]:
    """A function that hands work to threads; what it gives back waits for the result."""
    import torch

    if count == 0:
        yield lambda work: work
        return
    # One thread of torch in each of these: the network keeps its own.
    pool = ThreadPoolExecutor(count, "clips", initializer=partial(torch.set_num_threads, 1))
    try:
        yield lambda work: pool.submit(work).result
    finally:
        pool.shutdown(cancel_futures=True)


class _Views:
    """Random views of labelled clips."""

    def __init__(
        self,
        store: ClipStore,
        clips: Sequence[LabelledClip],
        spec: ClipSpec,
        settings: FinetuneSettings,
    ) -> None:
        self._store, self._clips, self._spec = store, clips, spec
        self._recipe, self._batch = settings.recipe(spec.preprocess), settings.batch

    def __len__(self) -> int:
        """Batches of an epoch; a rest of one clip is left out, for batch norm needs two."""
        full, rest = divmod(len(self._clips), self._batch)
        return full + (rest > 1)

    def epoch(self, generator: torch.Generator, submit: Submit) -> Iterator[tuple[Tensor, Tensor]]:
        """Every clip once, in random order: (B,) rows and (B, n, S, S, C) views."""
        import torch

        begun: deque[tuple[Tensor, list[Callable[[], Tensor]]]] = deque()
        order_M = torch.randperm(len(self._clips), generator=generator)
        for rows in torch.split(order_M, self._batch)[: len(self)]:
            works = [self._draw(self._clips[row], generator) for row in rows.tolist()]
            begun.append((rows, [submit(work) for work in works]))
            if len(begun) > _AHEAD:
                yield _stacked(*begun.popleft())
        while begun:
            yield _stacked(*begun.popleft())

    def _draw(self, clip: LabelledClip, generator: torch.Generator) -> Callable[[], Tensor]:
        """Settle one view: the window, and what happens to it."""
        info = self._store.info(clip.video)
        where = clip.grid_frames(self._store.fps, info.frames)
        window = coclr_clip(len(where), generator, self._spec.frames, self._spec.every)
        augmentation = self._recipe.draw((info.height, info.width), generator)
        return partial(self._view, clip.video, [where.start + k for k in window], augmentation)

    def _view(self, video: str, indices: list[int], augmentation: Augmentation) -> Tensor:
        """(n, S, S, C)."""
        import torch

        if self._spec.view == "motion":
            return augmentation.motion(torch.from_numpy(self._store.motion(video, indices)))
        return augmentation.frames(torch.from_numpy(self._store.frames(video, indices)))


def _stacked(rows: Tensor, works: list[Callable[[], Tensor]]) -> tuple[Tensor, Tensor]:
    import torch

    return rows, torch.stack([finish() for finish in works])


# Faults ------------------------------------------------------------------------------------------


def _check(clips: Sequence[LabelledClip], labels_M: Tensor) -> None:
    if len(clips) < 2 or labels_M.shape != (len(clips),) or int(labels_M.min()) < 0:
        raise FeatureError(
            f"{len(clips)} training clips with labels {tuple(labels_M.shape)}; expected at least "
            "two clips, and for each a label from 0 on.",
            code="shape",
        )


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise FeatureError(
            f"Fine-tuning diverged: the loss of epoch {epoch + 1} is {loss}.",
            "Lower the learning rate.",
            code="nan",
        )
    return loss
