"""Three calls instead of three commands."""

from pathlib import Path

import pytest

import wtal
import wtal_eval
from tests.synthetic import make_store
from wtal.config import load_config
from wtal.errors import WtalError
from wtal.results import write_results
from wtal_features import open_store

SMALL = ("model.hidden_dim=8", "train.batch_size=4", "train.steps=3")


def test_train_localize_and_evaluate_from_python(tmp_path: Path) -> None:
    features, tags, annotations = make_store(tmp_path)
    for seed in (0, 1):  # the second call finds the same function
        (result,) = wtal.train(
            features=features,
            tags=tags,
            out=tmp_path / f"run-{seed}",
            overrides=(*SMALL, f"train.seed={seed}"),
        )
    assert result.run == tmp_path / "run-1"
    localizer, store = wtal.Localizer.load(result.run), open_store(features)
    found = localizer.localize(store.read("video_012"), seconds_per_snippet=0.64)
    assert found.labels
    videos = [f"video_{i:03d}" for i in range(12, 18)]
    write_results(tmp_path / "d.json", localizer.localize_store(store, videos), {})
    evaluation = wtal_eval.evaluate(tmp_path / "d.json", annotations, protocol="thumos14")
    assert evaluation.counts["videos"] == 6


def test_a_config_object_a_file_and_seeds_are_taken(tmp_path: Path) -> None:
    features, _, annotations = make_store(tmp_path)
    config = load_config(None, SMALL)
    results = wtal.train(
        config, features=features, annotations=annotations, out=tmp_path / "sweep", seeds=(0, 1)
    )
    assert [result.run.name for result in results] == ["seed-0", "seed-1"]
    with pytest.raises(WtalError, match="not with a Config"):
        wtal.train(config, features=features, out=tmp_path / "r", overrides=SMALL)


def test_the_names_of_the_package_are_listed_and_others_refused() -> None:
    assert {"train", "Localizer"} <= set(dir(wtal))
    assert not hasattr(wtal, "nothing")
