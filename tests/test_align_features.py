"""benchmarks/align_features.py: a stride and an offset that are known are found again."""

from types import ModuleType

import numpy as np
import pytest

from tests.scripts import load


@pytest.fixture(scope="module")
def align() -> ModuleType:
    return load("align_features")


def test_the_true_stride_correlates_best_although_the_features_are_others(
    align: ModuleType,
) -> None:
    generator = np.random.default_rng(0)
    frames = np.cumsum(generator.standard_normal((400, 12)), axis=0)  # pictures that drift
    T, stride = 18, 20.0
    rows = np.stack([frames[int(t * stride) :][:20].mean(axis=0) for t in range(T)])
    mixed = rows @ np.linalg.qr(generator.standard_normal((12, 12)))[0]  # another feature space
    wanted = align.similarities(mixed)
    found = {s: align.fit(wanted, frames, T, s, 0.0, 20) for s in (16.0, 18.0, 20.0, 22.0)}
    assert max(found, key=found.__getitem__) == stride
    assert found[stride] == pytest.approx(1.0)
    assert align.fit(wanted, frames, T, stride, 15.0, 20) < found[stride]
