"""I3D: counts from its table, TensorFlow's padding, names of the files in circulation."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wtal_features.checkpoints.i3d import I3D_FLOW, I3D_RGB, load_i3d
from wtal_features.encoders.i3d import I3D, Unit
from wtal_features.encoders.tally import tally
from wtal_features.errors import FeatureError
from wtal_features.preprocess import to_network

torch.set_num_threads(1)

# Input channels, then a; b0, b1; c0, c1; d: table 1 of "Going deeper with convolutions", with the
# second 3x3 that I3D has in place of the 5x5.
BLOCKS = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}


def units(in_channels: int) -> dict[str, tuple[int, int, int]]:
    """Name -> input channels, output channels, kernel, of all 57 convolutions."""
    found = {
        "Conv3d_1a_7x7": (in_channels, 64, 7),
        "Conv3d_2b_1x1": (64, 64, 1),
        "Conv3d_2c_3x3": (64, 192, 3),
    }
    for block, (c_in, a, b0, b1, c0, c1, d) in BLOCKS.items():
        parts = {
            "b0": (c_in, a, 1),
            "b1a": (c_in, b0, 1),
            "b1b": (b0, b1, 3),
            "b2a": (c_in, c0, 1),
            "b2b": (c0, c1, 3),
            "b3b": (c_in, d, 1),
        }
        found |= {f"Mixed_{block}.{part}": shape for part, shape in parts.items()}
    return found


def file_shapes(in_channels: int) -> dict[str, tuple[int, ...]]:
    """What a file of torch 0.3 holds, which had no counters in BatchNorm."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (c_in, c_out, k) in units(in_channels).items():
        shapes[f"{name}.conv3d.weight"] = (c_out, c_in, k, k, k)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (c_out,)
    return shapes | {"logits.conv3d.weight": (400, 1024, 1, 1, 1), "logits.conv3d.bias": (400,)}


def write_file(path: Path, in_channels: int, **changed: Tensor | None) -> dict[str, Tensor]:
    """A file whose every tensor repeats a number of its own; one number is stored for each."""
    tensors = {
        name: torch.tensor(float(i + 1)).expand(shape)
        for i, (name, shape) in enumerate(file_shapes(in_channels).items())
    }
    for name, tensor in changed.items():
        tensors.pop(name)
        if tensor is not None:
            tensors[name] = tensor
    torch.save(tensors, path)
    return tensors


def network(in_channels: int = 3, width: float = 0.125) -> I3D:
    return I3D(in_channels, width, generator=torch.Generator().manual_seed(0))


# The network -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("in_channels", "expected"), [(3, 12_287_264), (2, 12_265_312)])
def test_the_backbone_has_the_parameters_of_its_table(in_channels: int, expected: int) -> None:
    by_hand = sum(c_in * c_out * k**3 + 2 * c_out for c_in, c_out, k in units(in_channels).values())
    counted = tally(network(in_channels, 1).eval(), (in_channels, 16, 224, 224))
    assert counted.parameters == by_hand == expected
    assert counted.output == (1024, 2, 7, 7)


@pytest.mark.parametrize(
    ("shape", "output"),
    [((1, 1, 1), (1, 1, 1)), ((8, 32, 32), (1, 1, 1)), ((9, 33, 65), (2, 2, 3))],
)
def test_every_size_is_divided_and_rounded_up(
    shape: tuple[int, int, int], output: tuple[int, int, int]
) -> None:
    T, H, W = shape
    assert network().eval()(torch.zeros(1, 3, T, H, W)).shape == (1, 128, *output)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (8, [1, 3, 5, 7]),  # 5 zeros, 2 of them before: the middle tap starts at value 1
        (7, [0, 2, 4, 6]),  # 6 zeros, 3 of them before
    ],
)
def test_the_middle_tap_of_the_stem_sits_where_tensorflow_puts_it(
    size: int, expected: list[int]
) -> None:
    unit = Unit(1, 1, 7, 2, torch.Generator()).eval()
    with torch.no_grad():
        unit.conv3d.weight.zero_()
        unit.conv3d.weight[0, 0, 3, 3, 3] = (1 + 1e-3) ** 0.5  # undoes an untrained BatchNorm
    ramp = torch.arange(size, dtype=torch.float32)
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = size
        along = ramp.view(shape).expand(1, 1, size, size, size)
        y = unit(along).movedim(2 + axis, -1)[0, 0, 0, 0]
        torch.testing.assert_close(y, torch.tensor(expected, dtype=torch.float32))


def test_batchnorm_has_the_constants_of_the_published_port() -> None:
    norms = [m for m in network().modules() if isinstance(m, nn.BatchNorm3d)]
    assert len(norms) == 57
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}


def test_a_backward_pass_reaches_every_parameter() -> None:
    net = network(2)
    x_BCTHW = torch.randn(2, 2, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    net(x_BCTHW).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, same = network().state_dict(), network().state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], same[name]) for name in first)


def test_clips_of_another_stream_are_named() -> None:
    with pytest.raises(FeatureError, match="clips of 2 channels; expected 3"):
        network()(torch.zeros(1, 2, 8, 32, 32))


# Its files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stream", "channels"), [("rgb", 3), ("flow", 2)])
def test_a_file_fills_every_tensor_and_leaves_the_classifier(
    tmp_path: Path, stream: str, channels: int
) -> None:
    written = write_file(tmp_path / "i3d.pt", channels)
    loaded, report = load_i3d(tmp_path / "i3d.pt", stream)  # type: ignore[arg-type]
    state = loaded.state_dict()
    assert len(report.used) == 57 * 5
    assert all(torch.equal(state[name], written[name]) for name in report.used)
    assert report.left == {
        "logits.conv3d.weight": "classifier",
        "logits.conv3d.bias": "classifier",
    }
    assert not loaded.training


def test_colour_and_motion_reach_the_network_between_minus_one_and_one() -> None:
    colour = torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1, 1).expand(1, 2, 1, 1, 3)
    assert to_network(colour, I3D_RGB)[0, :, :, 0, 0].tolist() == [[-1, 1]] * 3
    motion = torch.tensor([-20.0, 0.0, 20.0]).view(1, 3, 1, 1, 1).expand(1, 3, 1, 1, 2)
    assert to_network(motion, I3D_FLOW)[0, :2, :, 0, 0].tolist() == [[-1, 0, 1]] * 2


@pytest.mark.parametrize(
    ("channels", "changed", "message"),
    [
        (2, {}, "takes 2 channels; expected 3 for rgb"),
        (3, {"Mixed_4e.b2b.bn.bias": None}, "lacks 1 of .* the first is Mixed_4e.b2b.bn.bias"),
        (3, {"Conv3d_1a_7x7.conv3d.weight": None}, "the first is Conv3d_1a_7x7.conv3d.weight"),
        (3, {"Mixed_3b.b0.bn.weight": torch.zeros(65)}, r"shape \(65,\); expected \(64,\)"),
        (3, {"Conv3d_1a_7x7.conv3d.weight": torch.zeros(64)}, r"shape \(64,\); expected \(64, 3"),
    ],
)
def test_a_file_of_another_network_is_refused(
    tmp_path: Path, channels: int, changed: dict[str, Tensor | None], message: str
) -> None:
    write_file(tmp_path / "i3d.pt", channels, **changed)
    with pytest.raises(FeatureError, match=message) as caught:
        load_i3d(tmp_path / "i3d.pt", "rgb")
    assert caught.value.code == "checkpoint"
