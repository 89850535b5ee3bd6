"""The evaluator as a command: `python -m wtal_eval` and `wtal eval` are this one function."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wtal_eval.faults import EvalError, printable
from wtal_eval.io import read_video_list, write_json
from wtal_eval.options import OPTIONS
from wtal_eval.protocols import PRESETS
from wtal_eval.report import Report, run


def main(
    arguments: list[str] | None = None,
    *,
    prog: str = "python -m wtal_eval",
    on_report: Callable[[Report], None] | None = None,
) -> int:
    """Evaluate and print; 0 done, 1 a problem the user can mend. argparse exits with 2 itself.

    Args:
        arguments: the command line; by default that of the process.
        prog: how the command is called, for its help.
        on_report: told of the report before it is printed.
    """
    given = _parser(prog).parse_args(arguments)
    options: dict[str, Any] = {name: getattr(given, name) for name in OPTIONS}
    try:
        if options["exclude_videos"] is not None:
            options["exclude_videos"] = read_video_list(options["exclude_videos"])
        if given.compare_protocols:
            text = _compared(given, options)
        elif given.versus is not None:
            text = _versus(given, options)
        else:
            text = _evaluated(given, options, on_report)
    except EvalError as error:
        if given.debug:
            raise
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


def _evaluated(
    given: argparse.Namespace,
    options: dict[str, Any],
    on_report: Callable[[Report], None] | None,
) -> str:
    report = run(
        given.detections,
        given.annotations,
        given.protocol,
        video_scores=given.video_scores,
        ceiling=given.ceiling_grid if given.ceiling else None,
        analyse=_analysis(given) if given.errors or given.plots else None,
        **options,
    )
    if on_report is not None:
        on_report(report)
    if given.json is not None:
        report.write_json(given.json)
    text = report.text(per_class=given.per_class)
    for evaluation in report.evaluations:
        if given.errors and evaluation.errors is not None:
            text += f"\n{printable(evaluation.source)}\n{evaluation.errors.text()}\n"
    return text


def _analysis(given: argparse.Namespace) -> Any:
    """What makes the part `errors`, and the pictures on the way."""
    from wtal_eval.diagnosis import diagnose, draw

    folder = None if given.plots is None else Path(given.plots)
    if folder is not None and len(given.detections) > 1:
        raise EvalError("--plots takes one result file.")
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvalError(f"{folder} cannot be made: {error.strerror}.") from error

    def analyse(ranking: Any, truth: Any, protocol: Any) -> Any:
        found = diagnose(ranking, truth, protocol, error_ties=given.error_ties)
        if folder is not None:
            draw(found, ranking, truth, protocol, folder)
        return found

    return analyse


def _versus(given: argparse.Namespace, options: dict[str, Any]) -> str:
    """A paired bootstrap over videos between two result files."""
    from wtal_eval.significance import compare

    if len(given.detections) > 1:
        raise EvalError("--versus compares one result file with another.")
    comparison = compare(
        given.detections[0],
        given.versus,
        given.annotations,
        given.protocol,
        n=given.resamples,
        seed=given.seed,
        **options,
    )
    if given.json is not None:
        write_json(comparison.to_json(), given.json)
    return comparison.text()


def _compared(given: argparse.Namespace, options: dict[str, Any]) -> str:
    from wtal_eval.comparison import compare_protocols

    if len(given.detections) > 1:
        raise EvalError("--compare-protocols takes one result file.")
    comparison = compare_protocols(
        given.detections[0], given.annotations, given.protocol, **options
    )
    if given.json is not None:
        comparison.write_json(given.json)
    return comparison.text()


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Evaluate action detections. An option left out keeps the preset's value.",
        epilog=f"Example: {prog} detections.json thumos14.json --json eval.json",
    )
    parser.add_argument(
        "detections",
        nargs="+",
        help="result JSON, evalkit text or .npz; several: a row each, mean and sd",
    )
    parser.add_argument("annotations", help="annotation JSON, or a folder of the THUMOS14 evalkit")
    parser.add_argument("--protocol", choices=list(PRESETS), default="thumos14")
    for name, option in OPTIONS.items():
        parser.add_argument(
            "--" + name.replace("_", "-"),
            type=option.type,
            choices=option.choices or None,
            metavar=option.metavar,
            action="append" if option.many else "store",
            help=option.help,
        )
    parser.add_argument("--compare-protocols", action="store_true", help="one table of all presets")
    parser.add_argument(
        "--ceiling", action="store_true", help="what detections on a grid can reach at most"
    )
    parser.add_argument(
        "--ceiling-grid", metavar="FRAMES/FPS", default="16/25", help="grid of --ceiling"
    )
    parser.add_argument(
        "--video-scores", metavar="FILE", help="JSON {video: {label: score}} for the video level"
    )
    parser.add_argument(
        "--errors", action="store_true", help="why it fails: error, sensitivity, calibration tables"
    )
    parser.add_argument(
        "--error-ties",
        choices=("own", "first"),
        default="own",
        help="of equally overlapping instances: that of the detection's own class, or the first",
    )
    parser.add_argument("--plots", metavar="DIR", help="write the pictures of the diagnosis there")
    parser.add_argument(
        "--versus", metavar="FILE", help="paired bootstrap over videos against another result file"
    )
    parser.add_argument("--resamples", type=int, default=1000, metavar="N", help="of --versus")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of --versus")
    parser.add_argument("--per-class", action="store_true", help="print AP and recall per class")
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
