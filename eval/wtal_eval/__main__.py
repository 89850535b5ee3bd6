"""`python -m wtal_eval DETECTIONS [MORE ...] ANNOTATIONS`: the evaluator as a command."""

from __future__ import annotations

import argparse
import sys

from wtal_eval.faults import EvalError, printable
from wtal_eval.io import read_video_list
from wtal_eval.protocols import CHOICES, PRESETS
from wtal_eval.report import run

EXAMPLE = "example: python -m wtal_eval detections.json thumos14.json --json eval.json"


def main(arguments: list[str] | None = None) -> int:
    """Evaluate and print; 0 done, 1 a problem the user can mend. argparse exits with 2 itself."""
    options = vars(_parser().parse_args(arguments))
    detections, annotations = options.pop("detections"), options.pop("annotations")
    json_file, per_class = options.pop("json"), options.pop("per_class")
    excluded = options.pop("exclude_videos")
    try:
        if excluded is not None:
            options["exclude_videos"] = read_video_list(excluded)
        report = run(detections, annotations, **options)
        if json_file is not None:
            report.write_json(json_file)
    except EvalError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    print(report.text(per_class=per_class), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wtal_eval",
        description="Evaluate action detections. An option left out keeps the preset's value.",
        epilog=EXAMPLE,
    )
    parser.add_argument(
        "detections", nargs="+", help="result JSON; several: a row each, mean and sd"
    )
    parser.add_argument("annotations", help="annotation JSON in the ActivityNet form")
    parser.add_argument("--protocol", choices=list(PRESETS), default="thumos14")
    parser.add_argument("--subset", help="subset of the annotation file")
    parser.add_argument("--tiou", help="thresholds, such as .5 or .1,.3,.55 or .5:.05:.95")
    parser.add_argument(
        "--exclude-videos", metavar="FILE", help="video ids to leave out, one a line"
    )
    for option, choices in CHOICES.items():
        parser.add_argument("--" + option.replace("_", "-"), choices=choices)
    parser.add_argument("--per-class", action="store_true", help="print AP and recall per class")
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
