"""A cluster of two nodes of one core each, all on this machine, and the commands on it.

A process of its own, since Ray leaves threads and open files behind: `python -m
tests.wtal.on_a_cluster FOLDER` prints what happened as JSON.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tests.features.crashing import contents
from tests.features.shared_works import SlowExtract, Square
from tests.features.videos import panned, write_video
from tests.synthetic import make_store
from wtal.cli import app
from wtal_features import extract
from wtal_features.encoders.histograms import ColourHistogram
from wtal_features.extraction import ExtractSettings
from wtal_features.jobs.ray_tasks import load_ray, on_ray
from wtal_features.shards import shards_of

VIDEOS, SHARES = 12, 4


def wtal(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


def main(folder: Path) -> dict[str, Any]:
    load_ray()
    from ray.cluster_utils import Cluster

    size: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster: Any = Cluster(initialize_head=True, head_node_args=size)
    second = cluster.add_node(**size)
    videos = make_videos(folder / "videos")
    found = {
        "faults": a_fault_and_a_killer(folder, cluster.address),
        "extract": extracted(folder, videos, cluster.address),
        "localize": localized(folder, cluster.address),
        "killed": killed(folder, videos, cluster, second),
    }
    cluster.shutdown()
    return found


def make_videos(folder: Path) -> Path:
    folder.mkdir()
    for i in range(VIDEOS):
        write_video(folder / f"v{i:02d}.mp4", panned(20 + i, 64, 48, seed=i))
    (folder / "v05.mp4").write_bytes(b"no video")
    return folder


def extracted(folder: Path, videos: Path, address: str) -> dict[str, Any]:
    command = ("extract", videos, "--encoder", "colour-histogram", "--device", "cpu")
    code, _ = wtal(*command, "--out", folder / "serial")
    ray = wtal(*command, "--out", folder / "ray", "--ray", address, "--jobs", SHARES)
    again = wtal(*command, "--out", folder / "ray", "--ray", address, "--jobs", SHARES)
    return {
        "serial": code,
        "ray": ray,
        "again": again,
        "same": contents(folder / "serial") == contents(folder / "ray"),
    }


def localized(folder: Path, address: str) -> dict[str, Any]:
    features, tags, _ = make_store(folder)
    (folder / "c.yaml").write_text("")
    small = ("-o", "model.hidden_dim=8", "-o", "train.batch_size=4", "-o", "train.steps=2")
    wtal("train", folder / "c.yaml", "-f", features, "--tags", tags, "--out", folder / "r", *small)
    command = ("localize", folder / "r", "-f", features, "--device", "cpu")
    wtal(*command, "--out", folder / "serial.json")
    ray = wtal(*command, "--out", folder / "ray.json", "--ray", address, "--jobs", SHARES)
    files = [folder / name for name in ("serial.json", "ray.json")]
    return {"ray": ray, "same": files[0].read_bytes() == files[1].read_bytes()}


def a_fault_and_a_killer(folder: Path, address: str) -> dict[str, Any]:
    works = {
        "refused": Square(folder / "refused", refused=2),
        "once": Square(folder / "once", deadly=2, times=1),
    }
    return {
        name: sorted(
            (each.shard.index, each.result, each.fault)
            for each in on_ray(work, shards_of(3), address, lambda: None)
        )
        for name, work in works.items()
    }


def killed(folder: Path, videos: Path, cluster: Any, node: Any) -> dict[str, Any]:
    """Kill the second node while it is amid its share."""
    work = SlowExtract(videos, folder / "killed", folder / "log", pause_s=1.0)

    def lines() -> list[list[str]]:
        text = work.log.read_text() if work.log.exists() else ""
        return [line.split() for line in text.splitlines()]

    def kill() -> None:
        while sum(name == node.node_id for _, name in lines()) < 2:
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    shards = shards_of(SHARES)
    attempts = list(on_ray(work, shards, cluster.address, lambda: None))
    extract(videos, folder / "undisturbed", ColourHistogram(), ExtractSettings(batch=1))
    return {
        "faults": [each.fault for each in attempts if each.result is None],
        "there": sum(name == node.node_id for _, name in lines()),
        "begun": sorted(video for video, _ in lines()),
        "same": contents(folder / "undisturbed") == contents(folder / "killed"),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
