"""Where the clips come from: a clip store that is there, or that of a folder of videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wtal.errors import WtalError
from wtal.probe.telling import Bar, Say
from wtal.probe.words import Words
from wtal_features.errors import Finding
from wtal_features.extraction import parse_fps
from wtal_features.extraction.settings import MotionSettings
from wtal_features.files import read_json
from wtal_features.pretraining.clipbuild import build_clip_store
from wtal_features.pretraining.clipsettings import ClipSettings
from wtal_features.pretraining.clipstore import MANIFEST, ClipStore


def clip_store(
    videos: Path, words: Words, *, motion: bool, bar: Bar, say: Say
) -> tuple[ClipStore, list[Finding]]:
    """The clip store that was named, or that of a folder of videos.

    Args:
        videos: A clip store, or a folder of videos or one.
        words: Say where the store of a folder is kept, and how it is made.
        motion: Whether some encoder sees motion.
        bar: Shows progress.
        say: Told what will be decoded.

    Returns:
        The store, and the videos that could not be read.

    Raises:
        FeatureError, WtalError: If the words do not fit, or there is nothing to be had.
    """
    if _is_store(videos):
        for name in ("clips", "fps", "short_side", "motion"):
            if getattr(words, name) is not None:
                raise WtalError(
                    f"--{name.replace('_', '-')} means nothing for {videos}: it is a clip store. "
                    "Leave it out."
                )
        return ClipStore(videos), []
    if words.clips is None:
        raise WtalError(
            "--clips is missing: the folder that keeps the frames of these videos, small, for this "
            "and later runs. It is not needed where VIDEOS is such a folder already."
        )
    with bar("decoding", "video") as progress:
        report = build_clip_store(
            videos,
            words.clips,
            _settings(words.clips, words, motion),
            before=lambda expected: say(f"{words.clips}: {expected}") if expected.videos else None,
            progress=progress,
        )
    for note in report.notes:
        say(note)
    return ClipStore(words.clips), report.skipped


def _is_store(path: Path) -> bool:
    if not (path / MANIFEST).is_file():
        return False
    settings = _kept(path)
    if "format" not in settings:
        raise WtalError(
            f"{path} holds a {MANIFEST} that is not that of a clip store; expected a folder of "
            "videos, or a folder that --clips has made."
        )
    return True


def _kept(folder: Path) -> Mapping[str, Any]:
    """The settings of a clip store; empty where there is none."""
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else None
    settings = manifest.get("settings") if isinstance(manifest, dict) else None
    return settings if isinstance(settings, dict) else {}


def _settings(folder: Path, words: Words, motion: bool) -> ClipSettings:
    """What was typed; else what the store has, if there is one; else the defaults."""
    settings = _as_kept(folder)
    if words.fps is not None:
        settings = replace(settings, fps=parse_fps(words.fps))
    if words.short_side is not None:
        settings = replace(settings, short_side=words.short_side)
    method: Any = words.motion
    if settings.motion is not None and method is not None:
        settings = replace(settings, motion=replace(settings.motion, method=method))
    elif motion or method is not None:
        settings = replace(settings, motion=settings.motion or MotionSettings(method or "dis"))
    return settings


def _as_kept(folder: Path) -> ClipSettings:
    """The settings of a clip store; the defaults where there is none."""
    kept = _kept(folder)
    if not kept:
        return ClipSettings()
    try:
        settings = ClipSettings(
            fps=parse_fps(str(kept["grid_fps"])),
            short_side=kept["short_side"],
            partial=kept["partial"],
        )
        if (motion := kept["motion"]) is None:
            return settings
        return replace(
            settings,
            motion=MotionSettings(motion["source"], short_side=motion["flow_short_side"]),
            motion_side=motion["short_side"],
            motion_range_px=motion["range"],
        )
    except (KeyError, TypeError) as error:
        raise WtalError(
            f"{folder / MANIFEST} is not that of a clip store; choose another --clips."
        ) from error
