"""The weight of the contrast: the published ramp, and the cap that keeps it stable."""

import pytest

from wtal.beta import SMOOTHING, Beta, BetaConfig, ramp
from wtal.errors import WtalError


@pytest.mark.parametrize(("shape", "middle"), [("log", 31.62), ("linear", 5000.05), ("step", 1e4)])
def test_the_ramp_goes_from_start_to_end(shape: str, middle: float) -> None:
    config = BetaConfig(shape=shape)  # type: ignore[arg-type]
    assert ramp(config, 0) == pytest.approx(0.1)
    assert ramp(config, 1) == pytest.approx(10_000)
    assert ramp(config, 0.5) == pytest.approx(middle, rel=1e-3)


def test_the_paper_ignores_gradients_and_a_constant_ignores_everything() -> None:
    assert Beta(BetaConfig(mode="paper"))(1.0, 1e-9, 1e9) == pytest.approx(10_000)
    assert Beta(BetaConfig(mode="constant", value=3))(0.2, 1e-9, 1e9) == 3


def test_the_cap_keeps_the_contrast_at_its_share_of_the_gradient() -> None:
    beta = Beta(BetaConfig(rho=0.5))
    assert beta(1.0, 2.0, 8.0) == pytest.approx(0.5 * 2 / 8)
    assert Beta(BetaConfig(rho=1e9))(0.0, 2.0, 8.0) == pytest.approx(0.1)  # the ramp is lower


def test_norms_are_averaged_over_twenty_steps() -> None:
    beta = Beta(BetaConfig(rho=1))
    beta(1.0, 1.0, 1.0)
    assert beta(1.0, 1.0, 1.0 + SMOOTHING) == pytest.approx(1 / 2)


def test_a_contrast_without_a_gradient_follows_the_ramp() -> None:
    assert Beta(BetaConfig())(0.6, 1.0, 0.0) == pytest.approx(100)


def test_a_restored_schedule_goes_on_where_it_was() -> None:
    first = Beta(BetaConfig())
    first(0.1, 3.0, 2.0)
    other = Beta(BetaConfig(), first.base_norm, first.dcc_norm)
    assert other(0.2, 1.0, 5.0) == first(0.2, 1.0, 5.0)


@pytest.mark.parametrize("key", ["rho", "start", "end"])
def test_numbers_out_of_range_are_named(key: str) -> None:
    with pytest.raises(WtalError, match=rf"dcc\.beta\.{key} is 0"):
        BetaConfig(**{key: 0})  # type: ignore[arg-type]
