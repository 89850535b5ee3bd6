"""Hours, disk, memory and traffic of many videos: measured costs of a unit times their number.

    python benchmarks/scale.py [--videos 1000000,100000000] [--minutes 10]

The measured rows are those of docs/benchmarks/*.json (two cores, no GPU). What is no measurement,
but arithmetic on shapes, says so by its name in `plan`. docs/scale.md holds the table.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

ROWS = Path(__file__).parent.parent / "docs/benchmarks"
HALF, SINGLE = 2, 4  # bytes of a number


@dataclass(frozen=True)
class Footage:
    """The videos, and what is made of them.

    Attributes:
        videos: How many.
        seconds: Of one.
        fps: Frames per second; 320 x 240.
        stride: Frames per snippet.
        dims: D of a snippet, one stream, float16.
        embedded: Dims of what is clustered and kept in the bank (`dcc.dim: auto` is D/4).
        tags: Tags of a video.
        regions: Regions that a video is cut into for the bank.
        detections: Of one video, after suppression.
    """

    videos: int
    seconds: float = 600.0
    fps: float = 25.0
    stride: int = 16
    dims: int = 1024
    embedded: int = 256
    tags: float = 1.135
    regions: int = 5
    detections: int = 50

    @property
    def snippets(self) -> float:
        """Of one video."""
        return self.seconds * self.fps / self.stride


def measured(file: str, name: str) -> float:
    """The value of a row of docs/benchmarks/FILE.json."""
    rows = json.loads((ROWS / f"{file}.json").read_text())
    return next(float(row["value"]) for row in rows if row["name"] == name)


def decoding_s(f: Footage) -> float:
    """Two cores, everything but a network."""
    rate = measured("extract", "extract: 320 x 240, 60000 frames, command, wtal extract, wall")
    return f.videos * f.seconds * f.fps / rate


def encoding_s(f: Footage) -> float:
    """Two cores, R(2+1)D-26, bfloat16."""
    clip = "encoders: r2plus1d26 16 x 112 x 112, bf16, per clip, wall"
    return f.videos * f.snippets * measured("encoders", clip)


def store_bytes(f: Footage) -> float:
    """Rows alone; a header of 128 bytes a file is nothing beside them."""
    return f.videos * f.snippets * f.dims * HALF


def _step_s(f: Footage) -> float:
    """One video of a training step of BaS-Net of half the width that was measured: 1024 dims.

    The products go with D^2.
    """
    step = measured("step", "step 16 x 750 x 2048 bf16, wall")
    return step / 16 * f.snippets / 750 * (f.dims / 2048) ** 2


def epoch_s(f: Footage) -> float:
    """Two cores, every video once, bfloat16."""
    return f.videos * _step_s(f)


def forward_s(f: Footage) -> float:
    """A third of the products of a step, and scores to segments on one of the two cores."""
    segments = measured(
        "localize", "localize: 210 x 750, 1-3 of 20 classes, soft NMS, scores to segments, cpu"
    )
    return f.videos * (_step_s(f) / 3 + segments / 210 * f.snippets / 750 / 2)


def kmeans_s(f: Footage, clusters: int) -> float:
    """One pass over all snippets, bfloat16, one core; goes with snippets and clusters."""
    name = "kmeans: one iteration, 150,000 x 512, K = 2000, bf16, CPU"
    points = f.videos * f.snippets
    return measured("kmeans", name) * points / 150_000 * clusters / 2000 * f.embedded / 512


def points_bytes(f: Footage) -> float:
    """What is clustered, bfloat16."""
    return f.videos * f.snippets * f.embedded * HALF


def bank_bytes(f: Footage) -> float:
    """A slot per video, tag (or background) and region, float32."""
    return f.videos * (f.tags + 1) * f.regions * f.embedded * SINGLE


def result_bytes(f: Footage) -> float:
    """A detection is about 70 characters of JSON."""
    return f.videos * f.detections * 70


def eval_s(f: Footage) -> float:
    """From arrays, one core."""
    each = measured(
        "evaluator", "eval: 5,000,000 detections, arrays, evaluate(), cpu per detection"
    )
    return f.videos * f.detections * each / 1e6


def eval_bytes(f: Footage) -> float:
    """Peak memory of `wtal eval`, from the growth between the two largest sizes measured."""
    rows = json.loads((ROWS / "many-videos.json").read_text())["rows"]
    found = [(r["videos"], r["peak_mb"]) for r in rows if r["stage"] == "eval of 50 a video"]
    (fewer, low), (more, high) = sorted(found)[-2:]
    return f.videos * f.detections / 50 * (high - low) * 1e6 / (more - fewer)


def plan(f: Footage) -> list[tuple[str, str]]:
    """(what, how much) of every stage."""
    return [
        ("video", _time(f.videos * f.seconds)),
        ("snippets", f"{f.videos * f.snippets:.1e}"),
        ("extract: decode and cut, two cores", _time(decoding_s(f))),
        ("extract: R(2+1)D-26 bf16, two cores", _time(encoding_s(f))),
        ("features on disk, one stream of 1024 float16", _room(store_bytes(f))),
        ("train: one epoch, BaS-Net of 1024 dims, bf16, two cores", _time(epoch_s(f))),
        ("train: read from disk in an epoch", _room(store_bytes(f))),
        ("train: rows of the bank, float32, on every process", _room(bank_bytes(f))),
        ("clustering: points, 256 bfloat16", _room(points_bytes(f))),
        ("clustering: one pass, K = 2,000, one core", _time(kmeans_s(f, 2000))),
        (
            "clustering: one pass on 256 points a centroid, K = 2,000, one core",
            _time(sampled_s(f, 2000)),
        ),
        ("localize: two cores", _time(forward_s(f))),
        ("detections, JSON", _room(result_bytes(f))),
        ("eval: from arrays, one core", _time(eval_s(f))),
        ("eval: memory", _room(eval_bytes(f))),
    ]


def sampled_s(f: Footage, clusters: int) -> float:
    """One pass over 256 points a centroid, of which the first round is made."""
    return kmeans_s(f, clusters) * min(1.0, 256 * clusters / (f.videos * f.snippets))


def _time(seconds: float) -> str:
    for unit, size in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.1f} s"


def _room(count: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e6:,.1f} MB"


def table(columns: list[Footage]) -> str:
    """Markdown, a column per number of videos."""
    plans = [plan(f) for f in columns]
    lines = ["| | " + " | ".join(f"{f.videos:,} videos" for f in columns) + " |"]
    lines.append("|---|" + "---|" * len(columns))
    for row in zip(*plans, strict=True):
        lines.append(f"| {row[0][0]} | " + " | ".join(cell for _, cell in row) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--videos", default="200,1000000,100000000")
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args()
    sizes = [int(word) for word in args.videos.split(",")]
    print(table([Footage(videos, seconds=60 * args.minutes) for videos in sizes]))


if __name__ == "__main__":
    main()
