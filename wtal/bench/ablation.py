"""`wtal bench ablation`: a grid of configs over seeds, and one table.

Every row and seed is an idempotent unit (ablation_unit.py) in a process of its own
(ablation_pool.py); what is done is kept, and the same command continues. Figures are those of the
last step: nothing is chosen on the scored videos. Settings are chosen with --held-out, which leaves
the test subset alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from wtal.bench.ablation_pool import run_units
from wtal.bench.ablation_rows import (
    SYNTAX,
    Row,
    changed_keys,
    config_of,
    find_row,
    read_rows,
    with_seed,
)
from wtal.bench.ablation_table import Figures, Table, TableRow, figures_of
from wtal.bench.ablation_unit import Inputs, Unit, digests, read_record, score_file
from wtal.config import Config
from wtal.data import select_subset
from wtal.device import choose_device
from wtal.errors import WtalError
from wtal.inputs import Labels, labels_of, videos_of
from wtal_features.files import atomic_write, make_folder, read_json, write_json

TABLE_FILE, JSON_FILE = "table.md", "ablation.json"

HELP = f"""\
Train, localize and score every row with every seed, and print one table: mean, standard deviation
and the paired difference to a baseline. What is done is kept: the same command continues.

A ROW is {SYNTAX}:
  configs/basnet.yaml                            a config
  configs/basnet.yaml,train.steps=800            ... with overrides
  configs/basnet.yaml+localize.nms=hard          ... with overrides that the localizer alone reads:
                                                 the row shares the training runs of the one without
  "800 steps::configs/basnet.yaml,train.steps=800"   ... under a label
  configs/ablations                              every *.yaml of a folder, sorted
"""
EXAMPLE = """\
Example: wtal bench ablation configs/basnet.yaml "hard::configs/basnet.yaml+localize.nms=hard" \\
    --features store --annotations thumos14.json --out runs/ablation --held-out 0.2"""


@dataclass(frozen=True)
class Cell:
    """One result: a row under one seed."""

    row: Row
    seed: int
    config: Config
    run: Path
    file: Path
    digests: dict[str, str]

    @property
    def done(self) -> bool:
        """Whether the result is there, and known to be of this run."""
        return self.file.exists() and read_record(self.run) is not None


def main(words: Sequence[str], prog: str = "wtal bench ablation") -> int:
    """Run what is missing and print the table; 0 done, 1 if a result is missing at the end.

    Args:
        words: the command line.
        prog: how the command is called, for its help.

    Raises:
        WtalError, FeatureError, EvalError: bad input, or results of another config.
        KeyboardInterrupt: stopped; the same command continues.
    """
    options = parser(prog).parse_intermixed_args(words)
    device = str(choose_device(options.device))
    rows = read_rows(options.rows)
    baseline = 0 if options.baseline is None else find_row(rows, options.baseline)
    cells = plan(rows, options)
    for cell in cells:
        refuse_other(cell, options)
    units = units_of(cells, options, device)
    faults = run_missing(units, cells, options) if units else {}
    table = collect(rows, cells, baseline, options)
    if table is not None:
        write_table(table, options)
        sys.stdout.write(table.markdown().rstrip("\n") + "\n")
    return tell_missing(cells, faults)


def plan(rows: Sequence[Row], options: argparse.Namespace) -> list[Cell]:
    """Every row under every seed, seed by seed, so that rows can be compared early."""
    inputs = inputs_of(options)
    labels = inputs.labels()
    forced = []
    if options.held_out is not None:
        forced = [f"validation.fraction={options.held_out}", "validation.labels=segments"]
        # The best of several measurements on the videos that are scored would be a choice on them.
        forced.append("validation.keep=last")
    configs = {row.key: config_of(row, options.override, forced) for row in rows}
    check_subsets(labels, list(configs.values()), subset_of(options))
    told = {
        (streams, features): digests(inputs.store(streams), labels, features)
        for streams, features in {(each.data.streams, each.features) for each in configs.values()}
    }
    cells = []
    for seed in options.seeds:
        for row in rows:
            config = with_seed(configs[row.key], seed)
            run = options.out / row.folder / f"seed-{seed}"
            file = score_file(run, subset_of(options), row.localizer)
            known = told[config.data.streams, config.features]
            cells.append(Cell(row, seed, config, run, file, known))
    return cells


def check_subsets(labels: Labels, configs: Sequence[Config], subset: str | None) -> None:
    """Refuse a misspelt subset before anything is trained.

    Raises:
        WtalError: there is no such subset.
    """
    for config in configs:
        select_subset(labels.subsets, config.data.train_subset, labels.source)
    if subset is not None and labels.annotations is not None:
        videos_of(labels_of(labels.annotations), subset)


def inputs_of(options: argparse.Namespace) -> Inputs:
    """The data of all rows."""
    return Inputs(options.features, options.annotations, options.tags, options.fps, options.stride)


def subset_of(options: argparse.Namespace) -> str | None:
    """The subset that is scored; None: held-out training videos."""
    return None if options.held_out is not None else options.subset or "test"


def refuse_other(cell: Cell, options: argparse.Namespace) -> None:
    """Never mix runs of two configs, or of two sets of inputs.

    Raises:
        WtalError: the run folder holds something else.
    """
    record = read_record(cell.run)
    if record is None:
        return
    changed = changed_keys(record["config"], cell.config)
    if changed:
        raise WtalError(
            f"{cell.run} was made with another config ({', '.join(changed)}); make the row "
            f"'{cell.row.label}' what it was, remove that folder, or choose another --out."
        )
    files = {"features": options.features, "labels": options.tags or options.annotations}
    if "context" in cell.digests:
        files["context"] = cell.config.features.context_file
    for name, file in files.items():
        if record["digests"].get(name) != cell.digests[name]:
            raise WtalError(
                f"{cell.run} was made with other {name} than {file}; name those, or choose another "
                "--out."
            )


def units_of(cells: Sequence[Cell], options: argparse.Namespace, device: str) -> list[Unit]:
    """What is missing; rows that share a training run are one unit, as they share its folder."""
    missing: dict[Path, list[Cell]] = {}
    for cell in cells:
        if not cell.done:
            missing.setdefault(cell.run, []).append(cell)
    return [
        Unit.make(
            run,
            shared[0].config,
            localizers=tuple(cell.row.localizer for cell in shared),
            inputs=inputs_of(options),
            digests=shared[0].digests,
            subset=subset_of(options),
            device=device,
            threads=options.threads or _threads(options.jobs),
        )
        for run, shared in missing.items()
    ]


def _threads(jobs: int) -> int:
    import torch

    return max(1, torch.get_num_threads() // jobs)


def run_missing(
    units: Sequence[Unit], cells: Sequence[Cell], options: argparse.Namespace
) -> dict[Path, str]:
    """Run the units behind a progress bar; run folder -> fault of those that failed."""
    faults: dict[Path, str] = {}
    total = sum(len(unit.localizers) for unit in units)
    try:
        with tqdm(total=total, desc="ablation", unit="run", disable=options.quiet or None) as bar:

            def on_end(unit: Unit, fault: str, errors: str) -> None:
                bar.update(len(unit.localizers))
                if fault:
                    faults[unit.run] = fault
                    if not bar.disable:  # the end of the table is hours away
                        bar.write(f"{unit.run}: {fault}", file=sys.stderr)
                    if options.debug:
                        bar.write(errors, file=sys.stderr)

            run_units(units, options.jobs, on_end=on_end, on_wait=bar.refresh)
    except KeyboardInterrupt:
        done = sum(cell.done for cell in cells)
        sys.stderr.write(f"{done} of {len(cells)} results are there.\n")
        raise
    return faults


def collect(
    rows: Sequence[Row], cells: Sequence[Cell], baseline: int, options: argparse.Namespace
) -> Table | None:
    """The table of the results that are there; None if there are none."""
    results = {(cell.row.key, cell.seed): _read(cell) for cell in cells if cell.done}
    if not results:
        return None
    table_rows, trivial = list[TableRow](), dict[int, Figures]()
    for row in rows:
        runs, minutes = {}, []
        for seed in options.seeds:
            result = results.get((row.key, seed))
            if result is None:
                continue
            runs[seed] = figures_of(result)
            if result["trivial"] is not None:
                trivial.setdefault(seed, figures_of(result["trivial"]))
            if result["seconds"] is not None:
                minutes.append(result["seconds"] / 60)
        table_rows.append(TableRow(row.label, runs, minutes, source=row.source))
    return Table(
        table_rows,
        TableRow("whole video x true tags", trivial),
        baseline,
        options.seeds,
        notes(cells, list(results.values()), options),
    )


def _read(cell: Cell) -> dict[str, Any]:
    """A stored result, with the seconds that its run took to train."""
    result, record = read_json(cell.file), read_record(cell.run)
    if not (isinstance(result, dict) and {"map", "averages", "trivial"} <= result.keys()):
        raise WtalError(f"{cell.file} is no result of an ablation; remove it, and it is made anew.")
    return result | {"seconds": record and record["seconds"]}


def notes(
    cells: Sequence[Cell], results: Sequence[dict[str, Any]], options: argparse.Namespace
) -> list[str]:
    """What the figures are, and what they were made with."""
    best = any(cell.config.validation.keep == "best" for cell in cells)
    step = "the checkpoint that each config keeps" if best else "last step"
    scored = f"subset {subset_of(options)}"
    if options.held_out is not None:
        scored = (
            f"held-out training videos, not the test subset (a share of {options.held_out:g} by "
            "class, drawn anew for each seed; their segments score, which is more than the task "
            "lets a method see)"
        )
    seeds = ", ".join(map(str, options.seeds))
    said = [
        f"mAP in percent, protocol {results[0]['protocol']}; {scored}; {step}. Mean ± standard "
        f"deviation (n - 1) over seeds {seeds}; differences are paired over seeds, with their "
        "95 % interval (Student's t). Train minutes: median wall time of a run."
    ]
    skipped = {video: why for result in results for video, why in result["skipped"].items()}
    if skipped:
        first = next(iter(skipped.items()))
        said.append(
            f"{len(skipped)} videos could not be read and are missing: {first[0]}: {first[1]}"
        )
    return said + [f"Made with: {each}." for each in dict.fromkeys(r["made"] for r in results)]


def write_table(table: Table, options: argparse.Namespace) -> None:
    """Markdown and JSON, whole or not at all."""
    make_folder(options.out)
    with atomic_write(options.out / TABLE_FILE) as file:
        file.write(table.markdown().encode())
    for path in {options.out / JSON_FILE, options.json or options.out / JSON_FILE}:
        write_json(path, table.to_json())


def tell_missing(cells: Sequence[Cell], faults: dict[Path, str]) -> int:
    """List the results that are missing, with the reason; the exit code."""
    missing = [cell for cell in cells if not cell.done]
    if not missing:
        return 0
    lines = [f"{len(missing)} of {len(cells)} results are missing:"]
    for cell in missing:
        lines.append(f"  {cell.row.label}, seed {cell.seed}: {faults.get(cell.run, 'not run')}")
    sys.stderr.write("\n".join(lines) + "\n")
    return 1


def parser(prog: str = "wtal bench ablation") -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog=prog,
        description=HELP,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("rows", nargs="+", metavar="ROW", help="a config, or a folder of configs; see above")
    add("-f", "--features", required=True, metavar="STORE", help="feature store")
    add("--annotations", required=True, metavar="FILE", help="ActivityNet JSON: truth, and tags")
    add("--tags", metavar="FILE", help="CSV video,label to train with, instead of the annotations")
    which = made.add_mutually_exclusive_group()
    # No default here: argparse takes a value that equals it for one that was not given.
    which.add_argument("--subset", help="subset to score; default: test")
    which.add_argument(
        "--held-out",
        type=_share,
        metavar="FRACTION",
        help="score this share of the training videos, held out, and leave the test subset alone",
    )
    add("--seeds", type=_seeds, default=[0, 1, 2, 3, 4], metavar="N,...", help="default: 0,1,2,3,4")
    add("--out", type=Path, required=True, metavar="DIR", help=f"runs, {TABLE_FILE}, {JSON_FILE}")
    add("--baseline", metavar="ROW", help="row or label to compare with; default: the first row")
    add(
        *("-o", "--set"),
        dest="override",
        action="append",
        default=[],
        metavar="A.B=VALUE",
        help="override of all rows, as if written in their files; may be repeated",
    )
    add("--jobs", type=_count, default=1, metavar="N", help="runs side by side; default: 1")
    add("--threads", type=_count, metavar="N", help="threads of a run; default: cores / jobs")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--fps", type=float, help="frames per second, if the store has no manifest")
    add("--stride", type=float, help="frames per snippet, if the store has no manifest")
    add("--json", type=Path, metavar="FILE", help="also write every figure as JSON there")
    add("-q", "--quiet", action="store_true", help="no progress bar")
    add("--debug", action="store_true", help="show the traceback of an error")
    return made


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _seeds(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected different whole numbers as in 0,1,2")
    return [int(part) for part in parts]
