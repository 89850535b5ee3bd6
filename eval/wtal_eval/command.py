"""The evaluator as a command: `python -m wtal_eval` and `wtal eval` are this one function."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from wtal_eval.evaluation import Evaluation
from wtal_eval.faults import EvalError, printable
from wtal_eval.io import read_video_list, write_json
from wtal_eval.options import OPTIONS
from wtal_eval.protocols import PRESETS, Protocol, nearest, resolve
from wtal_eval.report import run

# Result file -> its evaluation; None where it was only compared.
Scored: TypeAlias = Mapping[str, Evaluation | None]

CEILING_GRID, RESAMPLES = "16/25", 1000  # frames per snippet / frames per second; of --versus
# Flags that only one plain evaluation answers.
PLAIN = ("errors", "plots", "per_class", "ceiling", "video_scores")
# Flags that say something about another one, and do nothing without it.
PARTNERS = {
    "error_ties": ("errors", "plots"),
    "ceiling_grid": ("ceiling",),
    "resamples": ("versus",),
    "seed": ("versus",),
}


def main(
    arguments: list[str] | None = None,
    *,
    prog: str = "python -m wtal_eval",
    expand: Callable[[str], Sequence[str]] = lambda word: (word,),
    on_scored: Callable[[Scored], None] = lambda scored: None,
) -> int:
    """Evaluate and print; 0 done, 1 a problem the user can mend. argparse exits with 2 itself.

    Args:
        arguments: the command line; by default that of the process.
        prog: how the command is called, for its help.
        expand: a word that names a result -> the files that it stands for.
        on_scored: told of what was scored, after files are written and before anything is printed.
    """
    given = make_parser(prog).parse_args(arguments)
    options: dict[str, Any] = {name: getattr(given, name) for name in OPTIONS}
    try:
        _refuse_idle_flags(given)
        given.detections = [file for word in given.detections for file in expand(word)]
        if options["exclude_videos"] is not None:
            options["exclude_videos"] = read_video_list(options["exclude_videos"])
        if given.compare_protocols:
            text, scored = _compared(given, options)
        elif given.versus is not None:
            text, scored = _versus(given, options, expand)
        else:
            text, scored = _evaluated(given, options)
        on_scored(scored)
    except EvalError as error:
        if given.debug:
            raise
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    if not given.quiet:
        print(text, end="")
    return 0


def _refuse_idle_flags(given: argparse.Namespace) -> None:
    """Refuse a flag that would do nothing: whoever gave it expects something of it."""
    for mode in ("versus", "compare_protocols"):
        idle = [name for name in PLAIN if getattr(given, name) not in (None, False)]
        if getattr(given, mode) and idle:
            raise EvalError(
                f"{_flag(mode)} prints one table and nothing of {', '.join(map(_flag, idle))}; "
                "evaluate each result by itself for that."
            )
    if given.versus and given.compare_protocols:
        raise EvalError("--versus and --compare-protocols are two tables; ask for one of them.")
    for name, partners in PARTNERS.items():
        if getattr(given, name) is not None and not any(getattr(given, p) for p in partners):
            raise EvalError(
                f"{_flag(name)} does nothing without {' or '.join(map(_flag, partners))}."
            )


def _refuse_idle_options(rules: Protocol, options: Mapping[str, Any]) -> None:
    """The same of options of the protocol, once it is known what the others are."""
    needs = {
        "length_offset": (rules.nms is not None, "--nms"),
        "grid_units": (rules.grid != "off", "--grid"),
        "grid_detections": (
            rules.grid != "off" and rules.grid_units == "snippets",
            "--grid and --grid-units snippets",
        ),
        "ambiguous_file": (
            rules.ambiguous.startswith("drop"),
            "--ambiguous drop-fp or drop-all",
        ),
    }
    for name, (works, partner) in needs.items():
        if options[name] is not None and not works:
            raise EvalError(f"{_flag(name)} does nothing without {partner}.")


def _refuse_several(name: str, files: Sequence[str]) -> None:
    """Refuse a flag that is for one result file; the folder of a sweep stands for several."""
    if len(files) > 1:
        raise EvalError(
            f"{_flag(name)} takes one result file of the {len(files)}; name one of them, such as "
            f"{printable(files[0])}."
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _evaluated(given: argparse.Namespace, options: dict[str, Any]) -> tuple[str, Scored]:
    _refuse_idle_options(resolve(given.protocol, options), options)
    report = run(
        given.detections,
        given.annotations,
        given.protocol,
        video_scores=given.video_scores,
        ceiling=(given.ceiling_grid or CEILING_GRID) if given.ceiling else None,
        analyse=_analysis(given) if given.errors or given.plots else None,
        **options,
    )
    if given.json is not None:
        report.write_json(given.json)
    text = report.text(per_class=given.per_class, every_count=given.verbose)
    for evaluation in report.evaluations:
        if given.errors and evaluation.errors is not None:
            text += f"\n{printable(evaluation.source)}\n{evaluation.errors.text()}\n"
    return text, {evaluation.source: evaluation for evaluation in report.evaluations}


def _analysis(given: argparse.Namespace) -> Any:
    """What makes the part `errors`, and the pictures on the way."""
    from wtal_eval.diagnosis import diagnose_ranking, draw
    from wtal_eval.errors import ErrorTies

    folder = None if given.plots is None else Path(given.plots)
    if folder is not None:
        _refuse_several("plots", given.detections)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvalError(f"{folder} cannot be made: {error.strerror}.") from error

    def analyse(ranking: Any, truth: Any, protocol: Any) -> Any:
        ties: ErrorTies = given.error_ties or "own"
        found = diagnose_ranking(ranking, truth, protocol, error_ties=ties)
        if folder is not None:
            draw(found, ranking, truth, protocol, folder)
        return found

    return analyse


def _versus(
    given: argparse.Namespace,
    options: dict[str, Any],
    expand: Callable[[str], Sequence[str]],
) -> tuple[str, Scored]:
    """A paired bootstrap over videos between two result files."""
    from wtal_eval.significance import compare

    _refuse_idle_options(resolve(given.protocol, options), options)
    others = expand(given.versus)
    if len(given.detections) > 1 or len(others) > 1:
        several = given.detections if len(given.detections) > 1 else others
        raise EvalError(
            f"--versus compares one result with one other; there are {len(several)} on one side, "
            f"such as {printable(several[0])}."
        )
    comparison = compare(
        given.detections[0],
        others[0],
        given.annotations,
        given.protocol,
        n=RESAMPLES if given.resamples is None else given.resamples,
        seed=0 if given.seed is None else given.seed,
        **options,
    )
    if given.json is not None:
        write_json(comparison.to_json(), given.json)
    return comparison.text(), {comparison.a: None, comparison.b: None}


def _compared(given: argparse.Namespace, options: dict[str, Any]) -> tuple[str, Scored]:
    from wtal_eval.comparison import compare_protocols

    _refuse_several("compare_protocols", given.detections)
    comparison = compare_protocols(
        given.detections[0], given.annotations, given.protocol, **options
    )
    if given.json is not None:
        comparison.write_json(given.json)
    return comparison.text(), {given.detections[0]: None}


class _Parser(argparse.ArgumentParser):
    """Answers a slip in one line, and the name of an option before anything that is missing."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse does; it would miss a file first and then list all options."""
        given = list(sys.argv[1:] if args is None else args)
        known = list(self._option_string_actions)
        for word in given[: given.index("--")] if "--" in given else given:
            name = word.partition("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                self.error(f"No such option: {name}{nearest(name, known)}")
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """End with 2; the help is a screen, and the message would be below it."""
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help lists all).\n")


def make_parser(prog: str) -> argparse.ArgumentParser:
    """The options of the command."""
    parser = _Parser(
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
        "--ceiling-grid",
        metavar="FRAMES/FPS",
        help=f"grid of --ceiling (default {CEILING_GRID})",
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
        help="of equally overlapping instances: that of the detection's own class (default), or "
        "the first",
    )
    parser.add_argument("--plots", metavar="DIR", help="write the pictures of the diagnosis there")
    parser.add_argument(
        "--versus", metavar="FILE", help="paired bootstrap over videos against another result file"
    )
    parser.add_argument(
        "--resamples", type=int, metavar="N", help=f"of --versus (default {RESAMPLES})"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of --versus (default 0)")
    parser.add_argument("--per-class", action="store_true", help="print AP and recall per class")
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print errors only, for use with --json"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print every count, too")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
