"""`localize`: from scores to suppressed segments, without the network.

Shapes: T bins, C classes, P points, N proposals.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from wtal.bench import plain
from wtal.bench.rows import CPU, WALL, Figures, Plan, Row, timed
from wtal.localize import LocalizeConfig, Localizer, VideoDetections, VideoScores
from wtal.model import BaSNet, ModelConfig
from wtal.proposals import Proposals, normalise, propose, upsample

N_CLASSES = 20
SECONDS_PER_SNIPPET = 16 / 25
# Videos with one, two and three classes at or above .25, as softmax scores allow.
KEPT_SHARES = (0.7, 0.2, 0.1)
NMS_KINDS: tuple[Literal["soft", "hard"], ...] = ("soft", "hard")
STAGES = ("normalise and upsample", "propose", "suppress")


def make_cas(T: int, C: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Logits (T, C): bumps of 2 to 15 bins on a smooth background."""
    bins_T = np.arange(T)
    cas_TC = np.empty((T, C), np.float32)
    for c in range(C):
        noise_T = np.convolve(generator.standard_normal(T + 4), np.full(5, 0.2), "valid")
        n_bumps = 1 + generator.poisson(T / 25)
        centre_K = generator.uniform(0, T, n_bumps)
        width_K = np.exp(generator.uniform(np.log(2), np.log(15), n_bumps))
        height_K = generator.uniform(1, 5, n_bumps)
        bumps_KT = np.exp(-0.5 * ((bins_T - centre_K[:, None]) / width_K[:, None]) ** 2)
        cas_TC[:, c] = (height_K[:, None] * bumps_KT).max(0) + noise_T - 1
    return cas_TC


def make_scores(
    n_videos: int, T: int, kept: Callable[[np.random.Generator], int], seed: int = 0
) -> list[VideoScores]:
    """Scores of videos of which `kept` tells how many classes stand at or above .25."""
    generator = np.random.default_rng(seed)
    videos = []
    for _ in range(n_videos):
        scores_C = np.full(N_CLASSES, 0.01, np.float32)
        n_kept = kept(generator)
        scores_C[generator.choice(N_CLASSES, n_kept, replace=False)] = max(0.25, 0.9 / n_kept)
        cas_TC = make_cas(T, N_CLASSES, generator)
        videos.append(VideoScores(cas_TC, np.ones(T, np.float32), scores_C, 1.0))
    return videos


def make_localizer(config: LocalizeConfig | None = None) -> Localizer:
    """One whose network is never asked."""
    widths = ModelConfig(hidden_dim=1, filter_dim=1)
    network = BaSNet(1, N_CLASSES, widths, torch.Generator().manual_seed(0))
    classes = tuple(f"class {c:02}" for c in range(N_CLASSES))
    return Localizer(network, classes, config or LocalizeConfig())


# Three stages as `Localizer.segments` chains them, and as plain loops: (video, result) -> result.
Stage = Callable[[VideoScores, Any], Any]


def our_stages(localizer: Localizer) -> tuple[Stage, Stage, Stage]:
    """The functions that `Localizer.segments` calls, with the same arguments."""
    config = localizer.config

    def curves(video: VideoScores, _: None) -> NDArray[np.float32]:
        kept_C = localizer.kept_classes(video.class_scores_C)
        return upsample(normalise(video.cas_TC[:, kept_C]), config.upsample)

    def proposals(_: VideoScores, curve_CP: NDArray[np.float32]) -> Proposals:
        return propose(curve_CP, config.thresholds, margin=config.oic_margin)

    def suppress(video: VideoScores, found: Proposals) -> NDArray[np.int64]:
        seconds = SECONDS_PER_SNIPPET * video.snippets_per_bin / config.upsample
        class_scores_C = video.class_scores_C[localizer.kept_classes(video.class_scores_C)]
        scores_N = found.scores_N + config.class_score_weight * class_scores_C[found.classes_N]
        starts_N = found.starts_N.astype(np.float64) * seconds
        ends_N = found.ends_N.astype(np.float64) * seconds
        return localizer._suppress(starts_N, ends_N, scores_N, found.classes_N)[0]

    return curves, proposals, suppress


def loop_stages(localizer: Localizer) -> tuple[Stage, Stage, Stage]:
    """The same, one class, threshold and proposal at a time."""
    config = localizer.config

    def curves(video: VideoScores, _: None) -> dict[int, NDArray[np.float64]]:
        kept_C = localizer.kept_classes(video.class_scores_C).tolist()
        return {c: plain.curve(video.cas_TC[:, c], config.upsample) for c in kept_C}

    def proposals(
        _: VideoScores, by_class: dict[int, NDArray[np.float64]]
    ) -> dict[int, list[plain.Proposal]]:
        return {
            c: plain.proposals(curve_P, config.thresholds, config.oic_margin)
            for c, curve_P in by_class.items()
        }

    def suppress(
        video: VideoScores, by_class: dict[int, list[plain.Proposal]]
    ) -> list[tuple[int, float, float, float]]:
        seconds = SECONDS_PER_SNIPPET * video.snippets_per_bin / config.upsample
        kept = []
        for c, found in by_class.items():
            start_N, end_N, contrast_N = np.array(found, np.float64).reshape(-1, 3).T
            score_N = contrast_N + config.class_score_weight * float(video.class_scores_C[c])
            start_N, end_N = start_N * seconds, end_N * seconds
            if config.nms == "soft":
                ids, scores = plain.soft_nms(
                    start_N, end_N, score_N, config.soft_sigma, config.min_score
                )
            else:
                ids = plain.hard_nms(start_N, end_N, score_N, config.nms_threshold)
                scores = score_N[ids].tolist()
            for i, score in zip(ids, scores, strict=True):
                kept.append((c, float(start_N[i]), float(end_N[i]), score))
        return kept

    return curves, proposals, suppress


def loop_segments(
    localizer: Localizer, video: VideoScores
) -> list[tuple[int, float, float, float]]:
    """Class, start (s), end (s) and score of what remains: what `Localizer.segments` gives."""
    result: Any = None
    for stage in loop_stages(localizer):
        result = stage(video, result)
    found: list[tuple[int, float, float, float]] = result
    return found


def in_stages(
    stages: Sequence[Stage], videos: Sequence[VideoScores], scale: float
) -> Callable[[], Figures]:
    """A function that takes the videos through the stages: wall time of each, and of all.

    Args:
        stages: in order; each takes the result of the one before.
        videos: one after the other.
        scale: times are multiplied by it.
    """

    def run() -> Figures:
        seconds = dict.fromkeys((*STAGES, WALL, CPU), 0.0)
        wall, cpu = time.perf_counter(), time.process_time()
        for video in videos:
            result = None
            for name, stage in zip(STAGES, stages, strict=True):
                started = time.perf_counter()
                result = stage(video, result)
                seconds[name] += time.perf_counter() - started
        seconds[WALL] = time.perf_counter() - wall
        seconds[CPU] = time.process_time() - cpu
        return {name: value * scale for name, value in seconds.items()}

    return run


def _rows(
    plan: Plan, title: str, localizer: Localizer, videos: Sequence[VideoScores], sample: int
) -> Iterator[Row]:
    """The whole, and its stages; the loop runs on the first `sample` videos and is scaled up."""
    scale = len(videos) / sample

    def segments() -> list[VideoDetections]:
        return [localizer.segments(video, SECONDS_PER_SNIPPET) for video in videos]

    works = {
        "ours": timed(segments),
        "loop": in_stages(loop_stages(localizer), videos[:sample], scale),
        "stages": in_stages(our_stages(localizer), videos, 1),
    }
    taken = plan.alternate(works, label="localize")
    reference = f"plain loop, {sample} videos x {scale:g}"
    for clock in (WALL, CPU):
        name = f"localize: {title}, scores to segments, {clock}"
        yield plan.row(name, "s", taken["ours"][clock], reference, taken["loop"][clock])
    for stage in STAGES:
        name = f"localize: {title}, {stage}, wall"
        yield plan.row(name, "s", taken["stages"][stage], reference, taken["loop"][stage])


def one_to_three(generator: np.random.Generator) -> int:
    """How many classes stand above the threshold: what its default leaves."""
    return 1 + int(generator.choice(len(KEPT_SHARES), p=KEPT_SHARES))


def measure(plan: Plan) -> Iterator[Row]:
    """With both kinds of suppression, and with every class kept."""
    n_videos, sample, T = (6, 3, 60) if plan.quick else (210, 21, 750)
    some = make_scores(n_videos, T, one_to_three)
    for kind in NMS_KINDS:
        title = f"{n_videos} x {T}, 1-3 of 20 classes, {kind} NMS"
        localizer = make_localizer(LocalizeConfig(nms=kind))
        yield from _rows(plan, title, localizer, some, sample)
    every = make_scores(n_videos, T, lambda _: N_CLASSES, seed=1)
    localizer = make_localizer(LocalizeConfig(class_threshold=0.0))
    title = f"{n_videos} x {T}, 20 of 20 classes, {localizer.config.nms} NMS"
    yield from _rows(plan, title, localizer, every, max(1, sample // 5))
