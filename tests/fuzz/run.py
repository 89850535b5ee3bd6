"""`make fuzz`: thousands of damaged inputs for every reader, and a table of what became of them.

`python -m tests.fuzz.run [--reader NAME ...] [--count N] [--seed N] [--jobs N] [--seconds N]`
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Lock

from tests.fuzz.cases import make_case, write_case
from tests.fuzz.readers import READERS


@dataclass
class Tally:
    """What became of the inputs of one reader.

    Attributes:
        kinds: Verdict -> how often.
        codes: Code of a refusal -> how often.
        crashes: What happened -> the numbers of the inputs.
        seconds: Wall time.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    crashes: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def add(self, number: int, kind: str, what: str) -> None:
        """Count one verdict; jobs listen in threads of their own."""
        with self._lock:
            self.kinds[kind] += 1
            if kind == "refused":
                self.codes[what] += 1
            if kind == "crash":
                self.crashes.setdefault(what, []).append(number)


@dataclass(frozen=True)
class Campaign:
    """How much, from which seed, and where crashes are kept."""

    count: int
    seed: int
    jobs: int
    seconds: float
    out: Path

    def of(self, name: str) -> Tally:
        """All inputs of one reader, in as many processes as there are jobs."""
        tally, begun = Tally(), time.monotonic()
        bounds = [self.count * job // self.jobs for job in range(self.jobs + 1)]
        with ThreadPoolExecutor(self.jobs) as pool:
            parts = pairwise(bounds)
            for part in [pool.submit(self._part, name, *part, tally) for part in parts]:
                part.result()
        tally.seconds = time.monotonic() - begun
        return tally

    def _part(self, name: str, first: int, stop: int, tally: Tally) -> None:
        """One process after another, each going on behind the input that ended the last."""
        end = time.monotonic() + self.seconds
        while first < stop and time.monotonic() < end:
            words = [name, self.seed, first, stop, end - time.monotonic()]
            command = [sys.executable, "-m", "tests.fuzz.batch", *map(str, words)]
            number = None
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                for line in child.stdout:
                    said = json.loads(line)
                    if isinstance(said, int):
                        number = said
                        continue
                    assert number is not None
                    self._take(name, number, said, tally)
                    first, number = number + 1, None
            if number is None and child.returncode:
                raise SystemExit(f"{name}: the process ended with {child.returncode} at its start")
            if number is None:
                return
            self._take(
                name, number, ["crash", f"the process ended: {child.returncode}", "", {}], tally
            )
            first = number + 1

    def _take(self, name: str, number: int, said: list[object], tally: Tally) -> None:
        kind, what, note, small = said
        tally.add(number, str(kind), str(what))
        if kind != "crash" or len(tally.crashes[str(what)]) > 3:
            return
        folder = self.out / f"{name}-{number}"
        write_case(folder / "input", make_case(name, READERS[name].seeds(), self.seed, number))
        assert isinstance(small, dict)
        write_case(folder / "small", {path: base64.b64decode(data) for path, data in small.items()})
        (folder / "verdict.txt").write_text(f"{what}\n{note}\n")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the campaign; 1 if anything crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", action="append", choices=sorted(READERS))
    parser.add_argument("--count", type=int, default=10_000, help="inputs of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seconds", type=float, default=160, help="for each reader, at most")
    parser.add_argument("--out", type=Path, help="where crashes are kept; a new folder")
    words = parser.parse_args()
    out = words.out or Path(tempfile.mkdtemp(prefix="wtal-fuzz-"))
    campaign = Campaign(words.count, words.seed, words.jobs, words.seconds, out)
    _say(f"{'reader':20}{'inputs':>8}{'accepted':>10}{'refused':>9}{'crashes':>9}{'seconds':>9}")
    bad = False
    for name in words.reader or READERS:
        tally = campaign.of(name)
        counts = [
            tally.kinds.total(),
            *(tally.kinds[kind] for kind in ("accepted", "refused", "crash")),
        ]
        _say(
            f"{name:20}{counts[0]:8d}{counts[1]:10d}{counts[2]:9d}{counts[3]:9d}{tally.seconds:9.0f}"
        )
        if tally.codes["decoder"]:
            _say(f"{'':20}{tally.codes['decoder']} of the refused ended the decoder's process")
        for what, numbers in tally.crashes.items():
            _say(f"    {len(numbers)} x {what}, the first at {numbers[0]}")
        bad = bad or bool(tally.crashes)
    if bad:
        _say(f"The inputs that crashed are in {out}.")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
