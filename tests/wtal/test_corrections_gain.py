"""What corrections gained: who is scored on what, and the reviewer who stands in for a person."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import wtal
from tests.synthetic import make_store
from wtal.cli import app
from wtal.config import load_config
from wtal.corrections.file import Correction, Corrections, VideoCorrections, write_corrections
from wtal.corrections.gain import (
    IN_ORDER,
    Gain,
    gain_lines,
    truth_of,
    verdicts_in_order,
)
from wtal.corrections.plan import Plan, plan_gain
from wtal.corrections.simulate import (
    Span,
    absent,
    happening,
    misplaced,
    overlap,
    review,
    verdicts,
)
from wtal.inputs import Labels, read_labels
from wtal.localize import VideoDetections

ALL = [f"video_{i:03d}" for i in range(18)]
SMALL = ("model.hidden_dim=8", "train.batch_size=4", "train.steps=3")


def complete(label: str = "Jump", start: float = 1.0) -> VideoCorrections:
    return VideoCorrections(True, (Correction(label, start, start + 5, "added"),))


def of_videos(n: int) -> Corrections:
    labels = ("Jump", "Run", "Throw")
    return Corrections({f"video_{i:03d}": complete(labels[i % 3]) for i in range(n)})


# The plan -----------------------------------------------------------------------------------------


def test_annotated_videos_outside_of_the_training_are_scored_where_there_are_any(
    tmp_path: Path,
) -> None:
    _, _, annotations = make_store(tmp_path)
    plan = plan_gain(load_config(), read_labels(annotations=annotations), of_videos(1), ALL)
    assert isinstance(plan, Plan)
    assert plan.videos == tuple(f"video_{i:03d}" for i in range(12, 18))
    assert plan.withheld is None
    some = plan_gain(load_config(), read_labels(annotations=annotations), of_videos(1), ALL[:14])
    assert isinstance(some, Plan)
    assert some.videos == ("video_012", "video_013")  # the others have no features
    assert "a second network" in plan.cost
    assert "2 times the time" in plan.cost


def test_with_tags_alone_a_quarter_of_the_corrected_videos_is_withheld(tmp_path: Path) -> None:
    _, tags, _ = make_store(tmp_path)
    labels = read_labels(tags=tags)
    plan = plan_gain(load_config(), labels, of_videos(8), ALL)
    assert isinstance(plan, Plan)
    assert plan.withheld is not None
    assert len(plan.videos) == plan.withheld.count == 2
    assert set(plan.videos) < {f"video_{i:03d}" for i in range(8)}
    assert "3 times the time" in plan.cost
    # Corrections of test videos are nobody's training, and none of them is withheld.
    with_test = Corrections({**of_videos(8).videos, "video_016": complete()})
    assert plan_gain(load_config(), labels, with_test, ALL) == plan


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_corrected_videos_show_nothing_and_that_is_said(tmp_path: Path, n: int) -> None:
    _, tags, _ = make_store(tmp_path)
    told = plan_gain(load_config(), read_labels(tags=tags), of_videos(n), ALL)
    assert isinstance(told, str)
    assert "at least 4 training videos" in told


def test_without_a_complete_video_nothing_is_known_to_be_found(tmp_path: Path) -> None:
    _, tags, _ = make_store(tmp_path)
    videos = {name: replace(video, complete=False) for name, video in of_videos(8).videos.items()}
    labels = read_labels(tags=tags)
    assert isinstance(plan_gain(load_config(), labels, Corrections(videos), ALL), str)


# The figures --------------------------------------------------------------------------------------


def found(*rows: tuple[str, float, float, float]) -> VideoDetections:
    labels, starts, ends, scores = zip(*rows, strict=True)
    return VideoDetections(labels, np.array(starts), np.array(ends), np.array(scores), {})


def test_verdicts_in_order_counts_pairs_and_ties_by_half() -> None:
    said = VideoCorrections(
        False,
        (
            Correction("a", 0, 10, "accepted"),  # .9
            Correction("a", 20, 30, "added"),  # not detected: 0
            Correction("a", 40, 50, "rejected"),  # .5
            Correction("b", 0, 10, "rejected"),  # not detected as b: 0
        ),
    )
    one = found(("a", 0, 9, 0.9), ("a", 0, 10, 0.8), ("a", 44, 90, 1.0), ("a", 41, 50, 0.5))
    # .9 > .5, .9 > 0, 0 < .5, 0 = 0
    assert verdicts_in_order({"v": one}, {"v": said}) == pytest.approx(2.5 / 4)
    assert verdicts_in_order({}, {"v": said}) is None
    only = VideoCorrections(False, said.segments[:2])
    assert verdicts_in_order({"v": one}, {"v": only}) is None


def test_the_truth_of_corrections_is_what_happens_in_complete_videos() -> None:
    truth = truth_of({"v": complete("a"), "w": replace(complete("b"), complete=False)})
    assert truth.videos == ("v",)
    assert (truth.labels, truth.start.tolist(), truth.end.tolist()) == (("a",), [1.0], [6.0])


def test_the_table_gives_one_training_a_warning_and_several_a_spread() -> None:
    one = Gain(7, "2 videos", {"mAP .5": 0.2}, {"mAP .5": 0.25})
    text = "\n".join(gain_lines([one]))
    assert "what 7 corrections gain, " in text
    assert "what 1 correction gains, " in gain_lines([replace(one, corrections=1)])[0]
    assert "+5.0" in text
    assert "may be chance" in text
    two = Gain(7, "2 videos", {"mAP .5": 0.2, IN_ORDER: 0.5}, {"mAP .5": 0.27, IN_ORDER: 0.5})
    text = "\n".join(gain_lines([one, two]))
    assert "+6.0 ± 1.4" in text
    assert IN_ORDER not in text  # not of every training
    assert "chance" not in text


def test_train_measures_the_gain_and_keeps_what_it_needed(tmp_path: Path) -> None:
    features, _, annotations = make_store(tmp_path)
    write_corrections(tmp_path / "c.json", of_videos(3))
    said: list[str] = []
    (result,) = wtal.train(
        features=features,
        annotations=annotations,
        out=tmp_path / "run",
        corrections=tmp_path / "c.json",
        overrides=SMALL,
        say=said.append,
    )
    assert result.gain is not None
    assert result.gain.corrections == 3
    assert "a second network will be trained" in said[0]
    written = json.loads((tmp_path / "run" / "gain.json").read_text())
    assert written["given"] == result.gain.given
    assert (tmp_path / "run" / "gain" / "without" / "model.safetensors").exists()
    readings = json.loads((tmp_path / "run" / "eval.json").read_text())["readings"]
    assert readings == 1
    (plain,) = wtal.train(
        features=features, annotations=annotations, out=tmp_path / "plain", overrides=SMALL
    )
    model = "model.safetensors"
    control = (tmp_path / "run" / "gain" / "without" / model).read_bytes()
    assert control == (plain.run / model).read_bytes()


def test_withheld_corrections_score_a_network_that_never_saw_them(tmp_path: Path) -> None:
    features, tags, _ = make_store(tmp_path)
    write_corrections(tmp_path / "c.json", of_videos(5))
    (result,) = wtal.train(
        features=features,
        tags=tags,
        out=tmp_path / "run",
        corrections=tmp_path / "c.json",
        overrides=SMALL,
    )
    assert result.gain is not None
    assert result.gain.corrections == 4
    kept = json.loads((tmp_path / "run/gain/withheld/corrections.json").read_text())["videos"]
    assert len(kept) == 4
    everything = json.loads((tmp_path / "run/corrections.json").read_text())["videos"]
    assert len(everything) == 5


def test_the_command_prints_the_gain_unless_it_is_not_wanted(tmp_path: Path) -> None:
    features, _, annotations = make_store(tmp_path)
    write_corrections(tmp_path / "c.json", of_videos(2))
    (tmp_path / "config.yaml").write_text("model:\n  hidden_dim: 8\ntrain:\n  steps: 2\n")

    def told(out: str, *more: str) -> str:
        words = ["train", str(tmp_path / "config.yaml"), "-f", str(features), "--annotations"]
        words += [str(annotations), "--out", str(tmp_path / out), "--device", "cpu"]
        words += ["--corrections", str(tmp_path / "c.json"), *more]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return done.output

    output = told("a")
    assert "what 2 corrections gain" in output
    assert output.index("will be trained") < output.index("trained after 2 steps")
    assert "gain" not in told("b", "--no-gain")
    assert not (tmp_path / "b" / "gain").exists()


def test_a_bad_file_stops_the_command_before_anything_is_made(tmp_path: Path) -> None:
    features, tags, _ = make_store(tmp_path)
    (tmp_path / "c.json").write_text('{"format": "wtal corrections 9"}')
    words = ["train", "configs/basnet.yaml", "-f", str(features), "--tags", str(tags), "--out"]
    words += [str(tmp_path / "run"), "--corrections", str(tmp_path / "c.json")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "wtal corrections 9" in done.output + done.stderr
    assert not (tmp_path / "run").exists()


# The reviewer -------------------------------------------------------------------------------------

TRUTH = (Span("a", 10, 20), Span("a", 40, 50), Span("b", 60, 70))


def test_the_reviewer_accepts_edits_rejects_and_adds() -> None:
    shown = [
        Span("a", 11, 20),  # tIoU .9
        Span("a", 10, 19),  # a copy: nothing is said
        Span("a", 45, 90),  # touches the second: edited
        Span("b", 10, 20),  # another class: rejected
        Span("a", 12, 80),  # touches only what was met
    ]
    said = verdicts(shown, TRUTH)
    assert [each.verdict for each in said] == ["accepted", "edited", "rejected", "added"]
    assert (said[0].start_s, said[0].end_s) == (11, 20)
    assert (said[1].start_s, said[1].end_s, said[1].was) == (40, 50, (45, 90))
    assert (said[3].label, said[3].start_s) == ("b", 60)


def test_the_reviewer_stops_when_the_time_is_over() -> None:
    truth = {"v": TRUTH, "w": TRUTH}
    found_ = {"v": list(TRUTH), "w": list(TRUTH)}
    for most, expected in ((2, {"v": False}), (3, {"v": True}), (5, {"v": True, "w": False})):
        made = review(found_, truth, ["v", "w"], most=most)
        assert made.count == most
        assert {name: video.complete for name, video in made.videos.items()} == expected
    assert review(found_, truth, ["v", "w"]).count == 6
    assert review({}, truth, ["w"]).videos["w"].segments[0].verdict == "added"


def test_controls_say_as_much_elsewhere_or_half_of_it() -> None:
    made = review({"v": [Span("b", 0, 5)]}, {"v": TRUTH}, ["v"])
    moved = misplaced(made, {"v": 100.0}, np.random.default_rng(0))
    lengths = [[e.end_s - e.start_s for e in c.videos["v"].segments] for c in (made, moved)]
    assert lengths[0] == pytest.approx(lengths[1])
    assert all(0 <= e.start_s < e.end_s <= 100 for e in moved.videos["v"].segments)
    assert {e.verdict for e in happening(made).videos["v"].segments} == {"added"}
    assert not happening(made).videos["v"].complete
    gaps = [(e.label, e.start_s, e.end_s) for e in absent(made, {"v": 100.0}).videos["v"].segments]
    assert gaps == [("a", 0, 10), ("a", 20, 40), ("a", 50, 100), ("b", 0, 60), ("b", 70, 100)]


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(Span("a", 0, 4), Span("a", 2, 6)) == pytest.approx(2 / 6)
    assert overlap(Span("a", 0, 4), Span("a", 4, 6)) == 0


def test_labels_without_tags_of_a_corrected_video_do_not_stop_the_plan() -> None:
    labels = Labels({"v": ()}, {"v": None}, "tags.csv")
    assert isinstance(plan_gain(load_config(), labels, Corrections({"v": complete()}), ["v"]), str)
