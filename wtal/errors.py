"""The exception for problems that the user can mend: a sentence, never a traceback."""

from __future__ import annotations

from wtal_features.errors import legible


class WtalError(ValueError):
    """What is wrong, where, what was expected, and how to mend it, in one or two sentences."""

    def __init__(self, message: str) -> None:
        """Keep the message to what a terminal can show."""
        super().__init__(legible(message))


class Stopped(WtalError):  # noqa: N818 - it is none
    """Ctrl-C or SIGTERM came, which is no fault: what is kept, and how to go on."""
