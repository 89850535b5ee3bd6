"""Suggested tags: the weighted vote in closed form, who has a vote, and how often it is right."""

import math

import numpy as np
import pytest
import torch

from wtal_features.errors import FeatureError
from wtal_features.retrieval.search import Neighbours, nearest
from wtal_features.retrieval.similarity import described
from wtal_features.retrieval.suggestions import Suggestion, reliability, shares, suggest

torch.set_num_threads(1)

CLASSES = ("run", "jump", "swim")
# Videos 0 and 1 run, 2 jumps, 3 runs and jumps, 4 has no tag.
LABELS = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]]).bool()


def neighbours(*rows: list[tuple[int, float]]) -> Neighbours:
    indices, values = zip(*(zip(*row, strict=True) for row in rows), strict=True)
    return Neighbours(torch.tensor(indices), torch.tensor(values))


def test_confidence_is_the_share_of_the_softmax_weights() -> None:
    ((first, second),) = suggest(
        neighbours([(0, 0.9), (2, 0.8), (1, 0.7)]), LABELS, CLASSES, min_confidence=0
    )
    weights = [math.exp(s / 0.07) for s in (0.9, 0.8, 0.7)]
    assert first.label == "run"
    assert first.confidence == pytest.approx((weights[0] + weights[2]) / sum(weights), rel=1e-5)
    assert second.label == "jump"
    assert first.confidence + second.confidence == pytest.approx(1)


def test_several_labels_of_one_neighbour_each_get_its_whole_weight() -> None:
    found = suggest(neighbours([(3, 0.5)], [(2, 0.5)]), LABELS, CLASSES)
    assert found == [[Suggestion("jump", 1), Suggestion("run", 1)], [Suggestion("jump", 1)]]


def test_a_temperature_near_nought_asks_the_nearest_and_a_large_one_counts_heads() -> None:
    one = neighbours([(2, 0.9), (0, 0.89), (1, 0.5), (3, 0.1)])
    cold, hot = shares(one, LABELS, temperature=1e-4), shares(one, LABELS, temperature=1e6)
    assert cold[0].tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    assert hot[0].tolist() == pytest.approx([0.75, 0.5, 0], abs=1e-5)


def test_who_is_too_far_or_untagged_or_not_there_has_no_vote() -> None:
    one = neighbours([(0, 0.5), (4, 0.9), (2, 0.19), (-1, -math.inf)])
    assert suggest(one, LABELS, CLASSES, min_similarity=0.2) == [[Suggestion("run", 1)]]


def test_a_video_without_a_near_neighbour_gets_no_suggestion() -> None:
    far = neighbours([(0, 0.1)], [(4, 0.9)], [(-1, -math.inf)])
    assert suggest(far, LABELS, CLASSES, min_similarity=0.2, min_confidence=0) == [[], [], []]
    nobody = Neighbours(torch.empty(2, 0, dtype=torch.long), torch.empty(2, 0))
    assert suggest(nobody, LABELS, CLASSES) == [[], []]


def test_weak_suggestions_are_left_out_and_equal_ones_stand_by_label() -> None:
    one = neighbours([(0, 0.5), (2, 0.5)])
    assert suggest(one, LABELS, CLASSES) == [[Suggestion("jump", 0.5), Suggestion("run", 0.5)]]
    assert suggest(one, LABELS, CLASSES, min_confidence=0.51) == [[]]


def test_the_same_shift_of_all_similarities_changes_nothing() -> None:
    near = neighbours([(0, 0.9), (2, 0.8), (3, 0.75)])
    far = neighbours([(0, 0.4), (2, 0.3), (3, 0.25)])
    torch.testing.assert_close(shares(near, LABELS), shares(far, LABELS), atol=1e-5, rtol=0)


def test_reliability_counts_right_suggestions_by_confidence() -> None:
    found = torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    low, high = reliability(found, LABELS[:4], bins=2, min_confidence=0.2)
    assert (low.low, low.high, high.high) == pytest.approx((0.2, 0.6, 1))
    # Of .4, .5 and .5, two of video 2: that it jumps is right.
    assert low.suggestions == high.suggestions == 3
    assert low.accuracy == pytest.approx(1 / 3)
    assert low.confidence == pytest.approx(1.4 / 3)
    assert high.accuracy == pytest.approx(1)
    assert high.confidence == pytest.approx(2.5 / 3)


def test_a_bin_without_suggestions_has_no_accuracy() -> None:
    empty, full = reliability(torch.ones(1, 3), LABELS[3:4], bins=2, min_confidence=0)
    assert empty.suggestions == 0
    assert math.isnan(empty.accuracy)
    assert full.suggestions == 3
    assert full.accuracy == pytest.approx(2 / 3)


def test_each_tagged_video_is_judged_by_the_others() -> None:
    rng = np.random.default_rng(0)
    centres, of = rng.normal(size=(3, 16)) * 2, rng.integers(0, 3, 60)
    videos = [(f"{v:02}", rng.normal(size=(5, 16)) + centres[of[v]]) for v in range(60)]
    tagged = described(videos)
    labels = torch.nn.functional.one_hot(torch.tensor(of), 3).bool()
    near = nearest(tagged, tagged, "symmetric", 10, exclude_self=True)
    sure = reliability(shares(near, labels), labels)[-1]
    assert sure.suggestions > 50
    assert sure.accuracy > 0.95
    shuffled = labels[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    by_chance = reliability(shares(near, shuffled), shuffled, bins=1)[0]
    assert by_chance.accuracy < 0.5


def test_wrong_input_is_refused() -> None:
    one = neighbours([(4, 0.5)])
    with pytest.raises(FeatureError, match="2 classes, but labels for 3"):
        suggest(one, LABELS, CLASSES[:2])
    with pytest.raises(FeatureError, match=r"labels have the shape \(4, 3\)"):
        suggest(one, LABELS[:4], CLASSES)
    with pytest.raises(FeatureError, match="temperature is 0"):
        suggest(one, LABELS, CLASSES, temperature=0)
    with pytest.raises(FeatureError, match="in 0 bins"):
        reliability(torch.ones(5, 3), LABELS, bins=0)
    with pytest.raises(FeatureError, match="expected equal shapes"):
        reliability(torch.ones(4, 3), LABELS)
