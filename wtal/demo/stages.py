"""The stages of the demo after the videos: encoder, features, two networks, their scores, the page.

Every stage is the public function behind the command of its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import wtal_eval
from wtal import extract, pretrain
from wtal.config import load_config
from wtal.demo.filming import FPS
from wtal.demo.settings import METHOD
from wtal.errors import Stopped
from wtal.inputs import labels_of, videos_of
from wtal.localize import Localizer
from wtal.pipeline import Telling
from wtal.readings import count_readings
from wtal.report import Cost, make_report
from wtal.results import write_results
from wtal.runs import DETECTIONS_FILE
from wtal.training import train
from wtal_eval import Evaluation, read_annotations
from wtal_features import open_store

STRIDE = FPS // 2  # a snippet is half a second
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Places:
    """What lies where in the folder of the demo."""

    root: Path

    @property
    def videos(self) -> Path:
        """H.264 files."""
        return self.root / "videos"

    @property
    def tags(self) -> Path:
        """What is learned from."""
        return self.root / "tags.csv"

    @property
    def annotations(self) -> Path:
        """What is scored with."""
        return self.root / "annotations.json"

    @property
    def encoder(self) -> Path:
        """Weights of the pre-trained encoder."""
        return self.root / "encoder.safetensors"

    @property
    def features(self) -> Path:
        """Store of the features."""
        return self.root / "features"

    @property
    def report(self) -> Path:
        """The page."""
        return self.root / "report.html"

    def run(self, name: str) -> Path:
        """Folder of a network."""
        return self.root / "runs" / name


def learn_to_see(places: Places, overrides: Sequence[str], seed: int, telling: Telling) -> None:
    """Pre-train the encoder on the training videos, without their tags.

    Raises:
        WtalError: Ctrl-C stopped it.
    """
    with (
        TemporaryDirectory() as clips,
        telling.bar("decoding") as decoding,
        telling.steps() as training,
    ):
        words = pretrain.Words(
            method=METHOD,
            out=places.encoder,
            overrides=(*overrides, f"run.seed={seed}"),
            tags=places.tags,  # says which videos are for training
            subset="training",
            clips=Path(clips),
            fps=str(FPS),
        )
        outcome = pretrain.run(
            places.videos,
            words,
            CPU,
            resume=False,
            say=lambda text: None,
            decoding=decoding,
            training=training,
        )
    if outcome.result.interrupted:
        raise stopped(places.root, outcome.result.steps)


def extract_features(
    places: Places, telling: Telling, *, words: extract.Words | None = None
) -> None:
    """Features of all videos.

    Args:
        places: Where.
        telling: Told how far it is.
        words: Another encoder than the pre-trained one.
    """
    words = words or extract_words((str(places.encoder),))
    with telling.bar("extracting") as progress:
        extract.run(
            places.videos,
            places.features,
            words,
            CPU,
            None,
            preview=False,
            progress=progress,
            say=lambda text: None,
        )


def extract_words(encoders: tuple[str, ...]) -> extract.Words:
    """Snippets of half a second."""
    return extract.Words(encoders=encoders, fps=str(FPS), stride=STRIDE, batch=32)


def learn_to_find(
    places: Places, name: str, overrides: Sequence[str], seed: int, telling: Telling
) -> None:
    """Train one network on the tags.

    Raises:
        WtalError: Ctrl-C stopped it.
    """
    config = load_config(None, [*overrides, f"train.seed={seed}"])
    labels = labels_of(read_annotations(places.annotations))
    trained = train(
        config, open_store(places.features), labels, places.run(name), quiet=telling.quiet
    )
    if trained.interrupted:
        raise stopped(places.root, trained.steps)


def find(places: Places, names: Sequence[str]) -> None:
    """Segments of the test videos, by each network."""
    store = open_store(places.features)
    videos = videos_of(labels_of(read_annotations(places.annotations)), "test")
    for name in names:
        run = places.run(name)
        found = Localizer.load(run).localize_store(store, videos)
        write_results(run / DETECTIONS_FILE, found, {"data": "wtal demo", "model": name})


def judge(places: Places, names: Sequence[str]) -> dict[str, Evaluation]:
    """The scores of each network on the test videos."""
    annotations = read_annotations(places.annotations)
    found = {}
    for name in names:
        run = places.run(name)
        found[name] = wtal_eval.evaluate(run / DETECTIONS_FILE, annotations, subset="test")
        count_readings(run, found[name])
    return found


def show(places: Places, costs: Sequence[Cost], telling: Telling) -> None:
    """The page with the videos of the test subset."""
    make_report(
        places.report,
        places.run("dcc"),
        features=places.features,
        videos=places.videos,
        annotations=places.annotations,
        subset="test",
        costs=costs,
        baselines=[("BaS-Net", places.run("basnet"))],
        title="wtal demo",
        bar=telling.bar,
        warn=telling.warn,
    )


def stopped(root: Path, steps: int) -> Stopped:
    """What is said after Ctrl-C in a training."""
    return Stopped(f"a training was at step {steps}; remove {root} to start the demo again.")
