"""The processes that decode for a clip store: what a video does to one of them costs that video.

They differ from `video.pool` in what is done with the answers: every video goes to files of its
own, so the thread that listens to a decoder writes them, and nothing has to come together in one
queue.
"""

from __future__ import annotations

import queue
from contextlib import closing
from types import TracebackType
from typing import Self

from wtal_features.errors import FeatureError
from wtal_features.pretraining.clipworker import ShrinkRequest
from wtal_features.video.decoder import Answers, Decoder, fault_of
from wtal_features.video.limits import Limits

_MODULE = "wtal_features.pretraining.clipworker"


class Children:
    """Decoders for as long as the `with` block lasts; each starts with its first video.

    Example:
        with Children(2, Limits()) as children:
            for message, array in children.answers(request):
                ...
    """

    def __init__(self, count: int, limits: Limits) -> None:
        """Settle how many there are.

        Args:
            count: Processes; so many threads may listen at once.
            limits: What one video may cost.
        """
        self._all = [Decoder(_MODULE, limits) for _ in range(count)]
        self._free: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for child in self._all:
            self._free.put(child)

    def __enter__(self) -> Self:
        """Nothing starts yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every process, whatever it is doing; none is left when this returns."""
        for child in self._all:
            child.close()

    def answers(self, request: ShrinkRequest) -> Answers:
        """What a free decoder says of one video, but its signs of life; the last is `end`.

        Raises:
            FeatureError: If the video cannot be used, or its process died or fell silent.
        """
        child, kind = self._free.get(), None
        try:
            with closing(child.answers(request)) as answers:
                for message, array in answers:
                    kind = message.get("kind")
                    if kind == "fault":
                        raise fault_of(message)
                    if kind != "alive":
                        yield message, array
        finally:
            self._free.put(child)
        if kind != "end":
            raise FeatureError("The decoders were ended.", code="closed")

    def watch(self) -> None:
        """Kill what has been silent for too long; to be called now and then."""
        for child in self._all:
            child.end_if_stalled()
