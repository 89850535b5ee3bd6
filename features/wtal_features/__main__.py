"""`python -m wtal_features check|convert`: the store without the rest of the project."""

import argparse
import sys
from collections.abc import Callable, Sequence

from wtal_features import FeatureError, check_store, convert, open_store
from wtal_features.errors import counted
from wtal_features.layouts.kinds import KINDS
from wtal_features.quality import Quality


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line; by default that of the process.

    Returns:
        0 when all is well, 1 when something must be mended; wrong usage exits with 2.
    """
    options = make_parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except FeatureError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on where it stopped.", file=sys.stderr)
        return 1


def _check(options: argparse.Namespace) -> int:
    store = open_store(
        options.store, streams=options.streams, fps=options.fps, stride=options.stride
    )
    quality = Quality(store)
    findings = check_store(store, watch=(quality,) if options.values else ())
    for line in quality.lines():
        print(line)
    for finding in findings:
        print(finding)
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    print(f"{store}: {counted(errors, 'error')}, {counted(warnings, 'warning')}")
    return int(errors > 0)


def _convert(options: argparse.Namespace) -> int:
    settings = {k: v for k, v in vars(options).items() if k not in ("command", "source", "out")}
    report = convert(options.source, options.out, progress=_progress(), **settings)
    for line in (*report.notes, *report.skipped):
        print(line)
    print(
        f"{report.out} ({report.kind}): {counted(len(report.written), 'video')} written, "
        f"{len(report.resumed)} there before, {len(report.skipped)} faults"
    )
    return int(bool(report.skipped))


def _progress() -> Callable[[int, int], None] | None:
    """A counter on a terminal; nothing when the output is piped."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        print(f"\r{done}/{total}", end="\n" if done == total else "", file=sys.stderr)

    return show


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"check": _check, "convert": _convert}


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="python -m wtal_features", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    check = commands.add_parser("check", help="look for faults in a store")
    check.add_argument("store")
    check.add_argument("--streams", type=lambda text: tuple(text.split(",")), default=())
    check.add_argument("--values", action="store_true", help="read the arrays, not only headers")

    change = commands.add_parser("convert", help="make a store of another layout")
    change.add_argument("source")
    change.add_argument("--out", required=True)
    change.add_argument("--kind", choices=KINDS, help="the layout, if it is not recognised")
    change.add_argument("--annotations", help="ActivityNet JSON or W-TALC annotation folder")
    change.add_argument("--window", type=float, help="frames that one snippet saw")
    change.add_argument("--dtype", choices=("float16", "float32"), help="convert the values")
    change.add_argument("--join", action="store_true", help="one array per video, streams joined")
    change.add_argument("--encoder", help="what made the features, for the manifest")
    for command in (check, change):
        command.add_argument("--fps", type=float, help="frames per second that were encoded")
        command.add_argument("--stride", type=float, help="frames from snippet to snippet")
    return parser


if __name__ == "__main__":
    sys.exit(main())
