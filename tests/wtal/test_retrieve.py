"""`wtal retrieve`: neighbours, near-duplicates, suggested tags, and scores, on toy stores."""

import csv
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.synthetic import make_store
from wtal.cli import app
from wtal.retrieval import Words, loading, run, scoring, searching
from wtal.retrieval.loading import taken
from wtal_features import FeatureError, Tags, open_store, read_tags, write_tags
from wtal_features.files import atomic_write
from wtal_features.retrieval.aggregator import TCA
from wtal_features.retrieval.context import ContextAbout, ContextModel, save_context
from wtal_features.retrieval.search import nearest
from wtal_features.retrieval.similarity import KINDS, Kind, described

Rows = NDArray[np.float32]
TIME = ("--fps", 25, "--stride", 16)


def wtal(*words: object, code: int = 0) -> str:
    """Run `wtal retrieve`; everything it printed."""
    result = CliRunner().invoke(app, ["retrieve", *(str(word) for word in words)])
    assert result.exit_code == code, result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def sentence(*words: object) -> str:
    lines = [line for line in wtal(*words, code=1).splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def results_of(path: Path) -> dict[str, list[tuple[str, float]]]:
    held: dict[str, Any] = json.loads(path.read_text())["results"]
    return {query: [(video, value) for video, value in ranked] for query, ranked in held.items()}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path)[0]


def save(folder: Path, **videos: Rows) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in videos.items():
        np.save(folder / f"{name}.npy", rows.astype(np.float32))
    return folder


def noise(T: int, seed: int, dim: int = 16) -> Rows:
    rows: Rows = np.random.default_rng(seed).normal(size=(T, dim)).astype(np.float32)
    return rows


def centred(store: Path) -> dict[str, Rows]:
    opened = open_store(store)
    rows = {video: opened.read(video).astype(np.float64) for video in opened.videos}
    mean = np.concatenate(list(rows.values())).mean(0)
    return {video: (x - mean).astype(np.float32) for video, x in rows.items()}


def unit(rows: Rows) -> Rows:
    scaled: Rows = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return scaled


def chamfer(query: Rows, video: Rows) -> float:
    return float((unit(query) @ unit(video).T).max(1).mean())


ALIKE: dict[str, Callable[[Rows, Rows], float]] = {
    "cosine": lambda q, v: float(unit(q.mean(0)) @ unit(v.mean(0))),
    "chamfer": chamfer,
    "symmetric": lambda q, v: (chamfer(q, v) + chamfer(v, q)) / 2,
}


@pytest.mark.parametrize("kind", list(ALIKE))
def test_the_nearest_of_centred_rows_come_first_and_a_video_is_not_its_own_neighbour(
    store: Path, tmp_path: Path, kind: str
) -> None:
    said = wtal(store, "--by", kind, "-k", 4, "--out", tmp_path / "ranked.json")
    videos, found = centred(store), results_of(tmp_path / "ranked.json")
    assert found.keys() == videos.keys()
    for query, ranked in found.items():
        values = {v: ALIKE[kind](videos[query], videos[v]) for v in videos if v != query}
        expected = sorted(values, key=lambda v: -values[v])[:4]
        assert [video for video, _ in ranked] == expected
        assert [value for _, value in ranked] == pytest.approx(
            [values[v] for v in expected], abs=2e-5
        )
    assert f"nearest, by {kind}" in said
    assert "and 8 more; -v shows all" in said
    assert json.loads((tmp_path / "ranked.json").read_text())["kind"] == kind


def test_queries_ranked_in_parts_are_ranked_the_same(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wtal(store, "--out", tmp_path / "whole.json")
    monkeypatch.setattr(searching, "PART", 5)
    wtal(store, "--out", tmp_path / "parts.json")
    assert results_of(tmp_path / "parts.json") == results_of(tmp_path / "whole.json")


def test_a_query_may_be_one_file_and_its_piece_is_found_in_the_whole(
    store: Path, tmp_path: Path
) -> None:
    piece = save(tmp_path / "pieces", piece=np.load(store / "video_007.npy")[5:15])
    wtal(piece / "piece.npy", store, "--by", "chamfer", "--out", tmp_path / "found.json")
    found = results_of(tmp_path / "found.json")["piece"]
    assert found[0][0] == "video_007"
    assert found[0][1] == pytest.approx(1, abs=1e-5)
    assert found[1][1] < 0.9


def test_a_query_may_be_a_video_of_the_gallery(store: Path, tmp_path: Path) -> None:
    wtal(store, "--out", tmp_path / "all.json")
    wtal("video_003", store, "--out", tmp_path / "one.json")
    one = results_of(tmp_path / "one.json")
    assert one == {"video_003": results_of(tmp_path / "all.json")["video_003"]}


def test_copies_are_alike_in_galleries_that_are_too_small_to_be_centred(tmp_path: Path) -> None:
    a, out = noise(20, 0) + 3, tmp_path / "r.json"
    two = save(tmp_path / "two", a=a, b=a.copy())
    one, copy = save(tmp_path / "one", a=a), save(tmp_path / "copy", copy=a) / "copy.npy"
    for words in ((two, *TIME), (copy, one, *TIME)):
        said = wtal(*words, "--by", "cosine", "--out", out)
        assert [ranked[0][1] for ranked in results_of(out).values()] == pytest.approx(
            [1] * len(results_of(out))
        )
        assert "has fewer than 4 videos: rows are not centred" in said
    different = save(tmp_path / "different", a=a, b=noise(20, 1) + 3)
    wtal(different, *TIME, "--by", "cosine", "--out", out)
    assert results_of(out)["a"][0][1] > 0.9  # not -1, as of any two that are centred
    four = save(tmp_path / "four", **{f"v{i}": noise(20, i) + 3 for i in range(4)})
    assert "not centred" not in wtal(four, *TIME, "--by", "cosine", "--out", out)
    assert results_of(out)["v0"][-1][1] < 0


def test_a_gallery_that_broken_videos_make_small_is_not_centred(tmp_path: Path) -> None:
    store = save(tmp_path / "s", **{f"v{i}": noise(20, 0) for i in range(4)})
    (store / "v3.npy").write_bytes(b"")
    said = wtal(store, *TIME, "--out", tmp_path / "r.json", "--keep-going")
    assert "rows are not centred" in said
    assert results_of(tmp_path / "r.json")["v0"][0][1] == pytest.approx(1)
    words = (store, "--duplicates", tmp_path / "d.csv", "--keep-going")
    assert "give --above with --duplicates" in sentence(*words)
    wtal(*words, "--above", 0.9)
    assert len(rows_of(tmp_path / "d.csv")) == 3


def test_near_duplicates_of_few_videos_or_refined_rows_need_a_threshold(tmp_path: Path) -> None:
    store = save(tmp_path / "s", a=noise(20, 0), b=noise(20, 0), c=noise(20, 1))
    words = ("--duplicates", tmp_path / "d.csv")
    said = sentence(store, *words)
    assert f"{store} has fewer than 4 videos, so that rows are not centred" in said
    wtal(store, *words, "--above", 0.9)
    assert [row["video"] for row in rows_of(tmp_path / "d.csv")] == ["a", "b"]
    save(store, d=noise(20, 2))
    wtal(store, *words)
    assert [row["video"] for row in rows_of(tmp_path / "d.csv")] == ["a", "b"]
    network = TCA(16, 4, 16, generator=torch.Generator().manual_seed(0))
    save_context(tmp_path / "tca.safetensors", ContextModel(network, None, ContextAbout(4)))
    refined = (store, *words, "--model", tmp_path / "tca.safetensors")
    assert "The default of --above was not set for the rows of a --model" in sentence(*refined)
    wtal(*refined, "--above", 0.999)
    assert [row["video"] for row in rows_of(tmp_path / "d.csv")] == ["a", "b"]


def test_a_store_without_a_manifest_needs_no_time_base(store: Path, tmp_path: Path) -> None:
    bare = save(tmp_path / "bare", **{p.stem: np.load(p) for p in store.glob("*.npy")})
    words = ("--out", tmp_path / "r.json")
    wtal(store, *words)
    expected = results_of(tmp_path / "r.json")
    for more in ((), TIME, ("--fps", 30)):
        wtal(bare, *words, *more)
        assert results_of(tmp_path / "r.json") == expected
    for pair in ((bare, store), (store, bare), ("video_000", bare)):
        wtal(*pair, "-k", 1, *words)
    part = save(store / "features", a=noise(4, 0))
    assert "manifest.json exists: open that folder" in sentence(part)
    (part / "a.npy").unlink()
    part.rmdir()
    wtal(bare, store, "-k", 1, *words)
    assert all(ranked[0][0] == query for query, ranked in results_of(tmp_path / "r.json").items())


def test_many_rows_are_kept_as_bfloat16(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "bfloat16" not in wtal(store, "--out", tmp_path / "exact.json", "-k", 17)
    exact = results_of(tmp_path / "exact.json")
    opened = open_store(store)
    size = 4 * opened.dim * sum(map(opened.length, opened.videos))
    monkeypatch.setattr(loading, "LARGE", size)
    said = wtal(store, "--out", tmp_path / "half.json", "-k", 17)
    assert f"rows of 18 videos take {size / 1e9:.2g} GB; they are kept as bfloat16" in said
    half = results_of(tmp_path / "half.json")
    assert half != exact
    for query, ranked in exact.items():
        values = dict(half[query])
        assert [values[video] for video, _ in ranked] == pytest.approx(
            [value for _, value in ranked], abs=4e-3
        )
    monkeypatch.setattr(loading, "LARGE", size + 1)
    assert "bfloat16" not in wtal(store)
    monkeypatch.setattr(loading, "LARGE", 0)
    assert "bfloat16" not in wtal(store, "--by", "cosine")  # keeps no rows


def test_of_another_store_a_video_of_the_same_name_may_be_found(
    store: Path, tmp_path: Path
) -> None:
    other = save(tmp_path / "other", video_003=np.load(store / "video_003.npy"))
    wtal(other, store, *("--out", tmp_path / "ranked.csv"), "--fps", 25, "--stride", 16)
    first = rows_of(tmp_path / "ranked.csv")[0]
    assert (first["query"], first["rank"], first["video"]) == ("video_003", "1", "video_003")
    assert float(first["similarity"]) == pytest.approx(1, abs=1e-5)


def test_only_queries_of_a_subset_are_ranked_among_all(tmp_path: Path) -> None:
    store, tags, annotations = make_store(tmp_path)
    for labels in (("--tags", tags), ("--annotations", annotations)):
        wtal(store, "--subset", "test", *labels, "--out", tmp_path / "test.json", "-k", 17)
        found = results_of(tmp_path / "test.json")
        assert list(found) == [f"video_{i:03d}" for i in range(12, 18)]
        assert all(len(ranked) == 17 for ranked in found.values())
    said = sentence(store, "--subset", "val", "--tags", tags)
    assert "no video of subset 'val'; present: test, training" in said


def test_tagged_videos_that_the_store_lacks_are_a_notice(tmp_path: Path) -> None:
    store, tags, _ = make_store(tmp_path)
    (store / "manifest.json").unlink()
    (store / "video_012.npy").unlink()
    words = ("--subset", "test", "--tags", tags, "--out", tmp_path / "r.json")
    for gallery in ((), (save(tmp_path / "other", a=noise(4, 0)),)):
        said = wtal(store, *gallery, *words)
        assert f"1 of 6 videos of subset 'test' are not in {store}: video_012." in said
        assert list(results_of(tmp_path / "r.json")) == [f"video_{i:03d}" for i in range(13, 18)]
    said = sentence(tmp_path / "other", *words)
    assert f"None of 6 videos of subset 'test' is in {tmp_path / 'other'}: video_012" in said


def test_a_single_query_has_a_line_for_each_neighbour(store: Path) -> None:
    table = wtal("video_003", store, "-k", 5).splitlines()[1:]
    assert table[0] == "query      nearest, by symmetric"
    assert table[1].startswith("video_003  video_")
    assert [line[:11] for line in table[2:]] == [" " * 11] * 4
    assert [len(line.split()) for line in table[1:]] == [3, 2, 2, 2, 2]
    assert "nearest, by symmetric: the first 3 of 10" in wtal(store)
    assert "the first" not in wtal(store, "-k", 3)


def test_long_names_are_cut_in_the_table_alone(tmp_path: Path) -> None:
    names = ["v" * 39 + end for end in ("0", "12", "345678")]
    store = save(tmp_path / "s", **{name: noise(4, i) for i, name in enumerate(names)})
    said = wtal(store, "--out", tmp_path / "r.json")
    assert f"{names[0]}  {'v' * 39}… " in said
    assert names[1] not in said
    assert list(results_of(tmp_path / "r.json")) == names


def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path) -> None:
    store = save(tmp_path / "s", **{"-a": noise(5, 0), "=b": noise(5, 1), "c": noise(5, 2)})
    words = ("--duplicates", tmp_path / "d.csv", "--above", 0.9)
    wtal(store, *TIME, "--out", tmp_path / "r.csv", *words)
    cells = {cell for row in rows_of(tmp_path / "r.csv") for cell in row.values()}
    assert {"'-a", "'=b", "c"} <= cells


def test_a_context_model_refines_every_video(store: Path, tmp_path: Path) -> None:
    network = TCA(16, 4, 16, generator=torch.Generator().manual_seed(0))
    model = ContextModel(network, None, ContextAbout(4, "synthetic"))
    save_context(tmp_path / "tca.safetensors", model)
    wtal(
        *(store, "--model", tmp_path / "tca.safetensors", "--by", "cosine", "-k", 17),
        *("--out", tmp_path / "ranked.json"),
    )
    opened = open_store(store)
    pooled = {v: unit(model.refine(opened.read(v)).mean(0)) for v in opened.videos}
    for video, value in results_of(tmp_path / "ranked.json")["video_000"]:
        assert value == pytest.approx(float(pooled["video_000"] @ pooled[video]), abs=2e-5)


def test_a_model_of_another_store_is_refused(store: Path, tmp_path: Path) -> None:
    network = TCA(8, 4, 16, generator=torch.Generator())
    save_context(tmp_path / "tca.safetensors", ContextModel(network, None, ContextAbout(4)))
    said = sentence(store, "--model", tmp_path / "tca.safetensors")
    assert f"{store} has 16 dimensions; the context model takes 8" in said


# Near-duplicates.


def test_near_duplicates_are_grouped_with_the_most_alike_of_each(tmp_path: Path) -> None:
    a, b = noise(30, 0), noise(30, 1)
    store = save(
        tmp_path / "s", a=a, a2=a + 0.1 * noise(30, 2), a3=a + 0.3 * noise(30, 3), b=b, b2=b[::-1]
    )
    save(store, lone=noise(30, 4))
    said = wtal(store, *TIME, "--duplicates", tmp_path / "d.csv")
    found = [(r["group"], r["video"], r["most alike"]) for r in rows_of(tmp_path / "d.csv")]
    assert found == [
        ("1", "a", "a2"),
        ("1", "a2", "a"),
        ("1", "a3", "a"),
        ("2", "b", "b2"),
        ("2", "b2", "b"),
    ]
    assert "near-duplicates among 6 videos: 2 groups, 5 videos; by symmetric, from 0.85" in said
    wtal(store, *TIME, "--duplicates", tmp_path / "d.csv", "--above", 0.999)
    assert [row["video"] for row in rows_of(tmp_path / "d.csv")] == ["b", "b2"]


def test_a_piece_is_a_near_duplicate_by_chamfer_alone(tmp_path: Path) -> None:
    store = save(tmp_path / "s", whole=noise(40, 0), other=noise(40, 1), third=noise(40, 2))
    save(store, piece=noise(40, 0)[10:20])
    wtal(store, *TIME, "--by", "chamfer", "--duplicates", tmp_path / "d.csv")
    assert [row["video"] for row in rows_of(tmp_path / "d.csv")] == ["piece", "whole"]
    wtal(store, *TIME, "--by", "cosine", "--duplicates", tmp_path / "d.csv")
    assert rows_of(tmp_path / "d.csv") == []


def test_near_duplicates_between_stores_are_named_with_their_store(tmp_path: Path) -> None:
    new = save(tmp_path / "new", v=noise(20, 0), w=noise(20, 1))
    old = save(tmp_path / "old", v=noise(20, 2), w=noise(20, 0))
    wtal(new, old, *TIME, "--duplicates", tmp_path / "d.csv", "--above", 0.9)
    assert [row["video"] for row in rows_of(tmp_path / "d.csv")] == ["new/v", "old/w"]


def test_a_search_for_near_duplicates_shows_that_it_runs(tmp_path: Path) -> None:
    a, told = noise(30, 0), []
    store = save(tmp_path / "s", a=a, a2=a.copy(), a3=a.copy())

    @contextmanager
    def bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: told.append((title, done, total))

    words = Words(str(store), duplicates=tmp_path / "d.csv", above=0.9)
    run(words, torch.device("cpu"), bar=bar, show=lambda line: None)
    assert [one for one in told if one[0] == "comparing"] == [
        ("comparing", found, 0) for found in (1, 2, 3)
    ]


# Suggested tags.


def hide(tags: Path, out: Path, *videos: str) -> Path:
    """Tags without the lines of some videos."""
    whole = read_tags(tags)
    kept = {video: labels for video, labels in whole.labels.items() if video not in videos}
    write_tags(out, Tags(kept, {video: whole.subsets[video] for video in kept}))
    return out


def test_untagged_videos_get_the_tags_of_their_neighbours_and_training_takes_the_file(
    tmp_path: Path,
) -> None:
    store, tags, _ = make_store(tmp_path, train=18, strength=6.0)
    hidden = ("video_000", "video_001", "video_002")
    part, out = hide(tags, tmp_path / "part.csv", *hidden), tmp_path / "suggested.csv"
    said = wtal(store, "--tags", part, "--suggest", out, "-k", 3)
    truth, found = read_tags(tags), read_tags(out)
    assert found.labels == truth.labels
    assert found.subsets == truth.subsets  # they join those that voted
    assert {video for video, _ in found.confidences} == set(hidden)
    assert all(0.5 <= sure <= 1 for sure in found.confidences.values())
    assert "tags of 15 videos of training vote" in said
    assert "3 tags for 3 of 3 untagged videos, from --sure 0.5 on" in said
    (tmp_path / "config.yaml").write_text("")
    trained = CliRunner().invoke(
        app,
        [
            *("train", str(tmp_path / "config.yaml"), "-f", str(store), "--tags", str(out)),
            *("--out", str(tmp_path / "run"), "-o", "model.hidden_dim=8"),
            *("-o", "train.batch_size=4", "-o", "train.steps=1"),
        ],
    )
    assert trained.exit_code == 0, trained.output


def test_suggestions_that_are_not_sure_leave_a_video_as_it_was(tmp_path: Path) -> None:
    store, tags, _ = make_store(tmp_path)
    part = hide(tags, tmp_path / "part.csv", "video_000")
    said = wtal(store, "--tags", part, "--suggest", tmp_path / "out.csv", "--sure", 1)
    assert "0 tags for 0 of 1 untagged videos" in said
    assert read_tags(tmp_path / "out.csv") == read_tags(part)


def test_an_empty_label_stays_since_it_says_that_nothing_happens(tmp_path: Path) -> None:
    a = noise(20, 0)
    store = save(tmp_path / "s", a=a, a2=a.copy(), a3=a.copy())
    write_tags(tmp_path / "tags.csv", Tags({"a": ("A",), "a2": ()}))
    out = tmp_path / "out.csv"
    wtal(store, *TIME, "--tags", tmp_path / "tags.csv", "--suggest", out, "-k", 1)
    assert read_tags(out).labels == {"a": ("A",), "a2": (), "a3": ("A",)}
    write_tags(tmp_path / "tags.csv", Tags({"a": ("A",), "a2": (), "a3": ()}))
    words = (store, *TIME, "--tags", tmp_path / "tags.csv", "--suggest", out)
    assert "has a tag or an empty label" in wtal(*words, code=1)


def test_suggestions_have_no_vote_and_are_made_anew(tmp_path: Path) -> None:
    a, b = noise(20, 0), noise(20, 1)
    store = save(tmp_path / "s", a=a, a2=a + 0.1 * noise(20, 2), b=b, b2=b + 0.1 * noise(20, 3))
    wrong = Tags({"a": ("A",), "b": ("B",), "b2": ("A",)}, confidences={("b2", "A"): 0.9})
    write_tags(tmp_path / "tags.csv", wrong)
    words = (store, *TIME, "--suggest", tmp_path / "out.csv", "-k", 1, "--by", "cosine")
    wtal(*words, "--tags", tmp_path / "tags.csv")
    found = read_tags(tmp_path / "out.csv")
    assert found.labels == {"a": ("A",), "a2": ("A",), "b": ("B",), "b2": ("B",)}
    assert set(found.confidences) == {("a2", "A"), ("b2", "B")}
    # One that has none any more is not taken for background.
    stray = save(tmp_path / "t", a=a, b2=-a)
    write_tags(tmp_path / "tags.csv", Tags({"a": ("A",), "b2": ("A",)}, {}, (), {("b2", "A"): 0.9}))
    wtal(stray, *words[1:], "--tags", tmp_path / "tags.csv")
    assert read_tags(tmp_path / "out.csv").labels == {"a": ("A",)}


def test_tags_of_the_test_subset_have_no_vote(tmp_path: Path) -> None:
    a, b = noise(20, 0), noise(20, 1)
    store = save(tmp_path / "s", a=a, a2=a.copy(), b=b, new=a + 0.01)
    subsets = {"a": "training", "a2": "test", "b": "training"}
    write_tags(tmp_path / "tags.csv", Tags({"a": ("A",), "a2": ("Z",), "b": ("B",)}, subsets))
    words = (store, *TIME, "--tags", tmp_path / "tags.csv", "--suggest", tmp_path / "out.csv")
    assert "tags of 2 videos of training vote" in wtal(*words, "-k", 1)
    found = read_tags(tmp_path / "out.csv")
    assert (found.labels["new"], found.subsets["new"]) == (("A",), "training")


def name_subsets(store: Path, subsets: dict[str, str]) -> None:
    """Write them into the manifest."""
    manifest = json.loads((store / "manifest.json").read_text())
    for video, subset in subsets.items():
        manifest["videos"][video]["subset"] = subset
    (store / "manifest.json").write_text(json.dumps(manifest))


def test_videos_of_the_test_by_the_manifest_do_not_join_training(tmp_path: Path) -> None:
    store, tags, _ = make_store(tmp_path, train=18, strength=6.0)
    name_subsets(store, {"video_000": "Training", "video_018": "test", "video_019": "test"})
    hidden = ("video_000", "video_001", "video_018", "video_019")
    part, out = hide(tags, tmp_path / "part.csv", *hidden), tmp_path / "out.csv"
    said = wtal(store, "--tags", part, "--suggest", out, "-k", 3)
    assert read_tags(out).labels == read_tags(tags).labels
    assert read_tags(out).subsets == read_tags(tags).subsets
    assert "2 of them had no line and join training" in said
    assert "2 had none and keep the subset of the manifest" in said


def test_where_tags_name_no_subset_the_manifest_tells_what_must_not_be_trained_on(
    tmp_path: Path,
) -> None:
    store, tags, _ = make_store(tmp_path, train=18, strength=6.0)
    names = [f"video_{i:03d}" for i in range(24)]
    labels = {name: read_tags(tags).labels[name] for name in names[1:18]}
    write_tags(tmp_path / "part.csv", Tags(labels))
    words = (store, "--tags", tmp_path / "part.csv", "--suggest", tmp_path / "out.csv", "-k", 3)
    said = wtal(*words)  # nothing is known: all join
    assert list(read_tags(tmp_path / "out.csv").labels) == names
    assert "7 of them had no line and join the tagged ones" in said
    name_subsets(store, {n: "training" if i < 18 else "test" for i, n in enumerate(names)})
    said = wtal(*words)
    assert list(read_tags(tmp_path / "out.csv").labels) == names[:18]
    assert "1 of them had no line and join the tagged ones" in said
    assert "6 get none: the manifest counts them among other subsets" in said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exclude_self", [False, True])
def test_some_among_some_in_small_pieces_are_found_as_in_a_copy(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, exclude_self: bool
) -> None:
    rows = [noise(5 + i % 3, i % 7) for i in range(12)]  # some are equal: ties, by name
    videos = described((f"v{(5 * i) % 12:02d}", each) for i, each in enumerate(rows))
    asking, among = [0, 3, 4, 9, 11], [1, 2, 4, 7, 8, 9, 11]
    expected = nearest(
        *(taken(videos, asking), taken(videos, among), kind, 3), exclude_self=exclude_self
    )
    monkeypatch.setattr(searching, "PART", 2)
    for copied in (1, 4 * 16 * 14, 10**9):
        monkeypatch.setattr(searching, "COPIED", copied)
        told: list[tuple[int, int]] = []
        found = searching.neighbours(
            *(videos, videos, kind, 3),
            exclude_self=exclude_self,
            progress=lambda *at, told=told: told.append(at),
            asking=asking,
            among=among,
        )
        assert torch.equal(found.indices_Qk, expected.indices_Qk)
        assert torch.allclose(found.values_Qk, expected.values_Qk, atol=1.1e-5)
        assert told == sorted(told)
        assert told[-1] == (5, 5)


def test_no_piece_that_is_copied_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = described((f"v{i}", noise(6, i)) for i in range(10))
    monkeypatch.setattr(searching, "COPIED", 4 * 16 * 13)
    copies = []
    original = torch.cat

    def cat(tensors: list[torch.Tensor], dim: int = 0) -> torch.Tensor:
        joined = original(tensors, dim)
        copies.append(len(joined) if joined.shape[-1:] == (16,) else 0)
        return joined

    monkeypatch.setattr(torch, "cat", cat)
    for among, most in (([0, 1, 3, 4, 5, 7, 8, 9], 12), (range(10), 0), (range(3, 9), 0)):
        copies.clear()
        searching.neighbours(
            *(videos, videos, "chamfer", 2),
            exclude_self=False,
            progress=lambda done, total: None,
            among=among,
        )
        assert max(copies) == most


def test_annotations_serve_as_tags_and_the_gallery_may_be_another_store(tmp_path: Path) -> None:
    store, _, annotations = make_store(tmp_path)
    new = save(tmp_path / "new", fresh=np.load(store / "video_004.npy") + 0.01)
    words = (new, store, "--annotations", annotations, "--suggest", tmp_path / "out.csv")
    wtal(*words, *TIME, "-k", 1)
    found = read_tags(tmp_path / "out.csv")
    assert found.labels["fresh"] == found.labels["video_004"] == ("Run",)
    assert found.confidences == {("fresh", "Run"): 1.0}
    assert len(found.labels) == 19


def test_what_leaves_nothing_to_suggest_is_refused(tmp_path: Path) -> None:
    store, tags, _ = make_store(tmp_path)
    words = ("--tags", tags, "--suggest", tmp_path / "out.csv")
    assert f"Every video of {store} has a tag" in sentence(store, *words)
    other = save(tmp_path / "other", x=noise(5, 0))
    said = sentence(other, *TIME, *words)
    assert f"{tags} tags no video of {other} that may vote; tagged are video_000" in said
    assert not (tmp_path / "out.csv").exists()


# Scores.


def test_a_ranking_is_scored_and_ranks_all_whatever_is_shown(store: Path, tmp_path: Path) -> None:
    same = {f"video_{i:03d}": [f"video_{j:03d}" for j in range(i % 3, 18, 3)] for i in range(18)}
    (tmp_path / "truth.json").write_text(json.dumps(same))
    said = wtal(
        *(store, "--truth", tmp_path / "truth.json", "--protocol", "pairs", "-k", 1),
        *("--out", tmp_path / "all.json"),
    )
    assert "18 of 18 queries are ranked; 18 videos" in said
    score = next(line for line in said.splitlines() if line.startswith("pairs "))
    assert float(score.split()[1]) > 60  # chance is about 35
    assert "video_000  video_" in said
    assert "warning" not in said
    assert {len(ranked) for ranked in results_of(tmp_path / "all.json").values()} == {18}


def test_only_queries_of_the_truth_are_ranked_and_written(store: Path, tmp_path: Path) -> None:
    asked = ["video_002", "video_009", "video_011"]
    everything = {f"video_{i:03d}": ["video_004"] for i in range(18)}
    for name, truth in (("all", everything), ("some", {query: ["video_004"] for query in asked})):
        (tmp_path / "truth.json").write_text(json.dumps(truth))
        for kind in KINDS:
            said = wtal(
                *(store, "--truth", tmp_path / "truth.json", "--protocol", "pairs"),
                *("--by", kind, "-k", 2, "--out", tmp_path / f"{name}-{kind}.json"),
            )
    for kind in KINDS:
        some = results_of(tmp_path / f"some-{kind}.json")
        whole = results_of(tmp_path / f"all-{kind}.json")
        assert some == {query: whole[query] for query in asked}
        wtal(store, "--by", kind, "-k", 17, "--out", tmp_path / "plain.json")
        for query, ranked in results_of(tmp_path / "plain.json").items():
            assert [pair for pair in whole[query] if pair[0] != query] == ranked
    assert "3 of 3 queries are ranked; 18 videos" in said
    table = said[said.index("query ") :].splitlines()
    assert [line.split()[0] for line in table[1:4]] == asked
    assert all(line.split()[1] != line.split()[0] for line in table[1:4])


def test_a_truth_that_cannot_be_used_is_told_before_anything_is_read(
    store: Path, tmp_path: Path
) -> None:
    for path in store.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:200])  # the headers alone can be read
    truth = tmp_path / "truth.json"
    words = (store, "--truth", truth, "--protocol", "pairs")
    assert "truth.json" in sentence(*words)
    truth.write_text('{"video_001": 3}')
    assert "is 3, expected a list of names" in sentence(*words)
    truth.write_text('{"other": ["video_001"], "another": []}')
    said = sentence(*words)
    assert f"None of the 2 queries of {truth} is among the 18 videos of {store}" in said
    truth.write_text('{"video_001": ["video_000"]}')
    assert "of 18 videos of" in sentence(*words)


def test_a_query_of_the_truth_that_is_broken_is_missing_or_leaves_nothing(
    store: Path, tmp_path: Path
) -> None:
    (store / "video_002.npy").write_bytes(b"broken")
    truth = tmp_path / "truth.json"
    truth.write_text('{"video_002": ["video_000"], "video_003": ["video_000"]}')
    words = (store, "--truth", truth, "--protocol", "pairs")
    said = wtal(*words, "--keep-going")
    assert "1 of 2 queries are ranked; 17 videos" in said
    assert "1 query of the truth is not ranked and is left out of the mean: 'video_002'" in said
    truth.write_text('{"video_002": ["video_000"]}')
    assert "None of the queries of the truth can be read" in sentence(*words)


def test_a_scored_pair_takes_few_bytes(tmp_path: Path) -> None:
    Q, G = 40, 1000
    gallery = described(((f"v{i}", noise(1, i)) for i in range(G)), frames=False)
    loaded = loading.Loaded(gallery, gallery, True, {})
    asked = frozenset(gallery.names[:Q])
    truth = {query: ["v1", "v2"] for query in asked}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    words = Words("store", truth=tmp_path / "truth.json", protocol="pairs")
    tracemalloc.start()
    try:
        scored = scoring.compare(loaded, "cosine", asked, lambda done, total: None)
        scored.cut(10, same=True)
        scored.write(tmp_path / "out.csv")
        scored.write(tmp_path / "out.json")
        said = scored.text(words)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "40 of 40 queries are ranked; 1000 videos" in said
    assert peak < 40 * Q * G  # as names and numbers, 185 bytes of each pair
    assert len(rows_of(tmp_path / "out.csv")) == Q * G


# What cannot be read, and what cannot be meant.


def test_a_broken_video_is_named_and_the_others_are_ranked(store: Path, tmp_path: Path) -> None:
    (store / "video_002.npy").write_bytes(b"broken")
    words = (store, "--by", "cosine", "--out", tmp_path / "r.json", "-k", 17)
    said = wtal(*words, code=1)
    assert "1 video was skipped:" in said
    assert "video_002: " in said
    found = results_of(tmp_path / "r.json")
    assert "video_002" not in found
    assert all(len(ranked) == 16 for ranked in found.values())
    wtal(*words, "--keep-going")
    said = sentence("video_002", store)
    assert f"None of 1 videos of {store} can be read. The first: " in said


def test_a_video_whose_name_cannot_be_used_is_named(store: Path, tmp_path: Path) -> None:
    np.save(store / "a:b.npy", noise(4, 0))
    words = (store, "--by", "cosine", "--out", tmp_path / "r.json")
    said = wtal(*words, code=1)
    assert "1 video was skipped:" in said
    assert "a:b" in said
    assert len(results_of(tmp_path / "r.json")) == 18
    wtal(*words, "--keep-going")
    other = save(tmp_path / "other", x=noise(4, 1))
    assert "a:b" in wtal(other, store, code=1)
    assert "a:b" in wtal("video_000", store, code=1)


def test_a_file_that_cannot_be_put_in_its_place_is_named_as_it_was_wanted(tmp_path: Path) -> None:
    (tmp_path / "wanted").mkdir()
    with (
        pytest.raises(FeatureError, match=r"wanted cannot be written: Is a directory"),
        atomic_write(tmp_path / "wanted") as handle,
    ):
        handle.write(b"text")
    assert [path.name for path in tmp_path.iterdir()] == ["wanted"]


def test_a_store_without_a_readable_video_is_one_sentence(tmp_path: Path) -> None:
    store = save(tmp_path / "s", a=noise(4, 0), b=noise(4, 1))
    for name in "ab":
        (store / f"{name}.npy").write_bytes(b"")
    assert "error: " in sentence(store, *TIME)


def test_one_video_has_no_neighbour(tmp_path: Path) -> None:
    store = save(tmp_path / "s", only=noise(4, 0))
    words = ("--duplicates", tmp_path / "d.csv", "--above", 0.9)
    said = wtal(store, *TIME, "--out", tmp_path / "r.json", *words)
    assert "only   none" in said
    assert results_of(tmp_path / "r.json") == {"only": []}
    assert rows_of(tmp_path / "d.csv") == []


def test_videos_of_one_row_are_compared(tmp_path: Path) -> None:
    store = save(tmp_path / "s", a=noise(1, 0), b=noise(1, 1), c=noise(1, 0) * 2)
    for kind in ALIKE:
        wtal(store, *TIME, "--by", kind, "--out", tmp_path / "r.json")
        assert results_of(tmp_path / "r.json")["a"][0][0] == "c"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody",), "nobody does not exist; expected a feature store. If it is a video or one"),
        (("{store}/video_000.npy",), "video_000.npy is no folder; expected a feature store. If"),
        (("video_000",), "array, give the store to search as the second argument."),
        (("{store}", "--out", "{store}"), "--out is {store}, a folder; expected the name of a fi"),
        (("{store}", "--duplicates", "no/d.csv"), "--duplicates is no/d.csv; make the folder no f"),
        (("{store}", "--duplicates", "d.json"), "--duplicates is d.json; expected a name that en"),
        (("{store}", "--out", "a.csv", "--duplicates", "a.csv"), "--out and --duplicates are bot"),
        (
            ("{store}", "--suggest", "t.csv", "--tags", "./t.csv"),
            "--tags and --suggest are both t.csv; choose another name.",
        ),
        (("nobody", "{store}"), "'nobody' is no folder, no .npy file and no video of {store}"),
        (("no.npy", "{store}"), "no.npy"),
        (("{store}", "--by", "cosin"), "--by is 'cosin'; expected cosine, chamfer, symmetric."),
        (("{store}", "--above", "0.9"), "--above goes with --duplicates FILE.csv"),
        (("{store}", "--duplicates", "d.csv", "--above", "2"), "--above is 2; expected a number"),
        (("{store}", "--sure", "0.9"), "--sure goes with --suggest FILE.csv"),
        (("{store}", "--suggest", "s.csv"), "--suggest needs the tags there are"),
        (("{store}", "--tags", "t.csv"), "--tags and --annotations go with --suggest or --subset"),
        (("{store}", "--truth", "t.json"), "--truth FILE and --protocol go together; protocols"),
        (("{store}", "--truth", "t", "--protocol", "x"), "--protocol is 'x'; expected one of fivr"),
        (("{store}", "--out", "ranked.txt"), "--out is ranked.txt; expected a name that ends in"),
        (("video_000", "{store}", "--subset", "x"), "--subset chooses among the videos of a store"),
        (("{store}", "--subset", "x"), "manifest.json has no video of subset 'x'; present: none"),
        (("{store}", "{store}/none"), "{store}/none does not exist"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    store: Path, words: tuple[str, ...], said: str
) -> None:
    filled = [word.format(store=store) for word in words]
    assert said.format(store=store) in sentence(*filled)


def test_stores_of_other_dimensions_or_encoders_are_refused(store: Path, tmp_path: Path) -> None:
    narrow = save(tmp_path / "narrow", a=noise(4, 0, dim=8))
    said = sentence(narrow, store, *TIME)
    assert f"{narrow} has 8 dimensions, {store} 16. Compare features of one encoder." in said
    assert f"{narrow / 'a.npy'} has 8 dimensions" in sentence(narrow / "a.npy", store)
    other = make_store(tmp_path / "other")[0]
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"encoder": "another"}))
    assert "comes from the encoder 'another'" in sentence(other, store)
