"""`python -m wtal`: the same as the `wtal` command; torchrun starts it in several processes."""

import os
import sys

from wtal.cli import main


def _end_at_once(code: object) -> None:
    """End without Python's clean-up: threads of PyTorch's gloo abort in it now and then.

    All is written and said by then; the abort would make torchrun call the training failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    try:
        main()
    except SystemExit as end:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            _end_at_once(end.code)
        raise
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _end_at_once(0)
