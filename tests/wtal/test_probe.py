"""`wtal probe`: rows that stand beside each other, and a sentence for what cannot be."""

import itertools
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.features.in_process import InProcessPool
from tests.features.test_clipstore import Here
from tests.features.test_own_checkpoints import ABOUT, network
from tests.features.videos import panned, write_video
from tests.moving_textures import moving_textures
from wtal.cli import app
from wtal.probe import Sets
from wtal_features.checkpoints.own import save_encoder
from wtal_features.encoders.r2plus1d26 import R2Plus1D26
from wtal_features.pretraining import clipbuild
from wtal_features.pretraining.clipsettings import ClipSettings
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.clipwriter import write_manifest
from wtal_features.probing.clips import LabelledClip

torch.set_num_threads(1)

NAMES = ("right", "down", "left", "up")
QUICK = ("--seeds", "0,1", "-o", "linear.epochs=3", "-o", "linear.drops=[2]")
TINY = ("--width", "0.125", "--size", "32", "--frames", "8")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip store with motion of 24 videos; the class is where the texture moves."""
    toy = moving_textures(24, torch.Generator().manual_seed(0))
    return toy.store(tmp_path_factory.mktemp("clips"), 10).folder


def listed(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    lines = ["video,label,subset", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows() -> list[tuple[str, str, str]]:
    """Two thirds to learn from."""
    return [(f"v{i:04d}", NAMES[i % 4], "training" if i < 16 else "test") for i in range(24)]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return listed(tmp_path / "labels.csv", rows())


def probe(*words: object, code: int = 0) -> str:
    """What the command prints, on both channels."""
    result = CliRunner().invoke(app, ["probe", "--device", "cpu", *map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def refused(*words: object) -> str:
    """The one sentence of a command that is refused."""
    (line,) = [line for line in probe(*words, code=1).splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


def measured(tmp_path: Path, *words: object) -> dict[str, Any]:
    """The figures of a command, from its file."""
    probe(*words, "--json", tmp_path / "figures.json")
    fields: dict[str, Any] = json.loads((tmp_path / "figures.json").read_text())
    return fields


# Figures -----------------------------------------------------------------------------------------


def test_every_encoder_has_a_row_and_chance_the_last(
    kept: Path, labels: Path, tmp_path: Path
) -> None:
    encoders = ("--encoder", "motion-histogram", "--encoder", "tiny=s3d")
    file = tmp_path / "figures.json"
    said = probe(kept, "--labels", labels, *encoders, *TINY, *QUICK, "--json", file)
    lines = said.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("encoder"))
    assert lines[head].split() == ["encoder", "R@1", "R@5", "R@10", "R@20", "R@50", "linear"]
    table = [line.split() for line in lines[head + 1 :]]
    assert [cells[0] for cells in table] == ["motion-histogram", "tiny", "chance"]
    assert "16 clips of 'training', 8 of 'test', 4 classes, 25 fps" in said
    assert "s3d has random weights: for comparison only." in said
    # Directions are what the histogram counts.
    assert table[0][1:6] == ["100.0"] * 5
    fields = json.loads(file.read_text())
    for cells, row in zip(table, fields["encoders"], strict=False):
        assert row["name"] == cells[0]
        assert [f"{100 * value:.1f}" for value in row["recall"].values()] == cells[1:6]
        assert cells[6:8] == [f"{100 * row['linear']['mean']:.1f}", "+-"]
        assert row["finetune"] is None
        assert row["encoder"]["dim"] > 0
    assert table[-1][-1] == "25.0"
    assert fields["chance"]["most_frequent_class"] == 0.25
    assert (fields["train"], fields["seeds"]) == ({"subset": "training", "clips": 16}, [0, 1])


def test_the_linear_probe_is_the_last_epoch_and_the_best_is_named_as_chosen_on_the_test(
    kept: Path, labels: Path, tmp_path: Path
) -> None:
    words = (kept, "--labels", labels, "--encoder", "colour-histogram", *QUICK)
    (row,) = measured(tmp_path, *words)["encoders"]
    linear = row["linear"]
    assert linear["mean"] == pytest.approx(statistics.fmean(linear["each"]))
    assert linear["sd"] == pytest.approx(statistics.stdev(linear["each"]))
    chosen = linear["selected_on_test"]
    assert len(chosen) == len(linear["each"]) == 2
    for best, last in zip(chosen, linear["each"], strict=True):
        assert best["accuracy"] >= last
        assert 1 <= best["epoch"] <= 3
    assert "selected" not in probe(*words)


def test_one_seed_has_no_spread(kept: Path, labels: Path) -> None:
    said = probe(kept, "--labels", labels, "--encoder", "null", "--seeds", "3")
    assert "+-" not in said


def test_equal_commands_give_equal_files(kept: Path, labels: Path, tmp_path: Path) -> None:
    words = (kept, "--labels", labels, "--encoder", "s3d", *TINY, *QUICK)
    assert measured(tmp_path, *words) == measured(tmp_path, *words)


def test_fine_tuning_adds_a_column(kept: Path, labels: Path, tmp_path: Path) -> None:
    words = (kept, "--labels", labels, "--encoder", "s3d", *TINY, "--seeds", "0,1", "--no-linear")
    tune = ("--finetune", "-o", "finetune.epochs=2", "-o", "finetune.flip=false")
    said = probe(*words, *tune, "--json", tmp_path / "figures.json")
    lines = [line.split() for line in said.splitlines()]
    head = next(i for i, cells in enumerate(lines) if cells[:1] == ["encoder"])
    assert lines[head][-1] == "fine-tuned"
    assert "linear" not in lines[head]
    fields = json.loads((tmp_path / "figures.json").read_text())
    (row,) = fields["encoders"]
    tuned = row["finetune"]
    assert lines[head + 1][6:8] == [f"{100 * tuned['mean']:.1f}", "+-"]
    assert row["linear"] is None
    assert [len(losses) for losses in tuned["losses"]] == [2, 2]
    assert (fields["config"]["finetune"]["epochs"], fields["config"]["finetune"]["flip"]) == (2, 0)


def test_an_imported_file_and_a_file_of_ours_go_through(
    kept: Path, labels: Path, tmp_path: Path
) -> None:
    saved = R2Plus1D26(width=0.125, generator=torch.Generator().manual_seed(0))
    torch.save(saved.state_dict(), tmp_path / "cmd.pth")
    save_encoder(tmp_path / "own.safetensors", network(), replace(ABOUT, grid_fps=12.5))
    encoders = (f"imported=cmd:{tmp_path}/cmd.pth", f"ours={tmp_path}/own.safetensors")
    words = itertools.chain(*(("--encoder", encoder) for encoder in encoders))
    said = probe(kept, "--labels", labels, *words, "--frames", 8, "--every", 1, *QUICK)
    assert "tensors used, 0 left" in said
    assert "ours was trained at 12.5 fps, and these clips have 25" in said
    assert "imported wants a short side of 128 px; 24 of 24 videos are stored with less" in said
    assert {"imported", "ours"} <= {line.split()[0] for line in said.splitlines()}


def test_quiet_leaves_the_table(kept: Path, labels: Path) -> None:
    said = probe(kept, "--labels", labels, "--encoder", "s3d", *TINY, *QUICK, "-q")
    assert [line.split()[0] for line in said.splitlines()] == ["encoder", "s3d", "chance"]


# Chance ------------------------------------------------------------------------------------------


def sets(train: list[int], test: list[int]) -> Sets:
    clips = [tuple(LabelledClip("v", str(i)) for i in part) for part in (train, test)]
    ids = (torch.tensor(train), torch.tensor(test))
    return Sets(clips[0], clips[1], *ids, tuple("abc"), {}, {})


def test_recall_by_chance_is_that_of_all_orders_of_the_gallery() -> None:
    train, test = [0, 0, 1, 0, 1, 1], [0, 1, 1, 2]
    orders = list(itertools.permutations(train))
    found = sets(train, test).chance_recalls()
    for k in (1, 5):
        hits = [label in order[:k] for order in orders for label in test]
        assert found[k] == pytest.approx(statistics.fmean(hits))
    assert found[10] == found[50] == 0.75  # the third class is never found


def test_top_1_by_chance_is_the_most_frequent_class_of_the_training() -> None:
    assert sets([0, 1, 1], [0, 0, 1]).chance() == pytest.approx(1 / 3)
    assert sets([0, 1], [1, 1]).chance() == 0  # of two the first


# Clips -------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def decode_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipbuild, "Children", Here)
    monkeypatch.setattr(clipbuild, "DecoderPool", InProcessPool)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for i in range(4):
        write_video(root / f"v{i}.mp4", panned(12, 64, 48, seed=i))
    return root


def test_a_folder_of_videos_is_decoded_once(videos: Path, tmp_path: Path) -> None:
    labels = listed(
        tmp_path / "l.csv",
        [(f"v{i}", NAMES[i % 2], "training" if i < 3 else "test") for i in range(4)],
    )
    clips = tmp_path / "clips"
    words = (videos, "--labels", labels, "--clips", clips, "--encoder", "colour-histogram", *QUICK)
    first = probe(*words, "--short-side", 32, "--fps", 12.5)
    assert "4 videos to decode" in first
    store = ClipStore(clips)
    assert (float(store.fps), store.info("v0").height) == (12.5, 32)
    # Again, with what the folder says; and the folder itself.
    again = probe(*words)
    assert "to decode" not in again
    whole = probe(clips, "--labels", labels, "--encoder", "colour-histogram", *QUICK)
    table = first[first.index("encoder ") :]
    assert again.endswith(table)
    assert whole.endswith(table)
    assert "clip store with these settings" in refused(*words, "--fps", 25)
    assert "clip store with these settings" in refused(*words, "--encoder", "motion-histogram")


def test_motion_is_kept_where_an_encoder_sees_it_and_then_serves_all(
    videos: Path, tmp_path: Path
) -> None:
    labels = listed(
        tmp_path / "l.csv",
        [(f"v{i}", NAMES[i % 2], "training" if i < 3 else "test") for i in range(4)],
    )
    words = (videos, "--labels", labels, "--clips", tmp_path / "clips", *QUICK, "--encoder")
    probe(*words, "motion-histogram", "--motion", "mv")
    assert ClipStore(tmp_path / "clips").settings["motion"]["source"] == "mv"
    assert "to decode" not in probe(*words, "colour-histogram")
    assert "to decode" not in probe(*words, "motion-histogram")


def test_videos_that_are_missing_or_broken_are_named_with_the_reason(
    videos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in videos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "v2.mp4").write_bytes(b"no video")
    (folder / "unlabelled.mp4").write_bytes(b"no video")
    parts = ["training", "training", "training", "test", "test"]
    labels = listed(tmp_path / "l.csv", [(f"v{i}", "any", part) for i, part in enumerate(parts)])
    words = (folder, "--labels", labels, "--clips", tmp_path / "c", "--encoder", "null", *QUICK)
    said = probe(*words, code=1)
    assert "2 clips of 'training', 1 of 'test'" in said
    assert "2 videos were skipped:" in said
    assert "v2: " in said
    assert "does not open as a video" in said
    assert "has no video 'v4'" in said
    assert "unlabelled" not in said
    assert "has no video 'v4'" in probe(*words, "--keep-going")


def test_a_class_of_test_clips_alone_is_told_and_missed(kept: Path, tmp_path: Path) -> None:
    known = [(video, "any" if part == "training" else "new", part) for video, _, part in rows()]
    labels = listed(tmp_path / "l.csv", known)
    words = (kept, "--labels", labels, "--encoder", "null", *QUICK)
    said = probe(*words)
    assert "warning: No training clip has the class 'new'; its 8 test clips count as misses" in said
    fields = measured(tmp_path, *words)
    (row,) = fields["encoders"]
    assert set(row["recall"].values()) == {0.0}
    assert row["linear"]["mean"] == 0
    assert fields["classes"] == ["any", "new"]


# Refused -----------------------------------------------------------------------------------------


def test_subsets_that_are_not_there_name_those_that_are(kept: Path, labels: Path) -> None:
    words = (kept, "--labels", labels, "--encoder", "null")
    expected = "No clip has the subset 'val'; there are ['test', 'training']."
    assert expected in refused(*words, "--test", "val")
    assert expected in refused(*words, "--train", "val")
    assert "both 'test': every clip would find itself" in refused(*words, "--train", "test")


def test_labels_that_cannot_be_read_are_refused_before_videos_are(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("video;label\n")
    words = ("--clips", tmp_path / "clips", "--encoder", "null", "--labels")
    assert "has the header 'video;label'" in refused(tmp_path, *words, wrong)
    assert "none.csv" in refused(tmp_path, *words, tmp_path / "none.csv")
    assert not (tmp_path / "clips").exists()


def test_too_few_clips_are_refused_with_the_reason(kept: Path, tmp_path: Path) -> None:
    parts = [("v0000", "a", "training"), ("w", "b", "training"), ("v0001", "a", "test")]
    labels = listed(tmp_path / "l.csv", parts)
    said = refused(kept, "--labels", labels, "--encoder", "null")
    assert "1 of 2 clips of the subset 'training' can be used" in said
    assert "has no video 'w'" in said


def test_a_folder_of_videos_needs_a_place_for_its_clips(videos: Path, labels: Path) -> None:
    assert "--clips is missing: the folder that keeps the frames" in refused(
        videos, "--labels", labels, "--encoder", "null"
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("clips", "x"), ("fps", "10"), ("short-side", "64"), ("motion", "mv")],
)
def test_what_a_clip_store_has_settled_cannot_be_chosen(
    kept: Path, labels: Path, option: str, value: str
) -> None:
    words = (kept, "--labels", labels, "--encoder", "null", f"--{option}", value)
    assert f"--{option} means nothing for {kept}: it is a clip store" in refused(*words)


def test_a_feature_store_is_no_clip_store(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"encoder": "s3d", "dim": 8}')
    said = refused(tmp_path, "--labels", labels, "--encoder", "null")
    assert "not that of a clip store; expected a folder of videos" in said
    (tmp_path / "manifest.json").write_text('{"settings": {"format": 1}, "videos": {}}')
    words = ("--clips", tmp_path, "--encoder", "null")
    assert "choose another --clips" in refused(tmp_path / "v", "--labels", labels, *words)


def test_an_encoder_of_motion_needs_motion(labels: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path, ClipSettings().described(), {})
    said = refused(tmp_path, "--labels", labels, "--encoder", "m=motion-histogram")
    assert "m sees motion, and the clip store" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--encoder is missing"),
        (("--encoder", "s4d"), "no encoder 's4d'"),
        (("--encoder", "null", "--encoder", "null"), "Two --encoder are called 'null'"),
        (("--encoder", "a=null", "--encoder", "a=s3d"), "Two --encoder are called 'a'"),
        (("--encoder", "null", "--width", ".5"), "--width means nothing for these encoders"),
        (("--encoder", "s3d", "--pooling", "cls"), "--pooling means nothing for these encoders"),
        (("--encoder", "null", "--precision", "int8"), "--precision is 'int8'"),
        (("--encoder", "null", "--finetune"), "null cannot be fine-tuned: it has no weights"),
        (("--encoder", "hub:none", "--finetune"), "hub:none cannot be fine-tuned: transformers"),
        (("--encoder", "null", "--seeds", "1,1"), "--seeds is '1,1'"),
        (("--encoder", "null", "-o", "finetune.lr=1"), "does nothing without --finetune"),
        (("--encoder", "null", "--no-linear", "-o", "linear.lr=1"), "nothing without --linear"),
        (("--encoder", "null", "-o", "linear.rate=1"), "unknown key 'linear.rate'"),
        (("--encoder", "null", "-o", "linear.epochs=0"), "epochs is 0; expected at least 1"),
        (("--encoder", "null", "-o", "linear.epochs=x"), "linear.epochs is 'x'; expected an integ"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    kept: Path, labels: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in refused(kept, "--labels", labels, *words)


def test_the_figures_of_rows_that_are_done_are_on_disk_when_a_later_one_fails(
    kept: Path, labels: Path, tmp_path: Path
) -> None:
    broken = network()
    torch.nn.init.constant_(next(broken.parameters()), torch.nan)
    save_encoder(tmp_path / "nan.safetensors", broken, ABOUT)
    encoders = ("--encoder", "null", "--encoder", f"bad={tmp_path}/nan.safetensors")
    file = tmp_path / "figures.json"
    said = refused(kept, "--labels", labels, *encoders, *QUICK, "--json", file)
    assert said.startswith("bad: The features of the query hold NaN")
    assert [row["name"] for row in json.loads(file.read_text())["encoders"]] == ["null"]
