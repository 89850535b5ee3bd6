"""What a protocol asks of one ranked list; every protocol becomes a list of these."""

from __future__ import annotations

from dataclasses import dataclass

from wtal_eval.retrieval.areas import Form


@dataclass(frozen=True)
class Question:
    """One query of one task.

    Attributes:
        query: name of the video that is looked for.
        positives: videos that should be found.
        candidates: videos that may be ranked, before `left_out`; None: all.
        left_out: videos that leave the ranking, and the positives.
        npos: number of positives that divides; None: those that have features.
        group: the event of the query, where a protocol has events.
    """

    query: str
    positives: frozenset[str]
    candidates: frozenset[str] | None = None
    left_out: frozenset[str] = frozenset()
    npos: int | None = None
    group: str | None = None


@dataclass(frozen=True)
class Task:
    """The questions whose mean is one figure of a paper."""

    name: str
    questions: tuple[Question, ...]
    form: Form = "sum"
