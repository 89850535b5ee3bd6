"""FIVR: fine-grained incident video retrieval, three tasks by what counts as related."""

from __future__ import annotations

from collections.abc import Mapping

from wtal_eval.faults import EvalError, shown
from wtal_eval.retrieval.questions import Question, Task
from wtal_eval.retrieval.trees import Tree, mapping, member, names, names_if_given

# Near-duplicate, duplicate scene, complementary scene, incident scene. DA (the audio) counts in
# none.
TASKS = {"DSVR": ("ND", "DS"), "CSVR": ("ND", "DS", "CS"), "ISVR": ("ND", "DS", "CS", "IS")}


def fivr_tasks(tree: Tree, source: str, subset: str | None) -> tuple[Task, ...]:
    """DSVR, CSVR and ISVR.

    Args:
        tree: `{query: {label: [videos]}}`, alone or as `annotation`; beside it subsets such as
            `{"5k": {"queries": [..], "database": [..]}}`.
        source: its name, for messages.
        subset: which subset; None: the only one, or all queries if there is none.

    Source: FIVR, Kordopatis-Zilos et al. 2019, arXiv:1809.04094; layout and divisor as in
    MKLab-ITI/visil datasets/__init__.py.

    Raises:
        EvalError: if the tree has another form or no such subset.
    """
    annotation = mapping(tree.get("annotation", tree), f"{source}: 'annotation'")
    queries, database = _subset(tree, source, subset)
    found: dict[str, list[Question]] = {task: [] for task in TASKS}
    for query in annotation if queries is None else sorted(queries):
        where = f"{source}: query {shown(query)}"
        labels = mapping(member(annotation, query, source, "its labels"), where)
        for task, wanted in TASKS.items():
            positives = frozenset().union(
                *(names(labels[label], f"{where}, {label}") for label in wanted if label in labels)
            )
            question = Question(
                query,
                positives if database is None else positives & database,
                candidates=database,
                left_out=frozenset([query]),
            )
            found[task].append(question)
    return tuple(Task(task, tuple(questions)) for task, questions in found.items())


def _subset(
    tree: Tree, source: str, wanted: str | None
) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    """Queries and all videos of a subset, each None where the file does not limit them."""
    parts = {
        key: part
        for key, part in tree.items()
        if "annotation" in tree and key != "annotation" and isinstance(part, Mapping)
    }
    if wanted is None and not parts:
        return None, None
    if wanted is None and len(parts) > 1:
        raise EvalError(f"{source} holds the subsets {_listed(parts)}; choose one: subset=NAME.")
    chosen = next(iter(parts)) if wanted is None else wanted
    if chosen not in parts:
        raise EvalError(f"{source} has no subset {shown(chosen)}; it holds {_listed(parts)}.")
    where = f"{source}: subset {shown(chosen)}"
    queries = names(member(parts[chosen], "queries", where, "a list of names"), f"{where}, queries")
    database = names_if_given(parts[chosen], "database", where)
    return queries, None if database is None else database | queries


def _listed(parts: Mapping[str, object]) -> str:
    return ", ".join(map(shown, parts)) or "none"
