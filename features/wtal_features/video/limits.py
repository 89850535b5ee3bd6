"""What one video may cost: memory, time without progress, length."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import inf
from pathlib import Path

from wtal_features.errors import FeatureError


@dataclass(frozen=True)
class Limits:
    """Bounds on one video; a file that crosses one is skipped and named, the others go on.

    Attributes:
        stall_s: Seconds in which a decoder must show another frame.
        memory_gb: What a decoder may need beyond what it has at its start, in GiB (enforced on
            Linux).
        max_hours: The longest video.
    """

    stall_s: float = 120.0
    memory_gb: float = 4.0
    max_hours: float = 24.0

    def __post_init__(self) -> None:
        """Refuse bounds that nothing can meet."""
        for name, value in vars(self).items():
            if not 0 < value < inf:
                raise FeatureError(
                    f"{name} is {value}; expected a number above zero.", code="option"
                )


def limit_memory(gigabytes: float) -> None:
    """Let this process grow by so much; beyond that an allocation fails. On Linux, else nothing."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # macOS refuses such limits, Windows has none
        return
    import resource

    limit = pages * os.sysconf("SC_PAGE_SIZE") + int(gigabytes * 2**30)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
