"""Similarities of videos: the closed form, every block size, and what is refused."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.retrieval import blocks
from wtal_features.retrieval.blocks import Budget, cut
from wtal_features.retrieval.similarity import (
    KINDS,
    Described,
    Kind,
    chamfer,
    described,
    similarities,
)

torch.set_num_threads(1)

TWO = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
THREE = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]])
LENGTHS = (5, 1, 17, 5, 40, 2, 1, 9, 8, 130, 6, 7)


def ragged(lengths: Any = LENGTHS, *, dim: int = 12, seed: int = 0, name: str = "v") -> Any:
    """Videos whose rows have something in common, not of length one."""
    rng = np.random.default_rng(seed)
    return [
        (f"{name}{i}", rng.normal(size=(T, dim)) + 2 * rng.normal(size=dim))
        for i, T in enumerate(lengths)
    ]


def matrix(queries: Described, gallery: Described, kind: Kind, memory_mb: float = 256) -> Tensor:
    firsts, strips = zip(*similarities(queries, gallery, kind, memory_mb=memory_mb), strict=True)
    ends = [first + len(strip) for first, strip in zip(firsts, strips, strict=True)]
    assert list(firsts) == [0, *ends[:-1]]
    assert ends[-1] == len(queries.names)
    return torch.cat(strips)


def by_loop(queries: Any, gallery: Any, kind: Kind) -> NDArray[np.float64]:
    """In NumPy and float64, from the definitions."""

    def unit(rows: Any) -> Any:
        return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

    def one(query: Any, video: Any) -> float:
        if kind == "cosine":
            return float(unit(query.mean(0)) @ unit(video.mean(0)))
        product = unit(query) @ unit(video).T
        there, back = product.max(1).mean(), product.max(0).mean()
        return float(there if kind == "chamfer" else (there + back) / 2)

    return np.array([[one(q, v) for _, v in gallery] for _, q in queries])


def test_chamfer_averages_the_rows_of_the_query() -> None:
    assert chamfer(TWO, THREE).item() == pytest.approx(0.9)
    assert chamfer(THREE, TWO).item() == pytest.approx(0.6)
    two, three = described([("q", TWO)]), described([("d", THREE)])
    assert matrix(two, three, "chamfer").item() == pytest.approx(0.9)
    assert matrix(three, two, "chamfer").item() == pytest.approx(0.6)
    assert matrix(two, three, "symmetric").item() == pytest.approx(0.75)
    assert matrix(three, two, "symmetric").item() == pytest.approx(0.75)
    both = matrix(described([("q", TWO), ("d", THREE)]), two, "chamfer")
    torch.testing.assert_close(both, torch.tensor([[1.0], [0.6]]))


def test_cosine_compares_the_means_of_the_rows() -> None:
    videos = described([("a", TWO * 3), ("b", THREE)])
    # Means (1.5, 1.5) and (1.6, -.2) / 3.
    expected = (1.6 - 0.2) / (2**0.5 * (1.6**2 + 0.2**2) ** 0.5)
    assert matrix(videos, videos, "cosine")[0, 1].item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory_mb", [256, 0.05, 0.002, 1e-6])
def test_blocks_of_any_size_give_what_the_definition_gives(kind: Kind, memory_mb: float) -> None:
    given, other = ragged(), ragged((3, 70, 1, 1, 12, 64, 64), seed=1, name="w")
    a, b = described(given), described(other)
    for queries, gallery, loop in (
        (a, b, by_loop(given, other, kind)),
        (b, a, by_loop(other, given, kind)),
        (a, a, by_loop(given, given, kind)),
    ):
        found = matrix(queries, gallery, kind, memory_mb)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found, loop, atol=1e-6)


def test_little_memory_means_small_strips_and_no_whole_matrix() -> None:
    videos = described(ragged())
    assert len(list(similarities(videos, videos, "symmetric"))) == 1
    strips = list(similarities(videos, videos, "symmetric", memory_mb=0.0005))
    assert [len(strip) for _, strip in strips] == [2] * 6


@pytest.mark.parametrize("kind", ["chamfer", "symmetric"])
@pytest.mark.parametrize("memory_mb", [256, 0.01])
def test_videos_among_themselves_take_half_the_products(
    kind: Kind, memory_mb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    compared = blocks.compared

    def counting(query: Any, gallery: Any, *rest: Any, **more: Any) -> Any:
        done.append(query.rows_qnD[..., 0].numel() * gallery.rows_qnD[..., 0].numel())
        return compared(query, gallery, *rest, **more)

    monkeypatch.setattr("wtal_features.retrieval.similarity.compared", counting)
    videos = described(ragged([4] * 60))
    same = described(ragged([4] * 60))
    whole = matrix(videos, same, kind, memory_mb)
    products, done[:] = sum(done), []
    half = matrix(videos, videos, kind, memory_mb)
    torch.testing.assert_close(half, whole, atol=1e-6, rtol=0)
    assert products == 240**2
    if memory_mb == 256:  # one block, which meets itself
        assert sum(done) == 240**2
    else:  # the whole matrix does not fit: strips
        assert sum(done) == products
    done.clear()
    assert matrix(videos, videos, kind, 0.03).shape == (60, 60)
    assert sum(done) < 0.6 * products


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_frames_is_of_no_account(kind: Kind) -> None:
    given = ragged()
    rng = np.random.default_rng(2)
    shuffled = described([(name, rng.permutation(rows)) for name, rows in given])
    videos = described(given)
    torch.testing.assert_close(
        matrix(shuffled, videos, kind), matrix(videos, videos, kind), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_video_and_its_copy_are_alike_to_one(kind: Kind) -> None:
    given = ragged()
    doubled = described([*given, *((f"copy {name}", rows) for name, rows in given)])
    found = matrix(doubled, doubled, kind)
    ones = torch.ones(len(given))
    torch.testing.assert_close(found.diag(), ones.repeat(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[: len(given)].diag(len(given)), ones, atol=1e-6, rtol=0)


def test_rows_repeated_within_a_video_change_chamfer_only_as_weights_of_the_query() -> None:
    (_, rows), (_, other) = ragged((6, 9))
    thrice = described([("once", rows), ("thrice", np.repeat(rows, 3, axis=0))])
    video = described([("other", other)])
    for found in (matrix(thrice, video, "chamfer"), matrix(video, thrice, "chamfer").T):
        torch.testing.assert_close(found[0], found[1])


def test_symmetric_is_symmetric_and_chamfer_is_not() -> None:
    videos = described(ragged())
    symmetric, directed = matrix(videos, videos, "symmetric"), matrix(videos, videos, "chamfer")
    assert torch.equal(symmetric, symmetric.T)
    assert not torch.allclose(directed, directed.T, atol=0.01)
    torch.testing.assert_close((directed + directed.T) / 2, symmetric, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_of_videos_of_one_frame_all_kinds_are_the_cosine(kind: Kind) -> None:
    given = ragged([1] * 7)
    videos = described(given)
    np.testing.assert_allclose(
        matrix(videos, videos, kind), by_loop(given, given, "cosine"), atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_row_is_like_nothing_not_even_itself(kind: Kind) -> None:
    zero = described([("zero", np.zeros((3, 2))), ("d", THREE)])
    found = matrix(zero, zero, kind)
    assert found[0].tolist() == [0, 0]
    assert found[1, 1].item() == pytest.approx(1)
    assert found.isfinite().all()


def test_a_zero_row_halves_chamfer_and_leaves_the_direction_of_the_mean() -> None:
    half = described([("half", np.array([[1.0, 0.0], [0.0, 0.0]]))])
    assert matrix(half, half, "chamfer").item() == pytest.approx(0.5)
    assert matrix(half, half, "cosine").item() == pytest.approx(1)


def test_what_all_rows_have_in_common_is_taken_off() -> None:
    offset = np.array([1000.0, 2000.0])
    shifted = described([("q", TWO.numpy() + offset), ("d", THREE.numpy() + offset)], mean_D=offset)
    assert matrix(shifted, shifted, "chamfer")[0, 1].item() == pytest.approx(0.9)
    static = described([("still", np.full((4, 3), 0.1, np.float32))], mean_D=np.full(3, 0.1))
    assert matrix(static, static, "cosine").item() == 0  # rounding noise got no length


def test_rows_of_any_size_get_length_one() -> None:
    rows = np.array([[3e30, 4e30], [3e-30, 4e-30]], np.float32)
    videos = described([("a", rows), ("b", rows[1:] * 1e-8)])
    assert videos.frames_ND is not None
    torch.testing.assert_close(videos.frames_ND, torch.tensor([[0.6, 0.8]] * 3))
    torch.testing.assert_close(videos.pooled_VD, torch.tensor([[0.6, 0.8]] * 2))


def test_half_precision_is_off_by_less_than_a_hundredth() -> None:
    given = ragged(dim=256)
    exact, half = described(given), described(given, dtype=torch.bfloat16)
    assert half.frames_ND is not None
    assert half.frames_ND.dtype == torch.bfloat16
    found = matrix(half, half, "symmetric")
    assert found.dtype == torch.float32
    assert 0 < (found - matrix(exact, exact, "symmetric")).abs().max() < 0.01


def test_without_frames_only_the_pooled_descriptors_are_kept() -> None:
    whole, pooled = described(ragged()), described(ragged(), frames=False)
    assert pooled.frames_ND is None
    assert pooled.starts == whole.starts
    assert torch.equal(pooled.pooled_VD, whole.pooled_VD)
    with pytest.raises(FeatureError, match="only pooled descriptors were kept"):
        similarities(pooled, pooled, "symmetric")


def test_the_given_rows_stay_as_they_are() -> None:
    given = ragged((3, 4))
    before = [rows.copy() for _, rows in given]
    for _, rows in given:
        rows.flags.writeable = False  # as from a file that is mapped for reading
    described(given, mean_D=np.ones(12))
    for (_, rows), was in zip(given, before, strict=True):
        np.testing.assert_array_equal(rows, was)


def test_blocks_hold_every_video_once_and_little_that_is_repeated() -> None:
    lengths = np.random.default_rng(0).geometric(1 / 60, 500)
    starts = (0, *np.cumsum(lengths).tolist())
    found = cut(starts, 1024, torch.device("cpu"))
    assert sorted(torch.cat([block.videos for block in found]).tolist()) == list(range(500))
    padded = sum(block.rows_qn.numel() for block in found)
    assert sum(lengths) <= padded < 1.06 * sum(lengths)
    for block in found:
        assert block.rows_qn.numel() <= 1024 or len(block.videos) == 1
        torch.testing.assert_close(block.weights_qn.sum(1), torch.ones(len(block.videos)).double())
        for video, rows in zip(block.videos.tolist(), block.rows_qn.tolist(), strict=True):
            assert sorted(set(rows)) == list(range(*list(pairwise(starts))[video]))


def test_a_limit_of_memory_bounds_blocks_strips_and_products() -> None:
    rows = torch.empty(1, 512)
    assert Budget(256).rows(rows) == 1024
    assert Budget(1).rows(rows) ** 2 <= Budget(1).product
    assert Budget(1e-6).rows(rows) == Budget(1e-6).strip(10_000) == 1
    assert Budget(256).strip(10_000) * 10_000 * 4 <= 64e6


def test_wrong_videos_are_refused_by_name() -> None:
    good = ("a", np.ones((2, 3)))
    for rows, message in (
        (np.ones((2, 4)), r"'b' have the shape \(2, 4\); expected \(T, 3\)"),
        (np.ones(3), r"'b' have the shape \(3,\)"),
        (np.ones((0, 3)), "at least one row"),
        (np.array([[1, np.nan, 1]]), "'b' hold NaN"),
        (np.array([[1, np.inf, 1]]), "'b' hold NaN or infinity"),
    ):
        with pytest.raises(FeatureError, match=message):
            described([good, ("b", rows)])
    with pytest.raises(FeatureError, match="'a' comes twice"):
        described([good, good])
    with pytest.raises(FeatureError, match="no video"):
        described([])
    with pytest.raises(FeatureError, match=r"mean to take off has the shape \(2,\)"):
        described([good], mean_D=np.ones(2))


def test_what_does_not_fit_together_is_refused() -> None:
    two, three = described(ragged((2,), dim=2)), described(ragged((2,), dim=3))
    for kind in KINDS:
        with pytest.raises(FeatureError, match="Queries have 2 dimensions, the gallery 3"):
            similarities(two, three, kind)
    with pytest.raises(FeatureError, match="no similarity 'euclid'; there are cosine, chamfer"):
        similarities(two, two, "euclid")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="memory_mb is 0"):
        similarities(two, two, "cosine", memory_mb=0)
    half = described(ragged((2,), dim=2), dtype=torch.bfloat16)
    with pytest.raises(FeatureError, match=r"float32, of the gallery torch\.bfloat16"):
        similarities(two, half, "chamfer")
    with pytest.raises(FeatureError, match="dimensions"):
        chamfer(TWO, torch.ones(1, 3))
    with pytest.raises(FeatureError, match="at least 1"):
        chamfer(TWO, torch.ones(0, 2))
