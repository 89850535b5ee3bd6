"""`python -m wtal_eval.retrieval`: mAP of ranked videos as a command."""

from __future__ import annotations

import argparse
import os
import sys

# Nothing here multiplies matrices, and starting the threads for it is half of `import numpy`.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from wtal_eval.faults import EvalError, printable
from wtal_eval.io import read_video_list, write_json
from wtal_eval.retrieval.evaluation import evaluate_retrieval
from wtal_eval.retrieval.protocols import PROTOCOLS


def main(arguments: list[str] | None = None) -> int:
    """Evaluate and print; 0 done, 1 a problem the user can mend. argparse exits with 2 itself.

    Args:
        arguments: the command line; by default that of the process.
    """
    given = make_parser().parse_args(arguments)
    try:
        result = evaluate_retrieval(
            given.ranking,
            given.truth,
            given.protocol,
            subset=given.subset,
            gallery=() if given.gallery is None else read_video_list(given.gallery),
        )
        if given.json is not None:
            write_json(result.to_json(), given.json)
    except EvalError as error:
        if given.debug:
            raise
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    if not given.quiet:
        print(result.text(per_query=given.per_query), end="")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    prog = "python -m wtal_eval.retrieval"
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Evaluate ranked videos: mAP as FIVR, CC_WEB_VIDEO, EVVE and VCDB define it.",
        epilog=f"Example: {prog} ranking.json truth.json --protocol pairs --json eval.json",
    )
    parser.add_argument("ranking", help="JSON {query: [[video, similarity], ..]}, or of objects")
    parser.add_argument("truth", help="annotation of the protocol: JSON, or the public pickle")
    parser.add_argument("--protocol", choices=list(PROTOCOLS), required=True)
    parser.add_argument("--subset", metavar="NAME", help="of FIVR, such as 5k")
    parser.add_argument(
        "--gallery", metavar="FILE", help="videos that have features, one a line, for cut lists"
    )
    parser.add_argument("--per-query", action="store_true", help="print the AP of every query")
    parser.add_argument("--json", metavar="FILE", help="also write every figure as JSON")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print errors only, for use with --json"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


if __name__ == "__main__":
    sys.exit(main())
