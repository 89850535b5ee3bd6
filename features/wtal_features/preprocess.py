"""From decoded frames to the numbers a network sees: resize, crop, scale.

Frames are resized as uint8, which agrees with the Pillow processors of published checkpoints to
one level of 255 (bilinear) or two (bicubic); as floats, bicubic would be off by up to 23. Shapes:
B clips of n frames, H x W pixels, C channels, S the side of the final square.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wtal_features.errors import FeatureError

if TYPE_CHECKING:
    from torch import Tensor

    from wtal_features.clips import ClipSpec, Preprocess

    Resize = Callable[[NDArray[Any], tuple[int, int], Preprocess], NDArray[Any]]

# Motion as an image: 0..255 stands for -20..20 px per frame (I3D, CVPR 2017).
IMAGE_MOTION_PX = 20.0
# Motion as plain numbers: -1..1 stands for -10..10 px per frame (foolwood/DRL,
# Context-Motion-Decoupling).
PLAIN_MOTION_PX = 10.0


# One frame ---------------------------------------------------------------------------------------


def geometry(height: int, width: int, preprocess: Preprocess) -> tuple[int, int, int, int]:
    """Size after the first resize, and the place of the centre crop in it.

    Args:
        height: Of the decoded frame, in pixels.
        width: Likewise.
        preprocess: Short side, crop and the rounding of the other edge.

    Returns:
        Resized height and width, then top and left of the crop, in pixels.

    Example:
        >>> from wtal_features.clips import Preprocess
        >>> geometry(240, 320, Preprocess(short_side=128, crop=112))
        (128, 170, 8, 29)
    """
    short = preprocess.short_side

    def scaled(edge: int) -> int:
        product, shorter = short * edge, min(height, width)
        return product // shorter if preprocess.long_side == "floor" else round(product / shorter)

    resized_h, resized_w = scaled(height), scaled(width)
    return (
        resized_h,
        resized_w,
        (resized_h - preprocess.crop) // 2,
        (resized_w - preprocess.crop) // 2,
    )


def prepare_frame(frame_HWC: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Resize and crop one colour frame.

    Args:
        frame_HWC: (H, W, 3) uint8.
        preprocess: Geometry and filter.

    Returns:
        (S, S, 3) uint8, in C order; the frame itself when nothing had to be done.
    """
    square: NDArray[np.uint8] = _geometric(frame_HWC, preprocess, _resized_colour)
    return square


def prepare_motion(map_hw2: NDArray[np.float32], preprocess: Preprocess) -> NDArray[np.float16]:
    """Resize and crop one map of motion as its frame would be, bilinearly.

    The values stay pixels per frame at the source's resolution: a resize moves them, it does not
    rescale them.

    Args:
        map_hw2: (h, w, 2) float32, dx and dy; h and w may be smaller than the frame's, as in maps
            of motion vectors.
        preprocess: Geometry.

    Returns:
        (S, S, 2) float16.
    """
    return _geometric(map_hw2, preprocess, _resized_motion).astype(np.float16)


def resized(image_HWC: NDArray[Any], size_hw: tuple[int, int]) -> NDArray[Any]:
    """Resize a whole frame or map, bilinearly and antialiased, as `prepare_frame` does it.

    Args:
        image_HWC: (H, W, C) uint8 or float32.
        size_hw: The new height and width, in pixels.

    Returns:
        (h, w, C) of the same type, C order; the image itself where it has that size.
    """
    if image_HWC.shape[:2] == size_hw:
        return np.ascontiguousarray(image_HWC)
    x_1CHW = _interpolated(_as_batch(image_HWC), size_hw, "bilinear", True)
    return np.ascontiguousarray(_as_image(x_1CHW))


def _geometric(image_HWC: NDArray[Any], preprocess: Preprocess, resize: Resize) -> NDArray[Any]:
    """Short side, centre crop, and the second resize where one is asked for."""
    height, width, _ = image_HWC.shape
    resized_h, resized_w, top, left = geometry(height, width, preprocess)
    crop, size = preprocess.crop, preprocess.size
    image_HWC = resize(image_HWC, (resized_h, resized_w), preprocess)
    image_HWC = image_HWC[top : top + crop, left : left + crop]
    return np.ascontiguousarray(resize(image_HWC, (size, size), preprocess))


def _resized_colour(
    frame_HWC: NDArray[np.uint8], size_hw: tuple[int, int], preprocess: Preprocess
) -> NDArray[np.uint8]:
    if frame_HWC.shape[:2] == size_hw:
        return frame_HWC
    x_1CHW = _as_batch(frame_HWC)
    if preprocess.antialias:
        return _as_image(_interpolated(x_1CHW, size_hw, preprocess.resampling, True))
    # TensorFlow's resize computes floats and a cast cuts off what is behind the point (CVRL). The
    # small number keeps a value that is whole up to rounding, such as 99.99999, from losing one.
    x_1CHW = _interpolated(x_1CHW.float(), size_hw, preprocess.resampling, False)
    return _as_image(x_1CHW.add_(1e-3).clamp_(0, 255).byte())


def _resized_motion(
    map_hw2: NDArray[np.float32], size_hw: tuple[int, int], preprocess: Preprocess
) -> NDArray[np.float32]:
    if map_hw2.shape[:2] == size_hw:
        return map_hw2
    # Enlarging needs no wider filter, and for floats the plain one is three times as fast.
    antialias = preprocess.antialias and size_hw[0] < map_hw2.shape[0]
    planes = _as_batch(map_hw2).contiguous()
    return _as_image(_interpolated(planes, size_hw, "bilinear", antialias))


def _as_batch(image_HWC: NDArray[Any]) -> Tensor:
    """(1, C, H, W) over the same memory: torch sees a channels-last batch, its fastest layout."""
    import torch

    image_HWC = np.require(image_HWC, requirements=["C", "W"])
    return torch.from_numpy(image_HWC)[None].permute(0, 3, 1, 2)


def _as_image(x_1CHW: Tensor) -> NDArray[Any]:
    """(H, W, C) over the same memory."""
    image: NDArray[Any] = x_1CHW[0].permute(1, 2, 0).numpy()
    return image


def _interpolated(x_1CHW: Tensor, size_hw: tuple[int, int], mode: str, antialias: bool) -> Tensor:
    from torch.nn import functional as F

    return F.interpolate(x_1CHW, size_hw, mode=mode, align_corners=False, antialias=antialias)


# A batch of clips --------------------------------------------------------------------------------


def to_network(clips_BnHWC: Tensor, clip: ClipSpec) -> Tensor:
    """Scale the pixels of clips to what a network wants; on the device where the clips are.

    Colour is divided by 255; then the mean is taken off and the rest divided by the standard
    deviation, where the preprocessing has them. Motion has two forms, and the mean says which:

    * with mean and std, an image: +-20 px per frame become 0..255, zero motion is 127.5, the third
      channel is 0 throughout; then as colour (I3D's range; TengdaHan/CoCLR normalises like RGB);
    * without, plain numbers: +-10 px per frame become -1..1, two channels (foolwood/DRL,
      Context-Motion-Decoupling).

    Args:
        clips_BnHWC: Colour in 0..255, C = 3, uint8 or float; motion in px per frame, C = 2, float.
        clip: The view and its preprocessing.

    Returns:
        (B, C, n, H, W) float32.

    Raises:
        FeatureError: If the clips have another number of channels than the view.
    """
    expected = 3 if clip.view == "rgb" else 2
    if clips_BnHWC.ndim != 5 or clips_BnHWC.shape[-1] != expected:
        raise FeatureError(
            f"Clips of shape {tuple(clips_BnHWC.shape)}; expected (B, n, H, W, {expected}) "
            f"for the view {clip.view}.",
            "Give the encoder the view it was made for.",
            code="shape",
        )
    x_BCnHW = clips_BnHWC.permute(0, 4, 1, 2, 3).contiguous().float()
    plain = clip.preprocess.mean is None
    if clip.view == "motion":
        return _plain_motion(x_BCnHW) if plain else _normal(_image_of_motion(x_BCnHW), clip)
    x_BCnHW = x_BCnHW / 255
    return x_BCnHW if plain else _normal(x_BCnHW, clip)


def _image_of_motion(x_B2nHW: Tensor) -> Tensor:
    """(B, 3, n, H, W) in 0..1: +-20 px over the whole range, an empty third channel."""
    from torch.nn import functional as F

    x_B2nHW = x_B2nHW.clamp(-IMAGE_MOTION_PX, IMAGE_MOTION_PX)
    x_B2nHW = (x_B2nHW + IMAGE_MOTION_PX) / (2 * IMAGE_MOTION_PX)
    return F.pad(x_B2nHW, (0, 0, 0, 0, 0, 0, 0, 1))


def _plain_motion(x_B2nHW: Tensor) -> Tensor:
    """(B, 2, n, H, W) in -1..1."""
    return x_B2nHW.clamp(-PLAIN_MOTION_PX, PLAIN_MOTION_PX) / PLAIN_MOTION_PX


def _normal(x_BCnHW: Tensor, clip: ClipSpec) -> Tensor:
    """(x - mean) / std per channel."""
    mean, std = clip.preprocess.mean, clip.preprocess.std
    if mean is None or std is None or len(mean) != 3 or len(std) != 3:
        raise FeatureError(
            f"A preprocessing with mean {mean} and std {std}; expected three numbers each.",
            code="option",
        )
    shape = (1, 3, 1, 1, 1)
    return (x_BCnHW - x_BCnHW.new_tensor(mean).view(shape)) / x_BCnHW.new_tensor(std).view(shape)
