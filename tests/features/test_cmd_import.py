"""CMD's files, made here with their published names, into our networks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from wtal_features.checkpoints.cmd import CMD_CLIP, load_cmd
from wtal_features.encoders.c3d import C3D
from wtal_features.encoders.r2plus1d26 import R3D26, R2Plus1D26
from wtal_features.encoders.r3d10 import R2D10, R3D10
from wtal_features.errors import FeatureError

torch.set_num_threads(1)

Tensors = dict[str, Tensor]
BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def published_names() -> Iterator[str]:
    """Of damo/cv_r2p1d_video_embedding: 38 convolutions, each with its BatchNorm."""
    pairs = [("conv1_s", "bn1_s"), ("conv1_t", "bn1_t")]
    for layer in range(1, 5):
        for block in range(2):
            parts = ["1", "2_s", "2_t", "3"]
            pairs += [
                (f"layer{layer}.{block}.conv{p}", f"layer{layer}.{block}.bn{p}") for p in parts
            ]
            if block == 0:
                pairs.append((f"layer{layer}.0.downsample.0", f"layer{layer}.0.downsample.1"))
    for conv, bn in pairs:
        yield f"{conv}.weight"
        yield from (f"{bn}.{name}" for name in BN)


def trained(build: Callable[..., Any], width: float = 0.125, seed: int = 0) -> nn.Module:
    """A network none of whose tensors is at its initial value."""
    draws = torch.Generator().manual_seed(seed)
    network: nn.Module = build(width=width, generator=draws).eval()
    for tensor in network.state_dict().values():
        if tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=draws)
    return network


def save(path: Path, tensors: Tensors) -> Path:
    torch.save(tensors, path)
    return path


def whole_training() -> tuple[Tensors, dict[str, nn.Module]]:
    """The state_dict of a pre-training, and the three networks in it."""
    networks = {
        "rgb_backbone.": trained(R2Plus1D26, seed=1),
        "m_backbone.": trained(R3D10, seed=2),
        "i_backbone.": trained(R2D10, seed=3),
    }
    tensors = {
        f"{prefix}{name}": tensor
        for prefix, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    others = ["fc.weight", "k_embedding.weight", "q_embedding.weight"]
    others += ["transformer.encoder.layers.0.self_attn.in_proj_weight", "mq_head.0.weight"]
    others += ["mk_head.1.bias", "iq_head.3.weight", "ik_head.4.running_mean"]
    return tensors | {name: torch.ones(2) for name in others}, networks


def test_our_names_are_the_published_ones() -> None:
    names = list(published_names())
    assert len(names) == 228
    network = R2Plus1D26(width=0.125, generator=torch.Generator())
    assert set(network.state_dict()) == set(names)


@torch.no_grad()
@pytest.mark.parametrize("build", [R2Plus1D26, R3D26, C3D])
def test_a_published_file_gives_the_network_that_was_trained(
    tmp_path: Path, build: Callable[..., Any]
) -> None:
    source = trained(build)
    network, report = load_cmd(save(tmp_path / "pytorch_model.bin", source.state_dict()))
    assert type(network) is build
    assert not network.training
    clip = torch.rand(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(network(clip), source(clip))
    assert set(report.used) == set(source.state_dict())
    assert not report.left


def test_the_published_width_is_found(tmp_path: Path) -> None:
    source = R2Plus1D26(generator=torch.Generator().manual_seed(0))
    network, report = load_cmd(save(tmp_path / "v.bin", source.state_dict()))
    assert network.dim == 2048
    assert len(report.used) == 228


@torch.no_grad()
@pytest.mark.parametrize(
    ("part", "prefix", "channels"),
    [("video", "rgb_backbone.", 3), ("motion", "m_backbone.", 2), ("image", "i_backbone.", 3)],
)
def test_each_network_of_a_pre_training_can_be_had(
    tmp_path: Path, part: Literal["video", "motion", "image"], prefix: str, channels: int
) -> None:
    tensors, networks = whole_training()
    network, report = load_cmd(save(tmp_path / "epoch_120.pth", tensors), part)
    source = networks[prefix]
    assert type(network) is type(source)
    clip = torch.rand(1, channels, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(network(clip), source(clip))
    assert set(report.used) == {f"{prefix}{name}" for name in source.state_dict()}
    assert set(report.used) | set(report.left) == set(tensors)


def test_what_is_left_of_a_pre_training_has_its_reason(tmp_path: Path) -> None:
    tensors, _ = whole_training()
    tensors["rgb_backbone.odd"] = tensors["odd"] = torch.ones(1)
    _, report = load_cmd(save(tmp_path / "epoch_120.pth", tensors))
    assert report.left["m_backbone.conv1.weight"] == "motion network"
    assert report.left["i_backbone.bn1.bias"] == "image network"
    assert (
        report.left["transformer.encoder.layers.0.self_attn.in_proj_weight"] == "motion predictor"
    )
    assert report.left["iq_head.3.weight"] == "head of the context"
    assert report.left["rgb_backbone.odd"] == report.left["odd"] == "unknown"


def test_a_classifier_and_the_prefix_of_parallel_training_are_no_hindrance(tmp_path: Path) -> None:
    tensors = trained(R3D26).state_dict() | {
        "fc.weight": torch.ones(2, 2),
        "fc.bias": torch.ones(2),
    }
    named = {f"module.{name}": tensor for name, tensor in tensors.items()}
    network, report = load_cmd(save(tmp_path / "latest.pth", named))
    assert type(network) is R3D26
    assert set(report.left) == {"fc.weight", "fc.bias"}


def test_old_files_without_step_counters_are_whole(tmp_path: Path) -> None:
    tensors = {n: t for n, t in trained(C3D).state_dict().items() if "num_batches" not in n}
    network, _ = load_cmd(save(tmp_path / "c3d.pth", tensors))
    assert torch.equal(network.state_dict()["conv5b.bias"], tensors["conv5b.bias"])


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = trained(R2Plus1D26).state_dict()
    del tensors["layer3.1.bn2_t.running_mean"]
    with pytest.raises(FeatureError, match=r"lacks 1 of the 190 .* layer3.1.bn2_t.running_mean"):
        load_cmd(save(tmp_path / "v.bin", tensors))


def test_another_shape_is_named(tmp_path: Path) -> None:
    tensors = trained(R2Plus1D26).state_dict()
    tensors["layer3.1.conv3.weight"] = tensors["layer3.1.conv3.weight"][:-1]
    with pytest.raises(FeatureError, match=r"layer3.1.conv3.weight has shape \(127, 32, 1, 1, 1\)"):
        load_cmd(save(tmp_path / "v.bin", tensors))


def test_a_published_file_has_no_motion_network(tmp_path: Path) -> None:
    path = save(tmp_path / "v.bin", trained(R2Plus1D26).state_dict())
    with pytest.raises(FeatureError, match=r"holds no motion network.*the video's alone"):
        load_cmd(path, "motion")


@pytest.mark.parametrize(
    "tensors",
    [
        {"weight": torch.ones(1)},
        {"conv1.weight": torch.ones(64, 3, 7, 7)},
        {"conv1.weight": torch.ones(0, 3, 3, 7, 7)},
        {"conv1.weight": torch.ones(4096, 3, 1, 1, 1)},
        {"conv1.weight": torch.ones(64, 4096, 1, 1, 1)},
        {"conv1_s.weight": torch.ones(83, 3, 1, 7, 7), "conv1_t.weight": torch.ones(())},
    ],
)
def test_other_files_and_giants_are_refused(tmp_path: Path, tensors: Tensors) -> None:
    with pytest.raises(FeatureError, match="holds no video network of CMD"):
        load_cmd(save(tmp_path / "v.bin", tensors))


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "v.bin", trained(R3D10).state_dict())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FeatureError) as caught:
        load_cmd(path)
    assert caught.value.code == "checkpoint"


def test_cmd_sees_every_fourth_frame() -> None:
    assert (CMD_CLIP.frames, CMD_CLIP.every, CMD_CLIP.span) == (16, 4, 61)
    pixels = CMD_CLIP.preprocess
    assert (pixels.short_side, pixels.size, pixels.long_side) == (128, 112, "round")
    assert (pixels.resampling, pixels.antialias) == ("bilinear", True)
    assert pixels.mean == (0.485, 0.456, 0.406)
