"""One headless Chromium for the tests here; each visit has a new profile, and is watched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.reports import three_videos, write_video, written
from wtal.report.data import ReportData

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Visit = Callable[..., "Page"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("There is no program chromium here; the page is tested in it.")
    with api.sync_playwright() as playwright:
        # Playwright gives it a new, empty user data folder.
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("av", reason="PyAV is not installed: pip install wtal[video].")
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    write_video(path)
    return path


@pytest.fixture
def visit(browser: Browser, video: Path, tmp_path: Path) -> Iterator[Visit]:
    """Write a report beside its video and open it.

    Afterwards: nothing was said on the console, and no request went anywhere but to local files.
    """
    contexts = []
    seen: list[str] = []
    faults: list[str] = []

    def open_page(
        report: ReportData | None = None,
        address: str = "",
        *,
        corrections: dict[str, Any] | None = None,
        allow: str = "nothing is allowed",
        **options: Any,
    ) -> Page:
        if not (tmp_path / "a.mp4").exists():
            os.link(video, tmp_path / "a.mp4")
        url = written(tmp_path, report or three_videos(), corrections)
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("request", lambda request: seen.append(request.url))
        page.on(
            "console",
            lambda m: faults.append(m.text) if m.type != "log" and allow not in m.text else None,
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(url + address, wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
    assert [url for url in seen if not url.startswith(("file:", "blob:", "data:"))] == []
