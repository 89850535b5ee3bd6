"""The colours of the page, computed: contrast in both themes, and classes that stay apart."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from wtal.report.page.writer import page_style

TOKENS = {
    name: {"light": light, "dark": dark}
    for name, light, dark in re.findall(
        r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", page_style()
    )
}
THEMES = ["light", "dark"]
SURFACES = ["page", "paper", "sunk", "chosen"]


def linear(colour: str) -> NDArray[np.float64]:
    """Linear RGB of a hex colour, as WCAG 2.2 defines it."""
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(first: str, second: str) -> float:
    """WCAG's ratio, 1 to 21."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (first, second))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_of_black_and_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ink", ["ink", "soft", "accent", "alarm", "good"])
def test_text_can_be_read_on_every_surface(theme: str, ink: str) -> None:
    for surface in SURFACES:
        assert contrast(TOKENS[ink][theme], TOKENS[surface][theme]) >= 4.5, surface


@pytest.mark.parametrize("theme", THEMES)
def test_text_on_the_accent_and_the_message_can_be_read(theme: str) -> None:
    assert contrast(TOKENS["on-accent"][theme], TOKENS["accent"][theme]) >= 4.5
    assert contrast(TOKENS["page"][theme], TOKENS["ink"][theme]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_marks_and_the_edges_of_fields_can_be_seen(theme: str) -> None:
    marks = ["head", "edge", *(f"c{k}" for k in range(8))]
    for mark, surface in itertools.product(marks, ["paper", "page"]):
        assert contrast(TOKENS[mark][theme], TOKENS[surface][theme]) >= 3, (mark, surface)


# Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", 2009, severity 1; rows of the matrix that acts on linear RGB.
VISION = {
    "full": "1 0 0  0 1 0  0 0 1",
    "protanopia": """0.152286 1.052583 -0.204868  0.114503 0.786281 0.099216
        -0.003882 -0.048116 1.051998""",
    "deuteranopia": """0.367322 0.860646 -0.227968  0.280085 0.672501 0.047413
        -0.01182 0.04294 0.968881""",
    "tritanopia": """1.255528 -0.076749 -0.178779  -0.078411 0.930809 0.147602
        0.004733 0.691367 0.3039""",
}
# Ottosson, "A perceptual color space for image processing", 2020: distances about equal to the eye.
TO_CONES = """0.4122214708 0.5363325363 0.0514459929  0.2119034982 0.6806995451 0.1073969566
    0.0883024619 0.2817188376 0.6299787005"""
TO_OKLAB = """0.2104542553 0.793617785 -0.0040720468  1.9779984951 -2.428592205 0.4505937099
    0.0259040371 0.7827717662 -0.808675766"""


def matrix(numbers: str) -> NDArray[np.float64]:
    return np.array(numbers.split(), dtype=np.float64).reshape(3, 3)


def oklab(linear_rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    lab: NDArray[np.float64] = matrix(TO_OKLAB) @ np.cbrt(matrix(TO_CONES) @ linear_rgb)
    return lab


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("vision", VISION)
def test_the_eight_class_colours_stay_apart(theme: str, vision: str) -> None:
    seen = [matrix(VISION[vision]) @ linear(TOKENS[f"c{k}"][theme]) for k in range(8)]
    labs = [oklab(np.clip(rgb, 0, 1)) for rgb in seen]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(labs, 2))
    # 0.02 is just seen side by side; these have thrice that, and a ninth class has a new shape.
    assert nearest > 0.06
