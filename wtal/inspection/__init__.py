"""Seeing what a run learned: one video on one time axis, and maps of its embedding with figures.

Reading order: `run.py` opens a run, `insight.py` asks it about one video and `video_figure.py`
draws the answer; `points.py` samples annotated snippets, `separation.py` measures how well an
embedding tells them apart, `comparison.py` sets two runs side by side, `map_figure.py` draws them;
`canvas.py` is what pictures share, and `command.py` what `wtal inspect` calls.
"""
