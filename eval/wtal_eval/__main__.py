"""`python -m wtal_eval`: the evaluator as a command, without the rest of the project."""

import os
import sys

# Nothing here multiplies matrices, and starting the threads for it is half of `import numpy`.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from wtal_eval.command import main

if __name__ == "__main__":
    sys.exit(main())
