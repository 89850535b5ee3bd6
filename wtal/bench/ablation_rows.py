"""The rows of an ablation table: how one is written, which folder is its own, what it trains.

    [LABEL::]FILE-OR-FOLDER[,key=value...][+key=value...]

What follows a comma is trained with; what follows a plus is read by the localizer alone, so such a
row shares the training runs of the row without it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wtal.config import Config, load_config
from wtal.errors import WtalError
from wtal.training import MAY_DIFFER

SYNTAX = "[LABEL::]FILE-OR-FOLDER[,key=value...][+key=value...]"

# Commas and signs inside a value, such as [0.1,0.2] or 1e+5, are followed by no `key=`.
KEY = r"(?=[A-Za-z_][\w.]*=)"
PLAIN_NAME = re.compile(r"(?![./])[A-Za-z0-9_.=,/]+")
LONGEST_NAME = 80

# The switches of compat.py that training does not read.
LOCALIZER_SWITCHES = (
    "compat.class_zero_is_empty",
    "compat.binary_class_score",
    "compat.skip_unsure_videos",
    "compat.nms_length_plus_one",
    "compat.oic_after_threshold",
    "compat.skip_flat_classes",
    "compat.left_edge_bins",
)


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        label: its name there.
        file: the YAML file.
        overrides: `a.b=value` of the training.
        localizer: `a.b=value` that only the localizer reads.
    """

    label: str
    file: Path
    overrides: tuple[str, ...] = ()
    localizer: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """Label by the name of the file."""
        return self._label(self.file.stem)

    @property
    def full(self) -> str:
        """Label by the path of the file."""
        return self._label(self.path)

    @property
    def path(self) -> str:
        """The file, seen from here where it lies below, without suffix."""
        file = Path(os.path.abspath(self.file))
        inside = file.is_relative_to(Path.cwd())
        return (file.relative_to(Path.cwd()) if inside else file).as_posix().removesuffix(".yaml")

    @property
    def trained(self) -> str:
        """What is trained, as text."""
        return ",".join([self.path, *self.overrides])

    @property
    def source(self) -> str:
        """The row as it may be written on the command line."""
        written = ",".join([self.file.as_posix(), *self.overrides])
        return f"{written}+{','.join(self.localizer)}" if self.localizer else written

    @property
    def folder(self) -> str:
        """Name of the folder of its runs."""
        return folder_name(self.trained)

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """Equal for rows that mean the same."""
        return self.trained, self.localizer

    def _label(self, name: str) -> str:
        trained = ", ".join([name, *self.overrides])
        return f"{trained} + {', '.join(self.localizer)}" if self.localizer else trained


def read_rows(texts: Sequence[str]) -> list[Row]:
    """Rows in the order in which they are written; one that comes again is left out.

    Raises:
        WtalError: no such file, an empty folder, or two rows with one label.
    """
    rows: dict[object, Row] = {}
    for text in texts:
        for row in read_row(text):
            rows.setdefault(row.key, row)
    short = Counter(row.short for row in rows.values())
    chosen = [
        replace(row, label=row.label or (row.short if short[row.short] == 1 else row.full))
        for row in rows.values()
    ]
    for label, times in Counter(row.label for row in chosen).items():
        if times > 1:
            raise WtalError(f"{times} rows are labelled '{label}'; give each a LABEL:: of its own.")
    return chosen


def read_row(text: str) -> list[Row]:
    """The row of a file, or the rows of a folder; the label is empty where none is given.

    Raises:
        WtalError: no such file, an empty folder, or a key after the plus that training reads.
    """
    label, mark, rest = text.partition("::")
    if not mark:
        label, rest = "", text
    trained, *after = re.split(rf"\+{KEY}", rest)
    name, *overrides = _split(trained)
    localizer = [each for part in after for each in _split(part)]
    _refuse_trained_keys(text, localizer)
    path = Path(name.strip())
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        what = "holds no .yaml file" if path.is_dir() else "is no file"
        raise WtalError(f"The row '{text}': {path} {what}; expected {SYNTAX}.")
    suffix = " {}" if label and path.is_dir() else ""
    return [
        Row(label.strip() + suffix.format(file.stem), file, tuple(overrides), tuple(localizer))
        for file in files
    ]


def find_row(rows: Sequence[Row], text: str) -> int:
    """Position of the row with this label, or written like this.

    Raises:
        WtalError: there is none.
    """
    labels = [row.label for row in rows]
    if text in labels:
        return labels.index(text)
    try:
        wanted = [row.key for row in read_row(text)]
    except WtalError:
        wanted = []
    found = [i for i, row in enumerate(rows) if row.key in wanted]
    if len(found) != 1:
        raise WtalError(f"--baseline '{text}' is none of the rows: {'; '.join(labels)}.")
    return found[0]


def config_of(row: Row, common: Sequence[str] = (), forced: Sequence[str] = ()) -> Config:
    """What the row trains with.

    Args:
        row: its own overrides win over the common ones.
        common: overrides of all rows.
        forced: overrides that win over everything.

    Raises:
        WtalError: unreadable file, unknown key, value out of range; those of the localizer, too.
    """
    everything = [*common, *row.overrides, *forced]
    load_config(row.file, [*everything, *row.localizer])
    return load_config(row.file, everything)


def with_seed(config: Config, seed: int) -> Config:
    """The same under another seed."""
    return replace(config, train=replace(config.train, seed=seed))


def flat(config: Config) -> dict[str, Any]:
    """Every key, dotted, with a value that JSON keeps.

    Example:
        >>> flat(Config())["localize.nms"]
        'soft'
    """
    found: dict[str, Any] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            for key, each in value.items():
                walk(each, f"{name}.{key}" if name else key)
        else:
            found[name] = json.loads(json.dumps(value))  # tuples become lists

    walk(dataclasses.asdict(config), "")
    return found


def as_overrides(config: Config) -> list[str]:
    """The config as overrides of the defaults; `load_config` reads it back unchanged.

    Example:
        >>> load_config(None, as_overrides(Config()), allow_idle=True) == Config()
        True
    """
    return [f"{name}={json.dumps(value)}" for name, value in flat(config).items()]


def changed_keys(earlier: Mapping[str, Any], config: Config) -> list[str]:
    """Keys of `flat` whose values differ; a key that `earlier` lacks had its default then."""
    defaults = flat(Config())
    ignored = {f"{section}.{name}" for section, names in MAY_DIFFER.items() for name in names}
    return [
        name
        for name, value in flat(config).items()
        if name not in ignored and earlier.get(name, defaults[name]) != value
    ]


def folder_name(text: str) -> str:
    """A readable name for one folder; different texts have different names.

    A dash can only come from a slash, or else the name ends with a hash of the text.

    Example:
        >>> folder_name("configs/basnet,train.steps=9")
        'configs-basnet,train.steps=9'
        >>> folder_name("configs/bas-net")
        'configs-bas-net~f948ce6c'
    """
    if PLAIN_NAME.fullmatch(text) and len(text) <= LONGEST_NAME:
        return text.replace("/", "-")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    path, comma, overrides = text.partition(",")
    short = "/".join(path.split("/")[-2:]) + comma + overrides
    readable = re.sub(r"[^A-Za-z0-9_.=,]+", "-", short).strip("-.,")
    return f"{readable[: LONGEST_NAME - 20]}~{digest}"


def _split(text: str) -> list[str]:
    return re.split(rf",{KEY}", text)


def _refuse_trained_keys(text: str, localizer: Sequence[str]) -> None:
    """A key that training reads would be without effect on a network that is there already."""
    for each in localizer:
        name = each.partition("=")[0]
        if not name.startswith("localize.") and name not in LOCALIZER_SWITCHES:
            raise WtalError(
                f"The row '{text}': training reads {name}, so that the row needs a run of its own; "
                "write it after a comma instead of the plus."
            )
