"""`wtal localize --shard i/N`: a share of the videos each, and one result when all have theirs.

A shard is a result file of its own, `detections-1-of-4.json`. Whichever shard finds all N in place
joins them, so no command waits for another; two that finish together write the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wtal.results import EXTERNAL, SCORES
from wtal_features.files import atomic_write
from wtal_features.shards import Shard


def work_of(run: Path, overrides: Sequence[str], videos: Sequence[str]) -> str:
    """A digest of model, config and videos: what the shards of one result have in common."""
    digest = hashlib.sha256(json.dumps([list(overrides), list(videos)]).encode())
    for name in ("config.yaml", "model.safetensors"):
        digest.update(hashlib.sha256((run / name).read_bytes()).digest())
    return digest.hexdigest()


def join_if_complete(shard: Shard, whole: Path, details: dict[str, object]) -> str:
    """Join the shards if all are there and of one work; a sentence on what is so.

    Args:
        shard: the one that was just written.
        whole: the joined result file.
        details: for its `external_data`; `work` is what the shards must have, too.
    """
    parts = shard.files(whole)
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        return f"{len(missing)} of {shard.count} shards are to come, such as {missing[0]}"
    strange = [part.name for part in parts if _details(part).get("work") != details["work"]]
    if strange:
        return (
            f"not joined: {strange[0]} is of another model, config or list of videos; "
            "localize that shard again"
        )
    _join(parts, whole, details)
    return f"{whole}: {shard.count} shards joined"


def _join(parts: Sequence[Path], whole: Path, details: dict[str, object]) -> None:
    """Line by line, as `write_results` wrote them: memory does not grow with the videos."""
    with atomic_write(whole) as file, tempfile.TemporaryFile() as scores:
        separators = {file: b"\n", scores: b"\n"}
        for number, part in enumerate(parts):
            with part.open("rb") as source:
                head, target = source.readline(), file
                if number == 0:
                    file.write(head.rstrip(b"\n"))
                for line in source:
                    if line.startswith(SCORES):
                        target = scores
                    elif line.startswith(EXTERNAL):
                        break
                    else:
                        target.write(separators[target] + line.rstrip(b",\n"))
                        separators[target] = b",\n"
        file.write(b"\n" + SCORES)
        scores.seek(0)
        while block := scores.read(1 << 20):
            file.write(block)
        file.write(b"\n" + EXTERNAL + json.dumps(details, ensure_ascii=False).encode() + b"}\n")


def _details(path: Path) -> dict[str, Any]:
    """`external_data` of a shard; empty if it is no file of ours."""
    with path.open("rb") as file:
        for line in file:
            if line.startswith(EXTERNAL):
                try:
                    found = json.loads(line.removeprefix(EXTERNAL).rstrip().removesuffix(b"}"))
                except ValueError:
                    return {}
                return found if isinstance(found, dict) else {}
    return {}
