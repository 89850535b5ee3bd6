"""What a page must not tell: where things lie on the machine that made it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

# `/home/me/videos/`, `C:\videos\`, `../videos/`: folders in front of a name.
_FOLDERS = re.compile(r"(?<![\w.])(?:[A-Za-z]:|~|\.{1,2})?[\\/](?=\S)(?:[^\s'\"<>:;,|\\/]+[\\/])*")


def without_folders(text: str, known: Iterable[Path | None] = ()) -> str:
    """A message in which files have lost the folders that they lie in.

    Args:
        text: any message.
        known: folders that are cut out first, for a pattern cannot tell where a name with spaces
            ends.

    Example:
        >>> without_folders("/my data/a.mp4 cannot be read; see ../b/c.txt.", [Path("/my data")])
        'a.mp4 cannot be read; see c.txt.'
    """
    folders = {str(form) for path in known if path is not None for form in (path, path.resolve())}
    for folder in sorted(folders - {".", os.sep}, key=len, reverse=True):
        text = text.replace(folder + os.sep, "")
        text = text.replace(folder, os.path.basename(folder))
    return _FOLDERS.sub("", text)
