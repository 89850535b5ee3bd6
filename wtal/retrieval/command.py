"""What `wtal retrieve` calls: checked, read, ranked; then whatever else was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

import torch

from wtal.retrieval.duplicates import find_duplicates
from wtal.retrieval.loading import Loaded, Progress, load
from wtal.retrieval.ranking import Ranking, rank
from wtal.retrieval.sources import sources_of
from wtal.retrieval.tagging import check_labels, suggest_tags, tags_of
from wtal.retrieval.words import Words
from wtal_eval.retrieval import evaluate_retrieval
from wtal_features.retrieval.context import load_context

Bar = Callable[[str, str], AbstractContextManager[Progress]]  # of a title and a unit
Say = Callable[[str], None]


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
    tags = None if words.suggest is None else tags_of(words)
    if tags is not None:
        check_labels(tags, sources, words)
    model = None if words.model is None else load_context(words.model).to(device)
    with bar("reading", "video") as progress:
        loaded = load(sources, model, device, frames=words.by != "cosine", progress=progress)
    with bar("ranking", "query") as progress:
        ranking = rank(loaded, words, progress)
    shown = ranking.cut(words.top, same=loaded.same)
    _show(shown.lines(every=every), show)
    if words.out is not None:
        (ranking if words.truth is not None else shown).write(words.out)
    if words.duplicates is not None:
        duplicates = find_duplicates(loaded, sources, words.kind, words.least)
        _show(duplicates.lines(every=every), show)
        duplicates.write(words.duplicates)
    if words.suggest is not None and tags is not None:
        with bar("suggesting", "video") as progress:
            suggested = suggest_tags(loaded, tags, words, progress)
        _show(suggested.lines(every=every), show)
        suggested.write(words.suggest)
    if words.truth is not None:
        _score(ranking, loaded, words, show)
    return loaded.faults


def _score(ranking: Ranking, loaded: Loaded, words: Words, show: Say) -> None:
    assert words.truth is not None  # the caller looked
    assert words.protocol is not None  # `Words` looked
    result = evaluate_retrieval(
        ranking.results, words.truth, words.protocol, gallery=loaded.gallery.names
    )
    show(result.text().rstrip("\n"))


def _show(lines: Iterable[str], show: Say) -> None:
    for line in lines:
        show(line)
