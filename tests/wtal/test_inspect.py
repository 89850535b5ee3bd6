"""`wtal inspect`: what it says of a video is what training would see, and it draws every run."""

import json
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.synthetic import CLASSES, make_store
from wtal.checkpoint import STATE_FILE
from wtal.cli import app
from wtal.config import load_config
from wtal.inputs import Labels, read_labels
from wtal.inspection import run as opened
from wtal.inspection.insight import Insight, look
from wtal.inspection.map_figure import Map, draw_maps
from wtal.inspection.points import Points
from wtal.inspection.run import InspectedRun
from wtal.inspection.separation import FIGURES
from wtal.inspection.video_figure import draw_video
from wtal.localize import Localizer
from wtal.training import train
from wtal_features import FeatureStore, open_store

SMALL = ["model.hidden_dim=8", "train.batch_size=4", "cluster.k=4", "train.steps=6"]
CONTRAST = [*SMALL, "dcc.contrast=bank", "cluster.every_epochs=1"]
VIDEO = "video_013"  # not of the training


class Toy:
    """A toy data set with two odd videos, and runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.features, self.tags, self.annotations = make_store(folder)
        rows = np.load(self.features / f"{VIDEO}.npy")
        np.save(self.features / "single.npy", rows[:1])  # one snippet, in no file of labels
        self.bare = folder / "bare.csv"
        self.bare.write_text(f"video,label\n{VIDEO},\nvideo_000,Jump\n")
        self.runs: dict[tuple[str, ...], Path] = {}

    def run(self, *options: str) -> Path:
        """A run with these options, trained once."""
        if options not in self.runs:
            out = self.folder / f"run-{len(self.runs)}"
            train(
                load_config(None, options),
                open_store(self.features),
                read_labels(tags=self.tags),
                out,
                quiet=True,
            )
            self.runs[options] = out
        return self.runs[options]

    def store(self) -> FeatureStore:
        return open_store(self.features)

    def labels(self) -> Labels:
        return read_labels(annotations=self.annotations)

    def look(self, *options: str, video: str = VIDEO, labelled: bool = True) -> Insight:
        run = InspectedRun.load(self.run(*options))
        return look(run, self.store(), video, self.labels() if labelled else None)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return Toy(tmp_path_factory.mktemp("toy"))


def wtal(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["inspect", *map(str, words)])
    assert result.exit_code == code, result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def sentence(*words: object) -> str:
    """The one line of an error."""
    lines = [line for line in wtal(*words, code=1).splitlines() if line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG that is whole."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_it_sees_what_the_localizer_sees(toy: Toy) -> None:
    insight = toy.look(*CONTRAST)
    localizer = Localizer.load(toy.run(*CONTRAST))
    features, seconds = toy.store().read(VIDEO), 16 / 25
    scores = localizer.scores(features)
    np.testing.assert_allclose(insight.cas_TC[:, :-1], scores.cas_TC, atol=1e-5)
    np.testing.assert_allclose(insight.attention_T, scores.attention_T, atol=1e-6)
    found = localizer.segments(scores, seconds)
    assert insight.detections.labels == found.labels
    np.testing.assert_allclose(insight.detections.scores_N, found.scores_N, atol=1e-5)
    assert insight.seconds_per_bin == pytest.approx(seconds)


def test_a_long_video_in_pieces_is_the_same(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = InspectedRun.load(toy.run(*CONTRAST)).heads(toy.store().read(VIDEO))
    monkeypatch.setattr(opened, "CHUNK", 7)
    pieces = InspectedRun.load(toy.run(*CONTRAST)).heads(toy.store().read(VIDEO))
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other)


def test_confidence_is_the_share_of_the_cluster_that_the_checkpoint_holds(toy: Toy) -> None:
    insight = toy.look(*CONTRAST)
    run = InspectedRun.load(toy.run(*CONTRAST))
    contrast = run.contrast(torch.ones(1, 3, dtype=torch.bool))
    assert contrast is not None
    x_Td = run.embed(run.heads(toy.store().read(VIDEO)), "projected", contrast)
    book = contrast.clusters.codebooks[0]
    unit_Td = torch.nn.functional.normalize(x_Td, dim=1)
    nearest_T = (unit_Td @ book.centroids_Kd.T).argmax(1)
    share_TC = book.shares.share_KC[nearest_T]
    labels_TC = torch.from_numpy(insight.labels_TC)
    expected_TC = torch.where(labels_TC, share_TC, 1 - share_TC)
    assert insight.denoised is not None
    found_TC = torch.from_numpy(insight.denoised.confidence_TC)
    # Rounding may move a snippet between two centroids that are equally near.
    assert (found_TC - expected_TC).abs().lt(1e-5).float().mean() > 0.95


def test_labels_exceed_the_mean_of_their_class_and_tags_gate_them(toy: Toy) -> None:
    insight = toy.look(*CONTRAST)
    tag = CLASSES.index(insight.gates[0])
    above_TC = insight.cas_TC > insight.cas_TC.mean(0)
    assert insight.gates == ("Run",)
    assert (insight.labels_TC[:, tag] == above_TC[:, tag]).all()
    assert not np.delete(insight.labels_TC, [tag, 3], axis=1).any()
    assert "Tags: Run." in insight.notes


def test_without_tags_the_localized_classes_gate(toy: Toy) -> None:
    insight = toy.look(*CONTRAST, labelled=False)
    assert set(insight.gates) == set(insight.detections.labels)
    assert "no tags were given" in insight.notes[0]
    assert insight.truth == ()
    lacking = toy.look(*CONTRAST, video="single")
    assert "lacks this video" in lacking.notes[0]


def test_the_cut_covers_the_video_once_per_slot(toy: Toy) -> None:
    denoised = toy.look(*CONTRAST).denoised
    assert denoised is not None
    assert [background for _, background in denoised.slots] == [False, True]
    for region_T in denoised.region_ST:
        assert sorted(region_T.tolist()) == region_T.tolist()
        assert set(region_T.tolist()) == set(range(5))


NOTES = {
    (*SMALL,): "trained without a contrast",
    (*CONTRAST, "dcc.warmup=1.0"): "had not begun by step 6",
    (*CONTRAST, "dcc.denoise=off"): "dcc.denoise is off: every confidence is 1.",
    (*CONTRAST, "dcc.denoise=shuffled"): "a control",
    (*CONTRAST, "cluster.scope=batch"): "of this video alone",
    (*CONTRAST, "cluster.scope=class"): "say nothing of background",
}


@pytest.mark.parametrize("options", NOTES, ids=lambda options: options[-1])
def test_the_caption_says_what_the_clusters_are(toy: Toy, options: tuple[str, ...]) -> None:
    assert NOTES[options] in toy.look(*options).notes[-1]


def test_a_run_whose_checkpoint_was_deleted_is_drawn_without_clusters(toy: Toy) -> None:
    options = (*CONTRAST, "train.seed=1")
    (toy.run(*options) / STATE_FILE).unlink()
    insight = toy.look(*options)
    assert insight.denoised is None
    assert "state/checkpoint.safetensors is missing" in insight.notes[-1]


DRAWN = [
    SMALL,
    CONTRAST,
    [*CONTRAST, "cluster.scope=class", "dcc.background=class", "dcc.cut=runs"],
    [*CONTRAST, "cluster.scope=video", "dcc.cut=mass", "dcc.empty=nearest"],
    [*CONTRAST, "data.resample=grid", "data.length=40", "dcc.pseudo.source=softmax"],
]


@pytest.mark.parametrize("options", DRAWN, ids=lambda options: options[-1])
@pytest.mark.parametrize("video", [VIDEO, "video_000", "single"])
def test_every_run_and_video_gives_a_whole_picture(
    toy: Toy, tmp_path: Path, options: list[str], video: str
) -> None:
    run, out = toy.run(*options), tmp_path / "new" / "one.png"
    source = ("-f", toy.features, "--annotations", toy.annotations)
    assert str(out) in wtal(run, video, *source, "--out", out)
    width, height = size(out)
    assert width == 1320
    assert 300 < height < 2000


def test_a_video_without_a_tag_or_annotations_is_drawn_into_the_run(toy: Toy) -> None:
    run = toy.run(*CONTRAST)
    wtal(run, VIDEO, "-f", toy.features, "--tags", toy.bare)
    size(run / "inspect" / f"{VIDEO}.png")
    wtal(run, VIDEO, "-f", toy.features, "-q")


def map_words(toy: Toy, out: Path) -> tuple[object, ...]:
    source = ("-f", toy.features, "--annotations", toy.annotations, "--subset", "test")
    return ("--map", *source, "--points", 40, "--out", out)


def test_two_runs_are_mapped_and_measured_on_the_same_points(toy: Toy, tmp_path: Path) -> None:
    out, figures = tmp_path / "map.png", tmp_path / "map.json"
    runs = toy.run(*CONTRAST), toy.run(*SMALL)
    words = (runs[0], "--versus", runs[1], *map_words(toy, out), "--json", figures, "-q")
    table = wtal(*words)
    assert "difference" in table
    assert "40 snippets of 6 videos of subset 'test', 20 action (3 classes) and 20 back" in table
    width, height = size(out)
    assert width == 1408
    assert 1000 < height < 1400
    written = json.loads(figures.read_text())
    assert written["runs"] == [str(run) for run in runs]
    values = written["figures"]["linear_auc"]["values"]
    assert written["figures"]["linear_auc"]["difference"] == pytest.approx(values[0] - values[1])
    assert wtal(*words) == table


def test_a_run_beside_itself_differs_in_nothing(toy: Toy, tmp_path: Path) -> None:
    run, figures = toy.run(*CONTRAST), tmp_path / "map.json"
    more = ("--space", "projected", "--json", figures)
    wtal(run, "--versus", run, *map_words(toy, tmp_path / "map.png"), *more)
    each = json.loads(figures.read_text())["figures"].values()
    assert {one["difference"] for one in each} <= {0.0, None}


def test_bins_of_a_stretched_video_are_found_again(toy: Toy, tmp_path: Path) -> None:
    run = toy.run(*CONTRAST, "data.resample=grid", "data.length=40", "dcc.pseudo.source=softmax")
    assert "Points: " in wtal(run, *map_words(toy, tmp_path / "map.png"), "--space", "base")


def test_mistakes_are_answered_in_one_sentence(toy: Toy, tmp_path: Path) -> None:
    run, plain = toy.run(*CONTRAST), toy.run(*SMALL)
    source = ("-f", toy.features)
    known = (*source, "--annotations", toy.annotations)
    assert "the nearest name is 'video_013'" in sentence(run, "vide_013", *source)
    assert "none does not exist" in sentence(tmp_path / "none", VIDEO, *source)
    assert "no run folder" in sentence(run, "--versus", tmp_path, "--map", *known)
    assert "either a video to draw, or --map" in sentence(run, *source)
    assert "either a video to draw, or --map" in sentence(run, VIDEO, "--map", *known)
    assert "go with --map" in sentence(run, VIDEO, *source, "--subset", "test")
    assert "--annotations FILE.json" in sentence(run, "--map", *source, "--tags", toy.tags)
    assert "no video of subset 'tset'" in sentence(run, "--map", *known, "--subset", "tset")
    assert "expected embedding, base" in sentence(run, "--map", *known, "--space", "pixels")
    assert "has no projection" in sentence(plain, "--map", *known, "--space", "projected")


@pytest.mark.parametrize("library", ["matplotlib.figure", "sklearn.manifold"])
def test_a_missing_library_is_named(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    said = sentence(toy.run(*SMALL), *map_words(toy, tmp_path / "map.png"))
    assert "pip install 'wtal[plots]'" in said


def test_names_that_are_long_or_look_like_a_formula_are_drawn(toy: Toy, tmp_path: Path) -> None:
    names = ("Run_$x^2", "Playing the long bagpipes of the highlands in the rain", "C$a$")
    insight = replace(toy.look(*CONTRAST), classes=names, shown=(0, 1, 2), notes=("It costs $5.",))
    draw_video(insight, tmp_path / "one.png")
    assert size(tmp_path / "one.png")[0] == 1320


def test_more_classes_than_colours_and_shapes_are_drawn(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    class_N = np.append(np.repeat(np.arange(40), 5), [-1] * 50)
    points = Points(("v",), np.zeros(250, int), np.arange(250), class_N)
    drawn = Map("run", draw.normal(size=(250, 2)).astype(np.float32), dict.fromkeys(FIGURES, 0.5))
    draw_maps([drawn], points, [f"class {c}" for c in range(40)], ("A note.",), tmp_path / "m.png")
    assert size(tmp_path / "m.png")[0] == 836


def test_runs_of_other_classes_are_not_compared(toy: Toy, tmp_path: Path) -> None:
    run, other = toy.run(*CONTRAST), tmp_path / "other"
    tags = tmp_path / "two.csv"
    kept = [line for line in toy.tags.read_text().splitlines() if "Throw" not in line]
    tags.write_text("\n".join(kept) + "\n")
    config = load_config(None, SMALL)
    train(config, toy.store(), read_labels(tags=tags), other, quiet=True)
    known = ("-f", toy.features, "--annotations", toy.annotations)
    assert "trained on the same tags" in sentence(run, "--versus", other, "--map", *known)


def test_features_of_another_width_are_refused(toy: Toy, tmp_path: Path) -> None:
    features, _, _ = make_store(tmp_path, dim=5)
    assert "have 5 dims" in sentence(toy.run(*CONTRAST), VIDEO, "-f", features)
