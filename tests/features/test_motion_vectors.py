"""Motion vectors of real codecs, and the dense map by hand."""

from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.features.videos import ONE_REFERENCE, panned, write_video
from wtal_features.errors import FeatureError
from wtal_features.motion.keyframes import decode_key_frames, key_frames
from wtal_features.motion.references import h264_references
from wtal_features.motion.usable import reason_against, why_no_vectors
from wtal_features.motion.vectors import (
    Map,
    Vectors,
    ask_for_vectors,
    dense_map,
    is_intra,
    vectors_of,
)
from wtal_features.video.container import open_video

pytestmark = pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV")

FIELDS = np.dtype(
    {
        "names": ["source", "w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale"],
        "formats": ["<i4", "u1", "u1", "<i2", "<i2", "<i4", "<i4", "<u2"],
        "offsets": [0, 4, 5, 10, 12, 24, 28, 32],
        "itemsize": 40,
    }
)
B_FRAMES = {"g": "12", "bf": "2"}
# Where x264 sees nothing to gain from B-frames, it would make none.
X264_B = {**ONE_REFERENCE, "bf": "2", "b_strategy": "0", "b-pyramid": "none"}
REFERENCES = {**ONE_REFERENCE, "preset": "ultrafast", "refs": "3"}
PATH_SUFFIX = {"libvpx-vp9": ".webm", "mpeg2video": ".mpg"}


def blocks(*rows: Sequence[int]) -> Vectors:
    """Rows of source, w, h, dst_x, dst_y, motion_x, motion_y, motion_scale."""
    return np.array([tuple(row) for row in rows], FIELDS)


def encoded(
    path: Path, codec: str, options: dict[str, str] | None = None, n: int = 14, side: int = 64
) -> Path:
    return write_video(path, panned(n, side, side * 3 // 4), codec=codec, options=options)


def by_a_loop(vectors: Vectors, height: int, width: int) -> Map:
    """The map as one would write it without numpy: smaller blocks first, later ones on top."""
    out = np.zeros((-(-height // 4), -(-width // 4), 2), np.float32)
    rows = [{name: int(row[name]) for name in FIELDS.names or ()} for row in vectors]
    for row in sorted(rows, key=lambda row: (row["h"] // 4, row["w"] // 4)):
        if row["source"] >= 0:
            continue
        top, left = (row["dst_y"] - row["h"] // 2) // 4, (row["dst_x"] - row["w"] // 2) // 4
        scale = max(row["motion_scale"], 1)
        for y in range(top, top + row["h"] // 4):
            for x in range(left, left + row["w"] // 4):
                if 0 <= y < out.shape[0] and 0 <= x < out.shape[1]:
                    out[y, x] = -row["motion_x"] / scale, -row["motion_y"] / scale
    return out


# Real codecs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
def test_a_pan_by_3_and_1_moves_the_content_by_minus_3_and_minus_1(
    tmp_path: Path, codec: str
) -> None:
    path = tmp_path / f"pan{PATH_SUFFIX.get(codec, '.mp4')}"
    write_video(path, panned(15, 320, 240), codec=codec)
    with open_video(path) as video:
        assert why_no_vectors(video) is None
    with open_video(path) as video:
        ask_for_vectors(video.stream)
        without, intra = [], []
        for i, frame in enumerate(video.container.decode(video.stream)):
            vectors = vectors_of(frame)
            field = dense_map(vectors, frame.height, frame.width)
            assert field.shape == (60, 80, 2)
            assert field.dtype == np.float32
            intra += [i] * is_intra(frame)
            if vectors is None:
                without.append(i)
                assert not field.any()
            else:
                np.testing.assert_array_equal(np.median(field, (0, 1)), (-3, -1))
    assert without == intra == [0, 12]


@pytest.mark.parametrize(
    ("codec", "options", "reason"),
    [
        ("libx264", X264_B, "has B-frames"),
        ("mpeg4", B_FRAMES, "has B-frames"),
        ("mpeg2video", B_FRAMES, "has B-frames"),
        ("libx264", REFERENCES, "refers to up to 3 earlier frames"),
        ("mpeg2video", {"g": "12", "flags": "+ildct+ilme"}, "is interlaced"),
        ("libvpx-vp9", {"deadline": "realtime"}, "is coded as vp9, which gives no motion vectors"),
        ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}, "is coded as hevc"),
    ],
)
def test_a_file_whose_vectors_say_nothing_is_named(
    tmp_path: Path, codec: str, options: dict[str, str], reason: str
) -> None:
    path = encoded(tmp_path / f"v{PATH_SUFFIX.get(codec, '.mp4')}", codec, options)
    with open_video(path) as video:
        assert (why_no_vectors(video) or "").startswith(reason)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
def test_a_b_frame_is_never_read_as_motion(tmp_path: Path, codec: str) -> None:
    path = encoded(tmp_path / "v.mkv", codec, X264_B if codec == "libx264" else B_FRAMES)
    with open_video(path) as video:
        ask_for_vectors(video.stream)
        with pytest.raises(FeatureError, match=r"B-frames.*Re-encode it"):
            list(map(vectors_of, video.container.decode(video.stream)))


def test_each_hindrance_has_its_reason() -> None:
    for codec in ("h264", "mpeg4", "mpeg2video"):
        assert reason_against(codec, references=1) is None
    assert "B-frames" in (reason_against("h264", b_frames=True) or "")
    assert "up to 4" in (reason_against("h264", references=4) or "")
    assert "interlaced" in (reason_against("h264", interlaced=True) or "")
    assert "av1" in (reason_against("av1") or "")


# References of H.264 -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".h264"])
@pytest.mark.parametrize(
    "options",
    [
        {"profile": "baseline"},
        {"profile": "high"},
        {"x264-params": "cqm=jvt"},  # with scaling lists
    ],
)
def test_the_number_of_references_is_read_from_the_header(
    tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    for refs in ("1", "4"):
        path = encoded(
            tmp_path / f"v{refs}{suffix}", "libx264", {"bf": "0", "refs": refs, **options}, n=6
        )
        with open_video(path) as video:
            assert h264_references(bytes(video.stream.codec_context.extradata)) == int(refs)


def golomb(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def test_bytes_that_guard_against_start_codes_are_no_part_of_the_header() -> None:
    # Profile 66, level 30, id 0; picture order of type 1 with a long run of zeros in an offset.
    fields = f"{66:08b}{0:08b}{30:08b}" + golomb(0) + golomb(0) + golomb(1) + "0" + golomb(0)
    fields += golomb((1 << 30) - 1) + golomb(2) + golomb(3) + golomb(4) + golomb(7) + "1"
    plain = int(fields.ljust(-(-len(fields) // 8) * 8, "0"), 2).to_bytes(
        -(-len(fields) // 8), "big"
    )
    assert b"\0\0\0" in plain
    guarded = plain.replace(b"\0\0\0", b"\0\0\3\0")
    assert h264_references(b"\0\0\0\1\x67" + guarded) == 7


def test_a_header_of_garbage_has_no_number_of_references() -> None:
    generator = np.random.default_rng(0)
    assert h264_references(b"") is None
    assert h264_references(b"\1\x64") is None
    for length in (3, 9, 40, 400):
        for start in (b"\1\x64\0\x1f\xff\xe1\0\xff\x67\x64\0\x1f", b"\0\0\0\1\x67\x64\0\x1f"):
            found = h264_references(start + generator.bytes(length))
            assert found is None or found >= 0
    assert h264_references(b"\0\0\1\x67\x64" + bytes(1 << 20)) is None


# I-frames ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "suffix", "options"),
    [
        ("libx264", ".mp4", None),
        ("libx264", ".h264", None),
        ("mpeg4", ".avi", None),
        ("mpeg2video", ".mpg", None),
        ("mpeg2video", ".mp4", B_FRAMES),
        ("libx264", ".mp4", X264_B),
    ],
)
def test_key_frames_are_listed_where_decoding_finds_i_frames(
    tmp_path: Path, codec: str, suffix: str, options: dict[str, str] | None
) -> None:
    path = encoded(tmp_path / f"v{suffix}", codec, options, n=30)
    with open_video(path) as video:
        intra = [i for i, f in enumerate(video.container.decode(video.stream)) if is_intra(f)]
    with open_video(path) as video:
        listed = key_frames(video)
    indices = [key.index for key in listed]
    assert indices == intra
    assert [key.time for key in listed] == [Fraction(i, 25) for i in indices]
    assert len(indices) >= 3


def test_decoding_only_key_frames_gives_them_with_their_times(tmp_path: Path) -> None:
    path = encoded(tmp_path / "v.mp4", "mpeg4", n=30)
    with open_video(path) as video:
        found = list(decode_key_frames(video))
    assert [time for time, _ in found] == [Fraction(i, 25) for i in (0, 12, 24)]
    assert all(is_intra(frame) for _, frame in found)


# The dense map by hand ---------------------------------------------------------------------------


@pytest.mark.parametrize(("w", "h"), [(16, 16), (16, 8), (8, 16), (8, 8)])
def test_a_block_fills_the_cells_around_its_centre(w: int, h: int) -> None:
    field = dense_map(blocks((-1, w, h, 16 + w // 2, 32 + h // 2, 12, -4, 4)), 64, 64)
    expected = np.zeros((16, 16, 2), np.float32)
    expected[8 : 8 + h // 4, 4 : 4 + w // 4] = (-3, 1)
    np.testing.assert_array_equal(field, expected)


def test_the_scale_divides_and_a_scale_of_0_counts_as_1() -> None:
    rows = blocks((-1, 8, 8, 4, 4, 6, 2, 2), (-1, 8, 8, 12, 4, 6, 2, 0))
    field = dense_map(rows, 8, 16)
    np.testing.assert_array_equal(field[0, 0], (-3, -1))
    np.testing.assert_array_equal(field[0, 2], (-6, -2))


def test_vectors_into_later_pictures_are_left_out() -> None:
    rows = blocks((-1, 16, 16, 8, 8, 4, 0, 4), (1, 16, 16, 8, 8, 400, 0, 4))
    np.testing.assert_array_equal(dense_map(rows, 16, 16)[..., 0], np.full((4, 4), -1))
    assert not dense_map(rows[1:], 16, 16).any()


def test_a_block_over_the_border_is_cut() -> None:
    # 18 px: coded as 32, so the second block sticks out by 14; the third lies outside on the left.
    rows = blocks(
        (-1, 16, 16, 24, 8, 4, 0, 4), (-1, 16, 16, 0, 8, 8, 0, 4), (-1, 16, 16, -9, 8, 80, 0, 4)
    )
    field = dense_map(rows, 18, 18)
    assert field.shape == (5, 5, 2)
    np.testing.assert_array_equal(field[0, :, 0], [-2, -2, 0, 0, -1])
    assert not field[4].any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (17, 4), (240, 320)])
def test_a_picture_without_vectors_is_zero_in_the_right_size(height: int, width: int) -> None:
    for nothing in (None, blocks()):
        field = dense_map(nothing, height, width)
        assert field.shape == (-(-height // 4), -(-width // 4), 2)
        assert not field.any()


def random_vectors(generator: np.random.Generator, n: int, far: int) -> Vectors:
    rows = np.zeros(n, FIELDS)
    sizes = np.array([(16, 16), (16, 8), (8, 16), (8, 8)])
    rows["w"], rows["h"] = sizes[generator.integers(0, 4, n)].T
    rows["source"] = generator.choice([-1, -1, -1, 1], n)
    for name in ("dst_x", "dst_y"):
        rows[name] = generator.integers(-far, far + 100, n)
    for name in ("motion_x", "motion_y"):
        rows[name] = generator.integers(-200, 200, n)
    rows["motion_scale"] = generator.choice([0, 1, 2, 4], n)
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_the_map_equals_a_plain_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = random_vectors(generator, int(generator.integers(1, 80)), far=30)
    height, width = generator.integers(1, 90, 2).tolist()
    np.testing.assert_array_equal(dense_map(rows, height, width), by_a_loop(rows, height, width))


@pytest.mark.parametrize("seed", range(5))
def test_garbage_of_a_damaged_file_gives_a_map_of_finite_numbers(seed: int) -> None:
    raw = np.random.default_rng(seed).bytes(40 * 500)
    rows = np.frombuffer(raw, FIELDS)
    field = dense_map(rows, 50, 70)
    assert field.shape == (13, 18, 2)
    assert np.isfinite(field).all()
    np.testing.assert_allclose(field, by_a_loop(rows, 50, 70), rtol=1e-6)


def test_the_largest_values_do_not_wrap_around() -> None:
    rows = blocks((-1, 255, 255, 127, 127, -(2**31), 2**31 - 1, 1))
    field: NDArray[np.float32] = dense_map(rows, 252, 252)
    np.testing.assert_array_equal(field[0, 0], (2.0**31, -(2.0**31)))
    assert (field == field[0, 0]).all()
