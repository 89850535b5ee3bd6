"""What `wtal report` calls: read, choose, look for videos, evaluate, write, say how to look.

Shapes: V videos, N detections, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wtal.errors import WtalError
from wtal.report.blocks import Blocks
from wtal.report.choice import Choice, choose
from wtal.report.costs import training_cost
from wtal.report.curves import Drawer, open_drawer
from wtal.report.data import Cost, Index, Overview, ReportData
from wtal.report.gathering import Gathered, gather, store_of
from wtal.report.judging import Judgement, headline, judge_result
from wtal.report.listing import class_names, durations_of, rows_of
from wtal.report.media import Media, look
from wtal.report.page import write_page
from wtal.report.provenance import about, source
from wtal.report.words import TOP, Words
from wtal_features import FeatureError
from wtal_features.errors import counted
from wtal_features.files import make_folder

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int], None]
Bar = Callable[[str], AbstractContextManager[Progress]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """A page that was written.

    Attributes:
        path: of it.
        videos: with a place in the results.
        playable: of them, how many it plays.
        curves: of them, how many have curves.
        detections: that it holds.
        figure: mAP in a few words; empty without annotations.
        faults: video -> why its file or its features could not be read.
        skipped: videos that it lists besides, with the reason.
    """

    path: Path
    videos: int
    playable: int
    curves: int
    detections: int
    figure: str
    faults: Mapping[str, str] = field(default_factory=dict)
    skipped: int = 0

    def line(self) -> str:
        """What the page holds, and how to look at it."""
        parts = [counted(self.videos, "video")]
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        parts.append(counted(self.detections, "detection"))
        parts.append(f"{self.playable} with a player" if self.playable else "no player")
        parts.append(f"{self.curves} with curves" if self.curves else "no curves")
        parts += [self.figure] if self.figure else []
        return f"{self.path}: {', '.join(parts)}. Open it in a browser; it needs no network."


def run(
    words: Words, *, device: torch.device | str, bar: Bar, show: Say, warn: Say
) -> Mapping[str, str]:
    """Write the page and say what is in it.

    Args:
        words: the options.
        device: where curves are computed.
        bar: shows progress, under a title.
        show: told what was found and written.
        warn: told what was left out.

    Returns:
        Video -> why its file or its features could not be read; it is on the page all the same.

    Raises:
        WtalError, FeatureError, EvalError: what the user can mend.
    """
    made = make(words, device=device, bar=bar, say=show, warn=warn)
    show(made.line())
    return made.faults


def make_report(
    out: Path,
    detections: Path,
    *,
    run: Path | None = None,
    features: Path | None = None,
    videos: Path | None = None,
    annotations: Path | None = None,
    tags: Path | None = None,
    subset: str | None = None,
    protocol: str | None = None,
    corrections: Path | None = None,
    costs: Sequence[Cost] = (),
    baselines: Sequence[tuple[str, Path]] = (),
    top: int = TOP,
    title: str | None = None,
    device: torch.device | str = "cpu",
    bar: Bar = lambda title: nullcontext(lambda done, total: None),
    warn: Say = lambda text: None,
) -> Made:
    """`wtal report` without the shell; see `Words` for the arguments.

    Args:
        out: page to write.
        detections: result file, or a run folder.
        run: folder of the model that made them; None: that of the detections, if it is one.
        features: store that the curves are drawn from; None: that of the run.
        videos: folder of the videos.
        annotations: ActivityNet JSON.
        tags: CSV.
        subset: only its videos.
        protocol: of the evaluation.
        corrections: file that the page begins with.
        costs: what the stages took; none: the training of the run.
        baselines: (name, result file or run) whose mAP stands beside.
        top: best detections of a video.
        title: of the page.
        device: where curves are computed.
        bar: shows progress, under a title.
        warn: told what was left out.

    Raises:
        WtalError, FeatureError, EvalError: what the user can mend.
    """
    words = Words(
        detections=detections,
        out=out,
        run=run,
        features=features,
        videos=videos,
        annotations=annotations,
        tags=tags,
        corrections=corrections,
        subset=subset,
        protocol=protocol,
        versus=tuple(baselines),
        top=top,
        title=title,
        costs=tuple(costs),
    )
    return make(words, device=device, bar=bar, say=lambda text: None, warn=warn)


def make(words: Words, *, device: torch.device | str, bar: Bar, say: Say, warn: Say) -> Made:
    """Write the page; the arguments are those of `run`."""
    gathered = gather(words, say, warn)
    classes = class_names(gathered)
    drawer = _drawer(words, gathered, classes, device, say, warn)
    media = Media()
    if words.videos is not None:
        with bar("looking") as progress:
            media = look(words.videos, gathered.names, words.target, progress)
        _warn_of_missing(media, warn)
    durations = durations_of(gathered, media, drawer)
    choice = choose(
        *(gathered.detections, gathered.names, classes, durations),
        top=words.top,
        calibration=gathered.calibration,
    )
    for text in _left_out(choice, words):
        warn(text)
    judgement = _judge(words, gathered, warn)
    blocks = Blocks(gathered, classes, choice.found, drawer)
    index = Index(
        title=words.title or words.file.resolve().parent.name or words.file.stem,
        source=source(words, gathered),
        about=about(words, gathered, choice, drawer, judgement),
        classes=classes,
        measure=choice.measure,
        threshold=choice.threshold,
        videos=tuple(rows_of(gathered, classes, durations, media, blocks)),
        detections=choice.found,
        overview=_overview(words, judgement),
        sure=choice.sure,
    )
    make_folder(words.target.parent)
    with bar("writing") as progress:
        data = ReportData(index, lambda: blocks.made(progress))
        write_page(words.target, data, corrections=gathered.corrections)
    rows = judgement.overview.map.rows if judgement and judgement.overview.map else ()
    return Made(
        path=words.target,
        videos=len(gathered.names) - len(gathered.skipped),
        playable=len(media.urls.keys() - gathered.skipped.keys()),
        curves=blocks.drawn,
        detections=len(choice.found.scores_N),
        figure=headline(rows, judgement.overview.ap_name) if judgement else "",
        faults={**media.faults, **blocks.faults},
        skipped=len(gathered.skipped),
    )


def _drawer(
    words: Words,
    gathered: Gathered,
    classes: tuple[str, ...],
    device: torch.device | str,
    say: Say,
    warn: Say,
) -> Drawer | None:
    """What draws curves; of a store that nobody named, a fault is only said."""
    store = store_of(words, gathered.environment)
    if words.folder is None or store is None:
        return None
    if words.features is not None:
        return open_drawer(words, classes, device)
    try:
        drawer = open_drawer(replace(words, features=store), classes, device)
    except (WtalError, FeatureError) as error:
        warn(f"The page has no curves: {error}")
        return None
    say(f"features: {store}, as the run has them; --features names others.")
    return drawer


def _warn_of_missing(media: Media, warn: Say) -> None:
    missing = [video for video in media.notes if video not in media.faults]
    if missing:
        many = counted(len(missing), "video")
        warn(f"{many} without a file to play, the first {missing[0]!r}: {media.notes[missing[0]]}")


def _left_out(choice: Choice, words: Words) -> Iterator[str]:
    if choice.cut:
        yield (
            f"{counted(choice.cut, 'detection')} left out: the page holds the best {words.top} of "
            "each video, --top N takes more or fewer."
        )
    if choice.outside:
        yield f"{counted(choice.outside, 'detection')} outside the video left out."


def _judge(words: Words, gathered: Gathered, warn: Say) -> Judgement | None:
    if gathered.annotations is None:
        return None
    found = judge_result(words, gathered.detections, gathered.annotations, gathered.calibration)
    for text in found.warnings:
        warn(text)
    return found


def _overview(words: Words, judgement: Judgement | None) -> Overview | None:
    costs = words.costs
    if not costs and words.folder is not None:
        trained = training_cost(words.folder)
        costs = () if trained is None else (trained,)
    if judgement is None and not costs:
        return None
    return replace(judgement.overview if judgement else Overview(), costs=costs)
