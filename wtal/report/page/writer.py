"""Writes the page: skeleton, style, script and index, then a block per video, one at a time."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from wtal.errors import WtalError
from wtal.report.data import Index, ReportData
from wtal.report.page.blocks import data_block
from wtal.report.page.media import check_media
from wtal_features.files import atomic_write

_MARK = re.compile("@(CSP|TITLE|CSS|INDEX|JS|VIDEOS)@")


def write_page(
    path: Path, report: ReportData, *, corrections: Mapping[str, Any] | None = None
) -> None:
    """Write the report as one HTML file, whole or not at all.

    The script comes after the index and before the blocks of the videos: the list is on screen
    while a browser still reads the rest. Memory holds the index and one block.

    Args:
        path: The page; its folder must exist.
        report: What it shows.
        corrections: A corrections file's content, shown from the start; None: none yet.

    Raises:
        WtalError: If the URL of a video is no relative path, a number is not finite, or there
            are more or fewer blocks than videos.
        FeatureError: If the file cannot be written.
    """
    for video in report.index.videos:
        if video.media is not None:
            check_media(video.media)
    with atomic_write(path) as file:
        for piece in _pieces(report, corrections):
            file.write(piece)


def page_style() -> str:
    """The style sheets one after the other."""
    return _joined(".css")


def page_script() -> str:
    """The scripts one after the other, in one scope of their own."""
    return f'(() => {{\n"use strict";\n{_joined(".js")}}})();\n'


def _joined(suffix: str) -> str:
    """The files with a suffix, by name."""
    files = (entry for entry in resources.files(__package__).iterdir() if entry.is_file())
    found = sorted((entry.name, entry) for entry in files if entry.name.endswith(suffix))
    return "".join(entry.read_text("utf-8") for _, entry in found)


def _pieces(report: ReportData, corrections: Mapping[str, Any] | None) -> Iterator[bytes]:
    style, script = page_style(), page_script()
    texts = {
        "CSP": _policy(style, script),
        "TITLE": html.escape(report.index.title),
        "CSS": style,
        "JS": script,
    }
    skeleton = (resources.files(__package__) / "page.html").read_text("utf-8")
    # Text, mark, text, mark, ..., text.
    for number, part in enumerate(_MARK.split(skeleton)):
        if number % 2 == 0:
            yield part.encode()
        elif part == "INDEX":
            yield from _index_blocks(report.index, corrections)
        elif part == "VIDEOS":
            yield from _video_blocks(report)
        else:
            yield texts[part].encode("utf-8", "replace")


def _policy(style: str, script: str) -> str:
    """Only this style and this script, videos and images that are local, and no connection."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_source(script)}",
            f"style-src {_source(style)}",
            "media-src 'self' file: blob:",
            "img-src data: blob:",
            "connect-src 'none'",
            "form-action 'none'",
            "base-uri 'none'",
            # No text ever becomes markup or script, not even by a mistake in the page's own code.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _index_blocks(index: Index, corrections: Mapping[str, Any] | None) -> Iterator[bytes]:
    yield data_block("wtal-index", index.to_json() | {"id": _identity(index)})
    if corrections is not None:
        yield data_block("wtal-corrections", corrections)


def _identity(index: Index) -> str:
    """Tells reports apart: work left in a browser belongs to these videos and detections."""
    digest = hashlib.sha256()
    names = [list(index.classes), [video.name for video in index.videos]]
    digest.update(data_block("names", names))
    found = index.detections
    for column_N in (found.classes_N, found.starts_N, found.ends_N):
        digest.update(column_N.tobytes())
    return digest.hexdigest()[:16]


def _video_blocks(report: ReportData) -> Iterator[bytes]:
    expected = len(report.index.videos)
    number = 0
    for block in report.blocks():
        yield data_block(f"video-{number}", block.to_json())
        number += 1
    if number != expected:
        raise WtalError(f"The report lists {expected} videos, but has blocks of {number}.")
