"""Many tiny videos through the commands: seconds and memory of each, over the number of videos.

    python benchmarks/many_videos.py --out DIR [--sizes 1000,10000] [--made] [--json F] [--plot F]

The inputs are a few short H.264 videos under many names (hard links), so that what is measured is
what the commands do per video, not the pictures. The encoder is `null`, the colour of one pixel;
the network is BaS-Net with a few hundred weights. Every stage is a process of its own, as a user
starts it: wall seconds, CPU seconds and peak memory (of the command or of one of its children,
whichever is larger). What is done is kept in DIR and not done again, so that a stopped run goes on.

`--made` writes the store instead of extracting it, and leaves the extraction out: it is nine tenths
of the time.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wtal.bench.child import cpu_and_peak
from wtal.bench.rows import machine_and_versions
from wtal.bench.videos import make_video
from wtal_features import Tags, write_tags
from wtal_features.files import write_json

SIZES = (1000, 3000, 10000)
DISTINCT, SECONDS, SIZE = 16, 2.0, (64, 48)  # videos that are filmed; frames of 64 x 48
SNIPPETS = 4  # of a video of two seconds
CLASSES = 4
LEARNED = 64  # videos that the network is trained on, whatever their number in all
PER_VIDEO = 50  # detections of a video in the file that is made for `eval` alone
NETWORK = (
    *("train.steps=30", "train.batch_size=8", "model.hidden_dim=8", "model.filter_dim=8"),
    "loss.topk_ratio=2",
)

Words = Sequence[str | Path]
Figures = dict[str, float]


class World:
    """The inputs and results of one number of videos, in a folder of their own."""

    def __init__(self, root: Path, count: int) -> None:
        """Nothing is written yet."""
        self.count, self.folder = count, root / str(count)
        self.master = root / "master"
        self.names = [f"v{i:07}" for i in range(count)]

    def path(self, name: str) -> Path:
        """A file or folder of this size."""
        return self.folder / name

    def make(self) -> None:
        """Videos, tags, annotations and a result file of 50 detections a video."""
        if self.path("annotations.json").exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.path("videos").mkdir(parents=True)
        for i, name in enumerate(self.names):
            os.link(self._filmed(i % DISTINCT), self.path("videos") / f"{name}.mp4")
        labels = {name: (f"class {i % CLASSES}",) for i, name in enumerate(self.names)}
        learned = dict.fromkeys(self.names[:LEARNED], "training")
        subsets = {name: learned.get(name, "test") for name in self.names}
        write_tags(self.path("tags.csv"), Tags(labels, subsets))
        self.path("detections-50.json").write_text("".join(self._detections()), "utf-8")
        database = {
            name: {
                "subset": subsets[name],
                "duration": SECONDS,
                "annotations": [{"label": labels[name][0], "segment": [0.5, 1.5]}],
            }
            for name in self.names
        }
        write_json(self.path("annotations.json"), {"database": database})

    def make_store(self) -> None:
        """The store as `wtal extract` would write it, other values in it."""
        if (self.path("store") / "manifest.json").exists():
            return
        self.path("store").mkdir(exist_ok=True)
        generator = np.random.default_rng(1)
        for name in self.names:
            features_TD = generator.random((SNIPPETS, 3), np.float32)
            np.save(self.path("store") / f"{name}.npy", features_TD)
        entries = {
            name: {
                **{"fps": 25.0, "frames": 50, "duration": SECONDS, "file": f"{name}.mp4"},
                **{"sha256": f"{i:064x}", "source_fps": 25.0, "source_frames": 50},
                **{"width": SIZE[0], "height": SIZE[1], "codec": "h264"},
            }
            for i, name in enumerate(self.names)
        }
        head = {"encoder": "null", "window": 16, "stride": 16, "fps": 25.0, "dim": 3, "dims": [3]}
        write_json(self.path("store") / "manifest.json", {**head, "videos": entries})

    def _filmed(self, k: int) -> Path:
        path = self.master / f"{k}.mp4"
        if not path.exists():
            self.master.mkdir(parents=True, exist_ok=True)
            make_video(path, SECONDS, size=SIZE, seed=k)
        return path

    def _detections(self) -> Iterator[str]:
        generator = np.random.default_rng(0)
        yield '{"version": "made", "results": {'
        for i, name in enumerate(self.names[LEARNED:]):  # of the test subset
            spans = np.sort(generator.uniform(0, SECONDS, (PER_VIDEO, 2)), axis=1).round(6)
            rows = [
                {"label": f"class {j % CLASSES}", "score": round(s, 8), "segment": span}
                for j, (s, span) in enumerate(
                    zip(generator.random(PER_VIDEO).tolist(), spans.tolist(), strict=True)
                )
            ]
            yield f"{',' if i else ''}\n{json.dumps(name)}: {json.dumps(rows)}"
        yield '\n}, "external_data": {}}\n'


def stages(world: World) -> dict[str, Words]:
    """Stage -> the words of its command, in the order of a user's work."""
    path = world.path
    extract: Words = ("extract", path("videos"), "--encoder", "null", "--out", path("store"))
    found, truth = path("detections.json"), path("annotations.json")
    test = ("--annotations", truth, "--subset", "test")
    report: Words = (*test, "--top", "5", "--device", "cpu", "--out")
    localize: Words = ("localize", path("run"), "--device", "cpu", *test)
    return {
        "extract": extract,
        "extract again": extract,
        # With values it would rightly say that most videos are equal.
        "doctor": ("doctor", path("store"), "--annotations", truth, "--headers-only"),
        "pack": ("pack", path("store"), "--out", path("packed")),
        "localize": (*localize, "-f", path("store"), "--out", found),
        "localize, packed": (*localize, "-f", path("packed")),
        "eval": ("eval", found, truth, "--subset", "test"),
        "eval of 50 a video": ("eval", path("detections-50.json"), truth, "--subset", "test"),
        "report": ("report", found, *report, path("report.html")),
        "report with curves": (
            *("report", path("run"), "--features", path("packed")),
            *(*report, path("curves.html")),
        ),
    }


def train(world: World) -> None:
    """A network from the same few videos, whatever their number; not measured."""
    if (world.path("run") / "model.safetensors").exists():
        return
    shutil.rmtree(world.path("run"), ignore_errors=True)
    config = world.path("bench.yaml")
    config.write_text("", "utf-8")
    overrides = [word for text in NETWORK for word in ("-o", text)]
    source = ("-f", world.path("store"), "--tags", world.path("tags.csv"))
    wtal("train", config, *source, "--out", world.path("run"), *overrides, "--device", "cpu")


def wtal(*words: str | Path) -> Figures:
    """Seconds and peak memory of one command."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "wtal", *map(str, words), "-q"]
    cpu_s, peak_mb = cpu_and_peak(command)
    wall_s = time.perf_counter() - began
    return {"wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2), "peak_mb": round(peak_mb, 1)}


def measure(root: Path, count: int, wanted: Sequence[str], made: bool) -> dict[str, Figures]:
    """Stage -> figures of one number of videos; kept in `root/figures-COUNT.json`."""
    kept = root / f"figures-{count}.json"
    figures: dict[str, Figures] = json.loads(kept.read_text()) if kept.exists() else {}
    world = World(root, count)
    world.make()
    if made:
        world.make_store()
    for stage, words in stages(world).items():
        if (wanted and stage not in wanted) or (made and stage.startswith("extract")):
            continue
        if stage.startswith("localize"):
            train(world)
        if stage not in figures:
            figures[stage] = wtal(*words)
            print(f"{count:>8} {stage:22} {figures[stage]}", flush=True)
            write_json(kept, figures)
    return figures


def document(found: Mapping[int, Mapping[str, Figures]]) -> dict[str, Any]:
    """What `--json` writes."""
    machine = machine_and_versions()
    rows = [
        {
            "videos": count,
            "stage": stage,
            **figures,
            "ms_per_video": 1000 * figures["wall_s"] / count,
        }
        for count, stages_of in sorted(found.items())
        for stage, figures in stages_of.items()
    ]
    return {"machine": machine, "seconds_per_video": SECONDS, "size": SIZE, "rows": rows}


def table(found: Mapping[int, Mapping[str, Figures]]) -> list[str]:
    """Markdown: ms per video, and peak memory in MB, at each number of videos."""
    sizes = sorted(found)
    names = dict.fromkeys(stage for count in sizes for stage in found[count])
    heads = [f"{count:,}" for count in sizes]
    lines = [
        "| stage | "
        + " | ".join([*(f"ms, {n}" for n in heads), *(f"MB, {n}" for n in heads)])
        + " |",
        "|---" * (1 + 2 * len(sizes)) + "|",
    ]
    for stage in names:
        rows = [found[count].get(stage) for count in sizes]
        times = [
            "" if row is None else f"{1000 * row['wall_s'] / count:.2f}"
            for count, row in zip(sizes, rows, strict=True)
        ]
        memory = ["" if row is None else f"{row['peak_mb']:.0f}" for row in rows]
        lines.append(f"| {stage} | {' | '.join([*times, *memory])} |")
    return lines


def plot(found: Mapping[int, Mapping[str, Figures]], path: Path) -> None:
    """Milliseconds per video and peak memory over the number of videos."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (time_axes, memory_axes) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="tight")
    sides: dict[Any, Callable[[int, Figures], float]] = {
        time_axes: lambda count, one: 1000 * one["wall_s"] / count,
        memory_axes: lambda count, one: one["peak_mb"],
    }
    names = dict.fromkeys(stage for one in found.values() for stage in one)
    for axes, value in sides.items():
        for stage in names:
            points = [(n, value(n, one[stage])) for n, one in sorted(found.items()) if stage in one]
            axes.plot(*zip(*points, strict=True), marker="o", label=stage)
        axes.set_xscale("log")
        axes.set_xlabel("videos")
        axes.grid(visible=True, alpha=0.3)
    time_axes.set_yscale("log")
    time_axes.set_ylabel("ms per video")
    memory_axes.set_ylabel("peak memory, MB")
    memory_axes.set_ylim(bottom=0)
    memory_axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--stages", default="", help="a few, with semicolons; default: all")
    parser.add_argument("--made", action="store_true", help="make the store, extract nothing")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    wanted = [name.strip() for name in options.stages.split(";") if name.strip()]
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = [int(text) for text in options.sizes.split(",")]
    found = {count: measure(options.out, count, wanted, options.made) for count in sizes}
    print("\n".join(table(found)))
    if options.json is not None:
        write_json(options.json, document(found))
    if options.plot is not None:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
