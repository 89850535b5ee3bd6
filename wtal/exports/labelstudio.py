"""Label Studio: tasks with predictions on a video's timeline, and the labeling config for them.

A range [start, end] counts frames from 1 and both belong to it: it stands for the seconds
[(start - 1) / fps, end / fps].

Source: Label Studio's tag `TimelineLabels` and its region (HumanSignal/label-studio,
web/libs/editor/src/regions/TimelineRegion.js); its `Video` tag takes 24 fps unless `frameRate` says
otherwise, so every task brings its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

from wtal.exports.colours import hexadecimal
from wtal.exports.job import Job, Segment, Video
from wtal.exports.text import encoded, one_line
from wtal_features.files import atomic_write

CONFIG_SUFFIX = ".config.xml"  # in place of the suffix of the tasks


def write_labelstudio(job: Job) -> dict[str, str]:
    """Write the tasks of all videos as one JSON file, and beside it the config of the project."""
    with atomic_write(config_of(job.out)) as file:
        file.write(encoded(_config(job.classes)))
    with atomic_write(job.out) as file:
        file.write(b"[")
        for done, video in enumerate(job.videos, 1):
            text = json.dumps(_task(job, video), ensure_ascii=False, allow_nan=False)
            file.write((b",\n" if done > 1 else b"\n") + encoded(text))
            job.progress(done, len(job.videos))
        file.write(b"\n]\n")
    return {}


def config_of(out: Path) -> Path:
    """Where the labeling config goes."""
    return out.with_suffix(CONFIG_SUFFIX)


def _task(job: Job, video: Video) -> dict[str, object]:
    assert video.rate is not None  # `command` asks for it
    # The path that Label Studio serves local files under; its root is to be the videos' folder.
    served = f"/data/local-files/?d={quote(video.media_name)}"
    scores = [segment.score for segment in video.segments if segment.score is not None]
    task: dict[str, object] = {
        "data": {
            "video": video.name if video.media is None else served,
            "fps": float(video.rate),
            "id": video.name,
        },
        "predictions": [
            {
                "model_version": job.source,
                "score": max(scores, default=0.0),
                "result": [_region(video, s, f"d{i}") for i, s in enumerate(video.segments)],
            }
        ],
    }
    if video.truth:
        result = [_region(video, s, f"a{i}") for i, s in enumerate(video.truth)]
        task["annotations"] = [{"ground_truth": True, "result": result}]
    return task


def _region(video: Video, segment: Segment, name: str) -> dict[str, object]:
    first, stop = video.frames(segment)
    region: dict[str, object] = {
        "id": name,
        "from_name": "actions",
        "to_name": "video",
        "type": "timelinelabels",
        "value": {
            "ranges": [{"start": first + 1, "end": stop}],
            "timelinelabels": [_shown(segment.label)],
        },
    }
    return region if segment.score is None else region | {"score": segment.score}


def _config(classes: tuple[str, ...]) -> str:
    view = ET.Element("View")
    ET.SubElement(view, "Header", value="Drag over the timeline where the action happens")
    ET.SubElement(view, "Video", name="video", value="$video", frameRate="$fps")
    labels = ET.SubElement(view, "TimelineLabels", name="actions", toName="video")
    for i, label in enumerate(dict.fromkeys(map(_shown, classes))):
        ET.SubElement(labels, "Label", value=label, background=hexadecimal(i))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _shown(label: str) -> str:
    """A label as the page can show it; an empty one could not be chosen."""
    return one_line(label) or "(none)"
