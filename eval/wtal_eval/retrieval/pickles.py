"""Read a pickle of plain data without running it.

A pickle is a program for a stack machine. `pickle` itself executes it, and may import and call on
the way whatever the file names. This machine knows numbers, texts, lists, tuples, dictionaries and
sets, and no more: it has nothing to import with. The public annotation files need no other.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wtal_eval.faults import EvalError, shown

MAX_BYTES = 256 * 1024**2  # the public files have a few MB
MAX_DEPTH = 16  # events in events, sets in them, names in those; deeper is no annotation

# How protocols 0 to 3 write a set: the name, a list, and a call. Python 2 had another module.
_SETS: dict[str, type[set[Any]] | type[frozenset[Any]]] = {
    f"{module} {kind.__name__}": kind
    for module in ("builtins", "__builtin__")
    for kind in (set, frozenset)
}
# Instructions whose argument is the value. Bytes and integers of more than 255 bytes (LONG4) are
# not plain here.
_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),  # of Python 2
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
)
# Instructions that put something new on the stack, without an argument.
_NEW: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_IDLE = ("PROTO", "FRAME", "STOP")


class _RefusedError(Exception):
    """The pickle asks for something that plain data does not need."""


def load_plain(path: Path) -> Any:
    """The value in a pickle of numbers, texts, lists, tuples, dictionaries and sets.

    Texts of Python 2 are read as Latin-1. Time and memory are bounded by the size of the file.

    Args:
        path: a regular file.

    Raises:
        EvalError: if it cannot be read, is damaged or too large, or asks for anything else.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = error.strerror if isinstance(error, OSError) else error
        raise EvalError(f"{path} cannot be read: {why}.") from None
    if size > MAX_BYTES:
        raise EvalError(f"{path} has {size} bytes; expected at most {MAX_BYTES} in a pickle.")
    machine = _Machine(len(data))
    try:
        with warnings.catch_warnings():  # of backslashes in texts of damaged files
            warnings.simplefilter("error")
            value = machine.run(data)
        machine.measure(value)
    except _RefusedError as error:
        raise EvalError(
            f"{path}: the pickle holds {error}; expected numbers, texts, lists, dictionaries and "
            f"sets only, and nothing of it was run."
        ) from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, Warning):
        raise EvalError(
            f"{path} is neither JSON nor an undamaged pickle; expected an annotation file."
        ) from None
    return value


class _Machine:
    """Stack, marks and memo of a pickle; `left` is how many values it may still make by copying."""

    def __init__(self, size: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.left = size
        push = self.stack.append
        self.acts: dict[str, Callable[[Any], None]] = {
            "APPEND": lambda _: self._extend([self.stack.pop()]),
            "APPENDS": lambda _: self._extend(self._marked()),
            "SETITEM": lambda _: self._update(self._last(2)),
            "SETITEMS": lambda _: self._update(self._marked()),
            "ADDITEMS": lambda _: self._add(self._marked()),
            "LIST": lambda _: push(self._marked()),
            "TUPLE": lambda _: push(tuple(self._marked())),
            "TUPLE1": lambda _: push(tuple(self._last(1))),
            "TUPLE2": lambda _: push(tuple(self._last(2))),
            "TUPLE3": lambda _: push(tuple(self._last(3))),
            "DICT": lambda _: push(_paired(self._marked())),
            "FROZENSET": lambda _: push(frozenset(map(_key, self._marked()))),
            "MARK": lambda _: self.marks.append(len(self.stack)),
            "GLOBAL": self._name,
            "STACK_GLOBAL": lambda _: self._name(" ".join(map(str, self._last(2)))),
            "REDUCE": lambda _: self._make_set(*self._last(2)),
            "MEMOIZE": lambda _: self._remember(len(self.memo)),
        }
        self.acts |= dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._remember)
        self.acts |= dict.fromkeys(
            ("GET", "BINGET", "LONG_BINGET"), lambda place: push(self.memo[place])
        )
        self.acts |= dict.fromkeys(_VALUES, push)
        self.acts |= dict.fromkeys(_IDLE, lambda _: None)

    def run(self, data: bytes) -> Any:
        """The one value that the program leaves."""
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _NEW:
                self.stack.append(_NEW[opcode.name]())
            elif opcode.name in self.acts:
                self.acts[opcode.name](argument)
            else:
                raise _RefusedError(f"the instruction {opcode.name}")
        (value,) = self.stack
        return value

    def measure(self, value: Any, depth: int = 0) -> None:
        """Refuse a value in which shared parts make more values than the file has bytes.

        Whoever walks through it afterwards need not fear lists of themselves, or 2^40 of one.
        """
        self._spend(1)
        if depth > MAX_DEPTH:
            raise _RefusedError(f"values nested deeper than {MAX_DEPTH}")
        if isinstance(value, type):
            raise _RefusedError(f"the type {value.__name__!r} as a value")
        if isinstance(value, dict):
            self._spend(len(value))  # the keys, plain each
            value = value.values()
        elif not isinstance(value, list | tuple | set | frozenset):
            return
        for item in value:
            self.measure(item, depth + 1)

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise _RefusedError("more values than the file has bytes")

    def _marked(self) -> list[Any]:
        """Take what lies above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _last(self, count: int) -> list[Any]:
        items = self.stack[-count:]
        if len(items) < count:
            raise IndexError
        del self.stack[-count:]
        return items

    def _extend(self, items: list[Any]) -> None:
        self._top(list).extend(items)

    def _update(self, items: list[Any]) -> None:
        self._top(dict).update(_paired(items))

    def _add(self, items: list[Any]) -> None:
        self._top(set).update(map(_key, items))

    def _top(self, kind: type[Any]) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError
        return self.stack[-1]

    def _name(self, full_name: str) -> None:
        if full_name not in _SETS:
            raise _RefusedError(f"the name {shown(full_name.replace(' ', '.'))}")
        self.stack.append(_SETS[full_name])

    def _make_set(self, kind: Any, arguments: Any) -> None:
        if kind not in (set, frozenset) or type(arguments) is not tuple:
            raise _RefusedError("a call of something that is no set")
        (items,) = arguments
        if type(items) is not list:
            raise _RefusedError("a set made of something that is no list")
        self._spend(len(items))  # the list can be used again
        self.stack.append(kind(map(_key, items)))

    def _remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]


def _paired(items: list[Any]) -> dict[Any, Any]:
    keys = map(_key, items[::2])
    return dict(zip(keys, items[1::2], strict=True))


def _key(value: Any) -> Any:
    """A key or member: texts and numbers alone, since nested tuples may be too deep to hash."""
    if type(value) not in (str, int):
        raise _RefusedError(f"a key or member of type {type(value).__name__}")
    return value
