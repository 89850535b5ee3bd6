"""Networks as extraction runs them: the norms are gone, what they compute is the same."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from wtal_features.encoders.catalog import ENCODERS, EncoderOptions, load_encoder
from wtal_features.encoders.inference import layout, without_norms
from wtal_features.encoders.r3d50 import R3D50
from wtal_features.encoders.untrained import settle, textures
from wtal_features.errors import FeatureError


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def norms_of(network: nn.Module) -> list[nn.BatchNorm3d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def with_odd_norms(network: nn.Module, x_BCTHW: Tensor) -> nn.Module:
    """As after training: no factor is 1, no summand 0."""
    draws = torch.Generator().manual_seed(1)
    for norm in norms_of(network):
        nn.init.normal_(norm.weight, 1.0, 0.3, generator=draws)
        nn.init.normal_(norm.bias, 0.0, 0.3, generator=draws)
    return settle(network, x_BCTHW)


@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_no_network_needs_its_norms(name: str) -> None:
    architecture = ENCODERS[name]
    C, n = architecture.channels, max(5, architecture.clip.frames // 2)
    draws = torch.Generator().manual_seed(0)
    x_BCTHW = noise(2, C, n, 32, 32)
    network = with_odd_norms(architecture.build(C, 0.125, generator=draws), x_BCTHW)
    faster = without_norms(network, (C, n, 32, 32))
    assert not norms_of(faster)
    assert norms_of(network)
    y, z = network(x_BCTHW), faster(x_BCTHW)
    assert (y - z).norm() < 1e-3 * y.norm()
    z = faster.double()(x_BCTHW.double())
    y = network.double()(x_BCTHW.double())
    assert (y - z).norm() < 1e-4 * y.norm()  # what is left is the rounding of the weights


def test_lopsided_padding_stays() -> None:
    draws = torch.Generator().manual_seed(0)
    x_BCTHW = noise(2, 3, 8, 64, 64)
    network = with_odd_norms(R3D50(3, 0.125, tf_same_padding=True, generator=draws), x_BCTHW)
    faster = without_norms(network, (3, 8, 64, 64))
    with torch.no_grad():
        y, z = network(x_BCTHW), faster(x_BCTHW)
    assert (y - z).norm() < 1e-3 * y.norm()


def test_a_norm_in_closed_form() -> None:
    conv, norm = nn.Conv3d(1, 1, 1), nn.BatchNorm3d(1, eps=0.0)
    values = ((conv.weight, 3.0), (conv.bias, 5.0), (norm.weight, 2.0), (norm.bias, 7.0))
    for parameter, value in values:
        assert parameter is not None
        nn.init.constant_(parameter, value)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(16.0)
    pair = without_norms(nn.Sequential(conv, norm).eval(), (1, 1, 1, 1))
    merged = pair.get_submodule("0")
    assert isinstance(merged, nn.Conv3d)
    assert merged.bias is not None
    assert (merged.weight.item(), merged.bias.item()) == (1.5, 9.0)  # 2 (3 x + 5 - 1) / 4 + 7
    assert (conv.weight.item(), norm.weight.item()) == (3.0, 2.0)


@torch.no_grad()
def test_norms_behind_something_else_stay() -> None:
    x_BCTHW = noise(2, 3, 2, 4, 4)
    network = nn.Sequential(nn.BatchNorm3d(3), nn.Conv3d(3, 2, 1), nn.ReLU(), nn.BatchNorm3d(2))
    settle(network, x_BCTHW)
    same = without_norms(network, (3, 2, 4, 4))
    assert len(norms_of(same)) == 2
    assert torch.equal(same(x_BCTHW), network(x_BCTHW))


def test_clips_that_a_network_does_not_take_are_refused_before_any_is_decoded() -> None:
    draws = torch.Generator().manual_seed(0)
    network = ENCODERS["s3d"].build(3, 0.125, generator=draws).eval()
    with pytest.raises(FeatureError, match="S3D was given clips of 3 channels, 2 frames"):
        without_norms(network, (3, 2, 32, 32))


@pytest.mark.parametrize("name", ["s3d", "i3d", "r2plus1d26"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_row_does_not_depend_on_its_neighbours(name: str, precision: str) -> None:
    options = EncoderOptions(width=0.125, size=32, precision=precision)  # type: ignore[arg-type]
    encoder, _ = load_encoder(name, options)
    clips = torch.cat([textures(encoder.clip, torch.Generator().manual_seed(s)) for s in (0, 1)])
    rows = encoder.encode(clips)
    for other in (clips[[0, 2, 3, 1]], torch.cat([clips[:1], torch.zeros_like(clips[1:])])):
        assert torch.equal(encoder.encode(other)[0], rows[0])


def test_the_layout_changes_no_value_but_by_rounding() -> None:
    encoder, _ = load_encoder("r2plus1d26", EncoderOptions(width=0.125, size=32))
    clips = textures(encoder.clip, torch.Generator().manual_seed(0))
    rows = encoder.encode(clips)
    network = encoder.network  # type: ignore[attr-defined]
    weight = next(p for p in network.parameters() if p.ndim == 5 and p.shape[1] > 1)
    assert weight.is_contiguous(memory_format=layout(torch.device("cpu")))
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()
    assert (encoder.encode(clips) - rows).norm() < 1e-4 * rows.norm()


def test_gpus_keep_channels_first() -> None:
    assert layout(torch.device("cuda")) == torch.contiguous_format
