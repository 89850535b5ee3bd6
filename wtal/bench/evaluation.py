"""`eval`: detections to mAP, the whole process, against the obvious evaluator.

Three made sets: A has the size and shape of a THUMOS14 result before suppression, B is a large
result JSON, C comes as arrays. CPU seconds are those of all threads, imports and reading included.

Shapes: V videos, G instances, N detections.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.bench import plain_evaluation
from wtal.bench.child import cpu_and_peak, run_child
from wtal.bench.rows import CPU, Figures, Plan, Row
from wtal_eval.options import TENTHS, TWENTIETHS_FROM_HALF

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PEAK = "peak"
SUBSET = "test"
STRANGERS = 5  # labels of a video that its wrongly labelled detections take
PUBLISHED = ("detections/pmil_base_test.json", "annotations/thumos14.json")  # of P-MIL


class Columns(NamedTuple):
    """Segments of one set in file order: (N,) or (G,) each, codes for video and label."""

    video: Ints
    label: Ints
    start: Floats  # seconds
    end: Floats  # seconds
    score: Floats  # zeros for instances

    def take(self, rows: NDArray[np.bool_]) -> Columns:
        """The given rows."""
        v, c, start, end, score = self
        return Columns(v[rows], c[rows], start[rows], end[rows], score[rows])


class MadeSet(NamedTuple):
    """Annotations and detections."""

    duration_V: Floats  # seconds
    instances: Columns
    detections: Columns


@dataclass(frozen=True)
class Recipe:
    """How a set is made.

    Args:
        videos: V.
        classes: each video has a main one.
        detections: N / V.
        own_label: share of detections that carry the label of an instance of their video.
    """

    videos: int
    classes: int
    detections: int
    own_label: float = 0.6

    def draw_videos(self, generator: np.random.Generator) -> tuple[Floats, Ints, Ints]:
        """Duration (s), instances and detections of each video."""
        duration_V = generator.uniform(5, 240, self.videos)
        return (
            duration_V,
            1 + generator.poisson(0.55, self.videos),
            np.full(self.videos, self.detections),
        )

    def draw_lengths(self, duration_G: Floats, generator: np.random.Generator) -> Floats:
        """Length (s) of each instance, given the duration of its video."""
        lengths: Floats = duration_G * generator.beta(2, 2, len(duration_G))
        return lengths


@dataclass(frozen=True)
class ThumosRecipe(Recipe):
    """As THUMOS14 and P-MIL's proposals: short instances, many of them where a video is long.

    Args:
        instances: G / V.
    """

    own_label: float = 0.97
    instances: float = 15.6

    def draw_videos(self, generator: np.random.Generator) -> tuple[Floats, Ints, Ints]:
        """Instances and detections in proportion to the duration."""
        duration_V = generator.lognormal(log(160), 0.9, self.videos)
        share_V = duration_V / duration_V.sum()
        instances_V = np.maximum(1, (share_V * self.instances * self.videos).round())
        detections = self.detections * self.videos
        upto_V = (np.cumsum(share_V) * detections).round().astype(np.int64)
        return duration_V, instances_V.astype(np.int64), np.diff(upto_V, prepend=0)

    def draw_lengths(self, duration_G: Floats, generator: np.random.Generator) -> Floats:
        """Log-normal, median 3.2 s."""
        return np.minimum(generator.lognormal(log(3.2), 0.75, len(duration_G)), duration_G)


A = ThumosRecipe(videos=212, classes=20, detections=149)
B = Recipe(videos=5000, classes=200, detections=100)
C = Recipe(videos=5000, classes=200, detections=1000)


def make_set(recipe: Recipe, seed: int = 0) -> MadeSet:
    """Half the detections are an instance with both ends moved, half lie anywhere."""
    generator = np.random.default_rng(seed)
    duration_V, instances_V, detections_V = recipe.draw_videos(generator)
    instances = _make_instances(recipe, duration_V, instances_V, generator)
    first_V = np.cumsum(instances_V) - instances_V
    video_N = np.repeat(np.arange(recipe.videos), detections_V)
    n = len(video_N)
    like_N = first_V[video_N] + generator.integers(instances_V[video_N])  # an instance of the video
    start_N, end_N = instances.start[like_N], instances.end[like_N]
    sd_N = 0.15 * (end_N - start_N)
    moved_N = generator.random(n) < 0.5
    ends_2N = np.where(
        moved_N,
        np.stack([start_N, end_N]) + sd_N * generator.standard_normal((2, n)),
        duration_V[video_N] * generator.random((2, n)),
    )
    score_N = np.where(moved_N, generator.beta(2, 3, n), generator.beta(1, 4, n))
    strangers_V5 = generator.integers(recipe.classes, size=(recipe.videos, STRANGERS))
    label_N = np.where(
        generator.random(n) < recipe.own_label,
        instances.label[like_N],
        strangers_V5[video_N, generator.integers(STRANGERS, size=n)],
    )
    start_N, end_N = ends_2N.min(axis=0), ends_2N.max(axis=0)
    return MadeSet(duration_V, instances, Columns(video_N, label_N, start_N, end_N, score_N))


def _make_instances(
    recipe: Recipe, duration_V: Floats, instances_V: Ints, generator: np.random.Generator
) -> Columns:
    video_G = np.repeat(np.arange(recipe.videos), instances_V)
    duration_G, n = duration_V[video_G], len(video_G)
    length_G = recipe.draw_lengths(duration_G, generator)
    start_G = (duration_G - length_G) * generator.random(n)
    main_V = generator.integers(recipe.classes, size=recipe.videos)
    label_G = np.where(
        generator.random(n) < 0.97, main_V[video_G], generator.integers(recipe.classes, size=n)
    )
    return Columns(video_G, label_G, start_G, start_G + length_G, np.zeros(n))


def video_names(count: int) -> list[str]:
    """As long as those of THUMOS14 and ActivityNet."""
    return [f"video_{v:07}" for v in range(count)]


def class_names(count: int) -> list[str]:
    """Of the length that names of actions have."""
    return [f"human activity {c:03}" for c in range(count)]


def write_annotations(path: Path, made: MadeSet, recipe: Recipe) -> None:
    """An annotation JSON, every video in one subset."""
    database = {
        name: {"subset": SUBSET, "duration": duration, "annotations": rows}
        for (name, rows), duration in zip(
            _by_video(made.instances, recipe, scored=False).items(),
            made.duration_V.tolist(),
            strict=True,
        )
    }
    path.write_text(json.dumps({"database": database}), encoding="utf-8")


def write_results(path: Path, detections: Columns, recipe: Recipe) -> None:
    """A result JSON: times to a microsecond, scores with all their digits."""
    results = _by_video(detections, recipe, scored=True)
    path.write_text(json.dumps({"version": "made", "results": results}), encoding="utf-8")


def write_arrays(path: Path, detections: Columns, recipe: Recipe) -> None:
    """The same as `.npz`: codes, and the names they stand for."""
    np.savez(
        path,
        videos=np.array(video_names(recipe.videos)),
        labels=np.array(class_names(recipe.classes)),
        **detections._asdict(),
    )


def _by_video(rows: Columns, recipe: Recipe, *, scored: bool) -> dict[str, list[dict[str, object]]]:
    names, labels = video_names(recipe.videos), class_names(recipe.classes)
    found: dict[str, list[dict[str, object]]] = {name: [] for name in names}
    columns = (rows.video, rows.label, rows.start.round(6), rows.end.round(6), rows.score)
    for v, c, start, end, score in zip(*(column.tolist() for column in columns), strict=True):
        row: dict[str, object] = {"label": labels[c]}
        if scored:
            row["score"] = score
        found[names[v]].append({**row, "segment": [start, end]})
    return found


@dataclass(frozen=True)
class Case:
    """One set on disk, and the part of it that the plain loop gets.

    Args:
        name: of the files.
        recipe: of the set.
        folder: for the files.
        tiou: thresholds, as the command line takes them.
        loop_classes: classes that the plain loop evaluates; 0: it gets no files.
        arrays: detections as arrays and not as JSON.
    """

    name: str
    recipe: Recipe
    folder: Path
    tiou: tuple[float, ...]
    loop_classes: int = 0
    arrays: bool = False

    @property
    def detections(self) -> Path:
        """The file of all classes."""
        return self.folder / f"{self.name}{'.npz' if self.arrays else '.json'}"

    @property
    def annotations(self) -> Path:
        """The file of all classes."""
        return self.folder / f"{self.name}-annotations.json"

    @property
    def loop_detections(self) -> Path:
        """Those of the first classes, always as JSON."""
        return self.folder / f"{self.name}-loop.json"

    def write(self) -> float:
        """Write the files; how many times the loop's detections there are in all."""
        made = make_set(self.recipe)
        write_annotations(self.annotations, made, self.recipe)
        write = write_arrays if self.arrays else write_results
        write(self.detections, made.detections, self.recipe)
        part = made.detections.take(made.detections.label < self.loop_classes)
        if not len(part.label):
            return 1.0
        write_results(self.loop_detections, part, self.recipe)
        return len(made.detections.label) / len(part.label)

    def ours(self) -> Callable[[], Figures]:
        """`python -m wtal_eval` on the files."""
        return evaluator(self.detections, self.annotations, tiou=self.tiou)

    def loop(self) -> Callable[[], Figures]:
        """The plain loop on its files."""
        return plain_loop(self.loop_detections, self.annotations, SUBSET, *self.tiou)

    def __str__(self) -> str:
        return f"{self.rows:,} detections, {'arrays' if self.arrays else 'JSON'}"

    @property
    def rows(self) -> int:
        """N."""
        return self.recipe.videos * self.recipe.detections


def process(*command: str | Path) -> Callable[[], Figures]:
    """A Python process as a work that gives its CPU time and its peak memory."""

    def run() -> Figures:
        cpu, peak = cpu_and_peak([sys.executable, *map(str, command)])
        return {CPU: cpu, PEAK: peak}

    return run


def call(expression: str, *files: Path) -> Callable[[], Figures]:
    """An expression of wtal_eval and `files` in a process of its own: its CPU time alone."""
    code = (
        "import sys, time, wtal_eval.arrays, wtal_eval.evaluation; files = sys.argv[1:]; "
        f"started = time.process_time(); {expression}; print(time.process_time() - started)"
    )
    command = [sys.executable, "-c", code, *map(str, files)]
    return lambda: {CPU: float(run_child(command))}


def evaluator(detections: Path, annotations: Path, tiou: Sequence[float]) -> Callable[[], Figures]:
    """`python -m wtal_eval` as a process."""
    grid = ",".join(map(str, tiou))
    return process("-m", "wtal_eval", detections, annotations, "--tiou", grid)


def plain_loop(*arguments: Path | float | str) -> Callable[[], Figures]:
    """`plain_evaluation.py` as a process."""
    return process(plain_evaluation.__file__, *map(str, arguments))


def published() -> tuple[Path, Path] | None:
    """P-MIL's detections and annotations, where the folder of real data is at hand."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("WTAL_SHARED", root.parent / "shared")) / "data"
    detections, annotations = (folder / name for name in PUBLISHED)
    return (detections, annotations) if detections.is_file() and annotations.is_file() else None


def _scaled(loop: Sequence[float], imports: Sequence[float], scale: float) -> list[float]:
    """CPU of the loop on everything: only what is not importing grows."""
    once = statistics.median(imports)
    return [once + scale * max(0.0, cpu - once) for cpu in loop]


def _loop_words(case: Case, scale: float) -> str:
    return f"plain loop, {case.loop_classes} of {case.recipe.classes} classes x {scale:.3g}"


def _small(plan: Plan, folder: Path) -> Iterator[Row]:
    """A, and the published file that it resembles."""
    recipe = ThumosRecipe(videos=8, classes=3, detections=20) if plan.quick else A
    case = Case("a", recipe, folder, TENTHS, recipe.classes)
    case.write()
    works = {"ours": case.ours(), "loop": case.loop(), "numpy": process("-c", "import numpy")}
    files = None if plan.quick else published()
    if files is not None:
        works["published"] = evaluator(*files, tiou=TENTHS)
    taken = plan.alternate(works, label="eval A", warm_up=False)
    name, ours, loop = f"eval: A, {case}", taken["ours"], taken["loop"]
    yield plan.row(f"{name}, cpu", "s", ours[CPU], "plain loop", loop[CPU])
    yield plan.row(f"{name}, cpu", "s", ours[CPU], "import numpy", taken["numpy"][CPU])
    yield plan.row(f"{name}, peak RSS", "MB", ours[PEAK], "plain loop", loop[PEAK])
    if files is not None:
        name = "eval: P-MIL's published file, cpu"
        yield plan.row(name, "s", taken["published"][CPU], "set A", ours[CPU])


def _large(plan: Plan, folder: Path) -> Iterator[Row]:
    """B, and how much of it is reading."""
    recipe = replace(B, videos=20, classes=4, detections=10) if plan.quick else B
    case = Case("b", recipe, folder, TWENTIETHS_FROM_HALF, loop_classes=min(4, recipe.classes))
    scale = case.write()
    works = {
        "ours": case.ours(),
        "loop": case.loop(),
        "loop imports": plain_loop(),
        "read": call("wtal_eval.read_detections(*files)", case.detections),
        "json": process("-c", "import json, sys; json.load(open(sys.argv[1]))", case.detections),
    }
    taken = plan.alternate(works, label="eval B", warm_up=False)
    ours, alone = taken["ours"], taken["json"]
    loop = _scaled(taken["loop"][CPU], taken["loop imports"][CPU], scale)
    name = f"eval: B, {case}"
    yield plan.row(f"{name}, cpu", "s", ours[CPU], _loop_words(case, scale), loop)
    yield plan.row(f"{name}, peak RSS", "MB", ours[PEAK], "json.load alone", alone[PEAK])
    name = f"eval: B, {case}, reading them, cpu"
    yield plan.row(name, "s", taken["read"][CPU], "all of it", ours[CPU])
    yield plan.row(name, "s", taken["read"][CPU], "json.load alone", alone[CPU])


def _arrays(plan: Plan, folder: Path) -> Iterator[Row]:
    """C, and how the time grows up to it."""
    recipe = replace(C, videos=20, classes=2, detections=100) if plan.quick else C
    cases = [
        Case(
            f"c{part}",
            replace(recipe, detections=part),
            folder,
            TWENTIETHS_FROM_HALF,
            1,
            arrays=True,
        )
        for part in (recipe.detections // 100, recipe.detections // 10, recipe.detections)
    ]
    scales = [case.write() for case in cases]
    whole = cases[-1]
    evaluate = f"wtal_eval.evaluate(*files, tiou={TWENTIETHS_FROM_HALF})"
    load = "import numpy, sys; dict(numpy.load(sys.argv[1]))"
    works = {
        "ours": whole.ours(),
        "loop": whole.loop(),
        "loop imports": plain_loop(),
        "load": process("-c", load, whole.detections),
        **{case.name: call(evaluate, case.detections, case.annotations) for case in cases},
    }
    taken = plan.alternate(works, label="eval C", warm_up=False)
    ours, scale = taken["ours"], scales[-1]
    loop = _scaled(taken["loop"][CPU], taken["loop imports"][CPU], scale)
    name = f"eval: C, {whole}"
    yield plan.row(f"{name}, cpu", "s", ours[CPU], _loop_words(whole, scale), loop)
    yield plan.row(f"{name}, peak RSS", "MB", ours[PEAK], "numpy.load alone", taken["load"][PEAK])
    for less, more in pairwise(cases):
        growth = more.rows * log(more.rows) / (less.rows * log(less.rows))
        expected = [growth * cpu for cpu in taken[less.name][CPU]]
        words = f"n log n from {less.rows:,}"
        yield plan.row(
            f"eval: {more}, evaluate(), cpu", "s", taken[more.name][CPU], words, expected
        )
    for case in cases:
        each = [1e6 * cpu / case.rows for cpu in taken[case.name][CPU]]
        first = [1e6 * cpu / cases[0].rows for cpu in taken[cases[0].name][CPU]]
        words = f"of {cases[0].rows:,}"
        yield plan.row(f"eval: {case}, evaluate(), cpu per detection", "us", each, words, first)


def measure(plan: Plan) -> Iterator[Row]:
    """Set after set, each written into a folder of its own that is gone afterwards."""
    for piece in (_small, _large, _arrays):
        with tempfile.TemporaryDirectory(prefix="wtal-bench-") as folder:
            yield from piece(plan, Path(folder))
