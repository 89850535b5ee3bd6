"""`wtal localize`: a share of the videos, wherever it is done, and all shares together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from wtal.calibration.identity import calibration_of
from wtal.checkpoint import STATE_FILE, load_progress
from wtal.device import choose_device
from wtal.errors import WtalError
from wtal.inputs import Labels, read_labels, videos_of
from wtal.interrupt import sigterm_as_ctrl_c
from wtal.journal import Journal, source_of
from wtal.localize import Localizer
from wtal.notices import before_localizing
from wtal.results import SKIPPED_FILE
from wtal.runs import DETECTIONS_FILE
from wtal.shards import Place, is_current, join_if_complete, remember_names, tidy, work_of
from wtal.sharing import Progress, Sharing, Watch, do_shares, refuse_undone
from wtal_features import FeatureError, FeatureStore, open_store
from wtal_features.errors import counted
from wtal_features.files import lock, make_folder
from wtal_features.shards import Shard

Say = Callable[[str], None]


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were typed."""

    features: Path
    tags: Path | None = None
    annotations: Path | None = None
    subset: str | None = None
    out: Path | None = None
    overrides: tuple[str, ...] = ()
    fps: float | None = None
    stride: float | None = None

    def labels(self) -> Labels | None:
        """Tags or annotations, if one of them says which videos."""
        if self.subset is None and self.tags is None and self.annotations is None:
            return None
        return read_labels(self.tags, self.annotations)

    def place(self, run: Path) -> Place:
        """Where the result of a run goes; beside it the list of what was left out of it."""
        own = run / DETECTIONS_FILE
        if self.out is None or self.out.absolute() == own.absolute():
            return Place(own, run / SKIPPED_FILE)
        return Place(self.out, self.out.with_name(f"{self.out.stem}-skipped.json"))


@dataclass
class LocalizeReport:
    """What a share, or all of them, did.

    Attributes:
        done: Videos that have detections now and had none before.
        unchanged: Videos that were there already.
        skipped: Video -> why it has no detections.
        note: On the result as a whole.
    """

    done: int = 0
    unchanged: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def line(self, file: Path) -> str:
        """For a person."""
        again = f", {self.unchanged} unchanged" if self.unchanged else ""
        return f"{file}: detections of {self.done} videos{again}."


@dataclass(frozen=True)
class LocalizeShare:
    """The localization of one share of a run's videos.

    Attributes:
        run: The run folder.
        words: The options.
        device: As typed; what `auto` is, is settled where the work is done.
        threads: Of PyTorch; 0: as it likes.
    """

    run: Path
    words: Words
    device: str = "auto"
    threads: int = 0

    def __call__(self, shard: Shard) -> LocalizeReport:
        """Localize a share.

        Raises:
            FeatureError: what the user can mend.
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        try:
            return Localization(self, choose_device(self.device)).share(shard)
        except WtalError as error:  # to the drivers it is a fault like any other
            raise FeatureError(str(error)) from error

    def on(self, process: int, processes: int) -> LocalizeShare:
        """GPUs in turn; threads such that all processes fill the machine."""
        device, gpus = self.device, torch.cuda.device_count()
        if device in ("auto", "cuda") and gpus > 1:
            device = f"cuda:{process % gpus}"
        threads = max(1, torch.get_num_threads() // processes)
        return replace(self, device=device, threads=threads)

    def tasks(self) -> tuple[int, int | None]:
        """A core, and a GPU unless the CPU was asked for."""
        return 1, {"cpu": 0, "auto": None}.get(self.device, 1)


class Localization:
    """A run, a store, and the videos to localize."""

    def __init__(
        self, job: LocalizeShare, device: torch.device, warn: Say = lambda text: None
    ) -> None:
        """Open everything.

        Args:
            job: what is asked for.
            device: where to compute.
            warn: told what should be known before.

        Raises:
            WtalError, FeatureError: what the user can mend.
        """
        run, words = job.run, job.words
        self.run, self.words, self.place = run, words, words.place(run)
        self.localizer = Localizer.load(run, device, words.overrides)
        self.store: FeatureStore = open_store(
            words.features, streams=self.localizer.data.streams, fps=words.fps, stride=words.stride
        )
        self.videos = self._chosen(warn)
        for text in _unfinished(run):
            warn(text)
        self.calibration = calibration_of(run, self.localizer, warn)

    def _chosen(self, warn: Say) -> Sequence[str]:
        labels = self.words.labels()
        if labels is None:
            return self.store.videos
        subset = self.words.subset
        chosen = sorted(labels.tags) if subset is None else videos_of(labels, subset)
        self._refuse_strangers(chosen, labels.source)
        for text in before_localizing(labels, chosen, self.localizer.classes):
            warn(text)
        return chosen

    def _refuse_strangers(self, chosen: Sequence[str], source: str) -> None:
        """Labels of another data set must not leave an empty result in the place of a good one.

        Raises:
            WtalError: the store holds none of the videos.
        """
        held = self.store.videos
        if not set(chosen).isdisjoint(held):
            return
        only = f" of subset '{self.words.subset}'" if self.words.subset else ""
        raise WtalError(
            f"{self.store.root} has features of none of {counted(len(chosen), 'video')}{only} in "
            f"{source}: it holds videos like {next(iter(held), 'none')!r}, the labels videos like "
            f"{next(iter(chosen), 'none')!r}. Nothing was written; give the labels of these "
            "features."
        )

    @cached_property
    def work(self) -> str:
        """What the shares of this result have in common."""
        known = None if self.calibration is None else self.calibration.to_json()
        return work_of(self.run, self.words.overrides, self.videos, known)

    def is_current(self) -> bool:
        """Whether there is nothing to do."""
        return is_current(self.place, self.work, self.store, self.videos)

    def share(self, shard: Shard, progress: Progress = lambda done, total: None) -> LocalizeReport:
        """Localize one share; the last one joins them all.

        Args:
            shard: which.
            progress: told (done, total) of its videos.
        """
        videos, report = shard.of(self.videos), LocalizeReport()
        if self.is_current():
            return LocalizeReport(unchanged=len(videos), note=f"{self.place.whole} is up to date")
        remember_names(self.place, self.work, self.videos)
        path = self.place.journal(shard)
        make_folder(path.parent)
        with lock(path.parent), Journal(path, self.work) as journal:
            known = journal.take_up(self.store, videos)
            report.unchanged = known - len(journal.faults)
            for done, video in enumerate(videos[known:], known + 1):
                # Before it is read, so that a change meanwhile shows in the next run.
                source = source_of(self.store, video)
                for _, answer in self.localizer.localize_store(self.store, [video]):
                    journal.add(video, source, answer)
                progress(done, len(videos))
            journal.finish()
            report.skipped = journal.faults
            report.done = len(videos) - report.unchanged - len(report.skipped)
        report.note = join_if_complete(shard, self.place, self.work, self.details())
        return report

    def details(self) -> dict[str, object]:
        """For the result's `external_data`."""
        told: dict[str, object] = {"run": str(self.run), "features": str(self.store.root)}
        if self.calibration is not None:
            told["calibration"] = self.calibration.to_json()
        return told


def _unfinished(run: Path) -> list[str]:
    """A sentence about a training that was stopped; none where it ended, or left no checkpoint."""
    try:
        progress = load_progress(run / STATE_FILE)
    except WtalError:  # missing or damaged: only --resume needs it, and says so
        return []
    if progress is None or progress[0] >= progress[1]:
        return []
    done, steps = progress
    return [f"{run} was stopped at step {done} of {steps}; --resume of wtal train finishes it."]


def run(
    job: LocalizeShare, sharing: Sharing, *, progress: Progress, say: Say, warn: Say
) -> dict[str, str]:
    """Localize one run's videos: everything here, one share, or all shares by a driver.

    Args:
        job: what is asked for.
        sharing: what is shared out, and to whom.
        progress: told (done, total) videos.
        say: told what was done.
        warn: told what should be known before.

    Returns:
        Video -> fault of the videos that were left out.

    Raises:
        WtalError, FeatureError: what the user can mend.
    """
    part = sharing.one()
    # On a cluster the nodes compute; here only the names of the classes are needed.
    device = torch.device("cpu") if sharing.ray is not None else choose_device(job.device)
    whole = Localization(job, device, warn)
    place, count = whole.place, len(whole.videos)
    current = whole.is_current()
    tidy(place, whole=current)
    if current:
        say(f"{place.whole} is up to date: {count} videos unchanged.")
        return {}
    shards = [part] if part else sharing.shares(place.shards, count)
    if len(shards) > 1 or sharing.ray is not None:
        watch = Watch({shard: place.journal(shard) for shard in shards}, count, progress)
        reports, faults = do_shares(sharing, job, shards, watch)
        refuse_undone(faults)
        if place.shards.exists():
            # Two that ended at once on a network disk may not have seen each other's last file.
            reports.append(whole.share(shards[-1]))
    else:
        alone = nullcontext() if part else lock(place.whole.absolute().parent, place.whole.name)
        with sigterm_as_ctrl_c(), alone:
            reports = [whole.share(shards[0], progress)]
    report = _as_one(reports)
    say(report.line(place.whole))
    if len(shards) > 1 or part is not None:
        say(f"{report.note}.")
    return report.skipped


def _as_one(reports: Sequence[LocalizeReport]) -> LocalizeReport:
    whole = LocalizeReport()
    for report in reports:
        whole.done += report.done
        whole.unchanged += report.unchanged
        whole.skipped |= report.skipped
        if "shards joined" not in whole.note:
            whole.note = report.note
    whole.skipped = dict(sorted(whole.skipped.items()))
    return whole
