"""An .npy file that is written row by row: the same bytes as if it had been saved in one go."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

import numpy as np

from wtal_features.files import TEMPORARY_PREFIX, sync_folder, write_failed
from wtal_features.npy import FeatureArray


class GrowingArray:
    """Rows go to a temporary file beside `path`; `put_in_place` makes it `path`, in one step.

    Attributes:
        dim: D.
        dtype: Of the values.
        T: Rows so far.
    """

    def __init__(self, path: Path, dim: int, dtype: np.dtype[np.floating]) -> None:
        """Name the file, which `start` begins.

        Args:
            path: Where it will stand.
            dim: D.
            dtype: float16 or float32.
        """
        self.path, self.dim, self.dtype, self.T = path, dim, dtype, 0
        self._temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"

    def start(self) -> None:
        """Begin the file. Its owner knows it by then: Ctrl-C may come at any moment.

        Raises:
            FeatureError: If the folder cannot be written to.
        """
        try:
            self._handle = self._temporary.open("xb")
            self._write_header()
        except OSError as error:
            self.discard()
            write_failed(self.path, error)

    def append(self, block_TD: FeatureArray) -> None:
        """Add rows.

        Raises:
            FeatureError: If the disk is full; the file is given up then.
        """
        try:
            self._handle.write(np.ascontiguousarray(block_TD).data.cast("B"))
        except OSError as error:
            self.discard()
            write_failed(self.path, error)
        self.T += len(block_TD)

    def put_in_place(self) -> None:
        """Say how many rows there are, make the bytes reach the disk, and replace `path`.

        Raises:
            FeatureError: If the disk is full; `path` stays as it was.
        """
        try:
            with self._handle:
                self._handle.flush()
                self._handle.seek(0)
                self._write_header()
                self._handle.flush()
                os.fsync(self._handle.fileno())
            os.replace(self._temporary, self.path)
        except OSError as error:
            self.discard()
            write_failed(self.path, error)
        sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove the temporary file; harmless when it is gone."""
        with suppress(AttributeError, OSError):
            self._handle.close()
        with suppress(FileNotFoundError):
            self._temporary.unlink()

    def _write_header(self) -> None:
        """NumPy leaves room in a header for the first axis to grow: its length stays the same."""
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.T, self.dim),
        }
        np.lib.format.write_array_header_1_0(self._handle, header)
