"""What `wtal inspect` calls: the picture of one video, and the maps of one or two runs.

Shapes: N points, d dims of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wtal.errors import WtalError
from wtal.inputs import Labels, read_labels, videos_of
from wtal.inspection.comparison import Comparison
from wtal.inspection.insight import look, segments_by_video
from wtal.inspection.map_figure import Map, draw_maps, flatten
from wtal.inspection.points import LEFT_OUT, Points, label_snippets, sample
from wtal.inspection.run import SPACES, InspectedRun, Space
from wtal.inspection.separation import measure
from wtal.inspection.video_figure import draw_video
from wtal_features import FeatureError, FeatureStore, open_store

FOLDER = "inspect"  # of a run, where pictures go unless the user names a file


@dataclass(frozen=True)
class Source:
    """Where features and labels come from."""

    features: Path
    tags: Path | None = None
    annotations: Path | None = None
    fps: float | None = None
    stride: float | None = None

    def store(self, run: InspectedRun) -> FeatureStore:
        """The store with the streams that a run was trained on."""
        streams = run.config.data.streams
        store = open_store(self.features, streams=streams, fps=self.fps, stride=self.stride)
        if run.localizer.context is not None:
            run.localizer.context.check(store)
        return store

    def labels(self) -> Labels | None:
        """Tags or annotations; None where neither is given."""
        given = self.tags is not None or self.annotations is not None
        return read_labels(self.tags, self.annotations) if given else None


def inspect_video(
    folder: Path,
    video: str,
    source: Source,
    out: Path | None = None,
    device: torch.device | str = "cpu",
) -> Path:
    """Draw one video of a run.

    Args:
        folder: of the run.
        video: any of the store.
        source: features, and tags or annotations if there are any.
        out: PNG to write; None: in the run.
        device: where to compute.

    Returns:
        The file.

    Raises:
        WtalError, FeatureError, EvalError: what is wrong, in a sentence.
    """
    run = InspectedRun.load(folder, device)
    insight = look(run, source.store(run), video, source.labels())
    path = _place(out, folder, f"{video}.png")
    draw_video(insight, path)
    return path


def inspect_maps(
    folders: Sequence[Path],
    source: Source,
    *,
    subset: str | None = None,
    space: str = "embedding",
    total: int = 3000,
    seed: int = 0,
    out: Path | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Comparison, Path]:
    """Map and measure the embedding of one run, or of two on the same points.

    Args:
        folders: of the runs; the difference is the first less the second.
        source: features and annotations.
        subset: only its videos; None: all that are annotated.
        space: key of SPACES.
        total: points at most.
        seed: of points, folds and map.
        out: PNG to write; None: in the first run.
        device: where to compute.
        progress: is told (videos done, videos).

    Raises:
        WtalError, FeatureError, EvalError: what is wrong, in a sentence.
    """
    if source.annotations is None:
        raise WtalError("A map needs the annotated segments: --annotations FILE.json.")
    chosen = next((key for key in SPACES if key == space), None)
    if chosen is None:
        raise WtalError(f"--space is {space!r}; expected {', '.join(SPACES)}.")
    runs = [InspectedRun.load(folder, device) for folder in folders]
    classes = _same_classes(runs)
    labels = read_labels(None, source.annotations)
    points, notes = _points(source.store(runs[0]), labels, subset, classes, total, seed)
    works = len(runs) * len(np.unique(points.video_N))
    maps, done = [], 0
    for run in runs:
        pieces = []
        for piece_Nd in _embedded(run, source.store(run), points, chosen):
            pieces.append(piece_Nd)
            done += 1
            progress(done, works)
        x_Nd = np.concatenate(pieces)
        maps.append(Map(str(run.folder), flatten(x_Nd, seed), measure(x_Nd, points, seed)))
    notes = (f"Space: {SPACES[chosen]}.", *notes)
    path = _place(out, folders[0], "map.png" if chosen == "embedding" else f"map-{space}.png")
    draw_maps(maps, points, classes, notes, path)
    found = tuple(each.figures for each in maps)
    return Comparison(tuple(each.title for each in maps), found, seed, space, notes), path


def _place(out: Path | None, folder: Path, name: str) -> Path:
    """The file the user named, or one in the run; its folder is made."""
    path = folder / FOLDER / name if out is None else out
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _same_classes(runs: Sequence[InspectedRun]) -> tuple[str, ...]:
    """The classes of the runs.

    Raises:
        WtalError: they differ, so the runs were trained on different tags.
    """
    first = runs[0].classes
    for run in runs[1:]:
        if run.classes != first:
            raise WtalError(
                f"{runs[0].folder} has {len(first)} classes and {run.folder} others "
                f"({len(run.classes)}); compare runs that were trained on the same tags."
            )
    return first


def _points(
    store: FeatureStore,
    labels: Labels,
    subset: str | None,
    classes: Sequence[str],
    total: int,
    seed: int,
) -> tuple[Points, tuple[str, ...]]:
    """The sample, and sentences that say what it is."""
    names = sorted(labels.tags) if subset is None else videos_of(labels, subset)
    assert labels.annotations is not None  # read from an annotation file
    segments = segments_by_video(labels.annotations)
    class_of: dict[str, NDArray[np.int64]] = {}
    absent = 0
    for name in names:
        try:
            n, seconds = store.length(name), store.timing(name).seconds_per_snippet
        except FeatureError:
            absent += 1
            continue
        class_of[name] = label_snippets(n, seconds, segments.get(name, ()), classes)
    if not class_of:
        raise WtalError(f"{store.root} has features of none of the {len(names)} annotated videos.")
    points = sample(class_of, total, np.random.default_rng(seed))
    return points, _described(points, class_of, subset, absent, seed)


def _described(
    points: Points,
    class_of: Mapping[str, NDArray[np.int64]],
    subset: str | None,
    absent: int,
    seed: int,
) -> tuple[str, ...]:
    action = points.class_N[points.is_action_N]
    total = sum(len(each) for each in class_of.values())
    unclear = sum(int((each == LEFT_OUT).sum()) for each in class_of.values())
    where = "" if subset is None else f" of subset '{subset}'"
    notes = (
        f"Points: {len(points.class_N)} snippets of {len(np.unique(points.video_N))} "
        f"videos{where}, {len(action)} action ({len(np.unique(action))} classes) and "
        f"{len(points.class_N) - len(action)} background; seed {seed}.",
        f"Left out before sampling: {unclear} of {total} snippets, closer than one snippet to a "
        "border, in segments of two classes, or in segments of a label unknown to the run.",
        "Neighbours are of other videos only; the linear classifier is tested on videos it was "
        "not fitted on.",
    )
    return (*notes, f"{absent} annotated videos have no sound features.") if absent else notes


def _embedded(
    run: InspectedRun, store: FeatureStore, points: Points, space: Space
) -> Iterable[NDArray[np.float32]]:
    """The points in a space, video by video, in their order."""
    no_tags_1C = torch.zeros(1, len(run.classes), dtype=torch.bool, device=run.device)
    contrast = run.contrast(no_tags_1C) if space == "projected" else None
    for v in np.unique(points.video_N).tolist():
        features_nD = np.ascontiguousarray(store.read(points.videos[v]), np.float32)
        x_Td = run.embed(run.heads(features_nD), space, contrast)
        snippet_P = points.snippet_N[points.video_N == v]
        # The bin that covers the middle of the snippet; the snippet itself at native length.
        bin_P = (2 * snippet_P + 1) * len(x_Td) // (2 * len(features_nD))
        yield x_Td[torch.from_numpy(bin_P).to(x_Td.device)].float().cpu().numpy()
