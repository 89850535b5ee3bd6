"""The driver of a cluster: one task of Ray core for each share.

Ray starts a task again elsewhere when its node dies; what the share had finished is on the disk
that all nodes share. No actors and no Ray Data: an actor for every CPU leaves none for the tasks
that feed it, and hangs (ray-project/ray#44687). Nothing is reported to anybody, and no dashboard
is started.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from wtal_features.errors import FeatureError
from wtal_features.jobs import Attempt, Result, Tick, Work, attempt
from wtal_features.shards import Shard

LOCAL = "local"  # a cluster of this machine, for as long as the command lasts
_TICK_S = 1.0
_KNOCK_S = 10.0
_RETRIES = 5  # of a share whose process or node died


def load_ray() -> Any:
    """Ray, told to report nothing.

    Raises:
        FeatureError: If it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it is read while Ray is imported
    try:
        import ray
    except ImportError as error:
        raise FeatureError(
            "--ray needs Ray, which is not installed.",
            'Run pip install "wtal[ray]" here and on every node.',
            code="no-ray",
        ) from error
    return ray


def on_ray(
    work: Work[Result],
    shards: Sequence[Shard],
    address: str,
    tick: Tick,
    *,
    cpus: int = 1,
    gpus: int | None = 0,
) -> Iterator[Attempt[Result]]:
    """Do all shares as tasks of a cluster.

    Args:
        work: Of one share; it is sent to the nodes, which have the same packages and see the same
            files under the same names.
        shards: As many tasks; Ray runs as many at a time as it has room for.
        address: Of the cluster: `auto` for the one that this machine belongs to, `HOST:PORT`,
            `ray://HOST:PORT`, or `local`.
        tick: Called about once a second.
        cpus: Cores that one task takes up.
        gpus: GPUs that one task takes up; None: one if the cluster has any.

    Yields:
        How each share went, as they end.

    Raises:
        FeatureError: If Ray is not installed, or no cluster is there.
    """
    ray = load_ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray, address)
    try:
        if gpus is None:
            gpus = int(ray.cluster_resources().get("GPU", 0) > 0)
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=_RETRIES)(attempt)
        waiting = {task.remote(work, shard): shard for shard in shards}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=_TICK_S)
            for one in ready:
                yield _result(ray, one, waiting.pop(one))
            tick()
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    own = {"include_dashboard": False} if address == LOCAL else {}
    try:
        _knock(address)
        ray.init(address=address, **quiet, **own)
    except (OSError, ValueError, RuntimeError) as error:
        raise FeatureError(
            f"--ray {address}: no cluster answers there ({str(error).splitlines()[0][:200]}).",
            "Give auto on one of its nodes, HOST:PORT of its head, or local.",
            code="no-cluster",
        ) from error


def _knock(address: str) -> None:
    """Ray itself would try for minutes where nobody is at home.

    Raises:
        OSError: If nobody is.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def _result(ray: Any, reference: Any, shard: Shard) -> Attempt[Any]:
    """What a task returned; one that Ray gave up is a fault of its share alone."""
    try:
        found: Attempt[Any] = ray.get(reference)
    except ray.exceptions.RayTaskError:
        raise  # a mistake of ours, with the traceback of the node
    except ray.exceptions.RayError as error:
        why = str(error).splitlines()[0][:200]
        return Attempt(shard, None, f"Ray gave it up after {_RETRIES} tries: {why}")
    return found
