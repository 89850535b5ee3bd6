"""R3D-50: published sizes, two ways to pad, initial weights."""

import pytest
import torch
from torch import nn

from wtal_features.encoders.r3d50 import R3D50, CVRLHead
from wtal_features.encoders.tally import tally

torch.set_num_threads(1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(*, tf_same_padding: bool = False, seed: int = 0) -> R3D50:
    return R3D50(width=0.125, tf_same_padding=tf_same_padding, generator=seeded(seed))


@pytest.fixture(scope="module")
def published() -> R3D50:
    return R3D50(generator=seeded()).eval()


def test_the_published_network_has_its_published_size(published: R3D50) -> None:
    network = tally(published, (3, 16, 128, 128))
    assert network.parameters == 31_672_128
    assert network.output == (2048, 8, 4, 4)
    assert published.dim == 2048
    assert len(published.state_dict()) == 318


def test_the_published_network_costs_what_was_measured(published: R3D50) -> None:
    assert round(tally(published, (3, 16, 224, 224)).multiply_adds / 1e9, 1) == 45.5
    assert round(tally(published, (3, 32, 256, 256)).multiply_adds / 1e9, 1) == 118.9


@pytest.mark.parametrize(("width", "parameters"), [(0.25, 1_998_288), (0.125, 505_832)])
def test_narrow_copies_have_their_known_sizes(width: float, parameters: int) -> None:
    network = R3D50(width=width, generator=seeded())
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.dim == 2048 * width


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 32, 32), (7, 45, 54), (16, 33, 64)])
def test_both_ways_to_pad_give_maps_of_one_size_with_sizes_rounded_up(
    size: tuple[int, int, int],
) -> None:
    t, h, w = size
    expected = (256, -(-t // 2), -(-h // 32), -(-w // 32))
    for padding in (False, True):
        network = small(tf_same_padding=padding).eval()
        assert tally(network, (3, *size)).output == expected


@torch.no_grad()
def test_padding_changes_the_features_of_even_frames_and_no_weight_s_name() -> None:
    symmetric, same = small().eval(), small(tf_same_padding=True).eval()
    same.load_state_dict(symmetric.state_dict())
    even = torch.rand(1, 3, 4, 32, 32, generator=seeded())
    assert not torch.allclose(symmetric(even), same(even))
    # 65 -> 33 -> 17 -> 9 -> 5 -> 3 stays odd; in time 5 -> 3.
    odd = torch.rand(1, 3, 5, 65, 65, generator=seeded())
    torch.testing.assert_close(symmetric(odd), same(odd))


@torch.no_grad()
def test_the_first_two_layers_see_one_frame_at_a_time_and_the_last_two_three() -> None:
    network = small().eval()
    frames = torch.rand(1, 8, 6, 8, 8, generator=seeded())
    changed = frames.clone()
    changed[:, :, 3] += 1
    early = nn.Sequential(network.layer1, network.layer2)
    moved = (early(frames) - early(changed)).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
    assert moved.tolist() == [False, False, False, True, False, False]
    block = network.get_submodule("layer3.0")
    a, b = early(frames), early(changed)
    moved = (block(a) - block(b)).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
    assert moved.tolist() == [False, False, True, True, True, False]


@torch.no_grad()
def test_a_batch_is_its_clips() -> None:
    network = small(tf_same_padding=True).eval()
    clips = torch.rand(2, 3, 4, 32, 32, generator=seeded())
    alone = torch.cat([network(clip[None]) for clip in clips])
    torch.testing.assert_close(network(clips), alone)


def test_every_weight_gets_a_gradient() -> None:
    network = small()
    network(torch.rand(2, 3, 4, 32, 32, generator=seeded())).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_kernels_start_with_variance_1_over_fan_in_cut_at_two_deviations() -> None:
    kernel = R3D50(width=0.5, generator=seeded()).state_dict()["layer4.0.conv1.weight"]
    fan_in = kernel[0].numel()
    assert kernel.var().item() * fan_in == pytest.approx(1, abs=0.02)
    assert kernel.abs().max().item() * fan_in**0.5 <= 2 / 0.8796


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    networks = [small(seed=1), small(seed=1), small(seed=2)]
    assert torch.equal(torch.get_rng_state(), before)
    one, again, other = (torch.cat([p.flatten() for p in n.parameters()]) for n in networks)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_head_has_its_published_size_and_gives_rows_of_length_1() -> None:
    head = CVRLHead(generator=seeded())
    assert sum(p.numel() for p in head.parameters()) == 12_863_616
    rows = CVRLHead(16, 4, generator=seeded())(torch.rand(5, 16, generator=seeded()))
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))


def test_the_head_s_averages_move_by_3_thousandths_a_step() -> None:
    head = CVRLHead(4, 2, generator=seeded())
    features = torch.rand(8, 4, generator=seeded())
    head(features)
    first = head.layers[0](features).mean(dim=0)
    torch.testing.assert_close(head.layers[1].running_mean, 0.003 * first)
