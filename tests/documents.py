"""The pages of the project, for the tests that read them."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "features/*.md", "eval/*.md", "benchmarks/*.md")
    for page in ROOT.glob(pattern)
)
FENCED = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    """Path of a page in the repository."""
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """Text of a page without its fenced blocks."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))
