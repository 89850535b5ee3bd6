"""The commands that the campaign disturbs, each on inputs that it finishes in a second."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.chaos.forked import done
from tests.features.pretraining_toys import toy_store
from tests.synthetic import make_store
from tests.wtal.pipelining import TAGS, film, work_here, write_tags

# What differs between two undisturbed runs, too.
_TIMES = re.compile(
    rb'"(?:seconds|cluster_seconds|cluster_share|samples_per_s|waited)": ?[-+.\deE]+'
)
# When the detections were chosen.
_DATE = re.compile(rb'DATE="[^"]*"')


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        prepare: Makes inputs in a folder, once.
        words: (inputs, folder for the results) -> command line.
        again: Words that are added when it is run again.
        begin: Puts what is there before the command into the folder of results.
        differ: End of a file's name -> pattern of what may differ in it.
        leave: Names of files that may differ altogether, with the reason.
    """

    prepare: Callable[[Path], None]
    words: Callable[[Path, Path], list[str]]
    again: tuple[str, ...] = ()
    begin: Callable[[Path, Path], None] = lambda inputs, out: None
    differ: Mapping[str, re.Pattern[bytes]] = field(default_factory=dict)
    leave: Mapping[str, str] = field(default_factory=dict)

    def products(self, out: Path) -> dict[str, bytes]:
        """Every file with its bytes, without locks and without what may differ."""
        found = {}
        for path in sorted(out.rglob("*")):
            name = path.name
            if not path.is_file() or name.endswith(".lock") or name in self.leave:
                continue
            data = path.read_bytes()
            for end, pattern in self.differ.items():
                if name.endswith(end):
                    data = pattern.sub(b"", data)
            found[path.relative_to(out).as_posix()] = data
        return found


def _options(*texts: str) -> list[str]:
    return [word for text in texts for word in ("-o", text)]


# Inputs -------------------------------------------------------------------------------------------

_SMALL = ("model.hidden_dim=8", "train.batch_size=4", "train.log_every=1", "cluster.k=4")
_DCC = ("dcc.contrast=bank", "cluster.every_epochs=1", "dcc.warmup=0.2")


def _store(inputs: Path) -> None:
    """Features with tags, and an empty config: all are defaults."""
    make_store(inputs, train=8, test=6, dim=8, strength=8.0)
    (inputs / "c.yaml").write_text("")


def _run(inputs: Path) -> None:
    """The same and a network trained on them."""
    _store(inputs)
    words = _train(inputs, inputs, "model.hidden_dim=16", "train.steps=20")
    ended = done(words, inputs / "log.txt")
    assert ended.code == 0, ended.said()


def _films(inputs: Path) -> None:
    """Videos of a second, with tags."""
    work_here(pytest.MonkeyPatch())  # decoders in the process that is killed
    (inputs / "videos").mkdir()
    for seed, name in enumerate("abcde"):
        film(inputs / "videos" / f"{name}.mp4", seed)
    write_tags(inputs / "tags.csv", TAGS)


def _clips(inputs: Path) -> None:
    """Frames that are decoded already."""
    toy_store(inputs / "clips")


# Command lines ------------------------------------------------------------------------------------


def _train(inputs: Path, out: Path, *settings: str) -> list[str]:
    files = ["-f", str(inputs / "store"), "--tags", str(inputs / "tags.csv")]
    words = ["train", str(inputs / "c.yaml"), *files, "--out", str(out / "run")]
    return [*words, "--device", "cpu", "-q", *_options(*_SMALL, *settings)]


def _train_dcc(inputs: Path, out: Path) -> list[str]:
    held_out = ("validation.fraction=0.3", "validation.every=3")
    steps = ("train.steps=16", "train.checkpoint_every=3")
    return _train(inputs, out, *_DCC, *steps, *held_out)


def _extract(inputs: Path, out: Path) -> list[str]:
    words = ["extract", str(inputs / "videos"), "--out", str(out / "store")]
    return [*words, "--encoder", "colour-histogram", "--device", "cpu", "-q"]


def _whole_run(inputs: Path, out: Path) -> list[str]:
    words = ["run", str(inputs / "videos"), "--tags", str(inputs / "tags.csv")]
    words += ["--out", str(out / "all"), "--encoder", "colour-histogram", "--device", "cpu", "-q"]
    settings = ("train.steps=6", "train.checkpoint_every=2", "calibrate.folds=2")
    return [*words, *_options("extract.fps=10", "extract.stride=2", *settings)]


def _localize(inputs: Path, out: Path) -> list[str]:
    files = [str(out / "run"), "-f", str(inputs / "store")]
    return ["localize", *files, "--device", "cpu", "-q"]


def _calibrate(inputs: Path, out: Path) -> list[str]:
    files = [str(out / "run"), "-f", str(inputs / "store"), "--tags", str(inputs / "tags.csv")]
    return ["calibrate", *files, "--folds", "2", "--device", "cpu", "-q"]


def _pretrain(inputs: Path, out: Path) -> list[str]:
    words = ["pretrain", "infonce", str(inputs / "clips"), "--out", str(out / "e.safetensors")]
    network = ("network.arch=c3d", "network.width=.125", "queue.slots=8", "queue.dim=16")
    clips = ("clips.size=32", "clips.frames=8", "clips.every=1", "clips.piece_s=whole")
    steps = ("optim.steps=6", "optim.batch=4")
    run = ("run.loaders=0", "run.save_every=2", "run.log_every=1")
    return [*words, "--device", "cpu", "-q", *_options(*network, *clips, *steps, *run)]


def _pack(inputs: Path, out: Path) -> list[str]:
    return [
        "pack",
        str(inputs / "store"),
        "--out",
        str(out / "packed"),
        "--shard-size",
        "4KiB",
        "-q",
    ]


def _copy_run(inputs: Path, out: Path) -> None:
    shutil.copytree(inputs / "run", out / "run")


_METRICS = {"metrics.jsonl": _TIMES}
# What each stage took, and how much of it an earlier turn had done.
_LEDGER = re.compile(rb'"(?:seconds|new)": ?[-+.\deE]+')

# One entry each. The campaign and the tests take all that is here.
COMMANDS: dict[str, Command] = {
    "train": Command(_store, _train_dcc, again=("--resume",), differ=_METRICS),
    "extract": Command(_films, _extract),
    "run": Command(
        _films,
        _whole_run,
        differ={**_METRICS, "run.json": _LEDGER, ".eaf": _DATE},
        leave={"report.html": "says what each stage took"},
    ),
    "localize": Command(
        _run,
        _localize,
        begin=_copy_run,
        leave={".detections.done.json": "says when the result was written"},
    ),
    "calibrate": Command(_run, _calibrate, begin=_copy_run),
    "pack": Command(_store, _pack),
    "pretrain": Command(_clips, _pretrain, again=("--resume",), differ=_METRICS),
}
