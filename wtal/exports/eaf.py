"""ELAN `.eaf`: a tier per class with the scores as values, and tiers of annotations beside.

Source: the ELAN Annotation Format 2.8 schema (EAFv2.8.xsd) of the Max Planck Institute for
Psycholinguistics. Annotations of one tier must not overlap, so what does goes to a further tier.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from xml.etree import ElementTree as ET

from wtal.exports.folder import per_video
from wtal.exports.job import Job, Segment, Video
from wtal.exports.text import Names, one_line, score_text
from wtal.exports.webvtt import milliseconds

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv2.8.xsd"
_TYPE = "action"


def write_eaf(job: Job) -> dict[str, str]:
    """Write one `.eaf` per video; times are rounded to milliseconds, one at least."""
    return per_video(job, "eaf", ".eaf", lambda video: [_document(video, job)])


def _document(video: Video, job: Job) -> bytes:
    ET.register_namespace("xsi", _XSI)
    root = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": one_line(job.source),
            "DATE": job.date,
            "FORMAT": "2.8",
            "VERSION": "2.8",
            f"{{{_XSI}}}noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    url = job.media_url(video)
    if url is not None and video.media is not None:
        # ELAN looks for the relative place where the other one is not found; no path of this
        # machine is told.
        kind = mimetypes.guess_type(video.media.name)[0] or "video/mp4"
        ET.SubElement(
            header,
            "MEDIA_DESCRIPTOR",
            MEDIA_URL=url,
            RELATIVE_MEDIA_URL=url if url.startswith("..") else f"./{url}",
            MIME_TYPE=kind,
        )
    times = ET.SubElement(root, "TIME_ORDER")
    _add_tiers(root, times, video)
    ET.SubElement(
        root,
        "LINGUISTIC_TYPE",
        LINGUISTIC_TYPE_ID=_TYPE,
        TIME_ALIGNABLE="true",
        GRAPHIC_REFERENCES="false",
    )
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _add_tiers(root: ET.Element, times: ET.Element, video: Video) -> None:
    """Every tier, then the time slots, which are to be in the order of their times."""
    names = Names()
    spans: list[tuple[int, str]] = []
    for name, segments in _tiers(video):
        tier = ET.SubElement(
            root, "TIER", LINGUISTIC_TYPE_REF=_TYPE, TIER_ID=names.take(one_line(name) or "(none)")
        )
        for segment in segments:
            first = len(spans) + 1
            refs = f"ts{first}", f"ts{first + 1}"
            spans += zip(milliseconds(segment), refs, strict=True)
            annotation = ET.SubElement(
                ET.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{first // 2 + 1}",
                TIME_SLOT_REF1=refs[0],
                TIME_SLOT_REF2=refs[1],
            )
            value = score_text(segment.score) or one_line(segment.label)
            ET.SubElement(annotation, "ANNOTATION_VALUE").text = value
    for time, ref in sorted(spans, key=lambda span: span[0]):
        ET.SubElement(times, "TIME_SLOT", TIME_SLOT_ID=ref, TIME_VALUE=str(time))


def _tiers(video: Video) -> Iterator[tuple[str, Sequence[Segment]]]:
    for form, segments in (("{}", video.segments), ("{} (annotated)", video.truth)):
        for label in sorted({segment.label for segment in segments}):
            own = (segment for segment in segments if segment.label == label)
            for lane in lanes(own):
                yield form.format(label), lane


def lanes(segments: Iterable[Segment]) -> list[list[Segment]]:
    """Share segments, which come by start, out so that none of a lane overlap, in milliseconds.

    Example:
        >>> a, b, c = (Segment("x", s, s + 2.0, None) for s in (0.0, 1.0, 2.0))
        >>> lanes([a, b, c]) == [[a, c], [b]]
        True
    """
    found: list[list[Segment]] = []
    for segment in segments:
        start, _ = milliseconds(segment)
        free = (lane for lane in found if milliseconds(lane[-1])[1] <= start)
        lane = next(free, None)
        if lane is None:
            found.append([segment])
        else:
            lane.append(segment)
    return found
