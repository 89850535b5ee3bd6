"""Segments on the grid of feature snippets, as some public evaluators compare them.

A snippet of 16 frames at 25 fps is 0.64 s long. Code that works in whole snippets rounds the
instances to the grid on which its own detections lie, which is worth 1 to 3 points of mAP at .5.
"""

from __future__ import annotations

import numpy as np

from wtal_eval.options import parse_snippet
from wtal_eval.protocols import Protocol
from wtal_eval.segments import Floats, Segments


def comparable_instances(instances: Segments, protocol: Protocol) -> Segments:
    """Instances in the unit in which the protocol compares them.

    Rounded half to even, as NumPy rounds.

    Source: RenHuan1999/CVPR2023_P-MIL@855e683 and sujoyp/wtalc-pytorch@81ea982, which round
    segment * 25 / 16.
    """
    snippet = parse_snippet(protocol.grid)
    if snippet is not None:
        frames, fps = snippet
        start, end = (
            np.round(instances.start * fps / frames),
            np.round(instances.end * fps / frames),
        )
        if protocol.grid_units == "seconds":
            start, end = start * frames / fps, end * frames / fps
        instances = Segments(instances.video, instances.label, start, end)
    return instances


def comparable_detections(detections: Segments, protocol: Protocol) -> Segments:
    """Detections in the same unit; never rounded, but cut where the protocol cuts."""
    if parse_snippet(protocol.grid) is not None and protocol.grid_units == "snippets":
        start, end = in_unit(detections.start, protocol), in_unit(detections.end, protocol)
        detections = Segments(detections.video, detections.label, start, end)
    return detections


def in_unit(seconds: Floats, protocol: Protocol) -> Floats:
    """Times of detections in the unit of the protocol."""
    snippet = parse_snippet(protocol.grid)
    if snippet is None or protocol.grid_units == "seconds":
        return seconds
    frames, fps = snippet
    snippets = seconds * fps / frames
    return np.trunc(snippets) if protocol.grid_detections == "cut" else snippets


def snap(seconds: Floats, grid: str, how: str) -> Floats:
    """Times moved to borders of snippets, still in seconds.

    Args:
        seconds: (N,) times.
        grid: such as 16/25.
        how: `down`, `up` or `nearest`.

    Example:
        >>> snap(np.array([1.0]), "16/25", "up")
        array([1.28])
    """
    snippet = parse_snippet(grid)
    if snippet is None:
        return seconds
    frames, fps = snippet
    snippets = seconds * fps / frames
    if how == "nearest":
        return np.round(snippets) * frames / fps
    return (np.floor(snippets) if how == "down" else np.ceil(snippets)) * frames / fps
