"""The human anchor of a plan: what the nearest published measurement of its formats lost."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from planner.quality.measured_models import Subject, measured_models, plain_name
from planner.quality.neighbours import (
    PLAIN,
    Measured,
    largest_drop,
    nearest_cache,
    nearest_weights,
)

UNCHANGED = "as released: no change"
RELEASED = "weights as released"
WIDENED = "weights as released, some in 16 bits"
"""Of weights that lose nothing."""
PARTS = "; "
"""Between the part of the weights and that of the cache, and between sources."""


def sentence(subject: Subject, row: Measured) -> str:
    """``nvfp4 on Qwen3-8B, a smaller model of the family: MMLU −2.0 ± 0.5 pt``; with the task that
    lost far more beside it, and what it is against if that is neither plain nor the release."""
    model = measured_models()[plain_name(row.model)]
    worst = largest_drop(row)
    more = "" if worst is None else f" ({worst.short})"
    own = row.baseline_scheme in (*PLAIN, subject.released)
    against = "" if own else f" against {row.baseline_scheme}"
    return f"{row.format} on {model.described(subject)}: {row.change}{more}{against}"


def missing(names: Iterable[str]) -> str:
    """What is said of formats without a row."""
    return f"no accuracy published for {' or '.join(names)} in its family and size"


@lru_cache(maxsize=256)
def anchor(subject: Subject, scheme: str | None, layout: str | None) -> tuple[str, str]:
    """(text, source) for a plan that loses most in ``scheme``, its cache in ``layout``.

    None: nothing changed against the release. The weights come first; a cache has a part of its
    own, after ``PARTS``, unless the row of the weights was measured with it. There is a source for
    each part that names a row; it is empty where none does.
    """
    if scheme is None and layout is None:
        return UNCHANGED, ""
    weights = None if scheme is None else nearest_weights(subject, scheme, layout or "bf16")
    alone = layout if weights is None or weights.kv_layout != layout else None
    cached = None if alone is None else nearest_cache(subject, alone)
    if scheme is not None and weights is None and alone is not None and cached is None:
        return missing([scheme, f"KV {alone}"]), ""
    parts = [
        RELEASED
        if scheme is None
        else missing([scheme])
        if weights is None
        else sentence(subject, weights)
    ]
    if alone is not None:
        parts.append(missing([f"KV {alone}"]) if cached is None else sentence(subject, cached))
    return PARTS.join(parts), PARTS.join(r.source for r in (weights, cached) if r is not None)


def parts_with_sources(anchor: tuple[str, str]) -> list[tuple[str, str]]:
    """The parts of an anchor's text, each with its source, empty for a part without a row."""
    text, source = anchor
    sources = iter(source.split(PARTS))
    return [
        (part, next(sources, "") if ": " in part and part != UNCHANGED else "")
        for part in text.split(PARTS)
    ]
