"""Altered versions of videos: ranges, one draw for all frames, closed forms."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.retrieval.alterations import (
    DrawnPixels,
    Overlay,
    PixelAlteration,
    TimeAlteration,
    time_indices,
)

torch.set_num_threads(1)

STILL = TimeAlteration(keep=(1, 1), speed=(1, 1), drop=0)
PLAIN = PixelAlteration(
    crop=(1, 1), flip_p=0, brightness=(1, 1), contrast=(1, 1), blur_p=0, overlay_p=0
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frames(n: int = 3, H: int = 24, W: int = 32, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (n, H, W, 3), generator=seeded(seed), dtype=torch.uint8)


def drawn(H: int = 24, W: int = 32, seed: int = 0, **changes: Any) -> DrawnPixels:
    plain = {name: getattr(PLAIN, name) for name in PixelAlteration.__dataclass_fields__}
    return PixelAlteration(**plain | changes).draw((H, W), seeded(seed))


# Time --------------------------------------------------------------------------------------------


def test_nothing_happens_to_time_where_nothing_may() -> None:
    assert time_indices(7, STILL, seeded()) == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("N", [1, 2, 3, 10, 1000])
def test_indices_are_of_the_video_and_ascend_and_there_is_at_least_one(N: int) -> None:
    draws = seeded()
    for _ in range(50):
        found = time_indices(N, TimeAlteration(), draws)
        assert found
        assert found == sorted(found)
        assert 0 <= found[0] <= found[-1] < N


def test_a_crop_keeps_its_share_at_any_place() -> None:
    draws, config = seeded(), TimeAlteration(keep=(0.4, 0.4), speed=(1, 1), drop=0)
    starts = set()
    for _ in range(300):
        found = time_indices(10, config, draws)
        assert found == list(range(found[0], found[0] + 4))
        starts.add(found[0])
    assert starts == set(range(7))


def test_twice_the_speed_shows_every_second_frame_and_half_shows_every_frame_twice() -> None:
    fast = TimeAlteration(keep=(1, 1), speed=(2, 2), drop=0)
    assert time_indices(7, fast, seeded()) == [0, 2, 4, 6]
    slow = TimeAlteration(keep=(1, 1), speed=(0.5, 0.5), drop=0)
    assert time_indices(3, slow, seeded()) == [0, 0, 1, 1, 2, 2]


def test_faster_is_as_likely_as_slower() -> None:
    draws, config = seeded(), TimeAlteration(keep=(1, 1), drop=0)
    lengths = [len(time_indices(200, config, draws)) for _ in range(1000)]
    assert min(lengths) >= 100
    assert max(lengths) <= 401
    faster = sum(length < 200 for length in lengths) / 1000
    assert abs(faster - 0.5) < 3 * math.sqrt(0.25 / 1000)


def test_up_to_a_share_is_dropped_here_and_there() -> None:
    draws, config = seeded(), TimeAlteration(keep=(1, 1), speed=(1, 1), drop=0.3)
    lengths, missing = [], set()
    for _ in range(300):
        found = time_indices(20, config, draws)
        assert len(set(found)) == len(found)
        lengths.append(len(found))
        missing |= set(range(20)) - set(found)
    assert (min(lengths), max(lengths)) == (15, 20)  # floor(.3 * 20) is never reached
    assert missing == set(range(20))


def test_one_frame_is_left_whatever_is_dropped() -> None:
    config = TimeAlteration(keep=(0.01, 0.01), speed=(16, 16), drop=1)
    assert all(len(time_indices(5, config, seeded(seed))) == 1 for seed in range(20))


def test_equal_generators_give_equal_times() -> None:
    one, same, other = (time_indices(100, TimeAlteration(), seeded(s)) for s in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"keep": (0.0, 1.0)}, "keep is"),
        ({"keep": (0.9, 0.5)}, "keep is"),
        ({"keep": (0.5, 1.1)}, "keep is"),
        ({"speed": (0.0, 1.0)}, "speed is"),
        ({"speed": (1.0, math.inf)}, "speed is"),
        ({"speed": (math.nan, 1.0)}, "speed is"),
        ({"drop": -0.1}, "drop is -0.1; expected 0 to 1"),
        ({"drop": 1.1}, "drop is 1.1"),
        ({"drop": math.nan}, "drop is nan"),
    ],
)
def test_a_range_of_time_without_meaning_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(FeatureError, match=problem):
        TimeAlteration(**changes)


def test_a_video_without_frames_is_refused() -> None:
    with pytest.raises(FeatureError, match="A video of 0 frames"):
        time_indices(0, TimeAlteration(), seeded())


# Pixels ------------------------------------------------------------------------------------------


def test_nothing_happens_to_pixels_where_nothing_may() -> None:
    assert torch.equal(drawn().frames(frames()), frames())


@pytest.mark.parametrize("seed", range(12))
def test_what_happens_to_a_frame_does_not_depend_on_the_others(seed: int) -> None:
    alteration = PixelAlteration(blur_p=0.5, overlay_p=0.8).draw((24, 32), seeded(seed))
    together = alteration.frames(frames(5))
    assert together.dtype == torch.uint8
    alone = torch.cat([alteration.frames(frame[None]) for frame in frames(5)])
    assert (together.int() - alone.int()).abs().max() <= 1  # a sum in another order
    still = alteration.frames(frames(1).expand(4, -1, -1, -1))
    assert torch.equal(still, still[:1].expand_as(still))


def test_a_crop_keeps_its_share_of_the_area_and_the_shape_of_the_picture() -> None:
    alteration = drawn(100, 200, crop=(0.25, 0.25))
    top, left, height, width = alteration.box
    assert (height, width) == (50, 100)
    given = frames(2, 100, 200)
    assert torch.equal(alteration.frames(given), given[:, top : top + 50, left : left + 100])


def test_crops_lie_everywhere() -> None:
    boxes = [drawn(10, 10, seed, crop=(0.25, 0.25)).box for seed in range(400)]
    assert {box[0] for box in boxes} == {box[1] for box in boxes} == set(range(6))


def test_a_mirror_exchanges_left_and_right() -> None:
    assert torch.equal(drawn(flip_p=1).frames(frames()), frames().flip(2))


def test_brightness_and_contrast_in_closed_form() -> None:
    given = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 1, 1, 3)
    darker = drawn(1, 1, brightness=(0.8, 0.8)).frames(given)
    assert darker.flatten().tolist() == [0, 41, 204]
    flatter = drawn(1, 1, contrast=(0.5, 0.5)).frames(given)
    assert flatter.flatten().tolist() == [64, 89, 191]


def test_blur_keeps_the_mean_and_takes_the_detail() -> None:
    blurred = drawn(64, 64, blur_p=1, blur_sigma=(2, 2)).frames(frames(2, 64, 64)).float()
    given = frames(2, 64, 64).float()
    assert abs(blurred.mean() - given.mean()) < 1
    assert blurred.std() < 0.3 * given.std()


@pytest.mark.parametrize("opacity", [0.5, 1.0])
def test_an_overlay_in_closed_form(opacity: float) -> None:
    overlay = Overlay(((1, 2, 2, 3),), (1.0, 0.0, 0.0), opacity)
    alteration = DrawnPixels((6, 8), (0, 0, 6, 8), overlay=overlay)
    seen = alteration.frames(torch.full((2, 6, 8, 3), 100, dtype=torch.uint8))
    inside = [255, 0, 0] if opacity == 1 else [178, 50, 50]
    assert seen[1, 1, 2].tolist() == seen[0, 2, 4].tolist() == inside
    assert (seen != 100).any(-1).sum(dim=(1, 2)).tolist() == [6, 6]


def test_overlays_are_of_three_kinds_opaque_or_half_transparent() -> None:
    overlays = [drawn(60, 80, seed, overlay_p=1).overlay for seed in range(300)]
    counts: dict[str, int] = {}
    for overlay in overlays:
        assert overlay is not None
        assert overlay.opacity in (0.5, 1.0)
        assert all(0 <= c < 1 for c in overlay.colour)
        for top, left, height, width in overlay.boxes:
            assert height >= 1
            assert width >= 1
            assert 0 <= top <= top + height <= 60
            assert 0 <= left <= left + width <= 80
        kind = {1: "rectangle", 2: "bars", 4: "bars"}.get(len(overlay.boxes), "text")
        counts[kind] = counts.get(kind, 0) + 1
    assert set(counts) == {"rectangle", "bars", "text"}
    assert min(counts.values()) > 70
    opaque = sum(overlay.opacity == 1 for overlay in overlays if overlay)
    assert 110 < opaque < 190


def test_text_fills_half_of_its_line() -> None:
    for seed in range(40):
        overlay = drawn(60, 80, seed, overlay_p=1, overlay=(0.5, 0.5)).overlay
        assert overlay is not None
        if len(overlay.boxes) > 4:
            area = sum(height * width for _, _, height, width in overlay.boxes)
            assert area == pytest.approx(30 * 40 / 2, rel=0.1)
            return
    raise AssertionError("no text was drawn")


def test_probabilities_are_kept() -> None:
    found = [PixelAlteration().draw((24, 32), seeded(seed)) for seed in range(2000)]
    shares = {
        0.3: [sum(a.flip for a in found), sum(a.blur_sigma is not None for a in found)],
        0.5: [sum(a.overlay is not None for a in found)],
    }
    for p, counts in shares.items():
        for count in counts:
            assert abs(count / 2000 - p) < 3.5 * math.sqrt(p * (1 - p) / 2000)


def test_equal_generators_give_equal_alterations() -> None:
    one, same, other = (PixelAlteration().draw((24, 32), seeded(s)) for s in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_tiny_pictures_are_altered_too(size: tuple[int, int]) -> None:
    for seed in range(30):
        alteration = PixelAlteration(blur_p=1, overlay_p=1).draw(size, seeded(seed))
        _, height, width, _ = alteration.frames(frames(2, *size)).shape
        assert (height, width) == alteration.box[2:]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"crop": (0.0, 1.0)}, "crop is"),
        ({"crop": (0.5, 1.5)}, "crop is"),
        ({"overlay": (0.5, 0.1)}, "overlay is"),
        ({"brightness": (0.0, 1.0)}, "brightness is"),
        ({"contrast": (1.0, 5.0)}, "contrast is"),
        ({"blur_sigma": (0.0, 1.0)}, "blur_sigma is"),
        ({"flip_p": 1.5}, "flip_p is 1.5; expected 0 to 1"),
        ({"blur_p": -1}, "blur_p is -1"),
        ({"overlay_p": math.nan}, "overlay_p is nan"),
    ],
)
def test_a_range_of_pixels_without_meaning_is_refused(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(FeatureError, match=problem):
        PixelAlteration(**changes)


@pytest.mark.parametrize(
    "given", [frames(2, 24, 31), frames().float(), frames()[..., :2], frames()[0]]
)
def test_frames_of_another_form_are_refused(given: Tensor) -> None:
    with pytest.raises(FeatureError, match=r"expected \(n, 24, 32, 3\), uint8"):
        drawn().frames(given)
