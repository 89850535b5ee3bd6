"""Whether the motion vectors of a file say how far its content moves from frame to frame."""

from __future__ import annotations

from itertools import islice
from typing import Any

from wtal_features.motion.references import h264_references
from wtal_features.motion.vectors import VECTOR_CODECS
from wtal_features.video.container import OpenVideo

# B-frames show up within the first pictures or are the exception that `vectors_of` refuses.
_PACKETS = 250
_PROGRESSIVE = 1  # AV_FIELD_PROGRESSIVE; 0 is unknown, more is interlaced
_PICTURE_START, _B = b"\0\0\1\0", 3


def reason_against(
    codec: str, *, b_frames: bool = False, references: int | None = None, interlaced: bool = False
) -> str | None:
    """Why vectors of such a stream are not motion per frame; None if they are.

    Args:
        codec: Name of the decoder.
        b_frames: Whether some pictures refer to later ones.
        references: The most pictures that one may refer to; None if not known.
        interlaced: Whether pictures may be coded as two fields.

    Returns:
        The end of a sentence that starts with the name of the file.

    Example:
        >>> reason_against("vp9")
        'is coded as vp9, which gives no motion vectors (h264, mpeg2video and mpeg4 do)'
        >>> reason_against("mpeg4") is None
        True
    """
    if codec not in VECTOR_CODECS:
        return f"is coded as {codec}, which gives no motion vectors (h264, mpeg2video and mpeg4 do)"
    if b_frames:
        return "has B-frames, so its motion vectors do not span one frame"
    if references is not None and references > 1:
        return (
            f"refers to up to {references} earlier frames, so its motion vectors may span several"
        )
    if interlaced:
        return "is interlaced, so its motion vectors join fields instead of frames"
    return None


def why_no_vectors(video: OpenVideo) -> str | None:
    """Why a file's own motion vectors cannot be used; None if they can.

    Reads the header and, of MPEG-2, the first packets: open the file again before decoding.
    Nothing is decoded. A B-frame later in the file is refused by `vectors_of`.

    Returns:
        The end of a sentence that starts with the name of the file, as `reason_against`.
    """
    context = video.stream.codec_context
    # MPEG-2 decoders announce B-frames always.
    b_frames = _mpeg2_b(video) if context.name == "mpeg2video" else bool(context.has_b_frames)
    h264 = context.name == "h264"
    return reason_against(
        context.name,
        b_frames=b_frames,
        references=h264_references(bytes(context.extradata or b"")) if h264 else None,
        interlaced=context.field_order > _PROGRESSIVE,
    )


def _mpeg2_b(video: OpenVideo) -> bool:
    packets = islice(video.container.demux(video.stream), _PACKETS)
    return any(_picture_type(packet) == _B for packet in packets)


def _picture_type(packet: Any) -> int:
    """picture_coding_type of an MPEG-2 picture header (ITU-T H.262, 6.2.3); 0 if there is none."""
    data = bytes(packet)
    at = data.find(_PICTURE_START)
    return data[at + 5] >> 3 & 7 if 0 <= at < len(data) - 5 else 0
