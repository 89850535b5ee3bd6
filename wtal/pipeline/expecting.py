"""What a run will take, said before it starts: measured on a few videos, computed for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from wtal.config import load_config
from wtal.cost import training_cost
from wtal.extract import Words as ExtractWords
from wtal.extract import run as extract
from wtal.pipeline.choices import Grid, narrow
from wtal.pipeline.extraction import with_own_cure
from wtal.pipeline.footage import Clip, Footage
from wtal.pipeline.tagging import Tagging
from wtal.pipeline.words import Words
from wtal_features.extraction.preview import duration

# Shorter than this the measurement would take longer than the work that it foretells.
WORTH_MEASURING_S = 600.0


@dataclass(frozen=True)
class Expected:
    """Estimates of one run on this machine.

    Attributes:
        extract_s: wall time; 0: nothing is new; None: not measured.
        train_s: wall time of the training, and of those that calibrate it; None: there is none.
        disk_bytes: of features and model.
        notes: videos that broke while a few were looked at.
    """

    extract_s: float | None
    train_s: float | None
    disk_bytes: float
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """For a person."""
        parts = [f"extract {duration(self.extract_s)}"] if self.extract_s else []
        if self.extract_s is None:
            parts = ["extract not measured (--preview does it)"]
        parts += [] if self.train_s is None else [f"train and calibrate {duration(self.train_s)}"]
        disk = f"disk {max(1, round(self.disk_bytes / 2**20))} MiB"
        return f"expected on this machine: {', '.join(parts) or 'little time'}; {disk}"


def expecting(
    words: Words,
    footage: Footage,
    tagging: Tagging,
    asked: ExtractWords,
    grid: Grid,
    new: Sequence[Clip],
    device: torch.device,
    *,
    train: bool,
    measure: bool,
) -> Expected:
    """Estimate.

    Args:
        words: the options.
        footage: all videos.
        tagging: their tags.
        asked: encoders and grid.
        grid: likewise.
        new: videos that will be extracted.
        device: where to compute.
        train: whether there will be a training.
        measure: extract a few for it, however little there is to do.

    Raises:
        FeatureError, WtalError: an encoder cannot be had, or no video can be decoded.
    """
    rows = {clip.file.video: _snippets(clip, grid) for clip in footage.usable}
    encoders, _ = asked.load(device)
    dim = sum(encoder.dim for encoder in encoders.values())
    lengths = [rows[video] for video in tagging.training if video in rows]
    config = load_config(None, (*narrow(dim), *words.training))
    cost = training_cost(lengths or [1], dim, len(tagging.classes), config)
    new_s = sum(clip.seconds or 0.0 for clip in new)
    extract_s = None if new else 0.0
    notes: tuple[str, ...] = ()
    if new and (measure or new_s >= WORTH_MEASURING_S):
        found: Any = extract(
            *(footage.source, None, asked, device, None),
            preview=True,
            progress=lambda done, total: None,
            say=lambda text: None,
        )
        extract_s = found.seconds * new_s / max(found.video_s, 1e-9)
        broken = map(with_own_cure, found.skipped)
        notes = tuple(f"{each.where}: {each.message} {each.cure}".rstrip() for each in broken)
    disk = 2.0 * dim * sum(rows.values()) + cost.disk_bytes
    train_s = cost.seconds * (1 + words.own.calibrate.folds) if train else None
    return Expected(extract_s, train_s, disk, notes)


def _snippets(clip: Clip, grid: Grid) -> int:
    return max(1, int((clip.seconds or 1.0) / grid.snippet_s))
