"""`wtal run`: a folder of videos and their tags -> segments, exports, and a page that plays them.

Reading order: `words.py` is what was asked for; `footage.py` looks at the videos, `tagging.py` at
their tags, `choices.py` and `expecting.py` say what will be done (`planning.py`); then a file per
stage: `pretraining.py`, `extraction.py`, `checking.py`, `learning.py`, `calibrating.py`,
`localizing.py`, `exporting.py`, `reporting.py`. `ledger.py` remembers what is done, of which
inputs; `places.py` says where it lies. `stages.py` is the whole, from top to bottom.
"""

from wtal.pipeline.result import RunResult
from wtal.pipeline.stages import run
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import Words

__all__ = ["RunResult", "Telling", "Words", "run"]
