"""Corrections in training: what is known of a batch, and the terms that teach it.

Shapes: B videos, T snippets (padded), N snippets of a batch, C action classes, V training videos.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from wtal.corrections.file import Corrections
from wtal.corrections.targets import HERE, NOT_HERE, UNKNOWN, snippet_targets
from wtal.data import Batch, TrainingVideos
from wtal.errors import WtalError
from wtal.losses import corrected
from wtal.model import Output
from wtal.notices import some
from wtal.peers import ALONE, Peers
from wtal_features import FeatureStore

SLACK_S = 1.0  # a player and a decoder may differ by so much at the end of a video


@dataclass(frozen=True)
class CorrectionsConfig:
    """How much corrections weigh; without a corrections file nothing reads this."""

    classes_weight: float = 0.1
    """Of the cross-entropy of the suppression branch where a class is known to be, or not to be."""
    attention_weight: float | Literal["auto"] = "auto"
    """Of the cross-entropy of the attention where action or background is known. `auto` is .3, and
    .05 with DCC, which teaches its attention from the labels of all videos: a few corrected ones
    must not overrule those (docs/decisions/0018)."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("classes_weight", "attention_weight"):
            value = getattr(self, name)
            if value != "auto" and value < 0:
                raise WtalError(f"corrections.{name} is {value}; expected at least 0.")

    def weights(self, *, denoised: bool) -> dict[str, float]:
        """Weight of each term of losses/corrected.py; `denoised`: DCC's labels teach as well."""
        attention = self.attention_weight
        if attention == "auto":
            attention = 0.05 if denoised else 0.3
        return {"corrected_classes": self.classes_weight, "corrected_attention": attention}


class Known(NamedTuple):
    """What corrections say of the snippets of a batch, one below the other."""

    here_NC: Tensor  # bool: the class happens
    not_here_NC: Tensor  # bool: it does not
    background_N: Tensor  # bool: none of the video's classes does
    video_N: Tensor  # int64, video of each snippet

    def override(self, labels_NC: Tensor) -> Tensor:
        """Pseudo-labels (N, C+1) with what is known in their place."""
        action_N1 = self.here_NC.any(1, keepdim=True)
        background_N1 = self.background_N.unsqueeze(1)
        here_NC = torch.cat([self.here_NC, background_N1], dim=1)
        not_here_NC = torch.cat([self.not_here_NC, action_N1], dim=1)
        return (labels_NC | here_NC) & ~not_here_NC

    def certain(self, confidence_NC: Tensor) -> Tensor:
        """Confidence (N, C+1) with 1 where something is known."""
        known_NC = self.here_NC | self.not_here_NC
        of_background_N = self.here_NC.any(1) | self.background_N
        known_NC = torch.cat([known_NC, of_background_N.unsqueeze(1)], dim=1)
        return torch.where(known_NC, torch.ones_like(confidence_NC), confidence_NC)


class Supervision:
    """The corrected training videos, snippet by snippet.

    Args:
        weights: of the terms, by name.
        targets: index of a training video -> (n, C) int8, see targets.py.
        peers: the processes that share a batch.
    """

    def __init__(
        self, weights: Mapping[str, float], targets: Mapping[int, Tensor], peers: Peers = ALONE
    ) -> None:
        self.weights, self.targets, self.peers = weights, targets, peers

    def known(self, batch: Batch) -> Known:
        """What is known of the snippets that the bins of a batch show."""
        mask_BT = batch.mask_BT
        N, C = int(mask_BT.sum()), batch.labels_BC.shape[1]
        lengths_B = mask_BT.sum(1)
        video_N = torch.repeat_interleave(lengths_B)
        target_NC = torch.full((N, C), UNKNOWN, dtype=torch.int8, device=mask_BT.device)
        position_N, start = batch.positions_BT[mask_BT], 0
        seen_B = torch.zeros_like(lengths_B, dtype=torch.bool)
        for b, (video, T) in enumerate(
            zip(batch.videos_B.tolist(), lengths_B.tolist(), strict=True)
        ):
            if video in self.targets:
                rows = slice(start, start + T)
                target_NC[rows] = self.targets[video][position_N[rows]]
                seen_B[b] = True
            start += T
        here_NC, not_here_NC = target_NC == HERE, target_NC == NOT_HERE
        absent_NC = not_here_NC | (batch.labels_BC[video_N] == 0)
        background_N = absent_NC.all(1) & ~here_NC.any(1) & seen_B[video_N]
        return Known(here_NC, not_here_NC, background_N, video_N)

    def terms(self, output: Output, batch: Batch, known: Known) -> dict[str, Tensor]:
        """The terms of losses/corrected.py by name, unweighted; their sums over processes count."""
        mask_BT, (here_NC, not_here_NC, background_N, video_N) = batch.mask_BT, known
        supp_NC = output.cas_supp_BTC[mask_BT][:, :-1]
        attention_N = output.attention_BT[mask_BT]
        action_N = here_NC.any(1)
        return {
            "corrected_classes": corrected.classes(
                *(supp_NC, here_NC, not_here_NC, video_N), self.peers.total
            ),
            "corrected_attention": corrected.attention(
                *(attention_N, action_N, background_N, video_N), self.peers.total
            ),
        }

    def weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Their weighted sum."""
        first, *rest = (self.weights[name] * value for name, value in terms.items())
        return sum(rest, first)


def supervise(
    corrections: Corrections | None,
    weights: Mapping[str, float],
    store: FeatureStore,
    videos: TrainingVideos,
    device: torch.device | str,
    peers: Peers = ALONE,
) -> Supervision | None:
    """The supervision that corrections give; None where none of these videos was corrected.

    Raises:
        FeatureError: the store does not know the time base of a corrected video.
    """
    if corrections is None:
        return None
    targets: dict[int, Tensor] = {}
    for v, name in enumerate(videos.names):
        said = corrections.videos.get(name)
        if said is not None and said.says_anything:
            seconds = store.timing(name).seconds_per_snippet
            n = videos.length(name)
            targets[v] = torch.from_numpy(snippet_targets(said, videos.classes, n, seconds)).to(
                device
            )
    return Supervision(weights, targets, peers) if targets else None


def past_the_end(
    corrections: Corrections | None, store: FeatureStore, videos: TrainingVideos
) -> list[str]:
    """A sentence about corrected videos that are shorter than their corrections."""
    beyond = []
    corrected = {} if corrections is None else corrections.videos
    for name in videos.names:
        said = corrected.get(name)
        if said is not None and said.segments:
            timing = store.timing(name)
            end_s = videos.length(name) * timing.seconds_per_snippet
            end_s = max(end_s, timing.duration_s or 0.0)
            if max(each.end_s for each in said.segments) > end_s + SLACK_S:
                beyond.append(name)
    if not beyond:
        return []
    return [
        "Corrections that go on after the end of their video count up to there. In these videos: "
        f"{some(beyond)}. Are the frames per second and the stride of the features right?"
    ]
