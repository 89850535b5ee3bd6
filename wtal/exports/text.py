"""Text that comes from labels and names, made fit for files that others read."""

from __future__ import annotations

import hashlib
import unicodedata

from wtal_features.errors import FeatureError
from wtal_features.files import check_name

LONGEST_BYTES = 120  # of a name made from a label or video; the parts of a file name add to it
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str) -> str:
    r"""Text on one line and valid in XML 1.0: what cannot stand there is replaced.

    Example:
        >>> one_line("a\nb"), one_line("a\x00b")
        ('a b', 'a\ufffdb')
    """
    return "".join(map(_character, text))


def _character(character: str) -> str:
    category = unicodedata.category(character)
    if character in "\t\n\r" or category in {"Zl", "Zp"}:
        return " "
    # XML has no control characters, lone surrogates, U+FFFE and U+FFFF.
    banned = category in {"Cc", "Cs"} or ord(character) in (0xFFFE, 0xFFFF)
    return REPLACEMENT if banned else character


def encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate, which has none, is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def score_text(score: float | None) -> str:
    """Four digits; empty without a score.

    Example:
        >>> score_text(0.83333), score_text(None)
        ('0.8333', '')
    """
    return "" if score is None else f"{score:.4g}"


def safe_name(text: str) -> str:
    """A file name made from any text; a hash tells names apart that were changed.

    Example:
        >>> safe_name("long jump")
        'long jump'
        >>> safe_name("../x").startswith("___x-")
        True
    """
    plain = unicodedata.normalize("NFC", text)
    try:
        check_name(plain)
        if plain == text and len(plain.encode()) <= LONGEST_BYTES:
            return plain
    except FeatureError:
        pass
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    letters = (c if c.isalnum() or c in " -_" else "_" for c in plain)
    kept = "".join(letters).encode("utf-8", "ignore")[: LONGEST_BYTES - 9].decode("utf-8", "ignore")
    return f"{kept.strip() or '_'}-{digest}"


class Names:
    """Gives each text a name of its own, where upper and lower case count as one."""

    def __init__(self) -> None:
        """Start with no name taken."""
        self._taken: set[str] = set()

    def take(self, name: str, form: str = "{name} ({n})") -> str:
        """The name itself, or with the first free number from 2 on.

        Args:
            name: Wanted.
            form: How a number is added.
        """
        found, n = name, 1
        while (key := found.casefold()) in self._taken:
            n += 1
            found = form.format(name=name, n=n)
        self._taken.add(key)
        return found
