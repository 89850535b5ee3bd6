"""`wtal probe`: how good encoders are on labelled clips, a row each.

Every encoder that `wtal extract` takes sees the same clips, so the figures of one run stand beside
each other: retrieval, a linear probe, fine-tuning, and what chance would reach.

Reading order: `words.py` is what was asked for and `candidates.py` the encoders; `clips.py` finds
or makes the clip store and `sets.py` picks the clips of both subsets; `figures.py` measures,
`table.py` shows, and `command.py` does it all. `telling.py` is how they speak.
"""

from wtal.probe.command import run
from wtal.probe.sets import Sets
from wtal.probe.words import Words

__all__ = ["Sets", "Words", "run"]
