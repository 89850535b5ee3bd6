"""What are 10 or 30 corrections worth? mAP of videos that nobody corrected, over seeds.

    python benchmarks/corrections.py STORE --annotations A.json --config configs/dcc.yaml --out DIR

For every seed a network is trained on tags alone, and the simulated reviewer of
wtal/corrections/simulate.py goes through its detections on training videos, which come in an order
drawn by the seed. Then one network is trained for each row:

- `10`, `30`, ...: after that many corrections (`all`: all training videos are complete);
- `N misplaced`: as many verdicts of the same classes and lengths, at places drawn by chance;
- `N what happens`, `N what does not`: one half of what N corrections say.

Tags, features, config, first weights and order of batches of a seed are the same in all rows. Every
row is scored on the test subset, or with `--held-out .25` on that share of the training videos,
which is then out of all trainings: settings are chosen so. What is done is kept in DIR.
"""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wtal.bench.ablation_table import HEADLINE, Table, TableRow, figures_of
from wtal.bench.ablation_unit import HELD_OUT, figures, regrouped
from wtal.bench.rows import machine_and_versions
from wtal.config import Config, load_config
from wtal.corrections.file import Corrections, write_corrections
from wtal.corrections.simulate import Span, absent, happening, misplaced, review
from wtal.inputs import Labels, read_labels, videos_of
from wtal.localize import Localizer
from wtal.results import write_results
from wtal.schedule import numpy_generator
from wtal.training import train
from wtal.validation import hold_out
from wtal_eval import Annotations, evaluate
from wtal_features import FeatureStore, open_store
from wtal_features.files import make_folder, read_json, write_json

NONE = "0"
KINDS = ("misplaced", "what happens", "what does not")
ROW = rf"([1-9][0-9]*|all)( ({'|'.join(KINDS)}))?"


@dataclass(frozen=True)
class Data:
    """What one seed works on.

    Args:
        store: features.
        labels: tags; subset `training` is trained on.
        truth: segments; its subset `scored` is scored.
        scored: a name.
        videos: those to score.
    """

    store: FeatureStore
    labels: Labels
    truth: Annotations
    scored: str
    videos: Sequence[str]

    @property
    def training(self) -> list[str]:
        """The videos to train on."""
        return videos_of(self.labels, "training")

    def spans(self, name: str) -> list[Span]:
        """The instances of a video."""
        rows = np.flatnonzero(self.truth.video == self.truth.videos.index(name))
        columns = (self.truth.label[rows], self.truth.start[rows], self.truth.end[rows])
        names = self.truth.labels
        found = zip(*(column.tolist() for column in columns), strict=True)
        return [Span(names[c], start, end) for c, start, end in found if end > start]


def data_of(store: FeatureStore, annotations: Path, subset: str, share: float, seed: int) -> Data:
    """All training videos and the subset, or a part of them and the rest."""
    labels = read_labels(annotations=annotations)
    truth = labels.annotations
    assert truth is not None
    if not share:
        return Data(store, labels, truth, subset, videos_of(labels, subset))
    names = videos_of(labels, "training")
    classes = sorted({label for name in names for label in labels.tags[name]})
    labels_VC = np.array([[c in labels.tags[n] for c in classes] for n in names], np.float32)
    held_V = hold_out(labels_VC, share, numpy_generator(seed, "split"))
    held = [name for name, out in zip(names, held_V, strict=True) if out]
    subsets = {name: s if s == "training" else "unused" for name, s in labels.subsets.items()}
    labels = replace(labels, subsets=subsets | dict.fromkeys(held, HELD_OUT))
    return Data(store, labels, regrouped(truth, held), HELD_OUT, held)


def detected(run: Path, data: Data) -> dict[str, list[Span]]:
    """What the tags alone find in the training videos, by falling score."""
    found: dict[str, list[Span]] = {}
    for name, one in Localizer.load(run).localize_store(data.store, data.training):
        assert not isinstance(one, Exception)
        order = np.argsort(-one.scores_N, kind="stable").tolist()
        found[name] = [
            Span(one.labels[i], float(one.starts_N[i]), float(one.ends_N[i])) for i in order
        ]
    return found


def reviewed(label: str, data: Data, found: Mapping[str, list[Span]], seed: int) -> Corrections:
    """The corrections of a row, by its label: `30`, `30 misplaced`, `all`."""
    count, _, kind = label.partition(" ")
    truth = {name: data.spans(name) for name in data.training}
    order = numpy_generator(seed, "controls").permutation(data.training).tolist()
    made = review(found, truth, order, most=None if count == "all" else int(count))
    if kind == "what happens":
        return happening(made)
    durations = {name: _seconds(data.store, name) for name in made.videos}
    if kind == "what does not":
        return absent(made, durations)
    return misplaced(made, durations, numpy_generator(seed, "controls", 1)) if kind else made


def _seconds(store: FeatureStore, name: str) -> float:
    return len(store.read(name)) * store.timing(name).seconds_per_snippet


def score(run: Path, config: Config, data: Data, corrections: Corrections | None) -> dict[str, Any]:
    """Train one row of one seed, localize and evaluate; or what is known of it already."""
    file = run / "score.json"
    if file.exists():
        known = read_json(file)
        assert isinstance(known, dict)
        return known
    train(config, data.store, data.labels, run, resume=True, corrections=corrections)
    localizer = Localizer.load(run)
    write_results(run / "detections.json", localizer.localize_store(data.store, data.videos), {})
    result = figures(evaluate(run / "detections.json", data.truth, subset=data.scored))
    if corrections is not None:
        reviewed = [video.complete for video in corrections.videos.values()]
        result |= {"videos": len(reviewed), "complete": sum(reviewed), "count": corrections.count}
    write_json(file, result)
    return result


def seed_rows(
    args: argparse.Namespace, config: Config, data: Data, seed: int, say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Every row of one seed: label -> result."""
    seeded = replace(config, train=replace(config.train, seed=seed))
    folder = args.out / f"seed-{seed}"
    make_folder(folder)
    results = {NONE: score(folder / NONE, seeded, data, None)}
    found = detected(folder / NONE, data)
    for label in args.rows:
        corrections = reviewed(label, data, found, seed)
        write_corrections(folder / f"{label}.json", corrections)
        results[label] = score(folder / label, seeded, data, corrections)
        value = results[label]["averages"][HEADLINE]
        say(f"seed {seed}, {label}: {100 * value:.1f}")
    return results


def table_of(results: dict[int, dict[str, dict[str, Any]]], notes: Sequence[str]) -> Table:
    """Mean and sd over the seeds, and paired differences to the row without corrections."""
    seeds = sorted(results)
    labels = list(results[seeds[0]])
    rows = [TableRow(n, {s: figures_of(results[s][n]) for s in seeds}) for n in labels]
    trivial = {s: results[s][NONE]["trivial"] for s in seeds}
    trivial_row = TableRow("whole video", {s: figures_of(t) for s, t in trivial.items() if t})
    reviewed = [
        f"{label}: {np.mean([results[s][label]['videos'] for s in seeds]):.1f} videos"
        for label in labels
        if label != NONE
    ]
    return Table(rows, trivial_row, 0, seeds, [f"Videos reviewed: {'; '.join(reviewed)}.", *notes])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="runs are kept here")
    parser.add_argument("--rows", default="10,30", help="such as 10,30,30 misplaced,all")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--held-out", type=float, default=0.0, help="score training videos instead")
    parser.add_argument("--subset", default="test")
    parser.add_argument("-o", dest="override", action="append", default=[], metavar="A.B=VALUE")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.rows = args.rows.split(",")
    wrong = [label for label in args.rows if not re.fullmatch(ROW, label)]
    if wrong:
        parser.error(f"--rows: {wrong[0]!r}; expected N or all, and perhaps one of {KINDS}")
    args.seeds = [int(part) for part in args.seeds.split(",")]
    return args


def main() -> None:
    """Train, score, print."""
    args = arguments()
    torch.set_num_threads(1)
    config = load_config(args.config, args.override)
    store = open_store(args.store, streams=config.data.streams)
    results = {}
    for seed in args.seeds:
        data = data_of(store, args.annotations, args.subset, args.held_out, seed)
        results[seed] = seed_rows(args, config, data, seed, lambda text: print(text, flush=True))
    told = f"{args.config}, {' '.join(args.override) or 'as it is'}; {machine_and_versions()}."
    table = table_of(results, [told])
    print(table.markdown())
    if args.json is not None:
        write_json(args.json, table.to_json())


if __name__ == "__main__":
    main()
