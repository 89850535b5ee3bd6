"""A decoder without a process: the same answers through the same wire, in milliseconds."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from io import BytesIO
from types import TracebackType
from typing import Self

import pytest

from wtal_features.extraction import preview, run
from wtal_features.video.limits import Limits
from wtal_features.video.pool import Answer
from wtal_features.video.wire import receive, send
from wtal_features.video.worker import Request, serve


class InProcessPool:
    """Stands for `DecoderPool`: one video after another, none before it is asked for."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to end."""

    def answers(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            if request.plans:  # else its header alone is looked at
                self.asked.append(request.path)
            question, said = BytesIO(), BytesIO()
            send(question, asdict(request))
            question.seek(0)
            serve(question, said)
            said.seek(0)
            while (answer := receive(said)) is not None:
                yield Answer(request, *answer)


def decode_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let `extract` and `preview` decode in this process; the paths it will be asked for."""
    pool = InProcessPool(1, Limits())
    for module in (run, preview):
        monkeypatch.setattr(module, "DecoderPool", lambda workers, limits: pool)
    return pool.asked
