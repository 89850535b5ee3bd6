"""The file that `write_page` writes: its size, its policy, what it refuses; without a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.browser.reports import DETECTIONS, found_of, three_videos
from wtal.errors import WtalError
from wtal.report.data import Block, ReportData, VideoRow
from wtal.report.page import media_url, write_page


def text_of(folder: Path, report: ReportData, **options: object) -> str:
    write_page(folder / "page.html", report, **options)  # type: ignore[arg-type]
    return (folder / "page.html").read_text("utf-8")


def block(text: str, name: str) -> object:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(found[1])


def empty() -> ReportData:
    report = three_videos(videos=(), detections=found_of([]), classes=())
    return ReportData(report.index, lambda: iter(()))


def test_the_page_without_data_is_small(tmp_path: Path) -> None:
    assert len(text_of(tmp_path, empty()).encode()) < 150_000


def test_the_policy_names_this_style_and_this_script_and_nothing_else(tmp_path: Path) -> None:
    text = text_of(tmp_path, three_videos())
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    policy = dict(rule.split(" ", 1) for rule in html.unescape(found[1]).split("; "))
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        [inner] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["connect-src"] == "'none'"
    assert policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["media-src"] == "'self' file: blob:"


def test_the_page_names_no_other_place(tmp_path: Path) -> None:
    text = text_of(tmp_path, empty())
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of SVG, no address


def test_no_data_can_end_its_block(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--&\u2028\u2029\udc80"
    report = three_videos(title=evil, classes=(evil, "b", "c"))
    text = text_of(tmp_path, report, corrections={"videos": {evil: 1}})
    # The page's own script, its index, the corrections, three videos.
    assert text.count("<script") == text.count("</script>") == 6
    index = block(text, "wtal-index")
    assert isinstance(index, dict)
    assert index["classes"][0] == evil
    assert block(text, "wtal-corrections") == {"videos": {evil: 1}}


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://example.org/a.mp4",
        "//example.org/a.mp4",
        "/a.mp4",
        "\\\\host\\a.mp4",
        "file:///a.mp4",
        "data:video/mp4,x",
        "JaVa\tScript:alert(1)",
        "a b.mp4",
        "",
    ],
)
def test_an_address_that_is_no_relative_path_is_refused(tmp_path: Path, url: str) -> None:
    report = three_videos(videos=(VideoRow("a", media=url),), detections=found_of([[]]))
    with pytest.raises(WtalError, match="expected a relative, percent-encoded path"):
        write_page(tmp_path / "page.html", report)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a b.mp4", "100%.mp4", "a#b?c.mp4", "javascript:x.mp4", "ü.mp4", "a'b\"<c>.mp4"]
)
def test_every_file_name_has_an_address_that_is_allowed(tmp_path: Path, name: str) -> None:
    url = media_url(tmp_path / "videos" / name, tmp_path / "pages")
    assert url is not None
    assert url.startswith("../videos/")
    report = three_videos(videos=(VideoRow("a", media=url),), detections=found_of([[]]))
    write_page(tmp_path / "page.html", replace(report, blocks=lambda: iter([Block()])))


def test_blocks_are_made_one_at_a_time(tmp_path: Path) -> None:
    alive: list[int] = []

    def blocks() -> Iterator[Block]:
        for number in range(3):
            alive.append(number)
            yield Block(((number, 0.0, 1.0),))

    text = text_of(tmp_path, replace(three_videos(), blocks=blocks))
    assert alive == [0, 1, 2]
    assert [block(text, f"video-{v}") for v in range(3)] == [
        {"truth": [[v, 0.0, 1.0]], "curves": None, "class_scores": None} for v in range(3)
    ]


@pytest.mark.parametrize("number", [2, 4])
def test_a_block_for_every_video_no_more_and_no_fewer(tmp_path: Path, number: int) -> None:
    report = replace(three_videos(), blocks=lambda: iter([Block()] * number))
    with pytest.raises(WtalError, match=f"lists 3 videos, but has blocks of {number}"):
        write_page(tmp_path / "page.html", report)
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    report = replace(
        three_videos(), blocks=lambda: iter([Block(((0, 0.0, float("nan")),)), Block(), Block()])
    )
    with pytest.raises(WtalError, match=r"Block video-0 .* not finite"):
        write_page(tmp_path / "page.html", report)


def test_work_left_in_a_browser_belongs_to_these_detections(tmp_path: Path) -> None:
    def identity(report: ReportData) -> object:
        index = block(text_of(tmp_path, report), "wtal-index")
        assert isinstance(index, dict)
        return index["id"]

    same = identity(three_videos())
    assert identity(three_videos(threshold=0.7, title="Another title")) == same
    moved = {**DETECTIONS, "b": [(1, 0.5, 1.6, 0.6), (1, 2.0, 3.0, 0.4)]}
    assert identity(three_videos(detections=found_of(list(moved.values())))) != same


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    assert text_of(tmp_path, three_videos()) == text_of(tmp_path, three_videos())
