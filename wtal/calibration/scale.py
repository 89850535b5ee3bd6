"""The scale itself: which confidence a score means, and from which score on to be sure.

Shapes: N detections, K knots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wtal.errors import WtalError

FORMAT = "wtal calibration 1"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A rising line from scores to confidences, in straight pieces, flat beyond its ends.

    Args:
        scores: (K,) knots, K >= 1, ascending, all different.
        confidences: (K,) in [0, 1], never falling.
        threshold: the score at and above which a detection is one of the sure ones; the largest
            float where no score is sure.
        model: digest of the weights and settings whose scores these are (`identity.py`).
        about: how it was found, as `docs/calibration.md` lists: method, counts, notes.

    Example:
        >>> scale = Calibration((0.2, 0.6), (0.0, 0.8), 0.45)
        >>> scale.confidence(np.array([0.1, 0.4, 0.6, 9.0])).round(6).tolist()
        [0.0, 0.4, 0.8, 0.8]
    """

    scores: tuple[float, ...]
    confidences: tuple[float, ...]
    threshold: float
    model: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no rising line.

        Raises:
            WtalError: with what is wrong.
        """
        scores_K, confidences_K = np.asarray(self.scores), np.asarray(self.confidences)
        fault = ""
        if len(scores_K) == 0 or len(scores_K) != len(confidences_K):
            fault = f"{len(scores_K)} scores and {len(confidences_K)} confidences"
        elif not np.isfinite([*scores_K, *confidences_K, self.threshold]).all():
            fault = "a number that is not finite"
        elif (np.diff(scores_K) <= 0).any() or (np.diff(confidences_K) < 0).any():
            fault = "numbers that do not rise"
        elif confidences_K[0] < 0 or confidences_K[-1] > 1:
            fault = "a confidence outside [0, 1]"
        if fault:
            raise WtalError(
                f"A calibration has {fault}; expected as many rising scores as confidences in "
                "[0, 1]. Run `wtal calibrate` again."
            )

    def confidence(self, scores_N: NDArray[np.floating[Any]]) -> Floats:
        """How likely each detection is right.

        Args:
            scores_N: (N,) scores of the localizer that was calibrated.

        Returns:
            (N,) float64 in [0, 1], never falling with the score.
        """
        confidence_N: Floats = np.interp(scores_N, self.scores, self.confidences)
        return confidence_N

    def score_at(self, confidence: float) -> float | None:
        """The least score whose confidence reaches `confidence`; None if none does.

        Below the first knot the line is flat: what the first knot reaches, every score reaches,
        and the answer is minus infinity.
        """
        reached_K = np.flatnonzero(np.asarray(self.confidences) >= confidence)
        if len(reached_K) == 0:
            return None
        k = int(reached_K[0])
        if k == 0:
            return -np.inf
        low, high = self.confidences[k - 1], self.confidences[k]
        share = (confidence - low) / (high - low)
        return self.scores[k - 1] + share * (self.scores[k] - self.scores[k - 1])

    def to_json(self) -> dict[str, Any]:
        """As plain lists, dicts, text and numbers."""
        return {
            "format": FORMAT,
            "scores": list(self.scores),
            "confidences": list(self.confidences),
            "threshold": self.threshold,
            "model": self.model,
            "about": dict(self.about),
        }

    @classmethod
    def from_json(cls, value: object, source: str = "The calibration") -> Calibration:
        """Read back what `to_json` gave.

        Args:
            value: the parsed JSON.
            source: the file, for messages.

        Raises:
            WtalError: it is something else.
        """
        if not isinstance(value, Mapping) or value.get("format") != FORMAT:
            raise WtalError(
                f'{source} is no calibration: expected "format": "{FORMAT}", as `wtal calibrate` '
                "writes it."
            )
        try:
            return cls(
                tuple(float(each) for each in value["scores"]),
                tuple(float(each) for each in value["confidences"]),
                float(value["threshold"]),
                str(value["model"]),
                dict(value["about"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, WtalError):
                raise WtalError(f"{source}: {error}") from None
            raise WtalError(
                f"{source} is a damaged calibration ({error}); run `wtal calibrate` again."
            ) from error
