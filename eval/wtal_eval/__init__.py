"""Evaluation of temporal action localization, in NumPy alone.

    from wtal_eval import evaluate
    evaluate("detections.json", "annotations.json", protocol="thumos14").averages

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from wtal_eval.columns import Annotations as Annotations
    from wtal_eval.columns import Detections as Detections
    from wtal_eval.comparison import ProtocolComparison as ProtocolComparison
    from wtal_eval.comparison import compare_protocols as compare_protocols
    from wtal_eval.diagnosis import Diagnosis as Diagnosis
    from wtal_eval.diagnosis import diagnose as diagnose
    from wtal_eval.evaluation import Evaluation as Evaluation
    from wtal_eval.evaluation import evaluate as evaluate
    from wtal_eval.faults import EvalError as EvalError
    from wtal_eval.io import read_annotations as read_annotations
    from wtal_eval.io import read_detections as read_detections
    from wtal_eval.io import read_video_list as read_video_list
    from wtal_eval.io import read_video_scores as read_video_scores
    from wtal_eval.io import write_detections as write_detections
    from wtal_eval.protocols import Protocol as Protocol
    from wtal_eval.report import Report as Report
    from wtal_eval.report import run as run
    from wtal_eval.significance import Comparison as Comparison
    from wtal_eval.significance import compare as compare

_HOMES = {
    "Annotations": "columns",
    "Comparison": "significance",
    "Detections": "columns",
    "Diagnosis": "diagnosis",
    "EvalError": "faults",
    "Evaluation": "evaluation",
    "Protocol": "protocols",
    "ProtocolComparison": "comparison",
    "Report": "report",
    "compare": "significance",
    "compare_protocols": "comparison",
    "diagnose": "diagnosis",
    "evaluate": "evaluation",
    "read_annotations": "io",
    "read_detections": "io",
    "read_video_list": "io",
    "read_video_scores": "io",
    "run": "report",
    "write_detections": "io",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wtal_eval' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"wtal_eval.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
