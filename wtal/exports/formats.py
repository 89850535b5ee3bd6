"""Every format by name, with what it needs and which options mean something to it."""

from __future__ import annotations

from collections.abc import Mapping

from wtal.exports.clips import write_clips
from wtal.exports.eaf import write_eaf
from wtal.exports.editors import write_edl, write_otio
from wtal.exports.job import Format
from wtal.exports.labelstudio import write_labelstudio
from wtal.exports.sheet import write_sheets
from wtal.exports.tables import write_csv
from wtal.exports.webvtt import write_webvtt

FORMATS: Mapping[str, Format] = {
    "csv": Format(write_csv, ".csv"),
    "webvtt": Format(write_webvtt, ".vtt", folder=True),
    "eaf": Format(write_eaf, ".eaf", folder=True, takes=frozenset({"annotations"})),
    "labelstudio": Format(
        write_labelstudio, ".json", needs="rate", takes=frozenset({"annotations", "fps"})
    ),
    "edl": Format(
        write_edl, ".edl", folder=True, needs="rate", takes=frozenset({"fps", "timecode"})
    ),
    "otio": Format(
        write_otio, ".otio", needs="rate", takes=frozenset({"annotations", "fps", "timecode"})
    ),
    # A class of one video may hold hundreds of weak detections; nobody wants all as files.
    "clips": Format(
        write_clips, ".mp4", folder=True, needs="videos", takes=frozenset({"padding"}), best=10
    ),
    "sheet": Format(write_sheets, ".png", folder=True, needs="videos"),
}
