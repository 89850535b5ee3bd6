"""iMAC and L3-iRMAC: closed forms, the public definition, what they do not depend on."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wtal_features.encoders.catalog import EncoderOptions, load_encoder
from wtal_features.encoders.frame_descriptors import (
    DESCRIPTORS,
    POOLINGS,
    FrameDescriptors,
    imac,
    irmac,
)
from wtal_features.encoders.resnet50 import ResNet50
from wtal_features.encoders.untrained import textures

torch.set_num_threads(1)

TINY = EncoderOptions(width=0.125, size=64)


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).relu()


def test_imac_in_closed_form() -> None:
    # Two places, (3, 4) and (0, 2): (.6, .8) and (0, 1), the maximum (.6, 1).
    map_BCTHW = torch.tensor([[3.0, 0.0], [4.0, 2.0]]).reshape(1, 2, 1, 1, 2)
    torch.testing.assert_close(imac(map_BCTHW).flatten(), torch.tensor([0.6, 1.0]) / 1.36**0.5)


def test_irmac_in_closed_form_where_every_place_is_a_region() -> None:
    # (.6, .8) + (0, 1), of length sqrt(.36 + 3.24).
    map_BCTHW = torch.tensor([[3.0, 0.0], [4.0, 2.0]]).reshape(1, 2, 1, 1, 2)
    torch.testing.assert_close(irmac(map_BCTHW).flatten(), torch.tensor([0.6, 1.8]) / 3.6**0.5)


@pytest.mark.parametrize(
    ("side", "kernel", "step"), [(56, 24, 16), (28, 12, 8), (14, 6, 4), (7, 3, 2)]
)
def test_regions_of_the_published_maps_are_three_by_three(
    side: int, kernel: int, step: int
) -> None:
    map_BCTHW = maps(2, 5, 3, side, side)
    wanted = []
    for frame in range(3):  # as it is written in the public code, frame by frame
        x_BCHW = F.normalize(map_BCTHW[:, :, frame], dim=1)
        regions = [
            F.normalize(x_BCHW[:, :, y : y + kernel, x : x + kernel].amax(dim=(2, 3)), dim=1)
            for y in (0, step, 2 * step)
            for x in (0, step, 2 * step)
        ]
        wanted.append(F.normalize(torch.stack(regions).sum(0), dim=1))
    torch.testing.assert_close(irmac(map_BCTHW), torch.stack(wanted, dim=2))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 40), (4, 4), (7, 13), (8, 8), (17, 17)])
@pytest.mark.parametrize("name", DESCRIPTORS)
def test_maps_of_any_size_give_rows_of_length_1(name: str, size: tuple[int, int]) -> None:
    y_BCT = DESCRIPTORS[name](maps(2, 6, 3, *size) + 0.1)
    assert y_BCT.shape == (2, 6, 3)
    torch.testing.assert_close(y_BCT.norm(dim=1), torch.ones(2, 3))


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_the_scale_of_a_map_does_not_matter_and_an_empty_map_is_zero(name: str) -> None:
    map_BCTHW = maps(1, 6, 2, 14, 14)
    torch.testing.assert_close(DESCRIPTORS[name](7 * map_BCTHW), DESCRIPTORS[name](map_BCTHW))
    assert DESCRIPTORS[name](torch.zeros(1, 6, 2, 14, 14)).abs().sum() == 0


def test_imac_does_not_see_where_things_are_and_irmac_does() -> None:
    map_BCTHW = maps(1, 6, 1, 14, 14)
    order = torch.randperm(14 * 14, generator=torch.Generator().manual_seed(1))
    moved = map_BCTHW.flatten(3)[..., order].reshape(map_BCTHW.shape)
    torch.testing.assert_close(imac(moved), imac(map_BCTHW))
    assert (irmac(moved) - irmac(map_BCTHW)).norm() > 1e-3


def test_both_do_not_see_a_mirror() -> None:
    map_BCTHW = maps(1, 6, 1, 14, 14)
    for describe in (imac, irmac):
        torch.testing.assert_close(describe(map_BCTHW.flip(4)), describe(map_BCTHW))


def test_a_network_is_described_stage_by_stage() -> None:
    network = ResNet50(width=0.125, generator=torch.Generator().manual_seed(0)).eval()
    described = FrameDescriptors(network, "irmac")
    x_BCTHW = maps(2, 3, 2, 64, 64)
    with torch.no_grad():
        y = described(x_BCTHW)
        wanted = torch.cat([irmac(stage) for stage in network.stages(x_BCTHW)], dim=1)
    assert y.shape == (2, described.dim, 2, 1, 1)
    assert described.dim == 32 + 64 + 128 + 256
    assert torch.equal(y[..., 0, 0], wanted)
    torch.testing.assert_close(y.norm(dim=1), torch.full((2, 2, 1, 1), 2.0))  # four parts of 1


def test_the_published_descriptor_has_3840_dimensions() -> None:
    generator = torch.Generator().manual_seed(0)
    assert FrameDescriptors(ResNet50(generator=generator), "irmac").dim == 3840


# As encoders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet50", "efficientnet-lite0", "efficientnet-lite2"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_clip_of_several_frames_is_the_mean_of_its_frames(name: str, pooling: str) -> None:
    encoder, _ = load_encoder(name, replace(TINY, pooling=pooling, frames=3))
    clips = textures(encoder.clip, torch.Generator().manual_seed(1))
    dense, single = encoder.encode_dense(clips), encoder.encode(clips.flatten(0, 1)[:, None])
    assert dense.shape == (2, 3, encoder.dim)
    torch.testing.assert_close(dense.flatten(0, 1), single, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encoder.encode(clips), dense.mean(dim=1))


@pytest.mark.parametrize("pooling", ["imac", "irmac"])
def test_four_parts_of_a_frame_have_length_1_in_every_precision(pooling: str) -> None:
    for precision in ("float32", "bfloat16"):
        options = replace(TINY, pooling=pooling, precision=precision)
        encoder, _ = load_encoder("resnet50", options)
        rows = encoder.encode(textures(encoder.clip, torch.Generator().manual_seed(1)))
        assert rows.dtype == torch.float32
        for part in torch.split(rows, [32, 64, 128, 256], dim=1):
            torch.testing.assert_close(part.norm(dim=1), torch.ones(2))


def test_descriptors_of_one_network_are_told_apart_by_their_names_and_descriptions() -> None:
    encoders = [load_encoder("resnet50", replace(TINY, pooling=p))[0] for p in POOLINGS]
    assert [e.name for e in encoders] == ["resnet50", "resnet50+imac", "resnet50+irmac"]
    assert [e.describe()["pooling"] for e in encoders] == list(POOLINGS)
    assert [e.dim for e in encoders] == [256, 480, 480]
    plain, _ = load_encoder("resnet50", TINY)
    assert plain.describe() == encoders[0].describe()


def test_a_picture_is_nearer_to_its_noisy_copy_than_to_another() -> None:
    for pooling in ("imac", "irmac"):
        encoder, _ = load_encoder("resnet50", replace(TINY, pooling=pooling))
        clips = textures(encoder.clip, torch.Generator().manual_seed(2))
        noise = torch.randint(-6, 7, clips.shape, generator=torch.Generator().manual_seed(3))
        copies = (clips.int() + noise).clamp(0, 255).byte()
        rows, others = (F.normalize(encoder.encode(x), dim=1) for x in (clips, copies))
        likeness = rows @ others.T
        assert (likeness.diagonal() > likeness[[0, 1], [1, 0]]).all()
        assert not math.isclose(likeness[0, 1].item(), 1, abs_tol=1e-3)
