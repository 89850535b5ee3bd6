"""The shares of `--shard i/N` -> one store, by whichever share is done last.

A share is a store of its own, `OUT/.shards/2-of-4`. Joining moves its arrays; a join that was
stopped is taken up by running any share again.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from wtal_features.errors import FeatureError
from wtal_features.extraction.listing import VideoFile
from wtal_features.extraction.report import read_skipped, write_skipped
from wtal_features.extraction.sources import Sources
from wtal_features.files import TEMPORARY_PREFIX, lock
from wtal_features.manifest import MANIFEST
from wtal_features.shards import Shard, begun, shards_of
from wtal_features.writer import JOURNAL, StoreWriter, read_head

SHARDS = ".shards"

WriterOf = Callable[[Path], StoreWriter]  # a writer of a folder, with the settings of this run


def folder_of(out: Path, shard: Shard) -> Path:
    """Where a share lies until it is joined."""
    return out / SHARDS / shard.name


def look_around(out: Path, shard: Shard, writer_of: WriterOf) -> Mapping[str, Mapping[str, object]]:
    """Refuse to begin a share that could not be joined with what is there.

    Args:
        out: The store.
        shard: The share to be begun.
        writer_of: Makes writers.

    Returns:
        Entries of the videos that the store itself holds.

    Raises:
        FeatureError: If the store or another share was made with other settings, or `out` holds
            something else.
    """
    # One of them speaks for all: each was compared with one before it began, and all are once more
    # before they are joined. A thousand shares that read a thousand others would take hours.
    for other in begun(out / SHARDS)[:1]:
        writer_of(folder_of(out, other)).peek()
    return writer_of(out).peek()


def join_if_complete(
    out: Path, shard: Shard, files: Sequence[VideoFile], writer_of: WriterOf
) -> str:
    """Join the shares if all are there.

    Args:
        out: The store.
        shard: The share that was just finished.
        files: The videos of all shares.
        writer_of: Makes writers.

    Returns:
        A sentence on what is so.

    Raises:
        FeatureError: If a share was made with other settings, or another run is at the store.
    """
    folders = _folders(out, shard.count)
    missing = [folder.name for folder in folders if not _is_finished(folder)]
    if missing:
        return f"{len(missing)} of {shard.count} shares are to come, such as {missing[0]}"
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(out / SHARDS))
        except FeatureError as error:
            if not (out / SHARDS).exists():
                return "another share has joined them all"
            if error.code != "locked":
                raise
            return "another share is joining them all"
        if not all(map(_is_finished, folders)):
            return "another share has joined them all"
        late = _join(out, folders, files, writer_of)
        # In one step, so that no half of the shares is left to be joined once more.
        waste = out / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        os.replace(out / SHARDS, waste)
    shutil.rmtree(waste)
    if late:
        return (
            f"{shard.count} shares joined; {len(late)} videos came after their share was done, "
            f"such as {late[0]}: run the shares again"
        )
    return f"{shard.count} shares joined"


def _join(
    out: Path, folders: Sequence[Path], files: Sequence[VideoFile], writer_of: WriterOf
) -> list[str]:
    """Move everything; videos that are in no share."""
    skipped: dict[str, str] = {}
    sources = Sources(out)
    with writer_of(out) as whole:
        for folder in folders:  # all of them, before the first is moved
            whole.check_settings(folder / MANIFEST, read_head(folder / MANIFEST))
        for folder in folders:
            whole.adopt(folder)
            skipped |= read_skipped(folder)
            sources.learn(folder)
        sources.save()
        write_skipped(out, skipped)
        known = skipped.keys() | set(whole.videos)
    return [file.video for file in files if file.video not in known]


def _folders(out: Path, count: int) -> list[Path]:
    return [folder_of(out, shard) for shard in shards_of(count)]


def _is_finished(folder: Path) -> bool:
    """A journal beside the manifest is that of a run that goes on."""
    return (folder / MANIFEST).exists() and not (folder / JOURNAL).exists()
