"""The localizer: which classes, what times, and each quirk of the released code."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.synthetic import make_store
from wtal import localize
from wtal.compat import Compat
from wtal.data import DataConfig
from wtal.errors import WtalError
from wtal.localize import LocalizeConfig, Localizer, VideoDetections, VideoScores
from wtal.model import BaSNet, ModelConfig
from wtal.results import write_results
from wtal_features import open_store
from wtal_features.errors import FeatureError

CLASSES = ("A", "B", "C")


# The published choice of classes; the default keeps more.
PUBLISHED = LocalizeConfig(class_threshold=0.25)


def make(
    config: LocalizeConfig | None = None,
    compat: Compat | None = None,
    data: DataConfig | None = None,
    dim: int = 6,
) -> Localizer:
    """An untrained network: what is tested here does not depend on the weights."""
    network = BaSNet(dim, 3, ModelConfig(hidden_dim=8), torch.Generator().manual_seed(0)).eval()
    return Localizer(
        network, CLASSES, config or PUBLISHED, data or DataConfig(), compat or Compat()
    )


def scores(class_scores: list[float], cas_TC: np.ndarray | None = None) -> VideoScores:
    if cas_TC is None:
        cas_TC = np.zeros((10, 3), np.float32)
        cas_TC[3:6] = 1
    T = len(cas_TC)
    return VideoScores(cas_TC, np.ones(T, np.float32), np.array(class_scores, np.float32), 1.0)


def features(n: int, dim: int = 6) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, dim)).astype(np.float32)


def test_a_block_of_activation_becomes_its_segment_in_seconds() -> None:
    found = make().segments(scores([0.9, 0.05, 0.0]), seconds_per_snippet=0.64)
    best = int(found.scores_N.argmax())
    assert set(found.labels) == {"A"}
    # Bins 3, 4, 5 are the seconds [1.92, 3.84); borders lie where the line between bin centres
    # crosses the level, at most half a bin outside.
    assert found.starts_N[best] == pytest.approx(1.92, abs=0.33)
    assert found.ends_N[best] == pytest.approx(3.84, abs=0.33)


def test_the_score_is_the_contrast_plus_a_fifth_of_the_class_score() -> None:
    cas_TC = np.zeros((10, 3), np.float32)
    cas_TC[:] = 1  # one run that fills the video: contrast = its mean, 0 after normalising
    cas_TC[0] = 0
    config = replace(PUBLISHED, thresholds=(0.5,), upsample=1)
    found = make(config).segments(scores([0.8, 0.1, 0.0], cas_TC), 1.0)
    # Bins 1..9 are 1 inside; int(1 - .25 * 9) < 0 clips the outside to bin 0, which is 0.
    np.testing.assert_allclose(found.scores_N, [1.0 + 0.2 * 0.8], atol=1e-6)
    binary = make(config, Compat(binary_class_score=True))
    np.testing.assert_allclose(binary.segments(scores([0.8, 0.1, 0], cas_TC), 1).scores_N, [1.2])


def test_every_class_at_the_threshold_is_localized() -> None:
    found = make().segments(scores([0.25, 0.4, 0.2]), 1.0)
    assert set(found.labels) == {"A", "B"}
    assert found.class_scores == {"A": 0.25, "B": 0.4, "C": 0.2}


def test_no_class_at_the_threshold_leaves_the_best_one() -> None:
    found = make().segments(scores([0.1, 0.2, 0.15]), 1.0)
    assert set(found.labels) == {"B"}
    assert not found.skipped


def test_the_released_code_drops_unsure_videos_and_those_of_class_zero_alone() -> None:
    unsure = make(compat=Compat(skip_unsure_videos=True)).segments(scores([0.1, 0.2, 0.15]), 1.0)
    assert unsure.skipped
    assert unsure.labels == ()
    both = Compat(skip_unsure_videos=True, class_zero_is_empty=True)
    alone = make(compat=Compat(class_zero_is_empty=True))
    for kept_or_best in (0.9, 0.2):  # class 0 above the threshold, or the fallback
        empty = alone.segments(scores([kept_or_best, 0.1, 0.1]), 1.0)
        assert (empty.labels, empty.skipped) == ((), False)  # an entry without detections
    assert set(alone.segments(scores([0.9, 0.8, 0.1]), 1.0).labels) == {"A", "B"}
    assert set(alone.segments(scores([0.1, 0.9, 0.1]), 1.0).labels) == {"B"}
    assert make(compat=both).segments(scores([0.9, 0.0, 0.0]), 1.0).skipped
    assert not make(compat=both).segments(scores([0.9, 0.3, 0.0]), 1.0).skipped


def test_a_flat_class_is_localized_unless_the_quirk_drops_it() -> None:
    cas_TC = np.zeros((10, 3), np.float32) - 5
    cas_TC[4:6] = -1
    assert make().segments(scores([0.9, 0, 0], cas_TC), 1.0).labels
    quirk = make(compat=Compat(skip_flat_classes=True))
    found = quirk.segments(scores([0.9, 0, 0], cas_TC), 1.0)
    assert found.labels == ()
    assert not found.skipped


def test_left_edges_put_a_segment_half_a_bin_later_than_its_centre_rule() -> None:
    config = replace(PUBLISHED, thresholds=(0.5,))
    ours = make(config).segments(scores([0.9, 0, 0]), 1.0)
    released = make(config, Compat(left_edge_bins=True)).segments(scores([0.9, 0, 0]), 1.0)
    shift = ours.starts_N[0] - released.starts_N[0]
    assert shift == pytest.approx(0.5, abs=1 / 24)


def test_one_pixel_added_to_seconds_suppresses_short_neighbours() -> None:
    cas_TC = np.zeros((400, 3), np.float32)
    cas_TC[10:12] = 1
    cas_TC[13:15] = 1
    config = replace(PUBLISHED, thresholds=(0.5,), nms="hard", nms_threshold=0.3)
    plain = make(config).segments(scores([0.9, 0, 0], cas_TC), 0.1)
    plus = make(config, Compat(nms_length_plus_one=True))
    assert len(plain.labels) == 2
    assert len(plus.segments(scores([0.9, 0, 0], cas_TC), 0.1).labels) == 1


@pytest.mark.parametrize("kind", ["hard", "soft", "none"])
def test_every_kind_of_suppression_keeps_scores_beside_their_segments(kind: str) -> None:
    cas_TC = np.abs(features(60, 3))
    raw = make(replace(PUBLISHED, nms="none")).segments(scores([0.5, 0.4, 0.1], cas_TC), 1.0)
    found = make(replace(PUBLISHED, nms=kind)).segments(  # type: ignore[arg-type]
        scores([0.5, 0.4, 0.1], cas_TC), 1.0
    )
    before = {
        (label, start, end): score
        for label, start, end, score in zip(
            raw.labels, raw.starts_N, raw.ends_N, raw.scores_N, strict=True
        )
    }
    assert 0 < len(found.labels) <= len(raw.labels)
    for label, start, end, score in zip(
        found.labels, found.starts_N, found.ends_N, found.scores_N, strict=True
    ):
        assert score <= before[label, start, end] + 1e-12


def test_a_cap_keeps_the_best_detections() -> None:
    cas_TC = np.abs(features(60, 3))
    everything = make().segments(scores([0.5, 0.4, 0.1], cas_TC), 1.0)
    best = make(replace(PUBLISHED, max_detections=4)).segments(scores([0.5, 0.4, 0.1], cas_TC), 1.0)
    assert sorted(best.scores_N)[::-1] == sorted(everything.scores_N)[::-1][:4]


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_any_length_works_and_stays_inside_the_video(n: int) -> None:
    found = make().localize(features(n), seconds_per_snippet=0.64)
    assert (found.starts_N >= 0).all()
    assert (found.ends_N <= n * 0.64 + 1e-9).all()
    assert (found.ends_N > found.starts_N).all()
    assert list(found.class_scores) == list(CLASSES)


def test_a_grid_maps_bins_back_to_seconds() -> None:
    grid = make(data=DataConfig(resample="grid", length=20))
    given = grid.scores(features(50))
    assert given.cas_TC.shape == (20, 3)
    assert given.snippets_per_bin == 2.5
    assert grid.localize(features(50), seconds_per_snippet=1.0).ends_N.max() <= 50


def test_a_long_video_in_pieces_equals_the_video_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make().scores(features(100))
    monkeypatch.setattr(localize, "CHUNK", 7)
    pieces = make().scores(features(100))
    for one, other in zip(whole[:3], pieces[:3], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_wrong_dims_and_shapes_are_named() -> None:
    with pytest.raises(WtalError, match="The features have 5 dims; this model was trained on 6"):
        make().localize(features(4, 5), seconds_per_snippet=1.0)
    with pytest.raises(WtalError, match=r"Features have shape \(4,\)"):
        make().localize(features(4)[:, 0], seconds_per_snippet=1.0)
    with pytest.raises(WtalError, match=r"Features have shape \(0, 6\)"):
        make().localize(features(0), seconds_per_snippet=1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_named_with_their_place(value: float) -> None:
    bad = features(5)
    bad[3, 2] = value
    with pytest.raises(WtalError, match=r"NaN or infinity in 1 of 5 snippets, the first is 3"):
        make().localize(bad, seconds_per_snippet=1.0)


def test_features_of_integers_and_a_time_base_of_nothing_are_refused() -> None:
    with pytest.raises(WtalError, match="dtype int64; expected float16, float32 or float64"):
        make().localize(np.ones((4, 6), np.int64), seconds_per_snippet=1.0)
    for seconds in (0.0, -0.64, np.nan, np.inf):
        with pytest.raises(WtalError, match=r"seconds_per_snippet is .*; expected stride / fps"):
            make().localize(features(4), seconds_per_snippet=seconds)
    half = make().localize(features(4).astype(np.float16), seconds_per_snippet=1.0)
    assert half.class_scores


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(WtalError, match=r"is no run folder: it has no config\.yaml"):
        Localizer.load(tmp_path)


def test_a_store_is_localized_video_by_video_and_faults_do_not_stop_it(tmp_path: Path) -> None:
    store_path, _, _ = make_store(tmp_path, train=3, test=0)
    (store_path / "video_001.npy").write_bytes(b"broken")
    localizer = make(dim=16)
    store = open_store(store_path)
    found = dict(localizer.localize_store(store, ["video_000", "video_001", "video_002"]))
    assert isinstance(found["video_001"], FeatureError)
    alone = localizer.localize(store.read("video_002"), seconds_per_snippet=0.64)
    together = found["video_002"]
    assert not isinstance(together, FeatureError)
    assert together.as_dicts() == alone.as_dicts()


def test_the_result_file_lists_every_video_and_every_class_score(tmp_path: Path) -> None:
    localizer = make(replace(PUBLISHED, max_detections=2))
    fault = FeatureError("broken.")
    unsure = make(compat=Compat(skip_unsure_videos=True)).segments(scores([0, 0.1, 0]), 1.0)
    videos: list[tuple[str, VideoDetections | FeatureError]]
    videos = [("a", localizer.segments(scores([0.9, 0, 0]), 1.0)), ("b", fault), ("c", unsure)]
    path = tmp_path / "detections.json"
    assert write_results(path, iter(videos), {"run": "x"}) == {"b": "broken."}
    written = json.loads(path.read_text())
    assert list(written["results"]) == ["a"]
    assert list(written["video_scores"]) == ["a", "c"]
    assert list(written["video_scores"]["a"]) == list(CLASSES)
    assert written["external_data"] == {"run": "x"}
    first = written["results"]["a"][0]
    assert set(first) == {"label", "score", "segment"}


def test_a_result_file_without_any_video_is_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "detections.json"
    write_results(path, iter(()), {})
    assert json.loads(path.read_text())["results"] == {}


def test_an_interrupted_result_file_leaves_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "detections.json"
    path.write_text("earlier")

    def broken() -> Iterator[tuple[str, VideoDetections | FeatureError]]:
        yield "a", make().segments(scores([0.9, 0, 0]), 1.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_results(path, broken(), {})
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsample": 0}, "localize.upsample"),
        ({"thresholds": ()}, "localize.thresholds is empty"),
        ({"nms_threshold": 0.0}, "localize.nms_threshold is 0.0"),
        ({"oic_margin": -1.0}, "localize.oic_margin"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(WtalError, match=message):
        LocalizeConfig(**options)  # type: ignore[arg-type]
