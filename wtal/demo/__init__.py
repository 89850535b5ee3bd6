"""`wtal demo`: the whole path on videos that it makes itself, offline, in a few minutes.

Reading order: `sprites.py`, `actions.py` and `scenes.py` are what is seen, `script.py` what happens
when, `filming.py` writes the videos; `settings.py` says how the rest is done, `stages.py` does it,
`table.py` prints it; `command.py` is the whole, from top to bottom.
"""

from wtal.demo.command import DemoResult, demo
from wtal.demo.script import WorldConfig
from wtal.demo.settings import DemoConfig

__all__ = ["DemoConfig", "DemoResult", "WorldConfig", "demo"]
