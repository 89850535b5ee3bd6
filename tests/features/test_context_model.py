"""Files of context models: they come back as they were, and strangers' files are told apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from wtal_features.errors import FeatureError
from wtal_features.retrieval.aggregator import TCA, pooled
from wtal_features.retrieval.context import (
    ContextAbout,
    ContextModel,
    load_context,
    save_context,
)
from wtal_features.retrieval.whitening import Whitening, fit_whitening

ROWS = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)


def network(dim: int = 8, layers: int = 1, heads: int = 4) -> TCA:
    return TCA(dim, heads, 16, layers, generator=torch.Generator().manual_seed(0))


def model(white: Whitening | None = None, layers: int = 1) -> ContextModel:
    about = ContextAbout(4, "toy", 3, 5, {"torch": "x"}, "sha")
    return ContextModel(network(8, layers), white, about)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("whiten", [False, True])
def test_a_model_comes_back_from_its_file_and_does_the_same(
    tmp_path: Path, whiten: bool, layers: int
) -> None:
    white = fit_whitening([ROWS], 8) if whiten else None
    rows = ROWS if whiten else ROWS[:, :8].copy()
    before = model(white, layers)
    save_context(tmp_path / "tca.safetensors", before)
    after = load_context(tmp_path / "tca.safetensors")
    assert (after.dim_in, after.dim, after.about) == (12 if whiten else 8, 8, before.about)
    assert np.array_equal(before.refine(rows), after.refine(rows))


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save_context(tmp_path / name, model(fit_whitening([ROWS], 8)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_length_of_rows_does_not_count_and_direction_does() -> None:
    rows = ROWS[:6, :8].copy()
    refined = model().refine(rows)
    scaled = rows * np.arange(1, 7, dtype=np.float32)[:, None]
    assert np.allclose(model().refine(scaled), refined, atol=1e-5)
    assert not np.allclose(model().refine(-rows), refined, atol=1e-2)


def test_one_row_and_rows_of_zeros_are_defined() -> None:
    assert model().refine(ROWS[:1, :8].copy()).shape == (1, 8)
    assert np.isfinite(model().refine(np.zeros((3, 8), np.float32))).all()


def test_the_state_of_the_released_code_is_read_with_its_eight_heads(tmp_path: Path) -> None:
    layer = torch.nn.TransformerEncoderLayer(16, 8, 32, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()
    state = {f"transformer_encoder.{name}": t for name, t in encoder.state_dict().items()}
    assert len(state) == 12
    torch.save(state, tmp_path / "released.pth")
    found = load_context(tmp_path / "released.pth")
    rows = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 16)).astype(np.float32))
    unit = torch.nn.functional.normalize(rows, dim=1)
    expected = pooled(encoder(unit[None]))
    refined = torch.from_numpy(found.refine(rows.numpy()))
    assert torch.allclose(pooled(refined[None]), expected, atol=1e-6)
    assert found.encoder is None


def test_a_store_of_other_dimensions_or_of_another_encoder_is_refused() -> None:
    ours = model()
    ours.check(8, "toy", "store")
    ours.check(8, None, "store")
    with pytest.raises(FeatureError, match="store has 9 dimensions; the context model takes 8"):
        ours.check(9, "toy", "store")
    with pytest.raises(FeatureError, match=r"comes from the encoder 'other'.*trained on 'toy'"):
        ours.check(8, "other", "store")


def test_files_that_hold_something_else_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file.safetensors"
    save_file({"conv.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(FeatureError, match=r"file.safetensors holds no context model"):
        load_context(file)
    save_context(file, model())
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(FeatureError, match=r"file.safetensors"):
        load_context(file)
    with pytest.raises(FeatureError, match="missing"):
        load_context(tmp_path / "missing")


def test_a_whitening_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tca.safetensors"
    save_context(file, ContextModel(network(), fit_whitening([ROWS], 6), ContextAbout(4)))
    with pytest.raises(FeatureError, match="whitening does not fit its transformer of 8"):
        load_context(file)


def test_metadata_of_another_form_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tca.safetensors"
    for about in ('{"heads": 4, "new": 1}', '{"heads": "4"}', "[", '{"encoder": 3}'):
        save_file(dict(network().state_dict()), file, {"wtal.context": about})
        with pytest.raises(FeatureError, match="what it says about its context model"):
            load_context(file)
