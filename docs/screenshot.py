"""A picture of a page: docs/screenshot.py demo/report.html docs/report.png [VIDEO SECONDS]."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main(page_file: Path, picture: Path, video: str = "", time_s: str = "0") -> None:
    """Open the page in Debian's Chromium, at a moment of a video, and take 1280 x 800 px of it."""
    anchor = f"#v={video}&t={time_s}" if video else ""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(page_file.resolve().as_uri() + anchor)
        page.wait_for_timeout(3000)  # the player shows its frame
        page.screenshot(path=str(picture))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5])
