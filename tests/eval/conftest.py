"""The folder of real data, for tests that compare with published figures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; it is not part of the project, so tests that need it may skip."""
    folder = Path(os.environ.get("WTAL_SHARED", PROJECT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("The folder of real data is absent; WTAL_SHARED names it.")
    return folder
