"""Which shapes are timed: few where it must be quick, else what fits need."""

from __future__ import annotations

Shape = tuple[int, int]
"""(outputs, inputs)."""
LARGE: Shape = (4096, 4096)


def matrices(quick: bool) -> tuple[Shape, ...]:
    """Weight shapes: of small models and of large ones; several groups, so that a fit can be
    judged on shapes that it did not see."""
    return ((2048, 2048),) if quick else ((1536, 576), (576, 1536), (2048, 2048), (4096, 4096))


SMALL_AND_LARGE: tuple[Shape, ...] = ((576, 1536), (2048, 2048))
FEW_TOKENS = (1, 8, 128)
"""Of types that few files have: as much as a fit of their own needs."""


def tokens(quick: bool) -> tuple[int, ...]:
    """Rows of activations: one, a few, a prompt."""
    return (1, 64) if quick else (1, 2, 4, 8, 32, 128)


def prompts(quick: bool) -> tuple[int, ...]:
    """Lengths of prompts, the shortest first."""
    return (512,) if quick else (128, 512, 1024)


def caches(quick: bool) -> tuple[int, ...]:
    """Tokens in the cache of a decode step."""
    return (2048,) if quick else (256, 1024, 4096)


HEADS = ((32, 8, 128), (9, 3, 64))
"""(query heads, key-value heads, their width): of an 8B model, of a 135M model."""


def heads(quick: bool) -> tuple[tuple[int, int, int], ...]:
    """Groups of heads."""
    return HEADS[:1] if quick else HEADS
