"""From the words of a user to an encoder: every name works, and what means nothing is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.features.test_cvrl_import import END, names_in_keras
from tests.features.test_own_checkpoints import ABOUT, network
from tests.features.test_tf_bundle import write_bundle
from wtal_features.checkpoints.own import save_encoder
from wtal_features.checkpoints.reading import sha256_of
from wtal_features.encoders.catalog import (
    ENCODERS,
    OPTIONS,
    UNLEARNED,
    EncoderOptions,
    load_encoder,
    load_network,
    options_of,
)
from wtal_features.encoders.encoder import Encoder, NetworkEncoder
from wtal_features.encoders.r2plus1d26 import R2Plus1D26
from wtal_features.encoders.r3d50 import R3D50
from wtal_features.encoders.untrained import settle, textures
from wtal_features.errors import FeatureError
from wtal_features.extraction.run import DENSE_FACTOR

torch.set_num_threads(1)

TINY = EncoderOptions(width=0.125, size=32)


def load(text: str, **options: Any) -> Encoder:
    return load_encoder(text, replace(TINY, **options))[0]


def clips_of(encoder: Encoder, *, frames: int | None = None, seed: int = 0) -> Tensor:
    clip = encoder.clip
    longer = clip if frames is None else replace(clip, frames=frames)
    return textures(longer, torch.Generator().manual_seed(seed))


def described(encoder: Encoder) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(json.dumps(encoder.describe(), allow_nan=False))
    return fields


# Networks with random weights --------------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODERS)
def test_every_network_is_built_narrow_and_encodes(name: str) -> None:
    encoder, notes = load_encoder(name, TINY)
    assert notes == [f"{name} has random weights: for comparison only."]
    clips = clips_of(encoder)
    assert clips.shape[1:4] == (encoder.clip.frames, 32, 32)
    y = encoder.encode(clips)
    assert (y.shape, y.dtype) == ((2, encoder.dim), torch.float32)
    dense = encoder.encode_dense(clips)
    assert dense.shape[::2] == (2, encoder.dim)
    torch.testing.assert_close(dense.mean(dim=1), y)
    assert not y.requires_grad


@pytest.mark.parametrize("name", ENCODERS)
def test_what_an_untrained_network_says_of_itself_rebuilds_it(name: str) -> None:
    encoder = load(name, seed=7)
    said = described(encoder)
    assert said["name"] == said["arch"] == name
    assert (said["dim"], said["width"], said["seed"]) == (encoder.dim, 0.125, 7)
    assert (said["weights"], said["precision"]) == ("random", "float32")
    clip = said["clip"]
    assert clip["preprocess"]["crop"] == 32
    assert clip["view"] == encoder.clip.view
    again = load(said["arch"], width=said["width"], seed=said["seed"])
    clips = clips_of(encoder)
    assert torch.equal(again.encode(clips), encoder.encode(clips))


@pytest.mark.parametrize("name", ENCODERS)
def test_no_untrained_network_is_all_zero_even_in_float16(name: str) -> None:
    encoder = load(name)
    y = encoder.encode(clips_of(encoder, seed=1)).half()
    assert y.isfinite().all()
    assert (y != 0).float().mean() > 0.2
    assert (y[0] != y[1]).any()  # two clips, two vectors


@pytest.mark.parametrize("name", ["s3d", "r3d10"])
def test_another_seed_is_another_network(name: str) -> None:
    first, same, other = (load(name, seed=seed) for seed in (None, 0, 1))
    clips = clips_of(first)
    assert torch.equal(first.encode(clips), same.encode(clips))
    assert not torch.equal(first.encode(clips), other.encode(clips))


def test_weights_do_not_depend_on_nor_change_the_global_generator() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = load("r2d10").encode(clips_of(load("r2d10")))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, load("r2d10").encode(clips_of(load("r2d10"))))


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "r2d10"])
def test_networks_take_the_longer_clips_of_dense_mode(name: str) -> None:
    encoder = load(name)
    assert encoder.any_length
    short = encoder.encode_dense(clips_of(encoder)).shape[1]
    long = encoder.encode_dense(clips_of(encoder, frames=DENSE_FACTOR * encoder.clip.frames))
    assert long.shape[1] == DENSE_FACTOR * short


def test_the_published_width_and_size_are_the_default() -> None:
    encoder, _ = load_encoder("r2d10")
    assert encoder.dim == described(encoder)["dim"] == 512
    assert (encoder.clip.preprocess.short_side, encoder.clip.preprocess.size) == (128, 112)


@pytest.mark.parametrize("size", [8, 9, 112, 223])
def test_a_size_is_the_square_that_is_seen(size: int) -> None:
    clip = load("r2d10", size=size).clip
    assert clip.preprocess.size == size
    assert clip.preprocess.short_side == size * 8 // 7


def test_frames_and_their_distance_can_be_chosen() -> None:
    encoder = load("r2plus1d26", frames=8, every=3)
    assert (encoder.clip.frames, encoder.clip.every, encoder.clip.span) == (8, 3, 22)
    assert encoder.encode(clips_of(encoder)).shape == (2, encoder.dim)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_is_near_and_said(precision: Any) -> None:
    exact, near = load("r2plus1d26"), load("r2plus1d26", precision=precision)
    assert described(near)["precision"] == precision
    clips = clips_of(exact)
    y, z = exact.encode(clips), near.encode(clips)
    assert z.dtype == torch.float32
    assert not torch.equal(y, z)
    assert (y - z).norm() < 0.05 * y.norm()


# Settling ----------------------------------------------------------------------------------------


def test_settling_sets_every_norm_to_what_it_sees_and_its_momentum_back() -> None:
    draws = torch.Generator().manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.BatchNorm3d(2, momentum=0.3), torch.nn.BatchNorm3d(2, momentum=None)
    )
    x_BCTHW = 3 + 2 * torch.randn(4, 2, 3, 5, 5, generator=draws)
    settle(module, x_BCTHW)
    y = module(x_BCTHW)
    assert not module.training
    torch.testing.assert_close(y.mean(dim=(0, 2, 3, 4)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=(0, 2, 3, 4)), torch.ones(2), atol=0.01, rtol=0)
    assert [norm.momentum for norm in module] == [0.3, None]


@pytest.mark.parametrize("name", ["s3d", "s3d-flow", "r2d10"])
def test_textures_fill_the_range_and_drift(name: str) -> None:
    encoder = load(name)
    clips = clips_of(encoder).float()
    assert clips.shape[-1] == (3 if encoder.clip.view == "rgb" else 2)
    assert clips.std() > 3
    if encoder.clip.frames > 1:
        assert not torch.equal(clips[:, 0], clips[:, 1])
        shift = max(1, 32 // encoder.clip.frames // 2)
        torch.testing.assert_close(clips[:, 1, :-shift], clips[:, 0, shift:])
    assert torch.equal(clips, clips_of(encoder).float())


# Without learning --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNLEARNED)
def test_encoders_without_learning_are_found_by_name(name: str) -> None:
    encoder, notes = load_encoder(name)
    assert (encoder.name, notes) == (name, [])
    assert described(encoder)["dim"] == encoder.dim


# Files -------------------------------------------------------------------------------------------


def test_a_file_of_ours_encodes_as_the_network_that_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "my.safetensors"
    saved = network().eval()
    save_encoder(path, saved, ABOUT)
    encoder, notes = load_encoder(str(path))
    assert (encoder.name, encoder.dim, encoder.clip) == ("my.safetensors", 128, ABOUT.clip)
    assert "s3d x 0.125, trained by infonce on 37 videos for 1200 steps, at 25 fps" in notes[0]
    assert "its motion by dis" in notes[0]
    said = described(encoder)
    assert said["weights_sha256"] == sha256_of(path)
    assert (said["arch"], said["method"], said["width"]) == ("s3d", "infonce", "0.125")
    direct = NetworkEncoder("direct", saved, 128, ABOUT.clip, channels=2)
    clips = clips_of(encoder)
    y, z = encoder.encode(clips), direct.encode(clips)
    assert (y - z).norm() < 1e-4 * z.norm()  # the norms are part of the convolutions now


def test_a_file_says_the_same_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    paths = [tmp_path / "e.safetensors", tmp_path / "elsewhere" / "e.safetensors"]
    for path in paths:
        save_encoder(path, network(), ABOUT)
    first, other = (described(load_encoder(str(path))[0]) for path in paths)
    assert first == other
    save_encoder(paths[1], network(seed=1), ABOUT)
    assert described(load_encoder(str(paths[1]))[0]) != first


def test_a_file_of_an_unknown_network_is_named(tmp_path: Path) -> None:
    save_encoder(tmp_path / "e.safetensors", network(), replace(ABOUT, arch="s4d"))
    with pytest.raises(FeatureError, match=r"holds the network 's4d'; expected one of s3d, "):
        load_encoder(str(tmp_path / "e.safetensors"))


def test_a_published_file_is_imported_under_its_prefix(tmp_path: Path) -> None:
    draws = torch.Generator().manual_seed(0)
    saved = R2Plus1D26(width=0.125, generator=draws).eval()
    path = tmp_path / "cmd.pth"
    torch.save(saved.state_dict(), path)
    encoder, notes = load_encoder(f"cmd:{path}", EncoderOptions(frames=4))
    assert encoder.name == "cmd:cmd.pth"
    assert f"{path}: " in notes[0]
    assert "tensors used, 0 left" in notes[0]
    said = described(encoder)
    assert (said["arch"], said["weights"]) == ("R2Plus1D26", "cmd.pth")
    assert said["weights_sha256"] == sha256_of(path)
    assert said["clip"]["frames"] == 4
    with pytest.raises(FeatureError, match=r"cmd\.pth"):
        load_encoder(f"i3d:{path}")


def test_a_checkpoint_of_tensorflow_is_known_by_the_bytes_of_its_tensors(tmp_path: Path) -> None:
    digests: list[str] = []
    for seed in (0, 0, 1):
        saved = R3D50(width=0.125, generator=torch.Generator().manual_seed(seed)).state_dict()
        arrays = {}
        for theirs, ours in names_in_keras():
            array = saved[ours].numpy()
            array = array.transpose(2, 3, 4, 1, 0) if array.ndim == 5 else array
            arrays[f"backbone/{theirs}{END}"] = array
        write_bundle(tmp_path / f"cvrl-{len(digests)}", arrays)
        encoder, _ = load_encoder(f"cvrl:{tmp_path}/cvrl-{len(digests)}")
        digests.append(described(encoder)["tensors_sha256"])
        assert encoder.clip.frames == 16
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64
    by_index, _ = load_encoder(f"cvrl:{tmp_path}/cvrl-0.index")
    assert described(by_index)["tensors_sha256"] == digests[0]


# Networks to be trained on -----------------------------------------------------------------------


def agrees_with_the_encoder(text: str, options: EncoderOptions) -> None:
    """Whether network and encoder of the same words are the same function."""
    start = load_network(text, options)
    encoder, notes = load_encoder(text, options)
    assert (start.name, start.dim, start.clip) == (encoder.name, encoder.dim, encoder.clip)
    assert list(start.notes) == notes
    norms = [m for m in start.network.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert norms
    assert all(p.requires_grad and p.dtype == torch.float32 for p in start.network.parameters())
    clips = clips_of(encoder)
    direct = NetworkEncoder("direct", start.network, start.dim, start.clip, channels=start.channels)
    y, z = encoder.encode(clips), direct.encode(clips)
    assert (y - z).norm() < 1e-4 * z.norm()


@pytest.mark.parametrize(
    "name", ["s3d", "i3d-flow", "r3d50", "r2d10", "resnet50", "efficientnet-lite0"]
)
def test_an_untrained_network_can_be_trained_on(name: str) -> None:
    agrees_with_the_encoder(name, TINY)


def test_a_file_of_ours_can_be_trained_on(tmp_path: Path) -> None:
    save_encoder(tmp_path / "my.safetensors", network(), ABOUT)
    agrees_with_the_encoder(str(tmp_path / "my.safetensors"), EncoderOptions())


def test_an_imported_file_can_be_trained_on(tmp_path: Path) -> None:
    saved = R2Plus1D26(width=0.125, generator=torch.Generator().manual_seed(0))
    torch.save(saved.state_dict(), tmp_path / "cmd.pth")
    agrees_with_the_encoder(f"cmd:{tmp_path}/cmd.pth", EncoderOptions(frames=4))


@pytest.mark.parametrize(
    ("text", "why"),
    [("hub:none", "transformers serves it as it is"), ("colour-histogram", "it has no weights")],
)
def test_what_is_no_network_of_ours_cannot_be_trained_on(text: str, why: str) -> None:
    with pytest.raises(FeatureError, match=f"{text} cannot be fine-tuned: {why}"):
        load_network(text)


def test_networks_are_trained_in_float32_alone() -> None:
    with pytest.raises(FeatureError, match="precision is bfloat16; networks are trained in float3"):
        load_network("s3d", replace(TINY, precision="bfloat16"))


def test_a_network_refuses_what_its_encoder_refuses() -> None:
    with pytest.raises(FeatureError, match="--pooling means nothing for s3d"):
        load_network("s3d", EncoderOptions(pooling="cls"))
    with pytest.raises(FeatureError, match=r"no encoder 's4d'\. Did you mean s3d"):
        load_network("s4d")


# Refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("s3d-flw", "s3d-flow"),
        ("r2plus1d", "r2plus1d26"),
        ("resnet-50", "resnet50"),
        ("efficientnet_lite0", "efficientnet-lite0"),
        ("colour-histograms", "colour-histogram"),
        ("coclr", "coclr:FILE"),
        ("hub", "hub:MODEL"),
        ("hub:", "hub:MODEL"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(text: str, near: str) -> None:
    with pytest.raises(FeatureError, match=f"no encoder '{text}'. Did you mean {near}?") as caught:
        load_encoder(text)
    assert "one of: s3d, s3d-flow" in caught.value.cure


@pytest.mark.parametrize("text", ["", "xyzzy", "a" * 500, "a\0b", "coclr-x:file", "."])
def test_what_is_like_no_name_is_told_all_of_them(text: str) -> None:
    with pytest.raises(FeatureError, match="There is no encoder") as caught:
        load_encoder(text)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text", ["none.safetensors", "cmd:none.pth", "coclr:", "cvrl:none", "i3d:.", "resnet50:none"]
)
def test_a_file_that_is_not_there_is_named(text: str) -> None:
    with pytest.raises(FeatureError):
        load_encoder(text)


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        *(("s3d", name, value) for name, value in (("pooling", "cls"), ("revision", "main"))),
        *(("null", name, 1) for name in ("width", "frames", "every", "size", "seed")),
        *(("FILE", name, 1) for name in ("width", "size", "seed", "pooling", "revision")),
        *(("cmd:none", name, 1) for name in ("width", "size", "seed", "pooling", "revision")),
        *(("hub:none", name, 1) for name in ("width", "size", "seed")),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    tmp_path: Path, text: str, option: str, value: Any
) -> None:
    if text == "FILE":
        text = str(tmp_path / "e.safetensors")
    with pytest.raises(FeatureError, match=f"--{option} means nothing for") as caught:
        load_encoder(text, EncoderOptions(**{option: value}))
    assert caught.value.code == "option"


@pytest.mark.parametrize(
    "text", ["s3d", "null", "cmd:none", "hub:none", "none.safetensors", "resnet50:none"]
)
def test_every_option_that_is_not_listed_is_refused(text: str) -> None:
    for option in OPTIONS - options_of(text):
        with pytest.raises(FeatureError, match=f"--{option} means nothing for {text}"):
            load_encoder(text, EncoderOptions(**{option: 1}))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["null", "cmd:none", "none.safetensors"])
def test_no_option_that_is_listed_is_refused(text: str) -> None:
    for option in options_of(text):
        with pytest.raises(FeatureError) as caught:  # the file is not there
            load_encoder(text, EncoderOptions(**{option: 1}))  # type: ignore[arg-type]
        assert caught.value.code != "option"


def test_an_untrained_network_takes_all_options_but_those_of_the_hub() -> None:
    assert options_of("s3d") == OPTIONS - {"pooling", "revision"}
    assert options_of("hub:any") == {"frames", "every", "pooling", "revision"}


def test_networks_of_images_take_a_pooling_and_those_of_videos_do_not() -> None:
    for name in ENCODERS:
        image = name == "resnet50" or name.startswith("efficientnet")
        assert ("pooling" in options_of(name)) == image, name
    for text in ("resnet50:any", "efficientnet-lite1:installed"):
        assert options_of(text) == {"frames", "every", "pooling"}


@pytest.mark.parametrize("width", [0.0, -1.0, math.nan, math.inf])
def test_a_width_that_is_no_positive_number_is_refused(width: float) -> None:
    with pytest.raises(FeatureError, match="width"):
        load("r2d10", width=width)
