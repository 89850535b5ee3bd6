"""`wtal extract` in shares: what a process or a node does with one, and all of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from wtal.device import choose_device
from wtal.errors import WtalError
from wtal.extract import Words
from wtal.sharing import Progress, Sharing, Watch, do_shares, refuse_undone
from wtal_features.errors import FeatureError
from wtal_features.extraction import ExtractionReport, extract
from wtal_features.extraction.joining import SHARDS, folder_of
from wtal_features.extraction.listing import list_videos
from wtal_features.shards import Shard, begun
from wtal_features.video.pool import default_workers
from wtal_features.writer import JOURNAL


@dataclass(frozen=True)
class ExtractShare:
    """The extraction of one share, wherever it is called: on this machine or on another.

    Attributes:
        videos: Folder or file.
        out: The store.
        words: The options.
        device: As typed; what `auto` is, is settled where the work is done.
        threads: Of PyTorch; 0: as it likes.
    """

    videos: Path
    out: Path
    words: Words
    device: str
    threads: int = 0

    def __call__(self, shard: Shard) -> ExtractionReport:
        """Extract a share.

        Raises:
            FeatureError: What the user can mend.
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        try:
            device = choose_device(self.device)
            encoders, _ = self.words.load(device)
        except WtalError as error:  # to the drivers it is a fault like any other
            raise FeatureError(str(error)) from error
        return extract(
            self.videos, self.out, encoders, self.words.settings(), device=device, shard=shard
        )

    def on(self, process: int, processes: int) -> ExtractShare:
        """GPUs in turn; threads and decoders such that all processes fill the machine."""
        device, gpus = self.device, torch.cuda.device_count()
        if device in ("auto", "cuda") and gpus > 1:
            device = f"cuda:{process % gpus}"
        decoders = self.words.workers or max(1, default_workers() // processes)
        threads = max(1, torch.get_num_threads() // processes)
        words = replace(self.words, workers=decoders)
        return replace(self, words=words, device=device, threads=threads)

    def tasks(self) -> tuple[int, int | None]:
        """A core for each decoder, and a GPU unless the CPU was asked for."""
        gpus = {"cpu": 0, "auto": None}.get(self.device, 1)
        return max(1, self.words.workers), gpus


def run(
    videos: Path,
    out: Path,
    words: Words,
    device: str,
    sharing: Sharing,
    *,
    progress: Progress,
    say: Callable[[str], None],
) -> ExtractionReport | None:
    """Do all shares, by processes or on a cluster, or those that an earlier run left.

    Args:
        videos: Folder or file.
        out: The store.
        words: The options.
        device: Where to compute, as typed.
        sharing: What is shared out, and to whom.
        progress: Told (done, total) videos.
        say: Told of the encoders before the work begins.

    Returns:
        The reports of all shares as one; None where nothing is shared out.

    Raises:
        FeatureError, WtalError: What the user can mend.
    """
    if sharing.one() is not None or not (sharing.divides or begun(out / SHARDS)):
        return None
    count = len(list_videos(videos).videos)
    shards = sharing.shares(out / SHARDS, count)
    work = ExtractShare(videos, out, words, device)
    if sharing.ray is not None:  # a node is full of tasks, so that each has a decoder of its own
        work = replace(work, words=replace(words, workers=words.workers or 1))
    for note in words.load(torch.device("cpu"))[1]:
        say(note)
    words.settings()
    journals = {shard: folder_of(out, shard) / JOURNAL for shard in shards}
    reports, faults = do_shares(sharing, work, shards, Watch(journals, count, progress))
    refuse_undone(faults)
    if (out / SHARDS).exists():
        # Two that ended at once on a network disk may not have seen each other's last file.
        reports.append(work(shards[-1]))
    return _as_one(out, reports)


def _as_one(out: Path, reports: Sequence[ExtractionReport]) -> ExtractionReport:
    """The report of all shares; what they say of each other is of no interest any more."""
    whole = ExtractionReport(out)
    for report in reports:
        whole.written += report.written
        whole.unchanged += report.unchanged
        whole.skipped += report.skipped
        whole.notes += report.notes[:-1]
        whole.video_s += report.video_s
        whole.snippets += report.snippets
    whole.written.sort()
    whole.notes.append(max((report.notes[-1] for report in reports), key=_joined))
    return whole


def _joined(note: str) -> bool:
    return " shares joined" in note
