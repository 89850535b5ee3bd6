"""Benchmarks of the extraction: the videos are what they claim, the work is all done."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="videos need wtal[video]")

from wtal import bench
from wtal.bench import decoding, encoders, extraction, motion, video_memory, videos
from wtal.bench.child import run_child
from wtal.bench.rows import CPU, WALL
from wtal.errors import WtalError
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.catalog import ENCODERS
from wtal_features.encoders.untrained import settle, textures
from wtal_features.motion.source import motion_view
from wtal_features.motion.usable import why_no_vectors
from wtal_features.preprocess import to_network
from wtal_features.video.container import open_video
from wtal_features.video.frames import FrameReader, to_rgb

FORMS = {"one reference": videos.ONE_REFERENCE, "defaults": videos.X264_DEFAULTS}


def frames_of(path: Path) -> tuple[list[float], list[np.ndarray]]:
    from av.video.reformatter import VideoReformatter

    with open_video(path) as video:
        decoded = [(float(d.time), to_rgb(d, VideoReformatter())) for d in FrameReader(video)]
    return [time_s for time_s, _ in decoded], [rgb for _, rgb in decoded]


@pytest.mark.parametrize("form", FORMS)
def test_a_repeated_video_is_the_same_frames_again_and_again(form: str, tmp_path: Path) -> None:
    one = videos.make_video(tmp_path / "1.mp4", 0.6, size=(64, 48), options=FORMS[form])
    three = videos.repeat_video(one, tmp_path / "3.mp4", 3)
    _, short = frames_of(one)
    times_s, long = frames_of(three)
    assert len(short) == 15
    assert len(long) == 45
    np.testing.assert_allclose(times_s, np.arange(45) / 25)
    np.testing.assert_array_equal(np.stack(long), np.stack(short * 3))
    with open_video(three) as video:
        assert video.facts.frames == 45
        assert video.facts.duration_s == pytest.approx(1.8)


def test_only_videos_of_one_reference_have_usable_vectors(tmp_path: Path) -> None:
    reasons = {}
    for form, options in FORMS.items():
        path = videos.make_video(tmp_path / f"{form}.mp4", 0.6, size=(64, 48), options=options)
        with open_video(path) as video:
            reasons[form] = why_no_vectors(video)
    assert reasons["one reference"] is None
    assert "B-frames" in str(reasons["defaults"])


def test_the_camera_moves_over_a_world_that_the_seed_decides() -> None:
    first, same, other = (list(videos.filmed(3, 64, 48, seed)) for seed in (0, 0, 1))
    assert first[0].shape == (48, 64, 3)
    np.testing.assert_array_equal(first, same)
    assert (first[0] != other[0]).mean() > 0.9
    # The camera goes right by 4 px and down by 1; what differs then is its noise, 3 levels a frame.
    apart = first[1][:-1, :-4].astype(int) - first[0][1:, 4:]
    assert 3 < np.abs(apart).max() <= 6


def test_decoding_counts_every_frame_whatever_the_threads(tmp_path: Path) -> None:
    paths = [videos.make_video(tmp_path / f"{i}.mp4", 0.4, size=(64, 48)) for i in range(2)]
    assert decoding.decode(paths, "AUTO") == decoding.decode(paths, "NONE", rgb=True) == 20
    decoding.decode_side_by_side(paths, 2)


def test_processes_that_fail_to_decode_are_no_figure(tmp_path: Path) -> None:
    with pytest.raises(WtalError, match="ended with code 1"):
        decoding.decode_side_by_side([tmp_path / "none.mp4"], 1)


def test_rates_count_the_processes_that_the_work_starts() -> None:
    burn = "import time\nwhile time.process_time() < .3: pass"
    rates = extraction.rate(60, lambda: run_child([sys.executable, "-c", burn]))()
    assert rates[CPU] <= 60 / 0.3
    rates = extraction.rate(60, lambda: time.sleep(0.1))()
    assert rates[WALL] <= 600 < rates[CPU]


def test_a_video_that_is_skipped_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"no video")
    with pytest.raises(WtalError, match=r"a\.mp4 does not open as a video"):
        extraction.extract_with(extraction.CLIPS["all frames"], tmp_path / "videos")


def test_a_set_has_as_many_frames_as_it_says(tmp_path: Path) -> None:
    made = extraction.Videos((64, 48), 0.2, 3, count=2)
    paths = made.make(tmp_path / "set")
    assert decoding.decode(paths, "NONE") == made.frames == 30
    assert sorted((tmp_path / "set").iterdir()) == sorted(paths)


@pytest.mark.parametrize("precision", encoders.DTYPES)
def test_the_timed_encoder_computes_what_the_network_does(precision: str) -> None:
    clip = ClipSpec(16, 1, "rgb", Preprocess(32, 32))
    draws = torch.Generator().manual_seed(0)
    clips = textures(clip, draws)
    x_BCTHW = to_network(clips, clip)
    network = settle(ENCODERS["r2plus1d26"].build(3, 0.125, generator=draws), x_BCTHW)
    encoder = encoders.as_extracted("r2plus1d26", network, clip, encoders.DTYPES[precision])
    with torch.inference_mode():
        y, z = network(x_BCTHW).mean(dim=(2, 3, 4)), encoder.encode(clips)
    assert (y - z).norm() < (1e-4 if precision == "fp32" else 0.05) * y.norm()


@pytest.mark.parametrize(
    "piece",
    [
        "motion",
        pytest.param("extract", marks=pytest.mark.slow),
        pytest.param("video-memory", marks=pytest.mark.slow),
    ],
)
def test_every_piece_gives_rows_with_their_reference(piece: str) -> None:
    if piece == "motion":
        pytest.importorskip("cv2", reason="optical flow needs wtal[flow]")
    rows = list(bench.run([piece], repeats=1, quick=True, quiet=True))
    assert rows
    for row in rows:
        assert row.name.startswith(piece)
        assert row.ratio == row.value / row.reference_value > 0
    assert len({(row.name, row.reference) for row in rows}) == len(rows)


def test_motion_is_taken_of_every_frame(tmp_path: Path) -> None:
    path = videos.make_video(tmp_path / "a.mp4", 0.4, size=(64, 48))
    assert motion.maps_of(path, motion_view("mv")) == 10


@pytest.mark.slow
def test_memory_is_that_of_a_whole_extraction(tmp_path: Path) -> None:
    path = videos.make_video(tmp_path / "a.mp4", 0.4, size=(64, 48))
    found = video_memory.figures(path, 0.4)
    assert found["encoder"] > 50
    assert found["decoder"] > 50
    with pytest.raises(WtalError, match=r"0\.4 s were extracted; expected 0\.8"):
        video_memory.figures(path, 0.8)
