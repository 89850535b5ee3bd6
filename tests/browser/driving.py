"""What a person does on the page, in the words of the tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

# A turn of the page: what is drawn once a frame is drawn.
_TURN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def until(page: Page, condition: str) -> None:
    """Wait for a condition in JavaScript; Playwright's own waiting needs `eval`, refused here.

    Raises:
        AssertionError: If it does not come true in ten seconds.
    """
    for _ in range(400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    raise AssertionError(condition)


def settle(page: Page) -> None:
    """Wait until the page has drawn what it was asked for."""
    page.evaluate(_TURN)


def set_threshold(page: Page, value: float) -> None:
    """Move the slider as a hand does."""
    page.locator("#threshold").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        value,
    )
    settle(page)


def list_counts(page: Page) -> dict[str, int]:
    """Video -> detections that the list shows for it, in the order of the list."""
    rows = page.locator("#list li").evaluate_all(
        "rows => rows.map(row => [parseFloat(row.style.top),"
        " row.querySelector('.title').textContent,"
        " parseInt(row.querySelector('.count').textContent)])"
    )
    return {name: count for _, name, count in sorted(rows)}


def table(page: Page) -> list[str]:
    """The segments of the table, as `Clapping 0:01.0 0:02.0 0.90`."""
    settle(page)
    cells = page.locator("#segments tr").evaluate_all(
        "rows => rows.map(row => [row.querySelector('.pick span').textContent,"
        " ...[1, 2, 3].map(i => row.cells[i].textContent)].join(' '))"
    )
    return list(cells)


def time_of(page: Page) -> float:
    """Where the page is in the video, seconds."""
    settle(page)
    minutes, seconds = page.locator("#now").inner_text().split(":")
    return 60 * int(minutes) + float(seconds)


def point(page: Page, c: int, seconds: float, length_s: float = 6.0) -> tuple[float, float]:
    """Where a moment lies in the row of a class, on its bars."""
    canvas = page.locator(f'.row.class[data-c="{c}"] canvas')
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    return box["x"] + box["width"] * seconds / length_s, box["y"] + box["height"] - 13


def drag(page: Page, c: int, start: float, end: float) -> None:
    """Drag from one moment to another in the row of a class."""
    page.mouse.move(*point(page, c, start))
    page.mouse.down()
    page.mouse.move(*point(page, c, (start + end) / 2))
    page.mouse.move(*point(page, c, end))
    page.mouse.up()
    settle(page)


def saved(page: Page) -> Any:
    """Press Save; the content of the file."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save corrections").click()
    assert download.value.suggested_filename == "corrections.json"
    with open(download.value.path(), encoding="utf-8") as file:
        return json.load(file)


def load(page: Page, text: str, name: str = "corrections.json") -> str:
    """Give the page a corrections file; what it says."""
    page.locator("#load-file").set_input_files(
        {"name": name, "mimeType": "application/json", "buffer": text.encode()}
    )
    page.locator("#say").wait_for(state="visible")
    return page.locator("#say-text").inner_text()
