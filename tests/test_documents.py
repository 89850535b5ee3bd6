"""The Python that the Markdown pages show runs as it stands, on files of the names they use."""

import json
import re
from pathlib import Path

import pytest

from tests.features.videos import panned, write_video
from tests.synthetic import make_store

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for folder in (".", "docs", "eval", "features", "benchmarks")
    for path in (ROOT / folder).glob("*.md")
    if "```python" in path.read_text(encoding="utf-8")
)


def test_there_are_pages_with_code() -> None:
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert {"eval/README.md", "eval/ERRORS.md", "features/README.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = make_store(tmp_path)[2]
    annotations.rename(tmp_path / "thumos14.json")
    database = json.loads((tmp_path / "thumos14.json").read_text())["database"]
    results = {
        video: [{**instance, "score": 0.5} for instance in entry["annotations"]]
        for video, entry in database.items()
        if entry["subset"] == "test"
    }
    for name in ("detections", "a", "b", "seed0", "seed1"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": results}))
    if '"videos"' in page.read_text(encoding="utf-8"):
        pytest.importorskip("av", reason="PyAV is not installed: pip install 'wtal[video]'")
        (tmp_path / "videos").mkdir()
        write_video(tmp_path / "videos" / "a.mp4", panned(40, 64, 48))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    for block in blocks:  # each stands for itself
        exec(compile(block, str(page), "exec"), {"__name__": "page"})
