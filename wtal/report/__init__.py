"""`wtal report`: one offline page that lists, plays and scores what was found.

Reading order: `words.py` is what was asked for; `gathering.py` reads results and labels;
`choice.py` chooses the detections, `media.py` finds the videos, `curves.py` asks the model and
`judging.py` the evaluator; `blocks.py` makes the part of one video, `listing.py` the list of all;
`command.py` does it all. `data.py` is what the page is given, and `page/` writes it.
"""

from wtal.report.command import Made, make_report, run
from wtal.report.data import Cost
from wtal.report.words import Words, named_results

__all__ = ["Cost", "Made", "Words", "make_report", "named_results", "run"]
