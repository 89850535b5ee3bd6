"""CC_WEB_VIDEO: near-duplicates of 24 queries, in four variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wtal_eval.faults import EvalError, shown
from wtal_eval.retrieval.questions import Question, Task
from wtal_eval.retrieval.trees import Tree, mapping, member, name, names, rows

# Exact duplicate, similar, long version, major change, different version; X: dissimilar.
POSITIVE, NEGATIVE = frozenset("ESLMV"), frozenset("Xx")  # one label of the public file is an x


def ccweb_tasks(tree: Tree, source: str, subset: str | None) -> tuple[Task, ...]:
    """Videos with a label in the query set, or (*) the whole data base; and (_c) both cleaned.

    The query itself is ranked and counts: its own label is E. The divisor is the number of
    positive labels, whether the videos have features or not.

    Args:
        tree: `queries` [video per set]; `ground_truth` [{video: label} per set]; `excluded`
            [[videos] per set], what the cleaned variants leave out, may be missing; and where
            `index` (or `vid2index`) {video: number} is given, numbers stand in place of the
            videos in these two.
        source: its name, for messages.
        subset: there is none.

    Source: CC_WEB_VIDEO, Wu et al. 2007; layout and the four variants as in MKLab-ITI/visil and
    xwen99/temporal_context_aggregation.

    Raises:
        EvalError: if the tree has another form.
    """
    expected = "a list of names"
    listed = rows(member(tree, "queries", source, expected), f"{source}: 'queries'", expected)
    queries = [name(item, f"{source}: 'queries', an entry") for item in listed]
    labels = _per_set(tree, "ground_truth", queries, source)
    video_of, database = _index(tree, source)
    found: dict[str, list[Question]] = {"CC_WEB": [], "CC_WEB*": []}
    cleaned: dict[str, list[Question]] = {"CC_WEB_c": [], "CC_WEB_c*": []}
    excluded = _per_set(tree, "excluded", queries, source) if "excluded" in tree else None
    for i, query in enumerate(queries):
        where = f"{source}: query {shown(query)}"
        labelled = _labelled(labels[i], where)
        dirty = frozenset() if excluded is None else names(excluded[i], f"{where}, 'excluded'")
        for tasks, gone in ((found, frozenset()), (cleaned, dirty)):
            positives = {video for video, good in labelled.items() if good} - gone
            for task in tasks:
                question = Question(
                    query,
                    _videos(positives, video_of),
                    candidates=database if "*" in task else _videos(labelled, video_of),
                    left_out=_videos(gone, video_of),
                    npos=len(positives),
                )
                tasks[task].append(question)
    chosen = found if excluded is None else found | cleaned
    return tuple(Task(task, tuple(questions)) for task, questions in chosen.items())


def _per_set(tree: Tree, key: str, queries: Sequence[str], source: str) -> Sequence[Any]:
    """One entry per query, in their order; an object may number them from 0."""
    value = member(tree, key, source, "an entry per query")
    if isinstance(value, Mapping):
        numbered = {str(number): entry for number, entry in value.items()}
        value = [numbered[str(i)] for i in range(len(numbered)) if str(i) in numbered]
    entries = rows(value, f"{source}: {key!r}", "a list with an entry per query")
    if len(entries) != len(queries) or len(set(queries)) < len(queries):
        raise EvalError(
            f"{source}: {key!r} has {len(entries)} entries for {len(set(queries))} different "
            f"queries of {len(queries)}, expected an entry for each query."
        )
    return entries


def _index(tree: Tree, source: str) -> tuple[dict[str, str] | None, frozenset[str] | None]:
    """Number -> video, and the videos of the data base; both None where the file has no index."""
    key = next((key for key in ("index", "vid2index") if key in tree), None)
    if key is None:
        return None, None
    where = f"{source}: {key!r}"
    index = mapping(tree[key], where)
    video_of: dict[str, str] = {}
    for video, number in index.items():
        code = name(number, f"{where}, video {shown(video)}")
        if code in video_of:
            raise EvalError(
                f"{where} gives {shown(number)} to {shown(video_of[code])} and {shown(video)}, "
                f"expected each number once."
            )
        video_of[code] = str(video)
    return video_of, frozenset(video_of.values())


def _labelled(value: Any, where: str) -> dict[str, bool]:
    """Video or number -> whether it is a positive."""
    labels = mapping(value, f"{where}, its labels")
    for video, label in labels.items():
        if not isinstance(label, str) or label not in POSITIVE | NEGATIVE:
            raise EvalError(
                f"{where}, label of {shown(video)} is {shown(label)}, expected E, S, L, M, V or X."
            )
    return {str(video): label in POSITIVE for video, label in labels.items()}


def _videos(
    codes: Mapping[str, bool] | set[str] | frozenset[str], video_of: dict[str, str] | None
) -> frozenset[str]:
    """The videos behind numbers; numbers without a video are in no ranking."""
    if video_of is None:
        return frozenset(codes)
    return frozenset(video_of[code] for code in codes if code in video_of)
