"""A model folder: config.json, safetensors and the pixels' JSON; on this disk or from the hub.

Nothing in it is run: weights come from safetensors alone, classes from the installed transformers.
A model is downloaded only when the user names one with `hub:`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from wtal_features.checkpoints.reading import sha256_of
from wtal_features.errors import FeatureError
from wtal_features.files import read_json, read_text

PREFIX = "hub:"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# Of a JSON file or a model card; those of published models have a few kilobytes.
_MAX_BYTES = 4 << 20
_WANTED = ["config.json", "*processor_config.json", "model*.safetensors", INDEX, "README.md"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PART = re.compile(r"[\w.-]+\.safetensors")
# Entries of config.json that need more than the classes of transformers.
_REFUSED = {
    "auto_map": "code of its own to be run",
    "quantization_config": "weights packed by another library",
}
# What transformers was seen to raise over configurations and weights that do not fit.
_BROKEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class ModelFolder:
    """Where a model lies and what its config.json says.

    Attributes:
        name: As the user named it: a folder, or `hub:owner/name`.
        path: The folder.
        revision: Commit of a downloaded model.
        config: Contents of config.json.
    """

    name: str
    path: Path
    revision: str | None
    config: Mapping[str, object]

    @property
    def model_type(self) -> str:
        """Which family of models it is, such as `vjepa2`."""
        return str(self.config.get("model_type", "none"))

    def describe(self) -> Mapping[str, object]:
        """As JSON values, for the manifest."""
        return {
            "architecture": self.model_type,
            "revision": self.revision,
            "weights_sha256": self._weights_sha256(),
            "licence": self._licence(),
        }

    def weights(self) -> list[Path]:
        """The safetensors files.

        Raises:
            FeatureError: If there are none, or the index names a file that is none of the folder's.
        """
        if (self.path / WEIGHTS).is_file():
            return [self.path / WEIGHTS]
        if not (self.path / INDEX).is_file():
            raise FeatureError(
                f"{self.path} has no {WEIGHTS}; other weights (pytorch_model.bin) are pickles, "
                "which can run code, and are not read.",
                "Take a revision with safetensors, or save the model again with save_pretrained.",
                code="checkpoint",
            )
        index = _read_dict(self.path / INDEX).get("weight_map")
        parts = sorted({str(part) for part in index.values()}) if isinstance(index, dict) else []
        if not parts or not all(
            _PART.fullmatch(part) and (self.path / part).is_file() for part in parts
        ):
            raise FeatureError(
                f"{self.path / INDEX} names files that are not in the folder: {parts[:4]}.",
                "Download the model again.",
                code="checkpoint",
            )
        return [self.path / part for part in parts]

    def _weights_sha256(self) -> str:
        """Of the file; of several, of the lines `<SHA-256>  <name>` as sha256sum prints them."""
        sums = {path.name: sha256_of(path) for path in self.weights()}
        if len(sums) == 1:
            return next(iter(sums.values()))
        lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
        return hashlib.sha256(lines.encode()).hexdigest()

    def _licence(self) -> str:
        """As the head of the model card or the configuration says."""
        head = ""
        with suppress(FeatureError):
            head = read_text(self.path / "README.md", max_bytes=_MAX_BYTES)
        parts = head.split("---")
        stated = dict(re.findall(r"(?m)^(license(?:_name)?):[ \t]*(\S+)", "".join(parts[1:2])))
        licence = stated.get("license") or self.config.get("license")
        if licence == "other":
            licence = stated.get("license_name", licence)
        return licence.strip("\"'") if isinstance(licence, str) else "not stated"


def open_folder(name: str, revision: str | None) -> ModelFolder:
    """Find the folder of a model and read its config.json.

    Args:
        name: A folder, or `hub:owner/name` for a model to be downloaded (once; then it lies in the
            hub's cache).
        revision: Branch, tag or commit of a model on the hub; None: its main branch.

    Raises:
        FeatureError: If there is no such folder or model, it has no config.json, or its model is
            made of code of its own.
    """
    if name.startswith(PREFIX):
        path = _downloaded(name.removeprefix(PREFIX), revision)
        # The hub's cache keeps every snapshot in a folder named after its commit.
        commit = path.name if _COMMIT.fullmatch(path.name) else revision
        return _described(name, path, commit)
    if revision is not None:
        raise FeatureError(
            f"{name} is a folder, which has no revision; {revision!r} was given.", code="option"
        )
    if not Path(name).is_dir():
        raise FeatureError(
            f"{name} is no folder with a model in it.",
            f"To download a model, name it {PREFIX}owner/name.",
            code="missing",
        )
    return _described(name, Path(name), None)


def load_model(
    folder: ModelFolder,
    model_class: Any,
    *,
    may_lack: str | None = None,
    changes: Mapping[str, object] | None = None,
) -> Any:
    """A network of transformers with the folder's weights, in evaluation mode and float32.

    Args:
        folder: Where it lies.
        model_class: Class of transformers.
        may_lack: Start of the names of tensors that need not be there.
        changes: Values of the configuration that replace the folder's.

    Raises:
        FeatureError: If the configuration or the weights cannot be used, or tensors are missing or
            of another shape: transformers would fill them with random numbers.
    """
    from huggingface_hub.errors import StrictDataclassError

    folder.weights()
    try:
        with _quiet():
            model, info = model_class.from_pretrained(
                str(folder.path),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                attn_implementation="sdpa",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are in `info`, and refused below
                **(changes or {}),
            )
    except (*_BROKEN, SafetensorError, StrictDataclassError) as error:
        raise FeatureError(
            f"{folder.path} cannot be loaded as {model_class.__name__}: {_words_of(error)}",
            "Its config.json is not what it was saved with, or a file is cut short.",
            code="checkpoint",
        ) from error
    misfits = {key for key in info["missing_keys"] if not (may_lack and key.startswith(may_lack))}
    misfits |= {key for key, *_ in info["mismatched_keys"]}
    if misfits:
        raise FeatureError(
            f"{folder.path} lacks {len(misfits)} tensors of {model_class.__name__}, or has them in "
            f"another shape; the first is {min(misfits)}.",
            "It is a checkpoint of another architecture, or config.json is of another model.",
            code="checkpoint",
        )
    return model.eval().requires_grad_(False)


def _words_of(error: Exception) -> str:
    """The start of what a library says, as a sentence."""
    return " ".join(str(error).split())[:200].rstrip(".") + "."


@contextmanager
def _quiet() -> Iterator[None]:
    """No report of unused tensors and no progress bars of transformers, for the while."""
    from transformers import utils

    logging: Any = utils.logging  # parts of it have no types
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _downloaded(repository: str, revision: str | None) -> Path:
    """The folder of the hub's cache that holds a model; fetched when it is not there."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_WANTED))
    except (OSError, ValueError) as error:  # no network, no such model, gated, malformed name
        raise FeatureError(
            f"{PREFIX}{repository} cannot be downloaded: {_words_of(error)}",
            "Check the name, the network and, for a gated model, your login (hf auth login).",
            code="download",
        ) from error


def _described(name: str, path: Path, revision: str | None) -> ModelFolder:
    config = _read_dict(path / "config.json")
    for key, what in _REFUSED.items():
        if key in config:
            raise FeatureError(
                f"{path / 'config.json'} asks for {what} ({key}), which is never done.",
                "Use a model whose classes are part of transformers, or convert its features with "
                "wtal convert.",
                code="checkpoint",
            )
    return ModelFolder(name, path, revision, config)


def _read_dict(path: Path) -> dict[str, object]:
    """A JSON file that holds an object."""
    value = read_json(path, max_bytes=_MAX_BYTES)
    if not isinstance(value, dict):
        raise FeatureError(f"{path} holds no JSON object.", code="json")
    return value
