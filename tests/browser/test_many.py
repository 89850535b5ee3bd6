"""Thousands of videos: how long the page takes to open, and that it answers then."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.driving import list_counts, set_threshold, settle
from tests.browser.reports import many_videos, written

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VIDEOS = 2000


def test_two_thousand_videos_open_within_two_seconds(browser: Browser, tmp_path: Path) -> None:
    report = many_videos(VIDEOS)
    url = written(tmp_path, report)
    seconds = []
    for _ in range(3):  # the machine may be busy: the best of three
        page = browser.new_page()
        begin = time.monotonic()
        page.goto(url, wait_until="commit")
        page.locator("#list li").first.wait_for(state="visible")
        page.locator("#search").fill("video 01999")
        page.locator("#list li", has_text="video 01999").wait_for(state="visible")
        seconds.append(time.monotonic() - begin)
        if seconds[-1] < 2:
            break
        page.close()
    assert min(seconds) < 2
    page.locator("#search").fill("")
    scores_N = report.index.detections.scores_N
    set_threshold(page, 0.8)
    settle(page)
    assert page.locator("#shown b").inner_text() == f"{int((scores_N >= 0.8).sum()):,}"
    # Only the rows on screen exist.
    assert page.locator("#list li").count() < 40
    first = page.locator("#list a").first
    assert list_counts(page)["video 00000"] == int((scores_N[:50] >= 0.8).sum())
    first.click()
    assert page.locator("#video-name").inner_text() == "video 00000"
    page.close()
