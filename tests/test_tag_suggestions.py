"""benchmarks/tag_suggestions.py: a row for each similarity, chosen on training videos alone."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from tests.scripts import load
from tests.synthetic import make_store
from wtal_features.retrieval.aggregator import TCA
from wtal_features.retrieval.context import ContextAbout, ContextModel, save_context

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load("tag_suggestions")


def test_top_1_asks_whether_the_surest_label_is_one_of_the_tags(script: ModuleType) -> None:
    labels = np.array([[True, True], [False, True]])
    assert script.top1(np.array([[0.2, 0.9], [0.6, 0.5]]), labels) == 0.5
    assert script.top1(np.array([[0.2, 0.9], [0.5, 0.6]]), labels) == 1.0


def test_of_equally_good_numbers_of_neighbours_the_smallest_is_chosen(script: ModuleType) -> None:
    assert script.chosen({1: 0.5, 5: 0.9, 10: 0.9}.__getitem__, 12) == 5


def test_a_class_that_no_training_video_has_gets_no_confidence(script: ModuleType) -> None:
    labels = np.array([[True, False], [True, False], [True, False]])
    found = script.answers(1, np.eye(3), labels, np.eye(3)[:2])
    assert found.tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_the_table_has_a_row_for_each_similarity_and_a_spread_over_models(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _, annotations = make_store(tmp_path, train=18, strength=8.0)
    models = []
    for seed in (0, 1):
        network = TCA(16, 4, 16, generator=torch.Generator().manual_seed(seed))
        models.append(tmp_path / f"{seed}.safetensors")
        save_context(models[-1], ContextModel(network, None, ContextAbout(4)))
    words = (
        store,
        "--annotations",
        annotations,
        "--models",
        *models,
        "--json",
        tmp_path / "t.json",
    )
    script.main([str(word) for word in words])
    said = capsys.readouterr().out
    assert "18 training and 6 test videos, 3 classes" in said
    assert len([line for line in said.splitlines() if line.startswith(("raw,", "context,"))]) == 6
    rows = json.loads((tmp_path / "t.json").read_text())
    by_name = {row["name"]: row for row in rows}
    assert by_name["tag suggestions, raw, symmetric, top1"]["value"] == 1.0
    seeds = by_name["tag suggestions, context, cosine, mean_ap"]
    assert seeds["repeats"] == 2
    assert seeds["spread"][0] <= seeds["value"] <= seeds["spread"][1]
    assert len(rows) == 2 * (2 + 3 + 3)
