"""How good features are: retrieval, the linear probe, and clips with labels."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wtal_features.errors import FeatureError
from wtal_features.extraction.settings import MotionSettings
from wtal_features.pretraining.clipsettings import ClipSettings, clip_key
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.clipwriter import find_video, new_video, write_manifest
from wtal_features.probing.clips import (
    LabelledClip,
    clip_features,
    label_ids,
    read_clips,
    usable,
    windows,
)
from wtal_features.probing.linear import ProbeResult, ProbeSettings, linear_probe, new_probe
from wtal_features.probing.retrieval import KS, first_hits, recalls, unit


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters(
    per_class: int, seed: int = 0, classes: int = 5, dim: int = 8
) -> tuple[Tensor, Tensor]:
    """Features around orthogonal centroids, and their classes."""
    labels = torch.arange(classes).repeat(per_class)
    noise = 0.1 * torch.randn(len(labels), dim, generator=generator(seed))
    return torch.eye(dim)[labels] + noise, labels


# Retrieval ---------------------------------------------------------------------------------------


def test_orthogonal_classes_are_found_at_once() -> None:
    assert recalls(*clusters(4, 1), *clusters(6, 2)) == dict.fromkeys(KS, 1.0)


def test_permuted_labels_give_chance() -> None:
    query, labels = clusters(200, 1)
    gallery, _ = clusters(100, 2)
    shuffled = torch.randint(5, (500,), generator=generator())
    found = recalls(query, labels, gallery, shuffled, (1, 5))
    assert found[1] == pytest.approx(0.2, abs=0.1)
    assert found[5] == pytest.approx(1 - 0.8**5, abs=0.15)


def test_recall_counts_the_queries_with_one_hit_among_the_nearest() -> None:
    """By hand: cosines of the centred rows, nearest first, are 0, 1, 2 and 3, 2, 1."""
    gallery = torch.tensor([[2.0, 1.0], [1.0, 2.0], [-1.0, -1.0], [-2.0, -2.0]])
    query = torch.tensor([[3.0, 1.0], [-3.0, -1.0]])
    labels, gallery_labels = torch.tensor([0, 0]), torch.tensor([1, 0, 1, 1])
    cosines = unit(query) @ unit(gallery).T
    assert cosines[0].argsort(descending=True).tolist()[:2] == [0, 1]
    assert cosines[1].argsort(descending=True).tolist()[-2:] == [1, 0]
    assert first_hits(unit(query), labels, unit(gallery), gallery_labels).tolist() == [1, 2]
    assert recalls(query, labels, gallery, gallery_labels, (1, 2, 3)) == {1: 0, 2: 0.5, 3: 1}


def test_it_agrees_with_sorting() -> None:
    g = generator()
    query, gallery = torch.randn(40, 6, generator=g), torch.randn(70, 6, generator=g)
    labels, others = (torch.randint(9, (n,), generator=g) for n in (40, 70))
    order = (unit(query) @ unit(gallery).T).argsort(dim=1, descending=True)
    for k, found in recalls(query, labels, gallery, others).items():
        hits = (others[order[:, :k]] == labels[:, None]).any(dim=1)
        assert found == pytest.approx(hits.double().mean().item())


def test_each_set_loses_its_own_mean() -> None:
    (query, labels), (gallery, others) = clusters(3, 1), clusters(4, 2)
    moved = recalls(query + 100, labels, gallery - 7, others)
    assert moved == recalls(query, labels, gallery, others)


def test_lengths_do_not_matter() -> None:
    (query, labels), (gallery, others) = clusters(3, 1), clusters(4, 2)
    centred = gallery - gallery.mean(dim=0)
    stretched = torch.cat([centred * 3, -centred])  # the mean stays where it is
    twice = torch.cat([others, torch.full_like(others, 99)])
    alone = recalls(query, labels, torch.cat([centred, -centred]), twice)
    unit_rows = F.normalize(stretched, dim=1)
    assert unit_rows.mean(dim=0).norm() < 0.1
    assert recalls(query, labels, stretched - stretched.mean(dim=0), twice)[1] == alone[1] == 1


def test_of_equally_near_clips_the_first_is_nearer() -> None:
    query, gallery = torch.eye(2), torch.eye(2).repeat(3, 1)
    labels = torch.tensor([0, 1])
    ranks = first_hits(query, labels, gallery, torch.tensor([5, 5, 5, 5, 0, 1]))
    assert ranks.tolist() == [2, 2]
    ranks = first_hits(query, labels, gallery, torch.tensor([0, 1, 5, 5, 5, 5]))
    assert ranks.tolist() == [0, 0]


def test_a_class_that_the_gallery_lacks_is_never_found() -> None:
    x = torch.eye(3)
    assert recalls(x, torch.tensor([0, 1, 7]), x, torch.arange(3), (1, 50)) == pytest.approx(
        {1: 2 / 3, 50: 2 / 3}
    )


def test_one_query_and_one_clip_are_enough() -> None:
    one, label = torch.ones(1, 4), torch.zeros(1)
    assert recalls(one, label, one, label)[1] == 1.0


def test_pieces_of_the_queries_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    (query, labels), (gallery, others) = clusters(7, 1), clusters(4, 2)
    whole = recalls(query, labels, gallery, others)
    monkeypatch.setattr("wtal_features.probing.retrieval._PIECE", 40)
    assert recalls(query, labels, gallery, others) == whole


def test_what_is_no_feature_is_refused() -> None:
    x, y = clusters(2)
    with pytest.raises(FeatureError, match=r"query has features \(10, 8\) and labels \(9,\)"):
        recalls(x, y[:9], x, y)
    with pytest.raises(FeatureError, match=r"gallery has features \(0, 8\)"):
        recalls(x, y, x[:0], y[:0])
    with pytest.raises(FeatureError, match="8 dimensions, the gallery 7"):
        recalls(x, y, x[:, :7], y)
    with pytest.raises(FeatureError, match="of the query hold NaN"):
        recalls(x.masked_fill(x > 1, math.nan), y, x, y)


# The linear probe --------------------------------------------------------------------------------

QUICK = ProbeSettings(epochs=6, batch=16, drops=(4, 5))


def test_classes_apart_are_told_apart() -> None:
    result = linear_probe(*clusters(20, 1), *clusters(5, 2), generator(), QUICK)
    assert result.accuracy == 1.0
    assert len(result.by_epoch) == 6


def test_permuted_labels_teach_nothing() -> None:
    train, _ = clusters(40, 1)
    shuffled = torch.randint(5, (200,), generator=generator())
    result = linear_probe(train, shuffled, *clusters(40, 2), generator(), QUICK)
    assert result.accuracy < 0.5


def test_the_settings_are_the_published_ones() -> None:
    assert ProbeSettings() == ProbeSettings(1.0, 1e-3, 1024, 100, (60, 80))


def test_the_last_epoch_is_reported_and_the_best_is_named_as_selected() -> None:
    result = ProbeResult(0.5, (0.2, 0.7, 0.7, 0.5))
    assert result.accuracy == 0.5
    assert result.selected_on_test == (2, 0.7)


def test_the_same_seed_gives_the_same_figures() -> None:
    train, labels = clusters(8, 1)
    test = torch.randn(60, 8, generator=generator(9)), torch.arange(60) % 5
    results = [linear_probe(train, labels, *test, generator(seed), QUICK) for seed in (3, 3, 4)]
    assert results[0] == results[1] != results[2]


def test_the_probe_leaves_the_global_generator_out_of_it() -> None:
    train, labels = clusters(8, 1)
    torch.manual_seed(0)
    first = linear_probe(train, labels, train, labels, generator(3), QUICK)
    torch.manual_seed(1)
    assert linear_probe(train, labels, train, labels, generator(3), QUICK) == first


def test_it_starts_from_small_weights_and_no_bias() -> None:
    norm, layer = new_probe(200, 50, generator())
    assert isinstance(norm, torch.nn.BatchNorm1d)
    assert isinstance(layer, torch.nn.Linear)
    assert norm.affine
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not layer.bias.any()


def test_scale_and_place_of_the_features_do_not_matter() -> None:
    train, labels = clusters(20, 1)
    test, test_labels = clusters(8, 2)
    result = linear_probe(
        1000 * train - 7, labels, 1000 * test - 7, test_labels, generator(), QUICK
    )
    assert result.accuracy == 1.0


def test_a_rest_of_one_clip_is_left_out() -> None:
    train, labels = clusters(5)
    settings = replace(QUICK, batch=24)  # 25 clips: batch norm cannot take the last alone
    assert linear_probe(train, labels, train, labels, generator(), settings).accuracy > 0.9


def test_features_the_probe_cannot_use_are_refused() -> None:
    x, y = clusters(2)
    for wrong in ((x[:1], y[:1]), (x, y[:3]), (x, y - 1), (x[0], y[:8])):
        with pytest.raises(FeatureError, match=r"expected \(N, D\) and \(N,\) from 0 on"):
            linear_probe(*wrong, x, y, generator(), QUICK)
    with pytest.raises(FeatureError, match="hold NaN"):
        linear_probe(x, y, x / 0, y, generator(), QUICK)
    with pytest.raises(FeatureError, match="batch is 1; expected at least 2"):
        ProbeSettings(batch=1)


# Lists of clips ----------------------------------------------------------------------------------


def listed(tmp_path: Path, text: str, name: str = "clips.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_is_read_with_its_times_and_subsets(tmp_path: Path) -> None:
    found = read_clips(
        listed(tmp_path, "video,label,start,end,subset\nv1,run,0.5,2,train\nv2,jump,1,3.25,\n")
    )
    assert found.clips == (
        LabelledClip("v1", "run", 0.5, 2.0, "train"),
        LabelledClip("v2", "jump", 1.0, 3.25, None),
    )
    assert found.classes == ("jump", "run")
    assert found.of_subset("train") == found.clips[:1]
    with pytest.raises(FeatureError, match=r"No clip has the subset 'test'; there are \['train'\]"):
        found.of_subset("test")


def test_a_list_without_times_means_whole_videos(tmp_path: Path) -> None:
    (clip,) = read_clips(listed(tmp_path, "video,label\nv1,run\n")).clips
    assert clip == LabelledClip("v1", "run", 0.0, math.inf)
    assert clip.grid_frames(Fraction(25), 7) == range(7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,start,end\n", "has the header 'video,start,end'"),
        ("video,label,start\n", "expected video,label,start,end or video,label"),
        ("", "has the header ''"),
        ("video,label,start,end\n", "has no labelled clip"),
        ("video,label,start,end\nv,run,1\n", "line 2 has 3 cells; expected 4"),
        ("video,label,start,end\nv,run,x,2\n", "line 2 has the time 'x'"),
        ("video,label,start,end\nv,run,nan,2\n", "line 2 has the time 'nan'"),
        ("video,label,start,end\nv,run,2,2\n", "line 2 goes from 2 s to 2 s"),
        ("video,label,start,end\nv,run,-1,2\n", "line 2 goes from -1 s"),
        ("video,label,start,end\n../v,run,0,2\n", "line 2: The video name '../v'"),
        ("video,label,start,end\nv,,0,2\n", "line 2: 'v' has the label"),
    ],
)
def test_a_list_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        read_clips(listed(tmp_path, text))


def test_activitynet_annotations_are_clips(tmp_path: Path) -> None:
    text = """{"database": {
        "v1": {"subset": "training", "annotations": [
            {"label": "run", "segment": [1, 2.5]}, {"label": "jump", "segment": ["3", "4"]}]},
        "v2": {"subset": "validation", "annotations": [{"label": "run", "segment": [5, 4]}]},
        "v3": {"subset": "testing"}}}"""
    found = read_clips(listed(tmp_path, text, "a.json"))
    assert found.clips == (
        LabelledClip("v1", "run", 1, 2.5, "training"),
        LabelledClip("v1", "jump", 3.0, 4.0, "training"),
    )
    (fault,) = found.faults
    assert fault.where == "v2"
    assert "from 5 s to 4 s" in fault.message


def test_seconds_become_grid_frames_within_the_video() -> None:
    clip = LabelledClip("v", "run", 1.0, 2.0)
    assert clip.grid_frames(Fraction(25), 100) == range(25, 50)
    assert clip.grid_frames(Fraction(25), 30) == range(25, 30)
    assert replace(clip, end_s=1.001).grid_frames(Fraction(25), 100) == range(25, 26)
    with pytest.raises(FeatureError, match=r"starts at 1 s; the video ends at 0\.8 s"):
        clip.grid_frames(Fraction(25), 20)


def test_labels_become_places_among_the_classes() -> None:
    clips = [LabelledClip("v", label) for label in ("b", "a", "b")]
    assert label_ids(clips, ("a", "b")).tolist() == [1, 0, 1]
    with pytest.raises(FeatureError, match="'b' is none of the 1 classes"):
        label_ids(clips, ("a",))


# Their features ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("L", "starts"),
    [(32, [0]), (33, [0]), (47, [0, 15]), (48, [0, 15]), (100, [0, 15, 30, 45, 60])],
)
def test_windows_overlap_by_half_and_one_frame(L: int, starts: list[int]) -> None:
    found = windows(L, 32)
    assert [window[0] for window in found] == starts
    assert all(window == list(range(window[0], window[0] + 32)) for window in found)


def test_a_short_clip_has_one_window_that_is_padded_on_the_left() -> None:
    assert windows(5, 8) == [[0, 0, 0, 0, 1, 2, 3, 4]]
    assert windows(5, 4, 2) == [[0, 0, 2, 4]]
    assert windows(1, 1) == [[0]]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_windows_go_on(n: int) -> None:
    found = windows(9, n)
    assert len({tuple(window) for window in found}) == len(found) > 1
    assert max(map(max, found)) < 9


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    """One video of 100 frames 2 x 3: frame k has the value k, and moves by (k / 10, 0)."""
    settings = ClipSettings(motion=MotionSettings(), motion_range_px=12.7)
    key = clip_key("0" * 64, settings)
    with new_video(tmp_path, key, motion=True) as sink:
        for k in range(100):
            sink.frame(np.full((2, 3, 3), k, np.uint8))
            sink.motion(np.full((1, 1, 2), [k, 0], np.int8))
    entry = find_video(tmp_path, key)
    assert entry is not None
    write_manifest(tmp_path, settings.described(), {"v": entry})
    return ClipStore(tmp_path)


def means(clips_BnHWC: Tensor) -> Tensor:
    """(B, 2): mean value, and n."""
    values = clips_BnHWC.float().mean(dim=(1, 2, 3, 4))
    return torch.stack([values, torch.full_like(values, clips_BnHWC.shape[1])], dim=1)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_clip_is_the_mean_of_its_windows(store: ClipStore, batch: int) -> None:
    clips = [LabelledClip("v", "a", 0.4, 2.28), LabelledClip("v", "b", 3.0)]  # frames 10-56, 75-99
    found = clip_features(store, clips, means, n=32, batch=batch)
    first = (10 + 15.5 + 25 + 15.5) / 2
    second = (7 * 75 + sum(range(75, 100))) / 32
    assert found[:, 0].tolist() == pytest.approx([first, second])
    assert found[:, 1].tolist() == [32, 32]


def test_motion_is_encoded_where_that_is_the_view(store: ClipStore) -> None:
    (row,) = clip_features(store, [LabelledClip("v", "a", 0, 0.16)], means, n=4, view="motion")
    assert row.tolist() == pytest.approx([(0 + 0.1 + 0.2 + 0.3) / 4 / 2, 4])


def test_clips_that_cannot_be_found_are_named(store: ClipStore) -> None:
    clips = [LabelledClip("v", "a"), LabelledClip("w", "a"), LabelledClip("v", "b", 4.0, 5.0)]
    good, faults = usable(clips, store)
    assert good == clips[:1]
    assert [fault.where for fault in faults] == ["w", "v"]
    assert "starts at 4 s; the video ends at 4 s" in faults[1].message
