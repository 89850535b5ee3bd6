"""PCA-whitening: unit covariance on the rows it was fitted on, and files that cannot lie."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.retrieval.whitening import (
    Whitening,
    fit_whitening,
    load_whitening,
    save_whitening,
)

torch.set_num_threads(1)


def rows(N: int = 300, D: int = 12, seed: int = 0) -> Tensor:
    """Correlated, of several scales, far from zero."""
    draws = torch.Generator().manual_seed(seed)
    mixing_DD = torch.randn(D, D, generator=draws) * torch.logspace(-1, 1, D)
    return torch.randn(N, D, generator=draws) @ mixing_DD + 100


def arrays(D: int = 6, n: int = 3, **changes: Any) -> dict[str, Any]:
    """What a public file holds."""
    whitening = fit_whitening([rows(50, D)], n)
    U, mu = whitening.directions_nD.numpy().T, whitening.mean_D.numpy()[:, None]
    lams = whitening.values_n.numpy()
    return {"U": U, "lams": lams, "mu": mu, "Utmu": U.T @ mu, **changes}


# Fitting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 5, 12])
def test_what_it_was_fitted_on_has_unit_covariance_and_mean_zero(dim: int) -> None:
    x_ND = rows()
    y_Nn = fit_whitening([x_ND], dim).apply(x_ND.double())
    assert y_Nn.shape == (300, dim)
    torch.testing.assert_close(
        y_Nn.T.cov().reshape(dim, dim), torch.eye(dim).double(), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(y_Nn.mean(0), torch.zeros(dim).double(), atol=1e-3, rtol=0)


def test_it_agrees_with_scikit_learn_but_for_signs() -> None:
    x_ND = rows().double()
    ours = fit_whitening([x_ND], 5).apply(x_ND)
    theirs = torch.from_numpy(PCA(5, whiten=True, svd_solver="full").fit_transform(x_ND.numpy()))
    signs = (ours * theirs).sum(0).sign()
    torch.testing.assert_close(ours, theirs * signs, atol=1e-3, rtol=1e-3)


def test_axes_come_by_descending_variance_and_have_unit_length_and_a_fixed_sign() -> None:
    whitening = fit_whitening([rows()], 12)
    assert (whitening.values_n.diff() < 0).all()
    gram = whitening.directions_nD @ whitening.directions_nD.T
    torch.testing.assert_close(gram, torch.eye(12), atol=1e-5, rtol=0)
    assert (whitening.directions_nD.amax(1) == whitening.directions_nD.abs().amax(1)).all()
    assert (whitening.dim_in, whitening.dim) == (12, 12)


@pytest.mark.parametrize("block", [1, 7, 299])
def test_blocks_of_any_size_give_the_same_as_all_rows_at_once(block: int) -> None:
    whole, parts = fit_whitening([rows()], 4), fit_whitening(torch.split(rows(), block), 4)
    torch.testing.assert_close(parts.values_n, whole.values_n, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(parts.directions_nD, whole.directions_nD, atol=1e-5, rtol=0)
    torch.testing.assert_close(parts.mean_D, whole.mean_D)


def test_arrays_of_float16_and_empty_blocks_are_taken() -> None:
    x_ND = rows(D=4).half()
    blocks = [np.zeros((0, 4), np.float16), x_ND[:100].numpy(), x_ND[100:].numpy()]
    found, wanted = fit_whitening(blocks, 2), fit_whitening([x_ND.double()], 2)
    torch.testing.assert_close(found.directions_nD, wanted.directions_nD)


def test_a_shift_of_all_rows_moves_the_mean_alone() -> None:
    x_ND = rows()
    still, moved = fit_whitening([x_ND], 4), fit_whitening([x_ND + 1000], 4)
    torch.testing.assert_close(moved.values_n, still.values_n, rtol=1e-3, atol=0)
    torch.testing.assert_close(moved.mean_D, still.mean_D + 1000)


def test_a_direction_without_variance_is_refused() -> None:
    x_ND = torch.cat([rows(D=3), torch.ones(300, 1)], dim=1)
    with pytest.raises(FeatureError, match="4 dimensions was given 300 rows that vary along 3 ax"):
        fit_whitening([x_ND], 4)
    assert fit_whitening([x_ND], 3).apply(x_ND.double()).std(0).allclose(torch.ones(3).double())


@pytest.mark.parametrize("noise", [0, 1e-7])
def test_many_copies_of_few_rows_are_few_rows_with_a_number_that_works(noise: float) -> None:
    """99 axes, of which 8 heads can share 96; float32 rounding is no axis."""
    draws = torch.Generator().manual_seed(0)
    x_ND = torch.randn(100, 160, generator=draws).repeat(20, 1)
    x_ND *= 1 + noise * torch.randn(x_ND.shape, generator=draws)
    with pytest.raises(FeatureError, match="2000 rows that vary along 99 axes only") as caught:
        fit_whitening(torch.split(x_ND, 77), 128)
    assert caught.value.code == "few-rows"
    assert "at most 99 dimensions: whitening.dim=96." in caught.value.cure
    for dim in (96, 99):
        assert fit_whitening([x_ND], dim).values_n.min() > 0.01
    with pytest.raises(FeatureError, match="along 99 axes"):
        fit_whitening([x_ND], 100)


def test_rows_that_are_all_alike_are_refused_without_a_number() -> None:
    with pytest.raises(FeatureError, match="vary along 0 axes") as caught:
        fit_whitening([torch.full((50, 3), 0.1)], 1)
    assert caught.value.cure == "Add videos that differ."


@pytest.mark.parametrize("N", [1, 4, 8])
def test_no_more_rows_than_dimensions_are_refused_with_the_number_that_would_do(N: int) -> None:
    with pytest.raises(FeatureError, match=f"8 dimensions was given {N} rows; expected more than"):
        fit_whitening([rows(N)], 8)
    assert fit_whitening([rows(9)], 8).dim == 8


@pytest.mark.parametrize("dim", [0, -1, 13])
def test_a_number_of_dimensions_that_the_rows_do_not_have_is_refused(dim: int) -> None:
    with pytest.raises(FeatureError, match=f"to {dim} dimensions; expected 1 to 12"):
        fit_whitening([rows()], dim)


def test_no_rows_at_all_are_refused() -> None:
    for blocks in ([], [torch.zeros(0, 3)]):
        with pytest.raises(FeatureError, match="given no rows"):
            fit_whitening(blocks, 2)


def test_rows_of_two_encoders_are_refused() -> None:
    with pytest.raises(FeatureError, match=r"shape \(5, 11\); expected \(T, 12\)"):
        fit_whitening([rows(), rows(5, 11)], 2)
    with pytest.raises(FeatureError, match=r"shape \(7,\); expected \(T, D\)"):
        fit_whitening([torch.zeros(7)], 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_that_is_not_finite_is_refused(value: float) -> None:
    broken = rows()
    broken[3, 2] = value
    with pytest.raises(FeatureError, match="NaN or infinity"):
        fit_whitening([broken], 2)


# Applying ----------------------------------------------------------------------------------------


def test_whitening_in_closed_form() -> None:
    whitening = Whitening(
        torch.tensor([1.0, 2.0]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([4.0, 0.25])
    )
    y = whitening.apply(torch.tensor([3.0, 8.0]))
    assert y.tolist() == [3.0, 4.0]  # (8 - 2) / 2 and (3 - 1) / .5


def test_rows_of_any_leading_shape_and_dtype_are_whitened_one_by_one() -> None:
    whitening = fit_whitening([rows()], 3)
    x = rows(24).reshape(2, 3, 4, 12)
    y = whitening.apply(x)
    assert y.shape == (2, 3, 4, 3)
    torch.testing.assert_close(y[1, 2, 3], whitening.apply(x[1, 2, 3]))
    assert whitening.apply(x.double()).dtype == torch.float64
    torch.testing.assert_close(whitening.to("cpu").apply(x), y)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(FeatureError, match=r"\(5, 11\); this PCA-whitening takes rows of 12 val"):
        fit_whitening([rows()], 3).apply(rows(5, 11))


# Files -------------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    whitening = fit_whitening([rows()], 3)
    save_whitening(tmp_path / "w.npz", whitening)
    loaded = load_whitening(tmp_path / "w.npz")
    for name in ("mean_D", "directions_nD", "values_n"):
        assert torch.equal(getattr(loaded, name), getattr(whitening, name))
    with np.load(tmp_path / "w.npz") as file:
        shapes = {name: file[name].shape for name in file.files}
    assert shapes == {"U": (12, 3), "lams": (3,), "mu": (12, 1), "Utmu": (3, 1)}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ">f8"])
def test_files_of_other_types_and_orders_are_read(tmp_path: Path, dtype: str) -> None:
    given = {name: np.asfortranarray(array, dtype) for name, array in arrays().items()}
    np.savez_compressed(tmp_path / "w.npz", **given)  # type: ignore[arg-type]
    loaded = load_whitening(tmp_path / "w.npz")
    np.testing.assert_array_equal(loaded.directions_nD.numpy().T, given["U"].astype("f4"))
    assert loaded.directions_nD.dtype == torch.float32


def test_small_eigenvalues_of_a_file_are_floored(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **arrays(lams=np.array([1.0, 0.5, 0.0])))
    assert load_whitening(tmp_path / "w.npz").values_n[2].item() == pytest.approx(1e-9)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lams": np.ones(2)}, r"lams has shape \(2,\); expected \(3,\)"),
        ({"lams": np.ones((3, 1))}, r"lams has shape \(3, 1\); expected \(3,\)"),
        ({"mu": np.ones(6)}, r"mu has shape \(6,\); expected \(6, 1\)"),
        ({"Utmu": np.ones((6, 1))}, r"Utmu has shape \(6, 1\); expected \(3, 1\)"),
        ({"U": np.ones((3, 6))}, r"U has shape \(3, 6\); expected \(D, n\)"),
        ({"U": np.ones(6)}, r"U has shape \(6,\); expected \(D, n\)"),
        ({"lams": np.array([1, np.nan, 1])}, "NaN, infinity or an eigenvalue below zero"),
        ({"lams": np.array([1.0, 1.0, -0.1])}, "NaN, infinity or an eigenvalue below zero"),
        ({"mu": np.full((6, 1), np.inf)}, "NaN, infinity"),
        ({"mu": np.ones((6, 1), int)}, "dtype int64"),
        ({"mu": np.array([None] * 6)}, "Python objects"),
    ],
)
def test_a_file_with_a_wrong_array_is_refused(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    np.savez(tmp_path / "w.npz", **arrays(**changes))
    with pytest.raises(FeatureError, match=problem):
        load_whitening(tmp_path / "w.npz")


@pytest.mark.parametrize("name", ["U", "lams", "mu", "Utmu"])
def test_a_file_without_an_array_is_refused(tmp_path: Path, name: str) -> None:
    given = arrays()
    del given[name]
    np.savez(tmp_path / "w.npz", **given)
    with pytest.raises(FeatureError, match=f"has no {name}; expected the arrays U, lams, mu and"):
        load_whitening(tmp_path / "w.npz")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    with pytest.raises(FeatureError, match="does not exist"):
        load_whitening(path)
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FeatureError, match="no NPZ archive"):
        load_whitening(path)


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, **arrays())
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["mu.npy"] = parts["mu.npy"].replace(b"(6, 1)", b"(9, 1)")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(FeatureError, match=r"mu\.npy claims shape \(9, 1\)"):
        load_whitening(path)


def test_an_array_whose_bytes_were_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, **arrays())
    data = bytearray(path.read_bytes())
    data[data.index(b"\n", 128) + 5] ^= 0xFF  # in the values of the first array
    path.write_bytes(bytes(data))
    with pytest.raises(FeatureError, match="cannot be unpacked"):
        load_whitening(path)
