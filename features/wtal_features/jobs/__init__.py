"""Shares of a work, done side by side: the drivers `processes` and `ray_tasks`, and what they call.

The work is a function of one share (`extract` and `localize` have one each). It skips what is
valid, leaves nothing half-written, and may be called again after any kind of end; so a driver only
decides where and when, and may call it as often as it likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from wtal_features.errors import FeatureError
from wtal_features.shards import Shard

Result = TypeVar("Result")
Work = Callable[[Shard], Result]
Tick = Callable[[], None]  # called about once a second while shares are at work

# A process that was killed from outside may hold its lock for as long as a node takes to notice.
_PATIENCE_S = 60.0
_POLL_S = 1.0


@dataclass(frozen=True)
class Attempt(Generic[Result]):
    """How one share went.

    Attributes:
        shard: Which.
        result: What the work returned; None where it did not come to its end.
        fault: Why not.
    """

    shard: Shard
    result: Result | None
    fault: str = ""


def attempt(work: Work[Result], shard: Shard, patience_s: float = _PATIENCE_S) -> Attempt[Result]:
    """Do one share; what the user can mend comes back as a sentence, so that the others go on.

    Args:
        work: Of one share.
        shard: Which.
        patience_s: How long a lock may be held by a process that is about to end.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return Attempt(shard, work(shard))
        except FeatureError as error:
            if error.code != "locked" or time.monotonic() > deadline:
                return Attempt(shard, None, str(error))
        except OSError as error:
            return Attempt(shard, None, f"{error.filename or 'The system'}: {error.strerror}.")
        except MemoryError:
            return Attempt(shard, None, "Out of memory.")
        time.sleep(_POLL_S)
