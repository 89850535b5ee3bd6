"""What a run was made with: versions, machine, commit, inputs."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from wtal import __version__

PACKAGES = ("numpy", "scipy", "safetensors", "torch")


def describe(inputs: Mapping[str, Any], seed: int, device: torch.device | str) -> dict[str, Any]:
    """Everything but the config that a figure may depend on."""
    return {
        "wtal": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": machine(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "seed": seed,
        "inputs": dict(inputs),
    }


def machine() -> str:
    """Processor, cores and operating system in a few words."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def _commit() -> str | None:
    """Commit of the checkout this file lies in; None for an installed wheel."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
