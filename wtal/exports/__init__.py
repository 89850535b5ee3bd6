"""`wtal export`: detections in the forms in which people edit, annotate, play and look.

Reading order: `words.py` is what was asked for; `selection.py` chooses the detections, `sources.py`
finds their videos; `job.py` is what every exporter is given; then a family of formats per file, and
`command.py` does it all. A new format is a function `write(job)` and a line in `FORMATS`.
"""

from wtal.exports.command import run
from wtal.exports.formats import FORMATS
from wtal.exports.words import Words

__all__ = ["FORMATS", "Words", "run"]
