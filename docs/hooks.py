"""Pages that lie beside `docs/` belong to the site, too, and paths of pages in code are links.

A page is known by its path in the repository (`features/README.md`, `docs/formats.md`). In the site
`docs/` is the root and the others keep their path. So a link that works in the repository works
here, and no page is copied.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

OUTSIDE = ("features/*.md", "eval/*.md", "benchmarks/*.md", "CHANGELOG.md", "CONTRIBUTING.md")
FENCE = re.compile(r"^(```.*?^```)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<path>[^):#\s]+)(?P<anchor>#[^)\s]*)?\)")
CODE = re.compile(r"(?<!\[)`(?P<path>[\w./-]+\.md)`(?!\])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of `docs/`."""
    root = Path(config.docs_dir).parent
    for pattern in OUTSIDE:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links of the site out of those of the repository; links to code become text."""
    here = page.file.src_uri
    root = Path(config.docs_dir).parent

    def link(match: re.Match[str]) -> str:
        found = _place(match["path"], here, files)
        if found is not None:
            return f"[{match['text']}]({_relative(found, here)}{match['anchor'] or ''})"
        target = root / _folder(here, files) / match["path"]
        return match["text"] if target.exists() else match[0]

    def code(match: re.Match[str]) -> str:
        found = _place(match["path"], here, files)
        if found is None or found == here:
            return match[0]
        return f"[{match[0]}]({_relative(found, here)})"

    parts = FENCE.split(markdown)  # text and fenced blocks in turn
    parts[::2] = [CODE.sub(code, LINK.sub(link, part)) for part in parts[::2]]
    return "".join(parts)


def _place(path: str, here: str, files: Files) -> str | None:
    """The page or file of the site that `path`, written on the page `here`, names; None: none.

    Tried in turn: from the folder of the page in the repository, then from the repository's root.
    """
    for name in (posixpath.normpath(posixpath.join(_folder(here, files), path)), path):
        site = name.removeprefix("docs/")
        if files.get_file_from_path(site) is not None and _in_repository(site, files) == name:
            return site
    return None


def _in_repository(site: str, files: Files) -> str:
    """Where in the repository a file of the site lies."""
    file = files.get_file_from_path(site)
    outside = file is not None and file.generated_by is not None
    return site if outside else f"docs/{site}"


def _folder(here: str, files: Files) -> str:
    return posixpath.dirname(_in_repository(here, files))


def _relative(site: str, here: str) -> str:
    return posixpath.relpath(site, posixpath.dirname(here) or ".")
