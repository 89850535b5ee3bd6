"""Child processes: run them with this process's import path, and read what they took.

As a script, `child.py COMMAND...`, it runs the command and prints its CPU seconds and its peak
memory in MB. This step between is needed: Linux counts the memory of the process that forks into
the peak of the child, so the forking process has to be small.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence


def run_child(command: Sequence[str]) -> str:
    """Run a command that sees the packages this process sees; its output.

    Raises:
        WtalError: it did not end with 0; what it said stands on stderr.
    """
    from wtal.errors import WtalError  # the script below has no use for it

    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode:
        raise WtalError(f"`{' '.join(command)}` ended with code {done.returncode}; expected 0.")
    return done.stdout


def peak_rss_mb(command: Sequence[str]) -> float:
    """Peak resident memory of a command, in MB (1e6 bytes).

    Raises:
        WtalError: it did not end with 0.
    """
    return cpu_and_peak(command)[1]


def cpu_and_peak(command: Sequence[str]) -> tuple[float, float]:
    """CPU seconds, user and system, of a command and its own children; its peak memory in MB.

    Raises:
        WtalError: it did not end with 0.
    """
    cpu, peak = run_child([sys.executable, __file__, *command]).split()
    return float(cpu), float(peak)


def main() -> None:
    """Run the command of the arguments and print what it took."""
    import resource  # not on Windows, where only these figures are missing

    done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    sys.stdout.write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss * unit / 1e6}\n")


if __name__ == "__main__":
    main()
