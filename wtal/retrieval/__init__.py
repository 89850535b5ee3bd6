"""`wtal retrieve`: ranked neighbours, near-duplicates, and tags suggested by neighbours.

Reading order: `words.py` is what was asked for; `sources.py` finds the videos and `loading.py`
reads and describes them; `searching.py` finds the nearest, `ranking.py` shows and writes them,
`scoring.py` compares with a truth; `duplicates.py` and `tagging.py` use the same similarities;
`command.py` does it all.
"""

from wtal.retrieval.command import run
from wtal.retrieval.words import Words

__all__ = ["Words", "run"]
