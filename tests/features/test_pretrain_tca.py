"""`tca`: who makes a pair and who a stranger, what a batch learns from, and that a run learns."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.features.pretraining_toys import RUN, batch_of, in_pieces, trainable, written
from tests.features.tca_toys import LABELS, NAMES, VIDEOS, D, config, feature_store, rows_of
from wtal_features.errors import FeatureError
from wtal_features.methods.catalog import plan_of
from wtal_features.methods.loop import pretrain
from wtal_features.methods.pairs import PairConfig, Relations, relate
from wtal_features.methods.rows import RowStore, WhiteningConfig, open_rows
from wtal_features.methods.settings import OptimConfig
from wtal_features.methods.stages import Stage
from wtal_features.methods.tca import (
    BankConfig,
    LossConfig,
    TCAConfig,
    TransformerConfig,
    facing,
    tca_stages,
)
from wtal_features.retrieval.context import load_context
from wtal_features.store import FeatureStore, open_store


def stage_of(rows: RowStore, wanted: TCAConfig | None = None) -> Stage:
    return tca_stages(wanted or config(), rows, list(rows.videos), LABELS)[0]


# Pairs -------------------------------------------------------------------------------------------


def draws(relations: Relations, video: int, count: int = 200) -> tuple[set[int], set[int]]:
    """Partners and strangers that come up."""
    generator = torch.Generator().manual_seed(0)
    pairs = [relations.pair(video, generator) for _ in range(count)]
    assert all(source == "time" or anchor != other for source, anchor, other in pairs)
    partners = {other for _, _, other in pairs}
    return partners, {relations.stranger(video, generator) for _ in range(count)}


def test_without_copies_a_video_is_its_own_pair_and_all_others_are_strangers() -> None:
    partners, strangers = draws(relate(NAMES, PairConfig(), {}), 3)
    assert partners == {3}
    assert strangers == set(range(VIDEOS)) - {3}


def test_copies_are_pairs_of_two_versions_of_a_video_and_no_strangers() -> None:
    names = ["a", "a~1", "a~2", "b", "b~1", "c"]
    relations = relate(names, PairConfig(), {})
    assert relations.usable == {0, 3}  # c has no copy
    assert draws(relations, 0) == ({0, 1, 2}, {3, 4, 5})
    assert draws(relations, 3) == ({3, 4}, {0, 1, 2, 5})


def test_tags_pair_videos_with_the_same_tags_and_a_shared_tag_makes_no_stranger() -> None:
    labels = {"a": (0,), "b": (0,), "c": (0, 1), "d": (1,), "e": ()}
    relations = relate(list("abcde"), PairConfig(sources=("tags",)), labels)
    assert relations.usable == {0, 1}
    assert draws(relations, 0) == ({1}, {3, 4})


def test_a_list_pairs_both_ways_and_joins_what_it_joins(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("a,b\nb,c\nelsewhere,a\n")
    wanted = PairConfig(list=str(tmp_path / "pairs.csv"))
    relations = relate(list("abcde"), wanted, {})
    assert relations.usable == {0, 1, 2}
    assert draws(relations, 0) == ({1}, {3, 4})  # c belongs to a by way of b
    assert draws(relations, 1) == ({0, 2}, {3, 4})


def test_names_of_a_list_that_are_no_videos_are_kept_to_be_said(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("a,b\nelsewhere,a\nb,nowhere\n")
    wanted = PairConfig(list=str(tmp_path / "pairs.csv"))
    assert relate(list("abc"), wanted, {}).absent == ("elsewhere", "nowhere")


def test_a_name_like_a_copys_is_a_video_of_its_own_where_its_original_is_not_there() -> None:
    relations = relate(["MOVIE~1", "MOVIE~2", "c"], PairConfig(), {})
    assert relations.usable == {0, 1, 2}
    assert draws(relations, 0) == ({0}, {1, 2})


def test_another_pair_or_tag_has_another_digest(tmp_path: Path) -> None:
    tags = PairConfig(sources=("tags",))
    labels = {"a": (0,), "b": (0,), "c": (1,)}
    digests = {
        relate(list("abc"), tags, labels).digest,
        relate(list("abc"), tags, {**labels, "c": ()}).digest,  # c is a stranger alone
        relate(list("abc"), PairConfig(), labels).digest,
        relate(list("abd"), PairConfig(), labels).digest,
    }
    assert len(digests) == 4
    assert relate(list("abc"), tags, labels).digest in digests


def test_usable_videos_are_those_that_brute_force_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        drawn = torch.randint(4, (6, 2), generator=generator).tolist()
        labels = {
            name: tuple({c for c in row if c < 3})
            for name, row in zip("abcdef", drawn, strict=True)
        }
        try:
            relations = relate(list("abcdef"), PairConfig(sources=("tags",)), labels)
        except FeatureError:
            continue
        by_hand = {v for v in relations.pools["tags"] if not bool(relations.related(v).all())}
        assert relations.usable == by_hand


def test_of_long_videos_the_piece_of_the_pair_lies_where_it_is_most_like_the_anchor() -> None:
    rows = torch.eye(100)
    found = facing(rows, rows[70:76], 10)
    assert torch.equal(found, rows[67:77])
    assert torch.equal(facing(rows, rows[:2], 10), rows[:10])
    assert torch.equal(facing(rows, rows[98:], 10), rows[90:])
    assert torch.equal(facing(rows[:4], rows[70:76], 10), rows[:4])


def test_several_sources_take_turns() -> None:
    labels = {"a": (0,), "b": (0,), "c": (1,)}
    relations = relate(list("abc"), PairConfig(sources=("time", "tags")), labels)
    generator = torch.Generator().manual_seed(0)
    drawn = [relations.pair(0, generator) for _ in range(400)]
    assert set(drawn) == {("time", 0, 0), ("tags", 0, 1)}
    assert sum(source == "time" for source, _, _ in drawn) == pytest.approx(200, abs=40)


def test_a_stranger_is_found_among_many_relatives() -> None:
    names = [f"a~{number}" if number else "a" for number in range(500)] + ["b"]
    relations = relate(names, PairConfig(), {})
    generator = torch.Generator().manual_seed(0)
    assert {relations.stranger(0, generator) for _ in range(5)} == {500}


def test_what_gives_no_pair_is_said_with_a_cure(tmp_path: Path) -> None:
    for wanted, cure in (
        (PairConfig(sources=("copies",)), "Give videos, of which copies are made"),
        (PairConfig(sources=("tags",)), "--tags or --annotations"),
    ):
        with pytest.raises(FeatureError, match="gives no pair of videos") as caught:
            relate(NAMES, wanted, {})
        assert cure in caught.value.cure
    for text, what in (("a,b,c", "has 3 cells"), ("a,a", "names 'a' twice")):
        (tmp_path / "pairs.csv").write_text(text)
        with pytest.raises(FeatureError, match=f"line 1 {what}; expected the names of two videos"):
            relate(NAMES, PairConfig(list=str(tmp_path / "pairs.csv")), {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rows": 0}, "rows is 0"),
        ({"sources": ()}, r"sources is \(\)"),
        ({"sources": ("list",)}, "list is None; expected a file"),
        ({"sources": ("time",), "list": "p.csv"}, "list is 'p.csv'; expected nothing"),
        ({"noise": -1}, "noise is -1"),
    ],
)
def test_settings_of_pairs_out_of_range_are_refused(values: Any, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        PairConfig(**values)


def test_slots_of_ones_own_are_told_from_those_of_strangers_and_empty_ones() -> None:
    relations = relate(["a", "a~1", "b"], PairConfig(), {})
    found = relations.related_to_slots(torch.tensor([0, 2]), torch.tensor([-1, 0, 1, 2]))
    assert found.tolist() == [[False, True, True, False], [False, False, False, True]]


def test_one_video_alone_cannot_be_trained_on(tmp_path: Path) -> None:
    rows = rows_of(feature_store(tmp_path))
    with pytest.raises(FeatureError, match="None of 1 videos has both a partner and a stranger"):
        tca_stages(config(), rows, ["v00"], {})


# Rows --------------------------------------------------------------------------------------------


def test_rows_have_length_one_and_whitened_ones_no_correlation(tmp_path: Path) -> None:
    store = feature_store(tmp_path, lengths=(50,))
    plain, _ = open_rows(store, store.videos, WhiteningConfig(), cache_mb=1)
    assert plain.whitening is None
    assert torch.allclose(plain.rows("v00"), F.normalize(torch.from_numpy(store.read("v00"))))
    white, _ = open_rows(store, store.videos, WhiteningConfig(dim=4), cache_mb=1)
    assert (white.dim, white.rows("v00").shape) == (4, (50, 4))
    assert torch.allclose(white.rows("v00").norm(dim=1), torch.ones(50))


def test_of_few_rows_the_automatic_whitening_keeps_what_they_allow_and_heads_can_share(
    tmp_path: Path,
) -> None:
    generator = np.random.default_rng(0)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", generator.normal(size=(10, 1100)).astype(np.float32))
    store = open_store(tmp_path, fps=1, stride=1)
    rows, _ = open_rows(store, store.videos, WhiteningConfig(), cache_mb=1, multiple=8)
    assert rows.dim == 16  # 20 rows vary along 19 axes


def test_memory_does_not_change_rows(tmp_path: Path) -> None:
    store = feature_store(tmp_path)
    kept, _ = open_rows(store, store.videos, WhiteningConfig(dim=4), cache_mb=1)
    read, _ = open_rows(store, store.videos, WhiteningConfig(dim=4), cache_mb=0)
    for video in store.videos:
        assert torch.equal(kept.rows(video), read.rows(video))
        assert kept.rows(video) is kept.rows(video)
        assert read.rows(video) is not read.rows(video)
        assert kept.info(video) == read.info(video)


def test_a_video_that_cannot_be_read_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    store = feature_store(tmp_path)
    np.save(tmp_path / "v03.npy", np.full((4, D), np.nan, np.float32))
    rows, faults = open_rows(store, store.videos, WhiteningConfig(), cache_mb=1)
    assert [fault.where for fault in faults] == ["v03"]
    assert "v03" not in rows.videos
    assert len(rows.videos) == VIDEOS - 1


def test_other_content_has_another_key(tmp_path: Path) -> None:
    before = rows_of(feature_store(tmp_path)).info("v00")
    changed = np.load(tmp_path / "v00.npy")
    changed[0, 0] += 1
    np.save(tmp_path / "v00.npy", changed)
    after = rows_of(open_store(tmp_path, fps=1, stride=1)).info("v00")
    assert (before.rows, before.key != after.key) == (after.rows, True)


def test_a_whitening_from_a_file_is_cut_to_its_first_directions(tmp_path: Path) -> None:
    from wtal_features.retrieval.whitening import fit_whitening, save_whitening

    store = feature_store(tmp_path / "store", lengths=(50,))
    fitted = fit_whitening([store.read(video) for video in store.videos], 6)
    save_whitening(tmp_path / "pca.npz", fitted)
    wanted = WhiteningConfig(dim=4, file=str(tmp_path / "pca.npz"))
    rows, _ = open_rows(store, store.videos, wanted, cache_mb=1)
    white = fitted.apply(torch.from_numpy(store.read("v00")))[:, :4]
    assert torch.allclose(rows.rows("v00"), F.normalize(white, dim=1), atol=1e-5)
    with pytest.raises(FeatureError, match=r"has 6 directions; whitening.dim is 7"):
        open_rows(store, store.videos, replace(wanted, dim=7), cache_mb=1)
    with pytest.raises(FeatureError, match="expected auto or a number with a file"):
        WhiteningConfig(dim="off", file="pca.npz")


def test_dimensions_that_heads_cannot_share_are_refused_before_training(tmp_path: Path) -> None:
    wanted = config(transformer=TransformerConfig(heads=3))
    with pytest.raises(FeatureError, match="8 dimensions cannot be shared by 3 heads"):
        stage_of(rows_of(feature_store(tmp_path)), wanted)


# A batch -----------------------------------------------------------------------------------------


def test_a_sample_shows_pieces_of_a_pair_and_strangers_with_masks(tmp_path: Path) -> None:
    rows = rows_of(feature_store(tmp_path, copies=1))
    batch = batch_of(stage_of(rows), rows)  # type: ignore[arg-type]
    assert batch["anchor"].shape == batch["pair"].shape == (4, 6, D)
    assert batch["strangers"].shape == (4, 2, 6, D)
    assert batch["others"].shape == (4, 2)
    for name in ("anchor", "pair", "strangers"):
        lengths, mask = batch[name].norm(dim=-1), batch[f"{name}_mask"]
        assert torch.allclose(lengths[mask], torch.ones(int(mask.sum())), atol=1e-5)
        assert not lengths[~mask].any()
        assert mask.any(dim=-1).all()
    videos = [rows.videos[int(v)] for v in batch["video"]]
    for anchor, mask, video in zip(batch["anchor"], batch["anchor_mask"], videos, strict=True):
        whole = torch.cat([rows.rows(v) for v in rows.videos if v.startswith(video)])
        nearest = (anchor[mask] @ whole.T).amax(1)
        assert torch.allclose(nearest, torch.ones(len(nearest)), atol=1e-5)


def by_hand(objective: Any, batch: dict[str, Tensor], bank_DK: Tensor) -> Tensor:
    """(B, 1 + K) similarities without dropout."""

    def video(name: str) -> Tensor:
        rows, mask = batch[name].flatten(0, -3), batch[f"{name}_mask"].flatten(0, -2)
        means = [objective.network(r[m][None])[0].mean(0) for r, m in zip(rows, mask, strict=True)]
        return F.normalize(torch.stack(means), dim=1)

    anchors, pairs = video("anchor"), video("pair")
    return torch.cat([(anchors * pairs).sum(1, keepdim=True), anchors @ bank_DK], dim=1)


@pytest.mark.parametrize("kind", ["circle", "infonce"])
def test_the_loss_is_that_of_anchors_against_pairs_and_the_bank_of_before(
    tmp_path: Path, kind: Any
) -> None:
    wanted = config(loss=LossConfig(kind), transformer=TransformerConfig(2, 16, dropout=0))
    rows = rows_of(feature_store(tmp_path), wanted)
    stage = stage_of(rows, wanted)
    objective, batch = trainable(stage), batch_of(stage, rows)  # type: ignore[arg-type]
    bank = objective.bank.keys_DK.clone()
    loss = objective(batch, torch.Generator().manual_seed(0)).loss
    s = by_hand(objective, batch, bank)
    if kind == "infonce":
        expected = F.cross_entropy(s / 0.07, torch.zeros(4, dtype=torch.long))
    else:
        weights = torch.cat([(1.25 - s[:, :1]).clamp(min=0), (s[:, 1:] + 0.25).clamp(min=0)], 1)
        margins = torch.full_like(s, 0.25)
        margins[:, 0] = 0.75
        expected = F.cross_entropy(256 * weights * (s - margins), torch.zeros(4, dtype=torch.long))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert not torch.equal(objective.bank.keys_DK[:, :8], bank[:, :8])
    assert torch.equal(objective.bank.keys_DK[:, 8:], bank[:, 8:])
    assert objective.bank.sources_K[:8].tolist() == batch["others"].flatten().tolist()


def test_slots_of_the_own_video_are_left_out_of_the_loss(tmp_path: Path) -> None:
    wanted = config(loss=LossConfig("infonce"), transformer=TransformerConfig(2, 16, dropout=0))
    rows = rows_of(feature_store(tmp_path), wanted)
    stage = stage_of(rows, wanted)
    batch = batch_of(stage, rows)  # type: ignore[arg-type]

    def loss(sources: Tensor) -> float:
        objective = trainable(stage)
        objective.bank.sources_K[:] = sources
        return float(objective(batch, torch.Generator().manual_seed(0)).loss.detach())

    strangers = torch.full((32,), -1)
    own = strangers.clone()
    own[:4] = batch["video"]
    assert loss(own) < loss(strangers)
    alone = batch["video"][0].repeat(32)
    batch["video"][:] = batch["video"][0]
    assert loss(alone) == pytest.approx(0, abs=1e-6)  # nothing is left to tell apart


def test_gradients_reach_the_anchors_side_alone(tmp_path: Path) -> None:
    rows = rows_of(feature_store(tmp_path))
    stage = stage_of(rows)
    objective, batch = trainable(stage), batch_of(stage, rows)  # type: ignore[arg-type]
    for name in ("anchor", "pair", "strangers"):
        batch[name].requires_grad_()
    objective(batch, torch.Generator().manual_seed(0)).loss.backward()
    assert batch["anchor"].grad is not None
    assert batch["anchor"].grad.abs().sum() > 0
    assert batch["pair"].grad is None
    assert batch["strangers"].grad is None


def test_with_momentum_the_keys_come_from_a_slow_copy(tmp_path: Path) -> None:
    wanted = config(bank=BankConfig(32, 2, momentum=0.9))
    rows = rows_of(feature_store(tmp_path), wanted)
    stage = stage_of(rows, wanted)
    objective, batch = trainable(stage), batch_of(stage, rows)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in objective.network.parameters():
            parameter += 1
    before = [p.clone() for p in objective.key_network.parameters()]
    objective(batch, torch.Generator().manual_seed(0))
    pairs = zip(before, objective.key_network.parameters(), strict=True)
    assert all(torch.allclose(now - then, torch.tensor(0.1), atol=1e-5) for then, now in pairs)
    assert trainable(stage_of(rows)).key_network is None


def test_a_bank_that_steps_do_not_fill_exactly_is_refused() -> None:
    with pytest.raises(FeatureError, match="A queue of 33 keys, filled 8 at a time"):
        config(bank=BankConfig(33, 2))


# A run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_run_stopped_after_every_step_ends_in_the_bytes_of_one_that_was_not(
    tmp_path: Path, momentum: float
) -> None:
    store = feature_store(tmp_path / "store", copies=1)
    wanted = config(bank=BankConfig(32, 2, momentum))

    def begin() -> Any:
        return plan_of("tca", wanted, rows_of(store, wanted))

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pretrain(begin(), tmp_path / "a" / "tca.safetensors")
    results = in_pieces(begin, tmp_path / "b" / "tca.safetensors")
    assert len(results) == 6
    assert written(tmp_path / "a" / "tca.safetensors") == written(
        tmp_path / "b" / "tca.safetensors"
    )


def test_the_file_says_what_it_was_trained_on_and_refines_rows_of_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    feature_store(folder, lengths=(50,))
    about = {"encoder": "toy", "dim": D, "fps": 1, "stride": 1, "videos": {}}
    (folder / "manifest.json").write_text(json.dumps(about))
    store = open_store(folder)
    wanted = config(whitening=WhiteningConfig(dim=4))
    out = tmp_path / "tca.safetensors"
    pretrain(plan_of("tca", wanted, rows_of(store, wanted)), out)
    model = load_context(out)
    assert (model.dim_in, model.dim, model.encoder) == (D, 4, "toy")
    assert (model.about.step, model.about.videos, model.about.heads) == (6, VIDEOS, 2)
    assert model.refine(store.read("v00")).shape == (50, 4)


def test_a_run_goes_on_with_nothing_but_the_same_rows_and_pairs(tmp_path: Path) -> None:
    store = feature_store(tmp_path / "store")
    (tmp_path / "pairs.csv").write_text("v00,v01\nv02,v03\n")
    wanted = config(pairs=PairConfig(list=str(tmp_path / "pairs.csv"), rows=6))
    out = tmp_path / "tca.safetensors"

    def go() -> Any:
        return pretrain(
            plan_of("tca", wanted, rows_of(store, wanted)), out, resume=True, stopped=lambda: True
        )

    go()
    (tmp_path / "pairs.csv").write_text("v00,v01\nv02,v04\n")
    with pytest.raises(FeatureError, match="was begun with another labels"):
        go()


def scenes(seed: int, videos: int, folder: Path) -> FeatureStore:
    """Videos of 24 frames of 64 dims; 60 % of the frames show one of six common scenes."""
    folder.mkdir()
    generator = np.random.default_rng(seed)
    common = np.random.default_rng(99).normal(size=(6, 64))
    for number in range(videos):
        own = generator.normal(size=(4, 64))
        for version in ("", "~1"):
            pick = generator.random(24) < 0.6
            frames = np.where(
                pick[:, None], common[generator.integers(6, size=24)], own[np.arange(24) // 6]
            )
            frames = frames + 0.6 * generator.normal(size=frames.shape)
            np.save(folder / f"x{number:03d}{version}.npy", frames.astype(np.float32))
    return open_store(folder, fps=1, stride=1)


def recall(store: FeatureStore, refine: Any) -> float:
    """R@1 of copies among originals, by the mean of refined rows."""
    originals = [video for video in store.videos if "~" not in video]

    def pooled(names: list[str]) -> Tensor:
        means = [torch.from_numpy(refine(store.read(name))).mean(0) for name in names]
        return F.normalize(torch.stack(means), dim=1)

    found = (pooled([f"{v}~1" for v in originals]) @ pooled(originals).T).argmax(1)
    return (found == torch.arange(len(originals))).float().mean().item()


@pytest.mark.slow
def test_it_learns_to_look_past_what_all_videos_share(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    train, unseen = scenes(0, 200, tmp_path / "train"), scenes(1, 40, tmp_path / "unseen")
    wanted = config(
        pairs=PairConfig(rows=24),
        transformer=TransformerConfig(heads=4, hidden=128),
        bank=BankConfig(512, 4),
        optim=OptimConfig(epochs=1, steps=200, batch=32, lr=1e-3),
        run=replace(RUN, save_every=1000, log_every=50),
    )
    rows = rows_of(train, wanted)
    plan = plan_of("tca", wanted, rows)
    untrained = plan.stages[0].build({}, torch.Generator().manual_seed(0)).exports()["rows"]
    untrained.save(tmp_path / "untrained", _facts())
    before = recall(unseen, load_context(tmp_path / "untrained").refine)
    pretrain(plan, tmp_path / "tca.safetensors")
    after = recall(unseen, load_context(tmp_path / "tca.safetensors").refine)
    raw = recall(unseen, lambda rows_TD: rows_TD)
    assert after > before + 0.15
    assert after > raw
    assert after > 0.8


def _facts() -> Any:
    from wtal_features.methods.stages import Facts

    return Facts("tca", {"encoder": None}, False, 0, 0, {}, "")
