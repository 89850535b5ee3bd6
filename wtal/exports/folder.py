"""A folder that an export owns: refused where it holds something else, never two exports mixed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wtal.errors import WtalError
from wtal.exports.job import Job, Video
from wtal.exports.text import Names
from wtal_features import FeatureError
from wtal_features.files import (
    TEMPORARY_PREFIX,
    atomic_write,
    check_name,
    lock,
    make_folder,
    no_follow,
    read_text,
    sweep,
)

MARKER = (
    ".wtal-export"  # JSON lines: the format that the folder is of, then the files that are ours
)
_OWN = {MARKER, ".lock"}


class Folder:
    """The folder while an export writes into it."""

    def __init__(self, root: Path) -> None:
        """Take a folder whose marker names the format already."""
        self.root = root
        self.written: set[str] = set()

    def file(self, name: str) -> Path:
        """The path to write a file at; noted first, so that a stopped export leaves none unknown.

        Args:
            name: One or two path components with `/`, each a plain file name.

        Raises:
            FeatureError: If it is not, or its folder cannot be made.
        """
        for part in name.split("/"):
            check_name(part)
        _append(self.root, name)
        path = self.root / name
        make_folder(path.parent)
        self.written.add(name)
        return path

    def write(self, name: str, content: bytes) -> None:
        """Write one file, whole or not at all."""
        with atomic_write(self.file(name)) as file:
            file.write(content)


def refuse_foreign(folder: Path, format_name: str) -> None:
    """Refuse a folder with content that no export to this format made.

    Raises:
        WtalError: Naming what is there.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise WtalError(f"--out {folder} is a file; an export to {format_name} makes a folder.")
    made, _ = _read(folder)
    if made == format_name:
        return
    if made:
        raise WtalError(f"{folder} holds an export to {made}; choose another folder for --out.")
    names = sorted(path.name for path in folder.iterdir() if path.name not in _OWN)
    # A kill may come while the first marker is written.
    found = [name for name in names if not name.startswith(TEMPORARY_PREFIX)]
    if found:
        raise WtalError(
            f"{folder} holds {found[0]!r} and was not made by an export to {format_name}; "
            "choose a new or empty folder for --out."
        )


@contextmanager
def owned(folder: Path, format_name: str) -> Iterator[Folder]:
    """Write an export into a folder; afterwards, of ours, only this export's files are in it.

    Args:
        folder: Made where it is missing.
        format_name: Of the export.

    Raises:
        WtalError: If it holds something else.
        FeatureError: If it cannot be written, or another export is at work there.
    """
    refuse_foreign(folder, format_name)
    make_folder(folder)
    with lock(folder):
        sweep(folder)
        _, before = _read(folder)
        if not before:
            _mark(folder, format_name, ())
        inside = Folder(folder)
        yield inside
        for name in sorted(set(before) - inside.written):
            _remove(folder, name)
        _mark(folder, format_name, sorted(inside.written))


def per_video(
    job: Job, format_name: str, suffix: str, render: Callable[[Video], Iterable[bytes]]
) -> dict[str, str]:
    """Write the files of each video: `a.edl`, and if there are more, `a.part2.edl`, ...

    Returns:
        Video -> why it was left out.
    """
    faults: dict[str, str] = {}
    names = Names()
    with owned(job.out, format_name) as folder:
        for done, video in enumerate(job.videos, 1):
            try:
                check_name(video.name, suffix)
                for part, content in enumerate(render(video), 1):
                    name = video.name + (f".part{part}" if part > 1 else "") + suffix
                    if names.take(name) != name:
                        raise FeatureError(
                            f"{name} is there already, but for upper and lower case.",
                            "Rename the video: on many systems the two are one file.",
                            code="name",
                        )
                    folder.write(name, content)
            except FeatureError as error:
                faults[video.name] = str(error)
            job.progress(done, len(job.videos))
    return faults


def _mark(folder: Path, format_name: str, names: Iterable[str]) -> None:
    with atomic_write(folder / MARKER) as file:
        for text in (format_name, *names):
            file.write(json.dumps(text).encode() + b"\n")


def _append(folder: Path, name: str) -> None:
    with open(folder / MARKER, "ab", opener=no_follow) as file:
        file.write(json.dumps(name).encode() + b"\n")


def _read(folder: Path) -> tuple[str, list[str]]:
    """Format and files as the marker of a folder has them; empty without one."""
    path = folder / MARKER
    if not path.is_file():
        return "", []
    lines = []
    for line in read_text(path).splitlines():
        with suppress(ValueError, RecursionError):  # the last one of an export that was killed
            lines.append(json.loads(line))
    texts = [line for line in lines if isinstance(line, str)]
    return (texts[0], texts[1:]) if texts else ("", [])


def _remove(folder: Path, name: str) -> None:
    """Remove a file of an earlier export; a marker, which anybody may write, leads nowhere else."""
    parts = name.split("/")
    try:
        for part in parts:
            check_name(part)
    except FeatureError:
        return
    parents = [folder.joinpath(*parts[:i]) for i in range(1, len(parts))]
    if any(parent.is_symlink() for parent in parents):
        return
    with suppress(OSError):
        (folder / name).unlink(missing_ok=True)
        for parent in reversed(parents):
            parent.rmdir()  # refused while something is in it
