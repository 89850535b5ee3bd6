"""S3D and its head: published counts and shapes, what the layers do, what is refused."""

import math

import pytest
import torch
from torch import Tensor, nn

from wtal_features.encoders.s3d import S3D, ContrastHead, Gate
from wtal_features.encoders.tally import Tally, tally
from wtal_features.encoders.widths import scaled
from wtal_features.errors import FeatureError

torch.set_num_threads(1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(seed: int = 0, *, in_channels: int = 3, gated: bool = False) -> S3D:
    return S3D(in_channels, 0.125, gated=gated, generator=seeded(seed))


def clips(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(1))


# Counts and shapes, published or counted from the published tables ----------------------------


def test_s3d_has_the_published_size_cost_and_output() -> None:
    network = S3D(generator=seeded()).eval()
    # 11.74 GMAC for a clip of 32 x 128 x 128.
    assert tally(network, (3, 32, 128, 128)) == Tally(7_910_048, 11_740_971_008, (1024, 4, 4, 4))
    assert network.dim == 1024


def test_the_state_has_462_entries_with_the_counters_of_batchnorm() -> None:
    names = tiny().state_dict()
    assert len(names) == 462
    assert sum(name.endswith("num_batches_tracked") for name in names) == 77


@pytest.mark.parametrize(
    ("in_channels", "width", "gated", "parameters", "dim"),
    [
        (2, 1, False, 7_906_912, 1024),
        (3, 1, True, 9_098_000, 1024),
        (3, 0.5, False, 1_989_536, 512),
        (3, 0.25, False, 503_696, 256),
        (3, 0.125, False, 132_072, 128),
    ],
)
def test_variants_have_their_published_size(
    in_channels: int, width: float, gated: bool, parameters: int, dim: int
) -> None:
    network = S3D(in_channels, width, gated=gated, generator=seeded()).eval()
    assert tally(network, (in_channels, 8, 32, 32)).parameters == parameters
    assert tally(network, (in_channels, 8, 32, 32)).output == (dim, 1, 1, 1)


def test_the_head_of_coclr_has_its_published_size() -> None:
    assert tally(ContrastHead(1024, generator=seeded()), (1024,)).parameters == 1_180_800


@pytest.mark.parametrize(
    ("shape", "output"),
    [
        ((5, 17, 17), (1, 1, 1)),  # the least there is
        ((16, 64, 32), (2, 2, 1)),
        ((17, 33, 65), (2, 1, 2)),  # odd sizes: floor(ceil(T/4)/2), floor(ceil(H/16)/2)
        ((32, 128, 112), (4, 4, 3)),
    ],
)
def test_time_shrinks_by_8_and_space_by_32(
    shape: tuple[int, int, int], output: tuple[int, int, int]
) -> None:
    network = tiny().eval()
    T, H, W = shape
    assert network(clips(1, 3, T, H, W)).shape == (1, 128, *output)
    assert tally(network, (3, T, H, W)).output == (128, *output)


# Behaviour ---------------------------------------------------------------------------------------


def test_a_backward_pass_reaches_every_parameter() -> None:
    network = tiny(gated=True)
    network(clips(2, 3, 8, 32, 32)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_last_map_is_what_a_relu_leaves() -> None:
    assert tiny()(clips(2, 3, 16, 64, 64)).min() == 0


def test_a_batch_gives_what_each_clip_gives_alone() -> None:
    network = tiny().eval()
    x_BCTHW = clips(3, 3, 8, 32, 32)
    alone = torch.cat([network(x_BCTHW[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(x_BCTHW), alone)


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, same, other = (tiny(seed, gated=True).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["Conv_1a.conv1.weight"], other["Conv_1a.conv1.weight"])


def test_convolutions_start_from_a_normal_of_scale_one_hundredth() -> None:
    network = S3D(generator=seeded())
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            n = module.weight.numel()
            assert abs(module.weight.mean()) < 6 * 0.01 / math.sqrt(n)
            assert abs(module.weight.std() / 0.01 - 1) < 6 / math.sqrt(2 * n)
            assert module.bias is None
        if isinstance(module, nn.BatchNorm3d):
            assert (module.eps, module.momentum) == (1e-5, 0.1)


def test_a_gate_scales_each_channel_by_the_sigmoid_of_its_mean() -> None:
    gate = Gate(2, seeded())
    with torch.no_grad():
        gate.fc.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        gate.fc.bias.copy_(torch.tensor([0.0, math.log(3)]))
    x_BCTHW = torch.zeros(1, 2, 1, 1, 2)
    x_BCTHW[0, 0] = torch.tensor([0.0, 2 * math.log(4)])  # mean log 4: the gate is 4/5
    x_BCTHW[0, 1] = 8.0  # the gate is 3/4
    y = gate(x_BCTHW)
    torch.testing.assert_close(y[0, 0].flatten(), torch.tensor([0.0, 1.6 * math.log(4)]))
    torch.testing.assert_close(y[0, 1].flatten(), torch.tensor([6.0, 6.0]))


def test_the_head_gives_unit_vectors() -> None:
    y = ContrastHead(16, 4, generator=seeded())(clips(5, 16))
    assert y.shape == (5, 4)
    torch.testing.assert_close(y.norm(dim=1), torch.ones(5))


# Faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 2, 8, 32, 32), "2 channels, 8 frames and 32 x 32 px; expected 3 channels"),
        ((1, 3, 4, 32, 32), "4 frames.*at least 5 frames"),
        ((1, 3, 8, 16, 32), "16 x 32 px.*of 17 x 17 px"),
        ((1, 3, 8, 32, 16), "32 x 16 px.*of 17 x 17 px"),
    ],
)
def test_clips_of_another_kind_or_too_small_are_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        tiny()(torch.zeros(shape))


# Widths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(64, 1, 64), (83, 1, 83), (64, 0.5, 32), (24, 0.5, 16), (16, 0.125, 8), (64, 2, 128)],
)
def test_channels_are_scaled_to_a_multiple_of_8(channels: int, width: float, expected: int) -> None:
    assert scaled(channels, width) == expected


@pytest.mark.parametrize("width", [0, -1, math.nan, math.inf])
def test_a_width_that_is_no_positive_number_is_refused(width: float) -> None:
    with pytest.raises(FeatureError, match="expected a positive multiplier"):
        scaled(64, width)


# Tally -------------------------------------------------------------------------------------------


def test_multiply_adds_are_counted_per_output_value() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 6, (3, 1), padding=(1, 0), groups=2),  # 5 x 7 x 6 outputs, 2 x 3 taps each
        nn.BatchNorm2d(6),
        nn.Flatten(),
        nn.Linear(5 * 7 * 6, 10),
    ).eval()
    counted = tally(network, (4, 5, 7))
    assert counted.multiply_adds == 5 * 7 * 6 * 2 * 3 + 10 * 5 * 7 * 6
    assert counted.parameters == (6 * 2 * 3 + 6) + 2 * 6 + (210 * 10 + 10)
    assert counted.output == (10,)


def test_counting_leaves_the_network_as_it_was() -> None:
    network = tiny().eval()
    x_BCTHW = clips(1, 3, 8, 32, 32)
    before = network(x_BCTHW)
    tally(network, (3, 8, 32, 32))
    assert torch.equal(network(x_BCTHW), before)
    assert not any(module._forward_hooks for module in network.modules())


def test_a_failed_count_leaves_no_hook() -> None:
    network = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        tally(network, (4,))
    assert not network[0]._forward_hooks
