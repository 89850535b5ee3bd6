"""The obvious evaluator, which `wtal bench eval` takes as reference: one detection at a time.

As a script, `plain_evaluation.py DETECTIONS ANNOTATIONS SUBSET TIOU...`, it prints the mAP at every
threshold; without arguments it only imports what it needs.

What it is: the rules of the ActivityNet evaluation as eval/README.md states them (defaults of
`thumos14` and `activitynet`), written the way the public program works. Rows lie in pandas frames;
for each class the frames are cut, for each detection its video's instances are looked up, for each
threshold they are tried in turn. What it is not: that program. It runs in one process, sorts stably
and checks nothing. It stands alone, so that its memory and time are its own.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
COLUMNS = ("video", "label", "start", "end", "score")


def read(path: str, key: str, subset: str = "") -> pd.DataFrame:
    """Every row of a result file (`results`), or of a subset of annotations (`database`)."""
    import json

    import pandas as pd

    with open(path, encoding="utf-8") as file:
        videos: dict[str, Any] = json.load(file)[key]
    rows = []
    for video, entry in videos.items():
        if subset and entry["subset"] != subset:
            continue
        for row in entry["annotations"] if subset else entry:
            start, end = row["segment"]
            rows.append((video, row["label"], float(start), float(end), row.get("score", 0.0)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def average_precision(
    detections: pd.DataFrame, instances: pd.DataFrame, thresholds: list[float]
) -> Floats:
    """AP (J,) of one class from its detections and its instances, each at least one."""
    ranked = detections.iloc[np.argsort(detections["score"].to_numpy(), kind="stable")[::-1]]
    by_video = instances.groupby("video")
    hit_JN = np.zeros((len(thresholds), len(ranked)))
    taken: list[set[Any]] = [set() for _ in thresholds]
    for n, (_, detection) in enumerate(ranked.iterrows()):
        if detection["video"] not in by_video.groups:
            continue
        candidates = by_video.get_group(detection["video"]).reset_index()
        tiou = _tiou(detection[["start", "end"]], candidates[["start", "end"]])
        best_first = np.argsort(tiou, kind="stable")[::-1]
        for j, threshold in enumerate(thresholds):
            for k in best_first:
                if tiou[k] < threshold:
                    break
                instance = candidates.loc[k]["index"]
                if instance not in taken[j]:
                    taken[j].add(instance)
                    hit_JN[j, n] = 1
                    break
    return np.array([_area(hit_N, len(instances)) for hit_N in hit_JN])


def mean_average_precision(
    detections: pd.DataFrame, instances: pd.DataFrame, thresholds: list[float]
) -> Floats:
    """MAP (J,) over the classes that have instances."""
    ap = []
    for label in sorted(set(instances["label"])):
        found = detections.loc[detections["label"] == label].reset_index(drop=True)
        wanted = instances.loc[instances["label"] == label].reset_index(drop=True)
        if len(found):
            ap.append(average_precision(found, wanted, thresholds))
        else:
            ap.append(np.zeros(len(thresholds)))
    mean_J: Floats = np.mean(ap, axis=0)
    return mean_J


def _tiou(one: pd.Series, others: pd.DataFrame) -> Floats:
    start, end = one.to_numpy(np.float64)
    starts, ends = others.to_numpy(np.float64).T
    inter = np.maximum(0.0, np.minimum(end, ends) - np.maximum(start, starts))
    tiou: Floats = inter / (((ends - starts) + (end - start)) - inter)
    return tiou


def _area(hit_N: Floats, npos: int) -> float:
    """Interpolated: at each recall the largest precision there or above."""
    found = np.cumsum(hit_N)
    precision = found / np.arange(1, len(found) + 1)
    precision = np.append(np.append(0, precision), 0)
    recall = np.append(np.append(0, found / npos), 1)
    for i in range(len(precision) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(np.sum((recall[steps] - recall[steps - 1]) * precision[steps]))


def main() -> None:
    """Evaluate the files of the arguments."""
    import pandas as pd  # noqa: F401 - without arguments, importing it is all there is to do

    if len(sys.argv) > 1:
        detections, annotations, subset, *tiou = sys.argv[1:]
        found = read(detections, "results")
        wanted = read(annotations, "database", subset)
        thresholds = [float(t) for t in tiou]
        sys.stdout.write(f"{mean_average_precision(found, wanted, thresholds).tolist()}\n")


if __name__ == "__main__":
    main()
