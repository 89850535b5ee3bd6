"""How sound the values of a store are: dead dimensions, drift of the norm, repeated snippets.

One pass over the arrays, in sums per dimension and a few numbers per video.

Where the thresholds come from. Clean: A, 400 sequences of real VGG16 features after a PCA; B, 84
real videos through two untrained convolutional networks, ReLU outputs; C, real I3D features of one
video, RGB and flow, its first half against its second. Spoilt: copies of A and B in which the test
half or single videos were changed, C with the dimensions of one half permuted.

- One video's norm against its subset's, in spreads: A 4.7 (a factor of 1.42), B 4.3 (0.80), and 2
  alarms in 6,000 draws of 10 videos. Doubled, every video of A and B is found; halved, 386 of the
  400 of A and all of B; L2-normalised, 29 spreads (0.11).
- A subset's norm against another's: A 0.93, B 0.94, one class against another at most a factor of
  1.29. Doubled 1.86, L2-normalised 0.11.
- Its mean against the other's: A 0.10, B 0.40, one class against another at most 0.91, C 0.72. C
  permuted 1.2 to 1.3, B permuted 4.0, rotated 6.0, through the other network 4.5.
- Its standard deviations against the other's: A 1.00, B 0.95, classes at least 0.84, C 0.83. A
  rotated 0.74, projected at random 0.73, permuted 0.57; C permuted 0.57 to 0.61.
- The norm of the last fifth against that of the first: A +0.7 %, B +1.0 % and -0.8 %; draws of 10
  videos of A exceed 10 % and the error once in 200. Fading evenly to 80 % -16 %, to 70 % -25 %.

Not found: what keeps means and standard deviations, such as other signs of a PCA or a rotation of
whitened features; and a second extractor inside one subset, unless its norms differ that much.

Shapes: T snippets, D dims, V videos.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from wtal_features.errors import Finding

if TYPE_CHECKING:
    from wtal_features.store import FeatureStore

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Fault = tuple[str, str, str]

FEW = 10  # so many videos a judgement needs, and each of two subsets that are compared
MOST_SUBSETS = 16  # more are no split into training and test, and each costs two vectors of D
CONSTANT = 1e-5  # standard deviation over root mean square; rounding in float32 stays below
OTHER_NORM = 1.5  # factor between two norms
OUTLYING = 6.0  # spreads that the norm of one video must be away by, beside that factor
MOVED = 1.1  # distance between the means of two subsets, in spreads
ALIKE = 0.8  # cosine between the standard deviations per dimension of two subsets
DRIFT = 0.1  # share by which the norm changes along a video
SURE = 4.0  # standard errors that it must be away from none, beside that share
# How long snippets must be equal to stand still. A source of 10 fps on a grid of 25 repeats every
# frame once or twice, and rightly so.
STILL_S, STILL_SNIPPETS = 2.0, 3
_SPREAD = 1.4826  # standard deviation over median absolute deviation, if normally distributed
_MEDIAN_ERROR = 1.2533  # standard error of the median over that of the mean, likewise


class Quality:
    """Statistics of the videos that are added, and what they say.

    Args:
        store: Whose videos they are; its streams are judged apart.
        subsets: Video -> its subset, None where none is named; by default what the manifest says.
    """

    def __init__(
        self, store: "FeatureStore", subsets: Mapping[str, str | None] | None = None
    ) -> None:
        named = manifest_subsets(store) if subsets is None else subsets
        crowd = len(set(named.values()) - {None}) > MOST_SUBSETS
        self._store = store
        self._subsets: Mapping[str, str | None] = {} if crowd else named
        self._streams: list[_Stream] = []
        self._runs: list[_Runs] = []

    def add(self, video: str, features_TD: Floats) -> None:
        """Count one video.

        Args:
            video: Its id in the store.
            features_TD: (T, D) float32, finite, the streams joined on D.
        """
        if not self._streams:
            self._streams = list(_streams_of(self._store))
        for stream in self._streams:
            stream.add(video, self._subsets.get(video) or "", features_TD[:, stream.dims])
        seconds = self._store.timing(video).seconds_per_snippet
        self._runs.append(_runs_of(video, features_TD, seconds))

    def findings(self) -> list[Finding]:
        """The faults, all of them warnings."""
        judges = (_dead_dimensions, _norm_outliers, _norm_drift, _subset_drift)
        faults = [(s.name, *fault) for s in self._streams for judge in judges for fault in judge(s)]
        faults += [("", *fault) for fault in _frozen(self._runs)]
        root = self._store.root
        return [
            Finding(code, str(root / name), text, cure, "warning")
            for name, code, text, cure in faults
        ]

    def lines(self) -> list[str]:
        """The figures in words, sound ones too; empty when no video was added."""
        lines = [
            f"{stream.name}: {line}" if stream.name else line
            for stream in self._streams
            for line in _lines(stream)
        ]
        return [*lines, _repeats_line(self._runs)] if self._runs else []


def manifest_subsets(store: "FeatureStore") -> dict[str, str | None]:
    """The subset that the manifest names for each video of a store, None where it names none."""
    subsets: dict[str, str | None] = {}
    for video in store.videos:
        entry = store.manifest.videos.get(video)
        named = entry.get("subset") if isinstance(entry, dict) else None
        subsets[video] = named if isinstance(named, str) and named else None
    return subsets


# What is summed up.


class _Moments:
    """Sums over the snippets of one subset."""

    def __init__(self, dim: int) -> None:
        self.snippets = 0
        self.sum_D, self.squares_D = np.zeros(dim), np.zeros(dim)

    def add(self, snippets: int, sum_D: Doubles, squares_D: Doubles) -> None:
        self.snippets += snippets
        self.sum_D += sum_D
        self.squares_D += squares_D

    def mean_and_spread(self) -> tuple[Doubles, Doubles]:
        """Mean and standard deviation per dimension, scaled to a norm of 1 in root mean square."""
        mean_D, square_D = self.sum_D / self.snippets, self.squares_D / self.snippets
        spread_D = np.sqrt(np.maximum(square_D - mean_D**2, 0))
        norm = math.sqrt(square_D.sum()) or 1.0
        return mean_D / norm, spread_D / norm


class _Histogram:
    """How often each norm occurs, in steps of half a percent."""

    STEP, BINS = 0.005, 40_000  # from e^-100 to e^100: all that float32 holds

    def __init__(self) -> None:
        self.counts = np.zeros(self.BINS, np.int64)
        self.zeros = 0

    def add(self, norm_T: Doubles) -> None:
        positive = norm_T[norm_T > 0]
        self.zeros += len(norm_T) - len(positive)
        places = np.floor(np.log(positive) / self.STEP).astype(np.int64) + self.BINS // 2
        self.counts += np.bincount(places.clip(0, self.BINS - 1), minlength=self.BINS)

    def quantile(self, share: float) -> float:
        """The norm that a share of the norms above zero does not exceed."""
        below = np.cumsum(self.counts)
        place = int(np.searchsorted(below, share * below[-1]))
        return math.exp((place - self.BINS // 2 + 0.5) * self.STEP)


class _Video(NamedTuple):
    """What is kept of one video in one stream."""

    name: str
    subset: str  # empty where none is named
    log_norm: float  # of the median over its snippets
    log_change: float  # of the mean norm from its first to its last fifth; NaN where it has none


class _Stream:
    """Statistics of one stream, or of a store without streams."""

    def __init__(self, name: str, dims: slice) -> None:
        self.name, self.dims = name, dims
        self.moments: dict[str, _Moments] = {}  # by subset
        self.norms = _Histogram()
        self.videos: list[_Video] = []  # those with a median norm above zero

    def add(self, video: str, subset: str, x_TD: Floats) -> None:
        squares_TD = np.square(x_TD, dtype=np.float64)
        moments = self.moments.setdefault(subset, _Moments(x_TD.shape[1]))
        moments.add(len(x_TD), x_TD.sum(0, dtype=np.float64), squares_TD.sum(0))
        norm_T = np.sqrt(squares_TD.sum(1))
        self.norms.add(norm_T)
        median = float(np.median(norm_T))
        if median > 0:
            self.videos.append(_Video(video, subset, math.log(median), _log_change(norm_T)))


def _streams_of(store: "FeatureStore") -> Iterator[_Stream]:
    """The streams, with the dimensions that they have in a sound video."""
    start = 0
    for name, dim in store.dims.items():
        stop = start + dim
        yield _Stream(name, slice(start, stop))
        start = stop


def _log_change(norm_T: Doubles) -> float:
    fifth = len(norm_T) // 5
    first, last = norm_T[:fifth].sum(), norm_T[len(norm_T) - fifth :].sum()
    return math.log(last / first) if first > 0 and last > 0 else math.nan


class _Runs(NamedTuple):
    """Snippets of one video that are equal to the one before."""

    video: str
    snippets: int
    repeats: int
    still: int  # snippets in long runs
    longest_s: float  # duration of the longest run; of one snippet where nothing repeats


def _runs_of(video: str, features_TD: Floats, seconds_per_snippet: float) -> _Runs:
    new_T = np.append(True, (features_TD[1:] != features_TD[:-1]).any(axis=1))
    runs = np.diff(np.append(np.flatnonzero(new_T), len(new_T)))
    long = runs[(runs >= STILL_SNIPPETS) & (runs * seconds_per_snippet >= STILL_S)]
    repeats = int((~new_T).sum())
    longest_s = float(runs.max()) * seconds_per_snippet
    return _Runs(video, len(new_T), repeats, int(long.sum()), longest_s)


# What the sums say.


def _dead(stream: _Stream) -> tuple[Flags, Flags]:
    """(D,) zero in every snippet, and (D,) of one other value in every snippet."""
    whole = _Moments(stream.dims.stop - stream.dims.start)
    for moments in stream.moments.values():
        whole.add(moments.snippets, moments.sum_D, moments.squares_D)
    zero_D = whole.squares_D == 0
    mean_D, spread_D = whole.mean_and_spread()
    constant_D = (spread_D <= CONSTANT * np.hypot(mean_D, spread_D)) & ~zero_D
    return zero_D, constant_D if whole.snippets > 1 else np.zeros_like(zero_D)


def _spread(values: Doubles) -> float:
    """A standard deviation that outliers do not move."""
    return _SPREAD * float(np.median(np.abs(values - np.median(values))))


def _log_away(videos: Sequence[_Video]) -> tuple[Doubles, Doubles]:
    """How far the norm of each video is from the median of its subset, and the spread there.

    Of the subset, so that a subset of another norm is one fault, not one for every video; a small
    subset is measured by all videos.

    Returns:
        (V,) difference of the logs, and (V,) spread of such differences.
    """
    log_V = np.array([video.log_norm for video in videos])
    subset_V = np.array([video.subset for video in videos])
    away_V: Doubles = log_V - np.median(log_V)
    spread_V = np.full(len(videos), _spread(log_V))
    for subset in np.unique(subset_V):
        own_V = subset_V == subset
        if own_V.sum() >= FEW:
            away_V[own_V] = log_V[own_V] - np.median(log_V[own_V])
            spread_V[own_V] = _spread(log_V[own_V])
    return away_V, spread_V


def _log_changes(videos: Sequence[_Video]) -> Doubles:
    """(V,) or fewer: videos too short to have fifths are left out."""
    changes: Doubles = np.array([video.log_change for video in videos])
    return changes[np.isfinite(changes)]


class SubsetDrift(NamedTuple):
    """One subset of a stream against the largest one."""

    subset: str
    largest: str
    norm: float  # median over its videos, over that of the largest
    moved: float  # distance of the means in spreads, once both have one norm
    alike: float  # cosine of the standard deviations per dimension

    def __str__(self) -> str:
        return (
            f"{self.subset} against {self.largest}: norm x{self.norm:.2f}, mean moved by "
            f"{self.moved:.2f} spreads, spread of the dimensions alike by {self.alike:.2f}"
        )

    @property
    def large(self) -> bool:
        """Whether the two are hardly the work of one extractor."""
        other_norm = not 1 / OTHER_NORM <= self.norm <= OTHER_NORM
        return other_norm or self.moved > MOVED or self.alike < ALIKE


def _subset_drifts(stream: _Stream) -> Iterator[SubsetDrift]:
    """Every subset of enough videos against the largest; none that is constant."""
    logs: dict[str, list[float]] = {}
    for video in stream.videos:
        logs.setdefault(video.subset, []).append(video.log_norm)
    names = [name for name, log in logs.items() if name and len(log) >= FEW]
    names.sort(key=lambda name: (-len(logs[name]), name))
    for name in names[1:]:
        mean_D, spread_D = stream.moments[name].mean_and_spread()
        mean1_D, spread1_D = stream.moments[names[0]].mean_and_spread()
        spread, spread1 = float(np.linalg.norm(spread_D)), float(np.linalg.norm(spread1_D))
        if min(spread, spread1) > CONSTANT:
            norm = math.exp(np.median(logs[name]) - np.median(logs[names[0]]))
            moved = float(np.linalg.norm(mean_D - mean1_D)) / math.hypot(spread, spread1)
            alike = float(spread_D @ spread1_D) / (spread * spread1)
            yield SubsetDrift(name, names[0], norm, moved * math.sqrt(2), alike)


# Faults: code, what is wrong, what to do.


def _dead_dimensions(stream: _Stream) -> Iterator[Fault]:
    zero_D, constant_D = _dead(stream)
    dead = np.flatnonzero(zero_D | constant_D)
    if dead.size:
        yield (
            "dead-dimensions",
            f"{zero_D.sum()} of {zero_D.size} dimensions are zero in every video, "
            f"{constant_D.sum()} more never change; the first is {dead[0]}.",
            "A stream may be missing, or the encoder was not loaded fully.",
        )


def _norm_outliers(stream: _Stream) -> Iterator[Fault]:
    if len(stream.videos) < FEW:
        return
    away_V, spread_V = _log_away(stream.videos)
    far_V = np.abs(away_V) > np.maximum(OUTLYING * spread_V, math.log(OTHER_NORM))
    far = [int(v) for v in np.argsort(-np.abs(away_V)) if far_V[v]]
    if far:
        named = [f"{stream.videos[v].name} (x{math.exp(away_V[v]):.3g})" for v in far]
        yield (
            "norm-outlier",
            f"The norms of {len(far)} of {len(away_V)} videos are {OUTLYING:g} spreads and a "
            f"factor of {OTHER_NORM} or more away from the rest: {_some(named)}.",
            "They may be normalised differently or of another version; extract them again.",
        )


def _norm_drift(stream: _Stream) -> Iterator[Fault]:
    change_V = _log_changes(stream.videos)
    if len(change_V) < FEW:
        return
    median = float(np.median(change_V))
    error = _MEDIAN_ERROR * _spread(change_V) / math.sqrt(len(change_V))
    if abs(median) > max(DRIFT, SURE * error):
        yield (
            "norm-drift",
            f"From the first to the last fifth of a video the norm changes by "
            f"{math.expm1(median):+.0%}, in the median of {len(change_V)} videos.",
            "Decoder or encoder may degrade along a video: extract the end of one on its own.",
        )


def _subset_drift(stream: _Stream) -> Iterator[Fault]:
    for drift in _subset_drifts(stream):
        if drift.large:
            yield (
                "subset-drift",
                f"{drift}; expected within x{OTHER_NORM}, at most {MOVED} and at least {ALIKE}.",
                "Different extractors or normalisations do this; extract all with one setting.",
            )


def _frozen(runs: Sequence[_Runs]) -> Iterator[Fault]:
    frozen = [run.video for run in runs if 2 * run.still > run.snippets]
    if frozen:
        yield (
            "frozen",
            f"{len(frozen)} of {len(runs)} videos stand still for more than half of their length, "
            f"{STILL_S:g} s or more at a time: {_some(frozen)}.",
            "Look at them: the decoder may have repeated the last frame.",
        )


# Figures in words.


def _lines(stream: _Stream) -> Iterator[str]:
    zero_D, constant_D = _dead(stream)
    snippets = sum(moments.snippets for moments in stream.moments.values())
    yield (
        f"{snippets} snippets: {zero_D.sum()} of {zero_D.size} dimensions are always zero, "
        f"{constant_D.sum()} more never change"
    )
    if not stream.videos:
        return
    low, median, high = (stream.norms.quantile(share) for share in (0.05, 0.5, 0.95))
    zeros = f", {stream.norms.zeros} are zero" if stream.norms.zeros else ""
    yield f"norm of a snippet: median {median:.3g}, 90 % from {low:.3g} to {high:.3g}{zeros}"
    away_V, spread_V = _log_away(stream.videos)
    change_V = _log_changes(stream.videos)
    far = int(np.argmax(np.abs(away_V)))
    line = (
        f"norm of a video: spread {math.expm1(np.median(spread_V)):.1%}, "
        f"furthest x{math.exp(away_V[far]):.2f} ({stream.videos[far].name})"
    )
    if change_V.size:
        line += f", from first to last fifth {math.expm1(np.median(change_V)):+.1%}"
    yield line
    yield from map(str, _subset_drifts(stream))


def _repeats_line(runs: Sequence[_Runs]) -> str:
    repeats = sum(run.repeats for run in runs)
    line = f"repeated snippets: {repeats / sum(run.snippets for run in runs):.1%}"
    if not repeats:
        return line
    longest = max(runs, key=lambda run: run.longest_s if run.repeats else 0)
    still = sum(run.still > 0 for run in runs)
    return (
        f"{line}, the longest run {longest.longest_s:.1f} s ({longest.video}); "
        f"{still} videos stand still for {STILL_S:g} s or more"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
