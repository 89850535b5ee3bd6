"""Region memory bank: the action and background regions of every training video (DCC, D8).

Shapes: V training videos, C action classes, S slots, M regions, d projected dims.

A slot is one (video, class) pair of the tags, or the background of a video: M region vectors, which
of them are valid, and the step at which they were written. Memory is S M d numbers; THUMOS14 has
427 slots, 4.4 MB at M = 5 and d = 512.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NEVER = -1


class Slots(NamedTuple):
    """What the slots of a set are; slots of one video are neighbours, its background is last."""

    video_S: Tensor  # int64
    class_S: Tensor  # int64; C for the one background of a video
    background_S: Tensor  # bool

    @classmethod
    def of(cls, labels_VC: Tensor, *, background_per_class: bool = False) -> Slots:
        """One slot per tag, and one background per video.

        Args:
            labels_VC: 0/1 tags.
            background_per_class: a background per tag (literal D6) instead of one per video; a
                video without tags has one either way.
        """
        C = labels_VC.shape[1]
        rows: list[tuple[int, int, bool]] = []
        for v, tags_C in enumerate((labels_VC > 0).tolist()):
            tagged = [c for c, tag in enumerate(tags_C) if tag]
            backgrounds = tagged if background_per_class and tagged else [C]
            rows += [(v, c, False) for c in tagged] + [(v, c, True) for c in backgrounds]
        videos, classes, background = zip(*rows, strict=True)
        return cls(torch.tensor(videos), torch.tensor(classes), torch.tensor(background))

    def to(self, device: torch.device | str) -> Slots:
        """The same on another device."""
        return Slots(*(part.to(device) for part in self))

    def select(self, index_A: Tensor) -> Slots:
        """The slots at these indices."""
        return Slots(*(part[index_A] for part in self))


class RegionBank:
    """Args: the slots of all training videos, M, d, and where to keep the vectors."""

    def __init__(self, slots: Slots, M: int, d: int, device: torch.device | str = "cpu") -> None:
        S = len(slots.video_S)
        self.slots = slots.to(device)
        self.vectors_SMd = torch.zeros(S, M, d, device=device)
        self.valid_SM = torch.zeros(S, M, dtype=torch.bool, device=device)
        self.written_S = torch.full((S,), NEVER, device=device)
        n_videos = int(slots.video_S.max()) + 1
        bounds = torch.searchsorted(slots.video_S.contiguous(), torch.arange(n_videos + 1))
        self._first = bounds.tolist()

    def of_videos(self, videos_B: Tensor) -> Tensor:
        """Indices of the slots of these videos, video by video."""
        pieces = [torch.arange(self._first[v], self._first[v + 1]) for v in videos_B.tolist()]
        return torch.cat([torch.arange(0), *pieces]).to(self.written_S.device)

    def update(
        self, index_A: Tensor, vectors_AMd: Tensor, valid_AM: Tensor, step: int, momentum: float = 0
    ) -> None:
        """Write what a visit gave.

        Args:
            index_A: which slots.
            vectors_AMd: their regions; only valid ones are kept.
            valid_AM: bool.
            step: of the visit.
            momentum: share of the earlier vector that stays, where there is one.
        """
        new_AMd = vectors_AMd.detach().to(self.vectors_SMd.dtype)
        if momentum:
            both_AM1 = (valid_AM & self.valid_SM[index_A]).unsqueeze(2)
            mixed_AMd = torch.lerp(new_AMd, self.vectors_SMd[index_A], momentum)
            length_AM1 = new_AMd.norm(dim=2, keepdim=True)  # 1 where regions are normalised
            mixed_AMd = torch.nn.functional.normalize(mixed_AMd, dim=2) * length_AM1
            new_AMd = torch.where(both_AM1, mixed_AMd, new_AMd)
        self.vectors_SMd[index_A] = new_AMd.masked_fill(~valid_AM.unsqueeze(2), 0)
        self.valid_SM[index_A] = valid_AM
        self.written_S[index_A] = step

    def newest(self, cap: int) -> Tensor:
        """(S,) bool: the `cap` newest written slots of every class; 0: all that were written."""
        written_S = self.written_S > NEVER
        if cap == 0:
            return written_S
        kind_S = 2 * self.slots.class_S + self.slots.background_S
        order_S = torch.argsort(self.written_S, descending=True, stable=True)
        order_S = order_S[torch.argsort(kind_S[order_S], stable=True)]
        sorted_S = kind_S[order_S].contiguous()
        rank_S = torch.empty_like(order_S)
        rank_S[order_S] = torch.arange(len(order_S), device=order_S.device) - torch.searchsorted(
            sorted_S, sorted_S
        )
        return written_S & (rank_S < cap)

    def coverage(self) -> float:
        """Share of the slots that were ever written."""
        return (self.written_S > NEVER).float().mean().item()

    def age(self, step: int) -> float:
        """Mean steps since the written slots were; 0 if none was."""
        written_W = self.written_S[self.written_S > NEVER]
        return (step - written_W.double()).mean().item() if len(written_W) else 0.0

    def state(self) -> dict[str, Tensor]:
        """What resume needs."""
        return {"vectors": self.vectors_SMd, "valid": self.valid_SM, "written": self.written_S}

    def load(self, state: dict[str, Tensor]) -> None:
        """Put a saved state back."""
        self.vectors_SMd.copy_(state["vectors"])
        self.valid_SM.copy_(state["valid"])
        self.written_S.copy_(state["written"])
