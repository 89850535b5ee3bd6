"""CSV files: one per video, one row per snippet."""

from pathlib import Path

import numpy as np

from wtal_features.errors import FeatureError
from wtal_features.files import read_rows
from wtal_features.npy import FeatureArray


def read_video(path: Path) -> dict[str, FeatureArray]:
    """Read T rows of D numbers, after a header line or not, as float32.

    Raises:
        FeatureError: If a cell is no number or a row has another length, with the line.
    """
    rows: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
    for line, cells in read_rows(path):
        try:
            # Decimal text has no dtype of its own; float32 is the store's widest. What it cannot
            # hold becomes infinite, which the store refuses with the snippet.
            with np.errstate(over="ignore"):
                row = np.array([float(cell) for cell in cells], dtype=np.float32)
        except ValueError as error:
            if not rows and line == 1:
                continue  # a header
            raise FeatureError(
                f"{path} line {line}: {error}; expected numbers.", "Correct the row.", code="csv"
            ) from error
        if rows and len(row) != len(rows[0]):
            raise FeatureError(
                f"{path} line {line} has {len(row)} numbers; the rows before have {len(rows[0])}.",
                "Correct the row.",
                code="csv",
            )
        rows.append(row)
    if not rows:
        raise FeatureError(
            f"{path} holds no snippets.", "Extract the video again.", code="no-snippets"
        )
    return {"": np.stack(rows)}
