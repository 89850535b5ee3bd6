"""`wtal calibrate`, and what localize and export make of it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.synthetic import make_store
from wtal.calibration import Calibration, read_calibration, write_calibration
from wtal.calibration.crossfit import CrossFit
from wtal.calibration.identity import identity_of
from wtal.calibration.job import calibrate
from wtal.cli import app
from wtal.errors import WtalError
from wtal.inputs import read_labels
from wtal.localize import Localizer
from wtal_eval import read_detections
from wtal_features import FeatureError, open_store
from wtal_features.files import lock

SMALL = ("model.hidden_dim=16", "train.steps=30", "train.batch_size=6")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with tags and annotations, and a run trained on it."""
    folder = tmp_path_factory.mktemp("data")
    make_store(folder, train=18, test=9, strength=8.0)
    words = ["train", "configs/basnet.yaml", "-f", str(folder / "store"), "-q"]
    words += ["--tags", str(folder / "tags.csv"), "--out", str(folder / "run"), "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, *(w for each in SMALL for w in ("-o", each))])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(data / "run", tmp_path / "run"))


def wtal(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_folds_of_the_training_videos_calibrate_a_run(data: Path, run: Path) -> None:
    done = wtal(
        *("calibrate", run, "-f", data / "store", "--annotations", data / "annotations.json"),
        *("--tags", data / "tags.csv", "--folds", 2, "--check", "test", "--device", "cpu"),
        *("--plot", run / "check.png"),
    )
    assert done.exit_code == 0, done.output
    assert "2 folds of the training videos: 18 videos" in done.output
    assert "right at 0.1" in done.output
    assert "Only 18 videos to calibrate on" in done.output
    assert (run / "check.png").read_bytes().startswith(b"\x89PNG")
    assert not (run / "calibration").exists()
    found = read_calibration(run)
    assert found is not None
    assert found.about["videos"] == 18
    # An action that stands out as here is told from what is none.
    assert found.confidences[-1] > 0.6
    assert found.confidences[0] < 0.2
    assert found.scores[0] < found.threshold < found.scores[-1]


def test_other_tagged_videos_calibrate_without_any_training(data: Path, run: Path) -> None:
    done = wtal(
        *("calibrate", run, "-f", data / "store", "--tags", data / "tags.csv"),
        *("--subset", "test", "--device", "cpu"),
    )
    assert done.exit_code == 0, done.output
    assert "videos it did not learn from: 9 videos" in done.output


def test_the_same_call_gives_the_same_calibration(data: Path, run: Path) -> None:
    store, labels = open_store(data / "store"), read_labels(data / "tags.csv")
    first = calibrate(run, store, labels, folds=2)
    assert calibrate(run, store, labels, folds=2) == first


def test_a_kill_while_the_folds_are_removed_does_not_spoil_the_next_call(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, labels = open_store(data / "store"), read_labels(data / "tags.csv")
    removed: list[Path] = []

    def killed_after_the_first(folder: Path, **more: object) -> None:
        model = next(Path(folder).rglob("model.safetensors"))  # its state is still there
        model.unlink()
        removed.append(model)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("wtal_features.files.shutil.rmtree", killed_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            calibrate(run, store, labels, folds=2)
    assert removed
    first = read_calibration(run)
    assert calibrate(run, store, labels, folds=2) == first
    assert not list(run.glob(".wtal-tmp-*"))


def test_a_second_calibration_of_a_run_is_refused(data: Path, run: Path) -> None:
    store, labels = open_store(data / "store"), read_labels(data / "tags.csv")
    with lock(run), pytest.raises(FeatureError, match="in use by another run"):
        calibrate(run, store, labels, folds=2)


def test_each_fold_learns_from_the_others_alone_and_all_are_judged_once(
    data: Path, run: Path
) -> None:
    store, labels = open_store(data / "store"), read_labels(data / "tags.csv")
    plan = CrossFit.plan(run, store, labels, 3)
    training = [name for name, subset in labels.subsets.items() if subset == "training"]
    assert sorted(name for fold in plan.folds for name in fold) == sorted(training)
    network = plan.learn(0, store, "cpu", True)
    about = json.loads((network / "environment.json").read_text())
    assert about["inputs"]["videos"] == 18 - len(plan.folds[0])
    before = (network / "model.safetensors").stat().st_mtime_ns
    assert CrossFit.plan(run, store, labels, 3).learn(0, store, "cpu", True) == network
    assert (network / "model.safetensors").stat().st_mtime_ns == before  # done once is done


def test_the_trainings_of_the_folds_are_counted_not_the_videos_of_each(
    data: Path, run: Path
) -> None:
    store, labels = open_store(data / "store"), read_labels(data / "tags.csv")
    told: list[tuple[int, int]] = []
    calibrate(run, store, labels, folds=2, progress=lambda *at: told.append(at))
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_what_a_fold_lacks_is_no_warning(data: Path, run: Path) -> None:
    store, labels = open_store(data / "store"), read_labels(data / "tags.csv")
    alone, other, *_ = sorted(v for v, subset in labels.subsets.items() if subset == "training")
    tags = {**labels.tags, alone: (*labels.tags[alone], "Once"), other: ()}
    labels = replace(labels, tags=tags)
    plan = CrossFit.plan(run, store, labels, 2)
    (k,) = [k for k, fold in enumerate(plan.folds) if alone in fold]
    network = plan.learn(k, store, "cpu", True)
    about = json.loads((network / "environment.json").read_text())
    assert "Once" not in about["inputs"]["classes"]
    said: list[str] = []
    calibrate(run, store, labels, folds=2, notify=said.append)
    assert not [text for text in said if "Once" in text or other in text]


def test_a_result_carries_the_calibration_of_its_own_model_alone(data: Path, run: Path) -> None:
    here = ("-f", data / "store", "--device", "cpu")
    scale = Calibration((0.1, 1.0), (0.0, 1.0), 0.6, identity_of(run, Localizer.load(run)))
    write_calibration(run, scale)
    assert wtal("localize", run, *here).exit_code == 0
    assert read_calibration(run / "detections.json") == scale
    # How many are kept changes no score; other levels do.
    assert wtal("localize", run, *here, "-o", "localize.max_detections=5").exit_code == 0
    assert read_calibration(run / "detections.json") == scale
    said = wtal("localize", run, *here, "-o", "localize.thresholds=[0.5]")
    assert "calibration.json is left out" in said.output
    assert read_calibration(run / "detections.json") is None
    write_calibration(run, Calibration((0.1,), (0.5,), 0.6, "another"))
    assert "calibration.json is left out" in wtal("localize", run, *here).output


def test_shards_of_a_calibrated_run_join_with_its_calibration(data: Path, run: Path) -> None:
    scale = Calibration((0.1, 1.0), (0.0, 1.0), 0.6, identity_of(run, Localizer.load(run)))
    write_calibration(run, scale)
    for i in (1, 2):
        done = wtal("localize", run, "-f", data / "store", "--shard", f"{i}/2", "--device", "cpu")
        assert done.exit_code == 0, done.output
    assert read_calibration(run / "detections.json") == scale


def test_export_keeps_the_sure_ones_and_tells_how_sure(data: Path, run: Path) -> None:
    scale = Calibration((0.0, 2.0), (0.0, 1.0), 1.0, identity_of(run, Localizer.load(run)))
    write_calibration(run, scale)
    assert wtal("localize", run, "-f", data / "store", "--device", "cpu").exit_code == 0
    everything = read_detections(str(run / "detections.json"))
    sure = float(np.median(everything.score)) / 2
    done = wtal("export", run, "--to", "csv", "--sure", sure)
    assert done.exit_code == 0, done.output
    with (run / "detections-csv.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == int((everything.score >= 2 * sure).sum()) > 0
    for row in rows:
        assert float(row["confidence"]) == pytest.approx(min(float(row["score"]) / 2, 1), abs=5e-5)
    # The higher of two limits holds.
    assert (
        "0 detections" in wtal("export", run, "--to", "csv", "--sure", sure, "--above", 1e9).output
    )


def test_export_says_why_nothing_can_be_sure(data: Path, run: Path) -> None:
    assert wtal("localize", run, "-f", data / "store", "--device", "cpu").exit_code == 0
    plain = wtal("export", run, "--to", "csv", "--sure", 0.5)
    assert plain.exit_code == 1
    assert "carries none; run `wtal calibrate`" in plain.output
    assert wtal("export", run, "--to", "csv").exit_code == 0
    assert "confidence" not in (run / "detections-csv.csv").read_text().splitlines()[0]
    assert "between 0 and 1" in wtal("export", run, "--to", "csv", "--sure", 80).output
    scale = Calibration((0.0, 2.0), (0.0, 0.5), 1.0, identity_of(run, Localizer.load(run)))
    write_calibration(run, scale)
    assert wtal("localize", run, "-f", data / "store", "--device", "cpu").exit_code == 0
    assert "no detection is that sure" in wtal("export", run, "--to", "csv", "--sure", 0.6).output


def test_tags_of_other_classes_are_refused_before_any_training(
    data: Path, run: Path, tmp_path: Path
) -> None:
    text = (data / "tags.csv").read_text()
    for name in ("Jump", "Run", "Throw"):
        text = text.replace(name, f"other {name}")
    (tmp_path / "other.csv").write_text(text)
    done = wtal("calibrate", run, "-f", data / "store", "--tags", tmp_path / "other.csv")
    assert done.exit_code == 1
    assert "is a class of this run" in done.output
    assert not (run / "calibration").exists()


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--folds", 1), "--folds is 1; expected at least 2"),
        (("--folds", 19), "at most one for each of the 18 training videos"),
        (("--check", "test"), "--check compares with segments: it needs --annotations"),
        (("--plot", "x.png"), "--plot draws what --check SUBSET compares"),
        (("--subset", "tset"), "has no video of subset 'tset'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    data: Path, run: Path, words: tuple[object, ...], fault: str
) -> None:
    done = wtal("calibrate", run, "-f", data / "store", "--tags", data / "tags.csv", *words)
    assert done.exit_code == 1
    assert fault in " ".join(done.output.split())


def test_videos_without_known_tags_are_refused(data: Path, run: Path) -> None:
    store, labels = open_store(data / "store"), read_labels(data / "tags.csv")
    with pytest.raises(WtalError, match="says nothing of video 'nobody'"):
        calibrate(run, store, labels, videos=["nobody"])
    with pytest.raises(WtalError, match="names no video"):
        calibrate(run, store, labels, videos=[])
