"""Evaluation of video retrieval: mAP as FIVR, CC_WEB_VIDEO, EVVE and VCDB define it.

    from wtal_eval.retrieval import evaluate_retrieval
    evaluate_retrieval("ranking.json", "truth.json", protocol="pairs").text()

Names are loaded on first use, as in `wtal_eval`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wtal_eval.retrieval.areas import ranked_precision as ranked_precision
    from wtal_eval.retrieval.evaluation import evaluate_retrieval as evaluate_retrieval
    from wtal_eval.retrieval.protocols import PROTOCOLS as PROTOCOLS
    from wtal_eval.retrieval.result import RetrievalResult as RetrievalResult
    from wtal_eval.retrieval.result import TaskResult as TaskResult

_HOMES = {
    "PROTOCOLS": "protocols",
    "RetrievalResult": "result",
    "TaskResult": "result",
    "evaluate_retrieval": "evaluation",
    "ranked_precision": "areas",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wtal_eval.retrieval' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"wtal_eval.retrieval.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
