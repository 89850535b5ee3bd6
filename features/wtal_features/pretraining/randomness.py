"""Where every random number of pre-training comes from: (seed, purpose, place), nothing else.

So there is no state of a generator to save, a sample is the same whoever draws it, and a resumed
run goes on to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

PURPOSES = {"weights": 0, "order": 1, "sample": 2, "step": 3, "probe": 4, "alter": 5}


def generator_of(seed: int, purpose: str, *place: int) -> torch.Generator:
    """The CPU generator of one purpose at one place, such as (stage, step, row).

    Args:
        seed: Of the run.
        purpose: One of `PURPOSES`.
        place: Numbers from 0.
    """
    import torch

    sequence = np.random.SeedSequence([seed, PURPOSES[purpose], *place])
    number = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator().manual_seed(number)


def on_device(generator: torch.Generator | None, device: torch.device) -> torch.Generator | None:
    """The generator itself where it can draw there; else one there, seeded by it."""
    import torch

    if generator is None or generator.device.type == device.type:
        return generator
    seed = torch.randint(2**63 - 1, (), generator=generator).item()
    return torch.Generator(device).manual_seed(int(seed))
