"""Kept memory: it works where glibc is, and what is computed stays the same."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAULTS = """
import resource, sys
sys.path.insert(0, {root!r})
import torch
from wtal.allocator import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def turns(n):
    for _ in range(n):
        assert torch.ones(64, 2**20).sum() == 64 * 2**20
turns(8)  # the heap settles: small blocks in between make it grow two or three times
before = faults()
turns(5)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="The setting is one of glibc.")
def test_memory_that_is_kept_is_not_faulted_in_again() -> None:
    faults = [
        int(
            subprocess.run(
                [sys.executable, "-c", FAULTS.format(root=str(ROOT), keep=keep)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for keep in (True, False)
    ]
    assert faults[0] < faults[1] / 2
