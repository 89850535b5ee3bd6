"""The shares of `wtal localize`: one journal each, and one result when all have theirs.

They lie beside the result in a hidden folder, `.detections.shards/2-of-4/`. Whichever share finds
all N finished joins them, so no command waits for another. An undivided run is share 1 of 1. A
small hidden file beside the result tells a later run that nothing has changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wtal import __version__
from wtal.checkpoint import MODEL_FILE
from wtal.context import CONTEXT_FILE
from wtal.journal import JOURNAL, is_finished, read_lines, source_of, work_in
from wtal.results import Entry, write_entries, write_skipped
from wtal_features import FeatureError, FeatureStore
from wtal_features.checkpoints.reading import sha256_of
from wtal_features.files import lock, make_folder, read_json, sweep, write_json
from wtal_features.shards import Shard, shards_of


@dataclass(frozen=True)
class Place:
    """Where a result goes.

    Attributes:
        whole: the result file.
        skipped: the list of videos that were left out.
    """

    whole: Path
    skipped: Path

    @property
    def shards(self) -> Path:
        """The folder of the shares."""
        return self.whole.with_name(f".{self.whole.stem}.shards")

    @property
    def mark(self) -> Path:
        """What a finished result was made from."""
        return self.whole.with_name(f".{self.whole.stem}.done.json")

    def journal(self, shard: Shard) -> Path:
        """The file of one share."""
        return self.shards / shard.name / JOURNAL

    def names(self, work: str) -> Path:
        """The list of all videos, for `wtal doctor`."""
        return self.shards / f".videos-{work[:16]}.json"


def work_of(run: Path, overrides: Sequence[str], videos: Sequence[str], calibration: object) -> str:
    """A digest of what decides a result besides the features: shares of one result agree in it."""
    told = [__version__, list(overrides), list(videos), calibration]
    digest = hashlib.sha256(json.dumps(told).encode())
    for name in ("config.yaml", MODEL_FILE, CONTEXT_FILE):
        if (run / name).is_file():
            digest.update(sha256_of(run / name).encode())
    return digest.hexdigest()


def remember_names(place: Place, work: str, videos: Sequence[str]) -> None:
    """Write down which videos there are, if no other share has."""
    make_folder(place.shards)
    if not place.names(work).exists():
        write_json(place.names(work), {"work": work, "videos": list(videos)})


def is_current(place: Place, work: str, store: FeatureStore, videos: Sequence[str]) -> bool:
    """Whether the result is there, complete, and nothing that it was made from has changed."""
    try:
        mark = read_json(place.mark)
        if not isinstance(mark, dict) or mark.get("work") != work:
            return False
        if mark.get("result") != _stamp(place.whole):
            return False
    except (FeatureError, OSError):
        return False
    digest = hashlib.sha256()
    for video in videos:
        digest.update(_source_bytes(video, source_of(store, video)))
    if mark.get("sources") == digest.hexdigest():
        return True
    place.mark.unlink(missing_ok=True)  # so that no other share compares all videos again
    return False


def tidy(place: Place, *, whole: bool) -> None:
    """Remove what killed runs left half-written; and their shares, where the result is whole."""
    sweep(place.whole.absolute().parent)
    if whole and place.shards.exists():
        with suppress(FeatureError), lock(place.shards):  # locked: another is at it
            shutil.rmtree(place.shards, ignore_errors=True)


def join_if_complete(shard: Shard, place: Place, work: str, details: dict[str, object]) -> str:
    """Join the shares if all are there and of one work; a sentence on what is so.

    Args:
        shard: the one that was just finished.
        place: where they are, and where the result goes.
        work: what all of them must have been begun with.
        details: for the result's `external_data`.
    """
    shards = shards_of(shard.count)
    missing = [each.name for each in shards if not is_finished(place.journal(each))]
    if missing:
        return f"{len(missing)} of {shard.count} shards are to come, such as {missing[0]}"
    strange = [each.name for each in shards if work_in(place.journal(each)) != work]
    if strange:
        return (
            f"not joined: {strange[0]} is of another model, config, calibration or list of videos; "
            "localize that shard again"
        )
    try:
        with lock(place.shards):
            if not all(is_finished(place.journal(each)) for each in shards):
                return "another share has joined them all"
            _join(shards, place, work, details)
    except FeatureError as error:
        if not place.shards.exists():
            return "another share has joined them all"
        if error.code != "locked":
            raise
        return "another share is joining them all"
    shutil.rmtree(place.shards, ignore_errors=True)
    return f"{place.whole}: {shard.count} shards joined"


def _join(shards: Sequence[Shard], place: Place, work: str, details: dict[str, object]) -> None:
    """Line by line: memory does not grow with the videos."""
    skipped: dict[str, str] = {}
    sources = hashlib.sha256()

    def entries() -> Iterator[Entry]:
        for shard in shards:
            for line in read_lines(place.journal(shard)):
                sources.update(_source_bytes(line.video, line.source))
                if line.entry is None:
                    skipped[line.video] = line.fault
                else:
                    yield line.entry

    write_entries(place.whole, entries(), details)
    write_skipped(place.skipped, skipped)
    if skipped:  # tried again next time: what could not be read may have been away for a moment
        place.mark.unlink(missing_ok=True)
        return
    told = {"work": work, "sources": sources.hexdigest(), "result": _stamp(place.whole)}
    write_json(place.mark, told)


def _stamp(path: Path) -> list[int]:
    """A result that was changed by hand is none of ours any more."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _source_bytes(video: str, source: str) -> bytes:
    return json.dumps([video, source]).encode()
