"""A ranking under a protocol: everything from seconds to average precision."""

from __future__ import annotations

from wtal_eval.average_precision import Scores, mean_average_precision
from wtal_eval.grid import comparable_detections, comparable_instances
from wtal_eval.protocols import Protocol
from wtal_eval.ranking import Ranking
from wtal_eval.truth import Truth


def score(ranking: Ranking, truth: Truth, protocol: Protocol) -> Scores:
    """AP of every class at every threshold, under all options of the protocol."""
    return mean_average_precision(
        comparable_detections(ranking.segments, protocol),
        ranking.score,
        comparable_instances(truth.instances, protocol),
        len(truth.classes),
        protocol.tiou,
        ties=protocol.ties,
        zero_union=protocol.zero_union,
        match=protocol.match,
        overlap=protocol.overlap,
        overlap_test=protocol.overlap_test,
        precision=protocol.precision,
        ap=protocol.ap,
        removable=ranking.removable,
        order=ranking.order,
    )
