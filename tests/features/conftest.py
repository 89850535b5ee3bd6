"""Small stores that the tests of this room share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SaveArray = Callable[..., Path]


@pytest.fixture
def save() -> SaveArray:
    """Write one array as .npy, making its folder: save(path, (T, D) or array)."""

    def save_array(path: Path, what: Any = (4, 6), dtype: str = "float32") -> Path:
        if isinstance(what, tuple):
            seed = sum(path.name.encode())
            what = np.random.default_rng(seed).random(what).astype(dtype)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, what, allow_pickle=True)
        return path

    return save_array
