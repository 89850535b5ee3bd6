"""The six actions of the demo: how each thing moves.

An action has three phases that look different, as those of people do: the thing rocks, then does
what the action is named after, then glides to rest. What is most telling is the middle; all three
are the action.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple


class Pose(NamedTuple):
    """One thing of an actor, relative to where the actor stands."""

    look: str
    x: float  # px
    y: float  # px, down
    angle: float  # radians
    radius: float  # px


def _bouncing(t: float, vigour: float) -> list[Pose]:
    across = 16 * vigour * math.sin(1.5 * t)
    return [Pose("ball", across, 14 - 34 * vigour * abs(math.sin(3.4 * t)), across / 10, 13)]


def _spinning(t: float, vigour: float) -> list[Pose]:
    return [Pose("windmill", 0, 0, 6.0 * t if vigour else 0.0, 25)]


def _swinging(t: float, vigour: float) -> list[Pose]:
    angle = 1.0 * vigour * math.sin(4.2 * t)
    length = 34.0
    rope = [
        Pose("pin", -math.sin(angle) * r, -22 + math.cos(angle) * r, 0, 1.3)
        for r in range(0, 26, 3)
    ]
    x, y = -math.sin(angle) * length, -22 + math.cos(angle) * length
    return [*rope, Pose("lantern", x, y, angle, 15)]


def _juggling(t: float, vigour: float) -> list[Pose]:
    spread = 0.3 + 0.7 * vigour
    turns = [4.5 * t + k * 2 * math.pi / 3 for k in range(3)] if vigour else [0.5, 2.6, 4.7]
    return [
        Pose("pin", 18 * spread * math.cos(a), 22 * spread * math.sin(a), a, 7.5) for a in turns
    ]


def _blooming(t: float, vigour: float) -> list[Pose]:
    open_ = vigour * (0.5 - 0.5 * math.cos(4.4 * t))
    return [Pose("flower", 0, 0, 0.4 * open_, 12 + 12 * open_)]


def _darting(t: float, vigour: float) -> list[Pose]:
    def triangle(turns: float) -> float:
        return 4 * abs(turns % 1.0 - 0.5) - 1

    x, y = 26 * vigour * triangle(0.45 * t + 0.25), 14 * vigour * triangle(1.3 * t + 0.25)
    left = (0.45 * t + 0.25) % 1.0 < 0.5
    return [Pose("fish", x, y, math.pi if left and vigour else 0.0, 18)]


ACTIONS: dict[str, Callable[[float, float], list[Pose]]] = {
    "blooming": _blooming,
    "bouncing": _bouncing,
    "darting": _darting,
    "juggling": _juggling,
    "spinning": _spinning,
    "swinging": _swinging,
}

ROCKING, GLIDING = 0.35, 0.65  # shares of an action at which its first phase ends, its last begins


def acting(action: str, t: float, share: float) -> list[Pose]:
    """The things of an action.

    Args:
        action: one of `ACTIONS`.
        t: seconds since it began.
        share: of its length that has passed.
    """
    if ROCKING <= share < GLIDING:
        return ACTIONS[action](t, 1.0)
    still = ACTIONS[action](0.0, 0.0)
    if share < ROCKING:
        return [_turned(pose, 0.5 * math.sin(7 * t)) for pose in still]
    x, y = 16 * math.sin(2.6 * t), 8 * math.cos(2.6 * t)
    return [pose._replace(x=pose.x + x, y=pose.y + y) for pose in still]


def _turned(pose: Pose, angle: float) -> Pose:
    """Turned around where the actor stands."""
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = cos * pose.x - sin * pose.y, sin * pose.x + cos * pose.y
    return pose._replace(x=x, y=y, angle=pose.angle + angle)
