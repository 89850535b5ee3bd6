"""Motion vectors that the codec stored in a video -> a dense map of how far its content moved.

Legend: a picture is H x W px, a cell 4 x 4 px, a map (ceil(H/4), ceil(W/4), 2) with dx to the
right and dy down. Decoding such a map costs about as much as decoding colours; real flow costs 3
to 1,000 times as much.

Source: FFmpeg, libavutil/motion_vector.h (AVMotionVector) and libavcodec/mpegutils.c.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError
from wtal_features.video.container import load_av

Vectors = npt.NDArray[np.void]
Map = npt.NDArray[np.float32]

# Decoders that hand out the vectors of their blocks; all others, HEVC, VP9 and AV1 among them,
# silently give none.
VECTOR_CODECS = frozenset({"h264", "mpeg4", "mpeg2video"})
CELL = 4  # px
_I, _B = 1, 3  # AV_PICTURE_TYPE_I, AV_PICTURE_TYPE_B


def ask_for_vectors(stream: Any) -> None:
    """Tell the decoder of a stream to export motion vectors; to be called before decoding.

    Args:
        stream: An `av.VideoStream`. It has no B-frames: see `why_no_vectors`.
    """
    from_context = load_av().codec.context
    context = stream.codec_context
    context.flags2 |= from_context.Flags2.export_mvs
    if context.name == "mpeg2video":
        # Else the decoder waits for a B-frame, and hands out the last picture without vectors.
        context.flags |= from_context.Flags.low_delay


def is_intra(frame: Any) -> bool:
    """Whether an `av.VideoFrame` is an I-frame; `key_frame` would miss those that are not IDR."""
    return bool(frame.pict_type == _I)


def vectors_of(frame: Any) -> Vectors | None:
    """The motion vectors of a decoded `av.VideoFrame`, one row per block.

    Returns:
        Fields source, w, h, src_x, src_y, dst_x, dst_y, flags, motion_x, motion_y, motion_scale;
        None where the picture has none: every I-frame.

    Raises:
        FeatureError: If it is a B-frame, whose vectors span an unknown number of frames.
    """
    if frame.pict_type == _B:
        raise FeatureError(
            "The video has B-frames, whose motion vectors do not span one frame.",
            "Re-encode it first, or choose another source of motion.",
            code="b-frames",
        )
    data = frame.side_data.get("MOTION_VECTORS")
    return None if data is None else np.asarray(data.to_ndarray())


def dense_map(vectors: Vectors | None, height: int, width: int) -> Map:
    """Motion of the content per cell of 4 x 4 px.

    A vector points from a block to where its content was in an earlier picture; v = -(motion_x,
    motion_y) / motion_scale is the way back: destination minus source. dst_x, dst_y are the CENTRE
    of the block. Vectors into later pictures are left out, blocks are cut at the border, and
    nothing that a damaged file may hold makes this fail.

    Args:
        vectors: From `vectors_of`; None for a picture without.
        height: H, pixels.
        width: W, pixels.

    Returns:
        (ceil(H/4), ceil(W/4), 2) float32, px per step of the codec, typically within +-20. I-frames
        and blocks that the codec drew anew are 0.

    Example:
        >>> dense_map(None, 240, 320).shape
        (60, 80, 2)
    """
    rows, columns = -(-height // CELL), -(-width // CELL)
    if vectors is None:
        return np.zeros((rows, columns, 2), np.float32)
    past = vectors[vectors["source"] < 0]
    # One complex number per vector: dx + i dy moves in one piece.
    v = np.empty(len(past), np.complex64)
    minus_scale = -np.maximum(past["motion_scale"], 1).astype(np.float32)
    v.real, v.imag = past["motion_x"] / minus_scale, past["motion_y"] / minus_scale
    # The sizes are unsigned 8 bit: they wrap unless widened first.
    w, h = past["w"].astype(np.intp), past["h"].astype(np.intp)
    left, top = (past["dst_x"] - w // 2) // CELL, (past["dst_y"] - h // 2) // CELL
    field = _paint(v, top, left, h // CELL, w // CELL, (rows, columns))
    return field.view(np.float32).reshape(rows, columns, 2)


_Index = npt.NDArray[np.intp]
_Field = npt.NDArray[np.complex64]


def _paint(
    v: _Field, top: _Index, left: _Index, h: _Index, w: _Index, shape: tuple[int, int]
) -> _Field:
    """Write v[k] into the h[k] x w[k] cells at (top[k], left[k]); all blocks of a size at once."""
    rows, columns = shape
    seen = (top > -h) & (top < rows) & (left > -w) & (left < columns) & (h > 0) & (w > 0)
    if not seen.any():
        return np.zeros(shape, np.complex64)
    # A margin as wide as the largest block, so that no block needs cutting; it is cut off last.
    margin = int(max(h[seen].max(), w[seen].max()))
    stride = columns + 2 * margin
    field = np.zeros((rows + 2 * margin, stride), np.complex64)
    flat = field.reshape(-1)
    first = (top + margin) * stride + left + margin
    size = h * 256 + w
    for one_size in np.unique(size[seen]).tolist():
        alike = seen & (size == one_size)
        down, right = np.arange(one_size // 256), np.arange(one_size % 256)
        cells = (down[:, None] * stride + right).reshape(-1)
        flat[first[alike][:, None] + cells] = v[alike][:, None]
    return np.ascontiguousarray(field[margin : margin + rows, margin : margin + columns])
