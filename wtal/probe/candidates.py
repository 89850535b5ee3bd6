"""The encoders that are to be measured, each with a row of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wtal.probe.words import Words
from wtal_features.encoders.catalog import (
    OPTIONS,
    EncoderOptions,
    TrainableNetwork,
    load_encoder,
    load_network,
)

if TYPE_CHECKING:
    import torch

    from wtal_features.encoders.encoder import Encoder


@dataclass(frozen=True)
class Candidate:
    """One encoder that is to be measured.

    Attributes:
        name: Of its row.
        encoder: On the CPU.
        network: The same, to be trained; None where it is not to be.
        notes: What should be read about it.
    """

    name: str
    encoder: Encoder
    network: TrainableNetwork | None
    notes: tuple[str, ...]


def load(words: Words, device: torch.device) -> list[Candidate]:
    """Every encoder; whatever cannot be had is refused before anything is decoded.

    Raises:
        FeatureError, WtalError: See `Words`, `load_encoder` and `load_network`.
    """
    found = []
    for name, text in words.named().items():
        options = words.options(text, device)
        network = None
        if words.finetune:  # always in float32
            plain = {option: getattr(options, option) for option in OPTIONS}
            network = load_network(text, EncoderOptions(**plain))
        encoder, notes = load_encoder(text, options)
        found.append(Candidate(name, encoder, network, tuple(notes)))
    return found
