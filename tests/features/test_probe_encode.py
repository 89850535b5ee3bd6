"""From a clip store to features: what an encoder sees is what extraction would show it."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.features.in_process import InProcessPool, decode_here
from tests.features.test_clipstore import Here
from tests.features.test_own_checkpoints import ABOUT, network
from tests.features.videos import panned, texture, write_video
from tests.moving_textures import moving_textures
from wtal_features import extract, open_store
from wtal_features.checkpoints.own import save_encoder
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.catalog import EncoderOptions, load_encoder
from wtal_features.encoders.histograms import ColourHistogram, MotionHistogram, Null
from wtal_features.errors import FeatureError
from wtal_features.extraction.settings import ExtractSettings, MotionSettings
from wtal_features.preprocess import prepare_frame, prepare_motion
from wtal_features.pretraining import clipbuild
from wtal_features.pretraining.clipbuild import build_clip_store
from wtal_features.pretraining.clipsettings import ClipSettings, clip_key
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.clipworker import quantized
from wtal_features.pretraining.clipwriter import find_video, new_video, write_manifest
from wtal_features.probing.clips import LabelledClip
from wtal_features.probing.encode import encode_clips, prepared, remarks
from wtal_features.probing.linear import ProbeSettings, linear_probe

torch.set_num_threads(1)

TINY = EncoderOptions(width=0.125, size=32, frames=16, every=1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def written(
    folder: Path, sizes: dict[str, tuple[int, int]], *, frames: int = 20, **settings: Any
) -> ClipStore:
    """Videos of noise, each of its own height and width; with motion where that is set."""
    how = ClipSettings(**settings)
    folder.mkdir(exist_ok=True)
    entries = {}
    for i, (video, (H, W)) in enumerate(sizes.items()):
        key = clip_key(f"{i:064x}", how)
        draws = np.random.default_rng(i)
        with new_video(folder, key, motion=how.motion is not None) as sink:
            for _ in range(frames):
                sink.frame(draws.integers(256, size=(H, W, 3), dtype=np.uint8))
                if how.motion is not None:
                    motion = draws.normal(0, 3, (H // 2, W // 2, 2)).astype(np.float32)
                    sink.motion(quantized(motion, 20))
        entry = find_video(folder, key)
        assert entry is not None
        entries[video] = entry
    write_manifest(folder, how.described(), entries)
    return ClipStore(folder)


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    """Two videos of 20 frames and different sizes, with motion."""
    return written(tmp_path / "clips", {"a": (48, 64), "b": (70, 40)}, motion=MotionSettings())


# Pixels ------------------------------------------------------------------------------------------

SHAPES = [
    Preprocess(36, 32),
    Preprocess(36, 32, resampling="bicubic", long_side="round"),
    Preprocess(64, 56, resize=32, resampling="bicubic"),
    Preprocess(64, 56, antialias=False),  # enlarged
    Preprocess(20, 20, resize=8, antialias=False),
    Preprocess(48, 48),  # nothing to be resized
]


def pictures(count: int, height: int, width: int) -> NDArray[np.uint8]:
    whole = [texture(max(height, width), seed)[:height, :width] for seed in range(count)]
    return np.stack(whole)


@pytest.mark.parametrize("preprocess", SHAPES)
@pytest.mark.parametrize(("height", "width"), [(48, 64), (71, 48)])
def test_every_frame_of_a_batch_is_prepared_as_it_would_be_alone(
    preprocess: Preprocess, height: int, width: int
) -> None:
    frames = pictures(6, height, width)
    found = prepared(torch.from_numpy(frames).reshape(2, 3, height, width, 3), preprocess)
    size = preprocess.size
    assert (found.shape, found.dtype) == ((2, 3, size, size, 3), torch.uint8)
    for row, frame in zip(found.flatten(0, 1), frames, strict=True):
        assert np.array_equal(row.numpy(), prepare_frame(frame, preprocess))


@pytest.mark.parametrize("preprocess", SHAPES)
def test_every_map_of_a_batch_is_prepared_as_it_would_be_alone(preprocess: Preprocess) -> None:
    maps = np.random.default_rng(0).normal(0, 5, (6, 30, 40, 2)).astype(np.float32)
    found = prepared(torch.from_numpy(maps).reshape(3, 2, 30, 40, 2), preprocess)
    size = preprocess.size
    assert (found.shape, found.dtype) == ((3, 2, size, size, 2), torch.float16)
    for row, motion in zip(found.flatten(0, 1), maps, strict=True):
        assert np.array_equal(row.numpy(), prepare_motion(motion, preprocess))


@pytest.mark.parametrize("name", ["s3d", "r3d50", "r2plus1d26", "colour-histogram"])
def test_a_clip_has_the_feature_that_extraction_gives_the_same_frames(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, decoded: ClipStore
) -> None:
    options = TINY if name != "colour-histogram" else EncoderOptions()
    encoder, _ = load_encoder(name, options)
    span = encoder.clip.span
    decode_here(monkeypatch)
    extract(decoded.folder.parent / "videos", tmp_path / "s", encoder, EXACT)
    rows_TD = torch.from_numpy(open_store(tmp_path / "s").read("a"))
    first = 16 + 8 - (span + 1) // 2  # of the window around the second snippet
    clip = LabelledClip("a", "any", first / 25, (first + span) / 25)
    (row,) = encode_clips(decoded, [clip], encoder)
    assert row.norm() > 0
    assert torch.equal(row, rows_TD[1])


# One clip at a time: in larger batches sums are rounded in another order.
EXACT = ExtractSettings(dtype="float32", batch=1)


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """A video of 48 frames."""
    root = tmp_path_factory.mktemp("decoded")
    (root / "videos").mkdir()
    write_video(root / "videos" / "a.mp4", panned(48, 64, 48))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clipbuild, "Children", Here)
        patch.setattr(clipbuild, "DecoderPool", InProcessPool)
        build_clip_store(root / "videos", root / "clips")
    return ClipStore(root / "clips")


# Features ----------------------------------------------------------------------------------------


def test_videos_of_any_size_have_features_of_one_length(store: ClipStore) -> None:
    clips = [LabelledClip(video, "any") for video in ("a", "b", "a")]
    for encoder in (ColourHistogram(), MotionHistogram(), load_encoder("r3d10", TINY)[0]):
        found = encode_clips(store, clips, encoder)
        assert (found.shape, found.dtype) == ((3, encoder.dim), torch.float32)
        assert torch.equal(found[0], found[2])
        assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("batch", [1, 3])
def test_how_many_windows_go_at_a_time_does_not_matter(store: ClipStore, batch: int) -> None:
    encoder = replace(Null(), clip=ClipSpec(4, 1, "rgb", Preprocess(16, 16)))
    clips = [LabelledClip("a", "any"), LabelledClip("b", "any", 0.2, 0.4)]
    many = encode_clips(store, clips, encoder, batch=50)
    torch.testing.assert_close(encode_clips(store, clips, encoder, batch=batch), many)


def test_progress_counts_clips(store: ClipStore) -> None:
    told: list[tuple[int, int]] = []
    clips = [LabelledClip("a", "any")] * 3
    encode_clips(store, clips, Null(), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_encoding_and_the_linear_probe_leave_the_network_as_it_is(tmp_path: Path) -> None:
    toy = moving_textures(8, generator())
    store = toy.store(tmp_path / "clips", 9)
    encoder, _ = load_encoder("s3d", replace(TINY, frames=8))
    clips = [LabelledClip(video, "any") for video in store.videos]
    weights: Any = encoder
    before = {name: t.clone() for name, t in weights.network.state_dict().items()}
    features = encode_clips(store, clips, encoder)
    assert not features.requires_grad
    settings = ProbeSettings(epochs=2)
    linear_probe(features, toy.labels_V, features, toy.labels_V, generator(), settings)
    after = weights.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(encode_clips(store, clips, encoder), features)


def test_an_encoder_of_motion_needs_a_store_with_motion(tmp_path: Path) -> None:
    store = written(tmp_path / "clips", {"a": (20, 20)})
    with pytest.raises(FeatureError, match=r"motion-histogram sees motion.*clips holds none"):
        encode_clips(store, [LabelledClip("a", "any")], MotionHistogram())


# Remarks -----------------------------------------------------------------------------------------


def said(store: ClipStore, spec: ClipSpec, **details: object) -> list[str]:
    return remarks(store, "mine", spec, details)


def rgb(short_side: int) -> ClipSpec:
    return ClipSpec(8, 1, "rgb", Preprocess(short_side, short_side))


def test_frames_that_are_enlarged_are_counted_in_one_sentence(store: ClipStore) -> None:
    assert said(store, rgb(40)) == []
    assert said(store, rgb(45)) == [
        "mine wants a short side of 45 px; 1 of 2 videos are stored with less, down to 40, and "
        "are enlarged."
    ]
    (sentence,) = said(store, rgb(200))
    assert "2 of 2 videos are stored with less, down to 40" in sentence


def test_a_larger_store_is_advised_only_where_it_would_be_larger(tmp_path: Path) -> None:
    advice = "A clip store of short side 45 has all that the videos show."
    for kept, advised in ((44, True), (45, False), (128, False)):
        store = written(tmp_path / str(kept), {"a": (40, 50)}, frames=1, short_side=kept)
        (sentence,) = said(store, rgb(45))
        assert (advice in sentence) == advised


def test_maps_of_motion_that_are_enlarged_are_told_as_cells(store: ClipStore) -> None:
    spec = ClipSpec(8, 1, "motion", Preprocess(24, 24))
    assert "24 cells; 1 of 2 videos are stored with less, down to 20" in said(store, spec)[0]


@pytest.mark.parametrize(
    ("fps", "trained", "told"), [(25, "25.0", 0), (25, "12.5", 1), ("25/2", "12.5", 0)]
)
def test_another_rate_than_that_of_the_training_is_told(
    tmp_path: Path, fps: int | str, trained: str, told: int
) -> None:
    store = written(tmp_path / "clips", {"a": (40, 50)}, fps=Fraction(fps))
    found = said(store, rgb(8), grid_fps=trained)
    assert found == ["mine was trained at 12.5 fps, and these clips have 25: to it, things move at "
                     "another speed."][:told]  # fmt: skip


@pytest.mark.parametrize(
    ("view", "source", "told"),
    [("motion", "mv", 1), ("motion", "dis", 0), ("motion", None, 0), ("rgb", "null", 0)],
)
def test_another_source_of_motion_than_that_of_the_training_is_told(
    store: ClipStore, view: Literal["rgb", "motion"], source: str | None, told: int
) -> None:
    spec = ClipSpec(8, 1, view, Preprocess(8, 8))
    expected = "mine was trained on motion by mv, and these clips have motion by dis."
    assert said(store, spec, motion_source=source) == [expected][:told]


def test_a_checkpoint_of_ours_says_what_is_needed(tmp_path: Path, store: ClipStore) -> None:
    about = replace(ABOUT, grid_fps=12.5, motion_source="mv")
    save_encoder(tmp_path / "e.safetensors", network(), about)
    encoder, _ = load_encoder(str(tmp_path / "e.safetensors"))
    found = remarks(store, encoder.name, encoder.clip, encoder.describe())
    assert ["12.5 fps" in found[-2], "by mv" in found[-1]] == [True, True]
