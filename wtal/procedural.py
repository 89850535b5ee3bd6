"""Untrimmed feature sequences with a known truth, made from nothing: for the demo and the tests.

    f_t = scene_v + shot_t + sum_c (a_ct P_c(phase) + x_ct X_c) + d_t P_c' + noise

Every video has a scene of its own, typical of its class, which action and background share; camera
shots; instances of its tagged actions, whose look changes over their phase (P_c); context that
comes with a class but is no action (X_c: the empty court before the dunk); and short distractors
that look like a part of some action. So a tag alone says little about when: a whole-video answer
scores next to nothing, and a network that takes the scene or the context for the action is caught.

Shapes: T snippets, D dims, C classes, 3 phases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal_features import StoreWriter, Tags, write_tags
from wtal_features.files import write_json

FloatTD = NDArray[np.float32]
FPS, STRIDE_FRAMES = 25.0, 16

CLASSES = ("cartwheel", "high jump", "juggling", "pole vault", "somersault", "tennis serve")


@dataclass(frozen=True)
class WorldConfig:
    """How large and how hard the made-up data are."""

    train: int = 60
    """Training videos."""
    test: int = 30
    """Test videos."""
    dim: int = 64
    """D."""
    shots: int = 12
    """Kinds of camera shot, shared by all videos."""
    context: float = 0.6
    """Strength of the context that comes with a class."""
    distractors: float = 0.9
    """Strength of the look-alikes outside of instances."""
    noise: float = 0.35
    """Standard deviation per dim."""


class Video(NamedTuple):
    """One made-up video."""

    name: str
    subset: str
    features_TD: FloatTD
    segments: tuple[tuple[str, int, int], ...]  # label, first snippet, one past the last


def make_videos(config: WorldConfig, generator: np.random.Generator) -> Iterator[Video]:
    """All videos, training first."""
    world = _World(config, generator)
    for i in range(config.train + config.test):
        subset = "training" if i < config.train else "test"
        yield world.video(f"video_{i:04d}", subset, i % len(CLASSES))


def write_data_set(folder: Path, config: WorldConfig, generator: np.random.Generator) -> None:
    """`folder/features` (a store), `folder/tags.csv` and `folder/annotations.json`."""
    labels: dict[str, tuple[str, ...]] = {}
    subsets: dict[str, str] = {}
    database: dict[str, Any] = {}
    seconds = STRIDE_FRAMES / FPS
    with StoreWriter(
        folder / "features",
        encoder="procedural",
        stride=STRIDE_FRAMES,
        window=STRIDE_FRAMES,
        fps=FPS,
    ) as store:
        for video in make_videos(config, generator):
            frames = len(video.features_TD) * STRIDE_FRAMES
            store.write(video.name, video.features_TD, fps=FPS, frames=frames)
            labels[video.name] = tuple(sorted({label for label, _, _ in video.segments}))
            subsets[video.name] = video.subset
            database[video.name] = {
                "subset": video.subset,
                "duration": frames / FPS,
                "annotations": [
                    {"label": label, "segment": [start * seconds, end * seconds]}
                    for label, start, end in video.segments
                ],
            }
    write_tags(folder / "tags.csv", Tags(labels, subsets))
    write_json(folder / "annotations.json", {"version": "procedural", "database": database})


class _World:
    """What the videos share: the looks of scenes, shots, actions and contexts."""

    def __init__(self, config: WorldConfig, generator: np.random.Generator) -> None:
        C, D = len(CLASSES), config.dim
        self.config, self.rng = config, generator
        self.scenes_CD = self._directions(C, D)
        self.shots_SD = self._directions(config.shots, D)
        core_C1D = self._directions(C, 1, D)
        # Phases of one action look alike in part; its context shares half of the core.
        self.phases_C3D = 0.7 * core_C1D + 0.7 * self._directions(C, 3, D)
        self.contexts_CD = 0.5 * core_C1D[:, 0] + 0.8 * self._directions(C, D)

    def _directions(self, *shape: int) -> NDArray[np.float64]:
        values = self.rng.normal(size=shape)
        unit: NDArray[np.float64] = values / np.linalg.norm(values, axis=-1, keepdims=True)
        return unit

    def video(self, name: str, subset: str, c: int) -> Video:
        """A video of class c, and of a second class one time in four."""
        config, rng = self.config, self.rng
        T = int(rng.integers(60, 220))
        classes = [c]
        if rng.random() < 0.25:
            classes.append(int((c + rng.integers(1, len(CLASSES))) % len(CLASSES)))
        x_TD = config.noise * rng.normal(size=(T, config.dim))
        x_TD += self.scenes_CD[c] + 0.7 * self._directions(1, config.dim)
        x_TD += 0.8 * self.shots_SD[self._shots(T)]
        segments, free_T = [], np.ones(T, bool)
        for k in classes:
            for _ in range(int(rng.integers(1, 5))):
                segment = self._place(free_T, int(rng.integers(4, 20)))
                if segment is not None:
                    segments.append((CLASSES[k], *segment))
                    self._act(x_TD, k, *segment)
        for k in (*classes, int(rng.integers(len(CLASSES)))):
            self._distract(x_TD, k, free_T)
        return Video(
            name, subset, x_TD.astype(np.float32), tuple(sorted(segments, key=lambda s: s[1]))
        )

    def _shots(self, T: int) -> NDArray[np.int64]:
        """Kind of camera shot of every snippet; a shot lasts 12 snippets on average."""
        cut_T = self.rng.random(T) < 1 / 12
        kinds = self.rng.integers(self.config.shots, size=T)
        return kinds[np.cumsum(cut_T)]

    def _place(self, free_T: NDArray[np.bool_], length: int) -> tuple[int, int] | None:
        """A free stretch, taken from `free_T` with four snippets around it; None if all is full."""
        room = np.convolve(free_T, np.ones(length + 8), "valid") == length + 8
        starts = np.flatnonzero(room)
        if len(starts) == 0:
            return None
        start = int(self.rng.choice(starts)) + 4
        free_T[start - 4 : start + length + 4] = False
        return start, start + length

    def _act(self, x_TD: NDArray[np.float64], c: int, start: int, end: int) -> None:
        """An instance, phase by phase, with context before and after it."""
        quality = self.rng.uniform(0.8, 1.4)
        phase_T = np.arange(end - start) * 3 // (end - start)
        x_TD[start:end] += 1.6 * quality * self.phases_C3D[c, phase_T]
        for low, high in ((start - 4, start), (end, end + 4)):
            x_TD[low:high] += self.config.context * self.contexts_CD[c]

    def _distract(self, x_TD: NDArray[np.float64], c: int, free_T: NDArray[np.bool_]) -> None:
        """A short look-alike of one phase, and a free run of context."""
        look = self._place(free_T, 3)
        if look is not None:
            x_TD[slice(*look)] += self.config.distractors * self.phases_C3D[c, 1]
        run = self._place(free_T, 12)
        if run is not None:
            x_TD[slice(*run)] += self.config.context * self.contexts_CD[c]
