"""The protocols by name: each turns a truth into questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wtal_eval.faults import EvalError, shown
from wtal_eval.retrieval.ccweb import ccweb_tasks
from wtal_eval.retrieval.evve import evve_tasks
from wtal_eval.retrieval.fivr import fivr_tasks
from wtal_eval.retrieval.pairs import pairs_tasks, vcdb_tasks
from wtal_eval.retrieval.questions import Task
from wtal_eval.retrieval.trees import Source, Tree, read_tree

PROTOCOLS: Mapping[str, Callable[[Tree, str, str | None], tuple[Task, ...]]] = {
    "fivr": fivr_tasks,
    "ccweb": ccweb_tasks,
    "evve": evve_tasks,
    "vcdb": vcdb_tasks,
    "pairs": pairs_tasks,
}


def read_tasks(truth: Source, protocol: str, subset: str | None) -> tuple[str, tuple[Task, ...]]:
    """The name of a truth for messages, and what it asks.

    Raises:
        EvalError: for an unknown protocol, a subset where there is none, or a faulty truth.
    """
    if protocol not in PROTOCOLS:
        raise EvalError(
            f"Protocol {shown(protocol)} is unknown, expected one of {', '.join(PROTOCOLS)}."
        )
    if subset is not None and protocol != "fivr":
        raise EvalError(f"Option subset does nothing under {protocol}; only fivr has subsets.")
    source, tree = read_tree(truth)
    return source, PROTOCOLS[protocol](tree, source, subset)
