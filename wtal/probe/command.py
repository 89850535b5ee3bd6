"""What `wtal probe` calls: everything is checked, then measured, a row as soon as it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wtal.probe.candidates import Candidate, load
from wtal.probe.clips import clip_store
from wtal.probe.figures import Bench, Row, write_json
from wtal.probe.sets import sets_of, subsets
from wtal.probe.table import Table
from wtal.probe.telling import Bar, Say
from wtal.probe.words import Words
from wtal_features.errors import FeatureError
from wtal_features.probing.clips import read_clips
from wtal_features.probing.encode import check_view, remarks

if TYPE_CHECKING:
    import torch


def run(
    videos: Path,
    words: Words,
    device: torch.device,
    *,
    json_file: Path | None,
    bar: Bar,
    say: Say,
    warn: Say,
    show: Say,
) -> Mapping[str, str]:
    """Measure every encoder, and show each row as soon as it is there.

    Args:
        videos: A clip store, or a folder of videos.
        words: The options.
        device: Where to compute.
        json_file: Where the figures go, too; written anew after each row.
        bar: Shows progress.
        say: Told what should be read about encoders and clips.
        warn: Told what the figures suffer from.
        show: Told the lines of the table.

    Returns:
        Video -> why its clips are left out.

    Raises:
        FeatureError, WtalError: What the user can mend.
    """
    bench, candidates = prepare(videos, words, device, bar, say)
    for label, count in bench.sets.unknown.items():
        warn(f"No training clip has the class {label!r}; its {count} test clips count as misses.")
    for line in bench.introduction():
        say(line)
    columns = ["linear"] * words.linear + ["fine-tuned"] * words.finetune
    table = Table(tuple(candidate.name for candidate in candidates), tuple(columns))
    rows: list[Row] = []
    show(table.head())
    for candidate in candidates:
        try:
            rows.append(bench.measure(candidate))
        except FeatureError as error:  # which of them it was
            problem = f"{candidate.name}: {error.problem}"
            raise FeatureError(problem, error.cure, code=error.code) from error
        show(table.row(rows[-1]))
        if json_file is not None:
            write_json(json_file, bench, rows)
    show(table.chance(bench.sets))
    return bench.sets.faults


def prepare(
    videos: Path, words: Words, device: torch.device, bar: Bar, say: Say
) -> tuple[Bench, list[Candidate]]:
    """Everything that can be refused, before anything is measured; arguments as for `run`."""
    config, listed = words.config(), read_clips(words.labels)
    subsets(listed, words)
    candidates = load(words, device)
    motion = any(candidate.encoder.clip.view == "motion" for candidate in candidates)
    store, skipped = clip_store(videos, words, motion=motion, bar=bar, say=say)
    remarked = []
    for candidate in candidates:
        name, encoder = candidate.name, candidate.encoder
        check_view(store, name, encoder.clip)
        notes = (*candidate.notes, *remarks(store, name, encoder.clip, encoder.describe()))
        for note in notes:
            say(note)
        remarked.append(replace(candidate, notes=notes))
    sets = sets_of(listed, words, store, skipped)
    return Bench(store, sets, words, config, device, bar), remarked
