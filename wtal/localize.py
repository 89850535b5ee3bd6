"""The localizer: a trained network and features in, scored segments in seconds out.

Shapes: n snippets of a video, D feature dims, T bins, C classes, N detections.

One video at a time, always: a video's result never depends on what it was batched with, and memory
does not grow with the number of videos.

Source: BaS-Net (AAAI 2020) inference as released, Pilhyeon/BaSNet-pytorch@c8c6bbd test.py, repaired
as docs/method.md says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from wtal.compat import Compat
from wtal.context import CONTEXT_FILE, Context, open_context
from wtal.data import DataConfig, bins_of, grid_positions
from wtal.errors import WtalError
from wtal.losses.mil import top_k_mean
from wtal.model import BaSNet
from wtal.proposals import normalise, propose, upsample
from wtal.runs import check_run
from wtal_eval.nms import hard_nms
from wtal_eval.soft_nms import soft_nms
from wtal_features import FeatureError, FeatureStore

FloatnD = NDArray[np.float32]
CHUNK = 8192  # snippets per forward pass of a long video
HALO = 2  # two kernel-3 convolutions see this far


@dataclass(frozen=True)
class LocalizeConfig:
    """From scores to segments."""

    class_threshold: float = 0.1
    """Classes with a video score (softmax over C+1) from here on are localized; else the best. At
    the published .25 a video with three tags cannot have them all (docs/decisions/0009)."""
    thresholds: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
    """Levels of the normalised T-CAS; proposals of all levels compete in the suppression."""
    upsample: int = 24
    """Points per bin: the resolution of borders."""
    oic_margin: float = 0.25
    """Width of the outside on each side, as a share of the proposal's length."""
    class_score_weight: float = 0.2
    """Weight of the video's class score in a proposal's score."""
    nms: Literal["soft", "hard", "none"] = "soft"
    """Suppression per class, over all levels together; `soft` is Gaussian, `hard` as published."""
    nms_threshold: float = 0.7
    """tIoU from which `hard` removes a segment."""
    soft_sigma: float = 0.3
    """`soft` multiplies a score by exp(-tIoU^2 / sigma)."""
    min_score: float = 0.001
    """`soft` drops a segment whose decayed score falls below it."""
    max_detections: int = 0
    """Best detections kept per video; 0: all."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.upsample < 1 or self.max_detections < 0:
            raise WtalError("localize.upsample must be at least 1, max_detections at least 0.")
        if not self.thresholds:
            raise WtalError("localize.thresholds is empty; expected at least one number.")
        if not all(0 <= level < 1 for level in self.thresholds):
            raise WtalError(
                f"localize.thresholds is {list(self.thresholds)}; expected levels in [0, 1)."
            )
        if not 0 <= self.class_threshold <= 1:
            raise WtalError(f"localize.class_threshold is {self.class_threshold}; expected [0, 1].")
        if not 0 < self.nms_threshold <= 1:
            raise WtalError(f"localize.nms_threshold is {self.nms_threshold}; expected (0, 1].")
        if self.oic_margin < 0 or self.soft_sigma <= 0:
            raise WtalError("localize.oic_margin must be at least 0 and soft_sigma above 0.")


class VideoScores(NamedTuple):
    """What the network says of one video."""

    cas_TC: NDArray[np.float32]  # suppression branch, action classes only, logits
    attention_T: NDArray[np.float32]  # foreground weight
    class_scores_C: NDArray[np.float32]  # softmax over C+1, without the background
    snippets_per_bin: float  # n / T


@dataclass(frozen=True)
class VideoDetections:
    """Detections of one video, by class and then by falling score."""

    labels: tuple[str, ...]
    starts_N: NDArray[np.float64]  # seconds
    ends_N: NDArray[np.float64]  # seconds
    scores_N: NDArray[np.float64]
    class_scores: dict[str, float]  # every class
    skipped: bool = False  # no entry in the result file, see compat.skip_unsure_videos

    def as_dicts(self) -> list[dict[str, object]]:
        """ActivityNet form, times to the microsecond."""
        return [
            {"label": label, "score": round(score, 8), "segment": [round(start, 6), round(end, 6)]}
            for label, score, start, end in zip(
                self.labels,
                self.scores_N.tolist(),
                self.starts_N.tolist(),
                self.ends_N.tolist(),
                strict=True,
            )
        ]


@dataclass(frozen=True)
class Localizer:
    """Args: network in evaluation mode, its class names, how to read scores, and its context."""

    network: BaSNet
    classes: tuple[str, ...]
    config: LocalizeConfig = LocalizeConfig()
    data: DataConfig = DataConfig()  # noqa: RUF009 - frozen
    compat: Compat = Compat()  # noqa: RUF009 - frozen
    topk_ratio: int = 8
    context: Context | None = None  # features are given raw, and refined here

    @classmethod
    def load(
        cls,
        run: Path | str,
        device: torch.device | str = "cpu",
        overrides: Sequence[str] = (),
    ) -> Localizer:
        """From a run folder: config.yaml, model.safetensors, context.safetensors if it has one.

        Args:
            run: the folder.
            device: where to compute.
            overrides: `localize.max_detections=100` and the like, over the run's config.

        Raises:
            WtalError: a file is missing, damaged, not of this kind, or of another run.
        """
        from wtal.checkpoint import MODEL_FILE, load_facts, load_network
        from wtal.config import load_config

        run = Path(run)
        check_run(run)
        fixed = [text for text in overrides if text.strip().startswith("features")]
        if fixed:
            raise WtalError(
                f"-o {fixed[0]}: training read it, so that it cannot change now; train another run."
            )
        config = load_config(run / "config.yaml", overrides)
        network, classes = load_network(run / MODEL_FILE, config.model)
        features = replace(config.features, context_file=str(run / CONTEXT_FILE))
        context = open_context(features, device)
        if context is not None:
            inputs = load_facts(run / MODEL_FILE, "wtal.basnet").get("inputs", {})
            _check_context(context, inputs.get("context_model"), run)
        return cls(
            network.to(device).eval(),
            classes,
            config.localize,
            config.data,
            config.compat,
            config.loss.topk_ratio,
            context,
        )

    def rows(self, features_nD: FloatnD) -> FloatnD:
        """What the network is shown of a video: its features, in context where the run has one.

        Args:
            features_nD: (n, D) float32, the whole video, as the store has it.

        Raises:
            WtalError: D is not the one of the training.
        """
        D, context = features_nD.shape[1], self.context
        trained = self.network.feature_dim if context is None else context.dim_in
        if trained != D:
            raise WtalError(f"The features have {D} dims; this model was trained on {trained}.")
        return features_nD if context is None else context.rows(features_nD)

    def scores(self, features_nD: FloatnD) -> VideoScores:
        """One forward pass over one video.

        Args:
            features_nD: (n, D) float32, n >= 1, as the store has them.
        """
        rows_nD, n = self.rows(features_nD), len(features_nD)
        T = bins_of(n, self.data, training=False)
        x_TD = rows_nD if n == T else rows_nD[grid_positions(n, T)]
        device = self.network.classifier.weight_DE.device
        attention, cas = [], []
        with torch.inference_mode():
            for start in range(0, T, CHUNK):
                low, stop = max(0, start - HALO), min(T, start + CHUNK)
                piece_1TD = torch.from_numpy(x_TD[low : stop + HALO]).to(device).unsqueeze(0)
                mask_1T = torch.ones(piece_1TD.shape[:2], dtype=torch.bool, device=device)
                w_1T, a_1TC = self.network.suppressed(piece_1TD, mask_1T)
                attention.append(w_1T[0, start - low : stop - low])
                cas.append(a_1TC[0, start - low : stop - low])
            cas_TC = torch.cat(cas)
            everything_1T = torch.ones(1, T, dtype=torch.bool, device=device)
            logits_1C = top_k_mean(cas_TC.unsqueeze(0), everything_1T, ratio=self.topk_ratio)
            scores_C = logits_1C.softmax(1)[0, :-1]
        return VideoScores(
            cas_TC[:, :-1].cpu().numpy(),
            torch.cat(attention).cpu().numpy(),
            scores_C.cpu().numpy(),
            n / T,
        )

    def kept_classes(self, class_scores_C: NDArray[np.float32]) -> NDArray[np.int64]:
        """Classes to localize: those at or above the threshold, else the best one."""
        kept = np.flatnonzero(class_scores_C >= self.config.class_threshold)
        if len(kept) == 0 and not self.compat.skip_unsure_videos:
            kept = np.array([class_scores_C.argmax()])
        if self.compat.class_zero_is_empty and not kept.any():
            kept = kept[:0]  # last, so that the best class does not undo it
        return kept

    def segments(self, scores: VideoScores, seconds_per_snippet: float) -> VideoDetections:
        """Scores -> suppressed segments in seconds."""
        config, compat = self.config, self.compat
        class_scores = {
            name: round(score, 6)
            for name, score in zip(self.classes, scores.class_scores_C.tolist(), strict=True)
        }
        kept_C = self.kept_classes(scores.class_scores_C)
        if len(kept_C) == 0:
            none = np.empty(0)
            absent = compat.skip_unsure_videos  # else an entry without detections
            return VideoDetections((), none, none, none, class_scores, skipped=absent)
        curve_CP = upsample(
            normalise(scores.cas_TC[:, kept_C], skip_flat=compat.skip_flat_classes),
            config.upsample,
            left_edge=compat.left_edge_bins,
        )
        found = propose(
            curve_CP,
            config.thresholds,
            margin=config.oic_margin,
            oic_after_threshold=compat.oic_after_threshold,
        )
        kept_scores_C = scores.class_scores_C[kept_C].astype(np.float64)
        if compat.binary_class_score:
            kept_scores_C = np.ones_like(kept_scores_C)
        scores_N = found.scores_N + config.class_score_weight * kept_scores_C[found.classes_N]
        seconds_per_point = seconds_per_snippet * scores.snippets_per_bin / config.upsample
        starts_N = found.starts_N.astype(np.float64) * seconds_per_point
        ends_N = found.ends_N.astype(np.float64) * seconds_per_point
        ids, scores_N = self._suppress(starts_N, ends_N, scores_N, found.classes_N)
        if config.max_detections and len(ids) > config.max_detections:
            best = np.sort(np.argsort(-scores_N, kind="stable")[: config.max_detections])
            ids, scores_N = ids[best], scores_N[best]
        labels = tuple(self.classes[kept_C[c]] for c in found.classes_N[ids].tolist())
        return VideoDetections(labels, starts_N[ids], ends_N[ids], scores_N, class_scores)

    def _suppress(
        self,
        starts_N: NDArray[np.float64],
        ends_N: NDArray[np.float64],
        scores_N: NDArray[np.float64],
        classes_N: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Ids and scores that remain, by class and then by rank."""
        config = self.config
        if config.nms == "soft":
            return soft_nms(
                starts_N,
                ends_N,
                scores_N,
                classes_N,
                method="gaussian",
                sigma=config.soft_sigma,
                min_score=config.min_score,
            )
        if config.nms == "none":
            ids = np.lexsort((-scores_N, classes_N))
        else:
            ids = hard_nms(
                starts_N,
                ends_N,
                scores_N,
                classes_N,
                threshold=config.nms_threshold,
                length_offset=1.0 if self.compat.nms_length_plus_one else 0.0,
            )
        return ids, scores_N[ids]

    def localize(self, features_nD: FloatnD, *, seconds_per_snippet: float) -> VideoDetections:
        """One video.

        Args:
            features_nD: (n, D) float16, float32 or float64, finite.
            seconds_per_snippet: stride / fps, above 0.

        Raises:
            WtalError: the features or the time base are something else.

        Example:
            `Localizer.load("runs/basnet").localize(features, seconds_per_snippet=16 / 25)`
        """
        features_nD = np.asarray(features_nD)
        if features_nD.ndim != 2 or len(features_nD) == 0:
            raise WtalError(f"Features have shape {features_nD.shape}; expected (n, D), n >= 1.")
        if not np.issubdtype(features_nD.dtype, np.floating):
            raise WtalError(
                f"Features have dtype {features_nD.dtype}; expected float16, float32 or float64."
            )
        bad_n = np.flatnonzero(~np.isfinite(features_nD).all(axis=1))
        if len(bad_n):
            raise WtalError(
                f"Features have NaN or infinity in {len(bad_n)} of {len(features_nD)} snippets, "
                f"the first is {bad_n[0]} (from 0); expected finite numbers, extract them again."
            )
        if not 0 < seconds_per_snippet < math.inf:
            raise WtalError(
                f"seconds_per_snippet is {seconds_per_snippet}; expected stride / fps, above 0."
            )
        features_nD = np.ascontiguousarray(features_nD, np.float32)
        return self.segments(self.scores(features_nD), seconds_per_snippet)

    def localize_store(
        self, store: FeatureStore, videos: Iterable[str]
    ) -> Iterator[tuple[str, VideoDetections | FeatureError]]:
        """Video after video; a video that cannot be read gives its fault, and the rest goes on.

        Raises:
            FeatureError: the context was trained on features of another kind.
        """
        if self.context is not None:
            self.context.check(store)
        for video in videos:
            try:
                features_nD = store.read(video)
                seconds = store.timing(video).seconds_per_snippet
            except FeatureError as fault:
                yield video, fault
                continue
            yield video, self.localize(features_nD, seconds_per_snippet=seconds)


def _check_context(context: Context, trained: str | None, run: Path) -> None:
    """Refuse a context that the network never saw; early runs (None) do not know theirs."""
    if trained not in (None, context.model.digest()):
        raise WtalError(
            f"{run / CONTEXT_FILE} is not the context model that this run was trained with; "
            "restore the file from a copy of the run, or train again."
        )
