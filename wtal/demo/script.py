"""What happens when in a video of the demo: actions, and all that is none but looks like one.

A video has a place, typical of its first action, and cuts. Before and after an action its thing
stands still (context: it comes with the tag and is not the action). Between actions other things
stand still, drift past, or stir for a moment. So a tag says little about when, and neither a place
nor a thing says that its action happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from wtal.demo.actions import ACTIONS
from wtal.demo.scenes import PLACES
from wtal.demo.sprites import TONES

CLASSES = tuple(ACTIONS)
Kind = Literal["action", "still", "drift", "stir"]


@dataclass(frozen=True)
class WorldConfig:
    """How many videos there are, and how hard they are."""

    training: int = 54
    """Videos to learn from."""
    test: int = 30
    """Other videos, to score on."""
    seconds: tuple[float, float] = (40.0, 60.0)
    """Shortest and longest video."""
    action_s: tuple[float, float] = (5.0, 10.0)
    """Shortest and longest action."""
    several: tuple[float, float] = (0.7, 0.4)
    """Share of videos with a second tag, and share of these with a third one."""
    typical: float = 0.5
    """Share of videos in the place that is typical of their first tag."""
    context: float = 0.4
    """Share of actions with their thing standing still before them; likewise after them."""
    others: float = 4.0
    """Things per minute that belong to no tag: each stands still, drifts past or stirs."""


class Event(NamedTuple):
    """One thing that is in the picture for a while."""

    kind: Kind
    action: str
    start_s: float
    end_s: float
    x: float  # of the middle of the picture, as shares of its height
    y: float
    tone: int
    tempo: float


class Script(NamedTuple):
    """One video, before it is filmed."""

    name: str
    subset: str
    place: str
    seconds: float
    events: tuple[Event, ...]

    @property
    def actions(self) -> list[Event]:
        """Those that the annotations tell of, by time."""
        return sorted((e for e in self.events if e.kind == "action"), key=lambda e: e.start_s)


def write_scripts(config: WorldConfig, generator: np.random.Generator) -> Iterator[Script]:
    """All videos, training first; every class comes equally often as a first tag."""
    for i in range(config.training + config.test):
        subset = "training" if i < config.training else "test"
        writer = _Writer(config, generator, i % len(CLASSES))
        yield writer.script(f"video_{i:04d}", subset)


class _Writer:
    """Fills the time of one video."""

    def __init__(self, config: WorldConfig, generator: np.random.Generator, first: int) -> None:
        self.config, self.rng = config, generator
        self.seconds = round(float(generator.uniform(*config.seconds)), 1)
        others = [c for c in generator.permutation(len(CLASSES)).tolist() if c != first]
        more_2 = np.cumprod(generator.random(2) < config.several).sum()
        self.tags = [first, *others[: int(more_2)]]
        self.taken: list[tuple[float, float]] = []
        self.events: list[Event] = []

    def script(self, name: str, subset: str) -> Script:
        config, rng = self.config, self.rng
        places = list(PLACES)
        typical = rng.random() < config.typical
        place = places[self.tags[0] % len(places) if typical else int(rng.integers(len(places)))]
        for tag in rng.permutation(np.repeat(self.tags, rng.integers(2, 4, len(self.tags)))):
            self._act(int(tag))
        for _ in range(rng.poisson(config.others * self.seconds / 60)):
            self._other()
        return Script(name, subset, place, self.seconds, tuple(self.events))

    def _act(self, tag: int) -> None:
        """An action with its context, if there is room."""
        config, rng = self.config, self.rng
        length = float(rng.uniform(*config.action_s))
        before, after = rng.uniform(1.0, 3.0, 2) * (rng.random(2) < config.context)
        start = self._room(before + length + after, 0.7)
        if start is None:
            return
        self.taken.append((start, start + before + length + after))
        begin, end = start + before, start + before + length
        event = self._event("action", tag, round(begin, 2), round(end, 2))
        self.events.append(event)
        if before:
            self.events.append(event._replace(kind="still", start_s=start, end_s=event.start_s))
        if after:
            self.events.append(event._replace(kind="still", start_s=event.end_s, end_s=end + after))

    def _other(self) -> None:
        """Something that is no action; it may share the picture with one."""
        kinds: tuple[Kind, ...] = ("still", "drift", "stir")
        kind = kinds[int(self.rng.integers(3))]
        length = float(self.rng.uniform(0.5, 1.0) if kind == "stir" else self.rng.uniform(2, 6))
        start = float(self.rng.uniform(0, max(0.1, self.seconds - length)))
        action = int(self.rng.integers(len(CLASSES)))
        clear = all(start + length < a or b < start for a, b in self.taken)
        if kind == "drift" or clear:
            if kind != "drift":
                self.taken.append((start, start + length))
            self.events.append(self._event(kind, action, start, start + length))

    def _event(self, kind: Kind, action: int, start_s: float, end_s: float) -> Event:
        rng = self.rng
        x, y = rng.uniform(-0.12, 0.12, 2)
        tone, tempo = int(rng.integers(TONES)), float(rng.uniform(0.85, 1.2))
        return Event(kind, CLASSES[action], start_s, end_s, float(x), float(y), tone, tempo)

    def _room(self, length: float, margin: float) -> float | None:
        """The start of a free stretch; None if none was found in a few tries."""
        for _ in range(40):
            start = float(self.rng.uniform(0.5, max(0.6, self.seconds - length - 0.5)))
            fits = start + length <= self.seconds - 0.3
            if fits and all(
                start + length + margin < a or b + margin < start for a, b in self.taken
            ):
                return start
        return None
