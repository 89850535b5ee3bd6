"""The commands: parse, call, print. Heavy imports happen inside them, so that --help is quick."""

from __future__ import annotations

import errno
import functools
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    import torch

    from wtal.doctor import Examination
    from wtal.extract import Report
    from wtal.training import TrainResult
    from wtal_eval import Evaluation
    from wtal_features import FeatureStore
    from wtal_features.methods.loop import Progress


class _Group(TyperGroup):
    """The commands; their help shows no `<bool>` behind flags, as if these took a value."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_bool(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _without_bool(command.get_params(ctx))
        return command


def _without_bool(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


app = typer.Typer(
    name="wtal",
    cls=_Group,
    help="Find where actions happen in untrimmed videos, learning only from video tags.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only, no progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Every skipped video, as it comes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Features = Annotated[
    Path, typer.Option("--features", "-f", help="Feature store: a folder of <video>.npy.")
]
Tags = Annotated[Path | None, typer.Option("--tags", help="CSV with the columns video,label.")]
Annotations = Annotated[
    Path | None, typer.Option("--annotations", help="ActivityNet JSON; its labels serve as tags.")
]
Fps = Annotated[
    float | None, typer.Option("--fps", help="Frames per second, if the store has no manifest.")
]
Stride = Annotated[
    float | None, typer.Option("--stride", help="Frames per snippet, if the store has no manifest.")
]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", "-o", metavar="A.B=VALUE", help="Override a config key."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Only share I of N; the last one done joins them all."
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", "-j", min=0, help="Processes that share the videos; with --ray: tasks in all."
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Share the videos on a Ray cluster: auto, HOST:PORT, local.",
    ),
]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="Exit 0 even if some videos were skipped.")
]


def _say_versions(asked: bool) -> None:
    if asked:
        from importlib import metadata
        from platform import python_version

        from wtal import __version__

        print(f"wtal {__version__}, Python {python_version()}, PyTorch {metadata.version('torch')}")
        raise typer.Exit


@app.callback()
def whole(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_versions, is_eager=True, help="Print versions and exit."
        ),
    ] = False,
) -> None:
    """What is asked of no command."""


@app.command(
    epilog="Example: wtal run videos --tags tags.csv; wtal run videos --tags tags.csv --preview"
)
def run(
    videos: Annotated[Path, typer.Argument(help="Folder of videos, or one.")],
    tags: Tags = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations", help="ActivityNet JSON: scores the result; without --tags its labels."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the results; default: VIDEOS-wtal, beside them."),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            metavar="[STREAM=]E",
            help="As for wtal extract; default: the best that is installed.",
        ),
    ] = None,
    pretrain: Annotated[
        str | None,
        typer.Option(
            "--pretrain", metavar="METHOD", help="Make the encoder of these videos first."
        ),
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option("--corrections", help="What was corrected in the page.")
    ] = None,
    exports: Annotated[
        list[str] | None,
        typer.Option(
            "--export", metavar="FORMAT", help="Besides csv, webvtt and eaf; may come again."
        ),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-o",
            metavar="A.B=VALUE",
            help="Override a config key, such as train.steps=800, extract.fps=25, "
            "export.sure_only=false or pretrain.optim.steps=500.",
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Say what it will do and take; write nothing.")
    ] = False,
    device: Device = "auto",
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """A folder of videos and their tags -> segments, exports, and a page that plays them.

    Run again, it does only what is new: a video that was added, a tag that changed.
    """
    with _problems(debug, "-o train.batch_size=8, -o data.max_snippets=1000 or --device cpu"):
        from wtal.allocator import keep_freed_memory
        from wtal.pipeline import Telling, Words
        from wtal.pipeline import run as run_pipeline

        keep_freed_memory()
        words = Words(
            videos=videos,
            tags=tags,
            annotations=annotations,
            out=out,
            encoders=tuple(encoder or ()),
            pretrain=pretrain,
            corrections=corrections,
            overrides=tuple(override or ()),
            exports=tuple(exports or ()),
        )
        telling = Telling(
            say=lambda text: print(text, flush=True) if not quiet else None,
            warn=_once(quiet),
            bar=lambda title, unit="video": _counter(title, quiet, unit),
            steps=lambda: _steps(quiet),
            quiet=quiet,
        )
        result = run_pipeline(
            words, device=_device(device, quiet), telling=telling, preview=preview
        )
        if result is None:
            return
        for line in result.lines():
            _say(line, quiet)
        _finish({**result.skipped, **result.faults}, keep_going, verbose)


@app.command(
    epilog="Example: wtal train configs/basnet.yaml -f store --tags tags.csv --out runs/basnet; "
    "torchrun --nproc-per-node 2 -m wtal train ... shares each batch"
)
def train(
    config: Annotated[Path, typer.Argument(help="YAML file; see configs/.")],
    features: Features,
    out: Annotated[Path, typer.Option("--out", help="Run folder to make.")],
    tags: Tags = None,
    annotations: Annotations = None,
    override: Override = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="0,1,2: a run each, with mean and sd.")
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option("--corrections", help="Segments that a person judged on the report's page."),
    ] = None,
    gain: Annotated[
        bool,
        typer.Option(help="With corrections: train without them, too, and compare the two."),
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue after the last checkpoint.")
    ] = False,
    device: Device = "auto",
    fps: Fps = None,
    stride: Stride = None,
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Learn from video-level tags on a feature store."""
    with _problems(
        debug,
        "-o train.batch_size=8, -o data.max_snippets=1000, -o data.cache_mb=0 or --device cpu",
        together=True,
    ):
        from wtal.allocator import keep_freed_memory
        from wtal.api import train as run
        from wtal.processes import leads

        keep_freed_memory()
        quiet, started = quiet or not leads(), time.perf_counter()
        results = run(
            config,
            features=features,
            out=out,
            tags=tags,
            annotations=annotations,
            overrides=override or (),
            seeds=() if seeds is None else _seeds(seeds),
            resume=resume,
            device=_device(device, quiet),
            fps=fps,
            stride=stride,
            quiet=quiet,
            notify=_once(quiet),
            corrections=corrections,
            gain=gain,
            say=lambda text: _say(text, quiet),
        )
        _say_trained(results, seeds is not None, out, quiet)
        _say_gain(results, quiet)
        if not any(result.interrupted for result in results):
            grid = [("--fps", fps), ("--stride", stride)]
            same = [part for option in grid if option[1] is not None for part in option]
            then = ["wtal", "localize", out, "--features", features, *same]
            _say_next(then, time.perf_counter() - started, quiet)
        if leads():
            _finish(results[0].skipped, keep_going, verbose)
        if any(result.interrupted for result in results):
            raise typer.Exit(1)


@app.command(
    epilog="Example: wtal localize runs/basnet --features store --tags tags.csv --subset test"
)
def localize(
    run: Annotated[Path, typer.Argument(help="Run folder, or the folder of a --seeds sweep.")],
    features: Features,
    out: Annotated[
        Path | None, typer.Option("--out", help="Result file; default: detections.json in the run.")
    ] = None,
    tags: Tags = None,
    annotations: Annotations = None,
    subset: Annotated[
        str | None, typer.Option("--subset", help="Only this subset of the tags or annotations.")
    ] = None,
    shard: ShardOf = None,
    jobs: Jobs = 0,
    ray: Ray = None,
    override: Override = None,
    device: Device = "auto",
    fps: Fps = None,
    stride: Stride = None,
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Write scored segments of every video of a store."""
    with _problems(debug, "--device cpu"):
        from wtal.errors import WtalError
        from wtal.localize_shares import LocalizeShare, Words
        from wtal.localize_shares import run as run_shares
        from wtal.runs import DETECTIONS_FILE, runs_of
        from wtal.sharing import Sharing

        if subset is not None and tags is None and annotations is None:
            raise WtalError(
                f"--subset {subset} is one of the tags: name them, by --tags FILE.csv or "
                "--annotations FILE.json."
            )
        sharing, runs = Sharing(shard, jobs, ray), runs_of(run)
        if out is not None and out.is_dir():
            raise WtalError(
                f"--out {out} is a folder; name a file, such as {out / DETECTIONS_FILE}."
            )
        if out is not None and len(runs) > 1:
            raise WtalError(
                f"{run} holds {len(runs)} runs; leave --out away, each gets its own file."
            )
        words = Words(
            *(features, tags, annotations, subset, out), tuple(override or ()), fps, stride
        )
        if ray is None:
            _device(device, quiet)
        say, warn = functools.partial(_say, quiet=quiet), _once(quiet)
        skipped: dict[str, str] = {}
        for folder in runs:
            job = LocalizeShare(folder, words, device)
            with _counter(str(folder), quiet) as progress:
                skipped |= run_shares(job, sharing, progress=progress, say=say, warn=warn)
        _finish(skipped, keep_going, verbose)


@app.command(
    epilog="Example: wtal calibrate runs/dcc -f store --tags tags.csv; "
    "wtal calibrate runs/dcc -f store --annotations thumos14.json --check test --plot check.png"
)
def calibrate(
    run: Annotated[Path, typer.Argument(help="Run folder, or the folder of a --seeds sweep.")],
    features: Features,
    tags: Tags = None,
    annotations: Annotations = None,
    subset: Annotated[
        str | None,
        typer.Option(
            "--subset",
            help="Tagged videos that the run did not learn from; default: those that it did, "
            "judged by networks that learn from the others.",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option("--folds", help="Parts of the training videos: so many trainings.")
    ] = 3,
    check: Annotated[
        str | None,
        typer.Option("--check", metavar="SUBSET", help="Compare with the annotations of these."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="PNG to draw: the reliability that --check finds.")
    ] = None,
    override: Override = None,
    device: Device = "auto",
    fps: Fps = None,
    stride: Stride = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Learn from tags how sure a score is; `wtal localize` then says so in its results."""
    with _problems(debug, "--device cpu"):
        from wtal.calibration.command import Words
        from wtal.calibration.command import run as run_calibrate
        from wtal.runs import runs_of

        words = Words(
            runs=runs_of(run),
            features=features,
            tags=tags,
            annotations=annotations,
            subset=subset,
            folds=folds,
            check=check,
            plot=plot,
            overrides=override or (),
            fps=fps,
            stride=stride,
        )
        run_calibrate(
            words,
            device=_device(device, quiet),
            quiet=quiet,
            bar=lambda title, unit: _counter(title, quiet, unit),
            show=lambda line: _say(line, quiet),
            warn=_once(quiet),
        )


@app.command(
    name="eval",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
    epilog="Example: wtal eval runs/basnet annotations.json --protocol thumos14",
)
def evaluate(context: typer.Context) -> None:
    """Score detections or runs against annotations, beside the trivial whole-video baseline.

    The options are the evaluator's own; `wtal eval --help` lists them.
    """
    from wtal.readings import count_readings, readings_of
    from wtal.runs import check_localized, is_run, result_file, runs_of
    from wtal_eval.command import main as command

    runs: dict[str, tuple[Path, int]] = {}  # result file -> its run, how often it was read before

    def expand(word: str) -> list[str]:
        folders = runs_of(Path(word)) if is_run(Path(word)) else []
        for folder in folders:
            check_localized(folder)
        found = {str(result_file(f)): (f, readings_of(f)) for f in folders}
        runs.update(found)
        return list(found) or [word]

    def count(scored: Mapping[str, Evaluation | None]) -> None:
        for file, evaluation in scored.items():
            if file in runs:
                folder, before = runs[file]
                count_readings(folder, evaluation, before=before)

    with _problems("--debug" in context.args):
        code = command(context.args, prog="wtal eval", expand=expand, on_scored=count)
    if code:
        raise typer.Exit(code)


@app.command(
    epilog="Example: wtal doctor store --annotations thumos14.json; "
    "wtal doctor store --tags tags.csv --leakage"
)
def doctor(
    features: Annotated[Path, typer.Argument(help="Feature store, folder of videos, or run.")],
    tags: Tags = None,
    annotations: Annotations = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Whose training is estimated; default: defaults."),
    ] = None,
    headers_only: Annotated[
        bool,
        typer.Option("--headers-only", help="Read no array, decode no video: quick, finds less."),
    ] = False,
    leakage: Annotated[
        bool,
        typer.Option(
            "--leakage", help="Compare features frame by frame: finds cut and altered copies."
        ),
    ] = False,
    override: Override = None,
    fps: Fps = None,
    stride: Stride = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Check features or videos, tags and annotations, and name every fault with its cure."""
    with _problems(debug):
        from wtal.config import load_config
        from wtal.doctor import examine, examine_videos, may_search_leakage
        from wtal.inputs import read_labels
        from wtal.unfinished import examine_unfinished
        from wtal_features.extraction.survey import holds_videos

        unfinished = examine_unfinished(features)
        if unfinished is not None:
            return _say_examination(unfinished, quiet, verbose)
        settings = load_config(config, override or ())
        labels = annotated = None
        if tags is not None and annotations is not None:
            labels, annotated = read_labels(tags), read_labels(annotations=annotations)
        elif tags is not None or annotations is not None:
            labels = read_labels(tags, annotations)
        videos = holds_videos(features)
        if leakage:
            may_search_leakage(features, videos=videos, headers_only=headers_only)
        unseen = quiet or not leakage
        with (
            _counter("checking", quiet) as progress,
            _counter("comparing", unseen, "comparison") as comparing,
        ):
            if videos:
                found = examine_videos(
                    *(features, labels, settings),
                    annotated=annotated,
                    decode=not headers_only,
                    progress=progress,
                )
            else:
                found = examine(
                    *(_open(features, settings.data.streams, fps, stride), labels, settings),
                    annotated=annotated,
                    values=not headers_only,
                    leakage=leakage,
                    progress=progress,
                    comparing=comparing,
                )
        return _say_examination(found, quiet, verbose)


@app.command(
    epilog="Example: wtal extract videos --encoder s3d.safetensors --out store; "
    "wtal extract videos --encoder rgb=coclr:rgb.pth.tar --encoder flow=coclr-flow:flow.pth.tar "
    "--out store"
)
def extract(
    videos: Annotated[Path, typer.Argument(help="Folder of videos, or one.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the store to write.")] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            metavar="[STREAM=]E",
            help="A .safetensors file of ours; coclr:, coclr-flow:, cvrl:, cmd:, i3d:, i3d-flow:, "
            "resnet50: or efficientnet-lite0: and a file; efficientnet-lite0:installed; hub: and a "
            "model; or a network such as s3d with random weights. Twice, with rgb= and flow=: two "
            "streams.",
        ),
    ] = None,
    fps: Annotated[str, typer.Option("--fps", help="Frames per second of the grid.")] = "25",
    stride: Annotated[int, typer.Option("--stride", help="Grid frames per snippet.")] = 16,
    mode: Annotated[
        str, typer.Option("--mode", help="window: a clip per snippet; dense: longer clips, cut.")
    ] = "window",
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="Frames of a clip; else the encoder's.")
    ] = None,
    every: Annotated[
        int | None, typer.Option("--every", min=1, help="Grid frames from one to the next.")
    ] = None,
    width: Annotated[
        float | None, typer.Option("--width", help="Of an untrained network: .25 is a quarter.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", min=8, help="Of an untrained network: px it sees.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of an untrained network's weights.")
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            "--pooling",
            help="Of a hub model: cls, cls+patches or projection; of resnet50 and "
            "efficientnet-lite: mean, irmac or imac.",
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Of a hub model: branch, tag or commit.")
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="auto, float32, bfloat16 or float16.")
    ] = "auto",
    motion: Annotated[
        str, typer.Option("--motion", help="Of encoders of motion: dis, farneback, tvl1 or mv.")
    ] = "dis",
    reencode: Annotated[
        bool,
        typer.Option(
            "--reencode/--no-reencode",
            help="With --motion mv: copy videos whose codec has no usable vectors, or skip them.",
        ),
    ] = True,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder that keeps motion and copies.")
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="float16 or float32.")] = "float16",
    partial: Annotated[
        bool, typer.Option("--partial", help="Keep what is there of videos that are cut short.")
    ] = False,
    batch: Annotated[int, typer.Option("--batch", help="Clips encoded at a time.")] = 4,
    workers: Annotated[
        int, typer.Option("--workers", help="Processes that decode; 0: one per core.")
    ] = 0,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds in which a decoder must go on.")
    ] = 120.0,
    memory_gb: Annotated[
        float, typer.Option("--memory-gb", help="What one decoder may need, in GiB.")
    ] = 4.0,
    max_hours: Annotated[
        float, typer.Option("--max-hours", help="Longer videos are refused.")
    ] = 24.0,
    shard: ShardOf = None,
    jobs: Jobs = 0,
    ray: Ray = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Estimate time, memory and disk; write nothing.")
    ] = False,
    device: Device = "auto",
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Turn a folder of videos into a feature store; a second run does only what changed."""
    with _problems(debug, "--batch 1, --workers 1 or --device cpu"):
        from wtal.errors import WtalError
        from wtal.extract import Words, run
        from wtal.extract_shares import run as run_shares
        from wtal.sharing import Sharing

        if out is None and not preview:
            raise WtalError("--out is missing: the folder of the store to write.")
        words = Words(
            encoders=tuple(encoder or ()),
            fps=fps,
            stride=stride,
            mode=mode,
            frames=frames,
            every=every,
            width=width,
            size=size,
            seed=seed,
            pooling=pooling,
            revision=revision,
            precision=precision,
            motion=motion,
            reencode=reencode,
            cache=cache,
            dtype=dtype,
            partial=partial,
            batch=batch,
            workers=workers,
            timeout=timeout,
            memory_gb=memory_gb,
            max_hours=max_hours,
        )
        where = _device(device, quiet) if ray is None else None
        sharing, say = Sharing(shard, jobs, ray), functools.partial(_say, quiet=quiet)
        report: Report | None = None
        with _counter("extracting", quiet) as progress:
            if out is not None and not preview:
                todo = (videos, out, words, device, sharing)
                report = run_shares(*todo, progress=progress, say=say)
            if report is None:
                where = where or _device(device, quiet)
                todo_here = (videos, out, words, where, shard)
                report = run(*todo_here, preview=preview, progress=progress, say=say)
        for line in report.lines():
            _say(line, quiet)
        faults = {finding.where: f"{finding.message} {finding.cure}" for finding in report.skipped}
        _finish(faults, keep_going, verbose)


@app.command(
    epilog="Example: wtal pretrain infonce videos --out infonce.safetensors -o network.width=.5; "
    "torchrun --nproc-per-node 4 -m wtal pretrain coclr videos --out coclr.safetensors"
)
def pretrain(
    method: Annotated[str, typer.Argument(help="infonce, ubernce, coclr, cvrl, cmd or tca.")],
    videos: Annotated[
        Path, typer.Argument(help="Folder of videos, or a clip store; for tca also features.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The .safetensors file to write; its run lies beside it.")
    ],
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file; default: as published.")
    ] = None,
    override: Override = None,
    tags: Tags = None,
    annotations: Annotations = None,
    subset: Annotated[
        str | None, typer.Option("--subset", help="Only this subset of the tags or annotations.")
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option("--clips", help="Clip store to make or complete; default: in the run."),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option("--fps", help="Frames per second of the grid; default: 25; tca: 1."),
    ] = None,
    motion: Annotated[
        str | None,
        typer.Option(
            "--motion", help="Of methods that see it: dis (default), farneback, tvl1, mv."
        ),
    ] = None,
    reencode: Annotated[
        bool,
        typer.Option(
            "--reencode/--no-reencode",
            help="With --motion mv: copy videos whose codec has no usable vectors, or skip them.",
        ),
    ] = True,
    partial: Annotated[
        bool, typer.Option("--partial", help="Keep what is there of videos that are cut short.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", help="Processes that decode; 0: one per core.")
    ] = 0,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds in which a decoder must go on.")
    ] = 120.0,
    memory_gb: Annotated[
        float, typer.Option("--memory-gb", help="What one decoder may need, in GiB.")
    ] = 4.0,
    max_hours: Annotated[
        float, typer.Option("--max-hours", help="Longer videos are refused.")
    ] = 24.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue after the last checkpoint.")
    ] = False,
    device: Device = "auto",
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Train an encoder on videos without labels (ubernce: with tags), or context (tca).

    Videos are decoded once, small, into a clip store. `-o` overrides keys of the method, such as
    network.width, clips.size, optim.steps, run.seed: features/PRETRAINING.md. tca learns what the
    frames of a video say together, from a feature store or from videos: features/RETRIEVAL.md.
    """
    batch = "init.batch=16, -o cycle.batch=16" if method == "coclr" else "optim.batch=16"
    with _problems(debug, f"-o {batch} or --device cpu", together=True):
        from wtal.pretrain import Words, run
        from wtal.processes import leads

        quiet = quiet or not leads()
        words = Words(
            method=method,
            out=out,
            config=config,
            overrides=tuple(override or ()),
            tags=tags,
            annotations=annotations,
            subset=subset,
            clips=clips,
            fps=fps,
            motion=motion,
            reencode=reencode,
            partial=partial,
            workers=workers,
            timeout=timeout,
            memory_gb=memory_gb,
            max_hours=max_hours,
        )
        where = _device(device, quiet)
        with _counter("decoding", quiet) as decoding, _steps(quiet) as training:
            outcome = run(
                *(videos, words, where),
                resume=resume,
                say=lambda text: _say(text, quiet),
                decoding=decoding,
                training=training,
            )
        if not leads():
            return
        for line in outcome.lines():
            _say(line, quiet)
        faults = {finding.where: f"{finding.message} {finding.cure}" for finding in outcome.skipped}
        _finish(faults, keep_going, verbose)
        if outcome.result.interrupted:
            raise typer.Exit(1)


@app.command(epilog="Example: wtal convert I3D-features/ --out store --fps 25 --stride 16")
def convert(
    source: Annotated[Path, typer.Argument(help="Folder or file in one of the field's layouts.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the store to write.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="npy, npz, hdf5, csv, wtalc, wtalc-annotations; else found out."
        ),
    ] = None,
    annotations: Annotations = None,
    fps: Fps = None,
    stride: Stride = None,
    window: Annotated[
        float | None, typer.Option("--window", help="Frames that one snippet saw.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float16 or float32; default: as it is.")
    ] = None,
    join: Annotated[bool, typer.Option("--join", help="Streams into one array.")] = False,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="What made the features, for the manifest.")
    ] = None,
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Make a feature store, tags and annotations of BaS-Net, W-TALC, HDF5, NPZ or CSV files."""
    with _problems(debug):
        from wtal_features.convert import convert as convert_store
        from wtal_features.errors import counted

        with _counter("converting", quiet) as progress:
            report = convert_store(
                source,
                out,
                kind=kind,
                annotations=annotations,
                fps=fps,
                stride=stride,
                window=window,
                dtype=dtype,
                join=join,
                encoder=encoder,
                progress=progress,
            )
        for note in report.notes:
            _say(note, quiet)
        counts = (
            f"{counted(len(report.written), 'video')} written, {len(report.resumed)} there before"
        )
        _say(f"{report.out} ({report.kind}): {counts}", quiet)
        faults = {finding.where: f"{finding.message} {finding.cure}" for finding in report.skipped}
        _finish(faults, keep_going, verbose)


@app.command(epilog="Example: wtal pack store --out packed; wtal pack part-1 part-2 --out packed")
def pack(
    stores: Annotated[list[Path], typer.Argument(help="Feature stores; several become one.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the packed store to write.")],
    shard_size: Annotated[
        str, typer.Option("--shard-size", help="Of its files at most, such as 256MiB.")
    ] = "1GiB",
    fps: Fps = None,
    stride: Stride = None,
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Put feature stores of many videos into a few large files, which open at once."""
    with _problems(debug):
        from wtal.pack import Words
        from wtal.pack import run as run_pack

        words = Words(tuple(stores), out, shard_size, fps, stride)
        with _counter("packing", quiet) as progress:
            report = run_pack(words, progress=progress)
        _say(report.line(), quiet)
        _finish(report.skipped, keep_going, verbose)


@app.command(
    epilog="Example: wtal probe videos --encoder s3d.safetensors --encoder coclr:rgb.pth.tar "
    "--labels annotations.json --clips videos.clips"
)
def probe(
    videos: Annotated[Path, typer.Argument(help="Folder of videos, or of clips kept by --clips.")],
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            help="ActivityNet JSON, or CSV with the columns video,label,start,end,subset.",
        ),
    ],
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            metavar="[NAME=]E",
            help="As for wtal extract, or colour-histogram or motion-histogram; several: a row "
            "each, called NAME.",
        ),
    ] = None,
    train: Annotated[str, typer.Option("--train", help="Subset to learn from.")] = "training",
    test: Annotated[str, typer.Option("--test", help="Subset to be tested on.")] = "test",
    clips: Annotated[
        Path | None,
        typer.Option("--clips", help="Folder that keeps small frames of the videos, made once."),
    ] = None,
    fps: Annotated[
        str | None, typer.Option("--fps", help="Of the frames that are kept; else 25.")
    ] = None,
    short_side: Annotated[
        int | None, typer.Option("--short-side", min=1, help="Likewise, in px; else 128.")
    ] = None,
    motion: Annotated[
        str | None,
        typer.Option(
            "--motion",
            help="Kept beside them: dis, farneback, tvl1 or mv; else dis if an encoder sees it.",
        ),
    ] = None,
    linear: Annotated[
        bool, typer.Option("--linear/--no-linear", help="Linear probe on frozen features.")
    ] = True,
    finetune: Annotated[
        bool, typer.Option("--finetune", help="Train the whole network on the labels, too.")
    ] = False,
    seeds: Annotated[
        str, typer.Option("--seeds", help="Of probe and fine-tuning; mean and sd are shown.")
    ] = "0,1,2,3,4",
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-o",
            metavar="A.B=VALUE",
            help="Such as linear.lr=0.1, finetune.epochs=50 or finetune.flip=false.",
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="Frames of a clip; else the encoder's.")
    ] = None,
    every: Annotated[
        int | None, typer.Option("--every", min=1, help="Grid frames from one to the next.")
    ] = None,
    width: Annotated[
        float | None, typer.Option("--width", help="Of an untrained network: .25 is a quarter.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", min=8, help="Of an untrained network: px it sees.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of an untrained network's weights.")
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            "--pooling",
            help="Of a hub model: cls, cls+patches or projection; of resnet50 and "
            "efficientnet-lite: mean, irmac or imac.",
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Of a hub model: branch, tag or commit.")
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="auto, float32, bfloat16 or float16.")
    ] = "auto",
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="Windows of a clip encoded at a time.")
    ] = 8,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every figure as JSON.")
    ] = None,
    device: Device = "auto",
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Measure encoders on labelled clips: retrieval, linear probe, fine-tuning."""
    tuning = ", -o finetune.batch=8" if finetune else ""
    with _problems(debug, f"--batch 1{tuning} or --device cpu"):
        from wtal.probe import Words, run

        words = Words(
            encoders=tuple(encoder or ()),
            labels=labels,
            train=train,
            test=test,
            clips=clips,
            fps=fps,
            short_side=short_side,
            motion=motion,
            linear=linear,
            finetune=finetune,
            seeds=tuple(_seeds(seeds)),
            overrides=tuple(override or ()),
            frames=frames,
            every=every,
            width=width,
            size=size,
            seed=seed,
            pooling=pooling,
            revision=revision,
            precision=precision,
            batch=batch,
        )
        faults = run(
            *(videos, words, _device(device, quiet)),
            json_file=json_file,
            bar=lambda title, unit: _counter(title, quiet, unit),
            say=lambda text: _say(text, quiet),
            warn=_once(quiet),
            show=lambda line: print(line, flush=True),
        )
        _finish(dict(faults), keep_going, verbose)


@app.command(
    epilog="Example: wtal retrieve store --tags tags.csv --suggest suggested.csv --sure 0.8; "
    "wtal retrieve clip.npy store --by chamfer --out ranked.json"
)
def retrieve(
    query: Annotated[
        str, typer.Argument(help="Feature store, one .npy, or a video of the gallery.")
    ],
    gallery: Annotated[
        Path | None, typer.Argument(help="Feature store to search; default: the query's own.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="File of `wtal pretrain tca`; else raw features, centred."),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            help="cosine: of means, quick. chamfer: how much of the query is in the video. "
            "symmetric: that, both ways.",
        ),
    ] = "symmetric",
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Neighbours of a query.")] = 10,
    tags: Tags = None,
    annotations: Annotations = None,
    subset: Annotated[
        str | None, typer.Option("--subset", help="Only queries of this subset.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Ranked neighbours to write: .json or .csv.")
    ] = None,
    duplicates: Annotated[
        Path | None, typer.Option("--duplicates", help="CSV to write: groups of near-duplicates.")
    ] = None,
    above: Annotated[
        float | None,
        typer.Option(
            "--above",
            help="Their least similarity; else 0.85, of chamfer 0.9, of cosine 0.96: for raw rows.",
        ),
    ] = None,
    suggest: Annotated[
        Path | None,
        typer.Option("--suggest", help="Tags CSV to write, with tags for untagged videos."),
    ] = None,
    sure: Annotated[
        float | None, typer.Option("--sure", help="Their least confidence; else 0.5.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="What --protocol scores the ranking against.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="fivr, ccweb, evve, vcdb or pairs.")
    ] = None,
    device: Device = "auto",
    fps: Fps = None,
    stride: Stride = None,
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Find the videos that are most alike: neighbours, near-duplicates, tags of neighbours."""
    with _problems(debug, "--by cosine or --device cpu"):
        from wtal.retrieval import Words, run

        words = Words(
            query=query,
            gallery=gallery,
            model=model,
            by=by,
            top=top,
            subset=subset,
            tags=tags,
            annotations=annotations,
            fps=fps,
            stride=stride,
            out=out,
            duplicates=duplicates,
            above=above,
            suggest=suggest,
            sure=sure,
            truth=truth,
            protocol=protocol,
        )
        faults = run(
            *(words, _device(device, quiet)),
            bar=lambda title, unit: _counter(title, quiet, unit),
            show=lambda line: _say(line, quiet),
            every=verbose,
        )
        _finish(dict(faults), keep_going, verbose)


@app.command(
    epilog="Example: wtal export runs/dcc/seed-0 --to csv; "
    "wtal export runs/dcc/seed-0 --to clips --videos videos --top 5 --padding 1"
)
def export(
    detections: Annotated[Path, typer.Argument(help="Result file, or the folder of a run.")],
    to: Annotated[
        str,
        typer.Option(
            "--to", help="csv, webvtt, eaf (ELAN), labelstudio, edl, otio, clips or sheet."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File (csv, labelstudio, otio) or folder to write; default: beside the input.",
        ),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option("--videos", help="Folder of the videos: to cut, to link, for rates."),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", help="ActivityNet JSON, put beside the detections."),
    ] = None,
    above: Annotated[
        float | None, typer.Option("--above", help="Least score; default: any.")
    ] = None,
    sure: Annotated[
        float | None,
        typer.Option("--sure", help="Least confidence, 0 to 1, of a run that was calibrated."),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="Best detections of a video; default: all, of clips 10."),
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Only this label; may come again.")
    ] = None,
    fps: Annotated[
        str | None, typer.Option("--fps", help="Frames per second of videos that are not there.")
    ] = None,
    timecode: Annotated[
        str | None,
        typer.Option("--timecode", metavar="HH:MM:SS:FF", help="Of first frames, for edl, otio."),
    ] = None,
    padding: Annotated[
        float | None, typer.Option("--padding", help="Seconds before and after each clip.")
    ] = None,
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Write detections for editors, players, annotation tools and tables."""
    with _problems(debug, "--top 10"):
        from wtal.exports import Words, run

        words = Words(
            detections=detections,
            to=to,
            out=out,
            videos=videos,
            annotations=annotations,
            above=above,
            sure=sure,
            top=top,
            classes=tuple(classes or ()),
            fps=fps,
            timecode=timecode,
            padding=padding,
        )
        faults = run(
            words,
            bar=lambda title: _counter(title, quiet),
            show=lambda line: _say(line, quiet),
            warn=_once(quiet),
        )
        _finish(dict(faults), keep_going, verbose)


@app.command(
    epilog="Example: wtal report runs/dcc/seed-0 --videos videos --annotations annotations.json; "
    "wtal report detections.json --videos videos --out look.html"
)
def report(
    detections: Annotated[Path, typer.Argument(help="Folder of a run, or a result file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Page to write; default: report.html beside the detections."),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option("--videos", help="Folder of the videos, for the player.")
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", help="ActivityNet JSON: segments to show and score."),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option("--features", "-f", help="Store that curves come from; default: the run's."),
    ] = None,
    tags: Tags = None,
    corrections: Annotated[
        Path | None, typer.Option("--corrections", help="Saved corrections to begin with.")
    ] = None,
    versus: Annotated[
        list[str] | None,
        typer.Option(
            "--versus", metavar="NAME=FILE", help="Another result in the mAP table; may come again."
        ),
    ] = None,
    subset: Annotated[
        str | None, typer.Option("--subset", help="Only videos of this subset.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Of the scores, as for wtal eval.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Best detections of a video.")] = 200,
    title: Annotated[str | None, typer.Option("--title", help="Of the page.")] = None,
    device: Device = "auto",
    fps: Fps = None,
    stride: Stride = None,
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Write one offline page: players, timelines, curves, scores, and corrections by hand."""
    with _problems(debug, "--top 20 or --device cpu"):
        from wtal.report import Words, named_results, run

        words = Words(
            detections=detections,
            out=out,
            features=features,
            videos=videos,
            annotations=annotations,
            tags=tags,
            corrections=corrections,
            subset=subset,
            protocol=protocol,
            versus=named_results(versus or ()),
            top=top,
            title=title,
            fps=fps,
            stride=stride,
        )
        faults = run(
            words,
            device=_device(device, quiet=True) if words.folder is not None else "cpu",
            bar=lambda title: _counter(title, quiet),
            show=lambda line: _say(line, quiet),
            warn=_once(quiet),
        )
        on_it = "on the page with a note, for a file of it cannot be read"
        _finish(dict(faults), keep_going, verbose, f"is {on_it}", f"are {on_it}")


@app.command(epilog="Example: wtal demo --out demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of videos and trainings.")] = 0,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """The whole path on videos that it makes, offline: learn, find, score, a page that plays it."""
    with _problems(debug):
        from wtal.allocator import keep_freed_memory
        from wtal.demo import demo as run_demo
        from wtal.pipeline import Telling

        keep_freed_memory()
        telling = Telling(
            say=lambda text: print(text, flush=True) if not quiet else None,
            warn=_once(quiet),
            bar=lambda title, unit="video": _counter(title, quiet, unit),
            steps=lambda: _steps(quiet),
            quiet=quiet,
        )
        print("\n".join(run_demo(out, seed, telling=telling).lines()))


class _Bench(TyperCommand):
    """Hands the words after `ablation` on: that piece has options of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:1] != ["ablation"]:
            return super().parse_args(ctx, args)
        super().parse_args(ctx, args[:1])
        ctx.args = args[1:]
        return args[1:]


@app.command(
    cls=_Bench,
    epilog="Example: wtal bench localize nms --json bench.json; wtal bench ablation --help",
)
def bench(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="help, localize, nms, eval, kmeans, denoise, lengths, memory, step, encoders, "
            "extract, motion, video-memory, chamfer; none: all of these. Or pretrain, which trains "
            "for half an hour: what each method learns. "
            "Or ablation, with options of its own: a grid of configs over seeds."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every figure as JSON.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", help="Timed turns of each figure.")] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes: shows that it works, not how fast.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Time the project's parts, each beside a reference measured in the same run."""
    if "ablation" in (what or ()):
        with _problems("--debug" in context.args):
            from wtal.bench.ablation import main as ablation

            code = ablation(context.args)
        raise typer.Exit(code)
    with _problems(debug):
        from wtal.bench import HEADER, line, run, write_rows

        measured = run(what or (), repeats=repeats, quick=quick, quiet=quiet)
        print(HEADER)
        rows = []
        for row in measured:
            print(line(row), flush=True)
            rows.append(row)
        print(f"machine: {rows[0].machine}")
        if json_file is not None:
            write_rows(json_file, rows)


@app.command(
    name="inspect",
    epilog="Example: wtal inspect runs/dcc/seed-0 video_7 -f store --annotations thumos14.json; "
    "wtal inspect runs/dcc/seed-0 --versus runs/basnet --map -f store --annotations thumos14.json",
)
def look_into(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    features: Features,
    video: Annotated[
        str | None, typer.Argument(help="Video to draw, of the training or any other.")
    ] = None,
    as_map: Annotated[
        bool, typer.Option("--map", help="Map the embedding of annotated videos, and measure it.")
    ] = False,
    versus: Annotated[
        Path | None, typer.Option("--versus", help="Another run on the same points, for --map.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="PNG to write; default: inspect/ in the run.")
    ] = None,
    tags: Tags = None,
    annotations: Annotations = None,
    subset: Annotated[
        str | None, typer.Option("--subset", help="Only this subset, for --map.")
    ] = None,
    space: Annotated[
        str, typer.Option("--space", help="Of --map: embedding, base or projected.")
    ] = "embedding",
    points: Annotated[
        int, typer.Option("--points", min=10, help="Snippets of --map, at most.")
    ] = 3000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of points, folds and map.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures of --map as JSON.")
    ] = None,
    device: Device = "auto",
    fps: Fps = None,
    stride: Stride = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw what a run says of one video, or map its embedding beside another run's."""
    with _problems(debug, "--device cpu"):
        from wtal.errors import WtalError
        from wtal.inspection.command import Source, inspect_maps, inspect_video
        from wtal.inspection.comparison import write_json

        if (video is None) is not as_map:
            raise WtalError("Name either a video to draw, or --map for maps of the embedding.")
        if not as_map and (versus or subset or json_file):
            raise WtalError("--versus, --subset and --json go with --map, not with a video.")
        source = Source(features, tags, annotations, fps, stride)
        where = _device(device, quiet=True)
        if video is not None:
            _say(str(inspect_video(run, video, source, out, where)), quiet)
            return
        with _counter("embedding", quiet) as progress:
            comparison, path = inspect_maps(
                [run] if versus is None else [run, versus],
                source,
                subset=subset,
                space=space,
                total=points,
                seed=seed,
                out=out,
                device=where,
                progress=progress,
            )
        print(comparison.text(), end="")
        _say(f"\n{path}", quiet)
        if json_file is not None:
            write_json(comparison, json_file)


@contextmanager
def _counter(title: str, quiet: bool, unit: str = "video") -> Iterator[Callable[[int, int], None]]:
    """A progress bar for functions that tell (done, total); silent when not a terminal."""
    from tqdm import tqdm

    with tqdm(desc=title, unit=unit, disable=quiet or None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if not done:  # the total shows before the first is done
                bar.refresh()

        yield progress


@contextmanager
def _steps(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A progress bar of the steps of a pre-training, with stage and loss; there from the first."""
    from tqdm import tqdm

    with ExitStack() as at_end:
        bars: list[Any] = []

        def progress(at: Progress) -> None:
            if not bars:
                bar = tqdm(total=at.total, initial=at.done - 1, unit="step", disable=quiet or None)
                bars.append(at_end.enter_context(bar))
            bars[0].set_description(at.stage, refresh=False)
            if "loss" in at.figures:
                bars[0].set_postfix(loss=f"{at.figures['loss']:.4f}", refresh=False)
            bars[0].update(at.done - bars[0].n)

        yield progress


@contextmanager
def _problems(debug: bool, less_memory: str = "", *, together: bool = False) -> Iterator[None]:
    """Turn what the user can mend into one sentence and exit code 1.

    Args:
        debug: Print the traceback, too.
        less_memory: Options of the command with which it needs less, such as `--batch 1`.
        together: Whether processes that torchrun starts share the work of this command.
    """
    from wtal.errors import Stopped, WtalError
    from wtal.interrupt import sigterm_as_ctrl_c
    from wtal_eval import EvalError
    from wtal_features import FeatureError

    try:
        with sigterm_as_ctrl_c(WtalError, EvalError, FeatureError, typer.Exit):
            if not together:
                _refuse_torchrun()
            yield
    except BrokenPipeError:
        raise  # `| head` has seen enough: typer ends quietly
    except (WtalError, EvalError, FeatureError, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        kind = "stopped" if isinstance(error, Stopped) else "error"
        print(f"{kind}: {_sentence(error, less_memory)}", file=sys.stderr)
        raise typer.Exit(1) from None
    except RuntimeError as error:
        # PyTorch has no class of its own for memory that the CPU lacks.
        if not any(words in str(error) for words in ("out of memory", "can't allocate memory")):
            raise
        if debug:
            traceback.print_exc()
        print(f"error: {_sentence(MemoryError(), less_memory)}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print(
            "interrupted: finished files are whole; the same command starts again.", file=sys.stderr
        )
        raise typer.Exit(1) from None


def _refuse_torchrun() -> None:
    """Several processes would all do the same work, in the same files.

    The size alone does not tell: some clusters set WORLD_SIZE for whatever they start.
    """
    from wtal.errors import WtalError

    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        if os.environ.get("RANK") != "0":
            raise typer.Exit(0)  # the first one says it; a failure here would end it before
        raise WtalError(
            "torchrun starts several processes, which only `wtal train` and `wtal pretrain` share; "
            "start this command without it. extract and localize have --jobs and --shard i/N."
        )


def _sentence(error: BaseException, less_memory: str) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG):
        return "No space is left on the disk. Finished files are whole; free some, and go on."
    if isinstance(error, MemoryError) and less_memory:
        return f"Out of memory, on the GPU if there is one; {less_memory} helps."
    if isinstance(error, MemoryError):
        return "Out of memory; a machine with more helps, or smaller inputs."
    return str(error)


def _device(wanted: str, quiet: bool) -> torch.device:
    """The device; what `auto` became is said, since a missing GPU costs hours."""
    from wtal.device import choose_device

    device = choose_device(wanted)
    if wanted == "auto":
        _say(f"device: {device}{' (no GPU found)' if device.type == 'cpu' else ''}", quiet)
    return device


def _once(quiet: bool) -> Callable[[str], None]:
    """Prints a warning the first time that it is given; several runs share their labels."""
    said: set[str] = set()

    def warn(text: str) -> None:
        if text not in said and not quiet:
            print(f"warning: {text}", file=sys.stderr)
        said.add(text)

    return warn


def _open(
    features: Path, streams: tuple[str, ...], fps: float | None, stride: float | None
) -> FeatureStore:
    from wtal_features import open_store

    return open_store(features, streams=streams, fps=fps, stride=stride)


def _seeds(text: str) -> list[int]:
    from wtal.errors import WtalError

    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise WtalError(f"--seeds is {text!r}; expected whole numbers such as 0,1,2,3,4.") from None
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise WtalError(f"--seeds is {text!r}; expected different numbers, none below 0.")
    return seeds


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(text)


def _say_trained(results: list[TrainResult], sweep: bool, out: Path, quiet: bool) -> None:
    """What a person reads of it; metrics.jsonl and summary.json have every figure."""
    from wtal_features.errors import counted

    for result in results:
        state = "stopped" if result.interrupted else "trained"
        shown = [f"{name} {result.figures[name]:.4g}" for name in _worth_saying(result.figures)]
        after = f"{state} after {counted(result.steps, 'step')}"
        _say(f"{result.run}: {', '.join([after, *shown])}.", quiet)
    if results[-1].interrupted:
        _say("Run the same command with --resume to continue.", quiet)
    finished = [result for result in results if not result.interrupted]
    if sweep and len(finished) > 1:
        from wtal.training import summarise

        _say(f"mean and sd over {len(finished)} seeds ({out}/summary.json):", quiet)
        figures = summarise(range(len(finished)), finished)["figures"]
        for name in _worth_saying(figures):
            _say(f"  {name:24} {figures[name]['mean']:.5g} +- {figures[name]['sd']:.2g}", quiet)


def _worth_saying(figures: Mapping[str, object]) -> list[str]:
    return [name for name in figures if name == "loss" or name.startswith("validation")]


def _say_next(words: Sequence[object], seconds: float, quiet: bool) -> None:
    from wtal_features.extraction.preview import duration

    _say(f"{duration(seconds)} in all; next: {shlex.join(map(str, words))}", quiet)


def _say_gain(results: list[TrainResult], quiet: bool) -> None:
    gains = [result.gain for result in results if result.gain is not None]
    if gains:
        from wtal.corrections.gain import gain_lines

        for line in gain_lines(gains):
            _say(line, quiet)


def _say_examination(found: Examination, quiet: bool, verbose: bool) -> None:
    """Facts, then findings with their cures; exit 1 if one is an error."""
    from wtal_features.errors import counted

    for fact in found.facts:
        _say(fact, quiet)
    _say_per_class(found.per_class, quiet, verbose)
    shown = found.findings if verbose else found.findings[:20]
    for finding in shown:
        print(finding)
    if len(shown) < len(found.findings):
        print(f"and {len(found.findings) - len(shown)} more; -v lists all.")
    warnings = len(found.findings) - found.errors
    _say(f"{counted(found.errors, 'error')}, {counted(warnings, 'warning')}", quiet)
    if found.errors:
        raise typer.Exit(1)


def _say_per_class(lines: Sequence[str], quiet: bool, verbose: bool) -> None:
    from wtal_features.errors import counted

    shown = lines if verbose else lines[:20]
    if lines:
        what = counted(len(lines), "class", "classes")
        _say(f"videos per class, of {what}, the rarest first:", quiet)
    for line in shown:
        _say(f"  {line}", quiet)
    if len(shown) < len(lines):
        _say(f"  and {len(lines) - len(shown)} more; -v lists all.", quiet)


def _finish(
    skipped: dict[str, str],
    keep_going: bool,
    verbose: bool,
    one: str = "was skipped",
    many: str = "were skipped",
) -> None:
    """List what was left out, and say what became of it; exit 1 unless the user asked to go on."""
    if not skipped:
        return
    shown = list(skipped.items())[: None if verbose else 5]
    what = f"1 video {one}" if len(skipped) == 1 else f"{len(skipped)} videos {many}"
    print(f"{what}:", file=sys.stderr)
    for video, fault in shown:
        print(f"  {video}: {fault}", file=sys.stderr)
    if len(shown) < len(skipped):
        print(f"  and {len(skipped) - len(shown)} more; -v lists all.", file=sys.stderr)
    if not keep_going:
        raise typer.Exit(1)


def main() -> None:
    """Entry point of the console script."""
    app()
