"""What became of an input: a value, a refusal in one sentence that names the file, or a crash."""

from __future__ import annotations

import resource
import shutil
import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.fuzz.cases import Files, write_case
from tests.fuzz.readers import Read, Reader
from tests.fuzz.tokens import MARKER

CPU_S = 10  # tiny files take milliseconds
GROWTH_MB = 512  # of the memory in use
LONGEST = 2300  # characters of a refusal: what is wrong is cut at 2000, and a cure may follow
_ERRORS = ("WtalError", "FeatureError", "EvalError")


@dataclass(frozen=True)
class Verdict:
    """What one input led to.

    Attributes:
        kind: `accepted` if some call gave a value and none crashed.
        what: Of a refusal its code, of a crash what it was and where.
        note: Of a crash, what was said.
    """

    kind: Literal["accepted", "refused", "crash"]
    what: str = ""
    note: str = ""


class _TooLongError(BaseException):
    """Not an `Exception`, so that no reader takes it for its own."""


def judge(reader: Reader, files: Files, folder: Path) -> Verdict:
    """Give an input to every call of a reader.

    Args:
        reader: Under test.
        files: The input.
        folder: For it, made anew; the working folder must be its parent.
    """
    verdicts = []
    for read in reader.reads:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_case(folder, files)
        verdicts.append(_judge_call(read, files, folder))
    order = {"crash": 0, "accepted": 1, "refused": 2}
    return min(verdicts, key=lambda verdict: order[verdict.kind])


def _judge_call(read: Read, files: Files, folder: Path) -> Verdict:
    before = _peak_mb()
    try:
        with warnings.catch_warnings(), _at_most(CPU_S):
            warnings.simplefilter("error")
            read(folder)
        verdict = Verdict("accepted")
    except (Exception, _TooLongError) as error:  # noqa: BLE001 (that is the question)
        verdict = _of_error(error, read, files, folder)
    if _peak_mb() - before > GROWTH_MB:
        return Verdict("crash", f"{read.__name__}: too much memory", f"{_peak_mb() - before} MB")
    marker = folder.parent / MARKER
    if marker.exists():
        marker.unlink()
        return Verdict("crash", f"{read.__name__}: code of the file was run")
    return verdict


def _of_error(error: BaseException, read: Read, files: Files, folder: Path) -> Verdict:
    message = str(error)
    if type(error).__name__ not in _ERRORS:
        what = f"{type(error).__name__} at {_place(error)}"
        return Verdict("crash", f"{read.__name__}: {what}", message[:200])
    names = [str(folder), *(Path(name).name for name in files)]
    if not any(name in message for name in names):
        return Verdict("crash", f"{read.__name__}: a refusal without the file", message[:200])
    if len(message) > LONGEST or not message.isprintable():
        return Verdict("crash", f"{read.__name__}: a refusal that cannot be read", message[:200])
    return Verdict("refused", str(getattr(error, "code", "")))


def _place(error: BaseException) -> str:
    """The innermost line of the project that an error passed."""
    frames = traceback.extract_tb(error.__traceback__)
    rooms = {"wtal", "wtal_features", "wtal_eval"}
    own = [frame for frame in frames if rooms & set(Path(frame.filename).parts)] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """End what takes longer, in seconds of the processor: the machine may be busy."""

    def ring(*_: object) -> None:
        raise _TooLongError(f"no end after {seconds:g} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
