"""CSV: every detection of all videos in one table, in full precision."""

from __future__ import annotations

import csv
import io

import numpy as np

from wtal.exports.job import Job
from wtal.exports.text import encoded
from wtal_features.files import atomic_write
from wtal_features.tags import inert

COLUMNS = ("video", "label", "score", "start_s", "end_s")


def write_csv(job: Job) -> dict[str, str]:
    """Write `video,label,score,start_s,end_s`, by video and time.

    Of a run that was calibrated with `confidence` (4 digits) as one more column.
    Names and labels that a spreadsheet would run as a formula get a quote in front. A video
    without detections has no row.
    """
    with atomic_write(job.out) as file:
        calibration = job.calibration
        columns = COLUMNS if calibration is None else (*COLUMNS, "confidence")
        file.write(",".join(columns).encode() + b"\n")
        for done, video in enumerate(job.videos, 1):
            text = io.StringIO()
            scores = np.array([segment.score for segment in video.segments], float)
            sure = None if calibration is None else calibration.confidence(scores).round(4)
            for i, (label, start_s, end_s, score) in enumerate(video.segments):
                # Python before 3.13 leaves a carriage return bare, and readers end the row there.
                bare = "\r" in label or "\r" in video.name
                writer = csv.writer(
                    text,
                    lineterminator="\n",
                    quoting=csv.QUOTE_NONNUMERIC if bare else csv.QUOTE_MINIMAL,
                )
                row = (inert(video.name), inert(label), score, start_s, end_s)
                writer.writerow(row if sure is None else (*row, float(sure[i])))
            file.write(encoded(text.getvalue()))
            job.progress(done, len(job.videos))
    return {}
