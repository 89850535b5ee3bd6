"""Each method's settings for moving textures: the least with which it clearly learns on one core.

They were chosen on seed 100, which no figure comes from. Networks see clips of 8 frames of 32 px.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from wtal.bench.pretraining_trial import Toy, Trial
from wtal_features.methods.cmd import CMDConfig, FutureConfig
from wtal_features.methods.coclr import CoCLRConfig, MiningConfig
from wtal_features.methods.cvrl import CVRLConfig
from wtal_features.methods.infonce import InfoNCEConfig
from wtal_features.methods.networks import NetworkConfig
from wtal_features.methods.queued import QueueConfig
from wtal_features.methods.settings import ClipConfig, OptimConfig

NETWORK = NetworkConfig("c3d", 0.125)
CLIPS = ClipConfig(8, 1, 32, flip=False, piece_s="whole")  # a flip would swap two classes
PLAIN = replace(CLIPS, colour=0.0)  # strong blur would leave nothing of textures this fine
ADAM = OptimConfig(epochs=1, steps=60, batch=32, lr=1e-3)
QUEUE = QueueConfig(slots=128, momentum=0.99)
BENDING = Toy(frames=48, turn=2 * math.pi / 128)
TURNING = Toy(frames=48, turn=2 * math.pi / 32, scenes=4)


def chance(config: Any) -> dict[str, tuple[float, str]]:
    """Losses of a network that tells nothing apart: value, and formula."""
    if isinstance(config, CMDConfig):
        B, clips = config.optim.batch, 1 + config.future.negatives
        motion = math.log(clips * _POINTS * B), f"ln({clips} P B), chance"
        return {"motion": motion, "context": (math.log(B), "ln B, chance")}
    if isinstance(config, CVRLConfig):
        return {"loss": (2 * math.log(2 * config.optim.batch - 1), "2 ln(2 B - 1), chance")}
    K = config.queue.slots
    if isinstance(config, CoCLRConfig):
        top = config.mining.top
        return {"loss": (math.log((K + 1) / top), f"ln((K + 1) / {top}), chance")}
    return {"loss": (math.log(K + 1), "ln(K + 1), chance")}


def trials() -> dict[str, Trial]:
    """What is trained; names begin with the method."""
    queued = InfoNCEConfig(network=NETWORK, clips=CLIPS, queue=QUEUE, optim=ADAM)
    cotrained = CoCLRConfig(
        network=NETWORK,
        clips=CLIPS,
        queue=QUEUE,
        mining=MiningConfig(top=20),
        init=replace(ADAM, steps=20),
        cycle=replace(ADAM, steps=80),
        cycles=1,
    )
    as_long = replace(queued, optim=replace(ADAM, steps=100))
    near = CVRLConfig(network=NETWORK, clips=PLAIN, optim=replace(ADAM, steps=80))
    return {
        "infonce": Trial("infonce", queued),
        "ubernce": Trial("ubernce", queued),
        "infonce, 100 steps": Trial("infonce", as_long),
        "coclr": Trial(
            "coclr", cotrained, beside={"infonce, 100 steps": "InfoNCE for as many steps"}
        ),
        "cvrl, uniform": Trial("cvrl", replace(near, power="uniform"), toy=BENDING),
        "cvrl, decreasing": Trial(
            "cvrl", near, toy=BENDING, beside={"cvrl, uniform": "the uniform sampler"}
        ),
        "cmd, motion alone": _foreseeing("motion"),
        "cmd, context alone": _foreseeing("context"),
        "cmd, joint": replace(
            _foreseeing("motion", "context"),
            beside={"cmd, motion alone": "motion alone", "cmd, context alone": "context alone"},
        ),
    }


FORESEEING = CMDConfig(
    network=NETWORK,
    clips=PLAIN,
    future=FutureConfig(frames=4, negatives=2),
    optim=replace(ADAM, steps=80, lr=2e-3),
)
_POINTS = 4  # places of a map of motion: 4 x 32 x 32 px, strides 8, 16, 16


def _foreseeing(*tasks: str) -> Trial:
    """CMD with one of its two tasks, or with both."""
    future = replace(
        FORESEEING.future,
        motion_weight=float("motion" in tasks),
        context_weight=float("context" in tasks),
    )
    return Trial("cmd", replace(FORESEEING, future=future), tasks, TURNING)


def quick_trials() -> dict[str, Trial]:
    """The same with a few steps on a few videos."""
    return {name: _quick(trial) for name, trial in trials().items()}


def _quick(trial: Trial) -> Trial:
    parts = vars(trial.config)
    short = {
        name: replace(parts[name], steps=3, batch=4)
        for name in ("optim", "init", "cycle")
        if name in parts
    }
    if "queue" in parts:
        short["queue"] = replace(parts["queue"], slots=8)
    if "mining" in parts:
        short["mining"] = MiningConfig(top=2)
    config = replace(trial.config, **short)
    toy = replace(trial.toy, train=16, test=24, side=32)
    return replace(trial, config=config, toy=toy)
