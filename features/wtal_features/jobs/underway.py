"""A work that was begun and is not finished: its shards, and what is done, skipped and missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wtal_features.errors import Finding, counted
from wtal_features.shards import Shard, shards_of

_SHOWN = 20  # shards that are named


@dataclass
class UnderWay:
    """What there is of it, put together from the files of all shards.

    Attributes:
        where: The store or the result.
        what: What a video gets: features, detections.
        finished: Shards that came to their end.
        begun: Shards that are at work or were stopped.
        done: Videos that have it.
        skipped: Videos that were tried, and why they have none.
        missing: Videos that are neither, and the shard that each belongs to; None where it is not
            known which videos there are.
    """

    where: Path
    what: str
    finished: list[Shard] = field(default_factory=list)
    begun: list[Shard] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    missing: dict[str, Shard | None] | None = None

    def add(self, shard: Shard, *, finished: bool) -> None:
        """Note how far a shard is."""
        (self.finished if finished else self.begun).append(shard)

    @property
    def shards(self) -> list[Shard]:
        """Of the division; where two were begun, of that with more shards here. None: no shards."""
        counts = [shard.count for shard in (*self.finished, *self.begun)]
        if not counts:
            return []
        return shards_of(max(set(counts), key=lambda count: (counts.count(count), count)))

    def settle(self, videos: Sequence[str] | None) -> None:
        """Find out what is missing.

        Args:
            videos: All there are, in their order; None if that is not known.
        """
        self.skipped = {v: why for v, why in self.skipped.items() if v not in self.done}
        if videos is None:
            return
        parts: list[tuple[Shard | None, list[str]]] = [(s, s.of(videos)) for s in self.shards]
        known = self.done | self.skipped.keys()
        self.missing = {
            video: shard
            for shard, part in parts or [(None, list(videos))]
            for video in part
            if video not in known
        }

    def facts(self) -> list[str]:
        """For a person, one line each."""
        missing = "an unknown number" if self.missing is None else str(len(self.missing))
        counts = (
            f"{self.where} is not finished: {counted(len(self.done), 'video')} done, "
            f"{len(self.skipped)} skipped, {missing} missing"
        )
        shards = self.shards
        if not shards:
            return [counts]
        states = dict.fromkeys(shards, "not begun")
        states |= dict.fromkeys(self.begun, "at work or stopped")
        states |= dict.fromkeys(self.finished, "done")
        parts = [f"{sum(states[s] == 'done' for s in shards)} of {len(shards)} shards done"]
        for state in ("at work or stopped", "not begun"):
            names = [shard.word for shard, found in states.items() if found == state]
            if names:
                more = " ..." if len(names) > _SHOWN else ""
                parts.append(f"{state}: {' '.join(names[:_SHOWN])}{more}")
        return [counts, "; ".join(parts)]

    def findings(self) -> list[Finding]:
        """What is skipped and what is missing, by name, each with its cure."""
        found = [
            Finding("skipped", video, why, severity="warning")
            for video, why in sorted(self.skipped.items())
        ]
        if self.missing is None:
            text = "Which videos there are cannot be seen from here, nor which are missing."
            cure = "Run doctor where the work runs."
            found.append(Finding("unfinished", str(self.where), text, cure))
        elif not self.missing:
            last = f"--shard {self.shards[-1].word}" if self.shards else "the same command"
            text = "Every video is done or skipped; the last step, which joins them, is to come."
            found.append(Finding("unfinished", str(self.where), text, f"Run {last} again."))
        for video, shard in (self.missing or {}).items():
            cure = "Run the same command again." if shard is None else f"Run --shard {shard.word}."
            found.append(Finding("not-done", video, f"Its {self.what} are missing.", cure))
        return found
