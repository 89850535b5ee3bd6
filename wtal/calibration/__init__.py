"""How sure a detection is, learned from tags alone: `wtal calibrate`.

Reading order: `scale.py` is what comes out and `file.py` where it lies; `evidence.py` says what
tags know of detections, `fitting.py` turns that into the scale; `folds.py` and `crossfit.py` make
networks that did not see the videos they judge; `identity.py` tells whose scores they are;
`job.py` does it all (`from wtal.calibration.job import calibrate`, which brings torch);
`reliability.py` compares the scale with annotations. The method: docs/calibration.md.
"""

from wtal.calibration.file import CALIBRATION_FILE, read_calibration, write_calibration
from wtal.calibration.scale import Calibration

__all__ = ["CALIBRATION_FILE", "Calibration", "read_calibration", "write_calibration"]
