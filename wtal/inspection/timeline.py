"""What the pictures of a run share: the form of an annotated segment, the colours of classes."""

from __future__ import annotations

Segment = tuple[str, float, float]  # label, start and end in seconds

# Okabe and Ito: told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
