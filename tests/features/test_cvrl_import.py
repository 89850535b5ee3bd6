"""CVRL's checkpoints, made here with the names that Keras gives, into R3D-50."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.features.test_tf_bundle import write_bundle
from wtal_features.checkpoints.cvrl import CVRL_CLIP, load_cvrl
from wtal_features.encoders.r3d50 import R3D50
from wtal_features.errors import FeatureError

torch.set_num_threads(1)

Arrays = dict[str, NDArray[Any]]
END = "/.ATTRIBUTES/VARIABLE_VALUE"
BN = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def names_in_keras(first: int = 0) -> Iterator[tuple[str, str]]:
    """Name in a checkpoint, name in torch."""
    yield f"layer_with_weights-{first}/kernel", "conv1.weight"
    for theirs, ours in BN.items():
        yield f"layer_with_weights-{first + 1}/{theirs}", f"bn1.{ours}"
    i = first + 2
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            where = f"layer{stage}.{block}"
            parts = [("temporal", 1), ("spatial", 2), ("expand", 3)]
            for part, n in parts:
                yield f"layer_with_weights-{i}/_{part}_conv/kernel", f"{where}.conv{n}.weight"
                for theirs, ours in BN.items():
                    yield f"layer_with_weights-{i}/_norm{n}/{theirs}", f"{where}.bn{n}.{ours}"
            if block == 0:
                yield (
                    f"layer_with_weights-{i}/_shortcut_conv/kernel",
                    f"{where}.downsample.0.weight",
                )
                for theirs, ours in BN.items():
                    yield f"layer_with_weights-{i}/_norm0/{theirs}", f"{where}.downsample.1.{ours}"
            i += 1


@pytest.fixture(scope="module")
def trained() -> R3D50:
    """A network none of whose tensors is at its initial value."""
    draws = torch.Generator().manual_seed(0)
    network = R3D50(width=0.125, tf_same_padding=True, generator=draws).eval()
    for tensor in network.state_dict().values():
        if tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5, generator=draws)
    return network


@pytest.fixture(scope="module")
def arrays(trained: R3D50) -> Arrays:
    tensors, arrays = trained.state_dict(), {}
    for theirs, ours in names_in_keras():
        array = tensors[ours].numpy()
        if array.ndim == 5:  # (out, in, T, H, W) -> (T, H, W, in, out)
            array = array.transpose(2, 3, 4, 1, 0)
        arrays[f"backbone/{theirs}{END}"] = array
    arrays[f"save_counter{END}"] = np.array(1, "i8")
    return arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, arrays: Arrays) -> Path:
    path = tmp_path_factory.mktemp("cvrl")
    write_bundle(path / "r3d_1x_k400_200ep_backbone-1", arrays)
    return path


@torch.no_grad()
def test_a_checkpoint_gives_the_network_that_was_trained(folder: Path, trained: R3D50) -> None:
    network, report = load_cvrl(folder / "r3d_1x_k400_200ep_backbone-1")
    clips = torch.rand(2, 3, 4, 33, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(network(clips), trained(clips))
    assert not network.training
    assert network.dim == 256
    assert len(report.used) == 265
    assert report.left == {f"save_counter{END}": "state of the training"}


def test_kernels_are_turned_and_turned_back(folder: Path, arrays: Arrays) -> None:
    network, report = load_cvrl(folder)
    tensors = network.state_dict()
    kernel = arrays[f"backbone/layer_with_weights-9/_temporal_conv/kernel{END}"]
    assert kernel.shape == (3, 1, 1, 64, 32)
    weight = tensors["layer3.0.conv1.weight"]
    assert weight[5, 7, 2, 0, 0] == kernel[2, 0, 0, 7, 5]
    for theirs, ours in report.used.items():
        back = tensors[ours].numpy()
        back = back.transpose(2, 3, 4, 1, 0) if back.ndim == 5 else back
        np.testing.assert_array_equal(back, arrays[theirs])


def test_the_index_a_folder_and_the_prefix_are_three_ways_to_say_one_thing(folder: Path) -> None:
    prefix = folder / "r3d_1x_k400_200ep_backbone-1"
    states = [load_cvrl(path)[0].state_dict() for path in (folder, prefix, f"{prefix}.index")]
    assert all(torch.equal(s["conv1.weight"], states[0]["conv1.weight"]) for s in states)


def test_a_folder_of_none_or_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"holds 0 files \*.index; expected 1"):
        load_cvrl(tmp_path)
    for name in "ab":
        write_bundle(tmp_path / name, {})
    with pytest.raises(FeatureError, match="holds 2 files"):
        load_cvrl(tmp_path)


def test_numbers_of_layers_say_the_order_alone(
    tmp_path: Path, trained: R3D50, arrays: Arrays
) -> None:
    moved = {}
    pairs = zip(names_in_keras(), names_in_keras(first=95), strict=True)
    for (theirs, _), (later, _) in pairs:
        moved[f"model/{later}{END}"] = arrays[f"backbone/{theirs}{END}"]
    tensors = load_cvrl(write_bundle(tmp_path / "net", moved))[0].state_dict()
    assert all(torch.equal(tensors[name], t) for name, t in trained.state_dict().items())


def test_a_checkpoint_of_the_training_gives_its_backbone(tmp_path: Path, arrays: Arrays) -> None:
    stem = "backbone/layer_with_weights-0/kernel"
    head = f"model/layer_with_weights-1/kernel{END}"
    slot = f"{stem}/.OPTIMIZER_SLOT/optimizer/momentum{END}"
    block = "backbone/layer_with_weights-2/_norm1/gamma"
    slot_of_block = f"{block}/.OPTIMIZER_SLOT/optimizer/momentum{END}"
    more = {
        head: np.ones((4, 2), "f4"),
        slot: arrays[f"{stem}{END}"],
        slot_of_block: arrays[f"{block}{END}"],
        f"optimizer/iter{END}": np.array(3, "i8"),
    }
    _, report = load_cvrl(write_bundle(tmp_path / "net", arrays | more))
    assert len(report.used) == 265
    assert report.left == {
        head: "no layer of the backbone",
        slot: "optimizer",
        slot_of_block: "optimizer",
        f"optimizer/iter{END}": "state of the training",
        f"save_counter{END}": "state of the training",
    }


def test_a_missing_tensor_is_named(tmp_path: Path, arrays: Arrays) -> None:
    gone = f"backbone/layer_with_weights-4/_norm2/moving_variance{END}"
    fewer = {name: array for name, array in arrays.items() if name != gone}
    with pytest.raises(FeatureError, match=r"lacks 1 of the 265 .* layer1.2.bn2.running_var"):
        load_cvrl(write_bundle(tmp_path / "net", fewer))


def test_another_shape_is_named(tmp_path: Path, arrays: Arrays) -> None:
    name = f"backbone/layer_with_weights-4/_norm2/beta{END}"
    other = arrays | {name: np.zeros(9, "f4")}
    with pytest.raises(FeatureError, match=r"layer1.2.bn2.bias has shape \(9,\); expected \(8,\)"):
        load_cvrl(write_bundle(tmp_path / "net", other))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("layer_with_weights-17/", "15 residual blocks under 1 names"),
        ("layer_with_weights-0/", "16 residual blocks under 1 names"),
        ("backbone/", "0 residual blocks under 0 names"),
    ],
)
def test_another_network_is_refused(
    tmp_path: Path, arrays: Arrays, pattern: str, found: str
) -> None:
    fewer = {name: array for name, array in arrays.items() if pattern not in name}
    with pytest.raises(FeatureError, match=f"{found}; expected a stem and 16 blocks"):
        load_cvrl(write_bundle(tmp_path / "net", fewer))


def test_two_backbones_in_one_checkpoint_are_refused(tmp_path: Path, arrays: Arrays) -> None:
    twice = arrays | {f"copy/{name}": array for name, array in arrays.items()}
    with pytest.raises(FeatureError, match="under 2 names"):
        load_cvrl(write_bundle(tmp_path / "net", twice))


def test_a_stem_that_asks_for_a_giant_network_is_refused(tmp_path: Path, arrays: Arrays) -> None:
    stem = f"backbone/layer_with_weights-0/kernel{END}"
    for channels in (4096, 0):
        wide = arrays | {stem: np.zeros((1, 1, 1, 3, channels), "f4")}
        with pytest.raises(FeatureError, match=f"has {channels} channels; expected at most 128"):
            load_cvrl(write_bundle(tmp_path / "net", wide))


def test_cvrl_sees_every_second_frame_in_0_to_1_without_antialiasing() -> None:
    assert (CVRL_CLIP.frames, CVRL_CLIP.every, CVRL_CLIP.span) == (16, 2, 31)
    pixels = CVRL_CLIP.preprocess
    assert (pixels.short_side, pixels.size, pixels.antialias) == (256, 224, False)
    assert pixels.mean is None
    assert pixels.std is None
