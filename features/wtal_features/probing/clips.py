"""Labelled clips: where in which video, and one feature for each.

Legend: N grid frames of a video, L of a clip, n frames of a window, r grid frames between two of
them, M clips, D dimensions.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wtal_features.annotations import plain_label, read_activitynet
from wtal_features.clips import View
from wtal_features.errors import FeatureError, Finding
from wtal_features.files import check_name, read_rows
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.sampling import padded_left

if TYPE_CHECKING:
    from torch import Tensor

_WHOLE = ("video", "label")
_PART = (*_WHOLE, "start", "end")
_HEADERS = {(*columns, *more) for columns in (_WHOLE, _PART) for more in ((), ("subset",))}


@dataclass(frozen=True)
class LabelledClip:
    """A part of a video in which one thing happens.

    Attributes:
        video: Id.
        label: What happens.
        start_s: Seconds from the start of the video.
        end_s: Likewise; infinite: to its end.
        subset: Part of the data set; None where unknown.
    """

    video: str
    label: str
    start_s: float = 0.0
    end_s: float = math.inf
    subset: str | None = None

    def grid_frames(self, fps: Fraction, N: int) -> range:
        """Its grid frames, at least one; what lies behind the video's end is left out.

        Raises:
            FeatureError: If all of it lies there.

        Example:
            >>> LabelledClip("v", "run", 1.0, 2.5).grid_frames(Fraction(10), 22)
            range(10, 22)
        """
        rate = float(fps)
        start = round(self.start_s * rate)
        if start >= N:
            raise FeatureError(
                f"A clip of {self.video!r} starts at {self.start_s:g} s; "
                f"the video ends at {N / rate:g} s.",
                "Compare the annotations with the video.",
                code="segment",
            )
        stop = N if math.isinf(self.end_s) else round(self.end_s * rate)
        return range(start, max(start + 1, min(stop, N)))


@dataclass(frozen=True)
class ClipList:
    """Labelled clips as they were read.

    Attributes:
        clips: In the order of the file.
        faults: Videos that were left out, and why.
    """

    clips: tuple[LabelledClip, ...]
    faults: tuple[Finding, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label once, sorted."""
        return tuple(sorted({clip.label for clip in self.clips}))

    def of_subset(self, subset: str) -> tuple[LabelledClip, ...]:
        """The clips of one subset.

        Raises:
            FeatureError: If there is none, naming the subsets there are.
        """
        chosen = tuple(clip for clip in self.clips if clip.subset == subset)
        if not chosen:
            found = sorted({clip.subset for clip in self.clips if clip.subset})
            raise FeatureError(
                f"No clip has the subset {subset!r}; there are {found or 'none'}.",
                "Check the name of the subset.",
                code="subset",
            )
        return chosen


# Reading -----------------------------------------------------------------------------------------


def read_clips(path: str | Path) -> ClipList:
    """Read a list of labelled clips.

    Args:
        path: ActivityNet annotations (`.json`), or a CSV file with the header
            `video,label,start,end` in seconds or `video,label` for whole videos, either with a
            column `subset` at its end.

    Raises:
        FeatureError: If it is neither, has no clip, or a row of the CSV file is wrong, with the
            line.
    """
    path = Path(path)
    found = _from_annotations(path) if path.suffix.lower() == ".json" else ClipList(_from_csv(path))
    if not found.clips:
        why = f" {found.faults[0].message}" if found.faults else ""
        raise FeatureError(f"{path} has no labelled clip.{why}", code="empty")
    return found


def _from_annotations(path: Path) -> ClipList:
    annotations = read_activitynet(path)
    clips, faults = [], list(annotations.faults)
    for video, entry in annotations.database.items():
        try:
            clips += list(_of_entry(video, entry))
        except FeatureError as error:
            faults.append(Finding.of(error, video))
    return ClipList(tuple(clips), tuple(faults))


def _of_entry(video: str, entry: Mapping[str, Any]) -> Iterator[LabelledClip]:
    for item in entry["annotations"]:
        start_s, end_s = item["segment"]
        _check_span(start_s, end_s, f"A segment of {video!r}")
        yield LabelledClip(video, item["label"], start_s, end_s, entry.get("subset"))


def _from_csv(path: Path) -> tuple[LabelledClip, ...]:
    rows = read_rows(path)
    _, header = next(rows, (1, []))
    columns = tuple(name.lower() for name in header)
    if columns not in _HEADERS:
        raise FeatureError(
            f"{path} has the header {','.join(header)[:80]!r}; expected video,label,start,end or "
            "video,label, with or without subset.",
            "Put such a line first, with commas.",
            code="clips",
        )
    return tuple(_of_row(columns, row, f"{path} line {line}") for line, row in rows)


def _of_row(columns: Sequence[str], row: Sequence[str], where: str) -> LabelledClip:
    if len(row) != len(columns):
        raise FeatureError(
            f"{where} has {len(row)} cells; expected {len(columns)}: {','.join(columns)}.",
            'Put cells that hold commas into "...".',
            code="clips",
        )
    cells = dict(zip(columns, row, strict=True))
    video = unicodedata.normalize("NFC", cells["video"])
    try:
        check_name(video)
        label = plain_label(video, cells["label"])
    except FeatureError as error:
        raise FeatureError(f"{where}: {error.problem}", error.cure, code=error.code) from error
    subset = cells.get("subset") or None
    if "start" not in cells:
        return LabelledClip(video, label, subset=subset)
    start_s, end_s = (_seconds(cells[name], where) for name in ("start", "end"))
    _check_span(start_s, end_s, where)
    return LabelledClip(video, label, start_s, end_s, subset)


def _seconds(cell: str, where: str) -> float:
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise FeatureError(
            f"{where} has the time {cell[:40]!r}; expected a number of seconds.", code="clips"
        )
    return seconds


def _check_span(start_s: float, end_s: float, where: str) -> None:
    if not 0 <= start_s < end_s:
        raise FeatureError(
            f"{where} goes from {start_s:g} s to {end_s:g} s; expected 0 <= start < end.",
            "Correct it.",
            code="segment",
        )


# Features ----------------------------------------------------------------------------------------


def windows(L: int, n: int, r: int = 1) -> list[list[int]]:
    """The windows of a clip: half overlapping, one frame more; one alone where L <= n r.

    A clip that is too short is padded on the left with frame 0.

    Args:
        L: Grid frames of the clip.
        n: Frames of a window.
        r: Their distance.

    Returns:
        Indices in 0..L-1, n per window.

    Example:
        >>> [(w[0], w[-1]) for w in windows(63, 32)], windows(3, 4)
        ([(0, 31), (15, 46), (30, 61)], [[0, 0, 1, 2]])

    Source: TengdaHan/CoCLR dataset/lmdb_dataset.py, `frame_sampler` in mode test.
    """
    if n * r >= L:
        return [padded_left(range(0, L, r), n)]
    step = max(1, n * r // 2 - 1)
    return [[start + i * r for i in range(n)] for start in range(0, L - n * r + 1, step)]


def usable(
    clips: Sequence[LabelledClip], store: ClipStore
) -> tuple[list[LabelledClip], list[Finding]]:
    """The clips whose video the store has, and which start before its end; and the others, why."""
    good, faults = [], []
    for clip in clips:
        try:
            clip.grid_frames(store.fps, store.info(clip.video).frames)
        except FeatureError as error:
            faults.append(Finding.of(error, clip.video))
        else:
            good.append(clip)
    return good, faults


def clip_features(
    store: ClipStore,
    clips: Sequence[LabelledClip],
    encode: Callable[[Tensor], Tensor],
    *,
    n: int,
    r: int = 1,
    view: View = "rgb",
    batch: int = 8,
) -> Tensor:
    """One feature per clip: the mean over its windows.

    Args:
        store: Has the videos of all clips.
        clips: M of them, not none.
        encode: (B, n, H, W, C), as the store has them, on the CPU -> (B, D); it crops and scales.
        n: Frames of a window.
        r: Their distance.
        view: What the encoder sees: frames, C = 3 uint8, or motion, C = 2 float32.
        batch: Windows that are encoded at a time.

    Returns:
        (M, D) float32, on the device of what `encode` gives.

    Raises:
        FeatureError: If a clip cannot be found; see `usable`.
    """
    import torch

    rows = []
    read = store.frames if view == "rgb" else store.motion
    for clip in clips:
        where = clip.grid_frames(store.fps, store.info(clip.video).frames)
        parts = []
        for some in _pieces(windows(len(where), n, r), batch):
            indices = [where.start + k for window in some for k in window]
            frames = read(clip.video, indices)
            clips_BnHWC = torch.from_numpy(frames.reshape(len(some), n, *frames.shape[1:]))
            with torch.inference_mode():
                parts.append(encode(clips_BnHWC).float())
        rows.append(torch.cat(parts).mean(dim=0))
    return torch.stack(rows)


def _pieces(of: list[list[int]], size: int) -> Iterator[list[list[int]]]:
    for start in range(0, len(of), size):
        yield of[start : start + size]


def label_ids(clips: Sequence[LabelledClip], classes: Sequence[str]) -> Tensor:
    """(M,) int64: the place of each clip's label among the classes.

    Raises:
        FeatureError: If a label is not among them.
    """
    import torch

    places = {label: place for place, label in enumerate(classes)}
    unknown = sorted({clip.label for clip in clips} - set(places))
    if unknown:
        raise FeatureError(
            f"The label {unknown[0]!r} is none of the {len(places)} classes.",
            "Take the classes from the whole list of clips.",
            code="label",
        )
    return torch.tensor([places[clip.label] for clip in clips])
