"""`python -m wtal_eval DETECTIONS [MORE ...] ANNOTATIONS`: the evaluator as a command."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from wtal_eval.faults import EvalError, printable
from wtal_eval.io import read_video_list
from wtal_eval.options import OPTIONS
from wtal_eval.protocols import PRESETS
from wtal_eval.report import run

EXAMPLE = "example: python -m wtal_eval detections.json thumos14.json --json eval.json"


def main(arguments: list[str] | None = None) -> int:
    """Evaluate and print; 0 done, 1 a problem the user can mend. argparse exits with 2 itself."""
    given = _parser().parse_args(arguments)
    options: dict[str, Any] = {name: getattr(given, name) for name in OPTIONS}
    try:
        if options["exclude_videos"] is not None:
            options["exclude_videos"] = read_video_list(options["exclude_videos"])
        text = _compared(given, options) if given.compare_protocols else _evaluated(given, options)
    except EvalError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


def _evaluated(given: argparse.Namespace, options: dict[str, Any]) -> str:
    report = run(
        given.detections,
        given.annotations,
        given.protocol,
        video_scores=given.video_scores,
        ceiling=given.ceiling_grid if given.ceiling else None,
        **options,
    )
    if given.json is not None:
        report.write_json(given.json)
    return report.text(per_class=given.per_class)


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wtal_eval",
        description="Evaluate action detections. An option left out keeps the preset's value.",
        epilog=EXAMPLE,
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
    parser.add_argument("--per-class", action="store_true", help="print AP and recall per class")
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
