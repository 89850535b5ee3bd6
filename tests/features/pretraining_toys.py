"""A store of moving textures, and settings with which every method trains in a second.

A process of its own: `python -m tests.features.pretraining_toys FOLDER PORT RANK SIZE` trains as
one of several (`scenes`) and writes FOLDER/RANK.pt.
"""

import itertools
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.group import join, leave
from tests.moving_textures import moving_textures
from wtal_features.encoders.catalog import ENCODERS, Architecture
from wtal_features.methods.catalog import METHODS, plan_of
from wtal_features.methods.cmd import CMDConfig, FutureConfig
from wtal_features.methods.coclr import CoCLRConfig
from wtal_features.methods.cvrl import CVRLConfig
from wtal_features.methods.folder import METRICS, STATE, folder_of
from wtal_features.methods.infonce import InfoNCEConfig
from wtal_features.methods.loading import Loader
from wtal_features.methods.loop import Plan, Result, pretrain
from wtal_features.methods.networks import NetworkConfig
from wtal_features.methods.queued import QueueConfig
from wtal_features.methods.settings import ClipConfig, OptimConfig, RunConfig
from wtal_features.methods.stages import Batch, Objective, Stage
from wtal_features.pretraining.clipstore import ClipStore

VIDEOS, FRAMES, BATCH = 8, 20, 4
LABELS = {f"v{video:04d}": (video % 4,) for video in range(VIDEOS)}
CLIPS = ClipConfig(8, 1, 32, flip=False, piece_s="whole")
QUEUE = QueueConfig(dim=16, slots=8, momentum=0.9)
RUN = RunConfig(loaders=0, log_every=1, save_every=2)
NARROW = NetworkConfig("s3d", 0.125)
METHOD_NAMES = ("infonce", "ubernce", "coclr", "cvrl", "cmd")
_TIMES = ("samples_per_s", "waited")


def toy_store(folder: Path) -> ClipStore:
    """Eight videos of 20 frames of 48 px; the direction in which they move turns."""
    generator = torch.Generator().manual_seed(0)
    return moving_textures(VIDEOS, generator, side=48, turn=0.11).store(folder, FRAMES)


def optim(steps: int, **changes: Any) -> OptimConfig:
    """So many steps of four samples."""
    return OptimConfig(epochs=1, steps=steps, batch=BATCH, **changes)


def config(method: str, **changes: Any) -> Any:
    """Of a method: narrow networks, and stages of four steps; those of CoCLR's init have two."""
    if method == "coclr":
        base: Any = CoCLRConfig(NARROW, CLIPS, QUEUE, init=optim(2), cycle=optim(4), cycles=1)
    elif method == "cvrl":
        sgd = optim(4, optimizer="sgd", lr=0.1, decayed="kernels", schedule="cosine", warmup=0.3)
        base = CVRLConfig(NetworkConfig("r3d50", 0.125), CLIPS, dim=16, optim=sgd)
    elif method == "cmd":
        network, future = NetworkConfig("r2plus1d26", 0.125), FutureConfig(frames=4, negatives=1)
        base = CMDConfig(network, CLIPS, future, optim(4))
    else:
        base = InfoNCEConfig("rgb", NARROW, CLIPS, QUEUE, optim(4))
    return replace(base, **{"run": RUN, **changes})


def plan(method: str, store: ClipStore, **changes: Any) -> Plan:
    """Of a method on all videos, with labels."""
    return plan_of(method, config(method, **changes), store, labels=LABELS)


def stages(method: str, store: ClipStore, **changes: Any) -> list[Stage]:
    """Of a method, without a loop."""
    return METHODS[method].stages(config(method, **changes), store, list(store.videos), LABELS)


def weights(number: int = 0) -> torch.Generator:
    """For the networks of an objective."""
    return torch.Generator().manual_seed(number)


def trainable(stage: Stage, carried: Mapping[str, Tensor] | None = None) -> Any:
    """The objective of a stage, ready to train, without a loop."""
    return stage.build(carried or {}, weights()).train()


def batch_of(stage: Stage, store: ClipStore, step: int = 0) -> Batch:
    """One batch as the loop would draw it."""
    with Loader(store, stage, 0, 0, range(step, step + 1), 0) as loader:
        return next(iter(loader))


def figures(out: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what depends on the clock."""
    lines = (folder_of(out) / METRICS).read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [{k: v for k, v in entry.items() if k not in _TIMES} for entry in entries]


def written(out: Path) -> dict[str, bytes]:
    """All that a run leaves but its metrics: name -> bytes of encoders, stages and state."""
    here = folder_of(out)
    files = [*out.parent.glob(f"{out.stem}*{out.suffix}"), *(here / "stages").glob("*")]
    found = {file.name.removeprefix(out.stem): file.read_bytes() for file in files}
    return {**found, STATE: (here / STATE).read_bytes()}


def always() -> bool:
    """Asks a run to stop after every step."""
    return True


def at_call(number: int) -> Callable[[], bool]:
    """Asks once: after so many steps."""
    calls = iter(range(1, 10_000))
    return lambda: next(calls) == number


def in_pieces(
    begin: Callable[[], Plan], out: Path, stopped: Callable[[], bool] = always
) -> list[Result]:
    """A run that is stopped after every step and resumed until it is done."""
    results = [pretrain(begin(), out, resume=True, stopped=stopped)]
    while results[-1].interrupted:
        results.append(pretrain(begin(), out, resume=True, stopped=stopped))
    return results


# Several processes -------------------------------------------------------------------------------


class PlainNet(nn.Module):
    """A backbone without batch norm: what it makes of a clip does not depend on the others."""

    dim = 16

    def __init__(self, channels: int, width: float, *, generator: torch.Generator) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, self.dim, (2, 4, 4), (2, 4, 4))
        for parameter in self.conv.parameters():
            nn.init.normal_(parameter, std=0.1, generator=generator)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, 16, T/2, H/4, W/4)."""
        found: Tensor = self.conv(x_BCTHW).tanh()
        return found


PLAIN = Architecture(PlainNet, ENCODERS["s3d"].clip)


def scenes() -> dict[str, tuple[str, dict[str, Any]]]:
    """Name -> method and settings; `plain` has to be a name of `ENCODERS`."""
    plain, slow = NetworkConfig("plain"), {"optimizer": "sgd", "lr": 0.05}
    return {
        "plain-infonce": ("infonce", {"network": plain, "optim": optim(5, **slow)}),
        "plain-coclr": (
            "coclr",
            {"network": plain, "init": optim(2, **slow), "cycle": optim(4, **slow)},
        ),
        "coclr": ("coclr", {}),
        "cvrl": ("cvrl", {}),
    }


def recorded(plan: Plan) -> tuple[Plan, list[Objective]]:
    """The plan, and a list that will hold the objective of every stage."""
    made: list[Objective] = []

    def build(stage: Stage, *given: Any) -> Objective:
        made.append(stage.build(*given))
        return made[-1]

    return replace(plan, stages=[replace(s, build=partial(build, s)) for s in plan.stages]), made


def states(scene: str, store: ClipStore, out: Path) -> dict[str, Tensor]:
    """Run a scene; what every stage of it ended with."""
    method, changes = scenes()[scene]
    watched, made = recorded(plan(method, store, **changes))
    pretrain(watched, out)
    return {f"{n}/{name}": t for n, each in enumerate(made) for name, t in each.state().items()}


def main(folder: Path, rank: int) -> None:
    """All scenes, each process with a folder of its own; then one that only the second stops."""
    ENCODERS["plain"] = PLAIN
    store = ClipStore(folder / "clips")
    found: dict[str, Any] = {
        scene: states(scene, store, folder / str(rank) / f"{scene}.safetensors")
        for scene in scenes()
    }
    shared, calls = folder / "shared" / "coclr.safetensors", itertools.count(1)
    pieces = in_pieces(
        lambda: plan("coclr", store), shared, lambda: next(calls) % 3 == 0 and rank == 1
    )
    found["steps"] = [result.steps for result in pieces]
    torch.save(found, folder / f"{rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    own, _ = join(*sys.argv[2:])
    main(Path(sys.argv[1]), own)
    leave()
