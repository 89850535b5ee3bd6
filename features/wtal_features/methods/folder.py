"""The folder of a run, beside the file that it makes: `cvrl.safetensors` has `cvrl.run/`.

config.json        what decides the run
metrics.jsonl      a line every few steps
state.safetensors  all that a resumed run needs, replaced in one step
stages/            the encoders that each stage but the last ended with
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wtal_features.errors import FeatureError
from wtal_features.files import atomic_write, read_json, write_failed
from wtal_features.methods.settings import differences

CONFIG, METRICS, STATE, STAGES = "config.json", "metrics.jsonl", "state.safetensors", "stages"
_ENTRY = "wtal.pretraining"


@dataclass(frozen=True)
class Saved:
    """A moment of a run.

    Attributes:
        stage: Number of the stage.
        step: Steps of it that are done.
        tensors: `objective/...`, `optimizer/...`, `carried/...`.
    """

    stage: int
    step: int
    tensors: dict[str, Tensor]


def folder_of(out: Path) -> Path:
    """The folder of the run that makes this file."""
    return out.with_suffix(".run")


def stream_file(out: Path, stream: str, streams: int) -> Path:
    """The file of one stream: `out` itself, or where there are two, the stream in its name.

    Example:
        >>> str(stream_file(Path("coclr.safetensors"), "flow", 2))
        'coclr.flow.safetensors'
    """
    return out if streams == 1 else out.with_suffix(f".{stream}{out.suffix}")


def refuse_earlier(out: Path, *, resume: bool) -> None:
    """Refuse a place that holds a run which shall not go on, or a file of another.

    A run that ended before its first checkpoint is none: its place is free.

    Raises:
        FeatureError: If the place is taken.
    """
    folder = folder_of(out)
    if (folder / STATE).exists() and not resume:
        raise FeatureError(
            f"{folder} already holds a run.",
            "Add --resume to go on with it, or choose another --out.",
            code="exists",
        )
    if out.exists() and not (folder / STATE).exists():
        raise FeatureError(
            f"{out} is there already, and no run beside it.",
            "Move it away, or choose another --out.",
            code="exists",
        )


def open_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Look whether the run in a folder is this one, or begin it there.

    Args:
        folder: Of the run; it exists.
        identity: What decides the run, as JSON values: method, config, data.

    Raises:
        FeatureError: If it is another one, or nothing says which it is.
    """
    config = folder / CONFIG
    if not (folder / STATE).exists():
        with atomic_write(config) as handle:
            handle.write(json.dumps(identity, indent=1).encode() + b"\n")
        return
    if not config.exists():
        raise FeatureError(
            f"{config} is missing: nothing says which run {STATE} belongs to.",
            f"Restore it from a copy, or remove {STATE} to begin again.",
            code="damaged",
        )
    earlier = read_json(config)
    _refuse(folder, differences(earlier if isinstance(earlier, dict) else {}, identity))


def _refuse(folder: Path, changed: list[str]) -> None:
    """Name what a run differs in."""
    if changed:
        names = ", ".join(name.removeprefix("config.") for name in changed[:5])
        raise FeatureError(
            f"{folder} was begun with another {names}.",
            "Go on with the same, or choose another --out.",
            code="resume",
        )


def refuse_other(out: Path, method: str, config: Mapping[str, Any], seed: int) -> None:
    """Refuse to go on with a run of other settings, before hours of decoding.

    Args:
        out: The file that the run makes.
        method: Its name.
        config: Of the method, as JSON values; `run` does not count.
        seed: Of the run.

    Raises:
        FeatureError: As `open_folder`, which looks at the data, too.
    """
    folder = folder_of(out)
    if not (folder / STATE).exists() or not (folder / CONFIG).exists():
        return
    earlier = read_json(folder / CONFIG)
    known = earlier if isinstance(earlier, dict) else {}
    own = {name: value for name, value in config.items() if name != "run"}
    ours = {"method": method, "config": json.loads(json.dumps(own)), "seed": seed}
    _refuse(folder, differences({name: known.get(name) for name in ours}, ours))


def save_state(folder: Path, saved: Saved) -> None:
    """Write a moment, whole or not at all.

    Raises:
        FeatureError: If it cannot be written; the moment before is still there.
    """
    # safetensors takes no two names for one memory, and key encoders may share some.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in saved.tensors.items()}
    about = json.dumps({"stage": saved.stage, "step": saved.step})
    data = save(tensors, {_ENTRY: about})
    try:
        with atomic_write(folder / STATE) as handle:
            handle.write(data)
    except FeatureError as error:
        cure = "Mend that, then --resume goes on from the last checkpoint."
        raise FeatureError(error.problem, cure, code=error.code) from error


def load_state(folder: Path) -> Saved:
    """Read the last moment.

    Raises:
        FeatureError: If the file is damaged or not ours.
    """
    path = folder / STATE
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()[_ENTRY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return Saved(int(about["stage"]), int(about["step"]), tensors)
    except (
        SafetensorError,
        OSError,
        LookupError,
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:
        raise FeatureError(
            f"{path} is damaged: {' '.join(str(error).split())[:120]}.",
            "Remove it and begin again, or restore it from a copy.",
            code="damaged",
        ) from error


@contextmanager
def metrics(folder: Path, stage: int, step: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that adds a line to metrics.jsonl; lines after the moment to go on from are cut.

    Args:
        folder: Of the run.
        stage: Of that moment.
        step: Likewise; steps of the stage that are done.
    """
    path = folder / METRICS
    kept = []
    for line in (
        path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    ):
        try:
            entry = json.loads(line)
            before = (entry["stage_number"], entry["step"]) <= (stage, step)
        # The last line of a run that was killed, or a damaged one.
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if before:
            kept.append(line + "\n")
    with atomic_write(path) as whole:
        whole.write("".join(kept).encode())
    with path.open("a") as handle:

        def write(entry: Mapping[str, Any]) -> None:
            try:
                handle.write(json.dumps(entry) + "\n")
                handle.flush()
            except OSError as error:
                write_failed(path, error)

        yield write


def last_figures(folder: Path) -> dict[str, Any]:
    """The last line of metrics.jsonl; empty where there is none."""
    path = folder / METRICS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    figures: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return figures
