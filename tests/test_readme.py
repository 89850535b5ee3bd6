"""The README's tree names every file of the project, and nothing that is gone."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("wtal", "features", "eval", "configs", "docs", "benchmarks", "tests")


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *ROOMS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("This is no git checkout, so what belongs to the project is not known.")
    return [Path(line) for line in done.stdout.splitlines() if (ROOT / line).exists()]


def tree() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text[text.index("## The tree") :]


def test_every_file_has_its_line() -> None:
    listed = tree()
    assert "ablations/ " in listed  # a row each, named after what differs: one line for all
    unlisted = [
        str(path)
        for path in tracked()
        if path.suffix in {".py", ".yaml", ".md"}
        and path.name != "__init__.py"
        and path.parent.name != "ablations"
        and f"{path.name} " not in listed
    ]
    assert not unlisted


def test_every_line_names_a_file_that_exists() -> None:
    names = {path.name for path in tracked()} | {path.name for path in ROOT.iterdir()}
    listed = re.findall(r"^[ ]+([\w.-]+\.(?:py|yaml|md))  ", tree(), flags=re.MULTILINE)
    assert len(listed) > 60
    assert set(listed) <= names
