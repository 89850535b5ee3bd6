"""Toy stores with a known answer: an action adds its own direction to noise."""

import json
from pathlib import Path

import numpy as np

CLASSES = ("Jump", "Run", "Throw")
FPS, STRIDE = 25.0, 16


def make_store(
    folder: Path,
    *,
    train: int = 12,
    test: int = 6,
    dim: int = 16,
    seed: int = 0,
    strength: float = 3.0,
) -> tuple[Path, Path, Path]:
    """A store, its tags and its annotations.

    Returns:
        (folder of features, tags.csv, annotations.json); subsets `training` and `test`.
    """
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(len(CLASSES), dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    features = folder / "store"
    features.mkdir(parents=True)
    database, videos, rows = {}, {}, ["video,label,subset"]
    for i in range(train + test):
        name = f"video_{i:03d}"
        subset = "training" if i < train else "test"
        T = int(rng.integers(24, 60))
        x_TD = 0.3 * rng.normal(size=(T, dim))
        c = i % len(CLASSES)
        start = int(rng.integers(0, T - 12))
        x_TD[start : start + 8] += strength * directions[c]
        np.save(features / f"{name}.npy", x_TD.astype(np.float32))
        seconds = STRIDE / FPS
        videos[name] = {"fps": FPS, "frames": T * STRIDE, "duration": T * seconds}
        segment = {"label": CLASSES[c], "segment": [start * seconds, (start + 8) * seconds]}
        database[name] = {"subset": subset, "duration": T * seconds, "annotations": [segment]}
        rows.append(f"{name},{CLASSES[c]},{subset}")
    manifest = {
        "encoder": "synthetic",
        "dim": dim,
        "window": STRIDE,
        "stride": STRIDE,
        "fps": FPS,
        "videos": videos,
    }
    (features / "manifest.json").write_text(json.dumps(manifest))
    (folder / "tags.csv").write_text("\n".join(rows) + "\n")
    (folder / "annotations.json").write_text(json.dumps({"database": database}))
    return features, folder / "tags.csv", folder / "annotations.json"
