"""Truths of pairs: one's own lists of related videos, and VCDB, which lists copies two by two."""

from __future__ import annotations

from collections.abc import Mapping

from wtal_eval.faults import EvalError, shown
from wtal_eval.retrieval.questions import Question, Task
from wtal_eval.retrieval.trees import Tree, member, name, names, names_if_given, rows


def pairs_tasks(tree: Tree, source: str, subset: str | None) -> tuple[Task, ...]:
    """One task from `{query: [related videos]}`; a query in its own list does not count.

    Raises:
        EvalError: if the tree has another form.
    """
    questions = tuple(
        Question(
            name(query, f"{source}: a query"),
            names(related, f"{source}: query {shown(query)}"),
            left_out=frozenset([query]),
        )
        for query, related in tree.items()
    )
    return (Task("pairs", questions),)


def vcdb_tasks(tree: Tree, source: str, subset: str | None) -> tuple[Task, ...]:
    """One task: every video of a pair is a query, its partners are the positives.

    The public truth also counts the query as its own positive while its ranking leaves it out, so
    that no AP reaches 1. Here it is in neither.

    Args:
        tree: `video_pairs` [{"videos": [one, other]}], or [[one, other]]; `index` [videos] limits
            what is ranked, and may be missing.
        source: its name, for messages.
        subset: there is none.

    Source: VCDB, Jiang et al. 2014; layout as in xwen99/temporal_context_aggregation data.py.

    Raises:
        EvalError: if the tree has another form.
    """
    listed = member(tree, "video_pairs", source, "a list of pairs of videos")
    partners: dict[str, set[str]] = {}
    for i, entry in enumerate(rows(listed, f"{source}: 'video_pairs'", "a list of pairs")):
        where = f"{source}: pair {i} (from 0)"
        if isinstance(entry, Mapping):
            entry = member(entry, "videos", where, "two names")
        pair = [name(video, where) for video in rows(entry, where, "two names")]
        if len(pair) != 2:
            raise EvalError(f"{where} has {len(pair)} names, expected two.")
        for one, other in (pair, pair[::-1]):
            partners.setdefault(one, set()).add(other)
    database = names_if_given(tree, "index", source)
    questions = tuple(
        Question(query, frozenset(others), database, left_out=frozenset([query]))
        for query, others in sorted(partners.items())
    )
    return (Task("VCDB", questions),)
