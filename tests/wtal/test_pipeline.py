"""`wtal run`: each stage does what is new and nothing else, and a kill costs little."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.wtal.pipelining import FAST, TAGS, Bench, contents, film, work_here, write_tags
from wtal.cli import app
from wtal.errors import Stopped, WtalError
from wtal.localize import Localizer
from wtal.pipeline import (
    Telling,
    Words,
    exporting,
    extraction,
    learning,
    localizing,
    pretraining,
    reporting,
    run,
)
from wtal.pretrain import Words as PretrainWords
from wtal_features import FeatureError
from wtal_features.files import lock, make_folder
from wtal_features.methods.catalog import METHODS

pytest.importorskip("av", reason="pip install 'wtal[video]'")
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed, name in enumerate("abcdef"):
        film(folder / f"{name}.mp4", seed)
    return folder


@pytest.fixture(scope="module")
def finished(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the four tagged videos and one without tag were run."""
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        bench = fresh(root, films, work_here(patch))
        bench.run()
    return root


def fresh(root: Path, films: Path, asked: list[str]) -> Bench:
    """Four tagged videos and one without tag, and no run yet."""
    bench = Bench(root, asked)
    bench.videos.mkdir(parents=True)
    for name in "abcde":
        shutil.copy2(films / f"{name}.mp4", bench.videos)
    write_tags(bench.tags, TAGS)
    return bench


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return work_here(monkeypatch)


@pytest.fixture
def bench(finished: Path, tmp_path: Path, here: list[str]) -> Bench:
    """A copy of the finished run, to go on with."""
    shutil.copytree(finished, tmp_path / "r", copy_function=shutil.copy2)
    return Bench(tmp_path / "r", here)


@pytest.fixture
def new(films: Path, tmp_path: Path, here: list[str]) -> Bench:
    return fresh(tmp_path / "n", films, here)


def stages(bench: Bench) -> dict[str, str]:
    """What was said of each stage."""
    lines = [line.partition(": ") for line in bench.said]
    return {name: text for name, _, text in lines if " " not in name}


# What a first run leaves --------------------------------------------------------------------------


def test_a_folder_of_videos_and_tags_becomes_a_page_and_exports(finished: Path) -> None:
    out = finished / "out"
    found = json.loads((out / "detections.json").read_text())["results"]
    assert set(found) == set("abcde")
    assert (out / "report.html").stat().st_size > 1000
    assert (out / "exports/detections.csv").read_text().startswith("video,label,score,start_s")
    for folder, ending in (("webvtt", "vtt"), ("eaf", "eaf")):
        assert {path.name for path in (out / "exports" / folder).glob(f"*.{ending}")} == {
            f"{name}.{ending}" for name in "abcde"
        }
    assert (out / "checks.txt").read_text().count("no-tags") == 1
    assert json.loads((out / "skipped.json").read_text()) == {}


def test_a_video_that_was_learned_from_is_exported_with_segments_of_its_tags_alone(
    finished: Path,
) -> None:
    rows = (finished / "out/exports/detections.csv").read_text().splitlines()[1:]
    labels: dict[str, set[str]] = {}
    for row in rows:
        video, label, *_ = row.split(",")
        labels.setdefault(video, set()).add(label)
    assert {video: labels[video] for video in TAGS} == {v: {tag} for v, tag in TAGS.items()}


# What a later run does ----------------------------------------------------------------------------


def test_a_second_run_does_nothing_and_leaves_every_byte(bench: Bench) -> None:
    before = contents(bench.out)
    result = bench.run()
    assert not result.new
    assert bench.decoded == []
    assert contents(bench.out) == before
    assert "nothing is new: all is as the last run left it" in bench.said
    assert not any(line.startswith("expected") for line in bench.said)
    assert stages(bench)["extract"] == "5 videos, 0 new, 5 unchanged"
    assert stages(bench)["train"] == "4 videos, unchanged"
    assert stages(bench)["localize"] == "5 videos, 0 new, 5 unchanged"
    assert stages(bench)["export"].endswith("eaf (unchanged)")
    assert stages(bench)["report"] == "unchanged"


def test_a_new_video_without_a_tag_is_one_videos_work(bench: Bench, films: Path) -> None:
    model = contents(bench.out / "model")
    before = json.loads((bench.out / "detections.json").read_text())["results"]
    shutil.copy2(films / "f.mp4", bench.videos)
    result = bench.run()
    assert (result.extracted, result.trained, result.localized) == (1, False, 1)
    assert bench.decoded == ["f.mp4"]
    assert [line for line in bench.said if line.startswith("expected")] == [
        "expected on this machine: extract not measured (--preview does it); disk 1 MiB"
    ]
    assert stages(bench)["extract"].startswith("6 videos, 1 new, 5 unchanged")
    assert stages(bench)["localize"].startswith("6 videos, 1 new, 5 unchanged")
    assert contents(bench.out / "model") == model
    after = json.loads((bench.out / "detections.json").read_text())["results"]
    assert {video: after[video] for video in before} == before
    assert "f" in after
    assert '"f"' in (bench.out / "report.html").read_text()


def test_a_new_video_with_a_tag_is_extracted_alone_and_all_is_learned_anew(
    bench: Bench, films: Path
) -> None:
    shutil.copy2(films / "f.mp4", bench.videos)
    write_tags(bench.tags, TAGS | {"f": "right"})
    result = bench.run()
    assert (result.extracted, result.trained, result.localized) == (1, True, 6)


def test_a_tag_that_changes_costs_a_training_and_no_extraction(bench: Bench) -> None:
    write_tags(bench.tags, TAGS | {"a": "right"})
    result = bench.run()
    assert bench.decoded == []
    assert (result.extracted, result.trained, result.localized) == (0, True, 5)
    assert any(line.startswith("expected on this machine: train") for line in bench.said)


def test_a_file_that_says_the_same_tags_in_another_order_changes_nothing(bench: Bench) -> None:
    write_tags(bench.tags, dict(reversed([(f"{v}.mp4", tag) for v, tag in TAGS.items()])))
    assert not bench.run().new


def test_a_removed_video_disappears_from_the_results(bench: Bench) -> None:
    (bench.videos / "e.mp4").unlink()
    result = bench.run()
    assert (result.extracted, result.trained, result.localized) == (0, False, 0)
    assert set(json.loads((bench.out / "detections.json").read_text())["results"]) == set("abcd")
    assert not (bench.out / "exports/eaf/e.eaf").exists()


def test_a_removed_training_video_is_learned_from_no_more(bench: Bench) -> None:
    (bench.videos / "d.mp4").unlink()
    assert bench.run().trained
    assert "1 name in" in bench.warned[0]


def test_how_segments_are_cut_is_changed_without_training(bench: Bench) -> None:
    overrides = (*bench.words().overrides, "localize.max_detections=1")
    result = bench.run(overrides=overrides)
    assert (result.trained, result.localized) == (False, 5)
    assert result.found.segments == 5
    assert not any(line.startswith("expected") for line in bench.said)


def test_options_that_come_to_the_same_are_no_other_options(bench: Bench) -> None:
    assert not bench.run(overrides=("train.steps=9", *FAST)).new
    assert not any(line.startswith("expected") for line in bench.said)


def test_the_folder_of_a_whole_run_is_told_from_that_of_its_model(finished: Path) -> None:
    with pytest.raises(WtalError, match=r"train one first\. The run that .* is .*model\.$"):
        Localizer.load(finished / "out")


def test_another_encoder_replaces_the_features_and_says_so(bench: Bench) -> None:
    result = bench.run(encoders=("null",))
    assert (result.extracted, result.trained) == (5, True)
    assert any("all is extracted" in line for line in bench.said)


def test_the_sure_ones_are_learned_again_with_the_model_alone(bench: Bench, films: Path) -> None:
    calibrated = (*FAST[:-1], "calibrate.folds=2")
    first = bench.run(overrides=calibrated)
    assert (first.trained, first.localized) == (False, 0)
    assert first.found.threshold is not None
    about = json.loads((bench.out / "detections.json").read_text())["external_data"]
    assert about["calibration"]["threshold"] == first.found.threshold
    shutil.copy2(films / "f.mp4", bench.videos)
    bench.run(overrides=calibrated)
    assert stages(bench)["calibrate"].endswith("unchanged")
    write_tags(bench.tags, TAGS | {"f": "right"})
    bench.run(overrides=calibrated)
    assert not stages(bench)["calibrate"].endswith("unchanged")


def test_a_scale_of_too_few_videos_is_left_out_and_said(bench: Bench) -> None:
    result = bench.run(overrides=FAST[:-1])
    assert stages(bench)["calibrate"] == "left out, for it needs 6 tagged videos"
    assert result.found.threshold is None


def test_videos_in_which_nothing_happens_are_said_once_and_are_no_warning(
    bench: Bench, films: Path
) -> None:
    shutil.copy2(films / "f.mp4", bench.videos)
    write_tags(bench.tags, {**TAGS, "e": "", "f": ""})
    bench.run(overrides=(*FAST, "calibrate.folds=3"))
    said = [text for text in bench.said if "none of the actions" in text]
    assert said == ["2 training videos show none of the actions, as the tags say: e, f"]
    assert not any("none of the actions" in text for text in bench.warned)


def test_an_export_that_was_asked_for_once_is_kept_up_to_date(bench: Bench, films: Path) -> None:
    assert bench.run(exports=("edl",)).formats == ("csv", "webvtt", "eaf", "edl")
    shutil.copy2(films / "f.mp4", bench.videos)
    bench.run()
    assert (bench.out / "exports/edl/f.edl").is_file()


def test_corrections_are_learned_from_also_in_videos_without_a_tag(bench: Bench) -> None:
    added = {"label": "left", "segment": [0.2, 0.8], "verdict": "added"}
    said = {"e": {"complete": False, "segments": [added]}}
    file = bench.root / "corrections.json"
    file.write_text(json.dumps({"format": "wtal corrections 1", "videos": said}))
    result = bench.run(corrections=file)
    assert (result.extracted, result.trained) == (0, True)
    assert stages(bench)["train"].startswith("5 videos, ")
    assert f"{file}: corrections of 1 video" in bench.said
    assert stages(bench)["export"] == "csv, webvtt, eaf (written)"
    assert "e,left" in (bench.out / "tags.csv").read_text()
    assert not bench.run(corrections=file).new
    assert not any("--corrections" in text for text in bench.warned)
    # Left out, they are learned from no more: that is said before the work, once.
    assert bench.run().trained
    assert f"learned from {file}; this one does not: add --corrections" in bench.warned[-1]
    bench.run()
    assert not any("--corrections" in text for text in bench.warned)


def test_annotations_score_the_result_and_without_tags_their_labels_serve(bench: Bench) -> None:
    database = {
        video: {
            "subset": "training" if video in "ab" else "test",
            "duration": 1.2,
            "annotations": [{"label": tag, "segment": [0.2, 0.8]}],
        }
        for video, tag in TAGS.items()
    }
    file = bench.root / "annotations.json"
    file.write_text(json.dumps({"database": database}))
    scored = bench.run(annotations=file)
    assert not scored.trained
    assert "mAP" in scored.figure
    alone = bench.run(annotations=file, tags=None)
    assert alone.trained
    assert stages(bench)["train"].startswith("2 videos, ")


# Stops --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (extraction, "write_json"),
        (learning, "train"),
        (localizing, "write_results"),
        (exporting, "choosing"),
        (reporting, "make_report"),
    ],
)
def test_a_run_that_dies_in_any_stage_goes_on_and_ends_like_one_that_did_not(
    new: Bench, finished: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    class Killed(BaseException):
        """Nothing of ours catches it, as nothing catches a kill."""

    def die(*args: object, **more: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, name, die)
        with pytest.raises(Killed):
            new.run()
    new.run()
    assert _lasting(new.out) == _lasting(finished / "out")


def _lasting(out: Path) -> dict[str, str]:
    """What must not depend on how often a run was stopped: no times, no file stamps."""
    names = ("model/model.safetensors", "detections.json", "tags.csv", "exports/detections.csv")
    found = contents(out)
    kept = [name for name in found if name in names or name.endswith((".npy", ".vtt"))]
    return {name: found[name] for name in kept}


def test_a_run_that_was_killed_while_it_wrote_its_first_ledger_goes_on(new: Bench) -> None:
    new.out.mkdir()
    (new.out / ".wtal-tmp-0123456789abcdef").write_bytes(b"{")
    assert new.run().extracted == 5
    assert not list(new.out.rglob(".wtal-tmp-*"))


def test_ctrl_c_ends_in_a_sentence_that_says_how_to_go_on(
    new: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(extraction, "extract", stop)
        with pytest.raises(Stopped, match=r"what is finished is kept in .* goes on"):
            new.run()
    assert new.run().extracted == 5


def test_a_full_disk_ends_in_a_sentence(new: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(learning, "train", full)
    with pytest.raises(WtalError, match=r"No space is left for .* the same command goes on"):
        new.run()


def test_a_second_run_in_one_folder_is_refused(bench: Bench) -> None:
    with lock(bench.out), pytest.raises(FeatureError, match="in use by another run"):
        bench.run()


# Odd inputs ---------------------------------------------------------------------------------------


def test_a_broken_video_is_named_and_the_others_go_on(bench: Bench) -> None:
    (bench.videos / "broken.mp4").write_bytes(b"no video")
    result = bench.run()
    assert list(result.skipped) == ["broken"]
    assert result.videos == 5
    assert "broken" in json.loads((bench.out / "skipped.json").read_text())
    assert stages(bench)["extract"].endswith("1 skipped")
    assert bench.run().skipped == result.skipped
    assert bench.decoded == []  # as long as the file stays as it is
    assert not any(line.startswith("expected") for line in bench.said)


def test_a_tagged_video_that_is_cut_short_costs_no_second_training_and_its_cure_works(
    bench: Bench,
) -> None:
    film(bench.videos / "f.avi", 5)
    content = (bench.videos / "f.avi").read_bytes()
    (bench.videos / "f.avi").write_bytes(content[: len(content) * 2 // 3])
    write_tags(bench.tags, TAGS | {"f": "right"})
    skipped = bench.run().skipped
    assert "-o extract.partial=true" in skipped["f"]
    assert "--partial" not in skipped["f"]
    again = bench.run()
    assert not again.new
    assert not any(line.startswith("expected") for line in bench.said)
    kept = bench.run(overrides=(*FAST, "extract.partial=true"))
    assert kept.skipped == {}
    assert kept.trained


def test_the_command_ends_in_exit_code_1_if_a_video_was_skipped_unless_told_otherwise(
    bench: Bench,
) -> None:
    (bench.videos / "broken.mp4").write_bytes(b"no video")
    words = ["run", bench.videos, "--tags", bench.tags, "--out", bench.out, "--device", "cpu"]
    words += ["--encoder", "colour-histogram"]
    for override in bench.words().overrides:
        words += ["-o", override]
    ended = CliRunner().invoke(app, [str(word) for word in words])
    assert ended.exit_code == 1, ended.output
    assert "1 video was skipped:\n  broken: " in ended.output
    last = [
        line for line in ended.output.splitlines() if line[:6] in ("found:", "where:", "look: ")
    ]
    assert len(last) == 3
    ended = CliRunner().invoke(app, [str(word) for word in [*words, "--keep-going", "-q"]])
    assert ended.exit_code == 0


def test_a_training_video_that_breaks_is_learned_from_no_more(bench: Bench) -> None:
    (bench.videos / "d.mp4").write_bytes(b"no video")
    result = bench.run()
    assert list(result.skipped) == ["d"]
    assert result.trained
    assert set(json.loads((bench.out / "detections.json").read_text())["results"]) == set("abce")


def test_names_with_spaces_and_letters_of_any_script_go_through(new: Bench, films: Path) -> None:
    for old, name in (("a", "erste Aufnahme"), ("b", "跳 é & co")):
        (new.videos / f"{old}.mp4").rename(new.videos / f"{name}.mp4")
    write_tags(new.tags, {"erste Aufnahme.mp4": "left", "跳 é & co": "right", "c": "left"})
    result = new.run()
    assert result.videos == 5
    assert (new.out / "exports/webvtt/跳 é & co.vtt").is_file()


def test_equal_names_in_two_folders_are_both_named_and_left_out(bench: Bench, films: Path) -> None:
    make_folder(bench.videos / "x")
    make_folder(bench.videos / "y")
    for folder in ("x", "y"):
        shutil.copy2(films / "f.mp4", bench.videos / folder)
    write_tags(bench.tags, {**TAGS, "f.mp4": "left"})
    result = bench.run()
    assert list(result.skipped) == ["f"]
    assert "2 files have this name" in result.skipped["f"]
    # Before anything is extracted, not after it.
    assert bench.warned[0].startswith("f: 2 files have this name, and none of them is used: 'x/f.")
    assert not any("no video" in text for text in bench.warned)


def test_folders_that_are_called_like_subsets_say_what_is_learned_from(new: Bench) -> None:
    for subset, names in (("train", "ab"), ("test", "cde")):
        make_folder(new.videos / subset)
        for name in names:
            (new.videos / f"{name}.mp4").rename(new.videos / subset / f"{name}.mp4")
    new.run()
    assert stages(new)["train"].startswith("2 videos, 3 steps")
    assert set(json.loads((new.out / "detections.json").read_text())["results"]) == set("abcde")


def test_tags_of_no_video_are_refused_before_anything_is_written(new: Bench) -> None:
    write_tags(new.tags, {"video_a": "left"})
    with pytest.raises(WtalError, match=r"No name in .* fits a video: .* 'a', .* 'video_a'"):
        new.run()
    assert not new.out.exists()


def test_two_videos_of_one_class_and_one_video_alone_are_defined_and_said(new: Bench) -> None:
    write_tags(new.tags, {"a": "left"})
    assert new.run().found.classes == 1
    assert any(text.startswith("One tagged video") for text in new.warned)
    assert any(text.startswith("One class") for text in new.warned)
    write_tags(new.tags, {"a": "left", "b": "right", "c": "left"})
    new.run()
    assert any("1 class has one video to learn from: right" in text for text in new.warned)


def test_a_preview_says_what_it_will_take_and_writes_nothing(new: Bench) -> None:
    said: list[str] = []
    assert run(new.words(), telling=Telling(say=said.append), preview=True) is None
    assert any(line.startswith("expected on this machine: extract ") for line in said)
    assert not new.out.exists()


def test_a_preview_names_a_video_that_is_cut_short_and_what_to_do(new: Bench) -> None:
    for name in "bcde":  # a preview looks at a few
        (new.videos / f"{name}.mp4").unlink()
    film(new.videos / "f.avi", 5)
    content = (new.videos / "f.avi").read_bytes()
    (new.videos / "f.avi").write_bytes(content[: len(content) * 2 // 3])
    warned: list[str] = []
    run(new.words(), telling=Telling(warn=warned.append), preview=True)
    (said,) = (text for text in warned if "extract.partial=true" in text)
    assert said.startswith("f: ")


def test_a_folder_that_holds_something_else_is_refused(new: Bench) -> None:
    make_folder(new.out)
    (new.out / "thesis.tex").write_text("dear")
    with pytest.raises(WtalError, match=r"holds 'thesis\.tex' and was not made by `wtal run`"):
        new.run()
    with pytest.raises(WtalError, match="lies in the folder of the videos"):
        new.run(out=new.videos / "results")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"tags": None}, "Say what happens in the videos: --tags"),
        ({"pretrain": "tca", "encoders": ()}, "makes no encoder, but context"),
        ({"pretrain": "cvlr", "encoders": ()}, "Did you mean cvrl?"),
        ({"pretrain": "cvrl"}, "leave --encoder away"),
        ({"exports": ("efa",)}, "Did you mean eaf?"),
        ({"overrides": ("extract.fsp=3",)}, "'extract.fps'"),
        ({"overrides": ("train.stpes=3",)}, "'train.steps'"),
        ({"overrides": ("pretrain.optim.steps=3",)}, "needs --pretrain METHOD"),
    ],
)
def test_a_slip_in_the_options_is_refused_before_anything_is_read(
    tmp_path: Path, more: dict[str, Any], sentence: str
) -> None:
    given: dict[str, Any] = {"tags": tmp_path / "t.csv", "encoders": ("null",)}
    with pytest.raises(WtalError, match=sentence):
        Words(tmp_path, **(given | more))


def test_a_wrong_folder_is_told_before_tags_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = Words(tmp_path / "empty", tags=tmp_path / "none.csv", out=tmp_path / "out")
    with pytest.raises(FeatureError, match="holds no video by its name"):
        run(words)
    words = Words(tmp_path / "videso", tags=tmp_path / "none.csv", out=tmp_path / "out")
    with pytest.raises(FeatureError, match="videso does not exist; expected a folder of videos"):
        run(words)


def test_results_go_beside_the_videos_unless_told_otherwise(tmp_path: Path) -> None:
    assert Words(tmp_path / "lab", tags=tmp_path).folder == (tmp_path / "lab-wtal").resolve()


# Pre-training, and real processes -----------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(pretraining.SMALL))
def test_the_small_settings_of_a_method_are_its_own(method: str, tmp_path: Path) -> None:
    asked = PretrainWords(method, tmp_path / "e.safetensors", overrides=pretraining.SMALL[method])
    assert asked.settings().clips.size == 64


def test_every_method_that_makes_an_encoder_has_small_settings() -> None:
    assert set(pretraining.SMALL) == set(METHODS) - {"tca"}


@pytest.mark.slow
def test_an_encoder_is_trained_once_and_new_videos_leave_it_alone(new: Bench, films: Path) -> None:
    tiny = (
        *("clips.size=32", "clips.frames=8", "clips.every=1", "network.width=.125"),
        *("optim.steps=2", "optim.batch=4", "queue.slots=8", "queue.dim=16", "run.loaders=0"),
    )
    given = {
        "encoders": (),
        "pretrain": "infonce",
        "overrides": (*FAST, *(f"pretrain.{text}" for text in tiny)),
    }
    first = new.run(**given)
    assert first.extracted == 5
    encoder = contents(new.out / "encoder")
    assert "infonce.safetensors" in encoder
    assert not new.run(**given).new
    shutil.copy2(films / "f.mp4", new.videos)
    result = new.run(**given)
    assert (result.extracted, result.trained, result.localized) == (1, False, 1)
    assert contents(new.out / "encoder") == encoder


@pytest.mark.slow
def test_kill_9_in_the_training_costs_what_is_after_the_last_checkpoint(
    bench: Bench, tmp_path: Path
) -> None:
    long = (*FAST[1:], "train.steps=40", "train.checkpoint_every=1")
    shutil.copytree(bench.root, tmp_path / "whole", copy_function=shutil.copy2)
    words = [sys.executable, "-m", "wtal", "run", bench.videos, "--tags", bench.tags]
    words += ["--out", bench.out, "--encoder", "colour-histogram", "--device", "cpu", "-q"]
    words += [word for override in long for word in ("-o", override)]
    state = bench.out / "model/state/checkpoint.safetensors"
    old = state.stat().st_mtime_ns
    with subprocess.Popen([str(word) for word in words]) as process:
        while not state.exists() or state.stat().st_mtime_ns == old:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not json.loads((bench.out / "run.json").read_text())["stages"]["train"]["finished"]
    assert bench.run(overrides=long).trained
    whole = Bench(tmp_path / "whole", [])
    whole.run(overrides=long)
    assert _lasting(bench.out) == _lasting(whole.out)
