"""Near-duplicates made from real videos: which descriptors find them again, before and after TCA?

    python benchmarks/near_duplicates.py VIDEOS ... --encoder E --out DIR --annotations A.json \
        [--pooling irmac] [--seeds 0,1,2,3,4] [--variants base,infonce,...] [--json FILE]

Every video gets altered copies (cropped in time and space, faster or slower, thinned, blurred,
mirrored, painted over). TCA learns on training videos and their copies; every version of a test
video is then a query, its other versions are what it should find, and all other versions of test
videos are in the way. mAP is that of `wtal_eval.retrieval` under `pairs`. Videos without an
annotation are test videos. Raw rows are centred; whitened ones are what TCA gets.

What is done is kept in DIR and not done again.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from wtal.allocator import keep_freed_memory
from wtal_eval.retrieval import evaluate_retrieval
from wtal_features.encoders.catalog import EncoderOptions, load_encoder
from wtal_features.extraction import parse_fps
from wtal_features.methods.catalog import plan_of
from wtal_features.methods.loop import pretrain
from wtal_features.methods.pairs import PairConfig
from wtal_features.methods.rows import RowStore, WhiteningConfig
from wtal_features.methods.settings import OptimConfig, RunConfig
from wtal_features.methods.stages import Facts
from wtal_features.methods.tca import (
    BankConfig,
    LossConfig,
    TCAConfig,
    TransformerConfig,
    tca_rows,
)
from wtal_features.pretraining.clipbuild import build_clip_store
from wtal_features.pretraining.clipsettings import ClipSettings
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.randomness import generator_of
from wtal_features.retrieval.alterations import PixelAlteration, TimeAlteration
from wtal_features.retrieval.context import load_context
from wtal_features.retrieval.similarity import Kind, described, similarities
from wtal_features.retrieval.versions import describe_versions, original_of
from wtal_features.store import FeatureStore, open_store
from wtal_features.video.limits import Limits

Refine = Callable[[np.ndarray], np.ndarray]
BY: dict[Kind, str] = {"cosine": "pooled", "chamfer": "chamfer", "symmetric": "symmetric"}

# Chosen on held-out training videos (--held-out 4 --seeds 100); published are 40 epochs of 100,000
# videos at 1e-5.
BASE = TCAConfig(
    whitening=WhiteningConfig(dim=256),
    pairs=PairConfig(sources=("copies",)),
    transformer=TransformerConfig(hidden=1024),
    bank=BankConfig(slots=1024, strangers=4),
    optim=OptimConfig(epochs=1, steps=300, batch=16, lr=3e-4, weight_decay=1e-4, schedule="cosine"),
    run=RunConfig(loaders=0, save_every=10**6, log_every=50),
)
VARIANTS: dict[str, TCAConfig] = {
    "base": BASE,
    "infonce": replace(BASE, loss=LossConfig("infonce")),
    "bank 64": replace(BASE, bank=replace(BASE.bank, slots=64)),
    "bank 256": replace(BASE, bank=replace(BASE.bank, slots=256)),
    "bank 4096": replace(BASE, bank=replace(BASE.bank, slots=4096)),
    "momentum .99": replace(BASE, bank=replace(BASE.bank, momentum=0.99)),
    "time alone": replace(BASE, pairs=PairConfig(sources=("time",))),
}
# What else was tried on held-out training videos.
TRIED: dict[str, TCAConfig] = {
    "lr 1e-3": replace(BASE, optim=replace(BASE.optim, lr=1e-3)),
    "900 steps": replace(BASE, optim=replace(BASE.optim, steps=900)),
}


class Row(NamedTuple):
    """mAP in percent of one descriptor under one similarity, per seed."""

    descriptor: str
    similarity: str
    values: list[float]

    def line(self) -> str:
        """Mean, standard deviation, and each seed."""
        spread = f" ± {np.std(self.values, ddof=1):.1f}" if len(self.values) > 1 else ""
        each = ", ".join(f"{value:.1f}" for value in self.values)
        name = f"{self.descriptor}, {self.similarity}"
        return f"{name:34} {np.mean(self.values):5.1f}{spread}   ({each})"


def main() -> None:
    """Describe, train, retrieve, print."""
    args = _arguments()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    store = versions_of(args)
    training, test = split_of(store, args.annotations, args.subset)
    if args.held_out:
        test = training[:: args.held_out]
        training = [video for video in training if video not in test]
    print(f"{len(training)} training and {len(test)} test videos, {args.copies} copies of each")
    rows = []
    for row in measured(store, training, test, args):
        rows.append(row)
        print(row.line(), flush=True)
        write(rows, store, training, test, args)


def write(
    rows: list[Row], store: FeatureStore, training: list[str], test: list[str], args: Any
) -> None:
    """What is measured so far, where a file is named."""
    if args.json is not None:
        about = {
            "encoder": store.manifest.encoder,
            "videos": {"training": len(training), "test": len(test)},
            "copies": args.copies,
            "fps": args.fps,
            "seeds": args.seeds,
        }
        figures = [row._asdict() for row in rows]
        args.json.write_text(json.dumps({"about": about, "rows": figures}, indent=1) + "\n")


def measured(
    store: FeatureStore, training: list[str], test: list[str], args: argparse.Namespace
) -> Iterator[Row]:
    """Raw, whitened, untrained, then every variant."""
    mean_D = np.concatenate([store.read(video) for video in training]).mean(axis=0)
    queries = [video for video in store.videos if original_of(video) in test]
    learned = [video for video in store.videos if original_of(video) in training]
    yield from _rows("raw", [mean_aps(store, queries, lambda rows_TD: rows_TD, mean_D)])
    rows = tca_rows(BASE, store, learned)[0]
    yield from _rows("whitened", [mean_aps(store, queries, _whitened(rows))])
    untrained = [_untrained(rows, args.out, seed) for seed in args.seeds]
    yield from _rows("untrained TCA", [mean_aps(store, queries, each) for each in untrained])
    for name in args.variants:
        trained = [_trained(name, store, learned, args.out, seed) for seed in args.seeds]
        yield from _rows(f"TCA {name}", [mean_aps(store, queries, each) for each in trained])


def mean_aps(
    store: FeatureStore, queries: list[str], refine: Refine, mean_D: np.ndarray | None = None
) -> dict[Kind, float]:
    """Percent of mAP under each similarity: each version should find the others of its video."""
    rows = ((video, refine(store.read(video))) for video in queries)
    videos = described(rows, mean_D=mean_D)
    truth = {
        video: [other for other in queries if original_of(other) == original_of(video)]
        for video in queries
    }
    found: dict[Kind, float] = {}
    for kind in BY:
        values_QG = torch.cat([strip for _, strip in similarities(videos, videos, kind)])
        ranked = {
            query: dict(zip(videos.names, row.tolist(), strict=True))
            for query, row in zip(videos.names, values_QG, strict=True)
        }
        found[kind] = 100 * (evaluate_retrieval(ranked, truth, "pairs").tasks["pairs"].map or 0.0)
    return found


def versions_of(args: argparse.Namespace) -> FeatureStore:
    """The store of all videos and their copies, made or completed."""
    encoder, notes = load_encoder(args.encoder, EncoderOptions(pooling=args.pooling))
    print(*notes, sep="\n")
    folder = args.out / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (file for each in args.videos for file in each.iterdir() if file.is_file()):
        if file.suffix in (".mp4", ".mkv", ".webm", ".avi") and not (folder / file.name).exists():
            shutil.copy(file, folder / file.name)
    settings = ClipSettings(
        fps=parse_fps(args.fps),
        short_side=encoder.clip.preprocess.short_side,
        motion=None,
        motion_side=8,
        partial=False,
        workers=args.threads,
        limits=Limits(),
    )
    (args.out / "clips").mkdir(exist_ok=True)
    report = build_clip_store(folder, args.out / "clips", settings)
    for finding in report.skipped:
        print(finding)
    out = args.out / "rows"
    out.mkdir(exist_ok=True)
    started = time.perf_counter()
    describe_versions(
        ClipStore(args.out / "clips"),
        encoder,
        out,
        copies=args.copies,
        time=TimeAlteration(),
        pixels=PixelAlteration(),
        seed=0,
    )
    print(f"described in {time.perf_counter() - started:.0f} s")
    return open_store(out)


def split_of(store: FeatureStore, annotations: Path, subset: str) -> tuple[list[str], list[str]]:
    """Training and test videos; what has no annotation is a test video."""
    database = json.loads(annotations.read_text())["database"]
    originals = [video for video in store.videos if original_of(video) == video]
    test = [v for v in originals if v not in database or database[v]["subset"] == subset]
    return [video for video in originals if video not in test], test


def _rows(descriptor: str, per_seed: list[dict[Kind, float]]) -> Iterator[Row]:
    for kind, words in BY.items():
        yield Row(descriptor, words, [round(each[kind], 2) for each in per_seed])


def _whitened(rows: RowStore) -> Refine:
    from wtal_features.retrieval.context import prepared

    return lambda rows_TD: prepared(torch.from_numpy(rows_TD), rows.whitening).numpy()


def _untrained(rows: RowStore, out: Path, seed: int) -> Refine:
    """The first weights of the base run of a seed."""
    file = out / f"untrained-{seed}.safetensors"
    stage = plan_of("tca", BASE, rows).stages[0]
    (export,) = stage.build({}, generator_of(seed, "weights", 0)).exports().values()
    export.save(file, Facts("tca", rows.settings, False, 0, 0, {}, ""))
    return load_context(file).refine


def _trained(name: str, store: FeatureStore, learned: list[str], out: Path, seed: int) -> Refine:
    """One training; an earlier one of the same settings is taken up where it ended."""
    config = replace((VARIANTS | TRIED)[name], run=replace(BASE.run, seed=seed))
    file = out / f"{name.replace(' ', '-')}-{seed}.safetensors"
    rows = tca_rows(config, store, learned)[0]
    pretrain(plan_of("tca", config, rows), file, resume=True)
    return load_context(file).refine


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path, help="folders of videos")
    parser.add_argument("--encoder", required=True, help="of single frames, as for wtal extract")
    parser.add_argument("--pooling", help="irmac or imac, where the encoder has a choice")
    parser.add_argument("--annotations", required=True, type=Path, help="name the subsets")
    parser.add_argument("--subset", default="test", help="of the test videos")
    parser.add_argument(
        "--held-out", type=int, metavar="N", help="test on every N-th training video, to choose"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder for all that is made")
    parser.add_argument("--fps", default="1", help="rows per second")
    parser.add_argument("--copies", type=int, default=4, help="altered versions of each video")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2, 3, 4])
    parser.add_argument("--variants", type=_variants, default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _variants(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in VARIANTS | TRIED]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}; there are {', '.join(VARIANTS | TRIED)}")
    return names


if __name__ == "__main__":
    main()
