"""Sampling: which snippets, which videos, and that a step decides it alone."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.synthetic import CLASSES, make_store
from wtal.data import (
    DataConfig,
    Sampler,
    TrainingVideos,
    collate,
    grid_positions,
    jittered_positions,
    open_training_videos,
    select_subset,
)
from wtal.errors import WtalError
from wtal_features import open_store


def videos(V: int = 10, n: int = 7) -> TrainingVideos:
    """Video v has n + v snippets, all of value v."""
    names = tuple(f"v{v}" for v in range(V))
    return TrainingVideos(
        names,
        np.eye(V, dtype=np.float32),
        names,
        lambda name: np.full((n + int(name[1:]), 2), float(name[1:]), np.float32),
    )


@pytest.mark.parametrize("n", [1, 3, 749, 750, 751, 2000])
def test_grid_positions_are_floor_tn_over_the_length(n: int) -> None:
    expected = [t * n // 750 for t in range(750)]
    assert grid_positions(n, 750).tolist() == expected


def test_the_grid_is_the_identity_where_lengths_agree() -> None:
    assert grid_positions(5, 5).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("n", [1, 3, 10, 23])
def test_jitter_draws_every_snippet_of_its_bin_both_ends_included(n: int) -> None:
    T, rng = 10, np.random.default_rng(1)
    draws = np.stack([jittered_positions(n, T, rng) for _ in range(400)])
    for t in range(T):
        low, high = t * n // T, min((t + 1) * n // T, n - 1)
        assert set(draws[:, t]) == set(range(low, high + 1))


def test_an_epoch_shows_every_video_once_and_its_last_batch_may_be_smaller() -> None:
    sampler = Sampler(videos(10), DataConfig(), batch_size=4, seed=0)
    assert sampler.steps_per_epoch == 3
    for epoch in range(3):
        batches = [sampler.indices(3 * epoch + i) for i in range(3)]
        assert [len(b) for b in batches] == [4, 4, 2]
        assert sorted(np.concatenate(batches)) == list(range(10))


def test_epochs_differ_in_order_and_seeds_too() -> None:
    sampler = Sampler(videos(10), DataConfig(), batch_size=10, seed=0)
    other = Sampler(videos(10), DataConfig(), batch_size=10, seed=1)
    assert sampler.indices(0).tolist() != sampler.indices(1).tolist()
    assert sampler.indices(0).tolist() != other.indices(0).tolist()


def test_restarted_epochs_draw_batches_that_no_epoch_joins() -> None:
    sampler = Sampler(videos(10), DataConfig(), 4, 0, restart_epochs=True)
    first = [sampler.indices(step) for step in range(3)]
    assert sorted(np.concatenate(first)) == list(range(10))  # the first epoch is whole
    later = [sampler.indices(step) for step in range(3, 60)]
    assert {len(b) for b in later} == {4}
    assert len(set(Counter(np.concatenate(later).tolist()).values())) > 1  # unequal visits


def test_repeated_jitter_samples_every_batch_alike() -> None:
    config = DataConfig(resample="grid", length=6)
    one = TrainingVideos(
        ("a",),
        np.ones((1, 1), np.float32),
        ("a",),
        lambda _: np.arange(40.0, dtype=np.float32)[:, None],
    )
    steps = range(5)
    same = Sampler(one, config, 1, 0, repeat_jitter=True)
    fresh = Sampler(one, config, 1, 0)
    assert len({tuple(same.batch(s).features_BTD.flatten().tolist()) for s in steps}) == 1
    assert len({tuple(fresh.batch(s).features_BTD.flatten().tolist()) for s in steps}) > 1


def test_native_batches_hold_true_lengths_and_a_mask() -> None:
    sampler = Sampler(videos(4), DataConfig(), batch_size=4, seed=0)
    batch = sampler.batch(0)
    lengths = [7 + v for v in sampler.indices(0)]
    assert batch.mask_BT.sum(1).tolist() == lengths
    assert batch.features_BTD.shape == (4, max(lengths), 2)
    assert not batch.features_BTD[~batch.mask_BT].any()
    values = [batch.features_BTD[b, 0, 0].item() for b in range(4)]
    assert values == sampler.indices(0).tolist()
    assert batch.labels_BC.argmax(1).tolist() == sampler.indices(0).tolist()


def test_a_video_above_the_cap_is_sampled_down_and_zero_lifts_the_cap() -> None:
    capped = Sampler(videos(3, n=50), DataConfig(max_snippets=20), 3, 0).batch(0)
    free = Sampler(videos(3, n=50), DataConfig(max_snippets=0), 3, 0).batch(0)
    assert capped.mask_BT.sum(1).tolist() == [20] * 3
    assert sorted(free.mask_BT.sum(1).tolist()) == [50, 51, 52]


def test_collate_pads_with_zeros() -> None:
    batch = collate(
        [np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)],
        [np.array([5, 7]), np.arange(4)],
        np.ones((2, 1), np.float32),
        np.array([3, 1]),
    )
    assert batch.features_BTD.sum().item() == 18
    assert batch.positions_BT.tolist() == [[5, 7, 0, 0], [0, 1, 2, 3]]
    assert batch.videos_B.tolist() == [3, 1]
    assert batch.mask_BT.tolist() == [[True, True, False, False], [True] * 4]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ({"Training", "validation", "testing"}, "Training"),
        ({"train", "test"}, "train"),
        ({"validation", "test"}, "validation"),  # THUMOS14
    ],
)
def test_the_training_subset_is_found_by_its_name(names: set[str], chosen: str) -> None:
    subsets = {f"v_{name}": name for name in names}
    assert select_subset(subsets, "auto", "F") == ([f"v_{chosen}"], chosen)


def test_videos_without_any_subset_all_train() -> None:
    assert select_subset({"b": None, "a": None}, "auto", "F") == (["a", "b"], None)


@pytest.mark.parametrize("wanted", ["auto", "dev"])
def test_a_missing_subset_is_an_error_that_names_those_present(wanted: str) -> None:
    with pytest.raises(WtalError, match=r"F has no subset to train on; present: other, test\."):
        select_subset({"a": "test", "b": "other"}, wanted, "F")


def test_a_bad_file_is_left_out_with_its_fault_and_the_rest_goes_on(tmp_path: Path) -> None:
    features, _, _ = make_store(tmp_path, train=3, test=0)
    (features / "video_001.npy").write_bytes(b"")
    np.save(features / "video_002.npy", np.full((5, 16), np.nan, np.float32))
    tags = {f"video_00{i}": (CLASSES[i],) for i in range(3)} | {"video_009": ("Jump",)}
    sound, faults = open_training_videos(open_store(features), tags, sorted(tags), DataConfig())
    assert sound.names == ("video_000",)
    assert sound.classes == ("Jump",)
    assert set(faults) == {"video_001", "video_002", "video_009"}
    assert "NaN" in faults["video_002"]


def test_no_readable_video_and_no_tag_are_errors(tmp_path: Path) -> None:
    features, _, _ = make_store(tmp_path, train=1, test=0)
    store = open_store(features)
    with pytest.raises(WtalError, match="No training video can be read, of 1"):
        open_training_videos(store, {"gone": ("Jump",)}, ["gone"], DataConfig())
    with pytest.raises(WtalError, match="None of the 1 training videos has a tag"):
        open_training_videos(store, {"video_000": ()}, ["video_000"], DataConfig())


@pytest.mark.parametrize("cache_mb", [0, 4096])
def test_features_are_the_same_with_and_without_the_cache(tmp_path: Path, cache_mb: int) -> None:
    features, _, _ = make_store(tmp_path, train=2, test=0)
    store = open_store(features)
    tags = dict.fromkeys(store.videos, ("Jump",))
    sound, _ = open_training_videos(store, tags, store.videos, DataConfig(cache_mb=cache_mb))
    for name in store.videos:
        np.testing.assert_array_equal(sound.read(name), np.load(features / f"{name}.npy"))
    assert torch.from_numpy(sound.read(store.videos[0])).dtype == torch.float32
