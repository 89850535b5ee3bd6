"""A process that gives inputs to one reader, and says what became of each.

`python -m tests.fuzz.batch READER SEED FIRST STOP SECONDS`

It says the number of each input before it, and the verdict after it, a line each. So whoever
listens knows which input it was if the process dies.
"""

from __future__ import annotations

import base64
import faulthandler
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.cases import Files, make_case
from tests.fuzz.judging import Verdict, judge
from tests.fuzz.readers import READERS
from tests.fuzz.shrinking import shrunk
from wtal_features.video.limits import limit_memory

MEMORY_GB = 3.0
STUCK_S = 120  # wall time, for what no signal of Python can end


def main(name: str, seed: str, first: str, stop: str, seconds: str) -> None:
    """Inputs `first` up to `stop`, as long as the time lasts."""
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        sound = reader.seeds()
        folder = Path(scratch, "input")
        for files in sound:  # also imports all that is needed, before memory is counted
            verdict = judge(reader, files, folder)
            if verdict.kind != "accepted":
                raise SystemExit(f"a sound input of {name}: {verdict}")
        limit_memory(MEMORY_GB)
        known: set[str] = set()
        end = time.monotonic() + float(seconds)
        for number in range(int(first), int(stop)):
            if time.monotonic() > end:
                break
            _say(number)
            faulthandler.dump_traceback_later(STUCK_S, exit=True)
            files = make_case(name, sound, int(seed), number)
            verdict = judge(reader, files, folder)
            faulthandler.cancel_dump_traceback_later()
            small = {}
            if verdict.kind == "crash" and verdict.what not in known:
                known.add(verdict.what)
                small = _shrunk(name, files, verdict, folder)
            _say([verdict.kind, verdict.what, verdict.note, small])
        os.chdir("/")


def _shrunk(name: str, files: Files, verdict: Verdict, folder: Path) -> dict[str, str]:
    def crashes(some: Files) -> bool:
        found = judge(READERS[name], some, folder)
        return (found.kind, found.what) == (verdict.kind, verdict.what)

    small = shrunk(files, crashes)
    return {path: base64.b64encode(data).decode() for path, data in small.items()}


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
