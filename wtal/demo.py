"""`wtal demo`: the whole path on made-up features, offline, in a minute or two on a laptop.

Procedural store -> BaS-Net -> detections -> mAP beside the trivial baseline -> a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import wtal_eval
from wtal.config import load_config
from wtal.errors import WtalError
from wtal.inputs import labels_of, videos_of
from wtal.localize import Localizer
from wtal.procedural import WorldConfig, write_data_set
from wtal.readings import count_readings
from wtal.results import DETECTIONS_FILE, write_results
from wtal.schedule import numpy_generator
from wtal.timeline import Row, Segment, draw
from wtal.training import train
from wtal_eval import Annotations, Evaluation, read_annotations
from wtal_features import FeatureStore, open_store

STEPS = 200
# So short a training of so few videos leaves flat class scores (docs/decisions/0009).
CLASS_THRESHOLD = 0.15
SHOWN_VIDEOS = 4


@dataclass(frozen=True)
class DemoResult:
    """What the demo made."""

    evaluation: Evaluation
    run: Path
    picture: Path | None  # None where matplotlib is missing


def demo(out: Path, seed: int, *, quiet: bool, say: Callable[[str], None]) -> DemoResult:
    """Make data, train, localize, score and draw into `out`.

    Args:
        out: a folder that does not exist yet, or is empty.
        seed: of the data and of the training.
        quiet: no progress bar.
        say: told of each stage.

    Raises:
        WtalError, FeatureError: the folder cannot be used, or Ctrl-C stopped the training.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WtalError(f"{out} is not empty; name another folder with --out, or remove it.")
    say(f"1/4  writing made-up features of untrimmed videos to {out}/data")
    data, run = out / "data", out / "run"
    data.mkdir(parents=True, exist_ok=True)
    write_data_set(data, WorldConfig(), numpy_generator(seed, "demo"))
    store = open_store(data / "features")
    annotations = read_annotations(data / "annotations.json")
    labels = labels_of(annotations)

    say("2/4  training BaS-Net on the tags of 60 videos")
    short = [f"train.steps={STEPS}", f"localize.class_threshold={CLASS_THRESHOLD}"]
    config = load_config(None, [*short, f"train.seed={seed}"])
    trained = train(config, store, labels, run, quiet=quiet)
    if trained.interrupted:
        raise WtalError(f"Stopped at step {trained.steps}; remove {out} to start the demo again.")

    say("3/4  localizing and scoring 30 other videos")
    localizer = Localizer.load(run)
    videos = videos_of(labels, "test")
    found = localizer.localize_store(store, videos)
    write_results(run / DETECTIONS_FILE, found, {"data": "procedural"})
    evaluation = wtal_eval.evaluate(run / DETECTIONS_FILE, annotations, subset="test")
    count_readings(run, evaluation)

    picture = _draw(localizer, store, annotations, videos, out / "timelines.png", say)
    return DemoResult(evaluation, run, picture)


def _draw(
    localizer: Localizer,
    store: FeatureStore,
    annotations: Annotations,
    videos: Sequence[str],
    path: Path,
    say: Callable[[str], None],
) -> Path | None:
    """Timelines of a few videos, or None with a word where matplotlib is missing."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        say("4/4  no picture: pip install 'wtal[plots]' adds timelines.png")
        return None
    say(f"4/4  drawing {SHOWN_VIDEOS} of them")
    rows = []
    for video in videos[:SHOWN_VIDEOS]:
        seconds = store.timing(video).seconds_per_snippet
        scores = localizer.scores(store.read(video))
        found = localizer.segments(scores, seconds)
        rows.append(Row(video, scores, found, segments_of(annotations, video), seconds))
    draw(rows, localizer.classes, path)
    return path


def segments_of(annotations: Annotations, video: str) -> list[Segment]:
    """Annotated segments of one video."""
    code = annotations.videos.index(video)
    return [
        (annotations.labels[label], start, end)
        for of, label, start, end in zip(
            annotations.video.tolist(),
            annotations.label.tolist(),
            annotations.start.tolist(),
            annotations.end.tolist(),
            strict=True,
        )
        if of == code
    ]
