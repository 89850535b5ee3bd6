"""The demo from top to bottom: videos, encoder, features, two networks, segments, scores, page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from wtal.demo import stages
from wtal.demo.filming import film_all
from wtal.demo.script import write_scripts
from wtal.demo.settings import DemoConfig
from wtal.demo.stages import Places
from wtal.demo.table import Figures, figures, text
from wtal.errors import Stopped, WtalError
from wtal.pipeline import Telling
from wtal.report import Cost
from wtal.schedule import numpy_generator
from wtal_features.files import lock, make_folder
from wtal_features.video.container import load_av

STAGES = 7


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        report: The page.
        figures: Row -> column -> mAP.
        costs: What each stage took.
    """

    report: Path
    figures: dict[str, Figures]
    costs: tuple[Cost, ...]

    def lines(self) -> list[str]:
        """For a person."""
        seconds = sum(cost.seconds for cost in self.costs)
        return [
            "",
            *text(self.figures).splitlines(),
            "One world says little about which is better; docs/benchmarks/demo.md has ten.",
            "",
            f"{seconds:.0f} s in all. The videos with what was found in them:",
            f"  {self.report}",
            "Open it in a browser; it needs no network.",
        ]


@dataclass
class _Clock:
    """Says each stage, and what it took."""

    telling: Telling
    costs: list[Cost] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator[None]:
        started = time.perf_counter()
        self.telling.say(f"{len(self.costs) + 1}/{STAGES}  {name}: {what}")
        yield
        seconds = time.perf_counter() - started
        self.costs.append(Cost(name, round(seconds, 1), what))
        self.telling.say(f"     {seconds:.0f} s")


def demo(
    out: Path, seed: int, *, telling: Telling | None = None, config: DemoConfig | None = None
) -> DemoResult:
    """Run the whole path into `out`.

    Args:
        out: A folder that does not exist yet, or is empty.
        seed: Of the videos and of all trainings.
        telling: Who is told what.
        config: How much of everything.

    Raises:
        WtalError, FeatureError: PyAV is missing, the folder cannot be used, or Ctrl-C.
    """
    load_av()  # known now, not after the first stage
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WtalError(f"{out} is not empty; name another folder with --out, or remove it.")
    make_folder(out)
    try:
        with lock(out), _one_thread():
            return _run(Places(out), seed, telling or Telling(), config or DemoConfig())
    except KeyboardInterrupt:
        raise Stopped(f"remove {out} to start the demo again.") from None


def _run(places: Places, seed: int, telling: Telling, config: DemoConfig) -> DemoResult:
    world, clock = config.world, _Clock(telling)
    scripts = list(write_scripts(world, numpy_generator(seed, "demo")))
    minutes = sum(script.seconds for script in scripts) / 60
    with (
        clock.stage("videos", f"{len(scripts)} of them, {minutes:.0f} min of H.264"),
        telling.bar("filming") as filmed,
    ):
        generator = numpy_generator(seed, "demo", 1)
        film_all(places.root, scripts, generator, lambda done: filmed(done, len(scripts)))
    with clock.stage("pretrain", f"an encoder, on the {world.training} training videos alone"):
        stages.learn_to_see(places, config.encoder, seed, telling)
    with clock.stage("extract", "its features, two a second"):
        stages.extract_features(places, telling)
    with clock.stage("train", "BaS-Net, the baseline, on the tags"):
        stages.learn_to_find(places, "basnet", config.network, seed, telling)
    with clock.stage("train", "DCC, on the same tags"):
        stages.learn_to_find(places, "dcc", (*config.network, *config.dcc), seed, telling)
    names = ("basnet", "dcc")
    with clock.stage("localize and eval", f"both, on {world.test} other videos"):
        stages.find(places, names)
        rows = figures(stages.judge(places, names))
    with clock.stage("report", "one page that plays them"):
        stages.show(places, clock.costs, telling)
    return DemoResult(places.report, rows, tuple(clock.costs))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small gain nothing by a second thread, and sums then depend on the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
