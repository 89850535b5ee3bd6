"""What `wtal retrieve` calls: checked, read, ranked; then whatever else was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

import torch

from wtal.retrieval.duplicates import check_least, find_duplicates
from wtal.retrieval.loading import Loaded, Progress, Say, load
from wtal.retrieval.ranking import rank
from wtal.retrieval.scoring import asked_by, compare
from wtal.retrieval.sources import sources_of
from wtal.retrieval.tagging import check_labels, suggest_tags, tags_of
from wtal.retrieval.words import Words
from wtal_features.retrieval.context import load_context

Bar = Callable[[str, str], AbstractContextManager[Progress]]  # of a title and a unit


def run(
    words: Words, device: torch.device, *, bar: Bar, show: Say, every: bool = False
) -> Mapping[str, str]:
    """Rank, print and write what was asked for.

    Args:
        words: the options.
        device: where to compute.
        bar: shows progress.
        show: told the lines to print.
        every: print every query and group, not only the first.

    Returns:
        Video -> why it was left out.

    Raises:
        WtalError, FeatureError, EvalError: what the user can mend.
    """
    sources = sources_of(words)
    _show(sources.notes, show)
    check_least(words, sources.gallery.where, len(sources.gallery.videos))
    asked = asked_by(words, sources)
    tags = None if words.suggest is None else tags_of(words)
    if tags is not None:
        check_labels(tags, sources, words)
    model = None if words.model is None else load_context(words.model).to(device)
    with bar("reading", "video") as progress:
        frames = words.by != "cosine"
        loaded = load(sources, model, device, frames=frames, progress=progress, say=show)
    check_least(words, sources.gallery.where, len(loaded.gallery.names))  # without broken ones
    _rank(loaded, words, asked, bar=bar, show=show, every=every)
    if words.duplicates is not None:
        with bar("comparing", "near-duplicate pair") as progress:
            duplicates = find_duplicates(loaded, sources, words.kind, words.least, progress)
        _show(duplicates.lines(every=every), show)
        duplicates.write(words.duplicates)
    if words.suggest is not None and tags is not None:
        with bar("suggesting", "video") as progress:
            suggested = suggest_tags(loaded, sources, tags, words, progress)
        _show(suggested.lines(every=every), show)
        suggested.write(words.suggest)
    return loaded.faults


def _rank(
    loaded: Loaded,
    words: Words,
    asked: frozenset[str] | None,
    *,
    bar: Bar,
    show: Say,
    every: bool,
) -> None:
    """Rank all videos, or those that a truth asks for; these are scored, too."""
    with bar("ranking", "query") as progress:
        if asked is None:
            whole, ranking = None, rank(loaded, words, progress)
        else:
            whole = compare(loaded, words.kind, asked, progress)
            ranking = whole.cut(words.top, same=loaded.same)
    _show(ranking.lines(every=every), show)
    if words.out is not None:
        (whole or ranking).write(words.out)
    if whole is not None:
        show(whole.text(words))


def _show(lines: Iterable[str], show: Say) -> None:
    for line in lines:
        show(line)
