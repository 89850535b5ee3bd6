"""The quirks of the released BaS-Net implementation, one named switch each.

All are off by default: that is the mended BaS-Net. `configs/basnet_faithful.yaml` turns every one
on, so that the cost of each can be measured alone. What each of them does is kept where it happens;
docs/method.md lists them beside the mended behaviour. Two more quirks are plain options of the
criterion (`loss.cls_scale`, `loss.norm`), and one has no switch at all: the released code reports
the best of 1,500 evaluations on the test split, which nothing here can do.

Source: Pilhyeon/BaSNet-pytorch@c8c6bbd (test.py, utils.py, train.py, model.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Compat:
    """Switches that repeat a defect of the released code; every default is the mended behaviour."""

    # Localizer
    class_zero_is_empty: bool = False
    """`any()` of the kept class indices: a video predicted as class 0 alone has no detection (and
    no entry, with `skip_unsure_videos`)."""
    binary_class_score: bool = False
    """Class scores are cut to 0 or 1 before they are added to the proposal score."""
    skip_unsure_videos: bool = False
    """No class above the threshold: no detections, and the video is missing from the result."""
    nms_length_plus_one: bool = False
    """NMS adds a pixel's 1 to lengths and overlaps that are in seconds."""
    oic_after_threshold: bool = False
    """Outer-inner contrast on the thresholded curve, where the outside is almost always 0."""
    skip_flat_classes: bool = False
    """A class whose T-CAS is never above 0 has no proposal (the released code raises there)."""
    left_edge_bins: bool = False
    """Bin t is drawn at its left edge and the last bin is extrapolated."""
    # Sampling
    restart_epochs: bool = False
    """After the first epoch every step shuffles anew and uses the first batch only."""
    repeat_jitter: bool = False
    """The workers share one NumPy stream: every batch jitters its snippets in the same way."""
    # Criterion
    log_of_softmax: bool = False
    """Log of a separately computed softmax, and k = floor(T/8), which is 0 below 8 snippets."""
