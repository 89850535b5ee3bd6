"""What a run says of one video: from its T-CAS over pseudo-labels and regions to its detections.

Shapes: n snippets, T bins, C action classes (column index C is the background), S slots (one per
tag, and the background), M regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wtal.data import Batch, grid_positions
from wtal.dcc import DenoisedContrast, Snippets
from wtal.errors import WtalError
from wtal.inputs import Labels
from wtal.inspection.run import Heads, InspectedRun
from wtal.inspection.timeline import Segment
from wtal.localize import VideoDetections, VideoScores
from wtal.losses.mil import top_k_mean
from wtal.pseudo_labels import activations, pseudo_labels
from wtal_eval import Annotations
from wtal_features import FeatureStore

FloatTC = NDArray[np.float32]
MOST_CLASSES = 6  # shown of one video


class Denoised(NamedTuple):
    """What the clusters make of the pseudo-labels."""

    confidence_TC: FloatTC  # S
    slots: tuple[tuple[int, bool], ...]  # S times (class, is it a background slot)
    region_ST: NDArray[np.int64]  # region 0 .. M-1 of every bin; -1: of none
    valid_SM: NDArray[np.bool_]  # some weight fell into the region


@dataclass(frozen=True)
class Insight:
    """One video of one run."""

    video: str
    run: str
    classes: tuple[str, ...]  # C names
    shown: tuple[int, ...]  # classes to draw
    gates: tuple[str, ...]  # classes whose pseudo-labels may be set
    seconds_per_bin: float
    cas_TC: FloatTC  # the activations that are thresholded, background last
    cas_name: str
    attention_T: NDArray[np.float32]
    labels_TC: NDArray[np.bool_]  # P
    denoised: Denoised | None  # None where the run has no clusters
    detections: VideoDetections
    truth: tuple[Segment, ...]
    notes: tuple[str, ...]  # sentences the reader must know


def look(
    run: InspectedRun, store: FeatureStore, video: str, labels: Labels | None = None
) -> Insight:
    """Ask a run about one video.

    Args:
        run: an opened run.
        store: features.
        video: any video of the store, of the training or not.
        labels: tags and annotations; the tags gate the pseudo-labels as in training. Without them,
            or for a video they do not name, the classes that are localized do.

    Raises:
        WtalError: the store does not hold the video.
        FeatureError: its features have a fault.
    """
    features_nD = _read(store, video)
    seconds = store.timing(video).seconds_per_snippet
    heads = run.heads(features_nD)
    scores = _scores(run, heads, len(features_nD))
    detections = run.localizer.segments(scores, seconds)
    tags = None if labels is None else labels.tags.get(video)
    kept = tuple(run.classes[c] for c in run.localizer.kept_classes(scores.class_scores_C))
    gates = kept if tags is None else tags
    tags_1C = torch.tensor([[name in gates for name in run.classes]]).to(run.device)
    contrast = run.contrast(tags_1C)
    batch = _batch(heads, tags_1C, len(features_nD))
    cas_TC, labels_TC, denoised = _labels(run, contrast, heads, batch)
    annotations = None if labels is None else labels.annotations
    truth = () if annotations is None else segments_by_video(annotations).get(video, ())
    shown, hidden = _shown(run.classes, gates, kept, truth)
    return Insight(
        video,
        str(run.folder),
        run.classes,
        shown,
        gates,
        seconds * scores.snippets_per_bin,
        cas_TC.cpu().numpy(),
        run.config.dcc.pseudo.source,
        scores.attention_T,
        labels_TC.cpu().numpy(),
        denoised,
        detections,
        tuple(truth),
        (*_gate_notes(tags, gates, labels, hidden), *run.notes(contrast)),
    )


def segments_by_video(annotations: Annotations) -> dict[str, list[Segment]]:
    """Annotated segments, video by video."""
    found: dict[str, list[Segment]] = {}
    columns = annotations.video, annotations.label, annotations.start, annotations.end
    for video, label, start, end in zip(*(part.tolist() for part in columns), strict=True):
        segment = annotations.labels[label], start, end
        found.setdefault(annotations.videos[video], []).append(segment)
    return found


def _read(store: FeatureStore, video: str) -> NDArray[np.float32]:
    """Features of a video; a wrong name is answered with the nearest."""
    if video not in store:
        nearest = get_close_matches(video, store.videos, n=1, cutoff=0)[0]
        raise WtalError(
            f"{store.root} has no features of the video {video!r}; the nearest name is {nearest!r}."
        )
    return np.ascontiguousarray(store.read(video), np.float32)


def _scores(run: InspectedRun, heads: Heads, n: int) -> VideoScores:
    """What the localizer reads, without another forward pass."""
    T = len(heads.attention_T)
    everything_1T = torch.ones(1, T, dtype=torch.bool, device=run.device)
    logits_1C = top_k_mean(
        heads.supp_TC.unsqueeze(0), everything_1T, ratio=run.localizer.topk_ratio
    )
    return VideoScores(
        heads.supp_TC[:, :-1].cpu().numpy(),
        heads.attention_T.cpu().numpy(),
        logits_1C.softmax(1)[0, :-1].cpu().numpy(),
        n / T,
    )


def _batch(heads: Heads, tags_1C: Tensor, n: int) -> Batch:
    """The video as training would meet it, but for the jitter of sampling."""
    device, T = tags_1C.device, len(heads.attention_T)
    return Batch(
        heads.features_TD.unsqueeze(0),
        torch.ones(1, T, dtype=torch.bool, device=device),
        tags_1C.float(),
        torch.zeros(1, dtype=torch.int64, device=device),
        torch.from_numpy(grid_positions(n, T)).to(device).unsqueeze(0),
    )


@torch.no_grad()
def _labels(
    run: InspectedRun, contrast: DenoisedContrast | None, heads: Heads, batch: Batch
) -> tuple[Tensor, Tensor, Denoised | None]:
    """Activations (T, C+1), pseudo-labels P, and what the clusters make of them."""
    pseudo = run.config.dcc.pseudo
    cas_TC = activations(heads.attention_T, heads.base_TC, heads.supp_TC, pseudo.source)
    if contrast is None or run.state is None:
        video_T = torch.zeros_like(cas_TC[:, 0], dtype=torch.int64)
        return cas_TC, pseudo_labels(cas_TC, video_T, batch.labels_BC, pseudo), None
    snippets = contrast.snippets(heads.as_output(), batch, run.state.step)
    return cas_TC, snippets.labels_NC, _denoised(contrast, snippets, batch.videos_B)


def _denoised(contrast: DenoisedContrast, snippets: Snippets, videos_B: Tensor) -> Denoised:
    """Confidence, and which bins and which weight the regions of every slot have."""
    _, regions = contrast.regions(snippets, videos_B)
    index_S, _, region_E, _ = contrast.layout(snippets, videos_B)
    slots = contrast.bank.slots.select(index_S)
    pairs = zip(slots.class_S.tolist(), slots.background_S.tolist(), strict=True)
    return Denoised(
        snippets.confidence_NC.cpu().numpy(),
        tuple(pairs),
        region_E.view(len(index_S), -1).cpu().numpy(),  # one video: every slot has all of its bins
        regions.valid_SM.cpu().numpy(),
    )


def _shown(
    classes: Sequence[str], gates: Sequence[str], kept: Sequence[str], truth: Sequence[Segment]
) -> tuple[tuple[int, ...], int]:
    """Classes to draw, tags first, and how many there is no room for."""
    wanted = dict.fromkeys((*gates, *kept, *sorted({label for label, _, _ in truth})))
    known = tuple(classes.index(name) for name in wanted if name in classes)
    return known[:MOST_CLASSES], max(0, len(known) - MOST_CLASSES)


def _gate_notes(
    tags: Sequence[str] | None, gates: Sequence[str], labels: Labels | None, hidden: int
) -> list[str]:
    """Where the gate of the pseudo-labels came from, and what is not drawn."""
    if tags is None:
        whose = "no tags were given" if labels is None else f"{labels.source} lacks this video"
        found = [f"Labels are gated by the localized class ({', '.join(gates)}): {whose}."]
    else:
        found = [f"Tags: {', '.join(tags) or 'none'}."]
    return [*found, f"{hidden} more classes are not drawn."] if hidden else found
