"""Checkpoint files: ours come back whole; a stranger's gives its tensors or one sentence."""

import hashlib
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from wtal_features.checkpoints.own import EncoderMetadata, read_encoder, save_encoder
from wtal_features.checkpoints.reading import read_tensors, sha256_of
from wtal_features.checkpoints.report import load_mapped
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.s3d import S3D
from wtal_features.errors import FeatureError

torch.set_num_threads(1)

CLIP = ClipSpec(
    frames=8,
    every=2,
    view="motion",
    preprocess=Preprocess(
        short_side=36,
        crop=34,
        resize=32,
        resampling="bicubic",
        antialias=False,
        long_side="round",
        mean=(0.1, 1 / 3, 0.5),
        std=(0.2, 0.25, 1e-9),
    ),
)
ABOUT = EncoderMetadata(
    method="infonce",
    arch="s3d",
    width=0.125,
    in_channels=2,
    dim=128,
    clip=CLIP,
    grid_fps=25.0,
    motion_source="dis",
    step=1200,
    videos=37,
    versions={"torch": "2.13.0", "av": "18.1.0"},
    config_sha256="ab" * 32,
)


def network(seed: int = 0) -> S3D:
    return S3D(2, 0.125, generator=torch.Generator().manual_seed(seed))


def tensors() -> dict[str, Tensor]:
    return {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor([7.0, 8.0])}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


class Touch:
    """A pickle of this object makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


# Ours --------------------------------------------------------------------------------------------


def test_an_encoder_comes_back_with_all_that_extraction_needs(tmp_path: Path) -> None:
    path, written = tmp_path / "encoder.safetensors", network()
    save_encoder(path, written, ABOUT)
    found, about = read_encoder(path)
    assert about == ABOUT
    rebuilt = S3D(about.in_channels, about.width, generator=torch.Generator())
    load_mapped(rebuilt, found, {name: name for name in found}, {}, str(path))
    x_BCTHW = torch.randn(1, 2, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(rebuilt.eval()(x_BCTHW), written.eval()(x_BCTHW))


def test_equal_encoders_give_equal_bytes(tmp_path: Path) -> None:
    shuffled = replace(ABOUT, versions=dict(reversed(list(ABOUT.versions.items()))))
    save_encoder(tmp_path / "a.safetensors", network(), ABOUT)
    save_encoder(tmp_path / "b.safetensors", network(), shuffled)
    assert sha256_of(tmp_path / "a.safetensors") == sha256_of(tmp_path / "b.safetensors")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, network(), ABOUT)
    before = path.read_bytes()
    with pytest.raises(TypeError):  # a version that is no JSON value
        save_encoder(path, network(1), replace(ABOUT, versions={"torch": object()}))  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "about",
    [
        ABOUT,
        replace(ABOUT, motion_source=None, clip=ClipSpec(32, 1, "rgb")),
        replace(ABOUT, clip=ClipSpec(1, 1, "rgb", Preprocess(256, 224, mean=None, std=None))),
    ],
)
def test_metadata_is_strings_that_read_back_to_itself(about: EncoderMetadata) -> None:
    strings = about.to_strings()
    assert all(isinstance(text, str) for text in strings.values())
    assert EncoderMetadata.from_strings(strings) == about
    assert strings["size"] == str(about.clip.preprocess.size)


@pytest.mark.parametrize("name", sorted(set(ABOUT.to_strings()) - {"size"}))
def test_a_missing_field_is_named(name: str) -> None:
    strings = ABOUT.to_strings()
    del strings[name]
    with pytest.raises(FeatureError, match=f"e.safetensors lacks the field '{name}'"):
        EncoderMetadata.from_strings(strings, "e.safetensors")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("width", "wide"),
        ("width", "nan"),
        ("width", "-1"),
        ("in_channels", "0"),
        ("dim", "1.5"),
        ("n", "0"),
        ("view", "sound"),
        ("resampling", "nearest"),
        ("antialias", "1"),
        ("resize", "none"),
        ("mean", "[0.5"),
        ("mean", "[NaN, 0, 0]"),
        ("std", '{"a": 1}'),
        ("grid_fps", "inf"),
        ("versions", "[1]"),
        ("versions", "[" * 100_000),
    ],
)
def test_an_unreadable_field_is_named(name: str, text: str) -> None:
    with pytest.raises(FeatureError, match=f"its field '{name}' is ") as caught:
        EncoderMetadata.from_strings(ABOUT.to_strings() | {name: text}, "e.safetensors")
    assert caught.value.code == "checkpoint"
    assert len(str(caught.value)) < 250


def test_fields_that_contradict_each_other_are_named_with_the_file() -> None:
    with pytest.raises(FeatureError, match=r"e.safetensors: A crop of 300 px") as caught:
        EncoderMetadata.from_strings(ABOUT.to_strings() | {"crop": "300"}, "e.safetensors")
    assert caught.value.code == "checkpoint"


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"wtal.encoder": "[]"}, {"wtal.encoder": "{"}]
)
def test_a_safetensors_file_of_another_program_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    save_file(tensors(), tmp_path / "e.safetensors", metadata)
    with pytest.raises(FeatureError, match="does not say what network it holds"):
        read_encoder(tmp_path / "e.safetensors")


def test_a_torch_file_is_no_file_of_ours(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "e.pt")
    with pytest.raises(FeatureError, match="does not say what network it holds"):
        read_encoder(tmp_path / "e.pt")


def test_the_file_is_plain_safetensors_with_one_entry_of_metadata(tmp_path: Path) -> None:
    save_encoder(tmp_path / "e.safetensors", network(), ABOUT)
    with safe_open(tmp_path / "e.safetensors", framework="pt") as file:
        metadata = file.metadata()
        assert len(list(file.keys())) == 462
    assert list(metadata) == ["wtal.encoder"]
    assert json.loads(metadata["wtal.encoder"]) == ABOUT.to_strings()


# A stranger's ------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [True, False], ids=["archive", "pickle"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: {"state_dict": t, "epoch": 3, "best_acc": 0.5, "optimizer": {"state": {}}},
        lambda t: {"model": t, "step": torch.tensor(4)},
        lambda t: {"state_dict": {f"module.{name}": v for name, v in t.items()}},
        lambda t: t | {"note": "text", "shapes": [1, 2]},
    ],
    ids=["bare", "state_dict", "model", "parallel", "with texts"],
)
def test_tensors_are_found_whatever_is_around_them(tmp_path: Path, new: bool, wrap) -> None:  # type: ignore[no-untyped-def]
    torch.save(wrap(tensors()), tmp_path / "a.pth.tar", _use_new_zipfile_serialization=new)
    assert_equal(read_tensors(tmp_path / "a.pth.tar"), tensors())


def test_a_module_of_that_name_keeps_it_when_others_have_none(tmp_path: Path) -> None:
    mixed = {"module.weight": torch.ones(2), "head.weight": torch.zeros(2)}
    torch.save(mixed, tmp_path / "a.pt")
    assert_equal(read_tensors(tmp_path / "a.pt"), mixed)


def test_safetensors_are_known_by_their_bytes_not_their_name(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "a.bin")
    assert_equal(read_tensors(str(tmp_path / "a.bin")), tensors())


def test_parameters_come_back_without_gradients(tmp_path: Path) -> None:
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, tmp_path / "a.pt")
    assert not read_tensors(tmp_path / "a.pt")["a"].requires_grad


@pytest.mark.parametrize("new", [True, False], ids=["archive", "pickle"])
def test_a_pickle_that_wants_more_than_tensors_is_refused_and_not_run(
    tmp_path: Path, new: bool
) -> None:
    path, made = tmp_path / "evil.pt", tmp_path / "made"
    hostile = {"state_dict": tensors(), "extra": Touch(made)}
    torch.save(hostile, path, _use_new_zipfile_serialization=new)
    with pytest.raises(FeatureError, match=r"evil.pt holds more than tensors.*mkdir") as caught:
        read_tensors(path)
    assert caught.value.code == "checkpoint"
    assert "weights_only" not in str(caught.value)
    assert not made.exists()


def test_a_whole_module_is_refused_by_its_class(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(FeatureError, match=r"it asks for torch.nn.modules.linear.Linear"):
        read_tensors(tmp_path / "a.pt")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_bare_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    path, made = tmp_path / "a.pkl", tmp_path / "made"
    path.write_bytes(pickle.dumps(Touch(made), protocol=protocol))
    with pytest.raises(FeatureError) as caught:
        read_tensors(path)
    assert caught.value.code == "checkpoint"
    assert not made.exists()


def broken(kind: str, folder: Path) -> Path:
    """A file, or none, that holds no checkpoint."""
    path = folder / "a.pt"
    if kind == "missing":
        return path
    if kind == "folder":
        path.mkdir()
        return path
    if kind == "compressed":
        torch.save(tensors(), folder / "plain.pt")
        with zipfile.ZipFile(folder / "plain.pt") as old, zipfile.ZipFile(path, "w", 8) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
        return path
    if kind == "no tensors":
        torch.save({"epoch": 3}, path)
    elif kind == "a list":
        torch.save([torch.ones(2)], path)
    elif kind == "safetensors cut short":
        save_file(tensors(), path)
    else:
        torch.save(tensors(), path, _use_new_zipfile_serialization=kind != "pickle cut short")
    data = {
        "empty": b"",
        "text": b"<!DOCTYPE html><html>not found",
        "zeros": bytes(5000),
        "another archive": b"PK\x05\x06" + bytes(18),
    }.get(kind, path.read_bytes())
    path.write_bytes(data[:-10] if "cut short" in kind else data)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "cut short, damaged, or no checkpoint"),
        ("zeros", "cut short, damaged, or no checkpoint"),
        ("another archive", "cut short, damaged, or no checkpoint"),
        ("compressed", "cut short, damaged, or no checkpoint"),
        ("archive cut short", "cut short, damaged, or no checkpoint"),
        ("pickle cut short", "cut short, damaged, or no checkpoint"),
        ("safetensors cut short", "cut short, damaged, or no checkpoint"),
        ("no tensors", "holds no tensors by name"),
        ("a list", "holds no tensors by name"),
    ],
)
def test_what_is_no_checkpoint_is_one_sentence_with_its_name(
    tmp_path: Path, kind: str, message: str
) -> None:
    with pytest.raises(FeatureError, match=message) as caught:
        read_tensors(broken(kind, tmp_path))
    assert caught.value.code == "checkpoint"
    assert str(tmp_path / "a.pt") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_above_the_cap_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(tensors(), path)
    size = path.stat().st_size
    assert_equal(read_tensors(path, max_bytes=size), tensors())
    with pytest.raises(FeatureError, match=f"has {size} bytes; expected at most {size - 1}"):
        read_tensors(path, max_bytes=size - 1)


@pytest.mark.parametrize("kind", ["archive", "pickle", "safetensors"])
def test_damaged_bytes_give_tensors_or_one_kind_of_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pt"
    if kind == "safetensors":
        save_file(tensors(), path)
    else:
        torch.save(tensors(), path, _use_new_zipfile_serialization=kind == "archive")
    data = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(min(len(data), 700), (150,), generator=generator).tolist()
    values = torch.randint(256, (150,), generator=generator).tolist()
    refused = 0
    for place, value in zip(places, values, strict=True):
        path.write_bytes(data[:place] + bytes([value]) + data[place + 1 :])
        try:
            read_tensors(path)
        except FeatureError:
            refused += 1
    assert refused > 0


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8193  # more than one piece
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    with pytest.raises(FeatureError, match="does not exist"):
        sha256_of(tmp_path / "b")


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.int64(3), np.bool_(True)])
def test_a_numpy_number_beside_the_tensors_is_no_obstacle(tmp_path: Path, number: object) -> None:
    path = tmp_path / "checkpoint.pth.tar"
    torch.save({"state_dict": {"a": torch.ones(2)}, "best_acc": number}, path)
    assert read_tensors(path)["a"].tolist() == [1.0, 1.0]
