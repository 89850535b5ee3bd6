"""What every process that decodes does around its own work: requests in, answers out, faults told.

Requests come on stdin, answers go to stdout, both as `wire` messages. The first answer is an
`alive` that nobody asked for: the process is ready. To each request follow answers of its own and
then one `end` or one `fault`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping
from typing import IO

from wtal_features.errors import FeatureError
from wtal_features.video.container import load_av
from wtal_features.video.limits import limit_memory
from wtal_features.video.wire import Array, Message, WireError, receive, send

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031  # Linux; fcntl names it from Python 3.10 on, elsewhere it does not exist

Send = Callable[[Mapping[str, object], Array | None], None]
Work = Callable[[Message, Send], Message]  # one request -> its `end`; raises FeatureError


def answer_all(requests: IO[bytes], answers: IO[bytes], work: Work) -> None:
    """Answer requests until the other side closes.

    Args:
        requests: Messages with a `path`, from our own side.
        answers: Where to.
        work: Does one request and sends what it gives before its end.
    """

    def reply(head: Mapping[str, object], array: Array | None = None) -> None:
        send(answers, head, array)

    while (message := receive(requests)) is not None:
        try:
            reply(work(message[0], reply))
        except FeatureError as error:
            reply(_fault(_named(error, message[0]["path"])))
        except Exception as error:
            if not _lacks_memory(error):
                raise
            problem = f"{message[0]['path']} needs more memory than one video may take."
            cure = "Scale it down first, or raise --memory-gb."
            reply(_fault(FeatureError(problem, cure, code="too-large")))


def _lacks_memory(error: Exception) -> bool:
    """Torch and OpenCV have no class of their own for it."""
    return isinstance(error, MemoryError) or "allocate" in str(error)


def _named(error: FeatureError, path: str) -> FeatureError:
    """The error with the video in it, which what is deep inside of decoding does not know."""
    if path in error.problem:
        return error
    return FeatureError(f"{path}: {error.problem}", error.cure, code=error.code)


def _fault(error: FeatureError) -> Message:
    return {"kind": "fault", "code": error.code, "problem": error.problem, "cure": error.cure}


def main(work: Work) -> int:
    """Serve on stdin and stdout until the parent closes them or is gone.

    The first argument of the process is what it may need beyond its start, in GiB.
    """
    import torch

    answers = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)  # whatever prints must not spoil the messages
    _widen(answers)
    load_av()
    torch.set_num_threads(1)  # there are as many decoders as cores
    gc.freeze()  # what was imported stays; it need not be looked through again and again
    limit_memory(float(sys.argv[1]))
    try:
        send(answers, {"kind": "alive"})  # from here on silence counts
        answer_all(sys.stdin.buffer, answers, work)
    except (BrokenPipeError, WireError):  # the parent was killed
        os._exit(1)
    return 0


def _widen(pipe: IO[bytes]) -> None:
    """Let a whole clip fit into the pipe, where the system can: fewer turns between processes."""
    try:
        import fcntl

        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, OSError):
        return
