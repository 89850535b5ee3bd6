"""The layouts that features come in; one file each, and what they have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wtal_features.errors import FeatureError, Finding
from wtal_features.npy import FeatureArray


@dataclass(frozen=True)
class Layout:
    """A source of features, listed but not yet read.

    Attributes:
        streams: Names of the streams in their order; empty for one array per video; None when
            the first file that can be read decides.
        videos: Video -> a function that reads its arrays, one per stream (`""` when there are
            none). It raises FeatureError when the video cannot be used. With `prepare`, each is
            called once.
        subsets: Video -> the part of the data set, where the layout tells.
        faults: What the listing alone shows.
        prepare: Called once with a scratch folder before the first video is read, if given. It
            raises FeatureError when the whole source is refused.
    """

    streams: tuple[str, ...] | None
    videos: Mapping[str, Callable[[], dict[str, FeatureArray]]]
    subsets: Mapping[str, str]
    faults: tuple[Finding, ...] = ()
    prepare: Callable[[Path], None] | None = None


@dataclass(frozen=True)
class Limits:
    """Bounds on what one file may make us do.

    Attributes:
        max_array_bytes: Largest array that is unpacked from an archive.
        max_seconds: Longest time for reading one object array.
    """

    # 500,000 snippets of 2048 float32: at 0.64 s each, 90 hours of video.
    max_array_bytes: int = 1 << 32
    max_seconds: float = 3600.0

    def check(self, size: int, where: str) -> None:
        """Refuse an array that is too large once unpacked.

        Raises:
            FeatureError: Naming the size and the limit.
        """
        if size > self.max_array_bytes:
            raise FeatureError(
                f"{where} claims {size} bytes unpacked; expected at most {self.max_array_bytes}.",
                "If that is right, store it as .npy.",
                code="too-large",
            )


def named_in(path: Path, member: str) -> str:
    """How an array inside an archive is called in messages."""
    return f"{path}[{member}]"
