"""Where to compute: what the user asked for, or the GPU if there is one."""

from __future__ import annotations

import torch

from wtal.errors import WtalError


def choose_device(wanted: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        WtalError: the name is unknown, or there is no such GPU; it never falls back in silence.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise WtalError(f"--device is {wanted!r}; expected auto, cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise WtalError(f"--device is {wanted!r}; expected auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise WtalError(
            f"--device {wanted}: PyTorch sees {torch.cuda.device_count()} GPUs here; "
            "use --device cpu, or install a PyTorch build that fits your driver."
        )
    return device
