"""Reads a JSON file whose bulk is one object of many members, a member at a time.

The standard reader builds the whole tree and silently keeps the last of two equal keys. Here the
two outer levels are walked by hand and only the members go through the (compiled) standard reader:
repeated keys are seen, and the objects of one member are freed before the next is read. Inside a
member a repeated key leaves more colons in the text than keys in the objects.

The file comes in pieces, so that a file of any size takes the memory of its largest member.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from wtal_eval.faults import EvalError, shown

MAX_BYTES = 2 * 1024**3  # of what is read as a whole, which JSON of many videos is not
MARK = "\ufeff"  # the byte order mark that some editors put first

_PIECE = 1 << 20  # bytes read at a time
# A fault so near the end of what has been read may only be its end; the longest word of JSON is
# `-Infinity`, the longest escape 12 characters.
_NEAR = 16
_BLANKS = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


def read_members(path: Path, inner: str, visit: Callable[[str, Any], None]) -> dict[str, Any]:
    """Read the JSON object in `path`, handing each member of its member `inner` to `visit`.

    Args:
        path: the file.
        inner: key of the bulky member, `results` or `database`.
        visit: called with each key and parsed value of that object, in file order.

    Returns:
        The other members of the outer object. `inner` is in it, as None, if it was found.

    Raises:
        EvalError: if the file cannot be read, is not one JSON object, repeats a key in any object,
            or if `inner` is there and is not an object.
    """
    expected = "a JSON file"
    _refuse_other_kinds(path, expected)
    try:
        with path.open("rb") as file:
            walk = _Walk(path, file)
            try:
                return walk.run(inner, visit)
            except json.JSONDecodeError as error:
                raise walk.broken(error.msg, error.pos) from None
            except RecursionError:
                raise EvalError(
                    f"{path}: nested too deep; expected lists of label, score and segment."
                ) from None
            finally:
                walk.text = ""  # it and its careful decoder hold each other, and with them the text
    except OSError as error:
        raise _unreadable(path, error) from None


def read_text(path: Path, expected: str) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Args:
        path: the file.
        expected: what it should be, for messages.

    Raises:
        EvalError: if it cannot be read, is empty, too large or not UTF-8.
    """
    size = _refuse_other_kinds(path, expected)
    if size > MAX_BYTES:
        raise EvalError(f"{path} has {size} bytes; expected at most {MAX_BYTES}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    if not data or data.isspace():
        raise EvalError(f"{path} is empty; expected {expected}.")
    try:
        return data.decode().removeprefix(MARK)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error.start, expected) from None


def _refuse_other_kinds(path: Path, expected: str) -> int:
    """The bytes of a regular file; anything else is refused."""
    try:
        size, regular = path.stat().st_size, path.is_file()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise _unreadable(path, error) from None
    if not regular:  # pipes and devices may never end
        raise EvalError(f"{path} is a folder, pipe or device; expected {expected}.")
    return size


def _unreadable(path: Path, error: OSError | ValueError) -> EvalError:
    why = error.strerror if isinstance(error, OSError) else error
    return EvalError(f"{path} cannot be read: {why}.")


def _not_utf8(path: Path, byte: int, expected: str) -> EvalError:
    return EvalError(f"{path}: byte {byte} is not UTF-8 text; expected {expected} in UTF-8.")


class _Walk:
    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self._file = path, file
        self.text, self.at = "", 0  # a part of the file, and where in it we are
        self.start = 0  # of the last value in that part
        self.before = 0  # bytes of the file before that part
        self._read, self._ended = 0, False  # bytes read; whether these are all
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self.owner = "the file"  # of the objects that are read key by key
        self._decode_carefully = json.JSONDecoder(object_pairs_hook=self._once).raw_decode

    def run(self, inner: str, visit: Callable[[str, Any], None]) -> dict[str, Any]:
        others: dict[str, Any] = {}
        while not self.text and self._more(_PIECE):
            pass
        # The mark is one character of the text, and three bytes of the file.
        self.at = 1 if self.text.startswith(MARK) else 0
        first = self._peek()
        if not first and not self.text.strip():
            raise EvalError(f"{self.path} is empty; expected a JSON file.")
        if first != "{":
            raise self.broken("Expected a JSON object", self.at)
        for key in self._keys("the file"):
            if key != inner:
                others[key] = self._value_of(key, careful=True)
                continue
            others[key] = None
            if self._peek() != "{":
                raise EvalError(
                    f"{self.path}: {inner!r} is {shown(self._value())}, expected an object with "
                    f"one member per video."
                )
            for video in self._keys(repr(inner)):
                visit(video, self._value_of(video))
        if self._peek():
            raise self.broken("Extra data after the object", self.at)
        return others

    def broken(self, what: str, at: int) -> EvalError:
        """The error for a fault at character `at`, told in bytes, which editors and `dd` count."""
        byte = self.before + _bytes(self.text[:at])
        end = ", the end of the file: is it truncated?" if at >= len(self.text.rstrip()) else "."
        return EvalError(f"{self.path} is not valid JSON: {what} at byte {byte}{end}")

    def _keys(self, owner: str) -> Iterator[str]:
        """Yield each key of the object that starts here; the caller then reads its value."""
        self._take("{")
        seen: set[str] = set()
        if self._peek() == "}":
            self._take("}")
            return
        while True:
            if self._peek() != '"':
                raise self.broken("Expected a key in double quotes", self.at)
            key = self._value()
            if key in seen:
                raise self._twice(key, owner)
            seen.add(key)
            self._take(":")
            yield key
            if self._peek() != ",":
                break
            self._take(",")
        self._take("}")

    def _more(self, size: int) -> bool:
        """Forget what lies behind and read on, or learn that this is all; False if it was known."""
        if self._ended:
            return False
        data = self._file.read(size)
        held = len(self._utf8.getstate()[0])  # of a character that the last piece cut
        try:
            piece = self._utf8.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise _not_utf8(self.path, self._read - held + error.start, "a JSON file") from None
        self._read, self._ended = self._read + len(data), not data
        self.before += _bytes(self.text[: self.at])
        self.text, self.at = self.text[self.at :] + piece, 0
        return True

    def _peek(self) -> str:
        while True:
            match = _BLANKS.match(self.text, self.at)
            assert match is not None  # the pattern also matches nothing
            self.at = match.end()
            if self.at < len(self.text) or not self._more(_PIECE):
                return self.text[self.at : self.at + 1]

    def _take(self, mark: str) -> None:
        if self._peek() != mark:
            raise self.broken(f"Expected {mark!r}", self.at)
        self.at += 1

    def _value_of(self, key: str, *, careful: bool = False) -> Any:
        """The value that starts here, sure that none of its objects repeats a key.

        Args:
            key: whose value it is, for messages.
            careful: whether to look at every object, which takes longer than counting colons.
        """
        self._peek()
        self.owner = shown(key)
        if not careful:
            value = self._value()
            # Also unequal for colons inside strings, and for objects deeper than a row's.
            if self.text.count(":", self.start, self.at) == _keys_in(value):
                return value
            self.at = self.start
        return self._value(self._decode_carefully)

    def _value(self, decode: Callable[[str, int], tuple[Any, int]] = _decode) -> Any:
        """The value that starts here; from `start` to `at` of the text afterwards."""
        self._peek()
        size = _PIECE
        while True:
            try:
                value, end = decode(self.text, self.at)
            except json.JSONDecodeError as error:
                near_end = error.pos > len(self.text) - _NEAR
                if not (near_end or error.msg.startswith("Unterminated")) or not self._more(size):
                    raise
            except EvalError:
                raise
            except ValueError:  # Python refuses to convert integers of thousands of digits
                raise self.broken("A number with too many digits", self.at) from None
            else:
                # `1` may be the beginning of `1.5`.
                if end <= len(self.text) - _NEAR or not self._more(size):
                    self.start, self.at = self.at, end
                    return value
            size *= 2  # a large value is not begun anew for each piece

    def _once(self, members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(members)
        if len(found) < len(members):
            keys = [key for key, _ in members]
            twice = next(key for i, key in enumerate(keys) if key in keys[:i])
            raise self._twice(twice, f"an object of {self.owner}")
        return found

    def _twice(self, key: str, owner: str) -> EvalError:
        return EvalError(
            f"{self.path}: key {shown(key)} is twice in {owner}; expected each key once, "
            f"because readers keep only the last."
        )


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _keys_in(value: Any) -> int:
    """Keys of an object and of the rows in its lists, or of the rows of a list; never too many."""
    if type(value) is dict:
        return len(value) + sum(map(_keys_in, (v for v in value.values() if type(v) is list)))
    return sum(len(row) for row in value if type(row) is dict) if type(value) is list else 0
