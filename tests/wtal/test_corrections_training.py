"""Corrections in training: what they mend, what they leave alone, and what resume asks for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.synthetic import CLASSES, make_store
from wtal import training
from wtal.checkpoint import MODEL_FILE, load_facts
from wtal.config import load_config
from wtal.corrections.file import Correction, Corrections, VideoCorrections, read_corrections
from wtal.corrections.supervision import supervise
from wtal.corrections.tags import merge
from wtal.data import TrainingVideos
from wtal.errors import WtalError
from wtal.inputs import Labels, read_labels
from wtal.localize import Localizer
from wtal.training import TrainResult, train
from wtal_features import open_store

Data = tuple[Path, Path, Path]
SECONDS = 0.64
SMALL = [
    "model.hidden_dim=8",
    "train.batch_size=4",
    "train.log_every=1",
    "train.checkpoint_every=2",
]
CONTRAST = ["dcc.contrast=bank", "cluster.k=4", "cluster.every_epochs=1", "dcc.warmup=0.2"]
ONE = Corrections({"video_003": VideoCorrections(False, (Correction("Jump", 1, 6, "accepted"),))})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_store(tmp_path_factory.mktemp("data"))


def run(
    data: Data,
    out: Path,
    corrections: Corrections | None,
    *overrides: str,
    resume: bool = False,
    said: list[str] | None = None,
) -> TrainResult:
    config = load_config(None, [*SMALL, "train.steps=6", *overrides])
    labels, store = read_labels(tags=data[1]), open_store(data[0])
    notify = (lambda text: None) if said is None else said.append
    given = {"corrections": corrections, "notify": notify, "resume": resume, "quiet": True}
    return train(config, store, labels, out, **given)  # type: ignore[arg-type]


def weights(out: Path) -> bytes:
    return (out / MODEL_FILE).read_bytes()


def metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


# What they mend -----------------------------------------------------------------------------------


def together(folder: Path) -> tuple[Path, dict[str, tuple[int, int]]]:
    """Videos that show `x` and, somewhere else, `y`: tags never tell one from the other.

    Returns:
        The store, and video -> the first snippets of its x and of its y, 8 snippets each.
    """
    rng, D = np.random.default_rng(0), 16
    direction = np.linalg.qr(rng.normal(size=(D, 2)))[0].T
    folder.mkdir()
    places = {}
    for i in range(20):
        x_TD = 0.3 * rng.normal(size=(48, D))
        starts = rng.permutation([4, 28])
        for c in range(2):
            x_TD[starts[c] : starts[c] + 8] += 3 * direction[c]
        np.save(folder / f"v{i:02d}.npy", x_TD.astype(np.float32))
        places[f"v{i:02d}"] = (int(starts[0]), int(starts[1]))
    manifest = {"encoder": "toy", "dim": D, "window": 16, "stride": 16, "fps": 25.0, "videos": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder, places


def told_apart(run: Path, store: Path, places: dict[str, tuple[int, int]]) -> float:
    """Share of the videos in which each class is more active at its own place than at the other."""
    localizer, features = Localizer.load(run), open_store(store)
    right = []
    for name, starts in places.items():
        cas_TC = localizer.scores(features.read(name)).cas_TC
        own, other = (
            [cas_TC[s : s + 8].mean(0) for s in order] for order in (starts, starts[::-1])
        )
        right += [own[c][c] > other[c][c] for c in range(2)]
    return float(np.mean(right))


@pytest.mark.parametrize("extra", [(), ("dcc.contrast=bank", "dcc.teach_classes=1", "cluster.k=6")])
def test_classes_that_always_occur_together_are_told_apart_by_six_verdicts(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    """Three corrected videos of twenty; measured on the seventeen others."""
    store, places = together(tmp_path / "store")
    corrected = dict(list(places.items())[:3])
    others = {name: starts for name, starts in places.items() if name not in corrected}

    def segment(c: int, start: int) -> Correction:
        return Correction("xy"[c], start * SECONDS, (start + 8) * SECONDS, "accepted")

    corrections = Corrections(
        {
            name: VideoCorrections(True, (segment(0, starts[0]), segment(1, starts[1])))
            for name, starts in corrected.items()
        }
    )
    labels = Labels(dict.fromkeys(places, ("x", "y")), dict.fromkeys(places), "tags.csv")
    settings = ["train.steps=100", "train.lr=5e-3", "model.hidden_dim=16", *extra]
    config = load_config(None, settings)
    found = {}
    for name, given in (("tags", None), ("corrections", corrections)):
        train(config, open_store(store), labels, tmp_path / name, quiet=True, corrections=given)
        found[name] = told_apart(tmp_path / name, store, others)
    assert found["tags"] < 0.8  # chance is .5
    assert found["corrections"] > 0.95


def test_a_new_class_comes_with_an_added_segment(data: Data, tmp_path: Path) -> None:
    added = Correction("Clap", 2, 9, "added")
    corrections = Corrections({"video_001": VideoCorrections(False, (added,))})
    said: list[str] = []
    result = run(data, tmp_path / "r", corrections, said=said)
    assert result.classes == ("Clap", *CLASSES)
    assert any(text == "video_001: the corrections add Clap to its tags." for text in said)


# What they leave alone ----------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [[], CONTRAST])
def test_corrections_that_say_nothing_are_no_corrections_to_the_bit(
    data: Data, tmp_path: Path, extra: list[str]
) -> None:
    run(data, tmp_path / "none", None, *extra)
    nothing = Corrections({"video_003": VideoCorrections(False, ())})
    elsewhere = Corrections({"video_015": VideoCorrections(True, ())})  # a test video
    for name, given in (("empty", Corrections({})), ("nothing", nothing), ("test", elsewhere)):
        run(data, tmp_path / name, given, *extra)
        assert weights(tmp_path / name) == weights(tmp_path / "none")
    run(data, tmp_path / "one", ONE, *extra)
    assert weights(tmp_path / "one") != weights(tmp_path / "none")


def test_corrections_without_weight_change_only_the_tags(data: Data, tmp_path: Path) -> None:
    off = [f"corrections.{name}_weight=0" for name in ("classes", "attention")]
    run(data, tmp_path / "none", None)
    run(data, tmp_path / "off", ONE, *off)
    mine, theirs = metrics(tmp_path / "off"), metrics(tmp_path / "none")
    assert [line["loss"] for line in mine] == [line["loss"] for line in theirs]


def test_videos_outside_of_the_training_are_named_and_kept_out(data: Data, tmp_path: Path) -> None:
    """Of the test subset, and unknown ones."""
    video = VideoCorrections(False, (Correction("Jump", 1, 2, "rejected"),))
    said: list[str] = []
    silent = VideoCorrections(False, ())  # of which nothing is said, and nothing need be
    videos = {"video_015": video, "gone": video, "nothing": silent}
    run(data, tmp_path / "r", Corrections(videos), said=said)
    assert any("kept out" in text and "training: gone, video_015." in text for text in said)


def test_corrections_past_the_end_of_their_video_are_named(data: Data, tmp_path: Path) -> None:
    late = Correction("Jump", 1000, 1001, "accepted")
    said: list[str] = []
    run(
        data,
        tmp_path / "r",
        Corrections({"video_003": VideoCorrections(False, (late,))}),
        said=said,
    )
    assert any("after the end of their video" in text and "video_003" in text for text in said)
    said.clear()
    run(data, tmp_path / "s", ONE, said=said)
    assert not any("after the end" in text for text in said)


def test_a_corrected_video_that_cannot_be_read_costs_itself_alone(tmp_path: Path) -> None:
    features, tags, annotations = make_store(tmp_path)
    (features / "video_003.npy").write_bytes(b"broken")
    result = run((features, tags, annotations), tmp_path / "r", ONE)
    assert list(result.skipped) == ["video_003"]
    assert (tmp_path / "r" / MODEL_FILE).exists()


def labels_of(**tags: tuple[str, ...]) -> Labels:
    return Labels(tags, dict.fromkeys(tags), "tags.csv")


def test_what_happens_is_a_tag_and_what_a_complete_video_lacks_is_none() -> None:
    said = (Correction("b", 0, 1, "accepted"), Correction("c", 0, 1, "rejected"))
    labels = labels_of(v=("a", "c"), w=("b",))
    merged, kept = merge(labels, Corrections({"v": VideoCorrections(False, said)}), ["v", "w"])
    assert merged.tags == {"v": ("a", "b", "c"), "w": ("b",)}
    merged, kept = merge(labels, Corrections({"v": VideoCorrections(True, said)}), ["v", "w"])
    assert merged.tags == {"v": ("b",), "w": ("b",)}
    assert merged.notes == ("v: the corrections add b to its tags and take a, c from them.",)
    assert kept is not None
    assert kept.count == 2


def test_a_label_that_is_no_class_is_refused_with_the_nearest() -> None:
    wrong = Corrections({"v": VideoCorrections(False, (Correction("Cuogh", 0, 1, "accepted"),))})
    with pytest.raises(WtalError, match=r"'Cuogh'.*nearest is 'Cough'.*Only an added segment"):
        merge(labels_of(v=("Cough",)), wrong, ["v"])
    new = Correction("Cuogh", 3, 4, "added")
    both = Corrections({"v": VideoCorrections(False, (*wrong.videos["v"].segments, new))})
    assert merge(labels_of(v=("Cough",)), both, ["v"])[0].tags["v"] == ("Cough", "Cuogh")


# Runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [[], CONTRAST])
def test_a_resumed_run_with_corrections_equals_an_uninterrupted_one(
    data: Data, tmp_path: Path, extra: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed inside step 4, after the checkpoint of step 2."""
    run(data, tmp_path / "whole", ONE, *extra)
    real = training.train_step

    def killed(*args: Any, **named: Any) -> dict[str, float]:
        if named["step"] == 3:
            raise KeyboardInterrupt
        return real(*args, **named)

    monkeypatch.setattr(training, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "parts", ONE, *extra)
    monkeypatch.undo()
    run(data, tmp_path / "parts", ONE, *extra, resume=True)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_resuming_with_other_corrections_is_refused(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path / "r", ONE)
    other = Corrections({"video_003": VideoCorrections(True, ())})
    for wrong in (None, other):
        with pytest.raises(WtalError, match="trained on other corrections, or without any"):
            run(data, tmp_path / "r", wrong, resume=True)
    run(data, tmp_path / "r", read_corrections(tmp_path / "r" / "corrections.json"), resume=True)
    run(data, tmp_path / "plain", None)
    with pytest.raises(WtalError, match="trained on other corrections, or without any"):
        run(data, tmp_path / "plain", ONE, resume=True)


def test_the_run_folder_says_what_it_learned_from(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path / "r", ONE)
    assert read_corrections(tmp_path / "r" / "corrections.json").videos == ONE.videos
    inputs = json.loads((tmp_path / "r" / "environment.json").read_text())["inputs"]
    told = inputs["corrections"]
    assert (told["videos"], told["segments"], told["sha256"]) == (1, 1, ONE.digest())
    facts = load_facts(tmp_path / "r" / MODEL_FILE, "wtal.basnet")
    assert facts["inputs"]["corrections"] == ONE.digest()
    assert {"corrected_classes", "corrected_attention"} <= metrics(tmp_path / "r")[0].keys()


def test_only_training_videos_are_supervised(data: Data) -> None:
    """With held-out validation videos, their corrections stay out, too."""
    store = open_store(data[0])
    one = TrainingVideos(("video_000",), np.ones((1, 1), np.float32), ("Jump",), store.read)
    assert supervise(ONE, {}, store, one, "cpu") is None
    two = TrainingVideos(("a", "video_003"), np.ones((2, 1), np.float32), ("Jump",), store.read)
    found = supervise(ONE, {}, store, two, "cpu")
    assert found is not None
    assert list(found.targets) == [1]
