"""CoCLR's files, made up after the names in its code: all tensors arrive, each key is explained."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wtal_features.checkpoints.coclr import COCLR_FLOW, COCLR_RGB, load_coclr
from wtal_features.checkpoints.report import KeyReport
from wtal_features.encoders.r3d50 import R3D50
from wtal_features.encoders.s3d import S3D
from wtal_features.errors import FeatureError

torch.set_num_threads(1)

BLOCKS = {
    1: ("Conv_1a",),
    2: ("MaxPool_2a", "Conv_2b", "Conv_2c"),
    3: ("MaxPool_3a", "Mixed_3b", "Mixed_3c"),
    4: ("MaxPool_4a", "Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f"),
    5: ("MaxPool_5a", "Mixed_5b", "Mixed_5c"),
}
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def pointwise(at: str) -> list[str]:
    return [f"{at}.conv.weight", *(f"{at}.bn.{part}" for part in BATCH_NORM)]


def separable(at: str) -> list[str]:
    convs = [f"{at}.conv{half}.weight" for half in (1, 2)]
    return [*convs, *(f"{at}.bn{half}.{part}" for half in (1, 2) for part in BATCH_NORM)]


def layer_names(layer: str) -> list[str]:
    """Names of one layer's tensors, as CoCLR's modules are nested."""
    if layer.startswith("MaxPool"):
        return []
    if layer.startswith("Conv"):
        return pointwise(layer) if layer == "Conv_2b" else separable(layer)
    return [
        *pointwise(f"{layer}.branch0.0"),
        *pointwise(f"{layer}.branch1.0"),
        *separable(f"{layer}.branch1.1"),
        *pointwise(f"{layer}.branch2.0"),
        *separable(f"{layer}.branch2.1"),
        *pointwise(f"{layer}.branch3.1"),
    ]


def twice(network: S3D, start: float) -> dict[str, Tensor]:
    """924 entries of one backbone: every tensor repeats a number of its own, and occurs twice."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found: dict[str, Tensor] = {}
    for block, layers in BLOCKS.items():
        for place, layer in enumerate(layers):
            for name in layer_names(layer):
                value = torch.tensor(start + len(found)).expand(shapes[name])
                found[name] = value
                found[f"block{block}.{place}{name.removeprefix(layer)}"] = value
    return found


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def head() -> dict[str, Tensor]:
    zero = torch.tensor(0.0)
    return {
        "2.weight": zero.expand(1024, 1024, 1, 1, 1),
        "2.bias": zero.expand(1024),
        "4.weight": zero.expand(128, 1024, 1, 1, 1),
        "4.bias": zero.expand(128),
    }


QUEUES = {
    "queue": torch.zeros(128, 4),
    "queue_ptr": torch.zeros(1, dtype=torch.long),
    "queue_second": torch.zeros(128, 4),
    "queue_vname": torch.zeros(4, dtype=torch.long),
    "queue_label": torch.zeros(4, dtype=torch.long),
}


def coclr_file(in_channels: int = 3) -> dict[str, Tensor]:
    network = S3D(in_channels, generator=torch.Generator())
    tensors = dict(QUEUES)
    for i, encoder in enumerate(("encoder_q", "encoder_k", "sampler")):
        tensors |= under(f"{encoder}.0.", twice(network, 1000.0 * (i + 1)))
        tensors |= under(f"{encoder}.", head())
    return tensors


@pytest.fixture(scope="module")
def pretrained() -> dict[str, Tensor]:
    return coclr_file()


def write(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save(
        {"epoch": 5, "state_dict": tensors, "best_acc": 0.5, "optimizer": {}, "iteration": 9}, path
    )
    return path


def check(network: torch.nn.Module, report: KeyReport, tensors: dict[str, Tensor]) -> None:
    """Every tensor of the network is that of the file; every key of the file is accounted for."""
    state = network.state_dict()
    assert set(report.used.values()) == set(state)
    for theirs, ours in report.used.items():
        assert torch.equal(state[ours], tensors[theirs].to(state[ours].dtype)), ours
    assert report.used.keys() | report.left.keys() == tensors.keys()
    assert not report.used.keys() & report.left.keys()


def test_the_made_up_file_has_924_entries_for_a_backbone(pretrained: dict[str, Tensor]) -> None:
    assert sum(name.startswith("encoder_q.0.") for name in pretrained) == 924


@pytest.mark.parametrize("encoder", ["encoder_q", "sampler"])
def test_either_encoder_of_a_coclr_file_arrives_whole(
    tmp_path: Path, pretrained: dict[str, Tensor], encoder: str
) -> None:
    network, report = load_coclr(write(tmp_path / "a.pth.tar", pretrained), "rgb", encoder)  # type: ignore[arg-type]
    assert isinstance(network, S3D)
    assert not network.training
    check(network, report, pretrained)
    assert all(theirs.startswith(f"{encoder}.0.") for theirs in report.used)
    assert Counter(report.left.values()) == {
        "registered twice": 462,
        "projection head": 4,
        "momentum copy": 924 + 4,
        "encoder of the other stream": 924 + 4,
        "queue of keys": 5,
    }
    assert any(line.startswith("  462 left (registered twice)") for line in report.lines())


def test_a_file_of_infonce_has_no_sampler(tmp_path: Path, pretrained: dict[str, Tensor]) -> None:
    tensors = {name: v for name, v in pretrained.items() if not name.startswith("sampler.")}
    path = write(tmp_path / "a.pth.tar", tensors)
    check(*load_coclr(path, "rgb"), tensors)
    with pytest.raises(FeatureError, match=r"no S3D or R3D-50 under sampler.0.*co-training"):
        load_coclr(path, "rgb", "sampler")


def test_a_file_of_evaluation_has_a_backbone_and_a_classifier(tmp_path: Path) -> None:
    tensors = under("backbone.", twice(S3D(generator=torch.Generator()), 1.0))
    tensors |= {"final_bn.weight": torch.ones(1024), "final_fc.1.weight": torch.ones(101, 1024)}
    network, report = load_coclr(write(tmp_path / "a.pth.tar", tensors), "rgb")
    check(network, report, tensors)
    assert Counter(report.left.values()) == {"registered twice": 462, "classifier": 2}


@pytest.mark.parametrize("channels", [2, 3])
def test_a_flow_network_takes_as_many_channels_as_its_stem(tmp_path: Path, channels: int) -> None:
    tensors = under("encoder_q.0.", twice(S3D(channels, generator=torch.Generator()), 1.0))
    network, _ = load_coclr(write(tmp_path / "a.pth.tar", tensors), "flow")
    assert network.state_dict()["Conv_1a.conv1.weight"].shape == (64, channels, 1, 7, 7)


def test_a_gated_network_keeps_its_gates(tmp_path: Path) -> None:
    gated = S3D(gated=True, generator=torch.Generator())
    tensors = under("encoder_q.0.", {n: t.clone() for n, t in gated.state_dict().items()})
    network, report = load_coclr(write(tmp_path / "a.pth.tar", tensors), "rgb")
    assert "Mixed_5c.gating_b3.fc.bias" in network.state_dict()
    check(network, report, tensors)


def test_an_r50_file_fills_the_network_of_cvrl(tmp_path: Path) -> None:
    shapes = {n: t.shape for n, t in R3D50(3, generator=torch.Generator()).state_dict().items()}
    backbone = {
        name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(shapes.items())
    }
    names = {"conv1.weight", "layer1.0.downsample.0.weight", "layer4.2.bn3.running_var"}
    assert names < backbone.keys()  # as in backbone/resnet_2d3d.py
    tensors = under("encoder_q.0.", backbone) | QUEUES
    network, report = load_coclr(write(tmp_path / "a.pth.tar", tensors), "rgb")
    assert isinstance(network, R3D50)
    check(network, report, tensors)


def test_old_files_without_counters_of_batchnorm_are_whole(
    tmp_path: Path, pretrained: dict[str, Tensor]
) -> None:
    tensors = {n: t for n, t in pretrained.items() if not n.endswith("num_batches_tracked")}
    _, report = load_coclr(write(tmp_path / "a.pth.tar", tensors), "rgb")
    assert len(report.used) == 462 - 77


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_q.0.Mixed_4e.branch2.1.bn2.running_var": None}, "lacks 1 of the 385 tensors"),
        (
            {"encoder_q.0.Conv_2b.conv.weight": torch.zeros(64, 32, 1, 1, 1)},
            r"Conv_2b.conv.weight has shape \(64, 32, 1, 1, 1\); expected \(64, 64, 1, 1, 1\)",
        ),
        (
            {"encoder_q.0.Conv_1a.conv1.weight": torch.zeros(64, 2, 1, 7, 7)},
            r"first layer has shape \(64, 2, 1, 7, 7\); expected 3 input channels",
        ),
        ({"encoder_q.0.Conv_1a.conv1.weight": torch.zeros(64)}, r"first layer has shape \(64,\)"),
        ({"encoder_q.0.Conv_1a.conv1.weight": None}, "no S3D or R3D-50 under encoder_q.0."),
        ({"encoder_q.0.Mixed_6a.conv.weight": torch.zeros(1)}, "expected no such tensor"),
    ],
)
def test_a_file_of_another_network_is_one_sentence(
    tmp_path: Path, pretrained: dict[str, Tensor], change: dict[str, Tensor | None], message: str
) -> None:
    changed = pretrained | change
    tensors = {name: tensor for name, tensor in changed.items() if tensor is not None}
    with pytest.raises(FeatureError, match=message) as caught:
        load_coclr(write(tmp_path / "a.pth.tar", tensors), "rgb")
    assert caught.value.code == "checkpoint"


def test_an_extra_object_in_the_pickle_is_refused(
    tmp_path: Path, pretrained: dict[str, Tensor]
) -> None:
    torch.save({"state_dict": pretrained, "args": Path("x")}, tmp_path / "a.pth.tar")
    with pytest.raises(FeatureError, match=r"holds more than tensors: it asks for pathlib"):
        load_coclr(tmp_path / "a.pth.tar", "rgb")


def test_a_truncated_file_is_refused(tmp_path: Path, pretrained: dict[str, Tensor]) -> None:
    path = write(tmp_path / "a.pth.tar", pretrained)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FeatureError, match="cut short"):
        load_coclr(path, "rgb")


def test_both_streams_see_32_consecutive_frames_of_128_pixels() -> None:
    for clip, view in ((COCLR_RGB, "rgb"), (COCLR_FLOW, "motion")):
        assert (clip.frames, clip.span, clip.view) == (32, 32, view)
        assert (clip.preprocess.crop, clip.preprocess.size) == (224, 128)
