"""What corrections say of snippets, and the terms that teach it: values by hand."""

import math

import numpy as np
import pytest
import torch

from wtal.corrections.file import Correction, Verdict, VideoCorrections
from wtal.corrections.supervision import CorrectionsConfig, Supervision
from wtal.corrections.targets import HERE, NOT_HERE, UNKNOWN, filled, snippet_targets
from wtal.data import Batch, collate
from wtal.errors import WtalError
from wtal.losses import corrected

SECONDS = 0.64
WEIGHTS = {"corrected_classes": 0.1, "corrected_attention": 0.3}


def said(*segments: tuple[str, float, float, Verdict], complete: bool = False) -> VideoCorrections:
    """Segments in snippets, for readable tests."""
    made = (Correction(c, a * SECONDS, b * SECONDS, v) for c, a, b, v in segments)
    return VideoCorrections(complete, tuple(made))


def targets(video: VideoCorrections, n: int = 8) -> str:
    """Class by class: + here, - not here, . unknown."""
    found_nC = snippet_targets(video, ("a", "b"), n, SECONDS)
    signs = {HERE: "+", NOT_HERE: "-", UNKNOWN: "."}
    return " ".join("".join(signs[int(v)] for v in found_nC[:, c]) for c in range(2))


def test_only_what_is_said_is_known() -> None:
    assert targets(said(("a", 2, 5, "accepted"))) == "..+++... ........"
    assert targets(said(("a", 2, 5, "rejected"))) == "..---... ........"
    assert targets(said(("a", 2, 5, "added"), complete=True)) == "--+++--- --------"
    assert targets(said(complete=True)) == "-------- --------"
    assert targets(said()) == "........ ........"


def test_a_snippet_that_a_border_cuts_says_nothing() -> None:
    assert targets(said(("a", 2.1, 4.5, "added"), complete=True)) == "--++.--- --------"
    assert targets(said(("a", 2.3, 4.2, "added"), complete=True)) == "--.+---- --------"
    assert targets(said(("a", 2.21, 4.8, "rejected"))) == "...--... ........"
    assert targets(said(("a", 2.2, 4.8, "rejected"))) == "..---... ........"  # .8 exactly


def test_a_segment_that_fills_no_snippet_counts_in_the_one_it_fills_most() -> None:
    assert targets(said(("a", 2.5, 3.3, "added"))) == "..+..... ........"
    assert targets(said(("a", 2.7, 3.5, "added"), complete=True)) == "--.+---- --------"
    assert targets(said(("a", 3.4, 3.5, "rejected"))) == "...-.... ........"
    assert targets(said(("a", 7.1, 7.6, "added"))) == ".......+ ........"


def test_what_happens_wins_over_a_rejected_span_around_it() -> None:
    wide = said(("a", 3, 5, "accepted"), ("a", 1, 7, "rejected"))
    assert targets(wide) == ".--++--. ........"
    inside = said(("a", 1, 7, "accepted"), ("a", 3, 5, "rejected"))
    assert targets(inside) == ".++++++. ........"
    short = said(("a", 1, 7, "accepted"), ("a", 3.4, 3.5, "rejected"))
    assert targets(short) == ".++++++. ........"
    other = said(("a", 3, 5, "accepted"), ("b", 3, 5, "rejected"))
    assert targets(other) == "...++... ...--..."


def test_what_editing_cut_off_does_not_happen() -> None:
    edited = Correction("a", 3 * SECONDS, 5 * SECONDS, "edited", (1 * SECONDS, 4 * SECONDS))
    assert targets(VideoCorrections(False, (edited,))) == ".--++... ........"


def test_order_and_repeats_of_segments_change_nothing() -> None:
    parts = [("a", 1.0, 3.0, "accepted"), ("a", 2.0, 4.0, "added"), ("a", 0.5, 6.0, "rejected")]
    forward = targets(said(*parts))  # type: ignore[arg-type]
    assert forward == targets(said(*parts[::-1], *parts))  # type: ignore[arg-type]
    assert forward == ".+++--.. ........"


def test_what_lies_after_the_end_of_the_video_is_passed_over() -> None:
    assert targets(said(("a", 6, 99, "added"), ("a", 50, 51, "added"))) == "......++ ........"
    assert targets(said(("a", 7.9, 8.6, "added"))) == "........ ........"
    assert targets(said(("a", 0, 0.9, "added")), n=1) == "+ ."


def test_the_time_base_of_the_video_decides() -> None:
    video = VideoCorrections(False, (Correction("a", 4.0, 8.0, "added"),))
    for seconds in (0.25, 0.5, 1.0, 2.0):
        found_n = snippet_targets(video, ("a",), 40, seconds)[:, 0]
        assert np.flatnonzero(found_n == HERE).tolist() == list(
            range(int(4 / seconds), int(8 / seconds))
        )


def test_shares_equal_those_of_a_fine_grid() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        starts = draw.uniform(0, 12, size=6)
        spans_S2 = np.stack([starts, starts + draw.uniform(0.05, 3, size=6)], axis=1)
        points = (np.arange(10_000) + 0.5) / 1000
        inside = ((points[:, None] >= spans_S2[:, 0]) & (points[:, None] < spans_S2[:, 1])).any(1)
        assert filled(spans_S2, 10) == pytest.approx(inside.reshape(10, 1000).mean(1), abs=0.01)


def test_the_time_for_targets_grows_with_the_segments_and_not_with_their_square() -> None:
    draw = np.random.default_rng(0)
    starts = draw.uniform(0, 5000, size=100_000).tolist()
    segments = tuple(Correction("a", s, s + 0.5, "rejected") for s in starts)
    assert snippet_targets(VideoCorrections(False, segments), ("a",), 8000, SECONDS).any()


# In a batch ---------------------------------------------------------------------------------------


def batch(labels: list[list[float]], lengths: list[int], positions: list[list[int]]) -> Batch:
    features = [np.zeros((n, 2), np.float32) for n in lengths]
    videos_B = np.arange(len(lengths))
    shown = [np.array(each) for each in positions]
    return collate(features, shown, np.array(labels, np.float32), videos_B)


def tensor(rows: list[str]) -> torch.Tensor:
    values = {"+": HERE, "-": NOT_HERE, ".": UNKNOWN}
    return torch.tensor([[values[sign] for sign in row] for row in rows], dtype=torch.int8)


def test_a_bin_knows_what_the_snippet_that_it_shows_knows() -> None:
    """Sampled positions, also repeated ones; a video without corrections knows nothing."""
    supervision = Supervision(WEIGHTS, {1: tensor(["+-", "--", ".-"])})
    seen = batch([[1, 0], [1, 0]], [2, 4], [[0, 1], [0, 2, 2, 1]])
    known = supervision.known(seen)
    assert known.here_NC[:, 0].tolist() == [False, False, True, False, False, False]
    assert known.not_here_NC[:, 0].tolist() == [False, False, False, False, False, True]
    assert known.not_here_NC[:, 1].tolist() == [False, False, True, True, True, True]
    assert known.background_N.tolist() == [False, False, False, False, False, True]
    assert known.video_N.tolist() == [0, 0, 1, 1, 1, 1]


def test_background_is_known_where_every_tag_is_known_to_be_absent() -> None:
    rows = ["-.", "-+", "--", ".."]
    supervision = Supervision(WEIGHTS, {0: tensor(rows)})
    positions = [[0, 1, 2, 3]]
    one_tag = supervision.known(batch([[1, 0]], [4], positions))
    assert one_tag.background_N.tolist() == [True, False, True, False]
    two_tags = supervision.known(batch([[1, 1]], [4], positions))
    assert two_tags.background_N.tolist() == [False, False, True, False]


def test_what_is_known_takes_the_place_of_pseudo_labels_and_is_certain() -> None:
    supervision = Supervision(WEIGHTS, {0: tensor(["+-", "--", ".."])})
    known = supervision.known(batch([[1, 1]], [3], [[0, 1, 2]]))
    guessed = torch.tensor([[0, 1, 1], [1, 1, 0], [1, 0, 1]], dtype=torch.bool)
    assert known.override(guessed).int().tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 1]]
    half = torch.full((3, 3), 0.5)
    assert known.certain(half).tolist() == [[1, 1, 1], [1, 1, 1], [0.5, 0.5, 0.5]]


def test_a_batch_knows_of_each_video_what_the_video_alone_knows() -> None:
    parts = {0: tensor(["+-", "-."]), 1: tensor(["..", "-+", "+-"])}
    supervision = Supervision(WEIGHTS, parts)
    labels, positions = [[1.0, 0.0], [1.0, 1.0]], [[0, 1], [2, 0, 1]]
    both = supervision.known(batch(labels, [2, 3], positions))
    for b, rows in ((0, slice(0, 2)), (1, slice(2, 5))):
        alone = batch(labels[b : b + 1], [len(positions[b])], positions[b : b + 1])
        known = supervision.known(alone._replace(videos_B=torch.tensor([b])))
        for whole, part in zip(both[:3], known[:3], strict=True):
            assert torch.equal(whole[rows], part)


# Losses -------------------------------------------------------------------------------------------


def bools(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


def classes(logits: list[list[float]], signs: list[str], videos: list[int]) -> float:
    target = tensor(signs)
    known = target == HERE, target == NOT_HERE
    return corrected.classes(torch.tensor(logits), *known, torch.tensor(videos)).item()


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_the_class_term_sets_known_snippets_against_all_others_of_their_video() -> None:
    logits = [[2.0], [1.0], [-3.0], [0.0]]
    here = softplus((1 - 3 + 0) / 3 - 2.0)
    assert classes(logits, ["+", ".", ".", "."], [0] * 4) == pytest.approx(here)
    absent = softplus(-3.0 - (2 + 1 + 0) / 3)
    assert classes(logits, [".", ".", "-", "."], [0] * 4) == pytest.approx(absent)
    absent = (softplus(1.0 - 2.0) + softplus(-3.0 - 2.0) + softplus(0.0 - 2.0)) / 3
    both = here + absent
    assert classes(logits, ["+", "-", "-", "-"], [0] * 4) == pytest.approx(both)


def test_a_class_or_video_with_nothing_to_compare_is_left_out() -> None:
    assert classes([[5.0], [1.0]], ["-", "-"], [0, 0]) == 0
    assert classes([[5.0], [1.0]], ["+", "+"], [0, 0]) == 0
    one = classes([[2.0], [1.0]], ["+", "."], [0, 0])
    more = [[2.0, 7.0], [1.0, 9.0], [4.0, 4.0]]
    assert classes(more, ["+-", ".-", "++"], [0, 0, 1]) == pytest.approx(one)


def test_a_constant_added_to_a_class_in_a_video_changes_nothing() -> None:
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    signs, videos = ["+-", ".+", "--", ".+", "+-", "-."], torch.tensor([0, 0, 0, 1, 1, 1])
    shifted = logits + torch.tensor([[3.0, -4.0], [9.0, 1.0]])[videos]
    before = classes(logits.tolist(), signs, videos.tolist())
    assert classes(shifted.tolist(), signs, videos.tolist()) == pytest.approx(before, abs=1e-5)


def test_every_pair_of_video_and_class_weighs_the_same() -> None:
    pair = classes([[2.0], [1.0]], ["+", "."], [0, 0])
    long = [[2.0]] * 6 + [[1.0]] * 3
    other = classes([[0.0], [1.0]], ["+", "."], [0, 0])
    together = [*long, [0.0], [1.0]]
    signs, videos = ["+"] * 6 + ["."] * 3 + ["+", "."], [0] * 9 + [1] * 2
    assert classes(together, signs, videos) == pytest.approx((pair + other) / 2)


def test_the_attention_term_is_the_mean_over_videos_of_means_over_snippets() -> None:
    attention = torch.tensor([0.5, 0.25, 0.9, 0.8])
    found = corrected.attention(
        attention, bools(1, 1, 0, 1), bools(0, 0, 1, 0), torch.tensor([0, 0, 0, 1])
    )
    action = ((math.log(2) + math.log(4)) / 2 - math.log(0.8)) / 2
    assert found.item() == pytest.approx(action - math.log(0.1))


def test_terms_without_anything_known_are_zero_and_have_a_gradient() -> None:
    attention = torch.tensor([0.5, 0.5], requires_grad=True)
    nothing = corrected.attention(attention, bools(0, 0), bools(0, 0), torch.tensor([0, 0]))
    assert nothing.item() == 0
    nothing.backward()  # type: ignore[no-untyped-call]
    assert attention.grad is not None
    assert not attention.grad.any()


def test_a_longer_segment_weighs_no_more_than_a_short_one_of_another_video() -> None:
    values = torch.tensor([0.5] * 9 + [0.1])
    video = torch.tensor([0] * 9 + [1])
    found = corrected.attention(values, torch.ones(10) > 0, torch.zeros(10) > 0, video)
    assert found.item() == pytest.approx((math.log(2) + math.log(10)) / 2)


def test_the_attention_learns_less_from_corrections_where_denoised_labels_teach_it() -> None:
    assert CorrectionsConfig().weights(denoised=False) == WEIGHTS
    assert CorrectionsConfig().weights(denoised=True)["corrected_attention"] == 0.05
    given = CorrectionsConfig(attention_weight=2, classes_weight=0)
    for denoised in (True, False):
        assert list(given.weights(denoised=denoised).values()) == [0, 2]


def test_a_weight_below_zero_is_refused() -> None:
    with pytest.raises(WtalError, match=r"corrections\.attention_weight is -1"):
        CorrectionsConfig(attention_weight=-1)
