"""What went wrong, in one sentence a person can act on."""

from __future__ import annotations

EXAMPLES = 5  # a broken exporter breaks every row alike: the first five tell the story
LONGEST = 60  # characters of a value shown in a message
LONGEST_MESSAGE = 2000  # characters; whoever quotes many or long names has its end cut


class EvalError(ValueError):
    """Input or options that cannot be evaluated: what, where, and what is expected instead."""

    def __init__(self, message: str) -> None:
        """Keep the message to a line that can be read, whatever it quotes of a file."""
        cut = f"{message[: LONGEST_MESSAGE - 3]}..." if len(message) > LONGEST_MESSAGE else message
        escaped = (c if c.isprintable() else repr(c)[1:-1] for c in cut)
        super().__init__(cut if cut.isprintable() else "".join(escaped)[:LONGEST_MESSAGE])


def shown(value: object) -> str:
    r"""One printable line for any value: control characters escaped, long values cut.

    Example:
        >>> print(shown("a\x1b[31m"))
        'a\x1b[31m'
    """
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def printable(name: str) -> str:
    """A name as it may be written to a terminal: without quotes, control characters escaped."""
    return name if name.isprintable() else repr(name)[1:-1]


class Faults:
    """Collects faults of one file and raises them as one sentence with at most five examples."""

    def __init__(self, source: str) -> None:
        """Start without faults; `source` is the file they are found in."""
        self.source = source
        self.examples: list[str] = []
        self.count = 0

    def add(self, where: str, field: str, value: object, expected: str) -> None:
        """Note one fault: where it is, the field, its value and what was expected instead."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            at = f"{where}, {field}" if where else field
            self.examples.append(f"{at} is {shown(value)}, expected {expected}")

    def add_missing(self, where: str, field: str, expected: str) -> None:
        """Note a field that is not there."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{where}, {field} is missing, expected {expected}")

    def add_sentence(self, sentence: str) -> None:
        """Note a fault that needs its own words."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(sentence)

    def raise_if_any(self) -> None:
        """Raise what was collected.

        Raises:
            EvalError: if any fault was added.
        """
        if self.count:
            more = "" if self.count <= EXAMPLES else f" ({EXAMPLES} of {self.count} faults shown)"
            raise EvalError(f"{self.source}: " + "; ".join(self.examples) + more)
