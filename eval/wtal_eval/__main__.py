"""`python -m wtal_eval`: the evaluator as a command, without the rest of the project."""

import sys

from wtal_eval.command import main

if __name__ == "__main__":
    sys.exit(main())
