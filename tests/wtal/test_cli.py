"""The commands on good and bad input: exit codes, one sentence, nothing lost."""

import errno
import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.synthetic import make_store
from wtal import training
from wtal.checkpoint import STATE_FILE, load_state
from wtal.cli import app

SMALL = ("-o", "model.hidden_dim=8", "-o", "train.batch_size=4", "-o", "train.steps=4")


class Data(NamedTuple):
    """A toy data set and an empty config."""

    store: Path
    tags: Path
    annotations: Path
    config: Path


@pytest.fixture
def data(tmp_path: Path) -> Data:
    config = tmp_path / "config.yaml"
    config.write_text("")
    return Data(*make_store(tmp_path), config)


def wtal(*words: object, code: int = 0) -> str:
    """Run a command; everything it printed."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def sentence(*words: object) -> str:
    """The one line of an error."""
    output = wtal(*words, code=1)
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, output
    assert "Traceback" not in output
    return lines[0]


def trained(data: Data, out: Path, *more: object) -> Path:
    wtal("train", data.config, "-f", data.store, "--tags", data.tags, "--out", out, *SMALL, *more)
    return out


def test_three_commands_lead_from_features_to_a_table(data: Data, tmp_path: Path) -> None:
    run = trained(data, tmp_path / "run")
    said = wtal("localize", run, "-f", data.store, "--tags", data.tags, "--subset", "test")
    assert "detections of 6 videos" in said
    table = wtal("eval", run, data.annotations, "--json", tmp_path / "eval.json")
    assert "whole video x true tags" in table
    written = json.loads((tmp_path / "eval.json").read_text())
    assert written["counts"]["videos"] == 6
    assert "whole_video" in written["baselines"]


def test_a_sweep_over_seeds_is_localized_and_scored_in_one_go(data: Data, tmp_path: Path) -> None:
    said = wtal(
        *("train", data.config, "-f", data.store, "--annotations", data.annotations),
        *("--out", tmp_path / "sweep", "--seeds", "0,1", *SMALL),
    )
    assert "mean and sd over 2 seeds" in said
    wtal("localize", tmp_path / "sweep", "-f", data.store, "--tags", data.tags, "--subset", "test")
    table = wtal("eval", tmp_path / "sweep", data.annotations)
    assert "mean" in table
    assert "sd" in table
    for seed in (0, 1):
        readings = json.loads((tmp_path / "sweep" / f"seed-{seed}" / "eval.json").read_text())
        assert readings["readings"] == 1


def test_a_stopped_sweep_says_what_there_is(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = training.train_step, [0]

    def stops_in_the_third_seed(*args: object, **options: object) -> dict[str, float]:
        calls[0] += 1
        if calls[0] == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train_step", stops_in_the_third_seed)
    said = wtal(
        *("train", data.config, "-f", data.store, "--tags", data.tags),
        *("--out", tmp_path / "sweep", "--seeds", "0,1,2,3", *SMALL),
        code=1,
    )
    assert "seed-2: stopped after 1 step" in said
    assert "mean and sd over 2 seeds" in said
    assert "--resume" in said


def test_a_training_ends_with_its_loss_and_the_next_command(data: Data, tmp_path: Path) -> None:
    base = ("train", data.config, "-f", data.store, "--tags", data.tags, *SMALL)
    lines = wtal(*base, "--out", tmp_path / "my runs", "--seeds", "0,1").splitlines()
    seeds = [line for line in lines if "trained after" in line]
    assert all(re.fullmatch(r".*seed-\d: trained after \d+ steps, loss [\d.]+\.", s) for s in seeds)
    assert len(seeds) == 2
    assert [line.split()[0] for line in lines if "+-" in line] == ["loss"]
    runs = shlex.quote(str(tmp_path / "my runs"))
    assert lines[-1].endswith(f" in all; next: wtal localize {runs} --features {data.store}")
    (data.store / "manifest.json").unlink()
    said = wtal(*base, "--out", tmp_path / "r", "--fps", "25", "--stride", "16")
    assert said.endswith(f"--features {data.store} --fps 25.0 --stride 16.0\n")


def test_every_reading_of_a_test_split_is_counted(data: Data, tmp_path: Path) -> None:
    run = trained(data, tmp_path / "run")
    wtal("localize", run, "-f", data.store, "--tags", data.tags, "--subset", "test")
    for count in (1, 2, 3):
        wtal("eval", run, data.annotations)
        assert json.loads((run / "eval.json").read_text())["readings"] == count


def test_comparisons_are_readings_too_and_a_json_in_the_run_keeps_the_count(
    data: Data, tmp_path: Path
) -> None:
    run, other = trained(data, tmp_path / "run"), trained(data, tmp_path / "other")
    for each in (run, other):
        wtal("localize", each, "-f", data.store, "--tags", data.tags, "--subset", "test")
    wtal("eval", run, data.annotations, "--json", run / "eval.json")
    wtal("eval", run, data.annotations, "--compare-protocols")
    wtal("eval", run, data.annotations, "--versus", other, "--resamples", "5")
    wtal("eval", run, data.annotations, "--json", run / "eval.json")
    held = json.loads((run / "eval.json").read_text())
    assert held["readings"] == 4
    assert held["counts"]["videos"] == 6
    assert json.loads((other / "eval.json").read_text()) == {"readings": 1}


def test_eval_takes_a_run_only_where_a_result_belongs(data: Data, tmp_path: Path) -> None:
    run, sweep = trained(data, tmp_path / "run"), tmp_path / "sweep"
    said = sentence("eval", run, data.annotations)
    assert f"{run} has no detections.json yet; run `wtal localize {run}" in said
    wtal("localize", run, "-f", data.store, "--tags", data.tags, "--subset", "test")
    wtal("eval", run, data.annotations, "--errors", "--plots", run)  # the pictures go to the run
    assert (run / "class_ap.png").exists()
    for seed in (0, 1):
        (sweep / f"seed-{seed}").mkdir(parents=True)
        (sweep / f"seed-{seed}" / "detections.json").write_text('{"results": {}}')
    said = sentence("eval", run, data.annotations, "--versus", sweep)
    assert "--versus compares one result with one other; there are 2 on one side" in said


def test_localizing_twice_gives_the_same_bytes(data: Data, tmp_path: Path) -> None:
    run = trained(data, tmp_path / "run")
    for name in ("a.json", "b.json"):
        wtal("localize", run, "-f", data.store, "--out", tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    found = json.loads((tmp_path / "a.json").read_text())
    assert len(found["results"]) == 18  # without --subset, every video of the store


def test_bad_videos_are_skipped_listed_and_exit_1_unless_told_to_go_on(
    data: Data, tmp_path: Path
) -> None:
    (data.store / "video_000.npy").write_bytes(b"\x93NUMPY")
    np.save(data.store / "video_001.npy", np.load(data.store / "video_001.npy").T.copy())
    base = ("train", data.config, "-f", data.store, "--tags", data.tags, *SMALL)
    said = wtal(*base, "--out", tmp_path / "a", code=1)
    assert "2 videos were skipped" in said
    assert "looks transposed" in said
    skipped = json.loads((tmp_path / "a" / "skipped.json").read_text())
    assert set(skipped) == {"video_000", "video_001"}
    assert (tmp_path / "a" / "model.safetensors").exists()  # the others went on
    wtal(*base, "--out", tmp_path / "b", "--keep-going")

    said = wtal("localize", tmp_path / "a", "-f", data.store, code=1)
    assert "2 videos were skipped" in said
    listed = json.loads((tmp_path / "a" / "localize-skipped.json").read_text())
    assert set(listed) == {"video_000", "video_001"}
    assert len(json.loads((tmp_path / "a" / "detections.json").read_text())["results"]) == 16
    wtal("localize", tmp_path / "a", "-f", data.store, "--keep-going")
    wtal("localize", tmp_path / "a", "-f", data.store, "--tags", data.tags, "--subset", "test")
    assert not (tmp_path / "a" / "localize-skipped.json").exists()  # of the last time, nothing


def test_labels_of_other_videos_leave_a_result_as_it_is(data: Data, tmp_path: Path) -> None:
    run = tmp_path / "r"
    wtal("train", data.config, "-f", data.store, "--tags", data.tags, "--out", run, *SMALL)
    wtal("localize", run, "-f", data.store)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = tmp_path / "other.csv"
    other.write_text("video,label,subset\nmatch_1,Jump,test\nmatch_2,Run,training\n")
    for words in (("--out", tmp_path / "z.json"), (), ("--shard", "1/2")):
        said = wtal("localize", run, "-f", data.store, "--tags", other, *words, code=1)
        assert "features of none of 2 videos in" in said
        assert "it holds videos like 'video_000', the labels videos like 'match_1'" in said
    said = wtal("localize", run, "-f", data.store, "--tags", other, "--subset", "test", code=1)
    assert "none of 1 video of subset 'test'" in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "z.json").exists()


def test_what_a_result_elsewhere_leaves_out_is_listed_beside_it(data: Data, tmp_path: Path) -> None:
    run = tmp_path / "r"
    wtal("train", data.config, "-f", data.store, "--tags", data.tags, "--out", run, *SMALL)
    wtal("localize", run, "-f", data.store)
    (data.store / "video_003.npy").write_bytes(b"")
    wtal("localize", run, "-f", data.store, "--out", tmp_path / "z.json", code=1)
    assert set(json.loads((tmp_path / "z-skipped.json").read_text())) == {"video_003"}
    assert not (run / "localize-skipped.json").exists()  # of the run's own result, nothing


def test_a_sweep_is_not_hidden_by_a_run_in_its_folder(data: Data, tmp_path: Path) -> None:
    files = ("-f", data.store, "--tags", data.tags, "--out", tmp_path / "s")
    wtal("train", data.config, *files, *SMALL, "--seeds", "0")
    for more in ((), ("--resume",)):
        said = wtal("train", data.config, *files, *SMALL, *more, code=1)
        assert "holds the runs of a sweep; give its --seeds to add to it" in said
    assert not (tmp_path / "s" / "config.yaml").exists()
    wtal("train", data.config, *files, *SMALL, "--seeds", "1")


def test_localize_says_of_a_stopped_training_that_it_was_stopped(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ("-f", data.store, "--tags", data.tags, "--out", tmp_path / "r")
    step = training.train_step

    def signalled(*words: Any, **more: Any) -> dict[str, float]:
        if more["step"] == 1:
            signal.raise_signal(signal.SIGINT)
        return step(*words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", signalled)
        wtal("train", data.config, *files, *SMALL, code=1)
    said = wtal("localize", tmp_path / "r", "-f", data.store)
    assert (
        f"{tmp_path / 'r'} was stopped at step 2 of 4; --resume of wtal train finishes it" in said
    )
    wtal("train", data.config, *files, *SMALL, "--resume")
    assert "stopped" not in wtal("localize", tmp_path / "r", "-f", data.store)
    (tmp_path / "r" / STATE_FILE).write_bytes(b"damaged")  # it is not what localizes
    wtal("localize", tmp_path / "r", "-f", data.store, "--out", tmp_path / "z.json")


def test_each_run_of_a_sweep_counts_its_own_skipped_videos(data: Data, tmp_path: Path) -> None:
    files = ("-f", data.store, "--tags", data.tags, "--out", tmp_path / "s", "--seeds", "0,1")
    wtal("train", data.config, *files, *SMALL)
    (data.store / "video_017.npy").write_bytes(b"")
    said = wtal("localize", tmp_path / "s", "-f", data.store, code=1)
    assert said.count("detections of 17 videos") == 2
    assert "1 video was skipped" in said


def test_what_the_labels_leave_out_is_said_once(data: Data, tmp_path: Path) -> None:
    text = data.tags.read_text()
    text = text.replace("video_000,Jump,", "video_000,Dive,")  # its only video, unreadable below
    text = text.replace("video_001,Run,", "video_001,,")
    text = text.replace("video_017,Throw,", "video_017,Swim,")
    data.tags.write_text(text + "video_002,Throw,training\nvideo_003,throw,training\n")
    (data.store / "video_000.npy").write_bytes(b"")
    files = ("-f", data.store, "--tags", data.tags, "--out", tmp_path / "s")
    said = wtal("train", data.config, *files, *SMALL, "--seeds", "0,1", code=1)
    for words in (
        "1 class has no training video that can be read and cannot be learned: Dive.",
        "1 class occurs in other subsets only and cannot be learned: Swim.",
        "1 training video shows none of the actions, as the tags say: video_001.",
        "1 repeated pair of video and label was merged",
        "'Throw' and 'throw' are different classes, to the letter",
        "device: cpu (no GPU found)",
    ):
        assert said.count(words) == 1, (words, said)
    where = ("-f", data.store, "--tags", data.tags, "--subset", "test")
    said = wtal("localize", tmp_path / "s", *where)
    assert said.count("1 class is unknown to the model and cannot be detected: Swim.") == 1
    assert wtal("localize", tmp_path / "s", *where, "-q") == ""


def test_resuming_what_is_not_there_says_that_it_starts_anew(data: Data, tmp_path: Path) -> None:
    base = ("train", data.config, "-f", data.store, "--tags", data.tags, *SMALL)
    said = wtal(*base, "--out", tmp_path / "r", "--resume")
    assert "holds no checkpoint to resume from: the run starts anew" in said
    assert "starts anew" not in wtal(*base, "--out", tmp_path / "r", "--resume")


def test_a_wrong_config_names_the_nearest_key(data: Data, tmp_path: Path) -> None:
    line = sentence(
        *("train", data.config, "-f", data.store, "--tags", data.tags),
        *("--out", tmp_path / "r", "-o", "train.step=3"),
    )
    assert "nearest known one is 'train.steps'" in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tags", "gone.csv"), "gone.csv"),
        ((), "either --tags FILE.csv or --annotations FILE.json"),
        (("--tags", "TAGS", "--annotations", "ANNOTATIONS"), "either --tags"),
        (("--tags", "ANNOTATIONS"), "give it with --annotations"),
        (("--annotations", "TAGS"), "give it with --tags"),
        (("--tags", "TAGS", "--device", "warp"), "expected auto, cpu, cuda"),
        (("--tags", "TAGS", "--device", "cuda:7"), "PyTorch sees"),
        (("--tags", "TAGS", "--seeds", "1,x"), "expected whole numbers"),
        (("--tags", "TAGS", "--seeds", "1,1"), "expected different numbers"),
        (("--tags", "TAGS", "-o", "data.streams=[rgb]"), "rgb"),
        (("--tags", "TAGS", "-o", "data.train_subset=dev"), "present: test, training"),
        (("--tags", "TAGS", "--fps", "30"), "30"),
    ],
)
def test_train_refuses_wrong_input_in_one_sentence(
    data: Data, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    named = {"TAGS": data.tags, "ANNOTATIONS": data.annotations}
    given = [named.get(word, word) for word in words]
    out = ("--out", tmp_path / "r")
    assert message in sentence("train", data.config, "-f", data.store, *out, *SMALL, *given)


def test_names_in_the_wrong_place_are_recognized(data: Data, tmp_path: Path) -> None:
    out = ("--tags", data.tags, "--out", tmp_path / "run")
    said = sentence("train", data.store, "-f", data.config, *out)
    assert f"{data.store} is a folder; expected a YAML file; are two names swapped?" in said
    said = sentence("eval", data.annotations, tmp_path)
    assert f"{tmp_path} is a folder without detclasslist.txt" in said
    assert "are two names swapped?" in said


def test_a_store_without_time_base_needs_fps_and_stride(data: Data, tmp_path: Path) -> None:
    (data.store / "manifest.json").unlink()
    base = ("train", data.config, "-f", data.store, "--tags", data.tags, *SMALL)
    line = sentence(*base, "--out", tmp_path / "r")
    assert "--fps" in line
    assert "--stride" in line
    wtal(*base, "--out", tmp_path / "r", "--fps", "25", "--stride", "16")


def test_localize_refuses_what_is_no_run_and_features_of_another_encoder(
    data: Data, tmp_path: Path
) -> None:
    assert "no run folder" in sentence("localize", data.store, "-f", data.store)
    missing = sentence("localize", tmp_path / "nope", "-f", data.store)
    assert "nope does not exist; expected a run folder" in missing
    without = sentence("localize", tmp_path, "-f", data.store, "--subset", "test")
    assert "--subset test is one of the tags: name them, by --tags FILE.csv" in without
    run = trained(data, tmp_path / "run")
    other = make_store(tmp_path / "other", dim=5)[0]
    line = sentence("localize", run, "-f", other)
    assert "features have 5 dims; this model was trained on 16" in line
    (run / "model.safetensors").write_bytes(b"x" * 100)
    assert "is damaged" in sentence("localize", run, "-f", data.store)


def test_localize_refuses_one_file_for_several_runs(data: Data, tmp_path: Path) -> None:
    for seed in (0, 1):
        (tmp_path / "sweep" / f"seed-{seed}").mkdir(parents=True)
    line = sentence("localize", tmp_path / "sweep", "-f", data.store, "--out", tmp_path / "x.json")
    assert "holds 2 runs" in line
    run = trained(data, tmp_path / "run")
    line = sentence("localize", run, "-f", data.store, "--out", tmp_path)
    assert f"--out {tmp_path} is a folder; name a file, such as {tmp_path}/detections.json" in line


def test_eval_needs_two_files_and_tells_a_missing_one(data: Data, tmp_path: Path) -> None:
    assert "the following arguments are required" in wtal("eval", data.annotations, code=2)
    assert "gone.json" in sentence("eval", tmp_path / "gone.json", data.annotations)


def test_eval_diagnoses_draws_and_compares(data: Data, tmp_path: Path) -> None:
    run = trained(data, tmp_path / "run")
    wtal("localize", run, "-f", data.store, "--tags", data.tags, "--subset", "test")
    said = wtal("eval", run, data.annotations, "--errors", "--plots", tmp_path / "plots")
    assert "localization" in said
    assert "calibration" in said
    assert len(list((tmp_path / "plots").glob("*.png"))) == 5
    same = run / "detections.json"
    said = wtal("eval", run, data.annotations, "--versus", same, "--resamples", "20")
    assert "0.00" in said
    assert "evalkit" in wtal("eval", run, data.annotations, "--compare-protocols")


def test_usage_errors_exit_with_2(data: Data) -> None:
    wtal("train", data.config, code=2)
    wtal("eval", "--protocol", code=2)


def test_debug_shows_the_traceback_and_quiet_says_nothing(data: Data, tmp_path: Path) -> None:
    assert "Traceback" in wtal("localize", tmp_path, "-f", data.store, "--debug", code=1)
    said = wtal(
        *("train", data.config, "-f", data.store, "--tags", data.tags, "--out", tmp_path / "r"),
        *SMALL,
        "-q",
    )
    assert said == ""


def test_doctor_is_content_with_sound_data_and_estimates_the_training(data: Data) -> None:
    said = wtal("doctor", data.store, "--annotations", data.annotations)
    assert "0 errors, 0 warnings" in said
    assert "estimate for 400 steps" in said


def test_doctor_names_each_fault_with_its_code(data: Data) -> None:
    np.save(data.store / "video_003.npy", np.load(data.store / "video_004.npy"))
    bad = np.load(data.store / "video_005.npy")
    bad[3, 2] = np.nan
    np.save(data.store / "video_005.npy", bad)
    (data.store / "video_006.npy").unlink()
    np.save(data.store / "video_014.npy", np.load(data.store / "video_000.npy"))
    said = wtal("doctor", data.store, "--annotations", data.annotations, code=1)
    for code in ("nan", "duplicate-video", "leakage", "no-features", "length"):
        assert f"[{code}]" in said, code


def test_doctor_lists_the_videos_of_each_class(data: Data) -> None:
    said = wtal("doctor", data.store, "--tags", data.tags)
    assert "videos per class, of 3 classes, the rarest first:" in said
    assert "  Jump: 2 test, 4 training" in said


def test_doctor_compares_tags_with_annotations(data: Data) -> None:
    both = ("doctor", data.store, "--tags", data.tags, "--annotations", data.annotations)
    assert "0 errors, 0 warnings" in wtal(*both)
    text = data.tags.read_text().replace("video_003,Jump,training", "video_003,Run,training")
    text = text.replace("video_004,Run,training", "video_004,Run,test")
    text = text.replace("video_017,Throw,test\n", "")
    data.tags.write_text(text)
    said = wtal(*both, code=1)
    for words in (
        "[tags-differ]",
        "1 of 18 videos with other tags than annotated labels: video_003.",
        "[subsets-differ]",
        "another there: video_004.",
        "[not-tagged]",
        "without a line in the tags: video_017.",
    ):
        assert words in said, words
    assert "not-annotated" not in said


def test_doctor_finds_a_noisy_copy_in_another_subset(data: Data) -> None:
    first = np.load(data.store / "video_000.npy")
    noise = 0.05 * np.random.default_rng(0).normal(size=first.shape)
    np.save(data.store / "video_013.npy", (first + noise).astype(np.float32))
    np.save(data.store / "video_003.npy", (first - noise).astype(np.float32))  # the same subset
    said = wtal("doctor", data.store, "--tags", data.tags, code=1)  # other durations
    (line,) = [line for line in said.splitlines() if "[near-duplicate]" in line]
    assert "2 pairs" in line
    assert "video_000 ~ video_013 (1.00)" in line
    assert "video_003 ~ video_013" in line


def test_doctor_takes_the_subsets_of_the_manifest_where_no_file_names_any(data: Data) -> None:
    path = data.store / "manifest.json"
    manifest = json.loads(path.read_text())
    for i, entry in enumerate(manifest["videos"].values()):
        entry["subset"] = "training" if i < 12 else "test"
    path.write_text(json.dumps(manifest))
    assert "near-duplicate videos: 0 pairs between test and training" in wtal("doctor", data.store)
    first = np.load(data.store / "video_000.npy")
    np.save(data.store / "video_013.npy", first + np.float32(0.05) * np.sign(first[::-1]))
    np.save(data.store / "video_014.npy", first)
    tags = data.store.parent / "plain.csv"
    tags.write_text("video,label\nvideo_000,Jump\n")
    for more in ((), ("--tags", tags)):
        said = wtal("doctor", data.store, *more, code=1)
        assert "near-duplicate videos: 1 pairs between test and training" in said
        assert "video_000 ~ video_013" in said
        assert "error [leakage]" in said


def test_doctor_tells_the_figures_of_the_values_unless_told_not_to_read_them(data: Data) -> None:
    said = wtal("doctor", data.store)
    for part in (
        "norm of a snippet",
        "repeated snippets: 0.0%",
        "near-duplicate videos: no subset",
    ):
        assert part in said
    quick = wtal("doctor", data.store, "--headers-only")
    assert "norm" not in quick
    assert "duplicate" not in quick


def test_doctor_warns_of_a_subset_of_another_extractor(tmp_path: Path) -> None:
    store, tags, annotations = make_store(tmp_path, train=20, test=12)
    assert "0 errors, 0 warnings" in wtal("doctor", store, "--annotations", annotations)
    for path in store.glob("*.npy"):
        if path.stem >= "video_020":
            np.save(path, 2 * np.load(path))
    for labels in (("--tags", tags), ("--annotations", annotations)):
        said = wtal("doctor", store, *labels)
        assert "warning [subset-drift]" in said
        assert "0 errors, 1 warning" in said


def test_doctor_says_what_the_time_base_should_be_where_all_videos_are_wrong_alike(
    data: Data,
) -> None:
    manifest = data.store / "manifest.json"
    manifest.rename(data.store.parent / "moved.json")
    both = ("doctor", data.store, "--annotations", data.annotations, "--fps")
    said = wtal(*both, "15", "--stride", "16")
    assert "The features of 18 of 18 videos are 1.67 times too long." in said
    assert "about 0.64 s, for instance --fps 25 --stride 16" in said
    assert "another length" not in said
    assert "[time-base]" not in wtal(*both, "25", "--stride", "16")
    found = json.loads(data.annotations.read_text())
    for i, entry in enumerate(found["database"].values()):
        entry["duration"] *= 1 + 0.3 * (i % 3)  # no one cause
    data.annotations.write_text(json.dumps(found))
    said = wtal(*both, "25", "--stride", "16")
    assert "12 videos have features of another length than stated" in said
    assert "[time-base]" not in said


def test_doctor_knows_classes_that_cannot_be_learned(data: Data) -> None:
    lines = data.tags.read_text().splitlines()
    lines[-1] = lines[-1].replace(lines[-1].split(",")[1], "Swim")
    data.tags.write_text("\n".join(lines) + "\n")
    said = wtal("doctor", data.store, "--tags", data.tags)
    assert "[unseen-class]" in said
    assert "Swim" in said


def test_doctor_tells_two_worlds_of_names_apart(data: Data, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("video,label\nv_1.mp4,Jump\n")
    said = wtal("doctor", data.store, "--tags", other, code=1)
    assert "[no-common-video]" in said
    assert "v_1.mp4" in said


def test_convert_makes_a_store_that_trains(data: Data, tmp_path: Path) -> None:
    rgb = tmp_path / "raw" / "train" / "rgb"
    rgb.mkdir(parents=True)
    for path in data.store.glob("*.npy"):
        np.save(rgb / path.name, np.load(path))
    out = tmp_path / "converted"
    said = wtal("convert", tmp_path / "raw", "--out", out, "--fps", "25", "--stride", "16")
    assert "18 videos written" in said
    run = ("train", data.config, "-f", out, "--tags", data.tags, "--out", tmp_path / "r")
    wtal(*run, *SMALL)


def test_convert_never_guesses_the_time_base(data: Data, tmp_path: Path) -> None:
    (data.store / "manifest.json").unlink()
    assert "fps" in sentence("convert", data.store, "--out", tmp_path / "out")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried ...")])
def test_a_lack_of_memory_names_the_settings_that_help(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(training, "train_step", fails)
    base = ("train", data.config, "-f", data.store, "--tags", data.tags, *SMALL)
    line = sentence(*base, "--out", tmp_path / "r")
    assert "train.batch_size" in line
    assert "--device cpu" in line


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("extract", "v", "--encoder", "s3d", "--out", "o"), "--batch 1, --workers 1"),
        (("probe", "v", "--labels", "l.csv", "--encoder", "s3d"), "--batch 1"),
        (
            ("probe", "v", "--labels", "l.csv", "--encoder", "s3d", "--finetune"),
            "--batch 1, -o finetune.batch=8",
        ),
        (("pretrain", "cvrl", "v", "--out", "o.safetensors"), "-o optim.batch=16"),
        (
            ("pretrain", "coclr", "v", "--out", "o.safetensors"),
            "-o init.batch=16, -o cycle.batch=16",
        ),
    ],
)
def test_a_lack_of_memory_names_options_that_the_command_takes(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], advice: str
) -> None:
    module: Any = importlib.import_module(f"wtal.{words[0]}")
    read = module.Words.config if words[0] == "probe" else module.Words.settings

    def fails(*given: object, **_: object) -> None:
        read(next(each for each in given if isinstance(each, module.Words)))
        raise MemoryError

    monkeypatch.setattr(module, "run", fails)
    line = sentence(*words)
    assert (
        line == f"error: Out of memory, on the GPU if there is one; {advice} or --device cpu helps."
    )
    assert sentence(*words, *advice.replace(",", "").split()) == line


def test_a_lack_of_memory_names_no_options_where_none_help(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise MemoryError

    # The package has a function of this name, too: the module is asked for by name.
    monkeypatch.setattr(importlib.import_module("wtal_features.convert"), "convert", fails)
    line = sentence("convert", data.store, "--out", tmp_path / "out")
    assert line.startswith("error: Out of memory; ")
    assert " -" not in line


def test_a_full_disk_keeps_the_last_good_checkpoint(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = [0]
    real = os.replace

    def full_after_the_first_state(source: str, target: str) -> None:
        saves[0] += str(target).endswith("checkpoint.safetensors")
        if saves[0] > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full_after_the_first_state)
    files = ("-f", data.store, "--tags", data.tags, "--out", tmp_path / "r")
    base = ("train", data.config, *files, *SMALL, "-o", "train.checkpoint_every=2")
    assert "No space is left" in sentence(*base)
    monkeypatch.undo()
    assert load_state(tmp_path / "r" / STATE_FILE).step == 2
    assert not list((tmp_path / "r").rglob(".wtal-tmp-*"))
    assert "trained after 4 steps" in wtal(*base, "--resume")


def test_hostile_labels_and_names_stay_text(data: Data, tmp_path: Path) -> None:
    hostile = '"</script><img onerror=x>"'
    data.tags.write_text(data.tags.read_text().replace("Jump", hostile.replace('"', "")))
    run = trained(data, tmp_path / "run")
    wtal("localize", run, "-f", data.store, "--tags", data.tags, "--subset", "test")
    scores = json.loads((run / "detections.json").read_text())["video_scores"]
    assert "</script><img onerror=x>" in next(iter(scores.values()))
    data.tags.write_text("video,label\n../../outside,Jump\n")
    base = ("train", data.config, "-f", data.store, "--tags", data.tags, *SMALL)
    assert "path separator" in sentence(*base, "--out", tmp_path / "r")


def test_a_background_only_video_trains_beside_tagged_ones(data: Data, tmp_path: Path) -> None:
    lines = data.tags.read_text().splitlines()
    lines[1] = "video_000,,training"
    data.tags.write_text("\n".join(lines) + "\n")
    run = trained(data, tmp_path / "run")
    assert (run / "model.safetensors").exists()


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(data: Data) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "wtal", "doctor", str(data.store), "--tags", str(data.tags)]
    with os.fdopen(writes, "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment)
    assert done.returncode == 1
    assert b"error" not in done.stderr
    assert b"Traceback" not in done.stderr
