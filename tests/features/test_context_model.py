"""Files of context models: they come back as they were, and strangers' files are told apart."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from wtal_features.errors import FeatureError
from wtal_features.retrieval.aggregator import TCA, check_heads, pooled
from wtal_features.retrieval.context import (
    ContextAbout,
    ContextModel,
    load_context,
    save_context,
)
from wtal_features.retrieval.whitening import Whitening, fit_whitening

Tensors = dict[str, torch.Tensor]
LAYER = "transformer_encoder.layers.0."
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


def test_the_digest_knows_the_model_whatever_its_file(tmp_path: Path) -> None:
    layer = torch.nn.TransformerEncoderLayer(16, 8, 32, batch_first=True)
    state = {LAYER + name: tensor for name, tensor in layer.state_dict().items()}
    torch.save(state, tmp_path / "released.pth")
    released = load_context(tmp_path / "released.pth")
    save_context(tmp_path / "copy", released)
    assert load_context(tmp_path / "copy").digest() == released.digest()
    white = fit_whitening([ROWS], 8)
    scaled = Whitening(white.mean_D, white.directions_nD, white.values_n * 2)
    moved = network()
    with torch.no_grad():
        next(moved.parameters())[0, 0] += 1
    about = ContextAbout(4)
    models = [
        *(ContextModel(network(), each, about) for each in (None, white, scaled)),
        ContextModel(moved, None, about),
        ContextModel(network(heads=2), None, ContextAbout(2)),
    ]
    assert len({each.digest() for each in models}) == len(models)
    assert model().digest() == models[0].digest()  # of another origin


def test_length_of_rows_does_not_count_and_direction_does() -> None:
    rows = ROWS[:6, :8].copy()
    refined = model().refine(rows)
    scaled = rows * np.arange(1, 7, dtype=np.float32)[:, None]
    assert np.allclose(model().refine(scaled), refined, atol=1e-5)
    assert not np.allclose(model().refine(-rows), refined, atol=1e-2)


def test_rows_that_cannot_be_written_or_run_backwards_are_taken() -> None:
    rows = ROWS[:6, :8].copy()
    backwards, locked = rows[::-1], rows.copy()
    locked.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refined = model().refine(locked)
        assert np.allclose(model().refine(backwards), refined[::-1], atol=1e-5)
    assert np.array_equal(refined, model().refine(rows))


def test_the_whitening_moves_with_the_network() -> None:
    moved = model(fit_whitening([ROWS], 8)).to("meta")
    assert moved.whitening is not None
    assert {t.device.type for t in vars(moved.whitening).values()} == {"meta"}
    assert {t.device.type for t in moved.network.parameters()} == {"meta"}


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


def numbers(count: int) -> Tensors:
    """A first layer that lies about the rest: so many names of one number each."""
    return {f"transformer_encoder.layers.{n}.x": torch.zeros(1) for n in range(count)}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        # Sizes that the rest of the file does not bear out; built, they would be 7 TB, or slow.
        (
            {LAYER + "linear1.weight": torch.zeros(1, 800_000)},
            r"\(24, 8\) float32; expected \(2400000,",
        ),
        (numbers(200), r"tca\.safetensors has .* tensor transformer_encoder\.layers\.\d+\."),
        ({LAYER + "linear1.weight": torch.zeros(4, 0)}, "holds no context model"),
        ({LAYER + "linear1.weight": torch.zeros(0, 8)}, "holds no context model"),
        ({LAYER + "linear1.weight": torch.zeros(16)}, "holds no context model"),
        (
            {LAYER + "norm1.weight": torch.zeros(9)},
            r"norm1\.weight is \(9,\) float32; expected \(8",
        ),
        ({LAYER + "norm3.weight": torch.zeros(8)}, r"has an unexpected tensor .*norm3"),
        ({LAYER + "norm1.bias": torch.zeros(8, dtype=torch.complex64)}, r"\(8,\) complex64; exp"),
        ({LAYER + "norm1.bias": torch.zeros(8, dtype=torch.int64)}, r"\(8,\) int64; expected"),
        # Numbers that no computation survives.
        ({LAYER + "norm1.bias": torch.full((8,), torch.nan)}, r"norm1\.bias holds NaN or infinity"),
        (
            {LAYER + "norm1.bias": torch.full((8,), 1e300, dtype=torch.float64)},
            "holds NaN or infinity",
        ),
        ({"whitening.mean_D": torch.full((12,), torch.inf)}, "mean_D holds NaN or infinity"),
        ({"whitening.values_n": torch.full((8,), torch.nan)}, "values_n holds NaN or infinity"),
        ({"whitening.values_n": torch.zeros(8)}, "values_n holds a number that is not above zero"),
        ({"whitening.values_n": -torch.ones(8)}, "values_n holds a number that is not above zero"),
        # A whitening of another form.
        ({"whitening.mean_D": torch.zeros(8, 5)}, r"mean_D is \(8, 5\) float32; expected \(12,\)"),
        ({"whitening.directions_nD": torch.zeros(6, 12)}, r"expected \(8, 12\)"),
        ({"whitening.directions_nD": torch.zeros(12)}, r"expected \(8, 12\)"),
        ({"whitening.directions_nD": torch.zeros(8, 0)}, r"\(12,\) float32; expected \(1,\)"),
        (
            {"whitening.values_n": torch.ones(8, 1)},
            r"values_n is \(8, 1\) float32; expected \(8,\)",
        ),
        ({"whitening.other": torch.zeros(1)}, r"has an unexpected tensor whitening\.other"),
    ],
)
def test_tensors_that_make_no_model_are_named_with_their_file(
    tmp_path: Path, changes: Tensors, problem: str
) -> None:
    file = tmp_path / "tca.safetensors"
    save_context(file, model(fit_whitening([ROWS], 8)))
    save_file(load_file(file) | changes, file, {"wtal.context": '{"heads": 4}'})
    with pytest.raises(FeatureError, match=problem) as caught:
        load_context(file)
    assert str(caught.value).startswith(str(file))
    assert caught.value.code == "checkpoint"


@pytest.mark.parametrize("name", [LAYER + "norm2.bias", "whitening.values_n"])
def test_a_tensor_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "tca.safetensors"
    save_context(file, model(fit_whitening([ROWS], 8), layers=2))
    tensors = load_file(file)
    del tensors[name]
    save_file(tensors, file)
    with pytest.raises(FeatureError, match=f"tca.safetensors has no tensor {name}"):
        load_context(file)


def test_one_number_that_claims_to_be_many_is_refused(tmp_path: Path) -> None:
    one = torch.zeros(1)
    claimed = {
        name: one.as_strided(tensor.shape, (0,) * tensor.ndim)
        for name, tensor in network().state_dict().items()
    }
    torch.save(claimed, tmp_path / "tca.pth")
    with pytest.raises(FeatureError, match=r"tca\.pth: .*in_proj_weight is \(24, 8\)"):
        load_context(tmp_path / "tca.pth")


def test_heads_that_do_not_share_the_dimensions_are_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tca.safetensors"
    for heads in (3, 16):
        save_file(dict(network().state_dict()), file, {"wtal.context": f'{{"heads": {heads}}}'})
        with pytest.raises(
            FeatureError, match=f"8 dimensions cannot be shared by {heads} heads"
        ) as e:
            load_context(file)
        assert str(e.value).startswith(f"{file}: ")
        assert "from its source" in e.value.cure


def test_fewer_dimensions_than_heads_want_fewer_heads() -> None:
    with pytest.raises(FeatureError, match="6 dimensions cannot be shared by 8 heads") as caught:
        check_heads(6, 8)
    assert caught.value.cure == "Take fewer heads: 6, or a number that divides it."


def test_metadata_of_another_form_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tca.safetensors"
    for about in ('{"heads": 4, "new": 1}', '{"heads": "4"}', "[", '{"encoder": 3}'):
        save_file(dict(network().state_dict()), file, {"wtal.context": about})
        with pytest.raises(FeatureError, match="what it says about its context model"):
            load_context(file)
