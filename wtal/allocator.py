"""Keep freed memory for the next step instead of handing it back to the system.

glibc maps every block of more than 32 MB anew and unmaps it when it is freed. A training step at
the published shape takes and frees 2 GB that way, and the system clears each page again: a
sixteenth of the step (docs/log.md, 2026-11-21). The setting belongs to the process, so commands
call this and the library does not.
"""

from __future__ import annotations

import ctypes
import platform

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
LARGEST = 2**31 - 1
PAD = 2**30  # bytes of address space taken at once; only what is written to becomes memory


def keep_freed_memory() -> bool:
    """Ask glibc to; False where the C library is another one."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((M_TRIM_THRESHOLD, LARGEST), (M_TOP_PAD, PAD), (M_MMAP_MAX, 0))
    taken = [libc.mallopt(name, value) for name, value in settings]  # all of them, come what may
    return all(taken)
