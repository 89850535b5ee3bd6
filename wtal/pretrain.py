"""`wtal pretrain`: from the words of a command line to a clip store, a plan and an encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from wtal.config import read_config, refuse_idle
from wtal.errors import WtalError
from wtal.inputs import Labels, read_labels, videos_of
from wtal.interrupt import Interrupt
from wtal.pretrain_rows import described_videos, files_seen_from, refuse_idle_pairs, say_pairs
from wtal.processes import group
from wtal_features.contrast.processes import rank_and_size, together
from wtal_features.errors import FeatureError, Finding
from wtal_features.extraction import MotionSettings, parse_fps
from wtal_features.files import make_folder, write_json
from wtal_features.methods.catalog import METHODS, plan_of
from wtal_features.methods.folder import folder_of, refuse_earlier, refuse_other
from wtal_features.methods.loop import Plan, Progress, Result, precision_on, pretrain
from wtal_features.methods.tca import tca_rows
from wtal_features.pretraining.clipbuild import build_clip_store
from wtal_features.pretraining.clipsettings import ClipSettings
from wtal_features.pretraining.clipstore import ClipStore, is_clip_store
from wtal_features.video.limits import Limits

# Fewer videos than the smallest published training set: what is learned there will not travel.
FEW_VIDEOS = 9_500

FPS = "25"  # of the grid that clips are cut from

# Keys that only one choice of another key reads.
NEEDS = {
    "loss.margin": ("loss.kind", "circle"),
    "loss.gamma": ("loss.kind", "circle"),
    "loss.temperature": ("loss.kind", "infonce"),
} | {
    f"{section}.{key}": (f"{section}.{other}", value)
    for section in ("optim", "init", "cycle")
    for key, other, value in (
        ("momentum", "optimizer", "sgd"),
        ("nesterov", "optimizer", "sgd"),
        ("drops", "schedule", "drops"),
    )
}


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were typed."""

    method: str
    out: Path
    config: Path | None = None
    overrides: tuple[str, ...] = ()
    tags: Path | None = None
    annotations: Path | None = None
    subset: str | None = None
    clips: Path | None = None
    fps: str | None = None
    motion: str | None = None
    reencode: bool = True
    partial: bool = False
    workers: int = 0
    timeout: float = Limits.stall_s
    memory_gb: float = Limits.memory_gb
    max_hours: float = Limits.max_hours

    def settings(self) -> Any:
        """The config of the method.

        Raises:
            WtalError, FeatureError: An unknown method or key, a value out of range.
        """
        if self.method not in METHODS:
            raise WtalError(
                f"There is no method '{self.method}'; expected one of {', '.join(METHODS)}."
            )
        config, places = read_config(METHODS[self.method].config(), self.config, self.overrides)
        refuse_idle(config, places, NEEDS)
        if self.method == "tca" and self.config is not None:
            config = files_seen_from(self.config.parent, config, places)
        if self.motion is not None and not METHODS[self.method].sees_motion(config):
            raise WtalError(f"--motion means nothing for {self.method}, which sees colour alone.")
        return config

    @property
    def overridden(self) -> frozenset[str]:
        """The keys that `-o` sets, and the sections around them."""
        names = [text.partition("=")[0].strip() for text in self.overrides]
        parts = [name.split(".") for name in names]
        return frozenset(".".join(part[:n]) for part in parts for n in range(1, len(part) + 1))

    def refuse_decoding(self, store: Path, why: str) -> None:
        """Options of decoding mean nothing where all is decoded.

        Raises:
            WtalError: if one was given.
        """
        plain = Words(self.method, self.out)
        names = ("clips", "fps", "motion", "reencode", "partial", "workers")
        for name in (*names, "timeout", "memory_gb", "max_hours"):
            if getattr(self, name) != getattr(plain, name):
                raise WtalError(
                    f"--{name.replace('_', '-')} means nothing for {store}: {why}. Leave it out."
                )

    def labels(self) -> Labels | None:
        """Tags and subsets of the videos, where a file was named."""
        if self.tags is None and self.annotations is None:
            if self.subset is not None:
                raise WtalError("--subset needs --tags or --annotations: they name the subsets.")
            return None
        return read_labels(self.tags, self.annotations)


@dataclass(frozen=True)
class Outcome:
    """What the command says at its end.

    Attributes:
        result: Of the training.
        skipped: Videos that could not be read.
        videos: Number of those that were used.
        without: Number of those that have no piece of use.
    """

    result: Result
    skipped: list[Finding]
    videos: int
    without: int

    def lines(self) -> list[str]:
        """For a person."""
        if self.result.interrupted:
            return [f"Stopped after step {self.result.steps}; --resume goes on."]
        figures = self.result.figures
        ends = [f"{name} {figures[name]:.4g}" for name in ("loss", "top1") if name in figures]
        done = [f"steps: {self.result.steps}", f"videos: {self.videos}", *ends]
        lines = [", ".join(done)]
        if self.without:
            lines.append(
                f"{self.without} more videos have no piece of use: too short, or without what "
                "the method needs."
            )
        if self.videos < FEW_VIDEOS:
            lines.append(
                f"Published encoders learned from {FEW_VIDEOS:,} videos and more: expect features "
                "for these videos and their like, not for all."
            )
        return lines + [str(file) for file in self.result.files]


def run(
    videos: Path,
    words: Words,
    device: torch.device,
    *,
    resume: bool,
    say: Callable[[str], None],
    decoding: Callable[[int, int], None],
    training: Callable[[Progress], None],
) -> Outcome:
    """Decode what is not decoded yet, then train.

    Args:
        videos: Folder or file of videos, or a clip store.
        words: The options.
        device: Where to compute; with torchrun, each process takes a GPU of its own.
        resume: Go on with a run.
        say: Told what will be decoded, before.
        decoding: Told (done, total) videos.
        training: Told after every step.

    Raises:
        FeatureError, WtalError: What the user can mend.
    """
    config, labels = words.settings(), words.labels()
    if words.out.suffix != ".safetensors":
        raise WtalError(f"--out is {words.out}; expected a name that ends in .safetensors.")
    if words.method == "ubernce" and labels is None:
        raise WtalError("ubernce learns from labels: add --tags FILE.csv or --annotations.")
    # Before hours of decoding.
    refuse_earlier(words.out, resume=resume)
    refuse_other(words.out, words.method, asdict(config), config.run.seed)
    precision_on(config.run, device)
    with group(device) as own:
        make = _row_plan if METHODS[words.method].source == "rows" else _clip_plan
        plan, skipped, missing = make(videos, words, config, labels, own, say, decoding)
        with Interrupt() as interrupt:
            result = pretrain(
                plan,
                words.out,
                resume=resume,
                device=own,
                progress=training,
                stopped=lambda: interrupt.requested,
            )
    if labels is not None:  # faults of videos that nobody asked for are none
        wanted = _wanted(labels, words.subset)
        skipped = [finding for finding in skipped if finding.where in wanted]
    # Videos without a pair have said so: they serve as strangers.
    of_rows = METHODS[words.method].source == "rows"
    without = 0 if of_rows else len(plan.videos) - len(plan.used)
    return Outcome(result, skipped + missing, len(plan.used), without)


def _clip_plan(
    videos: Path,
    words: Words,
    config: Any,
    labels: Labels | None,
    device: torch.device,
    say: Callable[[str], None],
    decoding: Callable[[int, int], None],
) -> tuple[Plan, list[Finding], list[Finding]]:
    """The plan of a method that sees clips.

    Returns:
        The plan, videos that cannot be read, and missing ones.
    """
    settings = clip_settings(words, config)
    store, skipped = _clips(videos, words, settings, say, decoding)
    _say_enlarged(store, settings.short_side, config.clips.size, say)
    where, names = store.folder, store.videos
    chosen, numbers, missing = _chosen(where, names, labels, words.subset, skipped)
    return plan_of(words.method, config, store, chosen, numbers), skipped, missing


def _say_enlarged(store: ClipStore, short_side: int, size: int, say: Callable[[str], None]) -> None:
    """Frames that are smaller than what is cut from them are enlarged; that is said."""
    kept = store.settings.get("short_side")
    if isinstance(kept, int) and kept < short_side:
        say(
            f"Frames of {store.folder} have a short side of {kept} px; clips of {size} px are cut "
            f"from {short_side} px. They are enlarged."
        )


def _row_plan(
    videos: Path,
    words: Words,
    config: Any,
    labels: Labels | None,
    device: torch.device,
    say: Callable[[str], None],
    decoding: Callable[[int, int], None],
) -> tuple[Plan, list[Finding], list[Finding]]:
    """The plan of a method that sees rows; likewise."""

    def decode(source: Path, side: int, fps: str) -> tuple[ClipStore, list[Finding]]:
        settings = _settings(words, side, fps, None)
        store, skipped = _clips(source, words, settings, say, decoding)
        _say_enlarged(store, side, side, say)
        if store.fps != settings.fps:
            say(f"{store.folder} has {float(store.fps):g} frames per second, each a row.")
        return store, skipped

    described = described_videos(videos, words, config, device, decode, say, decoding)
    store, skipped, copies = described.store, described.skipped, described.copies
    names = [video for video in copies if copies[video] == video]
    refuse_idle_pairs(words, config, described)
    chosen, numbers, missing = _chosen(store.root, names, labels, words.subset, skipped)
    wanted = frozenset(chosen)
    all_ = [video for video, original in copies.items() if original in wanted]
    rows, faults = tca_rows(config, store, all_, decoding if rank_and_size()[0] == 0 else _silent)
    plan = plan_of(words.method, config, rows, rows.videos, numbers)
    say_pairs(config, rows.videos, len(names) - len(chosen), say)
    readable = sum(video in rows.about for video in chosen)
    strangers = readable - len(plan.used)
    if strangers:
        say(f"{strangers} videos are in no pair: they serve as strangers.")
    return plan, skipped + faults, missing


def _silent(done: int, total: int) -> None:
    """Progress of all processes but the first."""


def _wanted(labels: Labels, subset: str | None) -> list[str]:
    """The videos that the labels name, of one subset or of all, sorted."""
    return sorted(labels.tags) if subset is None else videos_of(labels, subset)


def _chosen(
    where: Path,
    names: Sequence[str],
    labels: Labels | None,
    subset: str | None,
    skipped: list[Finding],
) -> tuple[list[str], Mapping[str, tuple[int, ...]], list[Finding]]:
    """The videos to use, the numbers of their classes, and those that nobody has seen."""
    if not names:
        raise FeatureError(
            f"None of {len(skipped)} videos can be read. The first: {skipped[0]}"
            if skipped
            else f"{where} holds no video.",
            code="empty",
        )
    if labels is None:
        return list(names), {}, []
    present = set(names)
    wanted = _wanted(labels, subset)
    unread = {finding.where for finding in skipped}
    missing = [
        Finding(
            "missing",
            video,
            f"{labels.source} names it, and there is no such video.",
            "Add the video, or take it out of the list.",
        )
        for video in wanted
        if video not in present and video not in unread
    ]
    chosen = [video for video in wanted if video in present]
    if not chosen:
        raise FeatureError(
            f"{where} has none of the {len(wanted)} videos of {labels.source}.",
            "Names of videos are those of their files, without the ending.",
            code="missing",
        )
    classes = sorted({label for video in chosen for label in labels.tags[video]})
    places = {label: place for place, label in enumerate(classes)}
    numbers = {video: tuple(places[label] for label in labels.tags[video]) for video in chosen}
    return chosen, numbers, missing


def _clips(
    videos: Path,
    words: Words,
    settings: ClipSettings,
    say: Callable[[str], None],
    decoding: Callable[[int, int], None],
) -> tuple[ClipStore, list[Finding]]:
    """The clip store, made or completed first where videos are given."""
    if is_clip_store(videos):
        words.refuse_decoding(videos, "it is a clip store")
        return ClipStore(videos), []
    folder = words.clips or folder_of(words.out) / "clips"
    skipped: list[Finding] = []
    if rank_and_size()[0] == 0:
        make_folder(folder)
        report = build_clip_store(
            videos,
            folder,
            settings,
            before=lambda expected: say(f"{folder}: {expected}") if expected.videos else None,
            progress=decoding,
        )
        for note in report.notes:
            say(note)
        skipped = report.skipped
        if skipped:
            faults = {finding.where: f"{finding.message} {finding.cure}" for finding in skipped}
            make_folder(folder_of(words.out))
            write_json(folder_of(words.out) / "skipped.json", faults)
    together()
    return ClipStore(folder), skipped


def short_side(config: Any) -> int:
    """Pixels of the shorter edge of frames from which clips are cut: 8/7 of a clip's side."""
    return -(-int(config.clips.size) * 8 // 7)


def clip_settings(words: Words, config: Any) -> ClipSettings:
    """How small frames may be kept for a training; maps of motion are half as large.

    Args:
        words: The options.
        config: Of the method.

    Raises:
        FeatureError: If one is not possible.
    """
    side, motion = short_side(config), None
    if METHODS[words.method].sees_motion(config):
        motion = MotionSettings(cast(Any, words.motion or "dis"), reencode=words.reencode)
    return _settings(words, side, words.fps or FPS, motion)


def _settings(
    words: Words, short_side: int, fps: str, motion: MotionSettings | None
) -> ClipSettings:
    return ClipSettings(
        fps=parse_fps(fps),
        short_side=short_side,
        motion=motion,
        motion_side=max(8, short_side // 2),
        partial=words.partial,
        workers=words.workers,
        limits=Limits(words.timeout, words.memory_gb, words.max_hours),
    )
