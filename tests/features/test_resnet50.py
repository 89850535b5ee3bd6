"""ResNet-50: torchvision's sizes and names, maps of an independent network, faulty files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wtal_features.checkpoints.resnet50 import load_resnet50
from wtal_features.encoders.catalog import EncoderOptions, load_encoder, load_network
from wtal_features.encoders.inference import without_norms
from wtal_features.encoders.resnet50 import ResNet50
from wtal_features.encoders.tally import tally
from wtal_features.encoders.untrained import settle
from wtal_features.errors import FeatureError

torch.set_num_threads(1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed))


def small(seed: int = 0) -> ResNet50:
    return ResNet50(width=0.125, generator=seeded(seed))


def odd(seed: int = 0) -> ResNet50:
    """As after training: no norm is the identity."""
    network = small(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.2, generator=seeded(1))
            nn.init.normal_(module.bias, 0.0, 0.2, generator=seeded(2))
    settle(network, images(4, 3, 2, 64, 64, seed=3))
    return network


def as_torchvision(network: ResNet50) -> dict[str, Tensor]:
    """The state_dict of the same network of images, with a classifier."""
    tensors = {
        name: tensor[:, :, 0] if tensor.ndim == 5 else tensor
        for name, tensor in network.state_dict().items()
    }
    return tensors | {"fc.weight": torch.zeros(1000, network.dim), "fc.bias": torch.zeros(1000)}


def saved(folder: Path, tensors: Mapping[str, Tensor]) -> Path:
    torch.save(dict(tensors), folder / "resnet50.pth")
    return folder / "resnet50.pth"


# The network -------------------------------------------------------------------------------------


def test_the_published_network_has_its_published_size() -> None:
    published = ResNet50(generator=seeded()).eval()
    network = tally(published, (3, 1, 224, 224))
    classifier = 2048 * 1000 + 1000
    assert network.parameters == 23_508_032
    assert network.parameters + classifier == 25_557_032
    assert network.output == (2048, 1, 7, 7)
    assert round(network.multiply_adds / 1e9, 2) == 4.09
    assert (published.dim, published.stage_dims) == (2048, (256, 512, 1024, 2048))
    assert len(published.state_dict()) == 318


@pytest.mark.parametrize(("height", "width"), [(224, 224), (33, 64), (1, 1)])
def test_stages_halve_the_map_and_odd_sizes_are_rounded_up(height: int, width: int) -> None:
    network = small().eval()
    stages = network.stages(images(2, 3, 3, height, width))
    for stage, dim, stride in zip(stages, (32, 64, 128, 256), (4, 8, 16, 32), strict=True):
        assert stage.shape == (2, dim, 3, -(-height // stride), -(-width // stride))
    assert network.stage_dims == (32, 64, 128, 256)
    assert torch.equal(stages[-1], network(images(2, 3, 3, height, width)))


@torch.no_grad()
def test_maps_agree_with_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[32, 64, 128, 256], depths=[3, 4, 6, 3]
    )
    theirs, ours = transformers.ResNetModel(config).eval(), odd()
    theirs.load_state_dict(_in_transformers(as_torchvision(ours)))
    x_BCHW = images(2, 3, 65, 96, seed=5)
    wanted = theirs(x_BCHW, output_hidden_states=True).hidden_states[1:]
    for stage, map_BCHW in zip(ours.stages(x_BCHW[:, :, None]), wanted, strict=True):
        torch.testing.assert_close(stage[:, :, 0], map_BCHW, atol=1e-4, rtol=1e-4)


def _in_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[0] == "fc":
            continue
        if parts[0] in ("conv1", "bn1"):
            place, kind = "embedder.embedder", parts[0]
        else:
            place = f"encoder.stages.{int(parts[0][-1]) - 1}.layers.{parts[1]}."
            around = parts[2] == "downsample"
            kind = ("conv", "bn")[int(parts[3])] if around else parts[2]
            place += "shortcut" if around else f"layer.{int(kind[-1]) - 1}"
        kind = "convolution" if kind.startswith("conv") else "normalization"
        found[f"{place}.{kind}.{parts[-1]}"] = tensor
    return found


@torch.no_grad()
def test_no_frame_sees_another() -> None:
    network = odd()
    x_BCTHW = images(2, 3, 4, 32, 32)
    alone = torch.cat([network(x_BCTHW[:, :, t : t + 1]) for t in range(4)], dim=2)
    torch.testing.assert_close(network(x_BCTHW), alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_maps_of_all_stages_stay_without_norms() -> None:
    network = odd()
    faster: Any = without_norms(network, (3, 1, 64, 64))
    assert not any(isinstance(module, nn.BatchNorm3d) for module in faster.modules())
    x_BCTHW = images(2, 3, 1, 64, 64, seed=6)
    for stage, wanted in zip(faster.stages(x_BCTHW), network.stages(x_BCTHW), strict=True):
        assert (stage - wanted).norm() < 1e-4 * wanted.norm()


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    one, again, other = (torch.cat([p.flatten() for p in small(s).parameters()]) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


# Files -------------------------------------------------------------------------------------------


def test_a_file_of_torchvision_is_read_and_its_classifier_is_left(tmp_path: Path) -> None:
    network = odd()
    loaded, keys = load_resnet50(saved(tmp_path, as_torchvision(network)))
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert set(keys.left) == {"fc.weight", "fc.bias"}
    assert not loaded.training


def test_step_counters_are_optional(tmp_path: Path) -> None:
    tensors = as_torchvision(small())
    old = {name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")}
    loaded, keys = load_resnet50(saved(tmp_path, old))
    assert loaded.dim == 256
    assert len(keys.used) == 318 - 53


def test_a_wrapped_file_of_parallel_training_is_read(tmp_path: Path) -> None:
    inner = {f"module.{name}": t for name, t in as_torchvision(small()).items()}
    torch.save({"state_dict": inner, "epoch": 90}, tmp_path / "r.pth")
    assert load_resnet50(tmp_path / "r.pth")[0].dim == 256


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"layer4.2.bn3.bias": None},
            "lacks 1 of the 265 tensors .* the first is layer4.2.bn3.bias",
        ),
        ({"layer2.0.conv2.weight": torch.zeros(16, 1, 3, 3)}, r"layer2.0.conv2.weight has shape"),
        ({"layer3.6.conv1.weight": torch.zeros(8, 8, 1, 1)}, "layer3.6.* expected no such tensor"),
        ({"conv1.weight": None}, "holds no ResNet-50"),
        ({"conv1.weight": torch.zeros(8, 2, 7, 7)}, "holds no ResNet-50"),
        ({"conv1.weight": torch.zeros(8, 3, 3, 3)}, "holds no ResNet-50"),
        ({"conv1.weight": torch.zeros(0, 3, 7, 7)}, "holds no ResNet-50"),
        ({"conv1.weight": torch.zeros(1_000_000, 3, 1, 1).expand(-1, -1, 7, 7)}, "no ResNet-50"),
        ({"layer1.0.conv3.weight": None}, "holds no ResNet-50"),  # a ResNet-18
    ],
)
def test_a_file_of_another_network_is_refused(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    tensors = as_torchvision(small()) | changes
    path = saved(tmp_path, {name: t for name, t in tensors.items() if t is not None})
    with pytest.raises(FeatureError, match=problem):
        load_resnet50(path)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, as_torchvision(small()))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FeatureError, match="cut short, damaged, or no checkpoint"):
        load_resnet50(path)


# By name -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pooling", "dim", "name"),
    [
        (None, 256, "resnet50:resnet50.pth"),
        ("mean", 256, "resnet50:resnet50.pth"),
        ("imac", 480, "resnet50:resnet50.pth+imac"),
        ("irmac", 480, "resnet50:resnet50.pth+irmac"),
    ],
)
def test_a_file_is_an_encoder_with_a_pooling_that_its_name_and_description_say(
    tmp_path: Path, pooling: str | None, dim: int, name: str
) -> None:
    path = saved(tmp_path, as_torchvision(odd()))
    encoder, notes = load_encoder(f"resnet50:{path}", EncoderOptions(pooling=pooling))
    assert (encoder.name, encoder.dim) == (name, dim)
    said = encoder.describe()
    assert (said["pooling"], said["dim"], said["arch"]) == (pooling or "mean", dim, "ResNet50")
    assert "2 left (classifier)" in notes[1]
    pixels = encoder.clip.preprocess
    assert (pixels.short_side, pixels.crop, pixels.resampling) == (256, 224, "bicubic")
    rows = encoder.encode(torch.zeros(1, 1, 224, 224, 3, dtype=torch.uint8))
    assert rows.shape == (1, dim)


def test_what_is_trained_is_the_network_without_its_pooling(tmp_path: Path) -> None:
    path = saved(tmp_path, as_torchvision(odd()))
    start = load_network(f"resnet50:{path}")
    assert (start.dim, start.channels) == (256, 3)
    with pytest.raises(FeatureError, match="--pooling means nothing for resnet50"):
        load_network("resnet50", EncoderOptions(pooling="imac"))


@pytest.mark.parametrize("pooling", ["cls", "max", "", "IMAC"])
def test_a_pooling_that_there_is_not_is_refused(pooling: str) -> None:
    expected = f"resnet50 has no pooling '{pooling}'; expected mean, imac or irmac."
    with pytest.raises(FeatureError, match=expected):
        load_encoder("resnet50", EncoderOptions(pooling=pooling, width=0.125, size=32))
