"""A store of videos and of altered versions of them: rows, names, what a second call does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.features.test_probe_encode import written
from wtal_features import check_store, open_store
from wtal_features.encoders.catalog import EncoderOptions, load_encoder
from wtal_features.encoders.encoder import Encoder
from wtal_features.encoders.histograms import ColourHistogram, MotionHistogram
from wtal_features.errors import FeatureError
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.probing.encode import prepared
from wtal_features.retrieval.alterations import PixelAlteration, TimeAlteration
from wtal_features.retrieval.versions import describe_versions, original_of, version_name

torch.set_num_threads(1)

TIME, PIXELS = TimeAlteration(), PixelAlteration()
STILL = TimeAlteration(keep=(1, 1), speed=(1, 1), drop=0)
PLAIN = PixelAlteration(
    crop=(1, 1), flip_p=0, brightness=(1, 1), contrast=(1, 1), blur_p=0, overlay_p=0
)


class Counting:
    """An encoder that says how many clips it was given, and fails after so many."""

    def __init__(self, inner: Encoder, stop_after: int | None = None) -> None:
        self.inner, self.clips, self.stop_after = inner, 0, stop_after

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        self.clips += len(clips_BnHWC)
        if self.stop_after is not None and self.clips > self.stop_after:
            raise KeyboardInterrupt
        return self.inner.encode(clips_BnHWC)


def image_encoder(**options: Any) -> Encoder:
    found = EncoderOptions(width=0.125, size=32, **options)
    return load_encoder("resnet50", found)[0]


def histogram() -> Encoder:
    return ColourHistogram()


@pytest.fixture
def clips(tmp_path: Path) -> ClipStore:
    """Two videos of 20 frames and different sizes."""
    return written(tmp_path / "clips", {"a": (48, 64), "b~x": (70, 40)})


def describe(clips: ClipStore, encoder: Any, out: Path, **changes: Any) -> None:
    given: Any = {"copies": 2, "time": TIME, "pixels": PIXELS, "seed": 0} | changes
    describe_versions(clips, encoder, out, **given)


def bytes_of(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.glob("*.npy"))}


def test_a_store_holds_every_video_and_its_versions(clips: ClipStore, tmp_path: Path) -> None:
    encoder = image_encoder(pooling="irmac")
    describe(clips, encoder, tmp_path / "s")
    store = open_store(tmp_path / "s")
    assert store.videos == ("a", "a~1", "a~2", "b~x", "b~x~1", "b~x~2")
    assert check_store(store) == []
    for video in ("a", "b~x"):
        assert store.read(video).shape == (20, encoder.dim)
    timing = store.timing("a~1")
    assert (timing.fps, timing.stride_frames, timing.window_frames) == (float(clips.fps), 1, 1)
    head = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert (head["encoder"], head["dtype"]) == ("resnet50+irmac", "float16")
    assert head["encoders"]["pooling"] == "irmac"
    assert head["versions"]["seed"] == 0
    assert head["versions"]["time"]["keep"] == [0.4, 1.0]
    assert head["videos"]["a~1"]["frames"] == len(store.read("a~1"))
    assert head["videos"]["a~1"]["of"] == clips.info("a").key


@pytest.mark.parametrize("frames", [1, 4])
def test_rows_of_the_unaltered_video_are_those_of_the_clips_around_its_frames(
    clips: ClipStore, tmp_path: Path, frames: int
) -> None:
    encoder = image_encoder(frames=frames)
    describe(clips, encoder, tmp_path / "s", copies=0)
    found = open_store(tmp_path / "s").read("a")
    for t in (0, 7, 19):
        around = [min(max(t - 2 + m, 0), 19) for m in range(4)] if frames == 4 else [t]
        clip = torch.from_numpy(clips.frames("a", around))[None]
        row = encoder.encode(prepared(clip, encoder.clip.preprocess))[0]
        np.testing.assert_allclose(found[t], row.numpy(), rtol=2e-3, atol=2e-3)


def test_a_version_without_an_alteration_is_the_video(clips: ClipStore, tmp_path: Path) -> None:
    describe(clips, image_encoder(), tmp_path / "s", time=STILL, pixels=PLAIN)
    store = open_store(tmp_path / "s")
    np.testing.assert_array_equal(store.read("a~1"), store.read("a"))


def test_a_version_is_another_one_but_like_its_video(clips: ClipStore, tmp_path: Path) -> None:
    describe(clips, histogram(), tmp_path / "s", time=STILL, copies=3)
    store = open_store(tmp_path / "s")
    original = store.read("a").astype(float)
    versions = [store.read(f"a~{k}").astype(float) for k in (1, 2, 3)]
    assert all((version != original).any() for version in versions)
    assert (versions[0] != versions[1]).any()


def test_a_version_depends_on_seed_name_and_number_alone(clips: ClipStore, tmp_path: Path) -> None:
    encoder = histogram()
    describe(clips, encoder, tmp_path / "s")
    alone = written(tmp_path / "one", {"a": (48, 64)})
    describe(alone, encoder, tmp_path / "one-s", copies=1)
    whole, part = bytes_of(tmp_path / "s"), bytes_of(tmp_path / "one-s")
    assert part == {name: whole[name] for name in ("a.npy", "a~1.npy")}
    describe(clips, encoder, tmp_path / "other", seed=1)
    assert bytes_of(tmp_path / "other")["a~1.npy"] != whole["a~1.npy"]
    assert bytes_of(tmp_path / "other")["a.npy"] == whole["a.npy"]


# Going on ----------------------------------------------------------------------------------------


def test_a_second_call_encodes_nothing_and_changes_nothing(
    clips: ClipStore, tmp_path: Path
) -> None:
    encoder = Counting(histogram())
    describe(clips, encoder, tmp_path / "s")
    assert encoder.clips > 80
    before, encoder.clips = bytes_of(tmp_path / "s"), 0
    told: list[tuple[int, int]] = []
    describe(clips, encoder, tmp_path / "s", progress=lambda *state: told.append(state))
    assert encoder.clips == 0
    assert bytes_of(tmp_path / "s") == before
    assert told == [(done, 6) for done in range(7)]


def test_an_interrupted_call_goes_on_to_the_same_bytes(clips: ClipStore, tmp_path: Path) -> None:
    describe(clips, histogram(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        describe(clips, Counting(histogram(), stop_after=30), tmp_path / "s")
    assert not (tmp_path / "s" / "manifest.json").exists()
    assert [path.name for path in (tmp_path / "s").glob("*.npy")] == ["a.npy"]
    again = Counting(histogram())
    describe(clips, again, tmp_path / "s")
    assert bytes_of(tmp_path / "s") == bytes_of(tmp_path / "whole")
    counted = Counting(histogram())
    describe(clips, counted, tmp_path / "third")
    assert again.clips == counted.clips - 20


def test_more_copies_are_added_to_those_that_are_there(clips: ClipStore, tmp_path: Path) -> None:
    describe(clips, histogram(), tmp_path / "s", copies=1)
    few = bytes_of(tmp_path / "s")
    describe(clips, histogram(), tmp_path / "s", copies=3)
    many = bytes_of(tmp_path / "s")
    assert len(many) == 8
    assert {name: many[name] for name in few} == few


def test_a_video_that_changed_is_described_anew(clips: ClipStore, tmp_path: Path) -> None:
    describe(clips, histogram(), tmp_path / "s")
    before = bytes_of(tmp_path / "s")
    manifest = clips.folder / "manifest.json"
    fields = json.loads(manifest.read_text())
    fields["videos"]["a"] = fields["videos"]["b~x"]  # another file of the same name
    manifest.write_text(json.dumps(fields))
    encoder = Counting(histogram())
    describe(ClipStore(clips.folder), encoder, tmp_path / "s")
    after = bytes_of(tmp_path / "s")
    assert {name for name in after if after[name] != before[name]} == {
        *("a.npy", "a~1.npy", "a~2.npy")
    }
    assert after["a.npy"] == after["b~x.npy"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"seed": 1}, "versions.seed 0; now it is 1"),
        ({"time": replace(TIME, drop=0.1)}, "versions.time.drop 0.3; now it is 0.1"),
        ({"pixels": replace(PIXELS, flip_p=0.0)}, "versions.pixels.flip_p 0.3; now it is 0.0"),
    ],
)
def test_other_settings_are_not_mixed_into_a_store(
    clips: ClipStore, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    describe(clips, histogram(), tmp_path / "s")
    with pytest.raises(FeatureError, match=f"was written with {what}"):
        describe(clips, histogram(), tmp_path / "s", **changes)


# Names and refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "original"),
    [
        *(("a", "a"), ("a~1", "a"), ("a~12", "a"), ("a~b~3", "a~b")),
        *(("a~0", "a~0"), ("a~01", "a~01"), ("a~", "a~"), ("~1", "~1"), ("a~1b", "a~1b")),
        *(("a~1~2", "a~1"), ("", "")),
    ],
)
def test_the_original_of_a_name(name: str, original: str) -> None:
    assert original_of(name) == original


@pytest.mark.parametrize("copy", [0, 1, 10])
def test_a_version_has_its_original(copy: int) -> None:
    assert original_of(version_name("a b~c", copy)) == "a b~c"


def test_a_video_that_is_named_like_a_version_is_refused(tmp_path: Path) -> None:
    clips = written(tmp_path / "clips", {"a": (48, 64), "a~1": (48, 64)})
    with pytest.raises(FeatureError, match="'a~1' is named like a version of 'a'"):
        describe(clips, histogram(), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_an_encoder_of_motion_is_refused(clips: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="motion-histogram sees motion"):
        describe(clips, MotionHistogram(), tmp_path / "s")


def test_a_negative_number_of_copies_is_refused(clips: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="copies is -1"):
        describe(clips, histogram(), tmp_path / "s", copies=-1)
