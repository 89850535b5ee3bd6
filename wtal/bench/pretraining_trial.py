"""One run of a method on moving textures: trained, and what it has learned.

Shapes: V videos, B clips, n frames, S side, C channels, D features.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from wtal.bench.rows import Figures
from wtal.bench.textures import CLASSES, moving_textures
from wtal_features.encoders.catalog import load_encoder
from wtal_features.encoders.encoder import Encoder, NetworkEncoder
from wtal_features.encoders.untrained import settle
from wtal_features.methods.catalog import plan_of
from wtal_features.methods.folder import METRICS, folder_of
from wtal_features.methods.loop import pretrain
from wtal_features.methods.networks import STREAMS, network_input
from wtal_features.methods.settings import RunConfig
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.randomness import generator_of
from wtal_features.probing.encode import prepared
from wtal_features.probing.retrieval import recalls

SETTLED = 64  # training clips that set the batch norm of a network before training
BATCH = 64  # clips that are encoded at a time
START = 1  # of the clips that are encoded; the first frame has no motion
LAST = 20  # steps whose loss is the loss at the end


@dataclass(frozen=True)
class Toy:
    """The data of a seed; see `moving_textures`.

    Attributes:
        train, test: Videos to learn from, and held out.
        side: Of a frame, in pixels.
        frames: Of a video.
        turn: Radians by which the direction turns per frame.
        scenes: Mean colours; with several, a class is a direction and a scene.
    """

    train: int = 256
    test: int = 128
    side: int = 48
    frames: int = 24
    turn: float = 0.0
    scenes: int = 1

    @property
    def classes(self) -> int:
        """Directions, times scenes."""
        return CLASSES * self.scenes

    def stores(self, folder: Path, seed: int) -> dict[str, ClipStore]:
        """`train` and `test`, of different textures; written where they are not yet."""
        generator = torch.Generator().manual_seed(seed)
        found = {}
        for name, count in (("train", self.train), ("test", self.test)):
            toy = moving_textures(
                count, generator, side=self.side, turn=self.turn, scenes=self.scenes
            )
            form = f"{seed}-{count}x{self.frames}x{self.side}-{self.turn:.3f}-{self.scenes}"
            place = folder / f"{form}-{name}"
            there = place.exists()
            found[name] = ClipStore(place) if there else toy.store(place, self.frames)
        return found


STRAIGHT = Toy()


@dataclass(frozen=True)
class Trial:
    """One method with settings for the toy.

    Attributes:
        method: A name of `METHODS`.
        config: Of the method.
        losses: Those of metrics.jsonl that are shown.
        toy: What it is trained on.
        beside: Name of an earlier trial that it is compared with -> how that is called.
    """

    method: str
    config: Any
    losses: tuple[str, ...] = ("loss",)
    toy: Toy = STRAIGHT
    beside: Mapping[str, str] = field(default_factory=dict)

    def run(self, folder: Path, name: str, seed: int) -> Figures:
        """Train once.

        Returns:
            Losses at the end by their names in metrics.jsonl; R@1 of each stream as `rgb`, `flow`;
            `untrained rgb` and `started rgb`: before training, and after its first stage where
            there are several.
        """
        stores, classes = self.toy.stores(folder, seed), self.toy.classes
        train = stores["train"]
        run = RunConfig(seed=seed, loaders=0, log_every=1, save_every=10**6)
        labels = {video: (class_of(video, classes),) for video in train.videos}
        plan = plan_of(self.method, replace(self.config, run=run), train, labels=labels)
        out = folder / f"{name}-{seed}.safetensors"
        files = pretrain(plan, out).files
        figures = dict(last_losses(folder_of(out) / METRICS, self.losses))
        for number, file in enumerate(files):
            encoder = load_encoder(str(file))[0]
            stream = STREAMS[encoder.clip.view]
            figures[stream] = nearest_share(stores, encoder, classes)
            before = self._untrained(encoder, generator_of(seed, "weights", number), train)
            figures[f"untrained {stream}"] = nearest_share(stores, before, classes)
            for first in folder_of(out).glob(f"stages/*-{stream}-infonce.safetensors"):
                figures[f"started {stream}"] = nearest_share(
                    stores, load_encoder(str(first))[0], classes
                )
        return figures

    def _untrained(
        self, encoder: Encoder, generator: torch.Generator, store: ClipStore
    ) -> NetworkEncoder:
        """The network that a stage began with; its batch norm is set by clips of training."""
        clip, network = encoder.clip, self.config.network
        backbone = network.build(clip.view, generator)
        settle(backbone, network_input(clips_of(store, encoder, store.videos[:SETTLED]), clip))
        channels = 2 if clip.view == "motion" else 3
        return NetworkEncoder(network.arch, backbone, encoder.dim, clip, channels=channels)


# What is measured of a run ------------------------------------------------------------------------


def class_of(video: str, classes: int) -> int:
    """The class of a video of a toy's store, from its name: directions first, then scenes."""
    return int(video[1:]) % classes


def clips_of(store: ClipStore, encoder: Encoder, videos: Sequence[str]) -> torch.Tensor:
    """(B, n, S, S, C): one clip of each video, cut as extraction does it."""
    spec = encoder.clip
    moments = [START + k * spec.every for k in range(spec.frames)]
    read = store.frames if spec.view == "rgb" else store.motion
    clips = torch.stack([torch.from_numpy(read(video, moments)) for video in videos])
    return prepared(clips if spec.view == "rgb" else clips.float(), spec.preprocess)


def features(store: ClipStore, encoder: Encoder) -> torch.Tensor:
    """(V, D) of all videos."""
    starts = range(0, len(store.videos), BATCH)
    parts = [store.videos[start : start + BATCH] for start in starts]
    return torch.cat([encoder.encode(clips_of(store, encoder, part)) for part in parts])


def nearest_share(stores: Mapping[str, ClipStore], encoder: Encoder, classes: int) -> float:
    """R@1: held-out clips ask, training clips answer."""
    query, gallery = (features(stores[name], encoder) for name in ("test", "train"))
    asked, found = (
        torch.tensor([class_of(video, classes) for video in stores[name].videos])
        for name in ("test", "train")
    )
    return recalls(query, asked, gallery, found, (1,))[1]


def last_losses(path: Path, names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Means over the last steps of a run."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    last = [line for line in lines if line["stage"] == lines[-1]["stage"]][-LAST:]
    for name in names:
        yield name, statistics.fmean(line[name] for line in last if name in line)
