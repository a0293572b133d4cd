"""Formats are told apart by their fills: by everyone, on paper and on a dark page."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.planning.plan.picture import PALETTE, contrast

Array = NDArray[np.float64]
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.10889, 0.89111, 0.0], [0.10889, 0.89111, 0.0], [0.00447, -0.00447, 1.0]]
    ),
    "deuteranopia": np.array(
        [[0.29031, 0.70969, 0.0], [0.29031, 0.70969, 0.0], [-0.02197, 0.02197, 1.0]]
    ),
}
"""Of linear sRGB (Viénot, Brettel and Mollon 1999, for sRGB primaries)."""
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
OPPONENT = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
LEAST = 0.05
"""Distance in OKLab (Ottosson 2020): twice what is just seen apart side by side."""
PAPER, DARK = "#ffffff", "#14171b"


def oklab(colour: str, vision: Array) -> Array:
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return np.asarray(OPPONENT @ np.cbrt(CONES @ np.clip(vision @ linear, 0, 1)))


def distance(one: str, other: str, vision: Array) -> float:
    return float(np.linalg.norm(oklab(one, vision) - oklab(other, vision)))


def test_oklab_gives_its_published_white() -> None:
    assert oklab("#ffffff", VISION["normal"]) == pytest.approx([1, 0, 0], abs=1e-4)
    assert distance("#ff0000", "#00a000", VISION["normal"]) > 3 * distance(
        "#b06000", "#708000", VISION["protanopia"]
    )


@pytest.mark.parametrize("vision", VISION)
def test_no_two_formats_share_a_colour(vision: str) -> None:
    """A format that has none yet is drawn grey."""
    assert set(PALETTE) <= set(SCHEMES) | set(KV_LAYOUTS)
    assert len(PALETTE) >= 50
    near = {
        (a, b): distance(PALETTE[a], PALETTE[b], VISION[vision])
        for a, b in combinations(PALETTE, 2)
    }
    assert {pair: found for pair, found in near.items() if found < LEAST} == {}


@pytest.mark.parametrize("vision", VISION)
def test_every_fill_is_seen_on_its_page(vision: str) -> None:
    """Or its frame is: pale fills on paper and dark ones on a dark page have one of mid grey."""
    for name, colour in PALETTE.items():
        for page in (PAPER, DARK):
            if contrast(colour, page) < 1.5:
                assert contrast("#808080", page) >= 3, name
            else:
                assert distance(colour, page, VISION[vision]) >= LEAST, name


def test_dark_fills_are_multiplied_in_their_format_and_pale_ones_are_not() -> None:
    shade = {name: contrast(colour, "#000000") for name, colour in PALETTE.items()}
    assert len(SCHEMES.keys() & shade.keys()) >= 40
    for name in SCHEMES.keys() & shade.keys():  # a new one is grey at first
        if "ggml" in name:
            assert shade[name] > 4.6, name  # text of 4.5 on it is white or black
        elif "a16" in name or name in ("bf16", "fp16", "mxfp6"):
            assert shade[name] > 9, name
        else:
            assert shade[name] < 4.7, name
    assert all(4.7 < shade[name] < 9 for name in KV_LAYOUTS.keys() & shade.keys() - SCHEMES.keys())
