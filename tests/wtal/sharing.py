"""Trainings that the tests of several processes run, in threads or as processes of a group."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from tests.group import join, leave
from wtal import training
from wtal.config import Config, load_config
from wtal.corrections.file import Correction, Corrections, VideoCorrections
from wtal.dcc import DenoisedContrast
from wtal.inputs import read_labels
from wtal.peers import Peers
from wtal.training import TrainResult, train
from wtal_features import open_store

# Nine sound videos in batches of four: each epoch ends with a single video, so that one of two
# processes has nothing to do. The contrast starts in the second epoch, before step 4.
SMALL = [
    "model.hidden_dim=8",
    "train.batch_size=4",
    "train.log_every=1",
    "train.lr=1e-3",
    "train.steps=9",
]
DCC = ["dcc.contrast=bank", "cluster.k=4", "cluster.every_epochs=1"]
CASES: dict[str, list[str]] = {
    "basnet": ["data.resample=grid", "data.length=40"],
    "held out": ["data.max_snippets=30", "validation.fraction=.3", "validation.every=2"],
    "dcc": DCC,
    "by class": [*DCC, "cluster.scope=class", "cluster.members=class", "cluster.start=cold"],
    "by video": [*DCC, "cluster.scope=video", "dcc.pseudo.threshold=quantile"],
    "by batch": [*DCC, "cluster.scope=batch", "dcc.contrast=video", "dcc.cut=runs"],
    "shuffled": [*DCC, "dcc.denoise=shuffled", "cluster.features=input", "dcc.cut=mass"],
    "random": [*DCC, "dcc.denoise=random", "dcc.form=circle", "dcc.teach_classes=.5"],
    "keys": [*DCC, "dcc.key_gradient=true", "dcc.contrast=batch", "dcc.embedding=supp"],
    "bank": [*DCC, "dcc.bank_momentum=.5", "dcc.bank_cap=2", "dcc.hardest=3"],
    "corrected": DCC,
}
CORRECTIONS = Corrections(
    {
        "video_001": VideoCorrections(True, (Correction("Run", 2.0, 7.0, "accepted"),)),
        "video_005": VideoCorrections(False, (Correction("Throw", 1.0, 4.0, "rejected"),)),
    }
)


def configured(name: str) -> Config:
    return load_config(None, [*SMALL, *CASES[name]])


def run(data: Path, out: Path, name: str, peers: Peers, *, resume: bool = False) -> TrainResult:
    """One training, by a process that is one of `peers`; others may run in other threads."""
    own.peers = peers
    given = CORRECTIONS if name == "corrected" else None
    return train(
        *(configured(name), open_store(data / "store"), read_labels(tags=data / "tags.csv"), out),
        resume=resume,
        quiet=True,
        corrections=given,
    )


own = threading.local()  # which of the peers a thread is


@contextmanager
def as_peers() -> Iterator[None]:
    """Trainings find their peers in `own`."""
    with patch.object(Peers, "running", lambda device: own.peers):
        yield


@contextmanager
def stopped_after(step: int) -> Iterator[None]:
    """As if a signal came to all processes, after so many steps of this part of a run."""

    class Signal:
        def __init__(self) -> None:
            self.asked = 0

        def __enter__(self) -> "Signal":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        @property
        def requested(self) -> bool:
            self.asked += 1
            return self.asked > step

    with patch.object(training, "Interrupt", Signal):
        yield


@contextmanager
def tampered(step: int) -> Iterator[None]:
    """One number of the last process's memory bank changes in the step after so many."""
    real = DenoisedContrast.backward

    def backward(self: DenoisedContrast, *args: Any, **options: Any) -> dict[str, float]:
        figures = real(self, *args, **options)
        if args[3] == step and self.peers.rank == self.peers.size - 1:
            self.bank.vectors_SMd[0, 0, 0] += 1e-6
        return figures

    with patch.object(DenoisedContrast, "backward", backward):
        yield


def main(folder: Path, port: str, rank: str, size: str) -> None:
    """Some of the trainings, as one of a group of processes."""
    torch.set_num_threads(1)
    join(port, rank, size)
    with as_peers():
        for name in ("basnet", "dcc", "keys"):
            run(folder / "data", folder / name, name, Peers(int(rank), int(size)))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
