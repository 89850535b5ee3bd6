"""Grid frames in, clips out."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from wtal_features.clips import ClipSpec
from wtal_features.video.clipper import Clip, Clipper
from wtal_features.video.windows import ClipPlan, dense_plan, snippets_of, window_plan

Video = Sequence[int]  # grid frames that each frame fills


def picture(i: int, asked: Counter[int]) -> Callable[[], NDArray[np.int64]]:
    """Frame i, prepared: one pixel with its number."""

    def prepare() -> NDArray[np.int64]:
        asked[i] += 1
        return np.full((1, 1, 1), i)

    return prepare


def clips_of(plan: ClipPlan, video: Video) -> tuple[list[Clip], Counter[int], int]:
    """The clips, how often each frame was prepared, and the most that were kept."""
    clipper, asked, clips, filled, most = Clipper(plan), Counter[int](), list[Clip](), 0, 0
    for i, n in enumerate(video):
        clips += clipper.feed(range(filled, filled + n), picture(i, asked))
        filled += n
        most = max(most, len(clipper._kept))
    clips += clipper.finish()
    return clips, asked, most


def numbers(clip: Clip) -> list[int]:
    return [int(i) for i in clip.frames[:, 0, 0, 0]]


def a_plan(generator: random.Random) -> ClipPlan:
    clip = ClipSpec(generator.randint(1, 20), generator.randint(1, 5), "rgb")
    stride = generator.randint(1, 20)
    if generator.random() < 0.5:
        return window_plan(clip, stride)
    return dense_plan(clip, stride, generator.randint(0, 10))


def a_video(generator: random.Random) -> Video:
    """Frames that mostly fill one cell, sometimes none, at times many."""
    kinds = [1, 1, 1, 0, 2, 3, 25]
    video = [generator.choice(kinds) for _ in range(generator.randint(0, 120))]
    return [*video, generator.choice([1, 2, 40])]


@pytest.mark.parametrize("seed", range(150))
def test_clips_are_the_frames_that_the_plan_names(seed: int) -> None:
    generator = random.Random(seed)
    plan, video = a_plan(generator), a_video(generator)
    source = [i for i, n in enumerate(video) for _ in range(n)]
    N = len(source)
    clips, asked, _ = clips_of(plan, video)
    assert [clip.j for clip in clips] == list(range(plan.count(N)))
    for j, clip in enumerate(clips):
        assert numbers(clip) == [source[k] for k in plan.indices(j, N)]
        assert clip.snippets == plan.snippets(j, N)
    assert sum(clip.snippets for clip in clips) == snippets_of(N, plan.stride)
    assert set(asked.values()) <= {1}


def test_frames_that_no_clip_shows_are_not_prepared() -> None:
    plan = window_plan(ClipSpec(4, 4, "rgb"), 100)  # 43, 47, 51, 55 of each 100
    _, asked, _ = clips_of(plan, [1] * 300)
    shown = {100 * t + k for t in range(3) for k in (43, 47, 51, 55)}
    assert set(asked) - shown <= {0, 299}


@pytest.mark.parametrize("seed", range(20))
def test_memory_does_not_grow_with_the_video(seed: int) -> None:
    plan = a_plan(random.Random(seed))
    bound = plan.clip.span + plan.hop + 1
    for video in ([1] * 3000, [3000], [1, 2999]):
        assert clips_of(plan, video)[2] <= bound


def test_a_clip_comes_as_soon_as_its_last_frame_is_there() -> None:
    clipper = Clipper(window_plan(ClipSpec(16, 1, "rgb"), 16))
    asked = Counter[int]()
    made = [len(list(clipper.feed(range(k, k + 1), picture(k, asked)))) for k in range(48)]
    assert [k for k, n in enumerate(made) if n] == [15, 31, 47]
    assert list(clipper.finish()) == []


@pytest.mark.parametrize(("n", "r"), [(16, 1), (16, 4), (32, 1), (3, 2)])
def test_a_video_shifted_by_one_stride_has_its_clips_shifted_by_one(n: int, r: int) -> None:
    plan = window_plan(ClipSpec(n, r, "rgb"), 16)
    whole = [numbers(clip) for clip in clips_of(plan, [1] * 400)[0]]
    later = [numbers(clip) for clip in clips_of(plan, [1] * 384)[0]]
    inside = [t for t in range(24) if plan.start(t) >= 0 and plan.last(t) < 384]
    assert len(inside) > 18
    for t in inside:
        assert [i + 16 for i in later[t]] == whole[t + 1]


def test_a_video_without_frames_has_no_clip() -> None:
    clipper = Clipper(window_plan(ClipSpec(4, 1, "rgb"), 4))
    assert list(clipper.feed(range(0), picture(0, Counter()))) == []
