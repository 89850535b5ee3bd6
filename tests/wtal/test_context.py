"""Features in context: the same rows in training and localization, and a run that needs no file."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.synthetic import make_store
from wtal import localize
from wtal.bench import ablation
from wtal.bench.ablation_rows import flat, read_rows
from wtal.bench.ablation_unit import RECORD_FILE, Inputs, Unit, digests, run_unit, score_file
from wtal.checkpoint import MODEL_FILE, load_facts, load_network, save_network
from wtal.cli import app
from wtal.config import Config, dump_config, load_config, resolved
from wtal.context import CONTEXT_FILE, Context, FeaturesConfig, FloatnD, open_context
from wtal.cost import training_cost
from wtal.data import DataConfig, open_training_videos
from wtal.errors import WtalError
from wtal.inputs import read_labels
from wtal.inspection.command import Source
from wtal.inspection.insight import look
from wtal.inspection.run import InspectedRun
from wtal.localize import Localizer
from wtal.schedule import numpy_generator
from wtal.training import TrainResult, train
from wtal.validation import measure, split
from wtal_features import FeatureError, open_store
from wtal_features.retrieval.aggregator import TCA
from wtal_features.retrieval.context import ContextAbout, ContextModel, save_context
from wtal_features.retrieval.whitening import Whitening

D, WHITE = 16, 6
SMALL = ("model.hidden_dim=8", "train.batch_size=4", "train.log_every=1", "train.steps=3")
SEEN = "video_013"  # not of the training

Data = tuple[Path, Path, Path]


def make_model(dim: int = D, seed: int = 0, encoder: str | None = "synthetic") -> ContextModel:
    draws = torch.Generator().manual_seed(seed)
    return ContextModel(TCA(dim, 2, 8, generator=draws), None, ContextAbout(2, encoder))


def whitened_model() -> ContextModel:
    draws = torch.Generator().manual_seed(5)
    axes = torch.linalg.qr(torch.randn(D, WHITE, generator=draws)).Q.T.contiguous()
    white = Whitening(torch.randn(D, generator=draws), axes, torch.linspace(2, 1, WHITE))
    return ContextModel(TCA(WHITE, 2, 8, generator=draws), white, ContextAbout(2))


def written(path: Path, model: ContextModel | None = None) -> Path:
    save_context(path, model or make_model())
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_store(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("context") / "tca.safetensors")


def config(*overrides: str, file: Path | None = None) -> Config:
    context = ["features.context=tca", f"features.context_file={file}"] if file else []
    return load_config(None, [*SMALL, *context, *overrides])


def run(data: Data, out: Path, settings: Config, *, resume: bool = False) -> TrainResult:
    labels, store = read_labels(tags=data[1]), open_store(data[0])
    return train(settings, store, labels, out, resume=resume, quiet=True)


def features(n: int, dim: int = D) -> FloatnD:
    return np.random.default_rng(n).normal(size=(n, dim)).astype(np.float32)


# Rows ---------------------------------------------------------------------------------------------


def test_refined_rows_have_the_direction_of_the_context_and_the_length_of_the_raw_row() -> None:
    raw_nD, model = features(9), make_model()
    refined_nd = Context(model, "refined").rows(raw_nD)
    length_n = np.linalg.norm(raw_nD, axis=1)
    np.testing.assert_allclose(np.linalg.norm(refined_nd, axis=1), length_n, rtol=1e-5)
    context_nd = model.refine(raw_nD)
    cosine_n = (refined_nd * context_nd).sum(1) / length_n / np.linalg.norm(context_nd, axis=1)
    np.testing.assert_allclose(cosine_n, 1, rtol=1e-5)


@pytest.mark.parametrize(("model", "d"), [(make_model(), D), (whitened_model(), WHITE)])
def test_both_is_the_raw_row_beside_the_refined_one(model: ContextModel, d: int) -> None:
    raw_nD = features(7)
    both, refined = Context(model, "both"), Context(model, "refined")
    assert (both.dim_in, both.dim, refined.dim) == (D, D + d, d)
    joined = both.rows(raw_nD)
    assert joined.shape == (7, D + d)
    assert joined.dtype == np.float32
    assert np.array_equal(joined[:, :D], raw_nD)
    assert np.array_equal(joined[:, D:], refined.rows(raw_nD))


def test_one_snippet_and_a_snippet_of_zeros_are_rows_like_any_other() -> None:
    context = Context(make_model(), "both")
    assert np.isfinite(context.rows(features(1))).all()
    raw_nD = features(3)
    raw_nD[1] = 0
    joined = context.rows(raw_nD)
    assert np.isfinite(joined).all()
    assert not joined[1].any()  # as long as its raw row


def test_a_snippet_is_refined_by_the_others_of_its_video_whatever_their_order() -> None:
    context, raw_nD = Context(make_model(), "refined"), features(8)
    rows_nd, order = context.rows(raw_nD), np.arange(8)[::-1]
    np.testing.assert_allclose(context.rows(raw_nD[order].copy()), rows_nd[order], atol=1e-5)
    assert not np.allclose(context.rows(raw_nD[:4].copy()), rows_nd[:4], atol=1e-3)


# Config -------------------------------------------------------------------------------------------


def test_a_context_without_a_file_is_one_sentence_before_anything_is_written(
    data: Data, tmp_path: Path
) -> None:
    bare = load_config(Path(__file__).parents[2] / "configs" / "basnet_tca.yaml")
    with pytest.raises(WtalError, match=r"context=tca needs a context model: -o features.context_"):
        run(data, tmp_path / "r", bare)
    gone = config(file=tmp_path / "gone.safetensors")
    with pytest.raises(FeatureError, match=r"gone\.safetensors"):
        run(data, tmp_path / "r", gone)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("key", ["context_file=x", "context_join=refined"])
def test_an_override_that_no_context_reads_is_refused(key: str) -> None:
    with pytest.raises(WtalError, match=f"-o features.{key} does nothing with features.context=no"):
        load_config(None, [f"features.{key}"])


def test_a_file_named_in_a_yaml_file_lies_beside_it_and_one_of_an_override_does_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("features: {context: tca, context_file: sub/t.safetensors}\n")
    named = load_config(path).features.context_file
    assert named == str(tmp_path / "sub" / "t.safetensors")
    for text in ("features.context_file=t", "features={context: tca, context_file: t}"):
        assert load_config(path, [text]).features.context_file == "t"
    path.write_text(f"features: {{context: tca, context_file: {tmp_path / 't'}}}\n")
    assert load_config(path).features.context_file == str(tmp_path / "t")


# Training -----------------------------------------------------------------------------------------


def test_without_a_context_a_run_is_what_it_was(data: Data, tmp_path: Path) -> None:
    """No word of a context in what a run keeps, and a run of an older version goes on."""
    run(data, tmp_path / "r", config())
    assert not (tmp_path / "r" / CONTEXT_FILE).exists()
    about = json.loads((tmp_path / "r" / "environment.json").read_text())
    assert "context" not in about["inputs"]
    facts = load_facts(tmp_path / "r" / "state" / "checkpoint.safetensors")
    assert set(facts["inputs"]) == {"classes", "feature_dim", "videos"}
    path, model = tmp_path / "r" / "config.yaml", (tmp_path / "r" / MODEL_FILE).read_bytes()
    text = path.read_text()
    section = text[text.index("features:") : text.index("model:")]
    path.write_text(text.replace(section, ""))
    assert run(data, tmp_path / "r", config(), resume=True).steps == 3
    assert (tmp_path / "r" / MODEL_FILE).read_bytes() == model


@pytest.mark.parametrize(("join", "dim"), [("both", 2 * D), ("refined", D)])
def test_a_run_keeps_its_context_and_needs_no_other_file(
    data: Data, tmp_path: Path, join: str, dim: int
) -> None:
    original = written(tmp_path / "tca.safetensors")
    kept, digest = original.read_bytes(), hashlib.sha256(original.read_bytes()).hexdigest()
    settings = config(f"features.context_join={join}", file=original)
    result = run(data, tmp_path / "r", settings)
    original.unlink()
    result.run.rename(tmp_path / "moved")
    moved = tmp_path / "moved"
    assert (moved / CONTEXT_FILE).read_bytes() == kept
    inputs = json.loads((moved / "environment.json").read_text())["inputs"]
    assert inputs["context"] == {"file": str(original), "sha256": digest}
    assert inputs["feature_dim"] == D
    assert "context_file: context.safetensors\n" in (moved / "config.yaml").read_text()

    localizer = Localizer.load(moved)
    assert localizer.network.feature_dim == dim
    found = localizer.localize(open_store(data[0]).read(SEEN), seconds_per_snippet=0.64)
    assert len(found.labels)
    words = ["localize", str(moved), "-f", str(data[0]), "--tags", str(data[1]), "-q"]
    done = CliRunner().invoke(app, [*words, "--subset", "test", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    results = json.loads((moved / "detections.json").read_text())["results"]
    assert results[SEEN] == found.as_dicts()
    # And the resolved config trains the same network again.
    again = run(data, tmp_path / "again", load_config(moved / "config.yaml"))
    assert (again.run / MODEL_FILE).read_bytes() == (moved / MODEL_FILE).read_bytes()


def test_training_and_localization_see_the_same_rows(
    data: Data, file: Path, tmp_path: Path
) -> None:
    settings = config("data.cache_mb=4096", file=file)
    run(data, tmp_path / "r", settings)
    store, labels, localizer = (
        open_store(data[0]),
        read_labels(tags=data[1]),
        Localizer.load(tmp_path / "r"),
    )
    context = open_context(settings.features)
    for cache_mb in (0, 4096):
        how = replace(settings.data, cache_mb=cache_mb)
        videos, _ = open_training_videos(
            store, labels.tags, ["video_000", "video_001"], how, context=context
        )
        for name in videos.names:
            assert np.array_equal(videos.read(name), localizer.rows(store.read(name)))


def test_a_held_out_figure_is_what_the_localizer_gives_on_raw_features(
    data: Data, file: Path, tmp_path: Path
) -> None:
    settings = config("validation.fraction=0.4", "validation.labels=segments", file=file)
    labels, store = read_labels(annotations=data[2]), open_store(data[0])
    result = train(settings, store, labels, tmp_path / "r", quiet=True)
    names = sorted(video for video, subset in labels.subsets.items() if subset == "training")
    raw, _ = open_training_videos(store, labels.tags, names, DataConfig())
    _, held_out = split(raw, settings.validation, numpy_generator(0, "split"))
    localizer = Localizer.load(tmp_path / "r")
    found = measure(localizer, store, held_out, settings.validation, labels.annotations)
    assert len(held_out.names) >= 3
    for name, value in found.items():
        assert result.figures[name] == pytest.approx(value, abs=1e-9)


def test_a_resumed_run_equals_an_uninterrupted_one_with_the_file_elsewhere(
    data: Data, file: Path, tmp_path: Path
) -> None:
    constant = "train.lr_schedule=constant"
    run(data, tmp_path / "whole", config(constant, "train.steps=6", file=file))
    run(data, tmp_path / "parts", config(constant, file=file))
    copy = tmp_path / "elsewhere.safetensors"
    copy.write_bytes(file.read_bytes())
    longer = config(constant, "train.steps=6", file=copy)
    assert run(data, tmp_path / "parts", longer, resume=True).steps == 6
    whole, parts = ((tmp_path / name / MODEL_FILE).read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    own = config(constant, "train.steps=6", file=tmp_path / "parts" / CONTEXT_FILE)
    assert run(data, tmp_path / "parts", own, resume=True).steps == 6


def test_a_run_does_not_go_on_in_another_context(data: Data, file: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "r", config(file=file))
    kept = (tmp_path / "r" / CONTEXT_FILE).read_bytes()
    other = config(file=written(tmp_path / "other.safetensors", make_model(seed=1)))
    with pytest.raises(WtalError, match="was trained on another context model; resume with the sa"):
        run(data, tmp_path / "r", other, resume=True)
    assert (tmp_path / "r" / CONTEXT_FILE).read_bytes() == kept
    with pytest.raises(WtalError, match=r"trained with another config \(context_join\)"):
        run(data, tmp_path / "r", config("features.context_join=refined", file=file), resume=True)
    with pytest.raises(WtalError, match=r"trained with another config \(context\)"):
        run(data, tmp_path / "r", config(), resume=True)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (make_model(dim=8), "has 16 dimensions; the context model takes 8"),
        (make_model(encoder="another"), "comes from the encoder 'synthetic'"),
    ],
)
def test_a_context_of_other_features_is_refused(
    data: Data, tmp_path: Path, model: ContextModel, message: str
) -> None:
    settings = config(file=written(tmp_path / "c.safetensors", model))
    with pytest.raises(FeatureError, match=message):
        run(data, tmp_path / "r", settings)
    assert not (tmp_path / "r").exists()


def test_the_networks_with_and_without_context_differ_in_their_first_layers_alone(
    data: Data, file: Path, tmp_path: Path
) -> None:
    shapes: list[dict[str, tuple[int, ...]]] = []
    for settings in (config("model.hidden_dim=auto"), config("model.hidden_dim=auto", file=file)):
        out = tmp_path / str(len(shapes))
        run(data, out, settings)
        network = Localizer.load(out).network
        shapes.append({name: tuple(part.shape) for name, part in network.state_dict().items()})
    plain, context = shapes
    differing = {name for name in plain if plain[name] != context[name]}
    assert all(D in plain[name] and 2 * D in context[name] for name in differing)
    assert len(differing) == 2
    rates = [load_config(tmp_path / name / "config.yaml").train.lr for name in ("0", "1")]
    assert rates[0] == rates[1]


# Localization -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(data: Data, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(data, tmp_path_factory.mktemp("runs") / "r", config(file=file)).run


def test_the_context_is_of_the_whole_video_where_the_network_goes_in_pieces(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    localizer = Localizer.load(trained)
    whole = localizer.scores(features(100))
    monkeypatch.setattr(localize, "CHUNK", 7)
    for one, other in zip(whole[:3], localizer.scores(features(100))[:3], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_context_is_of_every_snippet_where_the_network_sees_a_grid(
    data: Data, file: Path, tmp_path: Path
) -> None:
    run(data, tmp_path / "r", config("data.resample=grid", "data.length=20", file=file))
    localizer, raw_nD = Localizer.load(tmp_path / "r"), features(50)
    rows_TD = localizer.rows(raw_nD)[np.arange(20) * 50 // 20]
    plain = replace(localizer, context=None, data=DataConfig())
    np.testing.assert_array_equal(localizer.scores(raw_nD).cas_TC, plain.scores(rows_TD).cas_TC)


def test_a_video_of_one_snippet_is_localized(trained: Path) -> None:
    found = Localizer.load(trained).localize(features(1), seconds_per_snippet=0.64)
    assert (found.ends_N <= 0.64 + 1e-9).all()


def test_features_of_another_width_are_named_with_the_raw_dims(trained: Path) -> None:
    for dim in (5, 2 * D):  # the second fits the network, but not the context
        with pytest.raises(WtalError, match=f"have {dim} dims; this model was trained on 16"):
            Localizer.load(trained).localize(features(4, dim), seconds_per_snippet=1.0)


def test_a_store_of_another_encoder_is_refused(trained: Path, data: Data, tmp_path: Path) -> None:
    store = make_store(tmp_path)[0]
    manifest = store / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"synthetic"', '"another"'))
    with pytest.raises(FeatureError, match="comes from the encoder 'another'"):
        next(Localizer.load(trained).localize_store(open_store(store), [SEEN]))
    with pytest.raises(FeatureError, match="comes from the encoder 'another'"):
        Source(store).store(InspectedRun.load(trained))


def test_a_run_is_not_localized_with_other_features_than_it_learned_from(trained: Path) -> None:
    for text in ("features.context=none", "features.context_join=refined", "features={}"):
        with pytest.raises(WtalError, match="training read it, so that it cannot change now"):
            Localizer.load(trained, overrides=[text])


def test_a_run_that_lost_its_context_says_so(data: Data, file: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "r", config(file=file))
    (tmp_path / "r" / CONTEXT_FILE).unlink()
    with pytest.raises(FeatureError, match=r"r/context\.safetensors"):
        Localizer.load(tmp_path / "r")


def test_a_run_with_the_context_of_another_is_refused(
    data: Data, file: Path, tmp_path: Path
) -> None:
    folder = run(data, tmp_path / "r", config(file=file)).run
    written(folder / CONTEXT_FILE, make_model(seed=1))
    with pytest.raises(WtalError, match=r"r/context\.safetensors is not the context model that"):
        Localizer.load(folder)


def test_a_run_knows_its_copy_of_a_file_of_another_form(data: Data, tmp_path: Path) -> None:
    """The copy is a safetensors file with other bytes; the run resumes from the given file."""
    original = tmp_path / "released.pth"
    draws = torch.Generator().manual_seed(0)
    torch.save(TCA(D, 8, 8, generator=draws).state_dict(), original)
    folder = run(data, tmp_path / "r", config(file=original)).run
    assert (folder / CONTEXT_FILE).read_bytes() != original.read_bytes()
    Localizer.load(folder)
    assert run(data, folder, config(file=original), resume=True).steps == 3
    Localizer.load(folder)


def test_a_run_that_does_not_know_its_context_is_localized(
    data: Data, file: Path, tmp_path: Path
) -> None:
    """As those of before the digest was kept."""
    folder = run(data, tmp_path / "r", config(file=file)).run
    facts = load_facts(folder / MODEL_FILE, "wtal.basnet")
    del facts["inputs"]["context_model"]
    network, classes = load_network(folder / MODEL_FILE, load_config(folder / "config.yaml").model)
    save_network(folder / MODEL_FILE, network, classes, facts)
    assert Localizer.load(folder).context is not None


def test_looking_into_a_run_gives_what_localizing_gives(trained: Path, data: Data) -> None:
    store = open_store(data[0])
    insight = look(InspectedRun.load(trained), store, SEEN)
    found = Localizer.load(trained).scores(store.read(SEEN))
    np.testing.assert_allclose(insight.attention_T, found.attention_T, atol=1e-5)
    np.testing.assert_allclose(insight.cas_TC[:, :3], found.cas_TC, atol=1e-4)


# Cost and ablation --------------------------------------------------------------------------------


def test_a_context_makes_the_estimate_that_of_the_joined_rows(file: Path) -> None:
    plain = training_cost([100], D, 3, config("model.filter_dim=4"))
    context = training_cost([100], D, 3, config("model.filter_dim=4", file=file))
    assert context.disk_bytes - plain.disk_bytes == 16 * D * (4 + 3 * 8)  # filter, first layer


def planned(data: Data) -> ablation.Cell:
    """The one cell of an ablation of base.yaml, which no other run stands against."""
    given = ["base.yaml", "-f", data[0], "--annotations", data[2], "--out", "out", "--seeds", "0"]
    options = ablation.parser().parse_intermixed_args([str(word) for word in given])
    (cell,) = ablation.plan(read_rows(options.rows), options)
    ablation.refuse_other(cell, options)
    return cell


def test_an_ablation_knows_its_context_by_what_the_file_holds(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base, file = Path("base.yaml"), written(Path("tca.safetensors"))
    base.write_text("features: {context: tca, context_file: tca.safetensors}\n")
    cell = planned(data)
    cell.run.mkdir(parents=True)
    record: dict[str, Any] = {"config": flat(cell.config), "digests": cell.digests}
    (cell.run / RECORD_FILE).write_text(json.dumps(record | {"seconds": 1, "finished": True}))
    file.rename("moved.safetensors")
    base.write_text("features: {context: tca, context_file: moved.safetensors}\n")
    planned(data)  # the same model elsewhere
    written(Path("moved.safetensors"), make_model(seed=1))
    with pytest.raises(WtalError, match=r"made with other context than moved\.safetensors"):
        planned(data)
    base.write_text("features: {context: tca}\n")
    with pytest.raises(WtalError, match="needs a context model"):
        planned(data)


def test_a_unit_of_an_ablation_trains_and_scores_in_context(
    data: Data, file: Path, tmp_path: Path
) -> None:
    inputs, settings = Inputs(str(data[0]), str(data[2])), config(file=file)
    told = digests(inputs.store(()), inputs.labels(), settings.features)
    out = tmp_path / "u"
    unit = Unit.make(out, settings, localizers=((),), inputs=inputs, digests=told, subset="test")
    run_unit(Unit.from_json(unit.to_json()))
    assert json.loads(score_file(unit.run, "test", ()).read_text())["videos"] == 6
    assert told.keys() - digests(inputs.store(()), inputs.labels()).keys() == {"context"}


def test_a_config_with_a_context_reads_back_from_the_run(data: Data, file: Path) -> None:
    settings = resolved(config(file=file), D, 12)
    assert settings.features == FeaturesConfig("tca", str(file), "both")
    assert "context_join: both" in dump_config(settings)
