"""Ctrl-C and SIGTERM: a training ends after its present step, with a checkpoint; all else at once.

SIGTERM is how schedulers end a job. Wherever it is not a training that is at work, it acts as
Ctrl-C does: what is half-written goes, what is finished stays.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """Within the `with` block a first signal sets `requested`; a second one acts as usual.

    Outside the main thread Python takes no signals: there the flag simply stays False.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


@contextmanager
def sigterm_as_ctrl_c(*told: type[Exception]) -> Iterator[None]:
    """Within the block SIGTERM raises KeyboardInterrupt, as Ctrl-C does.

    Compiled code may make an error of its own of a KeyboardInterrupt that meets it in the middle
    (PyTorch: "could not determine the shape"). What leaves the block after a signal is therefore a
    KeyboardInterrupt whatever it was. Outside the main thread Python takes no signals: there
    nothing changes.

    Args:
        told: Errors that leave it as they are: somebody has made a sentence of the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # `nohup` ignores it
        before[signal.SIGINT] = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except Exception as error:
        if came and not isinstance(error, told):
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
