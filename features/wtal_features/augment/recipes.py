"""The recipes of CoCLR, CVRL and CMD, and which of them the clips of one sample get.

Recipes are values: change one with `dataclasses.replace`, such as the flip where the classes are
directions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wtal_features.augment.augmentation import Augmentation, Recipe
from wtal_features.augment.colour import Change
from wtal_features.augment.draws import below, chance
from wtal_features.augment.geometry import CropRange

if TYPE_CHECKING:
    import torch

# Of CoCLR and of CMD, as torchvision does it on Pillow images.
_JITTER: tuple[tuple[Change, float, float], ...] = (
    ("brightness", 0.6, 1.4),
    ("contrast", 0.6, 1.4),
    ("saturation", 0.6, 1.4),
    ("hue", -0.1, 0.1),
)
# Of CVRL, as TensorFlow does it.
_STRONG_JITTER: tuple[tuple[Change, float, float], ...] = (
    ("brightness", 0.2, 1.8),
    ("channel_contrast", 0.2, 1.8),
    ("hsv_saturation", 0.2, 1.8),
    ("hue", -0.2, 0.2),
)
_THREE_QUARTERS = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Pair:
    """Two views of one video: query and key, or first and second.

    Attributes:
        clips: Which of the two sampled clips each view shows; both may show the same.
        views: What happens to it.
    """

    clips: tuple[int, int]
    views: tuple[Augmentation, Augmentation]


# CoCLR -------------------------------------------------------------------------------------------


def coclr_null(size: int = 128) -> Recipe:
    """Crop and flip alone.

    Source: TengdaHan/CoCLR main_nce.py, `get_transform`.
    """
    crop = CropRange(size, (0.2, 1.0), _THREE_QUARTERS, swap=True, resampling="bicubic")
    return Recipe(crop)


def coclr_base(size: int = 128) -> Recipe:
    """Jitter, gray and blur as well. Gray is the luma; the public code copies one channel."""
    plain = coclr_null(size)
    return replace(plain, jitter=_JITTER, jitter_p=0.8, gray_p=0.2, blur_p=0.5)


def draw_coclr(
    base: Recipe, null: Recipe, frame_hw: tuple[int, int], generator: torch.Generator
) -> Pair:
    """Two clips or one, each with probability 1/2.

    Two clips: each by itself gets `base` with probability 0.3, else `null`. One clip: one of the
    two at random, and of its two views one is `base` and one `null`, in random order. In the stage
    of two streams the same view goes to the frames and to the motion of its clip.

    Args:
        base: `coclr_base()`.
        null: `coclr_null()`.
        frame_hw: H and W of the frames of both clips, in pixels.
        generator: A CPU generator.

    Returns:
        Query and key.

    Source: TengdaHan/CoCLR utils/augmentation.py, `TwoClipTransform`, `OneClipTransform`.
    """
    if chance(0.5, generator):
        clips = (0, 1)
        recipes = [base if chance(0.3, generator) else null for _ in clips]
    else:
        shown = below(2, generator)
        clips = (shown, shown)
        recipes = [base, null] if chance(0.5, generator) else [null, base]
    query, key = (recipe.draw(frame_hw, generator) for recipe in recipes)
    return Pair(clips, (query, key))


# CVRL --------------------------------------------------------------------------------------------


def cvrl_views(size: int = 224) -> tuple[Recipe, Recipe]:
    """The first view is always blurred; the second seldom, and sometimes solarized.

    Areas are uniform here; TensorFlow draws the height of a crop uniformly, between those of the
    smallest and of the largest area.

    Source: tensorflow/models official/projects/video_ssl/dataloaders/video_ssl_input.py.
    """
    first = Recipe(
        CropRange(size, (0.3, 1.0), (0.5, 2.0), antialias=False),
        jitter=_STRONG_JITTER,
        jitter_p=0.8,
        gray_p=0.2,
        blur_radius=size // 10 // 2,  # a kernel of 23 at 224
        blur_p=1.0,
    )
    return first, replace(first, blur_p=0.1, solarize_p=0.2)


def draw_cvrl(
    recipes: tuple[Recipe, Recipe], frame_hw: tuple[int, int], generator: torch.Generator
) -> Pair:
    """One view of each of two clips.

    Args:
        recipes: `cvrl_views()`.
        frame_hw: H and W of the frames of both clips, in pixels.
        generator: A CPU generator.
    """
    first, second = (recipe.draw(frame_hw, generator) for recipe in recipes)
    return Pair((0, 1), (first, second))


# CMD ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CmdViews:
    """What happens to the parts of one sample of CMD.

    Attributes:
        clip: To the RGB clip, and to the motion clip that it has to predict.
        i_frame: To the I-frame.
        others: To each of the other motion clips.
    """

    clip: Augmentation
    i_frame: Augmentation
    others: tuple[Augmentation, ...]


def cmd_clip(size: int = 112) -> Recipe:
    """Of the RGB clip with its target, and, drawn by itself, of the I-frame.

    Source: foolwood/DRL Context-Motion-Decoupling/pretrain.py and dataset/transforms.py.
    """
    crop = CropRange(size, (0.2, 1.0), _THREE_QUARTERS)
    return Recipe(crop, jitter=_JITTER, jitter_p=0.5, gray_p=0.2, blur_p=0.5)


def draw_cmd(
    recipe: Recipe, frame_hw: tuple[int, int], others: int, generator: torch.Generator
) -> CmdViews:
    """One view for clip and target, one for the I-frame, and a crop for each other motion clip.

    Args:
        recipe: `cmd_clip()`.
        frame_hw: H and W of the frames of the video, in pixels.
        others: Motion clips of the video besides the target; CMD has 3.
        generator: A CPU generator.
    """
    clip, i_frame, *rest = (recipe.draw(frame_hw, generator) for _ in range(2 + others))
    return CmdViews(clip, i_frame, tuple(rest))
