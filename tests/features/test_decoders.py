"""Decoders in processes of their own: what one video does to its decoder costs that video alone."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.features.videos import number_of, numbered, panned, write_video
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.errors import FeatureError
from wtal_features.video.container import open_video
from wtal_features.video.decoder import fault_of
from wtal_features.video.limits import Limits
from wtal_features.video.pool import Answer, DecoderPool, default_workers
from wtal_features.video.windows import ClipPlan, dense_plan, window_plan
from wtal_features.video.worker import Request, cut

pytestmark = [
    pytest.mark.skipif(find_spec("av") is None, reason="needs PyAV"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc"),
]

SMALL = Preprocess(48, 48)
RGB = window_plan(ClipSpec(16, 1, "rgb", SMALL), 16)
LARGE_CLIPS = window_plan(ClipSpec(16, 1, "rgb", Preprocess(96, 96)), 16)  # 440 kB each


def request(path: Path, *plans: ClipPlan, **how: object) -> Request:
    fields: dict[str, object] = {"path": str(path), "fps": "25", "most": 10**6, "plans": plans}
    return Request(**(fields | how))  # type: ignore[arg-type]


def said(
    requests: Sequence[Request], workers: int = 1, limits: Limits | None = None
) -> dict[str, list[Answer]]:
    """All answers, by path."""
    found: dict[str, list[Answer]] = {one.path: [] for one in requests}
    with DecoderPool(workers, limits or Limits()) as pool:
        for answer in pool.answers(requests):
            found[answer.request.path].append(answer)
    return found


def last(answers: Sequence[Answer]) -> dict[str, object]:
    """The `end` or `fault`; there is exactly one, and it comes last."""
    kinds = [answer.message["kind"] for answer in answers]
    assert kinds[-1] in ("end", "fault")
    assert not {"end", "fault"} & set(kinds[:-1])
    return answers[-1].message


def clips(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.message["kind"] == "clip"]


def square(n: int) -> list[NDArray[np.uint8]]:
    """n frames of 48 x 48 px that say their number; `SMALL` leaves them as they are."""
    return numbered(n, 48, 48)


def numbers(answer: Answer) -> list[int]:
    assert answer.array is not None
    return [number_of(frame) for frame in answer.array]


def decoders(of: int | None = None) -> list[int]:
    """Process ids of the decoders that run now as children of a process, by default this one."""
    parent, found = of or os.getpid(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and b"wtal_features.video.worker" in command:
                found.append(int(folder.name))
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked for yet counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool], patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


# In this process ---------------------------------------------------------------------------------


def answers_here(one: Request) -> list[Answer]:
    """What a decoder would say, without a process."""
    found: list[Answer] = []
    end = cut(one, lambda head, array: found.append(Answer(one, dict(head), array)))
    return [*found, Answer(one, end, None)]


def test_clips_are_the_frames_that_the_plan_names(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", square(70), fps=50)  # grid frame k is frame 2 k + 1
    dense = dense_plan(ClipSpec(8, 2, "rgb", SMALL), 4, 2)
    found = answers_here(request(path, RGB, dense))
    for stream, plan in enumerate((RGB, dense)):
        mine = [answer for answer in clips(found) if answer.message["stream"] == stream]
        assert [answer.message["j"] for answer in mine] == list(range(plan.count(35)))
        for j, answer in enumerate(mine):
            assert numbers(answer) == [2 * k + 1 for k in plan.indices(j, 35)]
            assert answer.message["snippets"] == plan.snippets(j, 35)
            assert answer.array is not None
            assert answer.array.dtype == np.uint8
            assert answer.array.shape == (plan.clip.frames, 48, 48, 3)
    end = last(found)
    assert (end["grid_frames"], end["duration_s"], end["decoded"]) == (35, 1.4, 70)
    assert (end["codec"], end["width"], end["height"], end["rate"]) == ("h264", 48, 48, 50.0)
    assert (end["notes"], end["steady"]) == ([], True)


def test_a_video_shifted_by_one_stride_has_its_clips_shifted_by_one(tmp_path: Path) -> None:
    frames = square(200)
    whole = clips(answers_here(request(write_video(tmp_path / "a.mp4", frames), RGB)))
    later = clips(answers_here(request(write_video(tmp_path / "b.mp4", frames[16:]), RGB)))
    assert len(whole) == len(later) + 1
    for a, b in zip(whole[1:], later, strict=True):
        assert numbers(a) == numbers(b)


def test_a_change_of_size_in_the_middle_gives_clips_of_one_size(tmp_path: Path) -> None:
    first = write_video(tmp_path / "a.h264", numbered(24))
    second = write_video(tmp_path / "b.h264", numbered(24, 160, 120))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    found = answers_here(request(first, RGB))
    assert [answer.array.shape for answer in clips(found) if answer.array is not None] == [
        (16, 48, 48, 3)
    ] * 3
    assert last(found)["grid_frames"] == 48


def test_motion_clips_have_two_channels_and_the_motion_of_the_pan(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", panned(40, 320, 240))
    motion = window_plan(ClipSpec(8, 1, "motion", Preprocess(60, 56)), 16)
    how = {"method": "mv", "short_side": 256, "reencode": True, "cache": None, "sha256": "0" * 64}
    found = answers_here(request(path, motion, RGB, motion=how))
    mine = [answer for answer in clips(found) if answer.message["stream"] == 0]
    assert len(mine) == 2
    for answer in mine:
        assert answer.array is not None
        assert answer.array.dtype == np.float16
        assert answer.array.shape == (8, 56, 56, 2)
        np.testing.assert_array_equal(np.median(answer.array, (0, 1, 2)), (-3, -1))
    assert "vectors_from_copy" not in last(found)


def test_no_plan_only_measures(tmp_path: Path) -> None:
    found = answers_here(request(write_video(tmp_path / "v.mkv", numbered(30), fps=24)))
    assert len(found) == 1
    assert (last(found)["grid_frames"], last(found)["decoded"]) == (31, 30)


def test_headers_alone_are_told_on_request(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered(30), fps=24)
    with open_video(path) as video:
        facts = asdict(video.facts)
    assert answers_here(request(path, headers=True))[0].message == {"kind": "end", **facts}


def test_a_video_that_ends_before_its_header_says_is_noted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", panned(200, 64, 48))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (note,) = answers_here(request(path))[0].message["notes"]
    assert note.startswith(f"{path} ends after ")
    assert note.endswith("its header says 8.0 s.")


def test_a_file_that_is_cut_short_gives_what_is_there_on_request(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", panned(200, 64, 48), codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FeatureError, match="cut short"):
        answers_here(request(path, RGB))
    found = answers_here(request(path, RGB, partial=True))
    end = last(found)
    assert end["partial"] is True
    assert len(clips(found)) == int(str(end["grid_frames"])) // 16 > 1


def test_a_video_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered(2), times_s=[0, 30 * 3600])
    with pytest.raises(FeatureError, match=r"reach 30\.0 h") as raised:
        answers_here(request(path, RGB, most=24 * 3600 * 25))
    assert raised.value.code == "too-long"


def test_limits_that_nothing_can_meet_are_refused() -> None:
    for bad in ({"stall_s": 0}, {"memory_gb": -1}, {"max_hours": float("nan")}):
        with pytest.raises(FeatureError, match="expected a number above zero"):
            Limits(**bad)
    with pytest.raises(FeatureError, match="memory_gb is inf"):
        Limits(memory_gb=float("inf"))
    assert default_workers() >= 1


# In processes ------------------------------------------------------------------------------------


def test_each_video_gets_its_clips_in_order_and_one_end(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{i}.mp4", square(200)[i:]) for i in range(6)]
    faulty = tmp_path / "text.mp4"
    faulty.write_text("no video")
    requests = [request(path, RGB) for path in (*paths[:3], faulty, *paths[3:])]
    found = said(requests, workers=2)
    for i, path in enumerate(paths):
        answers = found[str(path)]
        here = answers_here(request(path, RGB))
        assert [a.message["j"] for a in clips(answers)] == list(range((200 - i) // 16))
        for ours, theirs in zip(clips(here), clips(answers), strict=True):
            np.testing.assert_array_equal(ours.array, theirs.array)
        assert last(answers) == last(here)
    assert [a.message["kind"] for a in found[str(faulty)] if a.message["kind"] != "alive"] == [
        "fault"
    ]
    error = fault_of(last(found[str(faulty)]))
    assert error.code == "video"
    assert str(error).startswith(f"{faulty} does not open as a video")
    assert decoders() == []


def long_video(path: Path) -> Path:
    """62 clips of `LARGE_CLIPS`: more than the pipe and the queue take before anyone reads."""
    return write_video(path, numbered(1000))


def test_a_decoder_that_is_killed_costs_one_video(tmp_path: Path) -> None:
    victim = request(long_video(tmp_path / "victim.mp4"), LARGE_CLIPS)
    others = [request(write_video(tmp_path / f"{i}.mp4", numbered(40)), RGB) for i in range(2)]
    kinds: dict[str, list[str]] = {}
    with DecoderPool(1, Limits()) as pool:
        for answer in pool.answers([others[0], victim, others[1]]):
            seen = kinds.setdefault(answer.request.path, [])
            if answer.request is victim and "clip" not in seen:
                (pid,) = decoders()
                os.kill(pid, signal.SIGKILL)
            seen.append(answer.message["kind"])
            if answer.message["kind"] == "fault":
                fault = fault_of(answer.message)
    assert kinds[others[0].path][-3:] == kinds[others[1].path][-3:] == ["clip", "clip", "end"]
    assert kinds[victim.path][-1] == "fault"
    assert len(kinds[victim.path]) < 40
    assert fault.code == "decoder"
    assert str(fault).startswith(f"{victim.path} ended its decoder (SIGKILL).")


@pytest.mark.slow
def test_a_decoder_that_shows_nothing_more_is_given_up(tmp_path: Path) -> None:
    stuck = request(long_video(tmp_path / "stuck.mp4"), LARGE_CLIPS)
    busy = request(long_video(tmp_path / "busy.mp4"), LARGE_CLIPS)
    after = request(write_video(tmp_path / "after.mp4", numbered(40)), RGB)
    stopped, faults, ended = 0, dict[str, FeatureError](), list[str]()
    with DecoderPool(2, Limits(stall_s=1.5)) as pool:
        for answer in pool.answers([stuck, busy, after]):
            kind = answer.message["kind"]
            if answer.request is stuck and kind == "clip" and not stopped:
                stopped = by_open_file(stuck.path)
                os.kill(stopped, signal.SIGSTOP)
            if answer.request is busy and kind == "clip" and not faults:
                time.sleep(0.1)  # meanwhile the queue is never empty for long
            if kind == "fault":
                faults[answer.request.path] = fault_of(answer.message)
                assert ended == []  # while the other one still went on
            if kind == "end":
                ended.append(answer.request.path)
    assert sorted(ended) == sorted([busy.path, after.path])
    assert set(faults) == {stuck.path}
    assert "stuck.mp4 showed no further frame for 1.5 s and was given up" in str(faults[stuck.path])
    assert gone(stopped)


def by_open_file(path: str) -> int:
    """The decoder that has this file open."""
    for pid in decoders():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(link) == path:
                    return pid
            except OSError:
                continue
    raise AssertionError(f"nobody reads {path}")


def test_a_video_that_needs_too_much_memory_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    large = write_video(
        tmp_path / "large.mp4", [np.zeros((4000, 6000, 3), np.uint8)], codec="mpeg4"
    )
    flat = write_video(tmp_path / "flat.mp4", [np.zeros((2, 8000, 3), np.uint8)], codec="mpeg4")
    small = [write_video(tmp_path / f"{i}.mp4", numbered(40)) for i in range(2)]
    wide = window_plan(ClipSpec(16, 1, "rgb", Preprocess(256, 224)), 16)
    requests = [request(path, wide) for path in (small[0], large, flat, small[1])]
    found = said(requests, limits=Limits(memory_gb=0.06))
    for path in (large, flat):
        error = fault_of(last(found[str(path)]))
        assert error.code == "too-large"
        assert str(error).startswith(f"{path} needs more memory than one video may take.")
        assert "--memory-gb" in str(error)
    assert all(last(found[str(path)])["kind"] == "end" for path in small)


def test_requests_are_taken_when_a_decoder_is_free(tmp_path: Path) -> None:
    paths = [long_video(tmp_path / f"{i}.mp4") for i in range(2)]
    taken, seen = [], 0

    def requests() -> Iterator[Request]:
        for path in paths:
            taken.append(path)
            yield request(path, LARGE_CLIPS)

    with DecoderPool(1, Limits()) as pool:
        for answer in pool.answers(requests()):
            if answer.message["kind"] == "clip":
                seen += 1
                assert len(taken) == (1 if seen < 55 else len(taken))
    assert seen == 124
    assert taken == paths


def test_what_the_requests_raise_is_raised_where_answers_are_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered(40))

    def requests() -> Iterator[Request]:
        yield request(path, RGB)
        raise FeatureError("The list is damaged.")

    with (
        pytest.raises(FeatureError, match="The list is damaged"),
        DecoderPool(2, Limits()) as pool,
    ):
        list(pool.answers(requests()))
    assert decoders() == []


def test_leaving_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    paths = [long_video(tmp_path / f"{i}.mp4") for i in range(3)]
    threads = threading.active_count()
    with DecoderPool(2, Limits()) as pool:
        for answer in pool.answers([request(path, LARGE_CLIPS) for path in paths]):
            if answer.message["kind"] == "clip":
                break
        running = decoders()
        assert running
    assert decoders() == []
    assert all(map(gone, running))
    assert wait_for(lambda: threading.active_count() == threads, 5)
    assert decoders() == []


def test_no_request_needs_no_process() -> None:
    with DecoderPool(2, Limits()) as pool:
        assert list(pool.answers([])) == []
        assert decoders() == []


# Ends of the parent ------------------------------------------------------------------------------

PARENT = """
import sys
from pathlib import Path
from tests.features.test_decoders import DecoderPool, LARGE_CLIPS, Limits, request
try:
    with DecoderPool(1, Limits()) as pool:
        for n, answer in enumerate(pool.answers([request(Path(sys.argv[1]), LARGE_CLIPS)])):
            if answer.message["kind"] == "clip":
                print("clip", flush=True)
                sys.stdin.read()
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def a_parent(path: Path) -> subprocess.Popen[str]:
    """A process that has got its first clip; it leads a group of its own, as under a terminal."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "clip\n"
    return parent


def test_a_decoder_whose_parent_is_killed_ends_by_itself(tmp_path: Path) -> None:
    with a_parent(long_video(tmp_path / "v.mp4")) as parent:
        (decoder,) = decoders(of=parent.pid)
        parent.kill()
        assert wait_for(lambda: gone(decoder), 10)
        assert parent.stderr is not None
        assert parent.stderr.read() == ""


@pytest.mark.slow
def test_an_interrupt_prints_nothing_of_decoders(tmp_path: Path) -> None:
    with a_parent(long_video(tmp_path / "v.mp4")) as parent:
        (decoder,) = decoders(of=parent.pid)
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does
        out, err = parent.communicate(timeout=20)
        assert gone(decoder)
    assert (out, err) == ("stopped\n", "")
    assert parent.returncode == 0


# Damage ------------------------------------------------------------------------------------------

CODES = {"video", "cut-short", "no-video-stream", "codec", "too-large", "too-long", "pixels"}


def damaged(data: bytes, generator: random.Random) -> bytes:
    """Flipped bits, overwritten stretches, or a cut."""
    out = bytearray(data)
    kind = generator.choice(["bits", "bits", "header", "stretch", "cut", "hole"])
    if kind in ("bits", "header"):
        end = len(out) if kind == "bits" else min(400, len(out))
        for _ in range(generator.choice([1, 3, 20])):
            out[generator.randrange(end)] ^= 1 << generator.randrange(8)
    at = generator.randrange(len(out))
    if kind == "stretch":
        out[at : at + 40] = generator.randbytes(len(out[at : at + 40]))
    if kind == "cut":
        del out[at:]
    if kind == "hole":
        del out[at : at + generator.randrange(1, 200)]
    return bytes(out) or b"\0"


@pytest.mark.slow
def test_a_hundred_damaged_videos_cost_nobody_but_themselves(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    generator = random.Random(0)
    originals = [
        write_video(tmp_path / "v.mp4", panned(30, 64, 48)),
        write_video(
            tmp_path / "f.mp4", panned(30, 64, 48), container_options={"movflags": "faststart"}
        ),
        write_video(tmp_path / "v.mkv", panned(30, 64, 48)),
        write_video(tmp_path / "v.avi", panned(30, 64, 48), codec="mpeg4"),
    ]
    requests = []
    for i in range(100):
        original = originals[i % len(originals)]
        path = tmp_path / f"{i}{original.suffix}"
        path.write_bytes(damaged(original.read_bytes(), generator))
        requests.append(request(path, RGB, partial=i % 3 == 0))
    good = request(originals[0], RGB)
    capfd.readouterr()
    found = said([*requests, good], workers=2, limits=Limits(stall_s=30))
    assert last(found[good.path])["kind"] == "end"
    ends = [last(found[one.path]) for one in requests]
    faults = [fault_of(end) for end in ends if end["kind"] == "fault"]
    assert {fault.code for fault in faults} <= CODES
    assert all(str(tmp_path) in str(fault) or fault.code == "too-long" for fault in faults)
    assert 20 < len(faults) < 100
    assert capfd.readouterr() == ("", "")
