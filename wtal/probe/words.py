"""What was asked for: the options as they were typed, and the settings they amount to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wtal.config import read_config
from wtal.errors import WtalError
from wtal.extract import Words as ExtractWords
from wtal_features.encoders.catalog import OPTIONS, EncoderOptions, options_of
from wtal_features.probing.finetune import FinetuneSettings
from wtal_features.probing.linear import ProbeSettings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ProbeConfig:
    """What `-o` can change.

    Attributes:
        linear: The linear probe.
        finetune: Fine-tuning.
    """

    linear: ProbeSettings = field(default_factory=ProbeSettings)
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were typed."""

    encoders: tuple[str, ...]
    labels: Path
    train: str = "training"
    test: str = "test"
    clips: Path | None = None
    fps: str | None = None
    short_side: int | None = None
    motion: str | None = None
    linear: bool = True
    finetune: bool = False
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    overrides: tuple[str, ...] = ()
    frames: int | None = None
    every: int | None = None
    width: float | None = None
    size: int | None = None
    seed: int | None = None
    pooling: str | None = None
    revision: str | None = None
    precision: str = "auto"
    batch: int = 8

    def config(self) -> ProbeConfig:
        """The settings of probe and fine-tuning.

        Raises:
            FeatureError, WtalError: If a key is unknown or a value is not possible.
        """
        config, places = read_config(ProbeConfig(), None, self.overrides)
        for name, place in places.items():
            section = name.partition(".")[0]
            if not getattr(self, section):
                raise WtalError(f"{place} does nothing without --{section}.")
        return config

    def named(self) -> dict[str, str]:
        """Name of the row -> encoder, as they were typed.

        Raises:
            WtalError: If there is none, two rows share a name, or an option is of use to none.
        """
        if not self.encoders:
            raise WtalError(
                "--encoder is missing: a .safetensors file, hub:MODEL, or a network such as s3d."
            )
        named: dict[str, str] = {}
        for word in self.encoders:
            ((name, text),) = ExtractWords(encoders=(word,)).named().items()
            if (name or text) in named:
                raise WtalError(
                    f"Two --encoder are called {name or text!r}; give each a name of its own, "
                    "such as ours=FILE."
                )
            named[name or text] = text
        used = frozenset[str]().union(*map(options_of, named.values()))
        for option in sorted(OPTIONS - used):
            if getattr(self, option) is not None:
                raise WtalError(f"--{option} means nothing for these encoders; leave it out.")
        return named

    def options(self, text: str, device: torch.device) -> EncoderOptions:
        """What is to be changed about one encoder: the options that mean something for it.

        Raises:
            WtalError: If the precision is unknown.
        """
        precision: Any = self.precision
        if precision == "auto":
            precision = "bfloat16" if device.type == "cuda" else "float32"
        elif precision not in ("float32", "bfloat16", "float16"):
            raise WtalError(
                f"--precision is {precision!r}; expected auto, float32, bfloat16 or float16."
            )
        given: Any = {name: getattr(self, name) for name in options_of(text)}
        return EncoderOptions(precision=precision, **given)
