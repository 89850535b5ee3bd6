"""Feature store + tags -> batches: which videos a step sees, and which of their snippets.

Shapes: B videos, T snippets (padded), D feature dims, C action classes, V training videos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wtal.context import Context
from wtal.errors import WtalError
from wtal.schedule import numpy_generator
from wtal_features import FeatureError, FeatureStore

FloatTD = NDArray[np.float32]
IntT = NDArray[np.int64]

TRAIN_NAMES = ("training", "train", "validation")  # THUMOS14 trains on what it calls validation


@dataclass(frozen=True)
class DataConfig:
    """Which part of the store is seen, and at which temporal resolution."""

    streams: tuple[str, ...] = ()
    """Sub-folders of the store, joined in this order; empty: all, `rgb` before `flow`."""
    train_subset: str = "auto"
    """Subset of the tags or annotations to train on; `auto`: training, train or validation, the
    first that is present; everything where no subset is named."""
    resample: Literal["native", "grid"] = "native"
    """`native`: every snippet, once. `grid`: `length` bins per video, as published."""
    length: int = 750
    """Bins per video under `grid`: 750 THUMOS14, 200 ActivityNet."""
    max_snippets: int = 3000
    """Under `native`, a longer training video is sampled down to this many bins; 0: never."""
    cache_mb: int = 4096
    """Training features are kept in memory if they fit in this many MiB, else read at each use."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.length < 1:
            raise WtalError(f"data.length is {self.length}; expected at least 1.")
        if self.max_snippets < 0 or self.cache_mb < 0:
            raise WtalError("data.max_snippets and data.cache_mb must be at least 0.")


class Batch(NamedTuple):
    """One step's input."""

    features_BTD: Tensor  # float32, zero at padding
    mask_BT: Tensor  # bool, True at valid snippets, a prefix of each row
    labels_BC: Tensor  # float32, 1 where the video has the tag
    videos_B: Tensor  # int64, which of the training videos
    positions_BT: Tensor  # int64, which snippet of its video a bin shows; 0 at padding

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(part.to(device) for part in self))


def grid_positions(n: int, T: int) -> IntT:
    """Test sampling: s_t = floor(t n / T); the identity if n = T."""
    return np.arange(T) * n // T


def jittered_positions(n: int, T: int, generator: np.random.Generator) -> IntT:
    """Train sampling: s_t uniform in {floor(t n/T), ..., min(floor((t+1) n/T), n-1)}."""
    low = grid_positions(n, T)
    high = np.minimum(np.arange(1, T + 1) * n // T, n - 1)
    return generator.integers(low, high, endpoint=True)


def bins_of(n: int, config: DataConfig, *, training: bool) -> int:
    """T for a video of n snippets."""
    if config.resample == "grid":
        return config.length
    return min(n, config.max_snippets) if training and config.max_snippets else n


def select_subset(
    subsets: Mapping[str, str | None], wanted: str, source: str
) -> tuple[list[str], str | None]:
    """Videos of the training subset, sorted, and the name that was chosen.

    Args:
        subsets: video -> its subset, None where none is named.
        wanted: `data.train_subset`.
        source: file name for the message.
    """
    names = {subset for subset in subsets.values() if subset is not None}
    if wanted == "auto":
        if not names:
            return sorted(subsets), None
        by_lower = {name.lower(): name for name in sorted(names, reverse=True)}
        found = [by_lower[name] for name in TRAIN_NAMES if name in by_lower]
        wanted = found[0] if found else ""
    if wanted not in names:
        present = ", ".join(sorted(names)) or "none"
        raise WtalError(
            f"{source} has no subset to train on; present: {present}. "
            "Name one with -o data.train_subset=NAME."
        )
    return sorted(video for video, subset in subsets.items() if subset == wanted), wanted


@dataclass(frozen=True)
class TrainingVideos:
    """Checked videos of one subset, ready to be sampled.

    Args:
        names: V video ids, sorted.
        labels_VC: float32, 1 where the video has the tag.
        classes: C class names, sorted.
        read: video -> (n, D) float32, in context where the run has one.
    """

    names: tuple[str, ...]
    labels_VC: NDArray[np.float32]
    classes: tuple[str, ...]
    read: Callable[[str], FloatTD]

    def subset(self, keep_V: NDArray[np.bool_]) -> TrainingVideos:
        """The videos where `keep_V` is True; the classes stay."""
        names = tuple(name for name, keep in zip(self.names, keep_V, strict=True) if keep)
        return TrainingVideos(names, self.labels_VC[keep_V], self.classes, self.read)


def open_training_videos(
    store: FeatureStore,
    labels: Mapping[str, Sequence[str]],
    names: Sequence[str],
    config: DataConfig,
    progress: Callable[[Sequence[str]], Sequence[str]] = lambda names: names,
    context: Context | None = None,
) -> tuple[TrainingVideos, dict[str, str]]:
    """Read every training video once, so that a bad file is known before hours are spent.

    Args:
        store: features.
        labels: video -> its tags.
        names: videos to read.
        config: how much is kept in memory.
        progress: goes through the names.
        context: refines every video as it is read; None: rows stay as stored.

    Returns:
        The videos that are sound, and video -> fault for the others.

    Raises:
        WtalError: none is sound, or none has a tag.
    """
    faults: dict[str, str] = {}
    cache: dict[str, FloatTD] = {}
    budget, sound = config.cache_mb * 2**20, []

    def from_store(name: str) -> FloatTD:
        raw_TD = store.read(name)
        return raw_TD if context is None else context.rows(raw_TD)

    for name in progress(names):
        try:
            features_TD = from_store(name)
        except FeatureError as error:
            faults[name] = str(error)
            continue
        sound.append(name)
        if budget > 0:
            cache[name] = features_TD
            budget -= features_TD.nbytes
    if budget <= 0 and context is None:
        cache.clear()  # else what fits stays: to refine costs more than to read
    if not sound:
        first = next(iter(faults.values()), "no video is named")
        raise WtalError(f"No training video can be read, of {len(names)}. The first fault: {first}")
    classes = tuple(sorted({label for name in sound for label in labels[name]}))
    if not classes:
        raise WtalError(f"None of the {len(sound)} training videos has a tag; nothing to learn.")
    labels_VC = np.array([[c in labels[name] for c in classes] for name in sound], np.float32)

    def read(name: str) -> FloatTD:
        return cache[name] if name in cache else from_store(name)

    return TrainingVideos(tuple(sound), labels_VC, classes, read), faults


def collate(
    features: Sequence[FloatTD],
    positions: Sequence[IntT],
    labels_BC: NDArray[np.float32],
    videos_B: IntT,
) -> Batch:
    """Pad to the longest video of the batch."""
    T = max(len(each) for each in features)
    features_BTD = torch.zeros(len(features), T, features[0].shape[1])
    mask_BT = torch.zeros(len(features), T, dtype=torch.bool)
    positions_BT = torch.zeros(len(features), T, dtype=torch.int64)
    for b, (each, position_T) in enumerate(zip(features, positions, strict=True)):
        features_BTD[b, : len(each)] = torch.from_numpy(each)
        positions_BT[b, : len(each)] = torch.from_numpy(position_T)
        mask_BT[b, : len(each)] = True
    labels, videos = torch.from_numpy(labels_BC), torch.from_numpy(videos_B)
    return Batch(features_BTD, mask_BT, labels, videos, positions_BT)


@lru_cache(maxsize=2)  # every step asks for the order of its epoch: V/B times V numbers
def _order(seed: int, epoch: int, videos: int) -> IntT:
    """A permutation of the videos; not to be written to."""
    order = numpy_generator(seed, "order", epoch).permutation(videos)
    order.flags.writeable = False
    return order


@dataclass(frozen=True)
class Sampler:
    """The batch of any step, as a function of the step alone.

    Args:
        videos: what to draw from.
        config: temporal resolution.
        batch_size: B; the last batch of an epoch may be smaller.
        seed: of the run.
        restart_epochs: quirk of the released code, see compat.py.
        repeat_jitter: quirk of the released code, see compat.py.
    """

    videos: TrainingVideos
    config: DataConfig
    batch_size: int
    seed: int
    restart_epochs: bool = False
    repeat_jitter: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Steps until every video was seen once."""
        return -(-len(self.videos.names) // self.batch_size)

    def indices(self, step: int) -> IntT:
        """Which videos a step sees: (B,) indices."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self.restart_epochs and epoch > 0:
            epoch, batch = step, 0  # a fresh shuffle of which only the first batch is used
        order = _order(self.seed, epoch, len(self.videos.names))
        return order[batch * self.batch_size : (batch + 1) * self.batch_size].copy()

    def batch(self, step: int) -> Batch:
        """The batch of a step (the first is 0)."""
        indices_B = self.indices(step)
        jitter = numpy_generator(self.seed, "jitter", 0 if self.repeat_jitter else step)
        sampled = [self._sample(self.videos.names[i], jitter) for i in indices_B]
        features, positions = zip(*sampled, strict=True)
        return collate(features, positions, self.videos.labels_VC[indices_B], indices_B)

    def _sample(self, name: str, jitter: np.random.Generator) -> tuple[FloatTD, IntT]:
        """Bins of one video and the snippets that they show."""
        features_TD = self.videos.read(name)
        n = len(features_TD)
        T = bins_of(n, self.config, training=True)
        # The published grid jitters even where T = n; a native video is seen as it is.
        if n == T and self.config.resample == "native":
            return features_TD, np.arange(n)
        positions_T = jittered_positions(n, T, jitter)
        return features_TD[positions_T], positions_T
