"""EVVE: retrieval of videos of the same event."""

from __future__ import annotations

from wtal_eval.faults import EvalError, shown
from wtal_eval.retrieval.questions import Question, Task
from wtal_eval.retrieval.trees import Tree, mapping, member, name, names, names_if_given, rows


def evve_tasks(tree: Tree, source: str, subset: str | None) -> tuple[Task, ...]:
    """One task over all queries, and a value per event.

    Args:
        tree: `annotation` {event: [queries, positives, negatives]}; `database` [videos], without
            it every ranked video that is no query.
        source: its name, for messages.
        subset: there is none.

    Source: EVVE, Revaud et al. 2013; layout as in MKLab-ITI/visil datasets/__init__.py.

    Raises:
        EvalError: if the tree has another form, or a query belongs to two events.
    """
    annotation = mapping(
        member(tree, "annotation", source, "{event: [queries, positives, negatives]}"),
        f"{source}: 'annotation'",
    )
    parts: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    event_of: dict[str, str] = {}
    for key in sorted(annotation, key=str):
        event = name(key, f"{source}: 'annotation', an event")
        where = f"{source}: event {shown(event)}"
        entry = rows(annotation[key], where, "[queries, positives, negatives]")
        if len(entry) != 3:
            raise EvalError(
                f"{where} has {len(entry)} entries, expected queries, positives, negatives."
            )
        queries = names(entry[0], f"{where}, queries")
        parts[event] = queries, names(entry[1], f"{where}, positives")
        for query in queries:
            if event_of.setdefault(query, event) != event:
                raise EvalError(
                    f"{where}: query {shown(query)} also belongs to {shown(event_of[query])}, "
                    f"expected one event per query."
                )
    everyone = frozenset(event_of)
    database = names_if_given(tree, "database", source)
    questions = tuple(
        Question(query, positives, database, left_out=everyone, group=event)
        for event, (queries, positives) in parts.items()
        for query in sorted(queries)
    )
    return (Task("EVVE", questions, form="trapezoid"),)
