"""When in a video the clips of a training sample lie: CoCLR, CVRL, CMD.

Randomness comes from the generator that is passed in, a CPU one. What comes out are indices of
grid frames, in 0..N-1.

Legend: N grid frames of a video, n frames of a clip, r grid frames between two of them,
S = (n - 1) r + 1 the span.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wtal_features.augment.draws import below, chance, uniform
from wtal_features.errors import FeatureError

if TYPE_CHECKING:
    import torch

# Halvings that bring an interval of length 1 below the spacing of float64.
_HALVINGS = 54


# CoCLR -------------------------------------------------------------------------------------------


def coclr_usable(N: int, n: int = 32, r: int = 1, *, whole: bool = False) -> bool:
    """Whether a video is long enough.

    Args:
        N: Its grid frames.
        n: Frames of a clip.
        r: Their distance.
        whole: As for Kinetics: clips are never padded; else, as for UCF101, up to half a clip is.
    """
    shown = n if whole else n // 2
    return shown * r + 1 < N


def coclr_clip(N: int, generator: torch.Generator, n: int = 32, r: int = 1) -> list[int]:
    """One clip with a uniform start in 0..N - n r - 1; the last frame is never reached.

    A video of N <= n r is padded on the left with frame 0; with r > 1 its phase is random.

    Source: TengdaHan/CoCLR dataset/lmdb_dataset.py, `frame_sampler`.
    """
    if n * r >= N:
        phase = below(min(r, N), generator)
        return padded_left(range(phase, min(N, n * r), r), n)
    start = below(N - n * r, generator)
    return [start + i * r for i in range(n)]


def padded_left(indices: Sequence[int], n: int) -> list[int]:
    """The indices, behind as many zeros as are missing to n.

    Example:
        >>> padded_left([1, 2], 4)
        [0, 0, 1, 2]
    """
    return [0] * (n - len(indices)) + list(indices)


# CVRL --------------------------------------------------------------------------------------------


def cvrl_clips(
    N: int, generator: torch.Generator, n: int = 16, r: int = 2, power: float = 1.0
) -> tuple[list[int], list[int]]:
    """Two clips of a video, far apart less often than close; either may be the earlier one.

    With room = N - (n - 1) r starts, the interval between the two starts is drawn by
    `interval_share`, then the first start uniformly among those that leave room for it. A video of
    N <= (n - 1) r is repeated without end, and both starts are uniform over it.

    Args:
        N: Grid frames.
        generator: See the module.
        n: Frames of a clip.
        r: Their distance.
        power: See `interval_share`.

    Returns:
        The indices of both.

    Source: CVRL (CVPR 2021), temporal augmentation; tensorflow/models
    official/projects/video_ssl/ops/video_ssl_preprocess_ops.py, `sample_ssl_sequence`.
    """
    room = N - (n - 1) * r
    if room <= 0:
        starts = [below(N, generator), below(N, generator)]
    else:
        share = interval_share(uniform(0, 1, generator), power)
        interval = min(int(room * share), room - 1)  # a share just below 1 may round up
        first = below(room - interval, generator)
        starts = [first, first + interval]
    if chance(0.5, generator):
        starts.reverse()
    one, other = ([(start + i * r) % N for i in range(n)] for start in starts)
    return one, other


def interval_share(u: float, power: float = 1.0) -> float:
    """The inverse of F(x) = ((p + 1) x - x^(p+1)) / p on [0, 1]: density (p + 1)/p (1 - x^p).

    Args:
        u: In [0, 1), uniform.
        power: p > 0; 1 is CVRL's linearly decreasing density, with 1 - sqrt(1 - u) for x, and
            infinity the uniform one.

    Returns:
        x in [0, 1).

    Raises:
        FeatureError: If p is not above 0.

    Example:
        >>> interval_share(0.75), interval_share(0.3, math.inf)
        (0.5, 0.3)
    """
    if not power > 0:
        raise FeatureError(
            f"The interval between clips has power {power}; expected a number above 0.",
            "1 is CVRL's; inf makes all intervals equally likely.",
            code="option",
        )
    if math.isinf(power):
        return u
    if power == 1:
        return 1 - math.sqrt(1 - u)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        x = (low + high) / 2
        if ((power + 1) * x - x ** (power + 1)) / power <= u:
            low = x
        else:
            high = x
    return low


# CMD ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CmdWindows:
    """The parts of one sample of CMD, as grid frames.

    Attributes:
        clip: Of the RGB clip.
        i_frame: The I-frame.
        near: Whether the I-frame lies where it should; else none does, and it is the nearest.
        target: Of the motion that has to be predicted.
        others: Of motion elsewhere in the video, the negatives.
    """

    clip: list[int]
    i_frame: int
    near: bool
    target: list[int]
    others: list[list[int]]


@dataclass(frozen=True)
class CmdSampler:
    """Clip, I-frame beside it, motion after it, and motion elsewhere.

    Attributes:
        n, r: Frames of the RGB clip and their distance.
        gap: Grid frames between the clip's last frame and the target's first.
        future: Frames of a motion clip, consecutive.
        negatives: Motion clips besides the target; none of their frames is the target's.
        margin: The I-frame may lie so many grid frames outside the clip.
    """

    n: int = 16
    r: int = 4
    gap: int = 2
    future: int = 8
    negatives: int = 3
    margin: int = 5

    @property
    def shortest(self) -> int:
        """Grid frames that a video must have: 71; with fewer it is left out."""
        return (self.n - 1) * self.r + 1 + self.gap + self.future

    def fits(self, N: int) -> bool:
        """Whether a video of N frames has room for all parts, wherever the clip begins."""
        span = (self.n - 1) * self.r + 1 + self.gap
        starts = range(N - self.shortest + 1)
        return len(starts) > 0 and (
            self.negatives == 0 or all(sum(self._room(start + span, N)) for start in starts)
        )

    def draw(self, N: int, intra: Sequence[int], generator: torch.Generator) -> CmdWindows:
        """One sample.

        Args:
            N: Grid frames of the video.
            intra: Those that show an I-frame, in their order.
            generator: See the module.

        Raises:
            FeatureError: If the video is too short or has no I-frame.

        Source: foolwood/DRL Context-Motion-Decoupling/dataset/dataset.py,
        `MotionPredictionDataset`. There a clip without an I-frame nearby becomes zeros that are
        trained on; here it gets the nearest.
        """
        if self.shortest > N or not intra:
            raise FeatureError(
                f"A video of {N} frames with {len(intra)} I-frames; "
                f"expected at least {self.shortest} frames and one I-frame.",
                "Leave it out.",
                code="too-short",
            )
        start = below(N - self.shortest + 1, generator)
        clip = [start + i * self.r for i in range(self.n)]
        first = clip[-1] + self.gap + 1
        i_frame, near = self._i_frame(clip, intra, generator)
        others = [_run(k, self.future) for k in self._elsewhere(first, N, generator)]
        return CmdWindows(clip, i_frame, near, _run(first, self.future), others)

    def _i_frame(
        self, clip: Sequence[int], intra: Sequence[int], generator: torch.Generator
    ) -> tuple[int, bool]:
        low, high = clip[0] - self.margin, clip[-1] + self.margin
        inside = [k for k in intra if low <= k <= high]
        if inside:
            return inside[below(len(inside), generator)], True
        return min(intra, key=lambda k: max(low - k, k - high)), False

    def _room(self, first: int, N: int) -> tuple[int, int]:
        """Starts that a negative can have before a target, 0 and up, and behind it."""
        return max(0, first - self.future + 1), max(0, N - first - 2 * self.future + 1)

    def _elsewhere(self, first: int, N: int, generator: torch.Generator) -> list[int]:
        """Starts of the negatives: different ones, unless there are too few."""
        before, behind = self._room(first, N)
        after, count = first + self.future, before + behind  # the second part begins at `after`
        if self.negatives and count == 0:
            raise FeatureError(
                f"A video of {N} frames has no motion besides the target's {self.future} frames.",
                "Leave it out.",
                code="too-short",
            )
        drawn: list[int] = []
        while len(drawn) < self.negatives:
            k = below(count, generator)
            if k not in drawn or count < self.negatives:
                drawn.append(k)
        return [k if k < before else k - before + after for k in drawn]


def _run(start: int, length: int) -> list[int]:
    return list(range(start, start + length))
