"""Networks with random weights: what training must beat, and what a test can run.

Their batch normalisation is set on textures. Left as it is built, with mean 0 and variance 1, a
network of small random weights shrinks its signal layer by layer until float16 holds only zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wtal_features.clips import ClipSpec

_CLIPS = 2
_SCALES = (4, 8, 16, 32)  # cells per edge of the layers of noise


def textures(clip: ClipSpec, generator: torch.Generator) -> Tensor:
    """Clips of smooth random patterns that drift, as an encoder takes them.

    Args:
        clip: Their form.
        generator: On the CPU.

    Returns:
        (2, n, S, S, 3) uint8, or (2, n, S, S, 2) float32 in px per grid frame.
    """
    n, S = clip.frames, clip.preprocess.size
    channels = 3 if clip.view == "rgb" else 2
    layers = torch.zeros(_CLIPS, channels, 2 * S, S)
    for cells in _SCALES:
        noise = torch.randn(_CLIPS, channels, 2 * cells, cells, generator=generator)
        layers += nn.functional.interpolate(noise, (2 * S, S), mode="bilinear")
    shift = max(1, S // max(n, 1) // 2)
    frames = [layers[:, :, min(i * shift, S) :][:, :, :S] for i in range(n)]
    clips = torch.stack(frames, dim=1).permute(0, 1, 3, 4, 2).contiguous()
    if clip.view == "rgb":
        return (128 + 32 * clips).clamp(0, 255).byte()
    return 3 * clips


def settle(network: nn.Module, inputs_BCTHW: Tensor) -> nn.Module:
    """Set the statistics of every batch normalisation to those of these inputs.

    Args:
        network: Changed, and put into evaluation mode.
        inputs_BCTHW: What the network takes.

    Returns:
        The network.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over what is seen
    with torch.no_grad():
        network.train()(inputs_BCTHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()
