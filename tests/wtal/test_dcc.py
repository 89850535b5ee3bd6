"""The contrast as training meets it: its start, its gradient, and what resume gets back."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.synthetic import make_store
from wtal import training
from wtal.checkpoint import MODEL_FILE, STATE_FILE
from wtal.clusters import ClusterConfig
from wtal.compat import Compat
from wtal.config import Config, load_config
from wtal.data import Batch, DataConfig, Sampler, TrainingVideos
from wtal.dcc import Contrast, DccConfig, DenoisedContrast
from wtal.errors import WtalError
from wtal.inputs import read_labels
from wtal.losses import Criterion, LossConfig
from wtal.model import BaSNet, ModelConfig, Output
from wtal.training import TrainResult, train, train_step
from wtal_features import open_store

Data = tuple[Path, Path, Path]
SMALL = ["model.hidden_dim=8", "train.batch_size=4", "train.log_every=1", "cluster.k=4"]
# Three epochs of three steps; the contrast starts in the second.
CONTRAST = [*SMALL, "dcc.contrast=bank", "train.steps=9", "cluster.every_epochs=1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_store(tmp_path_factory.mktemp("data"))


def config(*overrides: str) -> Config:
    return load_config(None, [*CONTRAST, *overrides])


def run(data: Data, out: Path, *overrides: str, resume: bool = False) -> TrainResult:
    labels = read_labels(tags=data[1])
    store = open_store(data[0])
    return train(config(*overrides), store, labels, out, resume=resume, quiet=True)


def lines(out: Path) -> list[dict[str, float]]:
    timed = ("seconds", "cluster_seconds", "cluster_share")
    read = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in timed} for line in read]


def toy_videos() -> TrainingVideos:
    """One snippet, fewer than regions, no tag, two tags, and a class of one video only."""
    draw = np.random.default_rng(0)
    sizes = {"a": 1, "b": 3, "c": 12, "d": 20, "e": 16}
    features = {name: draw.normal(size=(n, 6)).astype(np.float32) for name, n in sizes.items()}
    tags = {"a": [0], "b": [0], "c": [], "d": [0, 1], "e": [0]}
    labels = np.array([[c in tags[name] for c in range(2)] for name in sizes], np.float32)
    return TrainingVideos(tuple(sizes), labels, ("x", "y"), features.__getitem__)


def contrast_of(
    dcc: DccConfig, labels_VC: Tensor, clusters: ClusterConfig | None = None
) -> DenoisedContrast:
    return DenoisedContrast(
        dcc,
        clusters or ClusterConfig(k=3),
        hidden_dim=6,
        labels_VC=labels_VC,
        steps=10,
        steps_per_epoch=1,
        seed=0,
        weight_decay=0,
    )


class Toy:
    """A network, its batch and a contrast that starts at once."""

    def __init__(self, dcc: DccConfig, clusters: ClusterConfig | None = None) -> None:
        videos = toy_videos()
        self.batch = Sampler(videos, DataConfig(), 5, seed=0).batch(0)
        self.network = BaSNet(6, 2, ModelConfig(dropout=0), torch.Generator().manual_seed(0))
        self.network.train()
        self.criterion = Criterion(LossConfig(), Compat(), 2)
        self.contrast = contrast_of(dcc, torch.from_numpy(videos.labels_VC), clusters)

    def forward(self) -> tuple[Output, Tensor]:
        output = self.network(self.batch.features_BTD, self.batch.mask_BT, torch.Generator())
        return output, self.criterion.total(self.criterion(output, self.batch))

    def filled(self, *, started: bool = True) -> "Toy":
        """After a visit of every video, so that bank and clusters hold something."""
        output, _ = self.forward()
        self.contrast(output, self.batch, 0)
        self.contrast.started = 0 if started else None
        return self

    def gradients(self) -> dict[str, Tensor]:
        return {
            name: parameter.grad.clone()
            for name, parameter in self.network.named_parameters()
            if parameter.grad is not None
        }


AT_ONCE = {"contrast": "bank", "warmup": 0.0, "start_coverage": 0.0, "dim": 4}


def dcc(**options: object) -> DccConfig:
    return DccConfig(**{**AT_ONCE, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("embedding", ["base", "supp"])
def test_the_gradient_is_that_of_the_weighted_sum(embedding: str) -> None:
    toy = Toy(dcc(embedding=embedding)).filled()
    output, base_loss = toy.forward()
    term = toy.contrast(output, toy.batch, 1)
    assert term.loss is not None
    network = [p for p in toy.network.parameters() if p.requires_grad]
    beta = 0.7  # any: the schedule's own value is put in its place
    expected = torch.autograd.grad(
        base_loss + beta * term.loss, network, retain_graph=True, allow_unused=True
    )
    toy.contrast.beta = lambda *_: beta  # type: ignore[assignment]
    toy.contrast.backward(base_loss, term, output, 1, lr=0.0)
    for parameter, gradient in zip(network, expected, strict=True):
        assert parameter.grad is not None
        assert gradient is not None
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


def test_the_capped_contrast_has_its_share_of_the_gradient_at_the_embedding() -> None:
    toy = Toy(dcc()).filled()
    output, base_loss = toy.forward()
    term = toy.contrast(output, toy.batch, 1)
    figures = toy.contrast.backward(base_loss, term, output, 9, lr=0.0)
    assert figures["grad_share"] == pytest.approx(toy.contrast.config.beta.rho, rel=1e-5)
    assert figures["beta"] == pytest.approx(0.1 * figures["grad_base"] / figures["grad_dcc"])


def test_the_classifier_and_the_filter_have_the_gradient_of_the_base_loss_alone() -> None:
    toy = Toy(dcc()).filled()
    output, base_loss = toy.forward()
    base_loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    alone = toy.gradients()
    toy.network.zero_grad()
    output, base_loss = toy.forward()
    toy.contrast.backward(base_loss, toy.contrast(output, toy.batch, 1), output, 1, lr=0.0)
    both = toy.gradients()
    for name in alone:
        same = torch.equal(alone[name], both[name])
        assert same == (name.split(".")[0] in ("classifier", "filter_in", "filter_out")), name


def test_before_it_starts_the_contrast_only_fills_the_bank() -> None:
    toy = Toy(dcc(warmup=0.5, start_coverage=1.0))
    output, base_loss = toy.forward()
    term = toy.contrast(output, toy.batch, 0)
    assert term == Contrast(None, {}, {})
    assert toy.contrast.bank.coverage() == 1
    weights = [p.clone() for p in toy.contrast.projection.parameters()]
    toy.contrast.backward(base_loss, term, output, 0, lr=1.0)
    assert all(map(torch.equal, weights, toy.contrast.projection.parameters()))


def test_an_incomplete_bank_delays_the_start() -> None:
    toy = Toy(dcc(warmup=0.1, start_coverage=0.9))
    part = Batch(*(each[:2] for each in toy.batch))
    for step in (4, 5):
        output = toy.network(part.features_BTD, part.mask_BT, torch.Generator())
        assert toy.contrast(output, part, step).loss is None
    output, _ = toy.forward()
    toy.contrast(output, toy.batch, 6)
    toy.contrast(toy.forward()[0], toy.batch, 7)
    assert toy.contrast.started == 7


def test_edge_videos_give_the_regions_that_the_definitions_give() -> None:
    toy = Toy(dcc(denoise="off")).filled()
    snippets = toy.contrast.snippets(toy.forward()[0], toy.batch, 1)
    index, regions = toy.contrast.regions(snippets, toy.batch.videos_B)
    slots = toy.contrast.bank.slots.select(index)
    valid = {
        (v, c, b): regions.valid_SM[s].sum().item()
        for s, (v, c, b) in enumerate(zip(*(part.tolist() for part in slots), strict=True))
    }
    assert valid[0, 0, False] == 0  # one snippet never exceeds its own mean
    assert valid[0, 2, True] == 1  # so it is background
    assert valid[2, 2, True] == 5  # a video without tags is all background
    lengths = regions.vectors_SMd.norm(dim=2)
    torch.testing.assert_close(lengths, regions.valid_SM.float())


def test_a_class_in_one_video_only_has_positives_in_that_video_only() -> None:
    toy = Toy(dcc(denoise="off")).filled()
    index = toy.contrast.bank.of_videos(torch.tensor([3]))
    slots = toy.contrast.bank.slots.select(index)
    anchor = torch.tensor([1 * 5 + 2])  # slot of class 1, third region
    positive, _ = toy.contrast._pairs(index, slots, anchor)
    videos = toy.contrast.bank.slots.video_S.repeat_interleave(5)[positive[0]]
    assert set(videos.tolist()) <= {3}
    assert not positive[0, int(index[1]) * 5 + 2]  # never itself


@pytest.mark.parametrize(
    ("scope", "videos"), [("video", {3}), ("batch", {1, 3}), ("bank", set(range(5)))]
)
def test_the_scope_decides_whose_regions_are_keys(scope: str, videos: set[int]) -> None:
    toy = Toy(dcc(contrast=scope, denoise="off")).filled()
    index = toy.contrast.bank.of_videos(torch.tensor([1, 3]))
    slots = toy.contrast.bank.slots.select(index)
    anchors = (slots.video_S == 3).nonzero()[:1, 0] * 5
    positive, negative = toy.contrast._pairs(index, slots, anchors)
    seen = toy.contrast.bank.slots.video_S.repeat_interleave(5)[(positive | negative)[0]]
    assert set(seen.tolist()) <= videos
    assert len(set(seen.tolist())) > 1 or scope == "video"


OPTIONS: list[dict[str, object]] = [
    {"denoise": "off"},
    {"denoise": "shuffled"},
    {"denoise": "random"},
    {"projection": "mlp"},
    {"embedding": "supp"},
    {"regions": 1},
    {"regions": 9},
    {"cut": "mass"},
    {"cut": "runs"},
    {"empty": "zero"},
    {"empty": "nearest"},
    {"background": "class"},
    {"background": "row"},
    {"normalise": False},
    {"tau": 0.5},
    {"form": "outside"},
    {"form": "circle"},
    {"self_positive": True},
    {"same_video_negatives": True},
    {"hardest": 2},
    {"key_gradient": True},
    {"bank_cap": 2},
]


def step_loss(
    options: dict[str, object], clusters: ClusterConfig | None = None
) -> tuple[float, Tensor]:
    """Loss and embedding gradient of a second visit."""
    toy = Toy(dcc(**options), clusters).filled()
    output, _ = toy.forward()
    term = toy.contrast(output, toy.batch, 1)
    assert term.loss is not None
    embeddings = output.embedding_base_NE, output.embedding_supp_NE
    grads = torch.autograd.grad(term.loss, embeddings, allow_unused=True)
    kept = [g.flatten() if g is not None else torch.zeros(1) for g in grads]
    return term.loss.item(), torch.cat(kept)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_changes_the_loss_or_its_gradient_and_stays_finite(
    options: dict[str, object],
) -> None:
    usual, usual_grad = step_loss({})
    loss, grad = step_loss(options)
    assert np.isfinite(loss)
    assert grad.isfinite().all()
    assert loss != usual or not torch.equal(grad, usual_grad)


@pytest.mark.parametrize(
    "clusters",
    [
        ClusterConfig(k=3, scope="class"),
        ClusterConfig(k=3, scope="video"),
        ClusterConfig(k=3, scope="batch"),
        ClusterConfig(k=3, features="embedding"),
        ClusterConfig(k=3, features="input"),
        ClusterConfig(k=5),
        ClusterConfig(k=3, leave_one_out=True),
        ClusterConfig(k=3, members="class"),
        ClusterConfig(k=3, min_size=40),
    ],
    ids=str,
)
def test_every_clustering_changes_the_loss_and_stays_finite(clusters: ClusterConfig) -> None:
    loss, grad = step_loss({}, clusters)
    assert np.isfinite(loss)
    assert grad.isfinite().all()
    assert loss != step_loss({})[0]


def test_background_row_needs_clusters_that_hold_background() -> None:
    with pytest.raises(WtalError, match="background: row needs clusters"):
        Toy(dcc(background="row"), ClusterConfig(scope="class"))


def test_as_many_clusters_as_snippets_change_nothing() -> None:
    off = step_loss({"denoise": "off"})[0]
    singletons = step_loss({}, ClusterConfig(k=52, features="input"))[0]
    assert singletons == pytest.approx(off, rel=1e-5)


def test_the_network_that_localizes_is_basnets(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path / "dcc")
    run(data, tmp_path / "basnet", "dcc.contrast=none")
    ours, theirs = (load_file(tmp_path / name / MODEL_FILE) for name in ("dcc", "basnet"))
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in theirs.items()}
    assert not all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_until_the_contrast_starts_the_steps_are_basnets(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path / "dcc")
    run(data, tmp_path / "basnet", "dcc.contrast=none")
    ours, theirs = lines(tmp_path / "dcc"), lines(tmp_path / "basnet")
    assert ours[:3] == theirs[:3]
    assert "beta" not in ours[2]
    assert "beta" in ours[3]
    assert ours[4]["loss"] != theirs[4]["loss"]


@pytest.mark.parametrize("stop", [2, 5, 7])
@pytest.mark.parametrize(
    "more", [[], ["cluster.scope=class"], ["data.resample=grid", "data.length=40"]], ids=str
)
def test_a_resumed_contrast_continues_to_the_bit(
    data: Data, tmp_path: Path, stop: int, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    often = [*more, "train.checkpoint_every=1"]
    run(data, tmp_path / "whole", *often)
    taken = 0

    def step(*args: object, **kwargs: object) -> dict[str, float]:
        nonlocal taken
        taken += 1
        if taken > stop:
            raise KeyboardInterrupt
        return train_step(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", step)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "cut", *often)
    run(data, tmp_path / "cut", *often, resume=True)
    assert lines(tmp_path / "whole") == lines(tmp_path / "cut")
    for name in (MODEL_FILE, STATE_FILE):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_the_log_tells_the_health_of_the_contrast(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path / "r")
    last, first = lines(tmp_path / "r")[-1], lines(tmp_path / "r")[3]
    assert last["bank_coverage"] == 1
    assert last["grad_share"] > 0
    for name in (
        "pseudo_share",
        "confidence_on",
        "confidence_off",
        "positive_mass",
        "valid_anchors",
    ):
        assert 0 <= last[name] <= 1, name
    assert last["bank_age"] <= 3
    assert {"cluster_purity", "cluster_largest", "cluster_changed", "cluster_iterations"} <= set(
        first
    )
    assert first["cluster_smallest"] <= 1 <= first["cluster_largest"]


def test_a_contrast_that_is_not_finite_stops_the_run_by_name(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = DenoisedContrast.__call__

    def broken(self: DenoisedContrast, *args: object, **kwargs: object) -> Contrast:
        term = original(self, *args, **kwargs)  # type: ignore[arg-type]
        return term if term.loss is None else term._replace(loss=term.loss * float("nan"))

    monkeypatch.setattr(DenoisedContrast, "__call__", broken)
    with pytest.raises(WtalError, match="'dcc' is nan at step 4"):
        run(data, tmp_path / "r")


def test_a_checkpoint_of_another_kind_is_refused(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path / "r", "train.steps=3", "dcc.contrast=none")
    with pytest.raises(WtalError, match="another config"):
        run(data, tmp_path / "r", "train.steps=3", resume=True)


def test_bf16_takes_the_same_path(data: Data, tmp_path: Path) -> None:
    result = run(data, tmp_path / "r", "train.precision=bf16")
    assert np.isfinite(result.figures["dcc"])


def test_the_class_term_weighs_the_squared_share_of_videos_with_several_tags() -> None:
    assert Toy(dcc()).contrast.teach["dcc_classes"] == pytest.approx((1 / 5) ** 2)
    assert Toy(dcc(teach_classes=0.3)).contrast.teach["dcc_classes"] == 0.3


def test_the_class_term_stays_small_where_most_videos_have_several_tags() -> None:
    assert contrast_of(dcc(), torch.ones(5, 2)).teach["dcc_classes"] == 0.1
    assert contrast_of(dcc(teach_classes=0.3), torch.ones(5, 2)).teach["dcc_classes"] == 0.3


def test_what_labels_teach_is_added_to_the_loss_by_weight() -> None:
    toy = Toy(dcc(teach_classes=0.5, teach_attention=0.25)).filled()
    term = toy.contrast(toy.forward()[0], toy.batch, 1)
    assert set(term.taught) == {"dcc_classes", "dcc_attention"}
    total = toy.contrast.weighted(term.taught)
    expected = 0.5 * term.taught["dcc_classes"] + 0.25 * term.taught["dcc_attention"]
    torch.testing.assert_close(total, expected)
    total.backward()  # type: ignore[union-attr]
    gradients = toy.gradients()
    assert gradients["filter_out.weight_DE"].any()
    assert gradients["classifier.weight_DE"].any()


def test_as_published_labels_teach_nothing_beside_the_contrast() -> None:
    toy = Toy(dcc(teach_classes=0, teach_attention=0)).filled()
    term = toy.contrast(toy.forward()[0], toy.batch, 1)
    assert term.taught == {}
    assert toy.contrast.weighted(term.taught) == 0


def test_one_step_of_training_follows_the_gradient_of_all_terms() -> None:
    toy = Toy(dcc(teach_classes=0.5, teach_attention=0.25)).filled()
    before = {name: p.detach().clone() for name, p in toy.network.named_parameters()}
    output, base_loss = toy.forward()
    term = toy.contrast(output, toy.batch, 1)
    assert term.loss is not None
    beta = 0.3
    total = base_loss + toy.contrast.weighted(term.taught) + beta * term.loss
    expected = torch.autograd.grad(total, list(toy.network.parameters()))
    again = Toy(dcc(teach_classes=0.5, teach_attention=0.25)).filled()
    again.contrast.beta = lambda *_: beta  # type: ignore[assignment]
    optimizer = torch.optim.SGD(again.network.parameters(), lr=1.0)
    draw = torch.Generator()
    train_step(
        again.network,
        again.criterion,
        optimizer,
        again.batch,
        lr=1.0,
        generator=draw,
        step=1,
        contrast=again.contrast,
    )
    for (name, after), gradient in zip(again.network.named_parameters(), expected, strict=True):
        torch.testing.assert_close(before[name] - after, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("worth_a_word_s", "said"), [(0.0, True), (60.0, False)])
def test_clustering_beyond_its_budget_is_said_where_it_takes_seconds(
    worth_a_word_s: float,
    said: bool,
    data: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(training, "CLUSTER_WORTH_A_WORD_S", worth_a_word_s)
    labels, store = read_labels(tags=data[1]), open_store(data[0])
    train(config(), store, labels, tmp_path / "r")  # tiny steps: clustering is most of their time
    assert ("Clustering took" in capsys.readouterr().err) is said


def test_a_search_that_is_not_there_is_refused_before_the_first_step(
    data: Data, tmp_path: Path
) -> None:
    with pytest.raises(WtalError, match="faiss"):
        run(data, tmp_path / "r", "cluster.backend=faiss-gpu")
    assert lines_if_any(tmp_path / "r") == []


def lines_if_any(out: Path) -> list[dict[str, float]]:
    return lines(out) if (out / "metrics.jsonl").exists() else []
