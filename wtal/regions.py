"""Regions: time is cut in M parts, and each part of a class is one weighted mean (DCC, D5 to D7).

Shapes: N snippets of a batch, video by video, B videos, d projected dims, M regions, S slots. A
slot is one (video, class) of the batch, or the background of a video. E entries: every snippet of
every slot, so a video with two tags and a background has three entries a snippet.

Source: DCC (CVPR 2022), region features, as docs/method.md states it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Entries(NamedTuple):
    """Snippets listed once for each slot of their video, slot by slot."""

    slot_E: Tensor  # int64, which slot
    row_E: Tensor  # int64, which of the N snippets
    time_E: Tensor  # int64, position within the video
    length_E: Tensor  # int64, snippets of the video


def list_entries(lengths_B: Tensor, video_S: Tensor) -> Entries:
    """Entries of slots.

    Args:
        lengths_B: snippets of each video.
        video_S: which video of the batch a slot belongs to.
    """
    starts_B = lengths_B.cumsum(0) - lengths_B
    lengths_S = lengths_B[video_S]
    slot_E = torch.repeat_interleave(lengths_S)
    first_S = lengths_S.cumsum(0) - lengths_S
    time_E = torch.arange(len(slot_E), device=slot_E.device) - first_S[slot_E]
    return Entries(slot_E, starts_B[video_S][slot_E] + time_E, time_E, lengths_S[slot_E])


def cut_uniform(entries: Entries, M: int) -> Tensor:
    """Region m holds the bins floor(m T / M) .. floor((m+1) T / M) - 1; fewer than M leave gaps."""
    # t < floor((m+1) T / M) and t >= floor(m T / M)  <=>  m = floor(((t+1) M - 1) / T)
    return ((entries.time_E + 1) * M - 1) // entries.length_E


def cut_by_mass(entries: Entries, weight_E: Tensor, S: int, M: int) -> Tensor:
    """Regions of equal weight: the m-th holds what lies between m/M and (m+1)/M of the sum."""
    total_S = weight_E.new_zeros(S).index_add_(0, entries.slot_E, weight_E)
    before_S = total_S.cumsum(0) - total_S
    middle_E = weight_E.cumsum(0) - 0.5 * weight_E - before_S[entries.slot_E]
    share_E = middle_E / total_S[entries.slot_E].clamp(min=1e-12)
    return (share_E * M).long().clamp(0, M - 1)


def cut_by_runs(entries: Entries, weight_E: Tensor, S: int, M: int) -> Tensor:
    """One region per run of weighted snippets, the M longest in order; others get -1.

    Ties in length go to the earlier run.
    """
    region_E = torch.full_like(entries.slot_E, -1)
    on_E = weight_E > 0
    starts_run_E = on_E.clone()
    starts_run_E[1:] &= ~on_E[:-1] | (entries.slot_E[1:] != entries.slot_E[:-1])
    run_E = starts_run_E.long().cumsum(0) - 1
    run_on = run_E[on_E]
    if len(run_on) == 0:
        return region_E
    length_R = torch.bincount(run_on)
    slot_R = entries.slot_E[starts_run_E]
    # Rank of each run in its slot, longest first.
    order_R = torch.argsort(length_R, descending=True, stable=True)
    order_R = order_R[torch.argsort(slot_R[order_R], stable=True)]
    first_S = torch.searchsorted(slot_R[order_R].contiguous(), torch.arange(S, device=run_E.device))
    rank_R = torch.empty_like(order_R)
    rank_R[order_R] = torch.arange(len(order_R), device=run_E.device) - first_S[slot_R[order_R]]
    kept_R = rank_R < M
    # Regions are numbered in time among the kept ones.
    kept_before_R = kept_R.long().cumsum(0) - kept_R.long()
    first_kept_S = kept_before_R[torch.searchsorted(slot_R, slot_R)]
    number_R = torch.where(kept_R, kept_before_R - first_kept_S, -1)
    region_E[on_E] = number_R[run_on]
    return region_E


def action_weights(labels_NC: Tensor, confidence_NC: Tensor) -> Tensor:
    """P S: the weight of a snippet in the action regions of a class (D5), (N, C+1)."""
    return labels_NC * confidence_NC


def background_weights(
    labels_NC: Tensor, confidence_NC: Tensor, tagged_NC: Tensor, how: str
) -> Tensor:
    """The weight of a snippet in background regions (D6), (N, C+1).

    Args:
        labels_NC: bool pseudo-labels, background last.
        confidence_NC: S.
        tagged_NC: (N, C) bool, tags of the snippet's video.
        how: `class`, as printed: (1 - P) S in the column of each class. `union`, in the last one:
            no tag is labelled, times the least of their S; where a video has two tags the printed
            form takes the one action for background of the other. `row`, in the last one: P S of
            the background itself.
    """
    if how == "row":
        return action_weights(labels_NC, confidence_NC)
    if how == "class":
        weight_NC = ~labels_NC * confidence_NC
        weight_NC[:, -1] = 1  # a video without tags is all background
        return weight_NC
    none_N = ~(labels_NC[:, :-1] & tagged_NC).any(1)
    least_N = confidence_NC[:, :-1].masked_fill(~tagged_NC, 1).amin(1)
    return (none_N * least_N).unsqueeze(1).expand_as(labels_NC)


class Regions(NamedTuple):
    """One vector for each slot and region."""

    vectors_SMd: Tensor  # average pooling of w X inside the region; zero where not valid
    valid_SM: Tensor  # bool, some weight fell into it


def pool(
    x_Nd: Tensor, entries: Entries, region_E: Tensor, weight_E: Tensor, S: int, M: int
) -> Regions:
    """r_m = mean over the region of w_t X_t (D7).

    Args:
        x_Nd: projected snippets; gradients flow through them.
        entries: snippets of the slots.
        region_E: int64 in 0 .. M-1; -1 belongs to none.
        weight_E: P S of D5, or its background counterpart of D6; in [0, 1].
        S: number of slots.
        M: number of regions.
    """
    used_E = (region_E >= 0) & (weight_E > 0)
    inside_E = region_E >= 0
    cell_E = entries.slot_E * M + region_E
    size_SM = torch.bincount(cell_E[inside_E], minlength=S * M).clamp(min=1)
    cell_U, weight_U1 = cell_E[used_E], weight_E[used_E].unsqueeze(1)
    total_SMd = x_Nd.new_zeros(S * M, x_Nd.shape[1]).index_add(
        0, cell_U, x_Nd[entries.row_E[used_E]] * weight_U1
    )
    valid_SM = torch.bincount(cell_U, minlength=S * M) > 0
    vectors_SMd = total_SMd / size_SM.unsqueeze(1)
    return Regions(vectors_SMd.view(S, M, x_Nd.shape[1]), valid_SM.view(S, M))


def fill_empty(regions: Regions, how: str) -> Regions:
    """What an empty region is: `skip` (not valid), `zero` (a valid zero vector), or `nearest`.

    `nearest` copies the nearest valid region of its slot, the earlier one in a tie; a slot that has
    none stays without.
    """
    vectors_SMd, valid_SM = regions
    if how == "skip":
        return regions
    if how == "zero":
        return Regions(vectors_SMd, torch.ones_like(valid_SM))
    M = valid_SM.shape[1]
    place_M = torch.arange(M, device=valid_SM.device)
    # Twice the distance, plus one for a later region: ties go to the earlier.
    distance_MM = 2 * (place_M.unsqueeze(1) - place_M).abs() + (place_M > place_M.unsqueeze(1))
    far = 2 * M + 2
    nearest_SM = torch.where(valid_SM.unsqueeze(1), distance_MM, far).argmin(2)
    filled_SMd = vectors_SMd.gather(1, nearest_SM.unsqueeze(2).expand_as(vectors_SMd))
    return Regions(filled_SMd, valid_SM.any(1, keepdim=True).expand(-1, M))
