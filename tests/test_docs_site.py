"""The site of docs/ builds without a warning, has every page, and fetches nothing; links hold."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.documents import FENCED, PAGES, ROOT, name, prose


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from the checkout into a folder of its own."""
    pytest.importorskip("mkdocs", reason="MkDocs is not installed: pip install 'wtal[docs]'")
    folder = tmp_path_factory.mktemp("site")
    build = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
    ]  # --quiet would hide what it counts
    done = subprocess.run(
        [*build, "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said
    return folder


def test_the_site_holds_every_page_of_the_project(site: Path) -> None:
    made = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    pages = [name(page).removeprefix("docs/") for page in PAGES]
    files = {re.sub(r"(README)?\.md$", ".html", page) for page in pages if page != "README.md"}
    expected = {file.replace("/.html", "/index.html") for file in files}
    assert len(expected) > 40
    assert expected <= made


def test_nothing_of_the_site_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=[\"']?\w*:?//")
    pages, styles = [*site.rglob("*.html")], [*site.rglob("*.css")]
    assert len(pages) > 40
    assert styles
    assert not [page for page in pages if fetched.search(page.read_text(encoding="utf-8"))]
    remote = re.compile(r"(url\(|@import )[\"']?https?:")
    assert not [style for style in styles if remote.search(style.read_text(encoding="utf-8"))]


def test_paths_of_pages_in_code_are_links_of_the_site(site: Path) -> None:
    page = (site / "formats.html").read_text(encoding="utf-8")
    assert '<a href="features/index.html"><code>features/README.md</code></a>' in page
    assert '<a href="eval/RETRIEVAL.html"><code>eval/RETRIEVAL.md</code></a>' in page
    page = (site / "features/index.html").read_text(encoding="utf-8")
    assert "import open_store" in re.sub(r"<[^>]+>", "", page)  # blocks stay as they are


def test_the_navigation_names_every_page_once() -> None:
    listed = list(leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    assert len(listed) == len(set(listed))
    assert set(listed) == {name(page).removeprefix("docs/") for page in PAGES} - {"README.md"}


def leaves(tree: object) -> Iterator[str]:
    """The pages of a navigation, from top to bottom."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, list | dict):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from leaves(branch)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_of_a_page_lead_to_files_and_headings_of_the_repository(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in headings(file), target


def headings(page: Path) -> set[str]:
    """Anchors of a page, where GitHub and MkDocs make the same of a heading."""
    titles = re.findall(r"^#+ +(.+?)\s*$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def rows(page: Path, heading: str = "") -> list[str]:
    """The rows of the tables of a page, below a heading until the next one of its level."""
    text = page.read_text(encoding="utf-8")
    part = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0] if heading else text
    return re.findall(r"^\|.*\|$", part, re.MULTILINE)


def test_the_figures_of_the_readme_are_those_of_the_results_page() -> None:
    shown = rows(ROOT / "README.md", "What it reaches")
    assert len(shown) > 15
    assert set(shown) <= set(rows(ROOT / "docs" / "results.md"))


def test_a_link_into_nothing_is_noticed() -> None:
    assert "words" in headings(ROOT / "docs" / "index.md")
    assert "nowhere" not in headings(ROOT / "docs" / "index.md")
    assert FENCED.sub("", "a\n```\n[x](y)\n```\nb") == "a\n\nb"
