"""R(2+1)D-26, R3D-26, C3D, R3D-10 and R2D-10: published sizes, initial weights, strides."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from wtal_features.encoders.c3d import C3D
from wtal_features.encoders.r2plus1d26 import R3D26, R2Plus1D26
from wtal_features.encoders.r3d10 import R2D10, R3D10
from wtal_features.encoders.tally import tally
from wtal_features.errors import FeatureError

torch.set_num_threads(1)

Build = Callable[..., Any]
ALL: list[Build] = [R2Plus1D26, R3D26, C3D, R3D10, R2D10]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("build", "shape", "parameters", "output", "giga"),
    [
        (R2Plus1D26, (3, 16, 112, 112), 26_507_471, (2048, 2, 4, 4), 10.2),
        (R3D26, (3, 16, 112, 112), 26_498_752, (2048, 2, 4, 4), 9.3),
        (C3D, (3, 16, 112, 112), 27_661_440, (512, 2, 7, 7), 38.5),
        (R3D10, (2, 8, 112, 112), 14_352_384, (512, 1, 7, 7), 11.1),
        (R2D10, (3, 1, 112, 112), 4_905_792, (512, 1, 4, 4), 0.2),
    ],
)
def test_the_published_networks_have_their_published_sizes(
    build: Build,
    shape: tuple[int, ...],
    parameters: int,
    output: tuple[int, ...],
    giga: float,
) -> None:
    network = build(generator=seeded()).eval()
    counted = tally(network, shape)
    assert (counted.parameters, counted.output) == (parameters, output)
    assert round(counted.multiply_adds / 1e9, 1) == giga
    assert network.dim == output[0]


def test_the_factored_network_has_its_published_inner_channels_and_names() -> None:
    tensors = R2Plus1D26(generator=seeded()).state_dict()
    assert tensors["conv1_s.weight"].shape == (83, 3, 1, 7, 7)
    assert tensors["layer1.0.conv2_s.weight"].shape == (144, 64, 1, 3, 3)
    assert len(tensors) == 228


@torch.no_grad()
@pytest.mark.parametrize("build", [R2Plus1D26, R3D26])
def test_stages_give_the_maps_that_pre_training_adds(build: Build) -> None:
    network = build(width=0.125, generator=seeded()).eval()
    clip = torch.rand(1, 3, 16, 112, 112, generator=seeded())
    third, fourth = network.stages(clip)
    assert third.shape == (1, 128, 4, 7, 7)
    assert fourth.shape == (1, 256, 2, 4, 4)
    assert torch.equal(fourth, network(clip))


@torch.no_grad()
@pytest.mark.parametrize("build", [R2Plus1D26, R3D26, R3D10, R2D10])
def test_every_block_starts_as_its_shortcut(build: Build) -> None:
    network = build(width=0.125, generator=seeded()).eval()
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in layer:
            clip = torch.randn(1, block.conv1.in_channels, 2, 5, 4, generator=seeded())
            assert torch.equal(block(clip), block.downsample(clip).relu())


@pytest.mark.parametrize("build", ALL)
def test_kernels_start_with_variance_2_over_fan_out(build: Build) -> None:
    network = build(width=0.5, generator=seeded())
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.weight.numel() > 50_000:
            fan_out = module.weight[:, 0].numel()
            assert module.weight.var().item() * fan_out == pytest.approx(2, abs=0.08)


@pytest.mark.parametrize("build", ALL)
def test_one_backward_pass_reaches_every_weight(build: Build) -> None:
    network = build(width=0.125, generator=seeded())
    for module in network.modules():  # the blocks must be more than their shortcuts
        if isinstance(module, nn.BatchNorm3d):
            nn.init.ones_(module.weight)
    channels = 2 if build is R3D10 else 3
    network(torch.rand(2, channels, 8, 32, 32, generator=seeded())).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        # In front of a BatchNorm a bias changes nothing.
        if not (build is C3D and name.startswith("conv") and name.endswith("bias")):
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("build", ALL)
def test_weights_come_from_the_generator_alone(build: Build) -> None:
    before = torch.get_rng_state()
    one, again, other = (build(width=0.125, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    states = [torch.cat([p.flatten() for p in net.parameters()]) for net in (one, again, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@torch.no_grad()
@pytest.mark.parametrize(
    ("build", "size", "expected"),
    [
        (R2Plus1D26, (1, 1, 1), (1, 1, 1)),
        (R3D26, (9, 33, 64), (2, 2, 2)),
        (R3D10, (9, 17, 32), (2, 2, 2)),
        (R2D10, (3, 33, 64), (3, 2, 2)),
        (C3D, (8, 16, 16), (1, 1, 1)),
        (C3D, (15, 31, 32), (1, 1, 2)),
    ],
)
def test_odd_and_smallest_sizes_work(
    build: Build, size: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    network = build(width=0.125, in_channels=2, generator=seeded()).eval()
    clip = torch.rand(1, 2, *size, generator=seeded())
    assert network(clip).shape[2:] == expected


@pytest.mark.parametrize("size", [(7, 16, 16), (8, 15, 16), (8, 16, 15)])
def test_c3d_refuses_clips_that_its_pools_would_swallow(size: tuple[int, int, int]) -> None:
    network = C3D(width=0.125, generator=seeded())
    with pytest.raises(FeatureError, match="at least 8 frames of 16 x 16 px"):
        network(torch.zeros(1, 3, *size))


@torch.no_grad()
def test_the_image_network_keeps_frames_apart() -> None:
    network = R2D10(width=0.125, generator=seeded()).eval()
    frames = torch.rand(1, 3, 3, 32, 32, generator=seeded())
    alone = [network(frames[:, :, t : t + 1]) for t in range(3)]
    torch.testing.assert_close(network(frames), torch.cat(alone, dim=2))
