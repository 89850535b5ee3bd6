"""A truth as the tree of plain values that JSON and the public pickles share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from wtal_eval.faults import EvalError, shown
from wtal_eval.json_files import read_members
from wtal_eval.retrieval.pickles import load_plain

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]
Tree: TypeAlias = Mapping[str, Any]


def read_tree(source: Source) -> tuple[str, Tree]:
    """The name of a truth for messages, and its outermost object.

    Args:
        source: a JSON file, a pickle of plain data (the content tells which), or the object.

    Raises:
        EvalError: if the file cannot be read, or holds anything but one object.
    """
    if isinstance(source, Mapping):
        return "truth", source
    path = Path(source)
    # Any outer object is read with care for repeated keys; none is so bulky that it is streamed.
    tree = load_plain(path) if _is_pickle(path) else read_members(path, "", lambda key, value: None)
    return str(path), mapping(tree, f"{path}: it")


def _is_pickle(path: Path) -> bool:
    """Told from the first bytes; a file that cannot be opened is left to its reader."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(256)
    except (OSError, ValueError):
        return False
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in (b"", b"{", b"[")


def member(tree: Tree, key: str, source: str, expected: str) -> Any:
    """A member that has to be there.

    Raises:
        EvalError: if it is not.
    """
    if key not in tree:
        keys = ", ".join(shown(name) for name in list(tree)[:5]) or "nothing"
        raise EvalError(f"{source}: {key!r} is missing, expected {expected}; it holds {keys}.")
    return tree[key]


def mapping(value: Any, where: str) -> Tree:
    """`value`, sure to be an object.

    Raises:
        EvalError: if it is not.
    """
    if not isinstance(value, Mapping):
        raise EvalError(f"{where} is {shown(value)}, expected an object.")
    return value


def rows(value: Any, where: str, expected: str) -> Sequence[Any]:
    """`value`, sure to be a list or tuple.

    Raises:
        EvalError: if it is not.
    """
    if not isinstance(value, list | tuple):
        raise EvalError(f"{where} is {shown(value)}, expected {expected}.")
    return value


def name(value: Any, where: str) -> str:
    """The name of a video or event; numbers, as CC_WEB_VIDEO has them, are read as text.

    Raises:
        EvalError: if it is neither, or is empty.
    """
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise EvalError(f"{where} is {shown(value)}, expected a name.")
    return str(value)


def names(value: Any, where: str) -> frozenset[str]:
    """The names in a list, tuple or set.

    Raises:
        EvalError: if it is none of them, or holds something that is no name.
    """
    if not isinstance(value, list | tuple | set | frozenset):
        raise EvalError(f"{where} is {shown(value)}, expected a list of names.")
    return frozenset(name(item, f"{where}, an entry") for item in value)


def names_if_given(tree: Tree, key: str, source: str) -> frozenset[str] | None:
    """The names in a member that may be missing; None where it is.

    Raises:
        EvalError: if it is there and holds no names.
    """
    return names(tree[key], f"{source}: {key!r}") if key in tree else None
