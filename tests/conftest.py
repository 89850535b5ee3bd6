"""One thread: the toys are too small to share out, and the machine may be busy."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # also for the processes that tests start
