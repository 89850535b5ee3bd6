"""The runner of `make fuzz`: every input is counted once, whatever it does to the process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fuzz import run
from tests.fuzz.cases import make_case
from tests.fuzz.readers import READERS

# Stands for the process that reads: input 3 ends it, input 5 is refused, input 6 crashes.
STUB = f"""#!{sys.executable}
import json, os, sys
first, stop = map(int, sys.argv[5:7])
for number in range(first, stop):
    print(number, flush=True)
    if number == 3:
        os.abort()
    small = {{"tags.csv": "eA=="}}
    said = {{5: ["refused", "tags", "", {{}}], 6: ["crash", "KeyError", "'x'", small]}}
    print(json.dumps(said.get(number, ["accepted", "", "", {{}}])), flush=True)
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stub"
    path.write_text(STUB)
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))
    return tmp_path / "out"


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_an_input_that_ends_the_process_is_one_crash_and_the_others_go_on(
    jobs: int, stub: Path
) -> None:
    tally = run.Campaign(count=8, seed=1, jobs=jobs, seconds=60, out=stub).of("tags")
    assert tally.kinds == {"accepted": 5, "refused": 1, "crash": 2}
    assert tally.codes == {"tags": 1}
    assert tally.crashes == {"the process ended: -6": [3], "KeyError": [6]}


def test_an_input_that_crashes_is_kept_as_it_was_and_small(stub: Path) -> None:
    run.Campaign(count=8, seed=1, jobs=1, seconds=60, out=stub).of("tags")
    kept = {path.name: path for path in stub.iterdir()}
    assert set(kept) == {"tags-3", "tags-6"}
    case = make_case("tags", READERS["tags"].seeds(), 1, 6)
    assert (kept["tags-6"] / "input/tags.csv").read_bytes() == case["tags.csv"]
    assert (kept["tags-6"] / "small/tags.csv").read_bytes() == b"x"
    assert "KeyError" in (kept["tags-6"] / "verdict.txt").read_text()


def test_real_inputs_go_through_a_process_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--reader", "tags", "--count", "30", "--jobs", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert run.main() == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["reader", "inputs", "accepted", "refused", "crashes", "seconds"]
    name, inputs, accepted, refused, crashes, _ = row.split()
    assert (name, inputs, crashes) == ("tags", "30", "0")
    assert int(accepted) + int(refused) == 30
