"""What the demo does where it is not the data: a small encoder and a small network.

Chosen on seeds from 100 on, whose videos no figure comes from (docs/decisions/0016).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wtal.demo.script import WorldConfig

METHOD = "infonce"
ENCODER = (
    "network.arch=c3d",
    "network.width=0.125",
    "clips.frames=8",
    "clips.every=1",
    "clips.size=32",
    # Two clips of one piece show the same action; those of ten seconds need not.
    "clips.piece_s=2",
    # Hue tells things apart here, so it is changed less than in photographs.
    "clips.colour=0.4",
    "queue.slots=1024",
    "queue.momentum=0.99",
    "queue.temperature=0.1",
    "optim.batch=32",
    "optim.steps=300",
)
# The same for BaS-Net and DCC. A class needs a share of .15: docs/decisions/0009.
NETWORK = (
    "model.hidden_dim=128",
    "model.dropout=0.3",  # 64 features, not 2048
    "train.steps=800",
    "localize.class_threshold=0.15",
)
# As configs/dcc.yaml, without the class term: where most videos have several tags and features are
# weak, it costs more than it brings (docs/decisions/0016).
DCC = (
    "dcc.contrast=bank",
    "dcc.embedding=supp",
    "dcc.beta.rho=0.03",
    "dcc.teach_classes=0",
)


@dataclass(frozen=True)
class DemoConfig:
    """Everything but the seed.

    Attributes:
        world: How many videos, and how hard.
        encoder: Overrides of the pre-training.
        network: Overrides of both trainings.
        dcc: Overrides of the second one.
    """

    world: WorldConfig = field(default_factory=WorldConfig)
    encoder: tuple[str, ...] = ENCODER
    network: tuple[str, ...] = NETWORK
    dcc: tuple[str, ...] = DCC
