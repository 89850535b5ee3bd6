"""`wtal report` as a command: what the page holds is what the files and the evaluator say."""

import json
import shutil
import tracemalloc
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.synthetic import CLASSES
from tests.wtal.exporting import HOSTILE, write_results
from tests.wtal.reporting import Page, Toy, curve, make_toy, sentence, told
from wtal.calibration import CALIBRATION_FILE, Calibration
from wtal.calibration.identity import identity_of
from wtal.localize import Localizer
from wtal.proposals import normalise
from wtal.report import Cost, make_report
from wtal.report.blocks import Blocks
from wtal.report.choice import choose
from wtal.report.gathering import Gathered
from wtal.runs import DETECTIONS_FILE as RESULT_FILE
from wtal_eval import evaluate, read_detections
from wtal_features import open_store

FIRST = "video_012"  # of the six that are localized


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return make_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def toy(made: Toy, tmp_path: Path) -> Toy:
    """The run in a folder of its own; features and labels are shared."""
    return replace(made, folder=tmp_path, run=Path(shutil.copytree(made.run, tmp_path / "run")))


@pytest.fixture(scope="module")
def page(made: Toy) -> Page:
    out = made.folder / "shared.html"
    told("report", made.run, "--annotations", made.annotations, "--out", out)
    return Page(out)


def report(toy: Toy, *words: object, code: int = 0) -> tuple[Page, str]:
    said = told("report", toy.run, *words, code=code)
    return Page(toy.run / "report.html"), said


def plain(text: str) -> str:
    return " ".join(text.split())


# -- numbers --------------------------------------------------------------------------------------


def test_the_scores_of_the_page_are_those_of_the_evaluator(made: Toy, page: Page) -> None:
    expected = evaluate(made.run / RESULT_FILE, made.annotations)
    table = page.index["overview"]["map"]
    assert table["tiou"] == list(expected.tiou)
    assert table["rows"][0] == {
        "name": "this result",
        "map": list(expected.map),
        "averages": expected.averages,
    }
    baselines = [(row["map"], row["averages"]) for row in table["rows"][1:]]
    names = ("whole_video", "whole_video_predicted")
    rows = [expected.baselines[name] for name in names]
    assert baselines == [(list(row.map), row.averages) for row in rows]
    tenths = [expected.tiou.index(t) for t in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)]
    average = {one.label: np.mean([one.ap[j] for j in tenths]) for one in expected.per_class}
    found = {one["label"]: one for one in page.index["overview"]["per_class"]}
    assert page.index["overview"]["ap_name"] == "0.1:0.7"
    for one in expected.per_class:
        assert found[one.label]["ap"] == pytest.approx(average[one.label])
        assert found[one.label]["segments"] == one.npos
        assert found[one.label]["detections"] == one.detections


def test_other_results_stand_beside_it_under_their_names(toy: Toy) -> None:
    other = write_results(toy.folder / "other.json", {FIRST: [("Jump", 0, 10, 0.5)]})
    found, _ = report(
        *(toy, "--annotations", toy.annotations),
        *("--versus", f"BaS-Net={toy.run}", "--versus", f"poor <b>={other}"),
    )
    rows = found.index["overview"]["map"]["rows"]
    assert [row["name"] for row in rows[-2:]] == ["BaS-Net", "poor <b>"]
    assert rows[-2]["map"] == rows[0]["map"]
    assert rows[-1]["map"] == list(evaluate(other, toy.annotations).map)


def test_the_detections_are_those_of_the_file_rounded(made: Toy, page: Page) -> None:
    detections = read_detections(str(made.run / RESULT_FILE))
    assert len(page.index["detections"]["score"]) == len(detections) > 0
    content = json.loads((made.run / RESULT_FILE).read_text())["results"]
    for video in page.names:
        end_s = page.of(video)["duration_s"]
        expected = [
            (d["label"], *np.clip(d["segment"], 0, end_s).round(3), round(d["score"], 4))
            for d in content[video]
        ]
        found = page.detections(video)
        assert [row[1] for row in found] == sorted(row[1] for row in found)
        assert np.allclose(
            sorted(row[1:] for row in found), sorted(row[1:] for row in expected), atol=1e-9
        )
        assert sorted(row[0] for row in found) == sorted(row[0] for row in expected)


def test_curves_are_what_the_model_says_within_a_255th(made: Toy, page: Page) -> None:
    localizer, store = Localizer.load(made.run), open_store(made.features)
    for video in page.names:
        block = page.block(video)
        scores = localizer.scores(store.read(video))
        curves, tagged = block["curves"], page.of(video)["tags"]
        assert curves["step_s"] == 16 / 25
        assert set(tagged) <= set(curves["classes"])
        detected = {page.index["classes"].index(row[0]) for row in page.detections(video)}
        assert set(curves["classes"]) == detected | set(tagged)
        expected_CT = normalise(scores.cas_TC).clip(0, 1)
        for c, text in zip(curves["classes"], curves["cas"], strict=True):
            assert np.abs(curve(text) - expected_CT[c]).max() <= 1 / 255
        assert np.abs(curve(curves["attention"]) - scores.attention_T).max() <= 1 / 255
        written = {int(c): p for c, p in block["class_scores"].items()}
        assert written == pytest.approx(dict(enumerate(scores.class_scores_C.tolist())), abs=1e-4)


def test_truth_tags_subsets_and_durations_are_those_of_the_annotations(
    made: Toy, page: Page
) -> None:
    database = json.loads(made.annotations.read_text())["database"]
    assert page.index["classes"] == list(CLASSES)
    for video in page.names:
        entry, row = database[video], page.of(video)
        ((label, start, end),) = page.block(video)["truth"]
        assert page.index["classes"][label] == entry["annotations"][0]["label"]
        assert [start, end] == pytest.approx(entry["annotations"][0]["segment"], abs=5e-4)
        assert (row["truth"], row["subset"], row["note"]) == (1, "test", None)
        assert row["duration_s"] == pytest.approx(entry["duration"], abs=5e-4)
        assert [page.index["classes"][c] for c in row["tags"]] == [entry["annotations"][0]["label"]]


def test_a_calibrated_result_shows_confidences_and_how_often_they_are_right(toy: Toy) -> None:
    model = identity_of(toy.run, Localizer.load(toy.run))
    scale = Calibration((0.0, 0.5), (0.0, 0.9), 0.2, model)
    (toy.run / CALIBRATION_FILE).write_text(json.dumps(scale.to_json()))
    found, _ = report(toy, "--annotations", toy.annotations)
    assert found.index["measure"] == "confidence"
    assert found.index["threshold"] == 0.36
    raw = read_detections(str(toy.run / RESULT_FILE)).score
    expected = scale.confidence(raw).round(4)
    assert sorted(found.index["detections"]["score"]) == sorted(expected.tolist())
    bins = found.index["overview"]["calibration"]["bins"]
    assert sum(one["count"] for one in bins) == len(raw)
    # What the result file carries goes before what lies in the run.
    content = json.loads((toy.run / RESULT_FILE).read_text())
    content["external_data"]["calibration"] = replace(scale, threshold=0.4).to_json()
    (toy.run / RESULT_FILE).write_text(json.dumps(content))
    assert report(toy)[0].index["threshold"] == 0.72


@pytest.mark.parametrize("content", ["", "{}", '{"format": "else"}', "OTHER"])
def test_a_calibration_that_is_none_or_of_other_weights_leaves_plain_scores_aloud(
    content: str, toy: Toy
) -> None:
    other = Calibration((0.0, 0.5), (0.0, 0.9), 0.2, "other weights")
    text = json.dumps(other.to_json()) if content == "OTHER" else content
    (toy.run / CALIBRATION_FILE).write_text(text)
    found, said = report(toy)
    assert found.index["measure"] == "score"
    assert CALIBRATION_FILE in said
    assert "warning: " in said


# -- what is found without being named ------------------------------------------------------------


def test_a_run_alone_brings_its_tags_features_and_the_cost_of_its_training(toy: Toy) -> None:
    found, said = report(toy)
    assert f"features: {toy.features}, as the run has them" in said
    assert f"tags: {toy.tags}, as the run has them" in said
    assert found.index["overview"]["map"] is None
    (cost,) = found.index["overview"]["costs"]
    assert (cost["stage"], cost["what"]) == ("training", "4 steps, 4 of them timed")
    assert all(found.block(video)["curves"] for video in found.names)
    assert found.of(FIRST)["tags"] == [0]
    assert found.of(FIRST)["truth"] is None
    assert "6 videos" in said
    assert "no player, 6 with curves" in said
    assert "Open it in a browser; it needs no network." in said


def test_costs_that_are_handed_over_stand_instead_of_the_run_s(toy: Toy) -> None:
    costs = (Cost("extracting", 12.5, "6 videos"), Cost("training", 3.0))
    done = make_report(toy.folder / "x.html", toy.run, costs=costs, title="Mine")
    found = Page(done.path).index
    assert [cost["stage"] for cost in found["overview"]["costs"]] == ["extracting", "training"]
    assert found["title"] == "Mine"
    assert (done.videos, done.curves, done.playable, done.figure) == (6, 6, 0, "")


def test_a_store_that_is_gone_costs_the_curves_alone(toy: Toy) -> None:
    environment = json.loads((toy.run / "environment.json").read_text())
    environment["inputs"] |= {"features": str(toy.folder / "gone"), "labels": "gone\x00.csv"}
    (toy.run / "environment.json").write_text(json.dumps(environment))
    found, said = report(toy)
    assert "no curves" in said
    assert found.block(FIRST)["curves"] is None
    assert found.of(FIRST)["tags"] is None
    # The probabilities are in the result file.
    assert found.block(FIRST)["class_scores"]


def test_a_result_file_alone_makes_a_page(tmp_path: Path) -> None:
    results = write_results(tmp_path / "d.json", {"a": [("x", 1, 2, 0.5)], "quiet": []})
    assert "2 videos, 1 detection, no player, no curves" in told("report", results)
    found = Page(tmp_path / "d-report.html")
    assert found.index["overview"] is None
    assert found.index["source"] == f"test 1, {tmp_path.name}/d.json"
    assert found.detections("a") == [("x", 1, 2, 0.5)]
    assert found.detections("quiet") == []
    assert found.of("a") == dict.fromkeys(found.of("a")) | {"name": "a", "skipped": False}


def test_what_the_run_could_not_read_is_listed_with_the_reason_and_without_the_folder(
    toy: Toy,
) -> None:
    why = f"{toy.folder}/store/video_002.npy is truncated."
    faults = {"video_002": why, FIRST: "not any more"}
    (toy.run / "localize-skipped.json").write_text(json.dumps(faults))
    (toy.run / "skipped.json").write_text(
        json.dumps({"video_001": "holds NaN", "video_002": "old"})
    )
    found, said = report(toy)
    assert "6 videos, 2 skipped, " in plain(said)
    assert found.of("video_002")["note"] == "video_002.npy is truncated."
    assert found.of("video_001")["note"] == "holds NaN"
    assert found.of(FIRST)["note"] is None
    assert found.detections("video_002") == []
    assert [v for v in found.names if found.of(v)["skipped"]] == ["video_001", "video_002"]


def test_tags_that_are_named_go_before_the_labels_of_the_annotations(toy: Toy) -> None:
    tags = toy.folder / "tags.csv"
    tags.write_text(f"video,label\n{FIRST},Swim\nvideo_013,\n")
    found, _ = report(toy, "--annotations", toy.annotations, "--tags", tags)
    assert found.index["classes"] == [*CLASSES[:2], "Swim", CLASSES[2]]
    assert found.of(FIRST)["tags"] == [2]
    assert found.of("video_013")["tags"] == []
    assert found.of("video_014")["tags"] is None
    assert found.of("video_014")["subset"] == "test"
    assert 2 not in found.block(FIRST)["curves"]["classes"]  # the model does not know it


def test_a_subset_is_cut_from_the_page_and_from_the_scores(toy: Toy, tmp_path: Path) -> None:
    told("localize", toy.run, "-f", toy.features, "-q")
    everything, _ = report(toy)
    assert len(everything.names) == 18
    found, _ = report(toy, "--annotations", toy.annotations, "--subset", "training")
    assert len(found.names) == 12
    assert dict(found.index["about"])["Evaluated"] == "subset training, protocol thumos14"
    expected = evaluate(
        *(toy.run / RESULT_FILE, toy.annotations), subset="training", unknown_videos="ignore"
    )
    assert found.index["overview"]["map"]["rows"][0]["map"] == list(expected.map)
    by_tags, _ = report(toy, "--tags", toy.tags, "--subset", "test")
    assert by_tags.names == [f"video_{i:03d}" for i in range(12, 18)]


def test_names_meet_whatever_their_unicode_form(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "Müller é")
    results = write_results(tmp_path / "d.json", {name: [("x", 1, 2, 0.5)]})
    tags = tmp_path / "tags.csv"
    tags.write_text(f"video,label\n{name},x\n", encoding="utf-8")
    told("report", results, "--tags", tags)
    assert Page(tmp_path / "d-report.html").of(name)["tags"] == [0]


def test_corrections_are_in_the_page_but_for_videos_that_it_does_not_have(toy: Toy) -> None:
    segment = {"label": "Swim", "segment": [1.0, 2.0], "verdict": "added"}
    entry = {"complete": True, "segments": [segment]}
    content = {"format": "wtal corrections 1", "videos": {FIRST: entry, "other": entry}}
    file = toy.folder / "corrections.json"
    file.write_text(json.dumps(content))
    found, said = report(toy, "--corrections", file)
    assert found.corrections() == content | {"videos": {FIRST: entry}}
    assert "corrections of 1 videos that the page does not have" in said
    assert "Swim" in found.index["classes"]
    file.write_text('{"format": "else"}')
    assert "is no corrections file" in sentence(toy.run, "--corrections", file)


# -- many -----------------------------------------------------------------------------------------


def test_the_best_200_of_a_video_are_kept_aloud(tmp_path: Path) -> None:
    rows = [("x", i, i + 1, (i * 7919 % 5000) / 5000) for i in range(5000)]
    results = write_results(tmp_path / "d.json", {"long": rows, "short": rows[:3]})
    said = told("report", results)
    assert "4800 detections left out: the page holds the best 200 of each video" in said
    found = Page(tmp_path / "d-report.html")
    assert min(row[3] for row in found.detections("long")) == 4800 / 5000
    assert len(found.detections("short")) == 3
    assert "4800 left out" in dict(found.index["about"])["Detections"]
    assert "left out" not in told("report", results, "--top", 5000)
    assert len(Page(tmp_path / "d-report.html").detections("long")) == 5000


def test_blocks_of_2000_videos_are_made_one_at_a_time(tmp_path: Path) -> None:
    names = tuple(f"v{i:04d}" for i in range(2000))
    rows = [("x", i, i + 1.5, 0.5) for i in range(20)]
    results = write_results(tmp_path / "d.json", dict.fromkeys(names, rows))
    detections = read_detections(str(results))
    choice = choose(detections, names, ["x"], {}, top=9, calibration=None)
    drawn: list[str] = []

    class Drawer:
        store: Any = None

        def fault(self, video: str) -> None:
            return None

        def draw(self, video: str, wanted: list[int]) -> tuple[Any, dict[str, float]]:
            drawn.append(video)
            return np.zeros(100_000), {"x": 0.5}

    made = Blocks(Gathered(detections, names), ("x",), choice.found, Drawer()).made(  # type: ignore[arg-type]
        lambda done, total: None
    )
    assert next(made).class_scores == {0: 0.5}
    assert drawn == ["v0000"]
    tracemalloc.start()
    assert sum(1 for _ in made) == 1999
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # of 1.6e9 that all of them would take
    assert drawn == list(names)


# -- videos ---------------------------------------------------------------------------------------


@pytest.fixture
def cut_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers are read in this process: the same answers in milliseconds."""
    pytest.importorskip("av", reason="pip install 'wtal[video]'")
    from tests.wtal.cutting_here import Here

    monkeypatch.setattr("wtal.report.media.Cutter", Here)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("av", reason="pip install 'wtal[video]'")
    from tests.features.videos import numbered, write_video

    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", numbered(50), fps=25)


@pytest.mark.usefixtures("cut_here")
def test_a_video_is_linked_by_a_relative_url_and_ends_its_segments(
    film: Path, tmp_path: Path
) -> None:
    name = "a b #1 & é%"
    folder = tmp_path / "my videos" / "deep"
    folder.mkdir(parents=True)
    shutil.copy(film, folder / f"{name}.mp4")
    results = write_results(tmp_path / "d.json", {name: [("x", 1, 99, 0.5)], "gone": []})
    out = tmp_path / "out" / "x.html"
    said = told("report", results, "--videos", tmp_path / "my videos", "--out", out)
    assert "1 video without a file to play, the first 'gone'" in said
    assert "2 videos, 1 detection, 1 with a player" in said
    found = Page(out)
    row = found.of(name)
    assert row["media"] == "../my%20videos/deep/a%20b%20%231%20%26%20%C3%A9%25.mp4"
    assert (row["duration_s"], row["note"]) == (2.0, None)
    assert found.detections(name) == [("x", 1, 2, 0.5)]
    assert found.of("gone")["media"] is None
    assert found.of("gone")["note"] == "There is no video file of this name: nothing to play."
    assert str(tmp_path) not in found.text


@pytest.mark.usefixtures("cut_here")
def test_a_video_that_cannot_be_read_costs_itself_alone(film: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    (videos / "again").mkdir(parents=True)
    shutil.copy(film, videos / "good.mp4")
    (videos / "broken.mp4").write_bytes(b"no video at all" * 99)
    (videos / "twice.mp4").write_bytes(b"")
    (videos / "again" / "twice.mp4").write_bytes(b"")
    names = ("good", "broken", "twice", "../good", "good.mp4")
    results = write_results(tmp_path / "d.json", {name: [("x", 0, 1, 0.5)] for name in names})
    said = told("report", results, "--videos", videos, code=1)
    assert "2 videos are on the page with a note, for a file of it cannot be read:" in said
    assert "  broken: " in said
    found = Page(tmp_path / "d-report.html")
    assert {v for v in names if found.of(v)["media"]} == {"good"}
    assert found.of("broken")["note"].startswith("broken.mp4 ")
    assert "2 files have this name" in found.of("twice")["note"]
    assert len(found.index["detections"]["score"]) == 5
    told("report", results, "--videos", videos, "--keep-going")
    assert str(tmp_path) not in found.text


@pytest.mark.usefixtures("cut_here")
@pytest.mark.parametrize("seen_from", ["", "a folder/"])  # where the run was started
def test_what_run_and_page_both_say_of_a_file_is_said_once(
    toy: Toy, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen_from: str
) -> None:
    monkeypatch.chdir(tmp_path)
    videos = Path("videos")
    videos.mkdir()
    for video in (FIRST, "video_002"):
        shutil.copy(film, videos / f"{video}.mp4")
    (videos / "video_001.mp4").write_bytes(b"")
    why = "video_001.mp4 is empty; expected a video. Copy it again."
    skipped = {"video_001": f"{seen_from}videos/{why}", "video_002": "cut short"}
    (toy.run / "localize-skipped.json").write_text(json.dumps(skipped))
    found, said = report(toy, "--videos", videos, "--keep-going")
    assert found.of("video_001")["note"] == why
    # One that was skipped may be played, and does not count either.
    assert found.of("video_002")["media"] == "../videos/video_002.mp4"
    assert "6 videos, 2 skipped, " in plain(said)
    assert ", 1 with a player, " in plain(said)


@pytest.mark.usefixtures("cut_here")
def test_videos_of_other_names_are_one_sentence(film: Path, tmp_path: Path) -> None:
    results = write_results(tmp_path / "d.json", {"v_1": []})
    said = sentence(results, "--videos", film.parent)
    assert "names like 'film', the detections like 'v_1'" in said
    assert "does not exist" in sentence(results, "--videos", tmp_path / "none")


# -- what cannot be -------------------------------------------------------------------------------


def test_a_run_that_was_not_localized_is_told_how(toy: Toy) -> None:
    (toy.run / RESULT_FILE).unlink()
    assert f"run `wtal localize {toy.run} --features STORE` first" in sentence(toy.run)
    sweep = toy.folder / "sweep"
    shutil.copytree(toy.run, sweep / "seed-0")
    assert f"holds 1 run; name one of them, such as {sweep / 'seed-0'}" in sentence(sweep)
    assert not (toy.run / "report.html").exists()


def test_files_that_are_something_else_are_one_sentence(toy: Toy) -> None:
    run, truth = toy.run, toy.annotations
    assert "are the two files swapped?" in sentence(truth)
    assert "are the two files swapped?" in sentence(run, "--annotations", run / RESULT_FILE)
    assert "cannot be read" in sentence(toy.folder / "gone.json")
    bad = write_results(toy.folder / "bad.json", {"a": [("x", 3, 2, 0.5)]})
    assert "start <= end" in sentence(bad)
    assert "looks like the other kind of file" in sentence(run, "--tags", truth)
    assert "Protocol 'olympics' is unknown" in sentence(
        run, "--annotations", truth, "--protocol", "olympics"
    )
    assert "present: test, training" in sentence(run, "--annotations", truth, "--subset", "val")
    alone = write_results(toy.folder / "alone.json", {"a": []})
    assert "--subset needs --annotations" in sentence(alone, "--subset", "test")
    assert "is a folder; name a file, such as" in sentence(run, "--out", toy.folder)


def test_annotations_of_other_videos_are_one_sentence(toy: Toy) -> None:
    entry = {"subset": "test", "annotations": [{"label": "Jump", "segment": [0, 1]}]}
    other = toy.folder / "other.json"
    other.write_text(json.dumps({"database": {"v_1": entry}}))
    said = sentence(toy.run, "--annotations", other)
    assert "6 of 6 videos are not in the evaluated subset" in said
    assert "the annotation's ids look like 'v_1'" in said


def test_features_of_another_model_are_refused_and_the_page_stays(toy: Toy) -> None:
    report(toy)
    before = (toy.run / "report.html").read_bytes()
    other = Path(shutil.copytree(toy.features, toy.folder / "store"))
    for file in other.glob("*.npy"):
        np.save(file, np.load(file)[:, :9])
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"dim": 9}))
    said = sentence(toy.run, "--features", other)
    assert "has features of 9 dims" in said
    assert "trained on 16" in said
    assert (toy.run / "report.html").read_bytes() == before
    # The same store, which nobody named, costs the curves alone.
    environment = json.loads((toy.run / "environment.json").read_text())
    environment["inputs"]["features"] = str(other)
    (toy.run / "environment.json").write_text(json.dumps(environment))
    found, warned = report(toy)
    assert "The page has no curves: " in warned
    assert found.block(FIRST)["curves"] is None


def test_features_of_one_video_that_cannot_be_read_cost_its_curves_alone(toy: Toy) -> None:
    store = Path(shutil.copytree(toy.features, toy.folder / "store"))
    rows = np.load(store / "video_013.npy")
    rows[3, 2] = np.nan
    np.save(store / "video_013.npy", rows)
    (store / "video_014.npy").write_bytes((store / "video_014.npy").read_bytes()[:99])
    (store / "video_015.npy").unlink()
    found, said = report(toy, "--features", store, code=1)
    assert "2 videos are on the page with a note, for a file of it cannot be read:" in said
    assert "3 with curves" in said
    curves = [video for video in found.names if found.block(video)["curves"]]
    assert curves == ["video_012", "video_016", "video_017"]
    assert found.of("video_014")["note"].startswith("No curves: video_014.npy ")
    assert found.of("video_015")["note"].startswith("No curves: store has no features")
    assert str(toy.folder) not in found.text


def test_names_and_labels_of_any_text_are_data(tmp_path: Path) -> None:
    videos = {name: [(name, 1.0, 2.0, 0.5)] for name in HOSTILE}
    results = write_results(tmp_path / "d.json", videos)
    told("report", results)
    found = Page(tmp_path / "d-report.html")
    assert found.names == sorted(HOSTILE)
    for name in HOSTILE:
        assert found.detections(name) == [(name, 1, 2, 0.5)]
    assert "<script>alert" not in found.text


def test_no_folder_of_the_machine_is_in_the_page(page: Page, made: Toy) -> None:
    assert str(made.folder) not in page.text
    assert str(Path.cwd()) not in page.text
    assert str(Path.home()) not in page.text


def test_the_same_input_gives_the_same_page_and_a_second_one_replaces_it_whole(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = report(toy)
    assert report(toy)[0].text == first.text

    def stopped(self: Blocks, progress: object) -> Iterator[object]:
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(Blocks, "made", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_report(toy.run / "report.html", toy.run)
    assert (toy.run / "report.html").read_text(encoding="utf-8") == first.text
    assert not list(toy.run.glob(".wtal-tmp-*"))


def test_the_help_shows_an_example() -> None:
    assert "Example: wtal report runs/dcc/seed-0 --videos videos" in plain(told("report", "--help"))
