"""Look over a folder of videos before hours are spent: every fault by name, none raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from wtal_features.errors import Finding, counted
from wtal_features.extraction.listing import EXTENSIONS, list_videos, some
from wtal_features.extraction.preview import duration
from wtal_features.video.decoder import fault_of
from wtal_features.video.limits import Limits
from wtal_features.video.pool import DecoderPool, default_workers
from wtal_features.video.wire import Message
from wtal_features.video.worker import Request

# The grid does not matter where no clip is made, but it bounds the length.
_FPS = 25


@dataclass(frozen=True)
class Survey:
    """What a folder holds.

    Attributes:
        videos: Id -> seconds, of those that can be used.
        findings: Faults, and what may surprise; by id.
        facts: One line each: lengths, rates, sizes, codecs.
        subsets: Id -> subset, where the folder's name says it.
    """

    videos: dict[str, float]
    findings: tuple[Finding, ...]
    facts: tuple[str, ...]
    subsets: dict[str, str | None]


def holds_videos(path: Path) -> bool:
    """Whether a path looks like videos rather than like features."""
    if path.is_file():
        return path.suffix.lower() in EXTENSIONS
    files = [name for name in path.glob("*") if not name.name.startswith(".")]
    deeper = [name for folder in files if folder.is_dir() for name in folder.glob("*")]
    suffixes = {name.suffix.lower() for name in (*files, *deeper)}
    return not suffixes & {".npy", ".npz"} and bool(suffixes & EXTENSIONS)


def survey(
    source: str | Path,
    *,
    decode: bool = True,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Open every video of a folder, in processes of their own.

    Args:
        source: A folder, searched through, or one file.
        decode: Decode them to their end; without it only headers are read, and a file that is cut
            short may pass.
        limits: What one video may cost.
        progress: Told (done, total).

    Raises:
        FeatureError: If there are no videos at all, or PyAV is not installed.
    """
    listing, limits = list_videos(source), limits or Limits()
    by_path = {str(file.path): file for file in listing.videos}
    most = int(limits.max_hours * 3600 * _FPS)
    requests = [Request(path, str(_FPS), most, headers=not decode) for path in by_path]
    found: dict[str, Message] = {}
    findings = list(listing.faults)
    with DecoderPool(default_workers(), limits) as pool:
        for request, message, _ in pool.answers(requests):
            video = by_path[request.path].video
            if message["kind"] == "fault":
                findings.append(Finding.of(fault_of(message), video))
            elif message["kind"] == "end":
                found[video] = message
                findings += [_ends_early(video, note) for note in message.get("notes", ())]
            if progress is not None and message["kind"] in ("fault", "end"):
                progress(len(found) + len(findings), len(requests))
    return Survey(
        {video: _seconds(message) for video, message in sorted(found.items())},
        tuple(sorted(findings, key=lambda finding: finding.where)),
        tuple(_facts(list(found.values()), listing.others)),
        {file.video: file.subset for file in listing.videos},
    )


def _ends_early(video: str, note: str) -> Finding:
    return Finding("ends-early", video, note, "It may be cut short; compare the source.", "warning")


def _seconds(message: Message) -> float:
    """Length; of a header that does not say it, by counting frames, else 0."""
    known = message.get("duration_s") or message.get("container_s")
    return float(known or (message.get("frames") or 0) / (message.get("rate") or _FPS))


def _facts(found: list[Message], others: tuple[str, ...]) -> list[str]:
    if not found:
        return []
    seconds = sorted(_seconds(message) for message in found)
    lines = [
        f"{counted(len(found), 'video')}, {duration(sum(seconds))} in all; "
        f"from {duration(seconds[0])} to {duration(seconds[-1])}, "
        f"median {duration(seconds[len(seconds) // 2])}",
        "frames per second: " + _counted(f"{message['rate'] or 0:.4g}" for message in found),
        "pixels: " + _counted(f"{message['width']} x {message['height']}" for message in found),
        "codecs: " + _counted(message["codec"] for message in found),
    ]
    unsteady = sum(not message.get("steady", True) for message in found)
    if unsteady:
        lines.append(f"{unsteady} of variable frame rate: times come from their time stamps")
    if others:
        what = counted(len(others), "file is no video", "files are no videos")
        lines.append(f"{what} by name: {some(others)}")
    return lines


def _counted(values: Iterable[str]) -> str:
    """`25 (80), 10 (4)`: the most frequent first."""
    counts = Counter(values)
    shown = [f"{value} ({count})" for value, count in counts.most_common(5)]
    return ", ".join(shown) + (", ..." if len(counts) > 5 else "")
