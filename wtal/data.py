"""Feature store + tags -> batches: which videos a step sees, and which of their snippets.

Shapes: B videos, T snippets (padded), D feature dims, C action classes, V training videos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wtal.context import Context
from wtal.errors import WtalError
from wtal.part import Part
from wtal.peers import ALONE, Peers
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
    """Training features are kept in memory if they fit in this many MiB, else read at each use; of
    several processes, each keeps its own copy."""

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
        counts: video -> n, where it is known without reading.
    """

    names: tuple[str, ...]
    labels_VC: NDArray[np.float32]
    classes: tuple[str, ...]
    read: Callable[[str], FloatTD]
    counts: Mapping[str, int] = field(default_factory=dict)

    def length(self, name: str) -> int:
        """Snippets of a video."""
        return self.counts[name] if name in self.counts else len(self.read(name))

    def subset(self, keep_V: NDArray[np.bool_]) -> TrainingVideos:
        """The videos where `keep_V` is True; the classes stay."""
        names = tuple(name for name, keep in zip(self.names, keep_V, strict=True) if keep)
        return TrainingVideos(names, self.labels_VC[keep_V], self.classes, self.read, self.counts)


class _Reader:
    """Reads videos, and keeps in memory those it read first.

    Args:
        store: features.
        context: refines every video; None: rows stay as stored.
        room: bytes in memory.
    """

    def __init__(self, store: FeatureStore, context: Context | None, room: int) -> None:
        self.store, self.context, self.room = store, context, room
        self.kept: dict[str, FloatTD] = {}

    def __call__(self, name: str) -> FloatTD:
        """(n, D) float32."""
        if name in self.kept:
            return self.kept[name]
        rows_TD = self.store.read(name)
        if self.context is not None:
            rows_TD = self.context.rows(rows_TD)
        if self.room > 0:
            self.kept[name] = rows_TD
            self.room -= rows_TD.nbytes
        return rows_TD

    def keep_nothing(self) -> None:
        """Read at each use."""
        self.kept, self.room = {}, 0


def open_training_videos(
    store: FeatureStore,
    labels: Mapping[str, Sequence[str]],
    names: Sequence[str],
    config: DataConfig,
    progress: Callable[[Sequence[str]], Sequence[str]] = lambda names: names,
    context: Context | None = None,
    peers: Peers = ALONE,
) -> tuple[TrainingVideos, dict[str, str]]:
    """Read every training video once, so that a bad file is known before hours are spent.

    Args:
        store: features.
        labels: video -> its tags.
        names: videos to read.
        config: how much is kept in memory.
        progress: goes through the names.
        context: refines every video as it is read; None: rows stay as stored.
        peers: processes that read a share of the videos each, and tell the others.

    Returns:
        The videos that are sound, and video -> fault for the others.

    Raises:
        WtalError: none is sound, or none has a tag.
    """
    budget = config.cache_mb * 2**20
    read = _Reader(store, context, budget)
    own_faults: dict[str, str] = {}
    own_counts: dict[str, int] = {}
    size = 0
    for name in progress(names[peers.rank :: peers.size]):
        try:
            rows_TD = read(name)
        except FeatureError as error:
            own_faults[name] = str(error)
            continue
        own_counts[name] = len(rows_TD)
        size += rows_TD.nbytes
    told = peers.gather_objects((own_faults, own_counts, size))
    all_faults = {name: fault for each, _, _ in told for name, fault in each.items()}
    counts = {name: n for _, each, _ in told for name, n in each.items()}
    if sum(each for _, _, each in told) >= budget and context is None:
        read.keep_nothing()  # else what fits stays: to refine costs more than to read
    faults = {name: all_faults[name] for name in names if name in all_faults}
    sound = [name for name in names if name in counts]
    if not sound:
        first = next(iter(faults.values()), "no video is named")
        raise WtalError(f"No training video can be read, of {len(names)}. The first fault: {first}")
    classes = tuple(sorted({label for name in sound for label in labels[name]}))
    if not classes:
        raise WtalError(f"None of the {len(sound)} training videos has a tag; nothing to learn.")
    labels_VC = np.array([[c in labels[name] for c in classes] for name in sound], np.float32)
    return TrainingVideos(tuple(sound), labels_VC, classes, read, counts), faults


def collate(
    features: Sequence[FloatTD],
    positions: Sequence[IntT],
    labels_BC: NDArray[np.float32],
    videos_B: IntT,
    dim: int | None = None,
) -> Batch:
    """Pad to the longest video of the batch; `dim` is D, for a part without videos."""
    T = max((len(each) for each in features), default=0)
    dim = features[0].shape[1] if dim is None else dim
    features_BTD = torch.zeros(len(features), T, dim)
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

    def part(self, step: int, peers: Peers = ALONE) -> Part:
        """Which videos of a step's batch this process sees."""
        indices_B = self.indices(step)
        counts = [self.videos.length(self.videos.names[i]) for i in indices_B]
        lengths = [bins_of(n, self.config, training=True) for n in counts]
        return Part.of(indices_B, lengths, peers)

    def batch(self, step: int, part: Part | None = None) -> Batch:
        """The batch of a step (the first is 0), or the part of it that this process sees."""
        indices_B = self.indices(step)
        first, last = (0, len(indices_B)) if part is None else (part.first, part.last)
        jitter = numpy_generator(self.seed, "jitter", 0 if self.repeat_jitter else step)
        names = [self.videos.names[i] for i in indices_B]
        for name in names[:first]:  # so that what follows is drawn as in the whole batch
            self._positions(self.videos.length(name), jitter)
        features, positions = [], []
        for name in names[first:last]:
            rows_TD = self.videos.read(name)
            chosen_T = self._positions(len(rows_TD), jitter)
            features.append(rows_TD if chosen_T is None else rows_TD[chosen_T])
            positions.append(np.arange(len(rows_TD)) if chosen_T is None else chosen_T)
        own_B = indices_B[first:last]
        dim = (features[0] if features else self.videos.read(names[0])).shape[1]
        return collate(features, positions, self.videos.labels_VC[own_B], own_B, dim)

    def _positions(self, n: int, jitter: np.random.Generator) -> IntT | None:
        """Which of the n snippets of a video its bins show; None: all, as they are."""
        T = bins_of(n, self.config, training=True)
        # The published grid jitters even where T = n; a native video is seen as it is.
        if n == T and self.config.resample == "native":
            return None
        return jittered_positions(n, T, jitter)
