"""Run folders as a command line names them: one run, or the sweep over seeds that holds several."""

from __future__ import annotations

from pathlib import Path

from wtal.errors import WtalError
from wtal_features.errors import counted

CONFIG_FILE = "config.yaml"
DETECTIONS_FILE = "detections.json"  # here, since wtal.results brings torch


def runs_of(path: Path) -> list[Path]:
    """A run folder itself, or the `seed-*` folders of a sweep, by number."""
    seeds = [folder for folder in path.glob("seed-*") if folder.is_dir()]
    if (path / CONFIG_FILE).exists() or not seeds:
        return [path]
    return sorted(seeds, key=lambda folder: (len(folder.name), folder.name))


def is_run(path: Path) -> bool:
    """Whether a word of the command line names a run or a sweep, rather than a file."""
    return path.is_dir() and ((path / CONFIG_FILE).exists() or runs_of(path) != [path])


def check_run(path: Path) -> None:
    """Refuse what is not the folder of one run.

    Raises:
        WtalError: with the name of a run, where there is one.
    """
    if (path / CONFIG_FILE).is_file():
        return
    if not path.exists():
        raise WtalError(f"{path} does not exist; expected a run folder, as `wtal train` makes it.")
    _refuse_sweep(path)
    made = path / "model"  # as `wtal run` leaves it
    hint = f" The run that `wtal run` trained is {made}." if (made / CONFIG_FILE).is_file() else ""
    raise WtalError(f"{path} is no run folder: it has no {CONFIG_FILE}; train one first.{hint}")


def result_file(path: Path) -> Path:
    """A result file, or that of a run folder."""
    return path / DETECTIONS_FILE if path.is_dir() else path


def check_localized(path: Path) -> None:
    """Refuse a folder without detections; a result file is its reader's business.

    Raises:
        WtalError: it is a sweep, or was not localized.
    """
    if not path.is_dir() or result_file(path).is_file():
        return
    _refuse_sweep(path)
    raise WtalError(
        f"{path} has no {DETECTIONS_FILE} yet; run `wtal localize {path} --features STORE` first."
    )


def _refuse_sweep(path: Path) -> None:
    runs = runs_of(path)
    if runs != [path]:
        raise WtalError(
            f"{path} holds {counted(len(runs), 'run')}; name one of them, such as {runs[0]}."
        )
