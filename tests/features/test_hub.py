"""Encoders of transformers, in tiny random sizes; nothing is downloaded."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch

from tests.features.videos import texture
from wtal_features.clips import IMAGENET_MEAN, IMAGENET_STD, ClipSpec, Preprocess
from wtal_features.encoders.hub import load_hub
from wtal_features.encoders.hub.pixels import pixels_of
from wtal_features.errors import FeatureError
from wtal_features.preprocess import prepare_frame, to_network

transformers = pytest.importorskip("transformers", reason="needs wtal[encoders]")

TRANSFORMER = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
VIT = {"image_size": 32, "patch_size": 8, **TRANSFORMER}
PIXELS: dict[str, Any] = {
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "rescale_factor": 1 / 255,
    "resample": 2,
    "size": {"shortest_edge": 36},
    "crop_size": {"height": 32, "width": 32},
    "image_mean": list(IMAGENET_MEAN),
    "image_std": list(IMAGENET_STD),
}
FROM_THE_FILE = Preprocess(36, 32)


def _vjepa2() -> Any:
    return transformers.VJEPA2Model(
        transformers.VJEPA2Config(
            crop_size=32,
            patch_size=8,
            frames_per_clip=4,
            pred_hidden_size=16,
            pred_num_attention_heads=2,
            pred_num_hidden_layers=1,
            pred_num_mask_tokens=2,
            **TRANSFORMER,
        )
    )


def _videomae(mean_pooling: bool = False) -> Any:
    return transformers.VideoMAEConfig(
        num_frames=4, intermediate_size=48, use_mean_pooling=mean_pooling, **VIT
    )


def _clip() -> Any:
    tower = {"intermediate_size": 48, **TRANSFORMER}
    text = {"vocab_size": 9, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
    return transformers.CLIPModel(
        transformers.CLIPConfig(
            vision_config={"image_size": 32, "patch_size": 8, **tower},
            text_config={**text, **tower},
            projection_dim=24,
        )
    )


MODELS: Mapping[str, Callable[[], Any]] = {
    "vjepa2": _vjepa2,
    "videomae": lambda: transformers.VideoMAEModel(_videomae()),
    "videomae-finetuned": lambda: transformers.VideoMAEForVideoClassification(_videomae(True)),
    "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**VIT)),
    "dinov3": lambda: transformers.DINOv3ViTModel(
        transformers.DINOv3ViTConfig(intermediate_size=48, num_register_tokens=4, **VIT)
    ),
    "clip": _clip,
    "clip-vision": lambda: transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(intermediate_size=48, **VIT)
    ),
}
VIDEO = ["vjepa2", "videomae", "videomae-finetuned"]
IMAGE = ["dinov2", "dinov3", "clip", "clip-vision"]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A folder per model, with random weights; never written to by a test."""
    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, make in MODELS.items():
        model = make()
        with torch.no_grad():  # norms start as the identity, which would hide a forgotten one
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        model.save_pretrained(root / name)
        (root / name / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    logging.enable_progress_bar()
    return {name: root / name for name in MODELS}


@pytest.fixture
def own(saved: Mapping[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a model's folder, to be changed."""
    return lambda name: Path(copytree(saved[name], tmp_path / name))


def clips(n: int = 4, size: int = 32, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(256, (batch, n, size, size, 3), dtype=torch.uint8, generator=generator)


def change(path: Path, **values: object) -> None:
    """Replace entries of a JSON file; None takes one out."""
    old = json.loads(path.read_text())
    new = {key: value for key, value in (old | values).items() if value is not None}
    path.write_text(json.dumps(new))


# What comes out ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pooling", "dim", "positions"),
    [
        ("vjepa2", None, 32, 2),
        ("videomae", None, 32, 2),
        ("videomae-finetuned", "mean", 32, 2),
        ("dinov2", None, 32, 4),
        ("dinov2", "cls+patches", 64, 4),
        ("dinov3", "cls", 32, 4),
        ("dinov3", "cls+patches", 64, 4),
        ("clip", None, 32, 4),
        ("clip", "cls+patches", 64, 4),
        ("clip", "projection", 24, 4),
        ("clip-vision", None, 32, 4),
    ],
)
def test_a_clip_becomes_one_vector_or_one_per_time_position(
    saved: Mapping[str, Path], name: str, pooling: str | None, dim: int, positions: int
) -> None:
    encoder = load_hub(saved[name], frames=4, pooling=pooling)
    window_BD, dense_BTD = encoder.encode(clips()), encoder.encode_dense(clips())
    assert encoder.dim == dim
    assert window_BD.shape == (2, dim)
    assert dense_BTD.shape == (2, positions, dim)
    assert window_BD.dtype == dense_BTD.dtype == torch.float32
    assert positions * encoder.frames_per_position == 4
    if name != "videomae-finetuned":
        torch.testing.assert_close(dense_BTD.mean(dim=1), window_BD)


@pytest.mark.parametrize("name", [*VIDEO, *IMAGE])
def test_a_batch_gives_what_its_clips_give_alone(saved: Mapping[str, Path], name: str) -> None:
    encoder = load_hub(saved[name], frames=4)
    together = encoder.encode(clips(batch=3))
    alone = torch.cat([encoder.encode(clip[None]) for clip in clips(batch=3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert together.std(dim=0).min() > 0


@pytest.mark.parametrize(
    ("name", "n", "every", "short_side"),
    [
        ("vjepa2", 16, 1, 36),  # 32 * 256 // 224
        ("videomae", 4, 1, 36),
        ("dinov2", 4, 4, 36),
        ("clip", 4, 4, 36),
    ],
)
def test_defaults_of_a_family(
    saved: Mapping[str, Path], name: str, n: int, every: int, short_side: int
) -> None:
    clip = load_hub(saved[name]).clip
    assert clip == ClipSpec(n, every, "rgb", Preprocess(short_side, 32))


def test_vjepa2_gives_the_mean_of_all_tokens(saved: Mapping[str, Path]) -> None:
    model = transformers.VJEPA2Model.from_pretrained(saved["vjepa2"]).eval()
    x_BTCHW = _scaled(clips(6)).transpose(1, 2)
    with torch.inference_mode():
        expected = model.get_vision_features(x_BTCHW).mean(dim=1)
    torch.testing.assert_close(load_hub(saved["vjepa2"]).encode(clips(6)), expected)


def test_a_vjepa2_position_sees_its_own_place_in_time(saved: Mapping[str, Path]) -> None:
    model = transformers.VJEPA2Model.from_pretrained(saved["vjepa2"]).eval()
    with torch.inference_mode():
        tokens = model.get_vision_features(_scaled(clips(6)).transpose(1, 2))
    expected = torch.stack([tokens[:, t * 16 : (t + 1) * 16].mean(dim=1) for t in range(3)], 1)
    torch.testing.assert_close(load_hub(saved["vjepa2"]).encode_dense(clips(6)), expected)


def test_a_finetuned_videomae_keeps_its_last_norm(saved: Mapping[str, Path]) -> None:
    path = saved["videomae-finetuned"]
    model = transformers.VideoMAEForVideoClassification.from_pretrained(path).eval()
    seen: list[torch.Tensor] = []
    model.classifier.register_forward_hook(lambda _m, args, _out: seen.append(args[0]))
    with torch.inference_mode():
        model(pixel_values=_scaled(clips()).transpose(1, 2))
    encoder = load_hub(path)
    torch.testing.assert_close(encoder.encode(clips()), seen[0])
    assert encoder.describe()["final_norm"] == "fc_norm"


def test_a_videomae_without_fc_norm_says_what_it_has(
    own: Callable[[str], Path], saved: Mapping[str, Path]
) -> None:
    assert load_hub(saved["videomae"]).describe()["final_norm"] == "layernorm"
    folder = own("videomae")  # its layernorm is left over then
    change(folder / "config.json", use_mean_pooling=True)
    assert load_hub(folder).describe()["final_norm"] == "none"


@pytest.mark.parametrize("name", ["dinov2", "dinov3", "clip"])
def test_image_encoders_take_the_mean_over_frames(saved: Mapping[str, Path], name: str) -> None:
    encoder = load_hub(saved[name])
    four, reversed_four = clips(), clips().flip(1)
    torch.testing.assert_close(encoder.encode(four), encoder.encode(reversed_four))
    one = encoder.encode(four[:, :1])  # any number of frames
    torch.testing.assert_close(one, encoder.encode_dense(four)[:, 0], rtol=1e-4, atol=1e-5)


def test_registers_of_dinov3_are_no_patches(saved: Mapping[str, Path]) -> None:
    model = transformers.DINOv3ViTModel.from_pretrained(saved["dinov3"]).eval()
    with torch.inference_mode():
        tokens = model(_scaled(clips(1))[:, :, 0]).last_hidden_state
    assert tokens.shape[1] == 1 + 4 + 16
    expected = torch.cat([tokens[:, 0], tokens[:, 5:].mean(dim=1)], dim=1)
    encoder = load_hub(saved["dinov3"], pooling="cls+patches")
    torch.testing.assert_close(encoder.encode(clips(1)), expected)


def test_the_projection_of_clip_is_what_texts_are_compared_with(
    saved: Mapping[str, Path],
) -> None:
    model = transformers.CLIPModel.from_pretrained(saved["clip"]).eval()
    with torch.inference_mode():
        pooled = model.vision_model(_scaled(clips(1))[:, :, 0]).pooler_output
        expected = model.visual_projection(pooled)
    encoder = load_hub(saved["clip"], pooling="projection")
    torch.testing.assert_close(encoder.encode(clips(1)), expected)


def test_dinov2_sees_other_sizes_where_asked(saved: Mapping[str, Path]) -> None:
    encoder = load_hub(saved["dinov2"], preprocess=Preprocess(48, 48))
    assert encoder.encode(clips(size=48)).shape == (2, 32)


@pytest.mark.parametrize("name", ["vjepa2", "dinov2"])
def test_bfloat16_products_give_nearly_the_same_in_float32(
    saved: Mapping[str, Path], name: str
) -> None:
    full = load_hub(saved[name]).encode(clips())
    encoder = load_hub(saved[name], autocast=torch.bfloat16)
    half = encoder.encode(clips())
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.1 * full.abs().max()
    assert encoder.describe()["precision"] == "bfloat16"


def test_encoding_leaves_no_gradients_and_no_training_mode(saved: Mapping[str, Path]) -> None:
    encoder = load_hub(saved["vjepa2"]).to(torch.device("cpu"))
    assert not encoder.encode(clips()).requires_grad
    assert not any(p.requires_grad for p in encoder.network.parameters())
    assert not any(module.training for module in encoder.network.modules())


def test_the_predictor_of_vjepa2_is_not_kept(saved: Mapping[str, Path]) -> None:
    names = [name for name, _ in load_hub(saved["vjepa2"]).network.named_parameters()]
    assert names
    assert not any("predictor" in name for name in names)


def _scaled(clips_BnHWC: torch.Tensor) -> torch.Tensor:
    return to_network(clips_BnHWC, ClipSpec(1, 1, "rgb", FROM_THE_FILE))


# What is refused ---------------------------------------------------------------------------------


def test_an_odd_number_of_frames_is_refused_by_vjepa2(saved: Mapping[str, Path]) -> None:
    with pytest.raises(FeatureError, match="clips of 5 frames; expected a multiple of 2"):
        load_hub(saved["vjepa2"], frames=5)
    with pytest.raises(FeatureError, match="clips of 1 frames; expected a multiple of 2"):
        load_hub(saved["vjepa2"]).encode_dense(clips(1))


def test_other_numbers_of_frames_are_refused_by_videomae(saved: Mapping[str, Path]) -> None:
    with pytest.raises(FeatureError, match="takes exactly 4 frames; 16 were asked"):
        load_hub(saved["videomae"], frames=16)
    with pytest.raises(FeatureError, match="clips of 6 frames; expected exactly 4"):
        load_hub(saved["videomae"]).encode(clips(6))


@pytest.mark.parametrize("name", [*VIDEO, *IMAGE])
def test_clips_of_another_size_are_refused(saved: Mapping[str, Path], name: str) -> None:
    with pytest.raises(FeatureError, match="clips of 40 x 40 px; expected 32 x 32"):
        load_hub(saved[name]).encode(clips(size=40))


@pytest.mark.parametrize("name", ["vjepa2", "videomae", "clip"])
def test_a_preprocess_to_another_size_is_refused(saved: Mapping[str, Path], name: str) -> None:
    with pytest.raises(FeatureError, match="40"):
        load_hub(saved[name], preprocess=Preprocess(40, 40))


def test_dinov2_refuses_parts_of_patches(saved: Mapping[str, Path]) -> None:
    with pytest.raises(FeatureError, match=r"whole patches of 8 px.*36 px"):
        load_hub(saved["dinov2"], preprocess=Preprocess(36, 36))


def test_zero_frames_are_refused(saved: Mapping[str, Path]) -> None:
    with pytest.raises(FeatureError, match="A clip of 0 frames"):
        load_hub(saved["dinov2"], frames=0)


@pytest.mark.parametrize(
    ("name", "pooling"), [("vjepa2", "cls"), ("videomae", "cls"), ("dinov2", "projection")]
)
def test_a_pooling_of_another_family_is_refused(
    saved: Mapping[str, Path], name: str, pooling: str
) -> None:
    with pytest.raises(FeatureError, match=f"has no pooling '{pooling}'; expected"):
        load_hub(saved[name], pooling=pooling)


def test_an_unknown_family_is_refused_with_those_that_work(own: Callable[[str], Path]) -> None:
    folder = own("dinov2")
    change(folder / "config.json", model_type="bert")
    with pytest.raises(FeatureError, match=r"type bert; expected one of vjepa2, videomae, dinov2"):
        load_hub(folder)


def test_remote_code_is_refused(own: Callable[[str], Path]) -> None:
    folder = own("videomae")
    change(folder / "config.json", auto_map={"AutoModel": "modeling.Evil"})
    (folder / "modeling.py").write_text("raise SystemExit")
    with pytest.raises(FeatureError, match=r"code of its own to be run \(auto_map\)"):
        load_hub(folder)


def test_a_folder_of_pickles_is_refused(own: Callable[[str], Path]) -> None:
    folder = own("dinov2")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FeatureError, match=r"has no model\.safetensors.*pickles"):
        load_hub(folder)


@pytest.mark.parametrize("name", [*VIDEO, *IMAGE])
def test_a_folder_without_its_pixels_needs_a_preprocess(
    own: Callable[[str], Path], name: str
) -> None:
    folder = own(name)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(FeatureError, match=r"has no preprocessor_config\.json"):
        load_hub(folder)
    preprocess = Preprocess(32, 32, mean=None, std=None)
    assert load_hub(folder, preprocess=preprocess).clip.preprocess == preprocess


def test_a_folder_that_is_none_says_how_to_download(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"no folder with a model in it.*hub:owner/name"):
        load_hub(tmp_path / "facebook" / "dinov2-small")


def test_an_empty_folder_lacks_its_configuration(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"config\.json"):
        load_hub(tmp_path)


def test_a_revision_of_a_folder_is_refused(saved: Mapping[str, Path]) -> None:
    with pytest.raises(FeatureError, match="a folder, which has no revision"):
        load_hub(saved["dinov2"], revision="main")


@pytest.mark.parametrize("cut", [0, 100, -200])
def test_weights_that_are_cut_short_are_refused(own: Callable[[str], Path], cut: int) -> None:
    folder = own("dinov2")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:cut])
    with pytest.raises(FeatureError, match="cannot be loaded as Dinov2Model"):
        load_hub(folder)


def test_a_configuration_of_a_deeper_model_lacks_tensors(own: Callable[[str], Path]) -> None:
    folder = own("dinov2")
    change(folder / "config.json", num_hidden_layers=2)
    with pytest.raises(FeatureError, match=r"lacks .* tensors of Dinov2Model"):
        load_hub(folder)


def test_a_configuration_of_a_wider_model_misfits(own: Callable[[str], Path]) -> None:
    folder = own("vjepa2")
    change(folder / "config.json", hidden_size=64)
    with pytest.raises(FeatureError, match="another shape"):
        load_hub(folder)


@pytest.mark.parametrize("hidden", ["many", 33, -1])
def test_a_configuration_that_makes_no_model_is_refused(
    own: Callable[[str], Path], hidden: object
) -> None:
    folder = own("vjepa2")
    change(folder / "config.json", hidden_size=hidden)
    with pytest.raises(FeatureError, match="cannot be loaded as VJEPA2Model"):
        load_hub(folder)


def test_an_index_that_leads_out_of_the_folder_is_refused(own: Callable[[str], Path]) -> None:
    folder = own("dinov2")
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    index = {"weight_map": {"layernorm.weight": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(FeatureError, match="not in the folder"):
        load_hub(folder)


def test_a_missing_transformers_is_named_with_its_extra(
    saved: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(FeatureError, match=r"pip install 'wtal\[encoders\]'"):
        load_hub(saved["dinov2"])


# Where it comes from -----------------------------------------------------------------------------


def test_the_manifest_learns_where_a_model_comes_from(own: Callable[[str], Path]) -> None:
    folder = own("videomae-finetuned")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\ntags: [x]\n---\n# Model\n")
    details = load_hub(folder).describe()
    weights = (folder / "model.safetensors").read_bytes()
    assert details["name"] == str(folder)
    assert details["architecture"] == "videomae"
    assert details["licence"] == "cc-by-nc-4.0"
    assert details["revision"] is None
    assert details["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert details["hidden_size"] == details["dim"] == 32
    assert details["precision"] == "float32"
    json.dumps(details, allow_nan=False)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (None, "not stated"),
        ("# Model\nlicense: mit\n", "not stated"),
        ("---\nlicense: other\nlicense_name: dinov3-license\n---\n", "dinov3-license"),
        ('---\nlicense: "apache-2.0"\n---\n', "apache-2.0"),
    ],
)
def test_the_licence_is_what_the_card_states(
    own: Callable[[str], Path], card: str | None, licence: str
) -> None:
    folder = own("dinov2")
    if card is not None:
        (folder / "README.md").write_text(card)
    assert load_hub(folder).describe()["licence"] == licence


def test_weights_in_several_files_are_read(
    saved: Mapping[str, Path], own: Callable[[str], Path]
) -> None:
    folder = own("videomae-finetuned")
    (folder / "model.safetensors").unlink()
    model = transformers.VideoMAEForVideoClassification.from_pretrained(saved[folder.name])
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    whole, parts = load_hub(saved[folder.name]), load_hub(folder)
    torch.testing.assert_close(parts.encode(clips()), whole.encode(clips()))
    assert len(str(parts.describe()["weights_sha256"])) == 64


def test_a_model_named_with_hub_is_downloaded_and_its_commit_recorded(
    saved: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = Path(copytree(saved["dinov2"], tmp_path / "snapshots" / commit))
    asked: list[tuple[object, ...]] = []

    def download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, "pytorch_model.bin" in allow_patterns))
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    details = load_hub("hub:facebook/dinov2-small", revision="main").describe()
    assert asked == [("facebook/dinov2-small", "main", False)]
    assert details["name"] == "hub:facebook/dinov2-small"
    assert details["revision"] == commit


def test_a_model_that_cannot_be_had_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_args: object, **_kwargs: object) -> str:
        raise FileNotFoundError("An error happened while trying to locate the files")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(FeatureError, match="hub:facebook/no-such-model cannot be downloaded"):
        load_hub("hub:facebook/no-such-model")


def test_a_malformed_name_is_refused_without_asking_anyone() -> None:
    with pytest.raises(FeatureError, match="cannot be downloaded"):
        load_hub("hub:a/b/c")


# Pixels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, FROM_THE_FILE),
        ({"size": 36, "crop_size": 32, "resample": 3}, Preprocess(36, 32, resampling="bicubic")),
        ({"resample": "bicubic"}, Preprocess(36, 32, resampling="bicubic")),
        ({"size": {"shortest_edge": 36, "longest_edge": None}}, FROM_THE_FILE),
        ({"size": {"height": 32, "width": 32}, "do_center_crop": False}, Preprocess(32, 32)),
        ({"do_center_crop": False}, Preprocess(36, 36)),
        ({"do_normalize": False}, Preprocess(36, 32, mean=None, std=None)),
    ],
)
def test_every_form_of_the_file_is_read(values: Mapping[str, object], expected: Preprocess) -> None:
    assert pixels_of({**PIXELS, **values}, Path("p.json")) == expected


def test_a_file_without_a_crop_uses_the_whole_square() -> None:
    values = {"size": {"height": 32, "width": 32}}  # as DINOv3's
    kept = {key: PIXELS[key] for key in ("resample", "image_mean", "image_std")}
    assert pixels_of(kept | values, Path("p.json")) == Preprocess(32, 32)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", None),
        ("size", {"height": 32, "width": 48}),
        ("size", {"longest_edge": 32}),
        ("size", True),
        ("size", {"shortest_edge": 0}),
        ("crop_size", {"shortest_edge": "32"}),
        ("resample", None),
        ("resample", 0),
        ("resample", [2]),
        ("image_mean", None),
        ("image_mean", [0.5, 0.5]),
        ("image_std", [0.5, 0, 0.5]),
        ("image_std", ["a", "b", "c"]),
        ("do_resize", False),
        ("do_rescale", False),
        ("rescale_factor", 1 / 127.5),
    ],
)
def test_what_cannot_be_followed_is_named(key: str, value: object) -> None:
    with pytest.raises(FeatureError, match=rf"p\.json: {key} is .*; expected"):
        pixels_of(PIXELS | {key: value}, Path("p.json"))


@pytest.mark.parametrize(
    ("file", "wrap"),
    [("video_preprocessor_config.json", None), ("processor_config.json", "video_processor")],
)
def test_the_pixels_may_lie_in_other_files(
    own: Callable[[str], Path], file: str, wrap: str | None
) -> None:
    folder = own("vjepa2")
    (folder / "preprocessor_config.json").unlink()
    values = PIXELS | {"image_mean": [0.1, 0.2, 0.3]}
    (folder / file).write_text(json.dumps({wrap: values} if wrap else values))
    assert load_hub(folder).clip.preprocess.mean == (0.1, 0.2, 0.3)


def test_the_size_of_vjepa2_is_the_configured_one(own: Callable[[str], Path]) -> None:
    folder = own("vjepa2")
    change(folder / "preprocessor_config.json", crop_size=24, size=48)
    assert load_hub(folder).clip.preprocess == FROM_THE_FILE


@pytest.mark.parametrize(
    ("name", "processor", "levels"),
    [
        ("videomae", "VideoMAEImageProcessorPil", 1),
        ("clip", "CLIPImageProcessorPil", 2),
        ("dinov2", "BitImageProcessorPil", 2),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of the reference, which wants torchvision
def test_pixels_are_those_of_the_family_s_own_processor(
    saved: Mapping[str, Path],
    own: Callable[[str], Path],
    name: str,
    processor: str,
    levels: int,
) -> None:
    pytest.importorskip("PIL", reason="Pillow is what these processors use")
    reference = getattr(transformers, processor)(
        size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
    )
    folder = own(name)
    (folder / "preprocessor_config.json").unlink()
    reference.save_pretrained(folder)
    spec = load_hub(folder, frames=4).clip
    frame = texture(97)[:, :70]
    theirs = torch.as_tensor(np.asarray(reference([frame])["pixel_values"][0])).reshape(3, 32, 32)
    ours = torch.from_numpy(prepare_frame(frame, spec.preprocess))[None, None]
    gap = (to_network(ours, spec)[0, :, 0] - theirs).abs().amax(dim=(1, 2))
    assert spec.preprocess.std is not None
    assert (gap * 255 * torch.tensor(spec.preprocess.std) <= levels + 1e-3).all()
