"""`--preview`: estimates that are near, and nothing written."""

import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.features.in_process import decode_here
from tests.features.videos import panned, write_video
from wtal_features import FeatureError, extract
from wtal_features.encoders.encoder import Encoder
from wtal_features.encoders.histograms import ColourHistogram, MotionHistogram, Null
from wtal_features.extraction import ExtractSettings, MotionSettings
from wtal_features.extraction.preview import Preview, duration, preview
from wtal_features.shards import Shard
from wtal_features.video.limits import Limits

torch.set_num_threads(1)

CPU = torch.device("cpu")
VECTORS = ExtractSettings(motion=MotionSettings("mv"))


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Decode in this process; the paths of the videos that were decoded."""
    return decode_here(monkeypatch)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for i, frames in enumerate((25, 75, 50, 100, 150)):
        write_video(root / f"v{i}.mp4", panned(frames, 64, 48, seed=i))
    return root


def estimate(videos: Path, encoder: Encoder, settings: ExtractSettings | None = None) -> Preview:
    return preview(videos, {"": encoder}, settings or ExtractSettings(workers=1), device=CPU)


class Sleepy(Null):
    """Ten milliseconds a batch."""

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        time.sleep(0.01)
        return super().encode(clips_BnHWC)


def test_length_and_disk_are_those_of_the_store(videos: Path, tmp_path: Path) -> None:
    found = estimate(videos, ColourHistogram())
    assert (found.videos, found.skipped) == (5, [])
    assert found.video_s == pytest.approx(400 / 25)
    report = extract(videos, tmp_path / "s", ColourHistogram())
    data = 2 * 64 * report.snippets
    assert data <= found.disk_bytes < 1.2 * data


def test_two_streams_and_float32_take_their_room(videos: Path) -> None:
    half = estimate(videos, ColourHistogram()).disk_bytes
    assert estimate(videos, ColourHistogram(), ExtractSettings(dtype="float32")).disk_bytes == (
        2 * half
    )
    both: dict[str, Encoder] = {"rgb": ColourHistogram(), "flow": MotionHistogram()}
    found = preview(videos, both, VECTORS, device=CPU)
    assert found.disk_bytes == pytest.approx(half * (64 + 36) / 64)
    assert found.memory_bytes > 0


def test_encoding_time_follows_from_clips_and_batches(videos: Path) -> None:
    for batch in (1, 4):
        found = estimate(videos, Sleepy(), ExtractSettings(batch=batch, workers=1))
        clips = 400 / 16
        assert clips / batch * 0.01 <= found.encode_s < clips / batch * 0.05
        assert found.seconds == found.encode_s + found.decode_s


def test_decoding_time_is_that_of_decoding(videos: Path, tmp_path: Path) -> None:
    found = estimate(videos, ColourHistogram())
    started = time.perf_counter()
    extract(videos, tmp_path / "s", ColourHistogram())
    took = time.perf_counter() - started
    assert 0.02 * took < found.decode_s < 20 * took


def test_dense_mode_counts_its_longer_clips(videos: Path) -> None:
    found = estimate(videos, Null(), ExtractSettings(mode="dense"))
    assert found.encode_s > 0
    assert found.disk_bytes == estimate(videos, Null()).disk_bytes


def test_memory_grows_with_decoders_and_batch(videos: Path) -> None:
    small = estimate(videos, Null(), ExtractSettings(workers=1, batch=1)).memory_bytes
    assert 0.5e9 < small < 2e9
    assert estimate(videos, Null(), ExtractSettings(workers=4, batch=1)).memory_bytes > 2 * small
    assert estimate(videos, Null(), ExtractSettings(workers=1, batch=64)).memory_bytes > small


def test_at_most_three_videos_are_decoded_and_nothing_is_written(
    videos: Path, tmp_path: Path, asked: list[str]
) -> None:
    before = sorted(path.name for path in videos.iterdir())
    settings = ExtractSettings(motion=MotionSettings("mv", cache=str(tmp_path / "cache")))
    estimate(videos, MotionHistogram(), settings)
    assert 1 <= len(asked) <= 3
    assert sorted(path.name for path in videos.iterdir()) == before
    assert list(tmp_path.iterdir()) == []


def test_it_is_told_in_three_lines() -> None:
    lines = Preview(12, 7200.0, 100.0, 5000.0, 3 * 2**30, 5.5 * 2**20).lines()
    assert lines == [
        "12 videos, 2.0 h of video",
        "time 85 min on this machine: decoding 2 min, encoding 83 min",
        "memory 3.0 GiB, disk 5.5 MiB",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"),
     (72 * 3600 - 1, "72.0 h"), (72 * 3600, "3.0 days")],
)  # fmt: skip
def test_lengths_of_time_are_said_in_one_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_share_is_estimated_alone(videos: Path) -> None:
    found = preview(videos, {"": Null()}, ExtractSettings(), device=CPU, shard=Shard(1, 5))
    assert found.videos == 1
    assert found.video_s == pytest.approx(1.0)


def test_videos_that_break_are_named_and_the_rest_is_estimated(tmp_path: Path) -> None:
    for name, frames in (("a", 50), ("b", 51), ("c", 53)):
        write_video(tmp_path / f"{name}.mp4", panned(frames, 64, 48))
    (tmp_path / "d.mp4").write_bytes(b"no video")
    found = estimate(tmp_path, ColourHistogram())
    assert [finding.where for finding in found.skipped] == ["d"]
    assert found.videos == 4
    too_long = ExtractSettings(limits=Limits(max_hours=2.05 / 3600))  # a and b fit
    found = estimate(tmp_path, ColourHistogram(), too_long)
    assert {finding.where: finding.code for finding in found.skipped} == {
        "c": "too-long",
        "d": "video",
    }


def test_when_nothing_can_be_decoded_the_reason_is_said(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(FeatureError, match=r"None of the 1 videos .* can be decoded\. .*a\.mp4"):
        estimate(tmp_path, Null())
    settings = ExtractSettings(limits=Limits(max_hours=0.1 / 3600))
    with pytest.raises(FeatureError, match=r"can be decoded\. \S+: The time stamps reach"):
        estimate(videos, Null(), settings)


def test_what_is_missing_is_said_as_by_the_extraction(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FeatureError, match="does not exist"):
        estimate(tmp_path / "none", Null())
    with pytest.raises(FeatureError, match="holds no video"):
        estimate(tmp_path, Null())
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(FeatureError, match=r"pip install 'wtal\[flow\]'"):
        estimate(videos, MotionHistogram())
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(FeatureError, match=r"pip install 'wtal\[video\]'"):
        estimate(videos, Null())


def test_a_header_without_a_length_is_estimated_too(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", panned(30, 64, 48), fps=Fraction(30))
    write_video(tmp_path / "b.gif", panned(8, 64, 48), codec="gif", pix_fmt="rgb8")
    found = estimate(tmp_path, ColourHistogram())
    assert found.video_s > 0.5
    assert found.skipped == []
