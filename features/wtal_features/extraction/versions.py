"""What features were made with, as far as it may show in them."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_OPENCV = ("opencv-python", "opencv-contrib-python")
_PACKAGES = (
    *("wtal", "torch", "av", "numpy", "transformers"),
    *(name + kind for name in _OPENCV for kind in ("", "-headless")),
)


def made_with(device: torch.device, batch: int) -> dict[str, str]:
    """What may show in the last bits of a value, the device and the batch among it.

    Args:
        device: Where the encoders compute.
        batch: Clips that are encoded at a time.

    Returns:
        Package -> version, of those that are installed; FFmpeg's libavcodec and Python too.
    """
    found = {"device": _name_of(device), "batch": str(batch), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if "av" in found:
        import av

        found["libavcodec"] = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return found


def _name_of(device: torch.device) -> str:
    """The GPU; or of a CPU what sums are split by: its vectors and the number of threads."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        vectors = torch.backends.cpu.get_cpu_capability()
        return f"cpu, {vectors}, threads: {torch.get_num_threads()}"
    return device.type
