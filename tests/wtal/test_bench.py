"""The benchmarks: what they claim about products and loops is true; times are not asserted."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from wtal import bench
from wtal.bench import lengths, localize, nms, plain, step
from wtal.bench.rows import Plan
from wtal.errors import WtalError
from wtal.localize import LocalizeConfig, VideoScores
from wtal_eval.nms import hard_nms
from wtal_eval.soft_nms import soft_nms

KEYS = ["name", "value", "unit", "reference", "reference_value"]
KEYS += ["ratio", "repeats", "spread", "machine"]
CONVOLUTIONS = ("conv1", "conv2")


STARTS_PROCESSES = ("eval", "memory", "step", "chamfer")
OF_VIDEOS = ("extract", "motion", "video-memory")  # see test_bench_extraction.py
BY_PIECE = [
    pytest.param(name, marks=[pytest.mark.slow] if name in STARTS_PROCESSES else [])
    for name in bench.PIECES
    if name not in OF_VIDEOS
]


class CountProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums 2 m k n over every matrix product, in-place ones and gradients included."""

    PLACES = {"aten::mm": 0, "aten::addmm": 1, "aten::addmm_": 1}  # noqa: RUF012 - a constant
    flop = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        place = self.PLACES.get(func._schema.name)
        if place is not None:
            a, b = args[place : place + 2]
            self.flop += 2 * a.shape[0] * a.shape[1] * b.shape[1]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("piece", BY_PIECE)
def test_every_piece_gives_rows_with_their_reference(piece: str, tmp_path: Path) -> None:
    rows = list(bench.run([piece], repeats=1, quick=True, quiet=True))
    bench.write_rows(tmp_path / "bench.json", rows)
    read = json.loads((tmp_path / "bench.json").read_text())
    assert read
    for row in read:
        assert list(row) == KEYS
        assert row["name"].startswith(piece)
        assert row["ratio"] == row["value"] / row["reference_value"] > 0
        assert row["spread"][0] <= row["value"] <= row["spread"][1]
        assert row["repeats"] >= 1
        assert "torch" in row["machine"]
    assert len({(row["name"], row["reference"]) for row in read}) == len(read)


def test_measured_and_reference_alternate_after_a_warm_up() -> None:
    turns: list[str] = []

    def work(name: str, value: float) -> dict[str, float]:
        turns.append(name)
        return {"x": value * len(turns)}

    plan = Plan(repeats=3, quick=True, machine="m", quiet=True)
    works = {"a": lambda: work("a", 1), "b": lambda: work("b", 2)}
    taken = plan.alternate(works, label="test")
    assert turns == ["a", "b"] * 4
    assert taken == {"a": {"x": [3, 5, 7]}, "b": {"x": [8, 12, 16]}}
    row = plan.row("n", "s", taken["a"]["x"], "r", taken["b"]["x"])
    assert (row.value, row.reference_value, row.ratio) == (5, 12, 5 / 12)
    assert (row.spread, row.repeats) == ((3, 7), 3)


def test_an_unknown_piece_and_no_repeats_are_refused() -> None:
    with pytest.raises(WtalError, match="no benchmark 'speed'; there are help, localize"):
        bench.run(["speed"])
    with pytest.raises(WtalError, match="--repeats is 0"):
        bench.run(["nms"], repeats=0)


@pytest.mark.parametrize(("released", "count", "published"), [(False, 24, 2416), (True, 33, 3322)])
def test_the_convolutions_take_the_published_flops(
    released: bool, count: int, published: float
) -> None:
    listed = step.products(step.PUBLISHED, released=released)
    total = step.gflop(listed, *CONVOLUTIONS)
    closed = count * 2e-9 * step.PUBLISHED.rows * 2048**2
    assert total == pytest.approx(closed)
    assert total == pytest.approx(published, rel=0.01)
    # Filter and classifier: 2 N D S and 3 N S; 2 branches of 3 products with C + 1 columns.
    small = 2e-9 * step.PUBLISHED.rows * (2 * 2048 * 512 + 3 * 512 + 6 * 2048 * 21)
    assert step.gflop(listed) == pytest.approx(closed + small)


def test_the_listed_products_are_those_that_a_step_does() -> None:
    shape = step.Shape(B=2, T=100, D=8, C=3)
    run = step.training_step(shape, "fp32")
    with CountProducts() as counted:  # type: ignore[no-untyped-call]
        run()
    # Two taps in three of conv2 leave out one row of 203.
    assert counted.flop * 1e-9 == pytest.approx(step.gflop(step.products(shape)), rel=0.01)
    run = step.products_alone(step.products(shape), torch.float32)
    with CountProducts() as counted:  # type: ignore[no-untyped-call]
        run()
    assert counted.flop * 1e-9 == pytest.approx(step.gflop(step.products(shape)))


@pytest.mark.parametrize("kind", ["y", "dx", "dw"])
def test_operands_have_the_shapes_and_the_memory_order_of_the_step(kind: str) -> None:
    product = step.Product("conv", kind, m=5, k=4, n=3, count=1)
    a, b = product.operands(torch.float32, torch.Generator().manual_seed(0))
    assert (a @ b).shape == (5, 3)
    assert a.is_contiguous() == (kind != "dw")
    assert b.is_contiguous() == (kind != "dx")


def test_drawn_lengths_have_the_median_and_the_tail_of_the_data_set() -> None:
    drawn = lengths.draw_lengths(20_000, np.random.default_rng(0))
    assert np.median(drawn) == pytest.approx(lengths.MEDIAN, rel=0.03)
    assert np.mean(drawn > 750) == pytest.approx(lengths.SHARE_ABOVE_750, abs=0.01)


def check_against_the_localizer(config: LocalizeConfig, video: VideoScores) -> None:
    localizer = localize.make_localizer(config)
    ours = localizer.segments(video, localize.SECONDS_PER_SNIPPET)
    loop = localize.loop_segments(localizer, video)
    assert [localizer.classes[c] for c, *_ in loop] == list(ours.labels)
    segments_N3 = np.stack([ours.starts_N, ours.ends_N, ours.scores_N], axis=1)
    np.testing.assert_allclose(
        np.array([row[1:] for row in loop]).reshape(-1, 3), segments_N3, atol=1e-5
    )


@pytest.mark.parametrize("kind", localize.NMS_KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_plain_loop_finds_the_segments_of_the_localizer(
    kind: Literal["soft", "hard"], seed: int
) -> None:
    for video in localize.make_scores(3, 120, localize.one_to_three, seed):
        check_against_the_localizer(LocalizeConfig(nms=kind), video)


@pytest.mark.parametrize("T", [1, 2, 5])
def test_the_plain_loop_agrees_on_short_videos(T: int) -> None:
    config = LocalizeConfig(class_threshold=0.0, upsample=7, thresholds=(0.0, 0.3, 0.9))
    for video in localize.make_scores(3, T, lambda _: 2):
        check_against_the_localizer(config, video)


def test_the_plain_loop_agrees_where_activations_are_negative_or_flat() -> None:
    (video,) = localize.make_scores(1, 60, lambda _: 3)
    cas_TC = video.cas_TC - 20
    cas_TC[:, ::2] = 0.5
    config = LocalizeConfig(class_threshold=0.0)
    check_against_the_localizer(config, video._replace(cas_TC=cas_TC))


@pytest.mark.parametrize("kind", localize.NMS_KINDS)
def test_the_timed_stages_keep_as_many_segments_as_the_localizer(
    kind: Literal["soft", "hard"],
) -> None:
    localizer = localize.make_localizer(LocalizeConfig(nms=kind))
    for video in localize.make_scores(5, 100, lambda _: 2):
        result = None
        for stage in localize.our_stages(localizer):
            result = stage(video, result)
        whole = localizer.segments(video, localize.SECONDS_PER_SNIPPET)
        assert len(result) == len(whole.labels) > 0  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", nms.THRESHOLDS)
def test_the_plain_hard_loop_keeps_what_hard_nms_keeps(threshold: float) -> None:
    segments = nms.make_segments(1, 300, 100.0, np.random.default_rng(0))
    starts_N, ends_N, scores_N = next(nms.by_group(segments))
    kept = hard_nms(starts_N, ends_N, scores_N, threshold=threshold)
    assert plain.hard_nms(starts_N, ends_N, scores_N, threshold) == kept.tolist()


def test_the_plain_soft_loop_picks_what_soft_nms_picks() -> None:
    segments = nms.make_segments(1, 300, 100.0, np.random.default_rng(0))
    starts_N, ends_N, scores_N = next(nms.by_group(segments))
    ids, scores = soft_nms(starts_N, ends_N, scores_N, sigma=0.5, min_score=0.1)
    picked, lowered = plain.soft_nms(starts_N, ends_N, scores_N, sigma=0.5, min_score=0.1)
    assert picked == ids.tolist()
    np.testing.assert_allclose(lowered, scores)


def test_the_segments_are_made_as_those_of_the_figures_from_elsewhere() -> None:
    segments = nms.make_segments(20, 5000, 2000.0, np.random.default_rng(0))
    assert {c.dtype.name for c in segments[:3]} == {"float32"}
    assert np.bincount(segments.groups_N).tolist() == [5000] * 20
    lengths_N = np.log(segments.ends_N.astype(float) - segments.starts_N)
    assert lengths_N.mean() == pytest.approx(1.5, abs=0.02)
    assert lengths_N.std() == pytest.approx(1.0, abs=0.02)
    assert segments.starts_N.mean() == pytest.approx(1000, abs=10)
    assert 0 <= segments.starts_N.min() < segments.starts_N.max() <= 2000


def test_a_cut_timeline_holds_every_segment_once() -> None:
    segments = nms.make_segments(1, 200, 100.0, np.random.default_rng(0))
    cut = nms.cut_timeline(segments, 10)
    assert sorted(set(cut.groups_N.tolist())) == list(range(10))
    assert sum(len(starts_N) for starts_N, *_ in nms.by_group(cut)) == 200
