"""URLs of videos: relative, percent-encoded, and nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

from wtal.errors import WtalError

# No scheme, no host, no root, no backslash, no space or control character, which browsers drop.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ALLOWED = re.compile(r"[!$%&'()*+,;=@A-Za-z0-9._~/-]+")


def media_url(video: Path, folder: Path) -> str | None:
    """The URL by which a page in `folder` plays `video`.

    Args:
        video: The file.
        folder: Where the page will lie.

    Returns:
        Relative and percent-encoded; None where no relative path leads there (another drive).

    Example:
        >>> media_url(Path("a/clips/x #1.mp4"), Path("a"))
        'clips/x%20%231.mp4'
    """
    try:
        path = os.path.relpath(video.absolute(), folder.absolute())
    except ValueError:  # another drive on Windows
        return None
    # A name may hold bytes that are no UTF-8; percent-encoding keeps them as they are.
    return "/".join(quote(os.fsencode(part), safe="") for part in Path(path).parts)


def check_media(url: str) -> None:
    """Refuse what is no relative, percent-encoded URL.

    Raises:
        WtalError: If it has a scheme or host, starts at a root, or holds a raw character.
    """
    if _SCHEME.match(url) or url.startswith("/") or not _ALLOWED.fullmatch(url):
        raise WtalError(
            f"The URL {url[:80]!r} of a video is refused; expected a relative, percent-encoded "
            "path from the page to the video, such as videos/a%20b.mp4."
        )
