"""The demo over seeds: does DCC stay above BaS-Net, and that above the trivial answer?

    python benchmarks/demo_seeds.py --out DIR [--seeds 0,1,...,9] [--dcc KEY=VALUE] [--untrained]
        [--json FILE]

A seed is of the videos, the encoder and both networks: every one is another world. `--dcc` trains
DCC once more on the same features, with another setting; it may be given again. `--untrained` also
takes both networks to features of the same encoder with random weights. What is done is kept in DIR
and not done again; the videos and features of a seed are removed once it is scored.
"""

import argparse
import json
import resource
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wtal.allocator import keep_freed_memory
from wtal.bench.rows import machine_and_versions
from wtal.demo import DemoConfig, demo, stages
from wtal.demo.stages import Places
from wtal.demo.table import AVERAGE, NAMES, Figures, figures
from wtal.pipeline import Telling
from wtal_features.files import write_json

UNTRAINED = {"basnet": "BaS-Net, untrained encoder", "dcc": "DCC, untrained encoder"}
_T_95 = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def one_seed(root: Path, seed: int, settings: Sequence[str], untrained: bool) -> dict[str, Any]:
    """Figures and costs of one seed, as JSON values; kept in `root/seed-N.json`."""
    kept = root / f"seed-{seed}.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    enough = found and set(settings) <= set(found["settings"])
    if enough and (found["untrained"] or not untrained):
        return found
    out = root / f"seed-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    began, cpu = time.perf_counter(), _cpu_seconds()
    result = demo(out, seed, telling=Telling(say=lambda text: print(text, flush=True)))
    found = {
        "seed": seed,
        "rows": result.figures,
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(_cpu_seconds() - cpu, 1),
        "stages": [[cost.stage, cost.what, cost.seconds] for cost in result.costs],
        "settings": {text: _with_setting(out, seed, text) for text in settings},
        "untrained": _without_pretraining(out, seed) if untrained else {},
    }
    write_json(kept, found)
    shutil.rmtree(out)
    return found


def _with_setting(out: Path, seed: int, setting: str) -> Figures:
    """DCC on the same features, one key other than in the demo."""
    config, places = DemoConfig(), Places(out)
    shutil.rmtree(places.run("setting"), ignore_errors=True)
    words = (*config.network, *config.dcc, setting)
    stages.learn_to_find(places, "setting", words, seed, Telling())
    stages.find(places, ["setting"])
    return figures(stages.judge(places, ["setting"]))["setting"]


def _without_pretraining(out: Path, seed: int) -> dict[str, Figures]:
    """The same videos and trainings, the encoder's weights random."""
    config = DemoConfig()
    places = Places(out / "untrained")
    (out / "untrained").mkdir()
    for name in ("videos", "tags.csv", "annotations.json"):
        (out / name).rename(places.root / name)
    network = dict(text.split("=") for text in config.encoder)
    words = replace(
        stages.extract_words((network["network.arch"],)),
        width=float(network["network.width"]),
        frames=int(network["clips.frames"]),
        every=int(network["clips.every"]),
        size=int(network["clips.size"]),
        seed=seed,
    )
    stages.extract_features(places, Telling(), words=words)
    stages.learn_to_find(places, "basnet", config.network, seed, Telling())
    stages.learn_to_find(places, "dcc", (*config.network, *config.dcc), seed, Telling())
    stages.find(places, ("basnet", "dcc"))
    return figures(stages.judge(places, ("basnet", "dcc")))


def _cpu_seconds() -> float:
    """Of this process and of its children that have ended, all threads."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(who) for who in both]
    return sum(one.ru_utime + one.ru_stime for one in used)


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: every seed, mean and sd, and the paired differences."""
    seeds = [str(one["seed"]) for one in found]
    lines = [
        "| average mAP .1:.7, percent | "
        + " | ".join(f"seed {s}" for s in seeds)
        + " | mean ± sd |",
        "|---|" + "---|" * (len(seeds) + 1),
    ]
    rows = {NAMES[name]: [100 * one["rows"][name][AVERAGE] for one in found] for name in NAMES}
    rows |= {
        f"DCC, {text}": [100 * one["settings"][text][AVERAGE] for one in found]
        for text in found[0]["settings"]
        if all(text in one["settings"] for one in found)
    }
    if all(one["untrained"] for one in found):
        rows |= {
            UNTRAINED[name]: [100 * one["untrained"][name][AVERAGE] for one in found]
            for name in UNTRAINED
        }
    lines += [_row(name, values) for name, values in rows.items()]
    for better, worse in (("dcc", "basnet"), ("basnet", "trivial")):
        gained = [a - b for a, b in zip(rows[NAMES[better]], rows[NAMES[worse]], strict=True)]
        lines.append(_row(f"{NAMES[better]} - {NAMES[worse]}", gained, interval=True))
    for name in ("wall_s", "cpu_s"):
        lines.append(_row(f"seconds, {name[:-2]}", [one[name] for one in found]))
    return "\n".join(lines)


def _row(name: str, values: Sequence[float], *, interval: bool = False) -> str:
    cells = " | ".join(f"{value:.1f}" for value in values)
    several = len(values) > 1
    end = f"{statistics.mean(values):.1f}" + (
        f" ± {statistics.stdev(values):.1f}" if several else ""
    )
    if interval and len(values) in _T_95:
        half = _T_95[len(values)] * statistics.stdev(values) / len(values) ** 0.5
        end += f" (95 % of the mean: ± {half:.1f})"
    return f"| {name} | {cells} | {end} |"


def main() -> None:
    """Run every seed, one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2,3,4,5,6,7,8,9")
    parser.add_argument("--dcc", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    keep_freed_memory()
    args.out.mkdir(parents=True, exist_ok=True)
    seeds = [int(word) for word in args.seeds.split(",")]
    found = [one_seed(args.out, seed, args.dcc, args.untrained) for seed in seeds]
    print(table(found))
    if args.json is not None:
        write_json(args.json, {"machine": machine_and_versions(), "seeds": found})


if __name__ == "__main__":
    main()
