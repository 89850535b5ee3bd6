"""Damage to trees of JSON: members in the wrong place, of the wrong type, twice, or not at all."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

Draw: TypeAlias = np.random.Generator

LABELS = ("run", "long jump", "Sprung über den Kasten", "跳远")
# Values for any place of the tree.
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 0.5, -0.0, 1e-320, 1e38, 1e308, -1e308, 10**30, 10**400,
    math.nan, math.inf, -math.inf, "", "run", "test", "0.9", "nan", "1_0", " 7 ", "१२", "12",
    "\ud800", "\u2028", "a\nb\x1b[31m\0", "<script>", "../../x", "x" * 100_000,
    [], {}, [[]], [1], [1, 2], [2, 1], ["1", "2"], [1, 2, 3], [None, None], {"label": "run"},
    {"0": 1}, [{"label": "run", "segment": [0, 1], "score": 0.5}],
)  # fmt: skip
ODD_KEYS = (
    "", "label", "score", "segment", "results", "database", "v0", "\u2028", "\ud800", "x" * 999,
)  # fmt: skip


class Pairs(list[tuple[str, Any]]):
    """An object as the list of its members, which may repeat a key."""


def as_text(value: Any, *, ascii_only: bool = True, indent: str = "") -> str:
    """JSON of a tree of Pairs; dictionaries and everything inside them as `json` writes them."""
    if isinstance(value, Pairs):
        members = (f"{json.dumps(k)}:{indent}{as_text(v, ascii_only=ascii_only)}" for k, v in value)
        return "{" + indent + f",{indent}".join(members) + indent + "}"
    if type(value) is list:
        rows = (as_text(v, ascii_only=ascii_only) for v in value)
        return "[" + f",{indent}".join(rows) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def places(value: Any) -> Iterator[tuple[Any, int]]:
    """Every place of a tree, as a container and the position in it."""
    if isinstance(value, list):
        for i, member in enumerate(value):
            yield value, i
            yield from places(member[1] if isinstance(value, Pairs) else member)
    elif isinstance(value, dict):
        for member in value.values():
            yield from places(member)


def put(container: Any, i: int, value: Any) -> None:
    container[i] = (container[i][0], value) if isinstance(container, Pairs) else value


def odd_value(draw: Draw) -> Any:
    return copy.deepcopy(ODD_VALUES[draw.integers(len(ODD_VALUES))])  # it may be changed, too


def replace_value(container: Any, i: int, draw: Draw) -> None:
    put(container, i, odd_value(draw))


def nudge(container: Any, i: int, draw: Draw) -> None:
    """Another number, label or list of numbers, such as an honest file might hold."""
    value = container[i][1] if isinstance(container, Pairs) else container[i]
    if type(value) in (int, float):
        put(container, i, float(draw.choice([-1.0, 0.0, 1e-9, 0.25, 1.0, 10.0, 59.5, 1e38])))
    elif isinstance(value, str) and value in LABELS:
        put(container, i, LABELS[draw.integers(len(LABELS))])
    elif type(value) is list and len(value) == 2:
        put(container, i, sorted(draw.integers(20, size=2).tolist()))


def delete(container: Any, i: int, draw: Draw) -> None:
    del container[i]


def repeat(container: Any, i: int, draw: Draw) -> None:
    container.insert(draw.integers(len(container) + 1), container[i])


def repeat_with_another_value(container: Any, i: int, draw: Draw) -> None:
    repeat(container, i, draw)
    replace_value(container, i, draw)


def rename(container: Any, i: int, draw: Draw) -> None:
    if isinstance(container, Pairs):
        container[i] = (ODD_KEYS[draw.integers(len(ODD_KEYS))], container[i][1])


def add(container: Any, i: int, draw: Draw) -> None:
    value = odd_value(draw)
    key = ODD_KEYS[draw.integers(len(ODD_KEYS))]
    container.insert(i, (key, value) if isinstance(container, Pairs) else value)


def wrap(container: Any, i: int, draw: Draw) -> None:
    value = container[i][1] if isinstance(container, Pairs) else container[i]
    for _ in range(int(draw.choice([1, 2, 50]))):
        value = [value] if draw.random() < 0.5 else Pairs([("label", value)])
    put(container, i, value)


def as_string(container: Any, i: int, draw: Draw) -> None:
    value = container[i][1] if isinstance(container, Pairs) else container[i]
    put(container, i, str(value))


def shuffle(container: Any, i: int, draw: Draw) -> None:
    members = [container[k] for k in draw.permutation(len(container))]
    container[:] = members


TREE_MUTATIONS: tuple[Callable[[Any, int, Draw], None], ...] = (
    replace_value, replace_value, nudge, nudge, nudge, delete, repeat, repeat_with_another_value,
    rename, add, wrap, as_string, shuffle,
)  # fmt: skip


def mutate_tree(tree: Pairs, draw: Draw) -> None:
    for _ in range(int(draw.choice([1, 1, 1, 2, 5]))):
        found = list(places(tree))
        if found:
            container, i = found[draw.integers(len(found))]
            TREE_MUTATIONS[draw.integers(len(TREE_MUTATIONS))](container, i, draw)
