"""Nearest videos: order, ties, what is left out, and faiss beside the exact search."""

import sys
from typing import Any

import numpy as np
import pytest
import torch

from tests.features.test_similarity import ragged
from wtal_features.errors import FeatureError
from wtal_features.retrieval import search
from wtal_features.retrieval.search import Neighbours, nearest
from wtal_features.retrieval.similarity import KINDS, Described, Kind, described, similarities

torch.set_num_threads(1)

INDICES = ["exact", "faiss"]
Index = Any


def need(index: Index) -> None:
    if index == "faiss":
        pytest.importorskip("faiss", reason="needs wtal[faiss]")


def pooled(names: str, rows: Any) -> Described:
    """One video of one row for each letter."""
    rows = np.asarray(rows, np.float64)
    return described([(name, row[None]) for name, row in zip(names, rows, strict=True)])


def many(count: int, *, seed: int = 0, dim: int = 16, name: str = "v") -> Described:
    """With every third video a copy of the one before, in another order than that of the names."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 1, dim))
    rows[2::3] = rows[1::3][: len(rows[2::3])]
    return described([(f"{name}{number:03}", rows[number]) for number in rng.permutation(count)])


def by_sorting(
    queries: Described, gallery: Described, kind: Kind, k: int, exclude_self: bool
) -> list[list[tuple[float, str]]]:
    """All similarities, sorted in Python by their five decimals and by name."""
    whole = torch.cat([strip for _, strip in similarities(queries, gallery, kind)])
    found = []
    for query, values in zip(queries.names, whole.double().tolist(), strict=True):
        ranked = sorted(
            (-round(value, 5), name)
            for value, name in zip(values, gallery.names, strict=True)
            if not (exclude_self and name == query)
        )
        found.append([(-value, name) for value, name in ranked[:k]])
    return found


def named(found: Neighbours, gallery: Described) -> list[list[tuple[float, str]]]:
    """Without what stands for no neighbour."""
    return [
        [
            (round(value, 5), gallery.names[i])
            for value, i in zip(values, row, strict=True)
            if i >= 0
        ]
        for values, row in zip(found.values_Qk.tolist(), found.indices_Qk.tolist(), strict=True)
    ]


@pytest.mark.parametrize("index", INDICES)
def test_the_nearest_come_first_and_ties_by_name(index: Index) -> None:
    need(index)
    gallery = pooled("dbcae", [[0.6, 0.8], [1, 0], [0.6, 0.8], [0, 1], [1, 0]])
    found = nearest(pooled("q", [[1, 0]]), gallery, "cosine", 4, index=index)
    assert named(found, gallery) == [[(1, "b"), (1, "e"), (0.6, "c"), (0.6, "d")]]
    assert found.indices_Qk.tolist() == [[1, 4, 2, 0]]


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("k", [1, 7, 200])
def test_both_indices_give_what_sorting_gives(index: Index, exclude_self: bool, k: int) -> None:
    need(index)
    videos, others = many(90), many(40, seed=1, name="w")
    for queries in (videos, others):
        found = nearest(queries, videos, "cosine", k, exclude_self=exclude_self, index=index)
        assert named(found, videos) == by_sorting(queries, videos, "cosine", k, exclude_self)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory_mb", [256, 0.01])
def test_every_kind_and_any_memory_give_what_sorting_gives(kind: Kind, memory_mb: float) -> None:
    videos = described(ragged())
    found = nearest(videos, videos, kind, 5, exclude_self=True, memory_mb=memory_mb, index="exact")
    expected = by_sorting(videos, videos, kind, 5, True)
    for mine, theirs in zip(named(found, videos), expected, strict=True):
        assert [name for _, name in mine] == [name for _, name in theirs]
        np.testing.assert_allclose([v for v, _ in mine], [v for v, _ in theirs], atol=1.1e-5)


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("memory_mb", [256, 0.01])
def test_more_copies_than_candidates_still_come_by_name(index: Index, memory_mb: float) -> None:
    need(index)
    rng = np.random.default_rng(0)
    names = [f"{number:03}" for number in rng.permutation(300)]
    videos = described([(name, np.array([[1.0, 2.0]])) for name in names])
    found = nearest(
        videos, videos, "cosine", 3, exclude_self=True, memory_mb=memory_mb, index=index
    )
    for query, row in zip(names, named(found, videos), strict=True):
        expected = [name for name in ("000", "001", "002", "003") if name != query][:3]
        assert row == [(1, name) for name in expected]


@pytest.mark.parametrize("kind", KINDS)
def test_copies_stand_by_name_wherever_they_are(kind: Kind) -> None:
    (_, rows), *others = ragged()
    gallery = described([("z", rows), *others, ("a", rows), *ragged(seed=3, name="w"), ("m", rows)])
    found = nearest(described([("q", rows[::-1])]), gallery, kind, 3, index="exact")
    assert named(found, gallery) == [[(1, "a"), (1, "m"), (1, "z")]]


def test_a_query_leaves_out_only_itself() -> None:
    gallery = pooled("abc", [[1, 0], [1, 0], [0, 1]])
    queries = pooled("bx", [[1, 0], [0, 1]])
    found = nearest(queries, gallery, "cosine", 9, exclude_self=True)
    assert named(found, gallery) == [[(1, "a"), (0, "c")], [(1, "c"), (0, "a"), (0, "b")]]
    assert found.indices_Qk[0].tolist() == [0, 2, -1]
    assert found.values_Qk[0, 2] == -torch.inf


def test_a_video_alone_has_no_neighbour() -> None:
    one = pooled("a", [[1, 0]])
    assert nearest(one, one, "cosine", 5, exclude_self=True).indices_Qk.shape == (1, 0)
    assert nearest(one, one, "cosine", 5).indices_Qk.tolist() == [[0]]


def test_faiss_is_taken_from_a_size_on_and_only_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("faiss", reason="needs wtal[faiss]")
    videos = many(30)
    loaded: list[int] = []
    load = search._load_faiss

    def counting() -> Any:
        loaded.append(1)
        return load()

    monkeypatch.setattr(search, "_load_faiss", counting)
    nearest(videos, videos, "cosine", 3)
    assert not loaded
    monkeypatch.setattr(search, "_FAISS_FROM", 900)
    nearest(videos, videos, "symmetric", 3)
    nearest(videos, videos, "cosine", 3, index="exact")
    assert not loaded
    nearest(videos, videos, "cosine", 3)
    assert loaded
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    loaded.clear()
    nearest(videos, videos, "cosine", 3)
    assert not loaded


def test_wrong_wishes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = described(ragged((2, 3)))
    with pytest.raises(FeatureError, match="k is 0; expected at least 1"):
        nearest(videos, videos, "cosine", 0)
    with pytest.raises(FeatureError, match="no index 'annoy'; there are auto, exact, faiss"):
        nearest(videos, videos, "cosine", 1, index="annoy")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="faiss is for the kind cosine"):
        nearest(videos, videos, "chamfer", 1, index="faiss")
    with pytest.raises(FeatureError, match="Queries have 12 dimensions, the gallery 3"):
        nearest(videos, described(ragged((2,), dim=3)), "cosine", 1)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(FeatureError, match=r"pip install 'wtal\[faiss\]'"):
        nearest(videos, videos, "cosine", 1, index="faiss")
