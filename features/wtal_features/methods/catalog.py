"""METHODS: name -> its config, its stages, what they are drawn from, and whether it sees motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

from wtal_features.methods.cmd import CMDConfig, cmd_stages
from wtal_features.methods.coclr import CoCLRConfig, coclr_stages
from wtal_features.methods.cvrl import CVRLConfig, cvrl_stages
from wtal_features.methods.infonce import InfoNCEConfig, infonce_stages, ubernce_stages
from wtal_features.methods.loop import Plan
from wtal_features.methods.rows import RowStore
from wtal_features.methods.stages import Stage
from wtal_features.methods.tca import TCAConfig, tca_stages
from wtal_features.pretraining.clipstore import ClipStore


class Method(NamedTuple):
    """One method of pre-training."""

    config: type[Any]  # a frozen dataclass with `run`, published values as defaults
    stages: Callable[..., list[Stage]]  # (config, source, videos, labels)
    sees_motion: Callable[[Any], bool]  # of a config
    source: Literal["clips", "rows"] = "clips"  # a `ClipStore`, or a `RowStore`


METHODS: dict[str, Method] = {
    "infonce": Method(InfoNCEConfig, infonce_stages, lambda c: bool(c.view == "motion")),
    "ubernce": Method(InfoNCEConfig, ubernce_stages, lambda c: bool(c.view == "motion")),
    "coclr": Method(CoCLRConfig, coclr_stages, lambda c: True),
    "cvrl": Method(CVRLConfig, cvrl_stages, lambda c: False),
    "cmd": Method(CMDConfig, cmd_stages, lambda c: True),
    "tca": Method(TCAConfig, tca_stages, lambda c: False, "rows"),
}


def plan_of(
    method: str,
    config: Any,
    store: ClipStore | RowStore,
    videos: Sequence[str] | None = None,
    labels: Mapping[str, tuple[int, ...]] | None = None,
) -> Plan:
    """What to train on what.

    Args:
        method: A name of `METHODS`.
        config: Of its kind.
        store: Where samples come from, of the kind that the method draws from.
        videos: Ids of those to use; None: all.
        labels: Video -> numbers of its classes, for `ubernce`, and for pairs of `tca`.

    Raises:
        FeatureError: If no video can be used, or the store lacks what the method sees.
    """
    chosen = sorted(store.videos if videos is None else videos)
    stages = METHODS[method].stages(config, store, chosen, labels or {})
    sees_motion = METHODS[method].sees_motion(config)
    return Plan(method, asdict(config), config.run, store, chosen, stages, sees_motion)
