"""Optical flow between successive frames: three methods of OpenCV behind one interface.

Legend: a frame is H x W px; flow is computed at H' x W', its short side at most `short_side`, and
its values are multiplied back to pixels of the source. dx points right, dy down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError
from wtal_features.motion.vectors import Map

Gray = npt.NDArray[np.uint8]
Solver = Callable[[Gray, Gray], Map]

# DIS reads outside its arrays where a side is shorter than its patch (8 px) at its finest scale
# (2^2): OpenCV 5.0.0 dies of it. Smaller frames get a border of repeated pixels.
_MIN_SIDE = 32


@dataclass(frozen=True)
class TVL1:
    """TV-L1 with OpenCV's defaults: the flow of the two-stream literature; about 1 frame/s.

    Source: Zach, Pock, Bischof, DAGM 2007; opencv/opencv_contrib modules/optflow.

    Attributes:
        scales: Levels of the pyramid.
        warps: Warpings per level; 3 scales and 2 warps take 0.6 of the time.
        tau, lambda_, theta: Time step, weight of the data term, tightness (equations 5 to 14).
        epsilon: Where the iterations stop.
        inner, outer: The most iterations.
        scale_step: From level to level.
    """

    name: ClassVar[str] = "tvl1"
    scales: int = 5
    warps: int = 5
    tau: float = 0.25
    lambda_: float = 0.15
    theta: float = 0.3
    epsilon: float = 0.01
    inner: int = 30
    outer: int = 10
    scale_step: float = 0.8

    def solver(self) -> Solver:
        """TV-L1.

        Raises:
            FeatureError: If OpenCV is missing or lacks its contributed modules.
        """
        optflow = getattr(load_cv2(), "optflow", None)
        if optflow is None:
            raise FeatureError(
                "The installed OpenCV has no optflow module, which tvl1 needs.",
                "pip uninstall opencv-python-headless, then pip install "
                "opencv-contrib-python-headless; or choose dis.",
                code="no-optflow",
            )
        algorithm = optflow.DualTVL1OpticalFlow_create(
            tau=self.tau,
            lambda_=self.lambda_,
            theta=self.theta,
            nscales=self.scales,
            warps=self.warps,
            epsilon=self.epsilon,
            innnerIterations=self.inner,  # OpenCV's own spelling
            outerIterations=self.outer,
            scaleStep=self.scale_step,
        )
        return lambda before, now: np.asarray(algorithm.calc(before, now, None))


@dataclass(frozen=True)
class Farneback:
    """Polynomial expansion; about 50 frames/s at 320 x 240.

    Source: Farneback, SCIA 2003; OpenCV's `calcOpticalFlowFarneback`, whose names these are, with
    the values of its tutorial.
    """

    name: ClassVar[str] = "farneback"
    pyr_scale: float = 0.5
    levels: int = 3
    winsize: int = 15
    iterations: int = 3
    poly_n: int = 5
    poly_sigma: float = 1.2

    def solver(self) -> Solver:
        """Farneback's flow.

        Raises:
            FeatureError: If OpenCV is missing.
        """
        compute = load_cv2().calcOpticalFlowFarneback
        return lambda before, now: np.asarray(compute(before, now, None, **asdict(self), flags=0))


DisPreset = Literal["ultrafast", "fast", "medium"]
_DIS_PRESETS: dict[DisPreset, int] = {"ultrafast": 0, "fast": 1, "medium": 2}


@dataclass(frozen=True)
class Dis:
    """Dense inverse search, the default; 790, 390, 77 frames/s at 320 x 240 by preset.

    Source: Kroeger, Timofte, Dai, Van Gool, ECCV 2016; OpenCV's `DISOpticalFlow`.

    Attributes:
        preset: Of OpenCV.
    """

    name: ClassVar[str] = "dis"
    preset: DisPreset = "fast"

    def __post_init__(self) -> None:
        """Refuse a preset that OpenCV does not have."""
        if self.preset not in _DIS_PRESETS:
            raise FeatureError(
                f"dis has no preset {self.preset!r}; expected {', '.join(_DIS_PRESETS)}.",
                code="option",
            )

    def solver(self) -> Solver:
        """Dense inverse search.

        Raises:
            FeatureError: If OpenCV is missing.
        """
        algorithm = load_cv2().DISOpticalFlow_create(_DIS_PRESETS[self.preset])
        return lambda before, now: np.asarray(algorithm.calc(before, now, None))


FlowMethod = TVL1 | Farneback | Dis
FLOWS: dict[str, type[FlowMethod]] = {
    "tvl1": TVL1,
    "farneback": Farneback,
    "dis": Dis,
}


class FlowView:
    """Flow from each frame to the next.

    Attributes:
        name: Of the method.
        every_frame: False: frames that the grid leaves out need not be looked at.
    """

    def __init__(self, method: FlowMethod, short_side: int = 256) -> None:
        """Make a view of one video.

        Args:
            method: One of the classes in `FLOWS`, with its parameters.
            short_side: Frames are shrunk to it before flow is computed, px; never enlarged.

        Raises:
            FeatureError: If OpenCV lacks what the method needs, or `short_side` is not positive.
        """
        if short_side < 1:
            raise FeatureError(
                f"Flow at a short side of {short_side} px; expected at least 1.", code="option"
            )
        self.name, self.every_frame, self.short_side = method.name, False, short_side
        self._method, self._solve = method, method.solver()
        self._shrink = _Shrink(short_side)
        self._before: Gray | None = None

    def describe(self) -> Mapping[str, object]:
        """Method, parameters and OpenCV's version, as JSON values: another version, other flow."""
        return {
            "method": self.name,
            **asdict(self._method),
            "short_side": self.short_side,
            "opencv": str(load_cv2().__version__),
        }

    def next(self, frame: Any) -> Map:
        """Motion of the content from the frame before to this one.

        Args:
            frame: An `av.VideoFrame` of any pixel format, or (H, W, 3) RGB or (H, W) gray, uint8.
                A frame of another size than the first is scaled to the first.

        Returns:
            (H', W', 2) float32: destination minus source, pixels of the source per step, typically
            within +-20; zero for the first frame.

        Raises:
            FeatureError: If an array has another shape or dtype.
        """
        now = self._shrink(frame)
        before, self._before = self._before, now
        if before is None:
            return np.zeros((*now.shape, 2), np.float32)
        flow = _with_border(self._solve, before, now)
        return flow * np.asarray(self._shrink.back, np.float32)


class _Shrink:
    """Frames -> gray ones whose short side is at most `short_side`; all of the first one's size.

    Attributes:
        back: Pixels of the source per pixel of the gray frame, (x, y).
    """

    def __init__(self, short_side: int) -> None:
        self.short_side = short_side
        self.back = (1.0, 1.0)
        self._size: tuple[int, int] | None = None  # (H', W')
        self._reformatter: Any = None

    def __call__(self, frame: Any) -> Gray:
        is_array = isinstance(frame, np.ndarray)
        if is_array:
            _check(frame)
        H, W = frame.shape[:2] if is_array else (frame.height, frame.width)
        if self._size is None:
            self._size = _shrunk(H, W, self.short_side)
            self.back = (W / self._size[1], H / self._size[0])
        return self._from_array(frame, self._size) if is_array else self._from_av(frame, self._size)

    def _from_array(self, frame: npt.NDArray[np.uint8], size: tuple[int, int]) -> Gray:
        cv2 = load_cv2()
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else frame
        if gray.shape != size:
            gray = cv2.resize(gray, size[::-1], interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(gray)

    def _from_av(self, frame: Any, size: tuple[int, int]) -> Gray:
        """One pass for format and size; the reformatter is kept, setting it up costs more."""
        if self._reformatter is None:
            from av.video.reformatter import VideoReformatter

            self._reformatter = VideoReformatter()
        H, W = size
        gray = self._reformatter.reformat(frame, W, H, format="gray", interpolation="AREA")
        plane = gray.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(H, plane.line_size)
        return np.ascontiguousarray(rows[:, :W])


def _check(frame: npt.NDArray[Any]) -> None:
    shape = frame.shape
    good = frame.dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3))
    if not good or 0 in shape:
        raise FeatureError(
            f"Flow got a frame of shape {shape}, {frame.dtype}; "
            "expected (H, W, 3) RGB or (H, W) gray, uint8.",
            code="shape",
        )


def _shrunk(H: int, W: int, short_side: int) -> tuple[int, int]:
    """(H', W') with min(H', W') = short_side, the other rounded down; never larger than (H, W)."""
    short = min(H, W)
    if short <= short_side:
        return H, W
    return H * short_side // short, W * short_side // short


def _with_border(solve: Solver, before: Gray, now: Gray) -> Map:
    """Flow of frames of any size: those that are too small get a border, which is cut off again."""
    H, W = now.shape
    border = ((0, max(0, _MIN_SIDE - H)), (0, max(0, _MIN_SIDE - W)))
    if border != ((0, 0), (0, 0)):
        before, now = np.pad(before, border, "edge"), np.pad(now, border, "edge")
    return solve(before, now)[:H, :W]


def load_cv2() -> Any:
    """OpenCV.

    Raises:
        FeatureError: If it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise FeatureError(
            "Optical flow needs OpenCV, which is not installed.",
            "pip install 'wtal[flow]', or choose motion vectors (mv).",
            code="no-opencv",
        ) from error
    return cv2
