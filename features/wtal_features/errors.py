"""One fault raised, and one fault reported."""

from dataclasses import dataclass
from typing import Literal

LONGEST_MESSAGE = 2000  # characters; of one that quotes a file at length the end is cut


def legible(text: str) -> str:
    r"""A message as it may be written to a terminal, whatever name or value of a file it quotes.

    Args:
        text: What cannot be printed in it is escaped: a file shall not steer a terminal.

    Example:
        >>> print(legible("a\x1b[31m\n"))
        a\x1b[31m\n
    """
    cut = text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 3]}..."
    return cut if cut.isprintable() else "".join(map(_escaped, cut))


def _escaped(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


class FeatureError(ValueError):
    """Something about the user's input that the user can mend.

    Args:
        problem: What is wrong, where, what was expected and what was found; a sentence.
        cure: What to do about it; a sentence, or nothing when the problem says it.
        code: A short stable name of the kind of fault, for programs (`"dtype"`, `"nan"`).

    Example:
        >>> str(FeatureError("a.npy is empty.", "Extract it again.", code="empty"))
        'a.npy is empty. Extract it again.'
    """

    def __init__(self, problem: str, cure: str = "", *, code: str = "input") -> None:
        """Join problem and cure into the message; keep the parts."""
        problem, cure = legible(problem), legible(cure)
        super().__init__(f"{problem} {cure}" if cure else problem)
        self.problem, self.cure, self.code = problem, cure, code


@dataclass(frozen=True)
class Finding:
    """A fault that does not stop the work on the other videos.

    Attributes:
        code: Short stable name of the kind of fault.
        where: The video or file it concerns.
        message: What was expected and what was found.
        cure: What to do about it.
        severity: `"error"` when the video cannot be used, `"warning"` when it can.
    """

    code: str
    where: str
    message: str
    cure: str = ""
    severity: Literal["error", "warning"] = "error"

    @classmethod
    def of(cls, error: FeatureError, where: str) -> "Finding":
        """The finding that reports a raised `error` about `where`."""
        return cls(error.code, where, error.problem, error.cure)

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.severity} [{self.code}] {self.where}: {self.message} {self.cure}".rstrip()


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "video"), counted(2, "video"), counted(0, "class", "classes")
        ('1 video', '2 videos', '0 classes')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"
