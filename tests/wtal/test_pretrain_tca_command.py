"""`wtal pretrain tca`: from features or videos to a context model; what it says, and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.features.videos import panned, write_video
from wtal.cli import app
from wtal_features.retrieval.context import load_context
from wtal_features.store import open_store

torch.set_num_threads(1)
SMALL = (
    *("-o", "transformer.heads=2", "-o", "transformer.hidden=16", "-o", "pairs.rows=6"),
    *("-o", "bank.slots=32", "-o", "bank.strangers=2", "-o", "optim.steps=3"),
    *("-o", "optim.batch=4", "-o", "run.loaders=0", "--device", "cpu"),
)


def pretrain(*words: object, code: int = 0) -> str:
    """What the command prints, on both channels."""
    result = CliRunner().invoke(app, ["pretrain", "tca", *map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def refused(*words: object) -> str:
    """The one sentence of a command that is refused."""
    said = pretrain(*words, code=1)
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Six videos of random rows, of which one is broken, and their tags."""
    folder = tmp_path / "store"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(6):
        rows = generator.normal(size=(5 + number, 8)).astype(np.float32)
        np.save(folder / f"v{number}.npy", rows)
    (folder / "v5.npy").write_bytes(b"broken")
    about = {"encoder": "toy", "dim": 8, "fps": 25, "stride": 16, "videos": {}}
    (folder / "manifest.json").write_text(json.dumps(about))
    lines = [f"v{n},{'ab'[n % 2]},{'one' if n < 4 else 'two'}" for n in range(6)]
    (tmp_path / "tags.csv").write_text("video,label,subset\n" + "\n".join(lines) + "\n")
    return folder


def test_features_become_a_context_model_and_a_broken_video_is_named(
    store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tca.safetensors"
    said = pretrain(store, "--out", out, *SMALL, code=1)
    assert "v5" in said
    assert "steps: 3, videos: 5" in said
    model = load_context(out)
    assert (model.dim_in, model.dim, model.encoder) == (8, 8, "toy")
    assert (tmp_path / "tca.run" / "metrics.jsonl").is_file()


def test_a_store_without_a_manifest_will_do_since_time_plays_no_part(
    store: Path, tmp_path: Path
) -> None:
    (store / "manifest.json").unlink()
    out = tmp_path / "tca.safetensors"
    pretrain(store, "--out", out, *SMALL, "--keep-going")
    assert load_context(out).encoder is None


def test_tags_make_pairs_of_one_subset_alone(store: Path, tmp_path: Path) -> None:
    out, tags = tmp_path / "tca.safetensors", tmp_path / "tags.csv"
    words = (store, "--out", out, "--tags", tags, "--subset", "one", *SMALL)
    assert "videos: 4" in pretrain(*words, "-o", "pairs.sources=[tags]")


def test_a_stopped_run_goes_on_and_another_one_is_refused(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "tca.safetensors"
    pretrain(store, "--out", out, *SMALL, "--keep-going")
    assert "already holds a run" in refused(store, "--out", out, *SMALL)
    pretrain(store, "--out", out, *SMALL, "--resume", "--keep-going")
    other = refused(store, "--out", out, *SMALL, "--resume", "-o", "pairs.noise=.1")
    assert "was begun with another pairs.noise" in other


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("-o", "pairs.sources=[tags]"), "The source 'tags' gives no pair of videos"),
        (("-o", "pairs.sources=[copies]"), "The source 'copies' gives no pair of videos"),
        (("-o", "transformer.heads=3"), "8 dimensions cannot be shared by 3 heads"),
        (("-o", "bank.slots=33"), "A queue of 33 keys, filled 8 at a time"),
        (("-o", "loss.temperature=.1"), "does nothing with loss.kind=circle"),
        (("-o", "loss.kind=infonce", "-o", "loss.margin=.1"), "does nothing with loss.kind"),
        (("-o", "frames.encoder=null", "-o", "frames.copies=-1"), "copies is -1"),
        (("-o", "frames.encoder=resnet50"), "it holds features already"),
        (("-o", "frames.pixels.flip_p=1"), "-o frames.pixels means nothing"),
        (("-o", "pairs.sources=[tags]", "-o", "pairs.noise=1"), "does nothing with pairs of tags"),
        (("-o", "pairs.sources=[tme]"), "a list of 'time' or 'copies' or 'tags' or 'list'"),
        (("--fps", "2"), "--fps means nothing"),
        (("--motion", "mv"), "--motion means nothing for tca, which sees colour alone"),
        (("-o", "pairs.list=none.csv"), "none.csv"),
        (("-o", "pairs.sources=[list]"), "list is None; expected a file"),
        (("-o", "whitening.dim=100"), "100"),
        (("-o", "network.width=.5"), "unknown key 'network'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    store: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refused(store, "--out", tmp_path / "tca.safetensors", *SMALL, *words)
    assert not (tmp_path / "tca.safetensors").exists()


def test_altered_copies_and_absent_pairs_are_said(store: Path, tmp_path: Path) -> None:
    np.save(store / "v0~1.npy", np.load(store / "v0.npy"))
    np.save(store / "w~1.npy", np.load(store / "v1.npy"))
    said = pretrain(store, "--out", tmp_path / "a.safetensors", *SMALL, "--keep-going")
    assert "1 videos are taken for altered copies of 1: v0~1." in said
    (tmp_path / "pairs.csv").write_text("v0,v1\nv2,x\n")
    words = (store, "--out", tmp_path / "b.safetensors", *SMALL, "--keep-going")
    said = pretrain(*words, "-o", f"pairs.list={tmp_path / 'pairs.csv'}")
    assert "names 1 that are no videos here: x." in said


def test_what_is_left_out_or_in_no_pair_is_said(store: Path, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("video,label\nv0,a\nv1,a\nv2,b\n")
    words = (store, "--out", tmp_path / "a.safetensors", "--tags", tmp_path / "few.csv", *SMALL)
    said = pretrain(*words, "-o", "pairs.sources=[tags]")
    assert "3 videos are not among the tags, or of another subset: left out." in said
    assert "1 videos are in no pair: they serve as strangers." in said
    assert "no piece of use" not in said


def test_what_holds_neither_features_nor_videos_is_refused_before_an_encoder_is_asked_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("x")
    out = tmp_path / "tca.safetensors"
    for source, what in (
        ("nowhere", "does not exist"),
        ("text.txt", "is no video"),
        ("empty", "holds neither features nor videos"),
    ):
        assert what in refused(tmp_path / source, "--out", out, *SMALL)
    assert not (tmp_path / "tca.run").exists()


def test_files_of_a_yaml_file_are_looked_for_beside_it(store: Path, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "pairs.csv").write_text("v0,v1\nv2,v3\n")
    (tmp_path / "configs" / "tca.yaml").write_text("pairs:\n  list: pairs.csv\n")
    words = (store, "--out", tmp_path / "a.safetensors", *SMALL, "--keep-going")
    assert "videos: 4" in pretrain(*words, "--config", tmp_path / "configs" / "tca.yaml")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos of two seconds."""
    root = tmp_path_factory.mktemp("videos")
    for i in range(5):
        write_video(root / f"v{i}.mp4", panned(50, 64, 48, (i, 1), seed=i))
    return root


def test_videos_without_an_encoder_are_refused_with_examples(videos: Path, tmp_path: Path) -> None:
    said = refused(videos, "--out", tmp_path / "tca.safetensors", *SMALL)
    assert "-o frames.encoder=E" in said
    assert "resnet50:FILE" in said
    several = ("-o", "frames.encoder=s3d")
    assert "sees 32 frames at a time" in refused(
        videos, "--out", tmp_path / "tca.safetensors", *SMALL, *several
    )


@pytest.mark.slow
def test_videos_are_described_with_altered_copies_and_the_rows_serve_again(
    videos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tca.safetensors"
    encoder = ("-o", "frames.encoder=efficientnet-lite0", "-o", "frames.pooling=irmac")
    words = ("--fps", "2", "--workers", "1", "-o", "frames.copies=2", "-o", "whitening.dim=16")
    said = pretrain(videos, "--out", out, *encoder, *words, *SMALL)
    assert "efficientnet-lite0 has random weights" in said
    assert "videos: 5" in said
    rows = open_store(tmp_path / "tca.run" / "rows")
    assert set(rows.videos) == {f"v{i}{copy}" for i in range(5) for copy in ("", "~1", "~2")}
    several = ("-o", "frames.copies=4", "--resume")
    other = refused(
        videos, "--out", out, *encoder, *words[:4], "-o", "whitening.dim=16", *SMALL, *several
    )
    assert "was begun with another frames.copies" in other
    assert len(open_store(tmp_path / "tca.run" / "rows").videos) == 15  # nothing was made for it
    model = load_context(out)
    model.check(rows.dim, rows.manifest.encoder, "rows")
    assert model.refine(rows.read("v0")).shape == (4, 16)
    extracted = tmp_path / "store"
    extract = ["extract", str(videos), "--encoder", "efficientnet-lite0", "--pooling", "irmac"]
    grid = ["--fps", "2", "--stride", "1", "--workers", "1", "--out", str(extracted)]
    result = CliRunner().invoke(app, [*extract, *grid])
    assert result.exit_code == 0, result.output
    store = open_store(extracted)
    model.check(store.dim, store.manifest.encoder, "store")
    assert np.allclose(store.read("v0"), rows.read("v0"), atol=0.02)
