"""The one exception for problems that the user can mend: a sentence, never a traceback."""

from __future__ import annotations


class WtalError(ValueError):
    """What is wrong, where, what was expected, and how to mend it, in one or two sentences."""
