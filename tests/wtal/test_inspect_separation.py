"""Figures of an embedding against closed forms: apart, alike, collapsed, one kind, none."""

import numpy as np
import pytest

from wtal.errors import WtalError
from wtal.inspection.comparison import Comparison
from wtal.inspection.map_figure import flatten
from wtal.inspection.points import BACKGROUND, Points
from wtal.inspection.separation import (
    FIGURES,
    compactness,
    linear,
    measure,
    neighbour_purity,
    silhouette,
    unit,
)


def axes_of(kind_N: np.ndarray, d: int = 4) -> np.ndarray:
    """Every kind on an axis of its own."""
    axes: np.ndarray = np.eye(d, dtype=np.float32)[kind_N]
    return axes


def toy(classes: list[int], videos: int = 6, each: int = 4) -> Points:
    """Every video has `each` points of every class."""
    class_N = np.tile(np.repeat(classes, each), videos)
    video_N = np.repeat(np.arange(videos), each * len(classes))
    names = tuple(f"v{v}" for v in range(videos))
    return Points(names, video_N, np.arange(len(class_N)), class_N)


def test_kinds_on_axes_of_their_own_have_the_best_figures() -> None:
    points = toy([BACKGROUND, 0, 1, 2])
    found = measure(axes_of(points.class_N + 1), points)
    # Background is perfect; 23 of the 71 other action points are of one's class, at distance 0, and
    # those of other classes are as far away as the background.
    split = 1 / 4 + 3 / 4 * 23 / 71
    best = dict.fromkeys(FIGURES, 1.0) | {"cosine_to_other_means": 0.0}
    best["silhouette_action_background"] = split
    assert found == pytest.approx(best, abs=1e-5)


def test_lengths_do_not_matter_to_cosine_figures() -> None:
    points = toy([BACKGROUND, 0, 1])
    draw = np.random.default_rng(0)
    x_Nd = draw.normal(size=(len(points.class_N), 5)).astype(np.float32)
    scaled_Nd = x_Nd * draw.uniform(0.1, 9, size=(len(x_Nd), 1)).astype(np.float32)
    one, other = measure(x_Nd, points), measure(scaled_Nd, points)
    for key in set(FIGURES) - {"linear_balanced_accuracy", "linear_auc"}:
        assert one[key] == pytest.approx(other[key], abs=1e-5), key


def test_kinds_of_one_distribution_cannot_be_told_apart() -> None:
    points = toy([BACKGROUND, 0], videos=20, each=10)
    x_Nd = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)
    found = measure(x_Nd, points)
    assert found["linear_balanced_accuracy"] == pytest.approx(0.5, abs=0.1)
    assert found["linear_auc"] == pytest.approx(0.5, abs=0.1)
    assert found["purity_action_background"] == pytest.approx(0.5, abs=0.06)
    assert found["silhouette_action_background"] == pytest.approx(0, abs=0.03)


def test_an_embedding_that_collapsed_is_compact_and_close_to_the_other_classes_alike() -> None:
    points = toy([0, 1])
    found = measure(np.ones((len(points.class_N), 3), np.float32), points)
    assert found["compactness"] == pytest.approx(1)
    assert found["cosine_to_other_means"] == pytest.approx(1)
    assert found["silhouette_classes"] == pytest.approx(0, abs=1e-6)


def test_one_class_without_background_has_only_its_compactness() -> None:
    points = toy([0])
    found = measure(axes_of(points.class_N), points)
    assert found.pop("compactness") == pytest.approx(1)
    assert set(found.values()) == {None}


def test_background_alone_has_no_figure() -> None:
    points = toy([BACKGROUND])
    assert set(measure(axes_of(points.class_N + 1), points).values()) == {None}


def test_compactness_by_hand_leaves_out_classes_of_one_point() -> None:
    # Class 0: two directions at a right angle, 45 degrees from their mean. Class 2 has one point.
    x_Nd = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 1], [0, 0, 3], [1, 1, 1]], np.float32)
    own, other = compactness(x_Nd, np.array([0, 0, 1, 1, 2]))
    assert own == pytest.approx((np.sqrt(0.5) + 1) / 2)
    assert other == pytest.approx(0)
    assert compactness(x_Nd[:0], np.empty(0, int)) == (None, None)


def test_neighbours_of_the_same_video_do_not_count() -> None:
    # Nearest is a point of the same kind and video; nearest in the other video is the other kind.
    angle = np.deg2rad([0, 1, 90, 91, 95, 96, 5, 6])
    x_Nd = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    kind, video = np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.repeat([0, 1], 4)
    assert neighbour_purity(x_Nd, kind, video, k=1) == 0
    assert neighbour_purity(x_Nd, kind, np.arange(8), k=1) == 1


def test_neighbours_are_all_there_are_where_they_are_fewer_than_wanted() -> None:
    x_Nd = axes_of(np.array([0, 1, 0]))
    purity = neighbour_purity(x_Nd, np.array([0, 1, 0]), np.array([0, 0, 1]), k=10)
    assert purity == pytest.approx((1 + 0 + 1 / 2) / 3)


def test_neighbour_purity_agrees_with_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wtal.inspection.separation.ROWS", 7)
    draw = np.random.default_rng(2)
    x_Nd = draw.normal(size=(40, 6)).astype(np.float32)
    kind, video = draw.integers(0, 3, 40), draw.integers(0, 5, 40)
    shares = []
    for i in range(40):
        others = [j for j in range(40) if video[j] != video[i]]
        others.sort(key=lambda j: -float(unit(x_Nd)[i] @ unit(x_Nd)[j]))
        shares.append(np.mean([kind[j] == kind[i] for j in others[:10]]))
    assert neighbour_purity(x_Nd, kind, video) == pytest.approx(np.mean(shares))


def test_the_linear_classifier_cannot_learn_a_video_by_heart() -> None:
    # A direction per video tells action from background within it, with a sign that is drawn.
    draw = np.random.default_rng(3)
    points = toy([BACKGROUND, 0], videos=24, each=6)
    sign_V = draw.choice([-1, 1], 24)
    x_Nd = np.zeros((len(points.class_N), 24), np.float32)
    sides = np.where(points.class_N >= 0, 1, -1) * sign_V[points.video_N]
    x_Nd[np.arange(len(x_Nd)), points.video_N] = sides
    accuracy, auc = linear(x_Nd, (points.class_N >= 0).astype(int), points.video_N, seed=0)
    assert accuracy == pytest.approx(0.5)
    assert auc == pytest.approx(0.5)


def test_one_video_leaves_nothing_to_test_on() -> None:
    kind = np.array([0, 1, 0, 1])
    assert linear(axes_of(kind), kind, np.zeros(4, int), seed=0) == (None, None)
    assert neighbour_purity(axes_of(kind), kind, np.zeros(4, int)) is None


def test_as_many_kinds_as_points_have_no_silhouette() -> None:
    assert silhouette(axes_of(np.arange(3)), np.arange(3)) is None


def test_a_zero_vector_stays_finite() -> None:
    assert unit(np.zeros((2, 3), np.float32)).tolist() == np.zeros((2, 3)).tolist()


def test_a_map_repeats_by_seed_and_refuses_a_handful_of_points() -> None:
    x_Nd = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    assert np.array_equal(flatten(x_Nd, 0), flatten(x_Nd, 0))
    assert flatten(x_Nd[:, :1], 0).shape == (12, 2)
    with pytest.raises(WtalError, match="at least 5"):
        flatten(x_Nd[:4], 0)


def test_a_table_sets_two_runs_beside_each_other() -> None:
    one, other = dict.fromkeys(FIGURES, 0.5), dict.fromkeys(FIGURES, 0.25)
    two = Comparison(("dcc", "basnet"), (one, other | {"linear_auc": None}), 0, "embedding", ())
    lines = two.text().splitlines()
    assert lines[1].split() == ["figure", "dcc", "basnet", "difference"]
    assert lines[2].split()[-3:] == ["0.5000", "0.2500", "+0.2500"]
    assert next(line for line in lines if "AUC" in line).split()[-3:] == ["0.5000", "-", "-"]
    written = two.as_json()["figures"]
    assert written["compactness"] == {"values": [0.5, 0.25], "difference": 0.25}
    assert written["linear_auc"]["difference"] is None
