"""The pixels a published model wants, from the JSON file beside it.

Class defaults are no substitute: they differ from what checkpoints were trained with. The classes
of transformers that read such files need torchvision, or print warnings, and are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Never

from wtal_features.clips import Preprocess
from wtal_features.encoders.hub.folder import ModelFolder
from wtal_features.errors import FeatureError
from wtal_features.files import read_json

FILES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
# In a processor_config.json each part has an object of its own.
_PARTS = ("image_processor", "video_processor")
# Numbers of Pillow's filters.
_RESAMPLING: Mapping[object, Literal["bilinear", "bicubic"]] = {
    2: "bilinear",
    3: "bicubic",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
}
_MAX_BYTES = 1 << 20


def read_pixels(folder: ModelFolder) -> Preprocess:
    """What the model folder says about pixels.

    Raises:
        FeatureError: If it says nothing, or something that cannot be done here.
    """
    for name in FILES:
        path = folder.path / name
        if path.is_file():
            return pixels_of(_part(read_json(path, max_bytes=_MAX_BYTES)), path)
    raise FeatureError(
        f"{folder.path} has no {FILES[0]} and no {FILES[1]}: size, mean and standard deviation of "
        "the pixels are unknown, and defaults would give wrong features silently.",
        "Copy the file from where the weights come, or pass a Preprocess.",
        code="missing",
    )


def pixels_of(values: Mapping[str, object], where: Path) -> Preprocess:
    """Translate the contents of such a file.

    A size of height and width asks transformers to squeeze the frame into a square. Here the frame
    keeps its shape: the short side becomes the square's, and the middle is cut out.

    Args:
        values: Contents of the file.
        where: The file, for messages.

    Raises:
        FeatureError: Naming the first entry that is missing or cannot be followed.
    """
    _refuse_unknown_steps(values, where)
    short_side = _side(values.get("size"), "size", where)
    cut = values.get("do_center_crop", "crop_size" in values)
    crop = _side(values.get("crop_size"), "crop_size", where) if cut else short_side
    resample = values.get("resample")
    if isinstance(resample, list | dict) or resample not in _RESAMPLING:
        _refuse("resample", resample, "2 (bilinear) or 3 (bicubic)", where)
    normal = values.get("do_normalize", True)
    return Preprocess(
        short_side,
        crop,
        resampling=_RESAMPLING[resample],
        mean=_triple(values, "image_mean", where) if normal else None,
        std=_triple(values, "image_std", where) if normal else None,
    )


def _part(value: object) -> Mapping[str, object]:
    """The object about pixels."""
    if not isinstance(value, dict):
        return {}
    return next((value[part] for part in _PARTS if isinstance(value.get(part), dict)), value)


def _refuse_unknown_steps(values: Mapping[str, object], where: Path) -> None:
    """Steps that `Preprocess` cannot express."""
    for step in ("do_resize", "do_rescale"):
        if not values.get(step, True):
            _refuse(step, False, "true", where)
    factor = values.get("rescale_factor", 1 / 255)
    if not isinstance(factor, int | float) or abs(factor * 255 - 1) > 1e-3:
        _refuse("rescale_factor", factor, "1/255", where)


def _side(value: object, key: str, where: Path) -> int:
    """Of every form that transformers has written, the side of a square or the shorter edge."""
    side = value
    if isinstance(value, dict):
        given = {name: edge for name, edge in value.items() if edge is not None}
        if set(given) == {"shortest_edge"} or (
            set(given) == {"height", "width"} and given["height"] == given["width"]
        ):
            side = next(iter(given.values()))
    if type(side) is not int or side < 1:
        _refuse(key, value, "a number of pixels, a shortest_edge or a square", where)
    return side


def _triple(values: Mapping[str, object], key: str, where: Path) -> tuple[float, ...]:
    """Three numbers, one per colour."""
    value = values.get(key)
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(type(number) in (int, float) for number in value)
        or (key == "image_std" and min(value) <= 0)
    ):
        _refuse(key, value, "three numbers", where)
    return tuple(float(number) for number in value)


def _refuse(key: str, found: object, expected: str, where: Path) -> Never:
    raise FeatureError(
        f"{where}: {key} is {str(found)[:80]}; expected {expected}.",
        "Pass a Preprocess with what the model was trained with.",
        code="option",
    )
