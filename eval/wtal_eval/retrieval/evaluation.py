"""Answers the questions of a protocol from ranked lists.

Legend: `N` videos that one query ranks, `V` videos that any query ranks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from wtal_eval import __version__
from wtal_eval.faults import EXAMPLES, EvalError, shown
from wtal_eval.notes import Notes
from wtal_eval.retrieval.areas import ranked_precision
from wtal_eval.retrieval.protocols import read_tasks
from wtal_eval.retrieval.questions import Question, Task
from wtal_eval.retrieval.rankings import Rankings, read_rankings
from wtal_eval.retrieval.result import RetrievalResult, TaskResult
from wtal_eval.retrieval.trees import Source
from wtal_eval.segments import Bools


def evaluate_retrieval(
    results: Source,
    truth: Source,
    protocol: str,
    *,
    subset: str | None = None,
    gallery: Iterable[str] = (),
) -> RetrievalResult:
    """Evaluate ranked lists against a truth.

    Args:
        results: `{query: {video: similarity}}` or `{query: [[video, similarity], ..]}`, a JSON file
            or the object; either may be the member `results` of an object. Videos rank by
            descending similarity, equal ones by name.
        truth: what the protocol reads: JSON, a pickle of plain data, or the object.
        protocol: a key of `PROTOCOLS`.
        subset: of FIVR, such as `5k`; None: the only one.
        gallery: videos that have features. Those ranked, and the queries, are known to have;
            this matters where every list is cut, so that a positive may stand in none.

    Raises:
        EvalError: for input that cannot be evaluated, in one sentence.

    Example:
        >>> found = {"q": {"a": 0.9, "b": 0.8, "c": 0.1}}
        >>> result = evaluate_retrieval(found, {"q": ["a", "c"]}, "pairs")
        >>> result.tasks["pairs"].map  # (1 + 2/3) / 2
        0.8333333333333333
    """
    source, tasks = read_tasks(truth, protocol, subset)
    rankings = read_rankings(results)
    asked = dict.fromkeys(question.query for task in tasks for question in task.questions)
    present = [query for query in asked if query in rankings.ranked]
    if not present:
        raise EvalError(
            f"{rankings.source}: none of its {len(rankings.ranked)} queries is among the "
            f"{len(asked)} queries of {source}; are the names the same?"
        )
    desk = _Desk(rankings, frozenset(gallery))
    answers = {task.name: desk.answer(task) for task in tasks}
    if not any(answer.ap for answer in answers.values()):
        raise EvalError(
            f"{rankings.source}: none of the {len(present)} queries has a positive that is ranked "
            f"anywhere; are the names those of {source}?"
        )
    notes = Notes()
    missing = tuple(query for query in asked if query not in rankings.ranked)
    others = [query for query in rankings.ranked if query not in asked]
    _warn(notes, missing, others, answers)
    desk.warn(notes)
    return RetrievalResult(
        source=rankings.source,
        version=__version__,
        protocol=protocol if subset is None else f"{protocol} {subset}",
        tasks=answers,
        counts={
            "truth_queries": len(asked),
            "queries": len(present),
            "other_queries": len(others),
            "videos": len(rankings.codes),
        },
        missing=missing,
        warnings=tuple(notes.warnings),
    )


class _Desk:
    """Answers questions, and remembers what is odd about the lists."""

    def __init__(self, rankings: Rankings, gallery: frozenset[str]) -> None:
        self.rankings = rankings
        self.with_features = gallery.union(rankings.codes, rankings.ranked)
        self.masks: dict[frozenset[str], Bools] = {}  # of candidates, which questions share
        self.cut: set[str] = set()  # queries that do not rank what others rank
        self.selfless: set[str] = set()  # queries that should rank themselves and do not

    def answer(self, task: Task) -> TaskResult:
        """AP of every question whose query is ranked and that has a positive."""
        ap: dict[str, float] = {}
        without: list[str] = []
        members: dict[str, list[float]] = {}
        positives = absent = 0
        for question in task.questions:
            if question.query not in self.rankings.ranked:
                continue
            wanted = question.positives - question.left_out
            known = len(wanted & self.with_features)
            absent += len(wanted) - known
            npos = known if question.npos is None else question.npos
            if not npos:
                without.append(question.query)
                continue
            positives += npos
            value = ranked_precision(self._relevant(question), npos, task.form)
            ap[question.query] = value
            if question.group is not None:
                members.setdefault(question.group, []).append(value)
        groups = {group: sum(values) / len(values) for group, values in members.items()}
        return TaskResult(task.name, ap, positives, absent, tuple(without), groups)

    def _relevant(self, question: Question) -> Bools:
        """(N',) which of the candidates that the query ranks are positives, best first."""
        ranked_N = self.rankings.ranked[question.query]
        may_V = ~self._mask(question.left_out)
        if question.candidates is not None:
            if question.candidates not in self.masks:
                self.masks[question.candidates] = self._mask(question.candidates)
            may_V &= self.masks[question.candidates]
        kept_N = ranked_N[may_V[ranked_N]]
        query = question.query
        if query in question.positives - question.left_out and not (
            query in self.rankings.codes and self.rankings.codes[query] in kept_N
        ):
            self.selfless.add(query)
        elif len(kept_N) < np.count_nonzero(may_V):
            self.cut.add(query)
        relevant: Bools = self._mask(question.positives)[kept_N]
        return relevant

    def _mask(self, videos: frozenset[str]) -> Bools:
        """(V,) True at the given videos."""
        codes = self.rankings.codes
        mask_V = np.zeros(len(codes), bool)
        mask_V[[codes[video] for video in videos if video in codes]] = True
        return mask_V

    def warn(self, notes: Notes) -> None:
        """Say what was odd about the lists."""
        notes.warn(
            len(self.selfless),
            "query does not rank itself, although this protocol counts it as a positive",
            "queries do not rank themselves, although this protocol counts them as positives",
        )
        notes.warn(
            len(self.cut),
            "query does not rank every video that others rank; what it leaves out is never found",
            "queries do not rank every video that others rank; what they leave out is never found",
        )


def _warn(
    notes: Notes,
    missing: Sequence[str],
    others: Sequence[str],
    answers: Mapping[str, TaskResult],
) -> None:
    """Say which queries take no part."""
    notes.warn(
        len(missing),
        f"query of the truth is not ranked and is left out of the mean: {_some(missing)}",
        f"queries of the truth are not ranked and are left out of the mean: {_some(missing)}",
    )
    notes.warn(
        len(others),
        f"ranked query is not among those of the truth and is ignored: {_some(others)}",
        f"ranked queries are not among those of the truth and are ignored: {_some(others)}",
    )
    for task, answer in answers.items():
        lacking = answer.without_positives
        notes.warn(
            len(lacking),
            f"query has no positive for {task} and is left out of its mean: {_some(lacking)}",
            f"queries have no positive for {task} and are left out of its mean: {_some(lacking)}",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:EXAMPLES])) + (" .." if len(names) > EXAMPLES else "")
