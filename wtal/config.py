"""Configuration: frozen dataclasses <- YAML file <- `-o a.b=value`; the later one wins.

Each part is declared beside its owner; this file joins them and reads, checks and writes them.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from wtal.clusters import ClusterConfig
from wtal.compat import Compat
from wtal.context import FeaturesConfig
from wtal.corrections.supervision import CorrectionsConfig
from wtal.data import DataConfig
from wtal.dcc import DccConfig
from wtal.errors import WtalError
from wtal.localize import LocalizeConfig
from wtal.losses import LossConfig
from wtal.model import ModelConfig
from wtal.schedule import TrainConfig
from wtal.validation import ValidationConfig

MAX_BYTES = 1_000_000  # a config is a page of text
MAX_DEPTH = 32  # sections, keys, lists


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, besides its input files."""

    data: DataConfig = field(default_factory=DataConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    dcc: DccConfig = field(default_factory=DccConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    corrections: CorrectionsConfig = field(default_factory=CorrectionsConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    localize: LocalizeConfig = field(default_factory=LocalizeConfig)
    compat: Compat = field(default_factory=Compat)


def load_config(
    path: Path | None = None, overrides: typing.Sequence[str] = (), *, allow_idle: bool = False
) -> Config:
    """Read a YAML file over the defaults, then apply `a.b=value` overrides.

    Args:
        path: a file; None: the defaults.
        overrides: the later one wins.
        allow_idle: overrides that nothing reads are accepted: they list a whole config.

    Raises:
        WtalError: unreadable file, unknown key (names the nearest), wrong type, value out of range,
            an override that nothing reads.
    """
    config, places = read_config(Config(), path, overrides)
    if not allow_idle:
        refuse_idle(config, places, NEEDS)
    named_here = not {"features", "features.context_file"} & places.keys()
    return _seen_from(path.parent, config) if path is not None and named_here else config


def _seen_from(folder: Path, config: Config) -> Config:
    """The config with the file that a YAML file names looked for in the folder of that file."""
    file = config.features.context_file
    if file is None:
        return config
    features = dataclasses.replace(config.features, context_file=str(folder / file))
    return dataclasses.replace(config, features=features)


T = TypeVar("T")


def read_config(
    default: T, path: Path | None, overrides: typing.Sequence[str]
) -> tuple[T, Mapping[str, str]]:
    """A YAML file over the values of a dataclass of dataclasses, then `a.b=value` overrides.

    Args:
        default: what is not said stays as it is here.
        path: a file; None: nothing.
        overrides: the later one wins.

    Returns:
        The config, and the keys that were overridden, each with its override.

    Raises:
        WtalError: as `load_config`.
    """
    tree = {} if path is None else read_yaml(path)
    of_file = set(_names(tree))
    places = {_override(tree, text): f"-o {text}" for text in overrides}

    def where(name: str) -> str:
        """The override that set a key or a section around it, else the file, else one inside it."""
        sections = name.split(".")
        around = [".".join(sections[:n]) for n in range(len(sections), 0, -1)]
        found = [places[part] for part in around if part in places]
        inside = [place for key, place in places.items() if key.startswith(f"{name}.")]
        file = "-o" if path is None else str(path)
        return [*found, *([] if name in of_file else inside), file][0]

    return _build(default, tree, where, "", type(default)), places


def _names(tree: Mapping[Any, Any], prefix: str = "") -> list[str]:
    """Sections and keys of a tree, dotted."""
    names: list[str] = []
    for key, value in tree.items():
        names.append(f"{prefix}{key}")
        if isinstance(value, dict):
            names += _names(value, f"{prefix}{key}.")
    return names


# Keys that only one choice of another key reads.
NEEDS = {
    "data.length": ("data.resample", "grid"),
    "features.context_file": ("features.context", "tca"),
    "features.context_join": ("features.context", "tca"),
    "localize.nms_threshold": ("localize.nms", "hard"),
    "localize.soft_sigma": ("localize.nms", "soft"),
    "localize.min_score": ("localize.nms", "soft"),
}


def refuse_idle(
    config: object, places: Mapping[str, str], needs: Mapping[str, tuple[str, str]]
) -> None:
    """An override that nothing reads is a misunderstanding; a file may hold it for another day.

    Args:
        config: as it was read.
        places: the overrides, as `read_config` gives them.
        needs: key -> the key and the value of it without which nothing reads the first.

    Raises:
        WtalError: for the first such override.
    """
    for name, place in places.items():
        other, needed = needs.get(name, ("", ""))
        if other:
            section, _, key = other.partition(".")
            chosen = getattr(getattr(config, section), key)
            if chosen != needed:
                raise WtalError(
                    f"{place} does nothing with {other}={chosen}; add -o {other}={needed}."
                )


def resolved(config: Config, feature_dim: int, n_videos: int) -> Config:
    """The config with what features and videos decide in place of `auto`."""
    hidden, filtering = config.model.widths(feature_dim)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, hidden_dim=hidden, filter_dim=filtering),
        dcc=dataclasses.replace(config.dcc, dim=config.dcc.width(hidden)),
        train=dataclasses.replace(
            config.train,
            steps=config.train.total_steps(n_videos),
            lr=config.train.peak_rate(hidden),
        ),
    )


def dump_config(config: Config) -> str:
    """The configuration with every key, as YAML; `load_config` reads it back unchanged."""
    return yaml.safe_dump(_plain(config), sort_keys=False)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, read safely: no tags, no aliases, no repeated keys, at most 1 MB."""
    if path.is_dir():
        raise WtalError(f"{path} is a folder; expected a YAML file; are two names swapped?")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WtalError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise WtalError(f"{path} has {len(data)} bytes; a config has at most {MAX_BYTES}.")
    try:
        tree = _load(str(path), data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise WtalError(f"{path} is not a plain YAML file: {_one_line(error)}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise WtalError(f"{path} holds a {type(tree).__name__}; expected `section:` with keys.")
    return tree


def _load(path: str, data: bytes) -> Any:
    """A plain value.

    Raises:
        WtalError: it surprises.
        YAMLError: it is none.
    """
    _refuse_surprises(path, data)
    try:
        return yaml.safe_load(data)
    except (ValueError, OverflowError) as error:  # looks like a date or number and is none
        raise yaml.YAMLError(str(error)) from error


def _refuse_surprises(path: str, data: bytes) -> None:
    """Aliases can blow a small file up a billionfold, and YAML keeps the last of repeated keys.

    The time that PyYAML takes grows with the square of the depth: 30,000 brackets take minutes.
    """
    depth = 0
    for event in yaml.parse(data, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise WtalError(
                f"{path} is not a plain YAML file: it is nested deeper than {MAX_DEPTH}."
            )
        if isinstance(event, yaml.AliasEvent):
            raise WtalError(f"{path} uses the YAML alias *{event.anchor}; write the value out.")
        tag = getattr(event, "tag", None)
        if tag is not None:
            assert event.start_mark is not None  # a parser knows where it is
            line = event.start_mark.line + 1
            raise WtalError(f"{path} is not a plain YAML file: line {line} has the tag {tag!r}.")
    nodes = [yaml.compose(data, Loader=yaml.SafeLoader)]
    while nodes:
        node = nodes.pop()
        if not isinstance(node, yaml.MappingNode):
            continue
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise WtalError(
                    f"{path} line {line} has a list or mapping for a key; write a word."
                )
            if key.value in seen:
                raise WtalError(f"{path} line {line} repeats the key '{key.value}'.")
            seen.add(key.value)
            nodes.append(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _override(tree: dict[str, Any], text: str) -> str:
    """Set one `a.b=value` in a tree, the value read as YAML; returns the name `a.b`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise WtalError(f"-o {text}: expected a.b=value, for example -o train.steps=500.")
    *sections, last = name.strip().split(".")
    for section in sections:
        if tree.get(section) is None:  # absent, or `train:` with nothing below it
            tree[section] = {}
        tree = tree[section]
        if not isinstance(tree, dict):
            raise WtalError(f"-o {text}: '{section}' is a value, not a section.")
    try:
        tree[last] = _load(f"-o {name}", value.encode())
    except (yaml.YAMLError, RecursionError, UnicodeError) as error:
        raise WtalError(f"-o {text[:80]}: the value is not a plain YAML value.") from error
    return name.strip()


def _build(default: T, tree: Any, where: Callable[[str], str], prefix: str, root: type[Any]) -> T:
    """A dataclass with the values of a mapping in place of its own, section by section."""
    if not isinstance(tree, dict):
        raise WtalError(f"{where(prefix)}: '{prefix}' is {tree!r}; expected a section with keys.")
    types_by_name = typing.get_type_hints(type(default))
    values: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if key not in types_by_name:
            inside = [name, *_names(value, f"{name}.")] if isinstance(value, dict) else [name]
            raise WtalError(f"{where(name)}: unknown key '{name}'{_nearest(inside, prefix, root)}")
        if dataclasses.is_dataclass(types_by_name[key]):
            section = getattr(default, key)
            values[key] = _build(section, {} if value is None else value, where, name, root)
        else:
            values[key] = _value(types_by_name[key], value, where(name), name)
    try:
        return typing.cast(T, dataclasses.replace(typing.cast(Any, default), **values))
    except WtalError as error:  # out of range; the sentence begins with the key
        key = str(error).partition(" ")[0]
        raise WtalError(f"{where(key)}: {error}") from error


def _nearest(names: list[str], prefix: str, root: type[Any]) -> str:
    """The sentence that ends an unknown-key error; of a section it looks at what is in it, too."""
    known = known_keys(root)
    sections = [field.name for field in dataclasses.fields(root)]
    name, leaves = names[0], [name.rpartition(".")[2] for name in names]
    key = leaves[0]
    section = difflib.get_close_matches(key, sections, n=1)
    if section and not prefix:
        return f"; the nearest known section is '{section[0]}'."
    same_leaf = [k for k in known if k.rpartition(".")[2] in leaves]
    near = same_leaf or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not near:
        near = difflib.get_close_matches(key, [k.rpartition(".")[2] for k in known], n=1)
        near = [k for k in known if near and k.rpartition(".")[2] == near[0]]
    if len(near) > 1:
        return f"; the nearest known ones are {' and '.join(map(repr, near[:2]))}."
    if near:
        return f"; the nearest known one is '{near[0]}'."
    return f"; known sections are {', '.join(sections)}."


def known_keys(kind: type[Any] = Config, prefix: str = "") -> list[str]:
    """Every key, dotted: `train.lr`, `dcc.beta.rho`."""
    keys: list[str] = []
    for name, declared in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(declared):
            keys += known_keys(typing.cast(type[Any], declared), f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def _value(kind: Any, value: Any, where: str, name: str) -> Any:
    """Check one value against its declared type; whole numbers serve as floats, lists as tuples."""
    for option in _options(kind):
        converted = _convert(option, value)
        if converted is not _NO:
            return converted
    raise WtalError(f"{where}: {name} is {value!r}; expected {_describe(kind)}.")


_NO = object()


def _options(kind: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def _convert(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is Literal:
        if value is False and "off" in typing.get_args(kind):
            return "off"  # YAML 1.1 reads the word as a truth value
        return value if value in typing.get_args(kind) else _NO
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        if not isinstance(value, (list, tuple)):
            return _NO
        converted = tuple(_convert(item, each) for each in value)
        return _NO if _NO in converted else converted
    if kind is float:
        return _float(value)
    if kind is bool or kind is str or kind is type(None):
        return value if isinstance(value, kind) else _NO
    return value if isinstance(value, kind) and not isinstance(value, bool) else _NO


def _float(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as a string: accept what Python reads as a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return _NO
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return _NO
    return number if number == number and abs(number) != float("inf") else _NO


def _describe(kind: Any) -> str:
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    parts = []
    for option in _options(kind):
        if typing.get_origin(option) is Literal:
            parts += [repr(v) for v in typing.get_args(option)]
        elif typing.get_origin(option) is tuple:
            item = typing.get_args(option)[0]
            literal = typing.get_origin(item) is Literal
            parts.append(f"a list of {_describe(item)}" if literal else "a list")
        else:
            parts.append(words.get(option, "nothing"))
    return " or ".join(parts)


def _plain(value: Any) -> Any:
    """Dataclasses and tuples to what YAML writes."""
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value
