"""Training: resuming to the bit, seeds, what stops a run, and what a stopped run leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.synthetic import CLASSES, make_store
from wtal import training
from wtal.checkpoint import MODEL_FILE, STATE_FILE, load_state
from wtal.config import Config, load_config, resolved
from wtal.data import FloatTD
from wtal.errors import WtalError
from wtal.inputs import Labels, read_labels
from wtal.localize import Localizer
from wtal.schedule import TrainConfig, learning_rate
from wtal.training import TrainResult, run_seeds, train
from wtal.validation import hold_out
from wtal_features import FeatureError, FeatureStore, open_store
from wtal_features.files import lock

ROOT = Path(__file__).parents[2]
SMALL = [
    "model.hidden_dim=8",
    "train.batch_size=4",
    "train.log_every=1",
    "train.checkpoint_every=2",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make_store(tmp_path_factory.mktemp("data"))


def config(*overrides: str) -> Config:
    return load_config(None, [*SMALL, *overrides])


def run(
    data: tuple[Path, Path, Path], out: Path, *overrides: str, resume: bool = False
) -> TrainResult:
    labels = read_labels(tags=data[1])
    return train(config(*overrides), open_store(data[0]), labels, out, resume=resume, quiet=True)


def without_times(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_a_run_folder_holds_what_the_contract_lists(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    result = run(data, tmp_path / "r", "train.steps=3")
    names = {str(p.relative_to(tmp_path / "r")) for p in (tmp_path / "r").rglob("*") if p.is_file()}
    assert names - {".lock"} == {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        MODEL_FILE,
        STATE_FILE,
    }
    assert (result.steps, result.classes, result.skipped) == (3, CLASSES, {})
    assert not result.interrupted
    environment = json.loads((tmp_path / "r" / "environment.json").read_text())
    assert environment["inputs"]["subset"] == "training"
    assert environment["inputs"]["videos"] == 12
    written = load_config(tmp_path / "r" / "config.yaml")
    assert written == resolved(config("train.steps=3"), 16, 12)
    assert (written.model.filter_dim, written.train.lr) == (4, 1e-4 * 2048 / 8)


def test_the_loss_falls_and_actions_are_found_in_unseen_videos(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run(
        data,
        tmp_path / "r",
        "train.steps=120",
        "train.lr=1e-2",
        "train.batch_size=12",
        "model.hidden_dim=16",
    )
    losses = [line["loss"] for line in without_times(tmp_path / "r")]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    localizer, store = Localizer.load(tmp_path / "r"), open_store(data[0])
    truth = json.loads(data[2].read_text())["database"]
    for i in range(12, 18):  # test videos
        name = f"video_{i:03d}"
        found = localizer.localize(store.read(name), seconds_per_snippet=0.64)
        annotated = truth[name]["annotations"][0]
        best = int(found.scores_N.argmax())
        assert found.labels[best] == annotated["label"]
        start, end = annotated["segment"]
        shared = min(end, found.ends_N[best]) - max(start, found.starts_N[best])
        assert shared > 0.5 * (end - start)


HELD_OUT = ("validation.fraction=0.3", "validation.every=1")


@pytest.mark.parametrize("extra", [(), HELD_OUT, (*HELD_OUT, "validation.keep=best")])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    data: tuple[Path, Path, Path],
    tmp_path: Path,
    extra: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed inside step 6, after the checkpoint of step 4 and the metrics line of step 5."""
    run(data, tmp_path / "whole", "train.steps=8", *extra)
    step, real = [0], training.train_step

    def dies_in_step_6(*args: object, **options: object) -> dict[str, float]:
        step[0] += 1
        if step[0] == 6:
            raise SystemExit
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train_step", dies_in_step_6)
    with pytest.raises(SystemExit):
        run(data, tmp_path / "cut", "train.steps=8", *extra)
    assert load_state(tmp_path / "cut" / STATE_FILE).step == 4
    assert without_times(tmp_path / "cut")[-1]["step"] == 5
    monkeypatch.undo()
    run(data, tmp_path / "cut", "train.steps=8", *extra, resume=True)

    for name in (MODEL_FILE, STATE_FILE):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    assert without_times(tmp_path / "whole") == without_times(tmp_path / "cut")


def test_more_steps_continue_a_finished_run_at_a_constant_rate(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    constant = "train.lr_schedule=constant"
    run(data, tmp_path / "whole", "train.steps=6", constant)
    run(data, tmp_path / "parts", "train.steps=4", constant)
    run(data, tmp_path / "parts", "train.steps=6", constant, resume=True)
    whole, parts = (load_file(tmp_path / name / MODEL_FILE) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    # The run folder says how it was made: the steps are those that were done.
    texts = [(tmp_path / name / "config.yaml").read_text() for name in ("whole", "parts")]
    assert texts[0] == texts[1]


def test_a_cosine_cannot_be_made_longer_afterwards(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run(data, tmp_path / "r", "train.steps=4")
    with pytest.raises(WtalError, match=r"another config \(steps\)"):
        run(data, tmp_path / "r", "train.steps=6", resume=True)


def test_resuming_a_finished_run_changes_nothing(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    first = run(data, tmp_path / "r", "train.steps=3")
    before = (tmp_path / "r" / MODEL_FILE).read_bytes()
    again = run(data, tmp_path / "r", "train.steps=3", resume=True)
    assert (tmp_path / "r" / MODEL_FILE).read_bytes() == before
    assert again == first


def test_a_folder_with_a_run_needs_resume_and_the_same_config(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run(data, tmp_path / "r", "train.steps=2")
    with pytest.raises(WtalError, match="already holds a run; add --resume"):
        run(data, tmp_path / "r", "train.steps=2")
    with pytest.raises(WtalError, match=r"another config \(batch_size\)"):
        run(data, tmp_path / "r", "train.steps=2", "train.batch_size=5", resume=True)
    run(data, tmp_path / "r", "train.steps=2", "train.log_every=7", resume=True)


@pytest.mark.parametrize("marker", ["manifest.json", "manifest.partial.jsonl"])
def test_a_folder_that_holds_features_is_refused_and_left_as_it_is(
    data: tuple[Path, Path, Path], tmp_path: Path, marker: str
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / marker).write_text("{}")
    store, labels = open_store(data[0]), read_labels(tags=data[1])
    for out in (tmp_path / "s", data[0]):
        before = sorted(out.rglob("*"))
        with pytest.raises(WtalError, match="holds a feature store; name another folder"):
            run(data, out, "train.steps=2")
        with pytest.raises(WtalError, match="holds a feature store"):
            run_seeds(config("train.steps=2"), [0], store, labels, out, quiet=True)
        assert sorted(out.rglob("*")) == before


def test_a_second_run_in_a_folder_in_use_is_refused(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "r").mkdir()
    with lock(tmp_path / "r"), pytest.raises(FeatureError, match="in use by another run"):
        run(data, tmp_path / "r", "train.steps=2")
    assert not (tmp_path / "r" / "config.yaml").exists()


def test_a_non_finite_term_stops_the_run_with_its_name_and_step(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(WtalError, match=r"loss term '\w+' is (nan|inf) at step \d+"):
        run(data, tmp_path / "r", "train.steps=50", "train.lr=1e30")
    assert not (tmp_path / "r" / MODEL_FILE).exists()  # it failed before the first checkpoint


def test_the_released_pooling_fails_by_name_on_a_video_of_seven_snippets(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    np.save(tmp_path / "s" / "v.npy", np.ones((7, 4), np.float32))
    store = open_store(tmp_path / "s", fps=25, stride=16)
    labels = Labels({"v": ("A",)}, {"v": None}, "tags")
    train(config("train.steps=1"), store, labels, tmp_path / "fine", quiet=True)
    with pytest.raises(WtalError, match=r"'cls_(base|supp)' is nan at step 1"):
        train(
            config("train.steps=1", "compat.log_of_softmax=true"),
            store,
            labels,
            tmp_path / "nan",
            quiet=True,
        )


def test_one_video_of_one_snippet_trains_and_localizes(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    np.save(tmp_path / "s" / "v.npy", np.ones((1, 4), np.float32))
    store = open_store(tmp_path / "s", fps=25, stride=16)
    labels = Labels({"v": ("A",)}, {"v": None}, "tags")
    train(config("train.steps=2"), store, labels, tmp_path / "r", quiet=True)
    found = Localizer.load(tmp_path / "r").localize(store.read("v"), seconds_per_snippet=0.64)
    assert found.class_scores.keys() == {"A"}


def test_seeds_give_different_networks_and_a_summary(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    results = run_seeds(
        config("train.steps=2"),
        [3, 5],
        open_store(data[0]),
        read_labels(data[1]),
        tmp_path,
        quiet=True,
    )
    assert [r.run.name for r in results] == ["seed-3", "seed-5"]
    assert (tmp_path / "seed-3" / MODEL_FILE).read_bytes() != (
        tmp_path / "seed-5" / MODEL_FILE
    ).read_bytes()
    loss = json.loads((tmp_path / "summary.json").read_text())["figures"]["loss"]
    each = [r.figures["loss"] for r in results]
    assert loss["each"] == each
    assert loss["mean"] == pytest.approx(np.mean(each))
    assert loss["sd"] == pytest.approx(np.std(each, ddof=1))


def test_a_seed_is_one_network_on_one_machine(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run(data, tmp_path / "a", "train.steps=3")
    run(data, tmp_path / "b", "train.steps=3")
    assert (tmp_path / "a" / MODEL_FILE).read_bytes() == (tmp_path / "b" / MODEL_FILE).read_bytes()


def test_bfloat16_trains_close_to_float32(data: tuple[Path, Path, Path], tmp_path: Path) -> None:
    exact = run(data, tmp_path / "a", "train.steps=5")
    close = run(data, tmp_path / "b", "train.steps=5", "train.precision=bf16")
    assert close.figures["loss"] == pytest.approx(exact.figures["loss"], rel=0.05)
    weights = load_file(tmp_path / "b" / MODEL_FILE)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_the_best_held_out_checkpoint_is_kept_where_that_is_asked_for(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    labels = read_labels(annotations=data[2])
    settings = config(
        "train.steps=9",
        "train.lr=1e-3",
        "validation.fraction=0.4",
        "validation.every=3",
        "validation.labels=segments",
        "validation.keep=best",
    )
    train(settings, open_store(data[0]), labels, tmp_path / "r", quiet=True)
    measured = {
        line["step"]: line["validation_map"]
        for line in without_times(tmp_path / "r")
        if "validation_map" in line
    }
    assert list(measured) == [3, 6, 9]
    facts = load_state(tmp_path / "r" / STATE_FILE).facts
    assert facts["figure"] == "validation_map"
    assert facts["best"] == max(measured.values())
    assert measured[facts["best_step"]] == facts["best"]


def test_the_kept_weights_are_those_of_the_best_step_and_not_the_last(
    data: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures are made up, so that step 2 is best; a run without choice gives its weights."""
    figures = iter((0.1, 0.9, 0.5, 0.9))
    monkeypatch.setattr(training, "measure", lambda *_: {"validation_video_map": next(figures)})
    every = ("train.steps=4", "train.lr_schedule=constant", *HELD_OUT)
    run(data, tmp_path / "best", *every, "validation.keep=best")
    monkeypatch.setattr(training, "measure", lambda *_: {"validation_video_map": 0.0})
    run(data, tmp_path / "two", *every, "train.steps=2")
    run(data, tmp_path / "four", *every)
    best, two, four = (load_file(tmp_path / n / MODEL_FILE) for n in ("best", "two", "four"))
    assert all(torch.equal(best[name], two[name]) for name in best)
    assert not all(torch.equal(best[name], four[name]) for name in best)


@pytest.mark.parametrize("kind", ["video_labels", "segments"])
def test_a_class_of_a_single_video_has_none_held_out_and_is_not_in_the_mean(
    data: tuple[Path, Path, Path], tmp_path: Path, kind: str
) -> None:
    document = json.loads(data[2].read_text())
    document["database"]["video_000"]["annotations"][0]["label"] = "Only Once"
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(document))
    settings = config("train.steps=2", *HELD_OUT, f"validation.labels={kind}")
    result = train(
        settings, open_store(data[0]), read_labels(annotations=path), tmp_path / "r", quiet=True
    )
    assert "Only Once" in result.classes
    assert 0 < result.figures["validation_video_map"] <= 1


def test_segments_cannot_choose_without_annotations(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    chosen = ("train.steps=2", "validation.fraction=0.4", "validation.labels=segments")
    with pytest.raises(WtalError, match="needs --annotations"):
        run(data, tmp_path / "r", *chosen)
    assert not (tmp_path / "r").exists()  # before anything was read or written


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_share_that_holds_out_nothing_is_refused_before_the_first_step(
    data: tuple[Path, Path, Path], tmp_path: Path, keep: str
) -> None:
    tiny = ("train.steps=2", "validation.fraction=0.01", f"validation.keep={keep}")
    with pytest.raises(WtalError, match="holds out no video with a tag, of 12 training videos"):
        run(data, tmp_path / "r", *tiny)
    assert not (tmp_path / "r" / "config.yaml").exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("video_003,Jump", "video_003,Run", "other videos or tags"),
        ("Jump", "Leap", "other classes"),
        ("video_003,Jump,training", "video_003,Jump,test", "other videos or tags"),
    ],
)
def test_a_run_does_not_go_on_with_other_tags(
    data: tuple[Path, Path, Path], tmp_path: Path, before: str, after: str, message: str
) -> None:
    run(data, tmp_path / "r", "train.steps=2", "train.lr_schedule=constant")
    tags, written = tmp_path / "tags.csv", (tmp_path / "r" / "config.yaml").read_bytes()
    tags.write_text(data[1].read_text().replace(before, after))
    longer = config("train.steps=4", "train.lr_schedule=constant")
    with pytest.raises(WtalError, match=f"was trained on {message}; resume with the same"):
        train(
            longer, open_store(data[0]), read_labels(tags), tmp_path / "r", resume=True, quiet=True
        )
    assert (tmp_path / "r" / "config.yaml").read_bytes() == written


def test_a_run_does_not_go_on_with_features_of_another_dim(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run(data, tmp_path / "r", "train.steps=2", "model.filter_dim=4")
    other = make_store(tmp_path / "other", dim=5)
    with pytest.raises(WtalError, match="was trained on features of another dim"):
        run(other, tmp_path / "r", "train.steps=2", "model.filter_dim=4", resume=True)


def test_a_sweep_that_is_stopped_summarises_the_seeds_that_ended(
    data: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = training.train_step, [0]

    def stops_in_the_third_seed(*args: object, **options: object) -> dict[str, float]:
        calls[0] += 1
        if calls[0] == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train_step", stops_in_the_third_seed)
    settings = config("train.steps=2", "train.log_every=2")
    store, labels = open_store(data[0]), read_labels(data[1])
    results = run_seeds(settings, [0, 1, 2, 3], store, labels, tmp_path, quiet=True)
    assert [result.interrupted for result in results] == [False, False, True]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["seeds"] == [0, 1]
    assert summary["figures"]["loss"]["each"] == [r.figures["loss"] for r in results[:2]]
    assert "lr" not in summary["figures"]


def test_a_seed_that_fails_leaves_the_summary_of_those_before(
    data: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training.train

    def fails_at_seed_1(settings: Config, *args: object, **options: object) -> TrainResult:
        if settings.train.seed == 1:
            raise WtalError("no")
        return real(settings, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train", fails_at_seed_1)
    store, labels = open_store(data[0]), read_labels(data[1])
    with pytest.raises(WtalError, match="no"):
        run_seeds(config("train.steps=2"), [0, 1], store, labels, tmp_path, quiet=True)
    assert json.loads((tmp_path / "summary.json").read_text())["seeds"] == [0]


def test_training_never_sees_a_video_of_another_subset(
    data: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(data[0])
    seen: list[str] = []
    real = type(store).read

    def remember(self: FeatureStore, video: str) -> FloatTD:
        seen.append(video)
        return real(self, video)

    monkeypatch.setattr(type(store), "read", remember)
    train(config("train.steps=3"), store, read_labels(data[1]), tmp_path / "r", quiet=True)
    assert set(seen) == {f"video_{i:03d}" for i in range(12)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_with_a_checkpoint(
    data: tuple[Path, Path, Path], tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "r"
    process = start(data, out, "train.steps=100000", "train.checkpoint_every=100000")
    wait_for(out / "metrics.jsonl", process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped after" in output
    assert "--resume" in output
    steps = load_state(out / STATE_FILE).step
    assert steps >= 1
    assert f"stopped after {steps} step" in output


def test_a_killed_run_resumes_from_its_last_checkpoint(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "r"
    process = start(data, out, "train.steps=100000", "train.checkpoint_every=1")
    wait_for(out / STATE_FILE, process)
    time.sleep(0.3)
    process.kill()
    process.communicate(timeout=60)
    step = load_state(out / STATE_FILE).step
    settings = load_config(out / "config.yaml", [f"train.steps={step + 2}"])
    with pytest.raises(WtalError, match="another config"):  # fewer steps than were asked for
        train(settings, open_store(data[0]), read_labels(data[1]), out, resume=True, quiet=True)
    assert step >= 1


@pytest.mark.parametrize("last", [MODEL_FILE, STATE_FILE])
def test_a_kill_between_the_last_weights_and_the_last_state_loses_neither(
    data: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    run(data, tmp_path / "whole", "train.steps=3")
    real, moved = os.replace, list[str]()

    def killed_before(source: str, target: str) -> None:
        moved.append(str(target))
        if sum(name.endswith(last) for name in moved) == 2:  # of the save after step 3
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed_before)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "r", "train.steps=3")
    run(data, tmp_path / "r", "train.steps=3", resume=True)
    for name in (MODEL_FILE, STATE_FILE):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_signal_while_features_are_read_stops_at_once_and_leaves_no_run(
    data: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signalled(self: FeatureStore, video: str) -> FloatTD:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on reading")

    monkeypatch.setattr(FeatureStore, "read", signalled)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "r", "train.steps=3")
    assert not (tmp_path / "r" / "config.yaml").exists()  # the same command starts


def test_what_a_killed_training_left_half_written_goes_with_the_next_run(
    data: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    for folder in (tmp_path / "r", tmp_path / "r" / "state"):
        folder.mkdir()
        (folder / ".wtal-tmp-0123456789abcdef").write_bytes(b"half")
    run(data, tmp_path / "r", "train.steps=3", resume=True)
    assert not list((tmp_path / "r").rglob(".wtal-tmp-*"))


def start(data: tuple[Path, Path, Path], out: Path, *overrides: str) -> subprocess.Popen[str]:
    """`wtal train` as a process of its own."""
    (out.parent / "c.yaml").write_text("")
    options = [word for text in [*SMALL, *overrides] for word in ("-o", text)]
    files = ["-f", str(data[0]), "--tags", str(data[1]), "--out", str(out)]
    path = os.pathsep.join(str(ROOT / part) for part in ("", "features", "eval"))
    return subprocess.Popen(
        [sys.executable, "-m", "wtal", "train", str(out.parent / "c.yaml"), *files, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if path.exists() and path.stat().st_size:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise AssertionError(f"{path} did not appear")


def test_the_learning_rate_follows_the_width_or_the_cosine() -> None:
    assert TrainConfig().peak_rate(2048) == pytest.approx(1e-4)
    assert TrainConfig().peak_rate(256) == pytest.approx(8e-4)
    assert TrainConfig(lr=0.5).peak_rate(256) == 0.5
    constant, cosine = TrainConfig(lr_schedule="constant"), TrainConfig(lr_schedule="cosine")
    assert learning_rate(constant, 1.0, 5, 10) == 1
    assert learning_rate(cosine, 1.0, 0, 10) == 1
    assert learning_rate(cosine, 1.0, 5, 10) == pytest.approx(0.5)
    assert learning_rate(cosine, 1.0, 9, 10) < 0.05


@pytest.mark.parametrize(("videos", "steps"), [(1, 400), (240, 400), (9649, 12_080)])
def test_the_schedule_is_400_steps_or_twenty_passes(videos: int, steps: int) -> None:
    assert TrainConfig().total_steps(videos) == steps
    assert TrainConfig(steps=7).total_steps(videos) == 7


def test_held_out_videos_keep_every_class_in_training() -> None:
    rng = np.random.default_rng(0)
    labels_VC = np.zeros((40, 4), np.float32)
    labels_VC[np.arange(40), rng.integers(0, 3, 40)] = 1
    labels_VC[7, 3] = 1  # a class of one video
    held_V = hold_out(labels_VC, 0.25, np.random.default_rng(1))
    assert (labels_VC[~held_V].sum(0) > 0).all()
    assert not held_V[7]
    for c in range(3):
        share = labels_VC[held_V, c].sum() / labels_VC[:, c].sum()
        assert share == pytest.approx(0.25, abs=0.1)


def test_nothing_is_held_out_at_fraction_zero() -> None:
    assert not hold_out(np.eye(5, dtype=np.float32), 0.0, np.random.default_rng(0)).any()
