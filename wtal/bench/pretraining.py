"""`pretrain`: every self-supervised method learns on toys whose truth is known, from several seeds.

A seed makes textures that move (see `textures`), 256 to train on and 128 that are held out, and the
first weights. What is learned shows in retrieval: how many held-out clips have a clip of their own
class, which is a direction, as their nearest training clip. Beside it stand the same network before
training, chance, and what a method is said to be better than. The last row says how much of a step
the network waits for data.

A value is a mean over the seeds; the words of its reference hold the standard deviations, and of
two figures of the same seeds that of their difference.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from wtal.bench.rows import Plan, Row
from wtal.bench.textures import CLASSES, moving_textures
from wtal_features.encoders.catalog import load_encoder
from wtal_features.encoders.encoder import Encoder, NetworkEncoder
from wtal_features.encoders.untrained import settle
from wtal_features.methods.catalog import plan_of
from wtal_features.methods.cmd import CMDConfig, FutureConfig
from wtal_features.methods.coclr import CoCLRConfig, MiningConfig
from wtal_features.methods.cvrl import CVRLConfig
from wtal_features.methods.folder import METRICS, folder_of
from wtal_features.methods.infonce import InfoNCEConfig
from wtal_features.methods.loop import pretrain
from wtal_features.methods.networks import STREAMS, NetworkConfig, network_input
from wtal_features.methods.queued import QueueConfig
from wtal_features.methods.settings import ClipConfig, OptimConfig, RunConfig
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.randomness import generator_of
from wtal_features.probing.encode import prepared
from wtal_features.probing.retrieval import recalls

Figures = Mapping[str, float]

SETTLED = 64  # training clips that set the batch norm of a network before training
BATCH = 64  # clips that are encoded at a time
START = 1  # of the clips that are encoded; the first frame has no motion
LAST = 20  # steps whose loss is the loss at the end


@dataclass(frozen=True)
class Toy:
    """The data of a seed: textures that go straight on, or turn steadily."""

    train: int = 256
    test: int = 128
    side: int = 48
    frames: int = 24
    turn: float = 0.0  # radians per frame
    tint: float = 0.0  # see `moving_textures`

    def stores(self, folder: Path, seed: int) -> dict[str, ClipStore]:
        """`train` and `test`, of different textures; written where they are not yet."""
        generator = torch.Generator().manual_seed(seed)
        found = {}
        for name, count in (("train", self.train), ("test", self.test)):
            toy = moving_textures(count, generator, side=self.side, turn=self.turn, tint=self.tint)
            place = folder / f"{seed}-{self.turn:.2f}-{self.tint:.2f}-{name}"
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
        stores = self.toy.stores(folder, seed)
        train = stores["train"]
        run = RunConfig(seed=seed, loaders=0, log_every=1, save_every=10**6)
        labels = {video: (direction(video),) for video in train.videos}
        plan = plan_of(self.method, replace(self.config, run=run), train, labels=labels)
        out = folder / f"{name}-{seed}.safetensors"
        files = pretrain(plan, out).files
        figures = dict(last_losses(folder_of(out) / METRICS, self.losses))
        for number, file in enumerate(files):
            encoder = load_encoder(str(file))[0]
            stream = STREAMS[encoder.clip.view]
            figures[stream] = nearest_share(stores, encoder)
            before = self._untrained(encoder, generator_of(seed, "weights", number), train)
            figures[f"untrained {stream}"] = nearest_share(stores, before)
            if self.toy.tint:
                figures["scene"] = own_share(stores["test"], encoder)
                figures["untrained scene"] = own_share(stores["test"], before)
            for first in folder_of(out).glob(f"stages/*-{stream}-infonce.safetensors"):
                figures[f"started {stream}"] = nearest_share(stores, load_encoder(str(first))[0])
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


def direction(video: str) -> int:
    """The class of a video of a toy's store, from its name."""
    return int(video[1:]) % CLASSES


def clips_of(
    store: ClipStore, encoder: Encoder, videos: Sequence[str], start: int = START
) -> torch.Tensor:
    """(B, n, S, S, C): one clip of each video, cut as extraction does it."""
    spec = encoder.clip
    moments = [start + k * spec.every for k in range(spec.frames)]
    read = store.frames if spec.view == "rgb" else store.motion
    clips = torch.stack([torch.from_numpy(read(video, moments)) for video in videos])
    return prepared(clips if spec.view == "rgb" else clips.float(), spec.preprocess)


def features(store: ClipStore, encoder: Encoder, start: int = START) -> torch.Tensor:
    """(V, D) of all videos."""
    begins = range(0, len(store.videos), BATCH)
    parts = [store.videos[begin : begin + BATCH] for begin in begins]
    return torch.cat([encoder.encode(clips_of(store, encoder, part, start)) for part in parts])


def nearest_share(stores: Mapping[str, ClipStore], encoder: Encoder) -> float:
    """R@1 of directions: held-out clips ask, training clips answer."""
    query, gallery = (features(stores[name], encoder) for name in ("test", "train"))
    labels = {
        name: torch.tensor([direction(video) for video in store.videos])
        for name, store in stores.items()
    }
    return recalls(query, labels["test"], gallery, labels["train"], (1,))[1]


def own_share(store: ClipStore, encoder: Encoder) -> float:
    """R@1 of videos: the first clip of each asks, the last ones answer."""
    last = store.info(store.videos[0]).frames - encoder.clip.span
    query, gallery = (features(store, encoder, start) for start in (START, last))
    labels = torch.arange(len(store.videos))
    return recalls(query, labels, gallery, labels, (1,))[1]


def last_losses(path: Path, names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Means over the last steps of a run."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    last = [line for line in lines if line["stage"] == lines[-1]["stage"]][-LAST:]
    for name in names:
        yield name, statistics.fmean(line[name] for line in last if name in line)


# Settings -----------------------------------------------------------------------------------------

NETWORK = NetworkConfig("c3d", 0.125)
CLIPS = ClipConfig(8, 1, 32, flip=False, piece_s="whole")  # a flip would swap two classes
PLAIN = replace(CLIPS, colour=0.0)  # strong blur would leave nothing of textures this fine
ADAM = OptimConfig(epochs=1, steps=60, batch=32, lr=1e-3)
QUEUE = QueueConfig(slots=128, momentum=0.99)
BENDING = Toy(frames=48, turn=2 * math.pi / 96)
TURNING = Toy(frames=48, turn=2 * math.pi / 32, tint=1.0)


def chance(config: Any) -> dict[str, tuple[float, str]]:
    """Losses of a network that tells nothing apart: value, and formula."""
    if isinstance(config, CMDConfig):
        B, clips = config.optim.batch, 1 + config.future.negatives
        motion = math.log(clips * _POINTS * B), f"ln({clips} P B), chance"
        return {"motion": motion, "context": (math.log(B), "ln B, chance")}
    if isinstance(config, CVRLConfig):
        return {"loss": (2 * math.log(2 * config.optim.batch - 1), "2 ln(2 B - 1), chance")}
    K = config.queue.slots
    if isinstance(config, CoCLRConfig):
        top = config.mining.top
        return {"loss": (math.log((K + 1) / top), f"ln((K + 1) / {top}), chance")}
    return {"loss": (math.log(K + 1), "ln(K + 1), chance")}


def trials() -> dict[str, Trial]:
    """What is trained; names begin with the method."""
    queued = InfoNCEConfig(network=NETWORK, clips=CLIPS, queue=QUEUE, optim=ADAM)
    cotrained = CoCLRConfig(
        network=NETWORK,
        clips=CLIPS,
        queue=QUEUE,
        mining=MiningConfig(top=20),
        init=replace(ADAM, steps=20),
        cycle=replace(ADAM, steps=80),
        cycles=1,
    )
    near = CVRLConfig(network=NETWORK, clips=PLAIN, optim=ADAM)
    return {
        "infonce": Trial("infonce", queued),
        "ubernce": Trial("ubernce", queued),
        "coclr": Trial("coclr", cotrained),
        "cvrl, uniform": Trial("cvrl", replace(near, power="uniform"), toy=BENDING),
        "cvrl, decreasing": Trial(
            "cvrl", near, toy=BENDING, beside={"cvrl, uniform": "the uniform sampler"}
        ),
        "cmd, motion alone": _foreseeing("motion"),
        "cmd, context alone": _foreseeing("context"),
        "cmd, joint": replace(
            _foreseeing("motion", "context"),
            beside={"cmd, motion alone": "motion alone", "cmd, context alone": "context alone"},
        ),
    }


FORESEEING = CMDConfig(
    network=NETWORK,
    clips=PLAIN,
    future=FutureConfig(frames=4, negatives=2),
    optim=replace(ADAM, steps=120, lr=2e-3),
)
_POINTS = 4  # places of a map of motion: 4 x 32 x 32 px, strides 8, 16, 16


def _foreseeing(*tasks: str) -> Trial:
    """CMD with one of its two tasks, or with both."""
    future = replace(
        FORESEEING.future,
        motion_weight=float("motion" in tasks),
        context_weight=float("context" in tasks),
    )
    return Trial("cmd", replace(FORESEEING, future=future), tasks, TURNING)


def quick_trials() -> dict[str, Trial]:
    """The same with a few steps on a few videos."""
    return {name: _quick(trial) for name, trial in trials().items()}


def _quick(trial: Trial) -> Trial:
    parts = vars(trial.config)
    short = {
        name: replace(parts[name], steps=4, batch=4)
        for name in ("optim", "init", "cycle")
        if name in parts
    }
    if "queue" in parts:
        short["queue"] = replace(parts["queue"], slots=8)
    config = replace(trial.config, **short)
    toy = replace(trial.toy, train=16, test=32, side=32)
    return replace(trial, config=config, toy=toy)


# Rows ---------------------------------------------------------------------------------------------


def sd(values: Sequence[float]) -> str:
    """Standard deviation over the seeds, as a word; of one there is none."""
    return f"{statistics.stdev(values):.3f}" if len(values) > 1 else "-"


def row(
    plan: Plan,
    name: str,
    unit: str,
    values: Sequence[float],
    words: str,
    references: Sequence[float] | float,
) -> Row:
    """A mean over the seeds beside that of its reference, or a constant."""
    spread = f"sd {sd(values)}"
    if isinstance(references, Sequence):
        gains = [value - other for value, other in zip(values, references, strict=True)]
        spread += f" against {sd(references)}, of the difference {sd(gains)}"
        reference = statistics.fmean(references)
    else:
        reference = references
    value = statistics.fmean(values)
    return Row(
        name=f"pretrain: {name}",
        value=value,
        unit=unit,
        reference=f"{words}; {spread}",
        reference_value=reference,
        ratio=value / reference,
        repeats=len(values),
        spread=(min(values), max(values)),
        machine=plan.machine,
    )


class Runs(NamedTuple):
    """A trial and what each seed gave."""

    trial: Trial
    figures: list[Figures]

    def of(self, name: str) -> list[float]:
        """One figure of every seed."""
        return [figures[name] for figures in self.figures]

    @property
    def retrieved(self) -> dict[str, tuple[str, float]]:
        """Figure of retrieval -> its words, and chance."""
        words = {
            "rgb": ("R@1 of rgb", 1 / CLASSES),
            "flow": ("R@1 of flow", 1 / CLASSES),
            "scene": ("R@1 of the own video", 1 / self.trial.toy.test),
        }
        return {name: words[name] for name in words if name in self.figures[0]}


def learned(plan: Plan, folder: Path) -> Iterator[Row]:
    """Train everything; rows of each method follow its last seed."""
    done: dict[str, Runs] = {}
    for name, trial in (quick_trials() if plan.quick else trials()).items():
        seeds = tqdm(range(plan.repeats), name, leave=False, disable=plan.quiet or None)
        done[name] = runs = Runs(trial, [trial.run(folder, name, seed) for seed in seeds])
        for figure, (words, guess) in runs.retrieved.items():
            title, values = f"{name}, {words}", runs.of(figure)
            yield row(plan, title, "share", values, "chance", guess)
            for reference, references in _beside(figure, runs, done):
                yield row(plan, title, "share", values, reference, references)
        for loss in trial.losses:
            value, words = chance(trial.config)[loss]
            yield row(plan, f"{name}, {loss} at the end", "nat", runs.of(loss), words, value)


def _beside(
    figure: str, runs: Runs, done: Mapping[str, Runs]
) -> Iterator[tuple[str, Sequence[float]]]:
    """What a figure of retrieval is compared with, and the values of the same seeds."""
    yield "the network untrained", runs.of(f"untrained {figure}")
    if f"started {figure}" in runs.figures[0]:
        yield "its own InfoNCE start", runs.of(f"started {figure}")
    for other, words in runs.trial.beside.items():
        if figure in done[other].retrieved:
            yield words, done[other].of(figure)


# Waiting ------------------------------------------------------------------------------------------

BIG = Toy(train=32, test=4, side=128, frames=40)
THREADS = 2  # that draw clips


def waiting(plan: Plan, folder: Path) -> Iterator[Row]:
    """The share of a step in which the network waits for clips of 128-px frames."""
    toy = Toy(train=8, test=4, side=40, frames=24) if plan.quick else BIG
    store = toy.stores(folder, 0)["train"]
    drawn = partial(_waited, store, folder, quick=plan.quick)
    taken = plan.alternate(
        {str(loaders): partial(drawn, loaders) for loaders in (THREADS, 0)},
        label="waiting",
        warm_up=False,
    )
    ours, plain = (taken[str(loaders)]["waited"] for loaders in (THREADS, 0))
    title = f"share of a step that waits for data, {THREADS} threads draw"
    yield row(plan, title, "share", ours, "clips drawn by the thread that trains", plain)


def _waited(store: ClipStore, folder: Path, loaders: int, *, quick: bool) -> Figures:
    """Train for a while; the first lines of metrics.jsonl tell of warming up, and are left out."""
    network = NetworkConfig("s3d", 0.125 if quick else 0.25)
    clips = ClipConfig(8, 1, 32) if quick else ClipConfig(16, 1, 64)
    optim = OptimConfig(epochs=1, steps=4 if quick else 30, batch=4 if quick else 16)
    run = RunConfig(loaders=loaders, log_every=2 if quick else 5, save_every=10**6)
    config = InfoNCEConfig(
        network=network, clips=clips, queue=QueueConfig(slots=64), optim=optim, run=run
    )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        out = Path(place) / "waiting.safetensors"
        pretrain(plan_of("infonce", config, store), out)
        lines = (folder_of(out) / METRICS).read_text().splitlines()
    return {"waited": statistics.fmean(json.loads(line)["waited"] for line in lines[1:])}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def measure(plan: Plan) -> Iterator[Row]:
    """Every method on its toy, then the waiting."""
    with tempfile.TemporaryDirectory(prefix="wtal-bench-") as folder:
        with _one_thread():
            yield from learned(plan, Path(folder))
        yield from waiting(plan, Path(folder))
