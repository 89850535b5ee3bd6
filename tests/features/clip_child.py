"""Stands for `clipworker` where it is the processes that matter: it does what the path says.

A process of its own: `python -m tests.features.clip_child MEMORY_GB`.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from wtal_features.video.wire import receive, send

FRAME = np.zeros((2, 2, 3), np.uint8)


def main() -> None:
    answers = sys.stdout.buffer
    send(answers, {"kind": "alive"})
    while (message := receive(sys.stdin.buffer)) is not None:
        act = Path(message[0]["path"]).name
        send(answers, {"kind": "frame", "times": 1, "intra": True, "of": os.getpid()}, FRAME)
        if act == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif act == "leave":
            sys.exit(3)
        elif act == "hang":
            time.sleep(60)
        elif act == "babble":
            answers.write(b"\xff" * 64)
            answers.flush()
        elif act == "fault":
            send(answers, {"kind": "fault", "code": "x", "problem": "It is odd.", "cure": ""})
        else:
            send(answers, {"kind": "end"})


if __name__ == "__main__":
    main()
