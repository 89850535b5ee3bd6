"""The network: published size, masks, branches, dropout."""

import pytest
import torch

from wtal.errors import WtalError
from wtal.model import BaSNet, ModelConfig
from wtal_features.encoders.dropout import dropout

SMALL = ModelConfig(hidden_dim=12, filter_dim=6)
PUBLISHED = ModelConfig(hidden_dim=12, filter_dim=6, second_kernel=3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(D: int = 8, C: int = 3, config: ModelConfig = SMALL) -> BaSNet:
    return BaSNet(D, C, config, generator()).eval()


def batch(lengths: tuple[int, ...], D: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    T = max(lengths)
    x_BTD = torch.randn(len(lengths), T, D, generator=generator(1))
    return x_BTD, torch.arange(T) < torch.tensor(lengths).unsqueeze(1)


def test_the_published_shape_has_26_262_529_parameters() -> None:
    net = BaSNet(2048, 20, ModelConfig(second_kernel=3), generator())
    assert sum(p.numel() for p in net.parameters()) == 26_262_529


@pytest.mark.parametrize("config", [SMALL, PUBLISHED])
def test_what_stands_at_padding_changes_nothing(config: ModelConfig) -> None:
    net = network(config=config)
    x_BTD, mask_BT = batch((7, 3, 1))
    other_BTD = x_BTD.masked_fill(~mask_BT.unsqueeze(2), torch.nan)
    for clean, dirty in zip(net(x_BTD, mask_BT), net(other_BTD, mask_BT), strict=True):
        torch.testing.assert_close(clean, dirty, rtol=0, atol=0)


@pytest.mark.parametrize("config", [SMALL, PUBLISHED])
def test_a_video_in_a_batch_equals_the_video_alone(config: ModelConfig) -> None:
    net = network(config=config)
    x_BTD, mask_BT = batch((7, 3, 1))
    together = net(x_BTD, mask_BT)
    for b, n in enumerate((7, 3, 1)):
        alone = net(x_BTD[b : b + 1, :n], mask_BT[b : b + 1, :n])
        for all_videos, one_video in zip(together[:3], alone[:3], strict=True):
            torch.testing.assert_close(all_videos[b, :n], one_video[0])
            assert not all_videos[b, n:].any()


@pytest.mark.parametrize("config", [SMALL, PUBLISHED])
def test_the_suppression_branch_alone_equals_that_of_both_branches(config: ModelConfig) -> None:
    net = network(config=config)
    x_BTD, mask_BT = batch((5, 2))
    both = net(x_BTD, mask_BT)
    attention_BT, cas_BTC = net.suppressed(x_BTD, mask_BT)
    torch.testing.assert_close(attention_BT, both.attention_BT)
    torch.testing.assert_close(cas_BTC, both.cas_supp_BTC)


def test_branches_agree_where_the_filter_lets_everything_pass() -> None:
    net = network()
    with torch.no_grad():
        net.filter_out.weight_DE.zero_()
        assert net.filter_out.bias_E is not None
        net.filter_out.bias_E.fill_(100.0)  # sigmoid = 1
    output = net(*batch((5, 2)))
    torch.testing.assert_close(output.cas_base_BTC, output.cas_supp_BTC)


def test_one_seed_gives_one_network() -> None:
    first, second = network(), network()
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_training_needs_a_generator_and_repeats_with_it() -> None:
    net = network().train()
    x_BTD, mask_BT = batch((5, 2))
    with pytest.raises(ValueError, match="needs a generator"):
        net(x_BTD, mask_BT)
    first = net(x_BTD, mask_BT, generator(3)).cas_supp_BTC
    assert torch.equal(first, net(x_BTD, mask_BT, generator(3)).cas_supp_BTC)
    assert not torch.equal(first, net(x_BTD, mask_BT, generator(4)).cas_supp_BTC)


@pytest.mark.parametrize(("kernel", "reach"), [(1, 1), (3, 2)])
def test_a_snippet_reaches_as_far_as_the_kernels_say(kernel: int, reach: int) -> None:
    net = network(config=ModelConfig(hidden_dim=12, second_kernel=kernel))  # type: ignore[arg-type]
    x_BTD, mask_BT = batch((9,))
    before = net.suppressed(x_BTD, mask_BT)[1]
    x_BTD[0, 4] += 1
    changed_T = (net.suppressed(x_BTD, mask_BT)[1] != before).any(2)[0]
    assert changed_T.nonzero().flatten().tolist() == list(range(4 - reach, 4 + reach + 1))


@pytest.mark.parametrize("p", [0.0, 0.25, 0.7])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float) -> None:
    kept, factor = dropout(torch.ones(1000, 1001), p, generator())  # no multiple of four
    y = kept * factor
    assert (y == 0).double().mean().item() == pytest.approx(p, abs=2e-3)
    assert y.max().item() == pytest.approx(1 / (1 - p), rel=1e-4)
    assert y.double().mean().item() == pytest.approx(1, abs=5e-3)


def test_widths_follow_the_features_unless_they_are_given() -> None:
    net = BaSNet(64, 3, ModelConfig(), generator())
    assert net.hidden_dim == 64
    assert net.filter_in.weight_DE.shape == (64, 16)
    assert network().hidden_dim == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_dim": 0}, "model.hidden_dim is 0"),
        ({"dropout": 1.0}, "model.dropout is 1.0"),
    ],
)
def test_a_width_or_rate_out_of_range_is_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(WtalError, match=message):
        ModelConfig(**options)  # type: ignore[arg-type]
