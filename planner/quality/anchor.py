"""The human anchor of a plan: what the nearest published measurement of its formats lost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, TypeVar

from planner.base.records import record
from planner.messages.message import Message, Text, message
from planner.quality.measured_models import Subject, measured_models, plain_name
from planner.quality.neighbours import (
    BENCHMARK_KINDS,
    PLAIN,
    BenchmarkKind,
    Measured,
    largest_drop,
    nearest_cache,
    nearest_of_kind,
    nearest_weights,
)

UNCHANGED = message("reasons.as_released_no_change")
RELEASED = message("reasons.weights_as_released")
WIDENED = message("reasons.weights_as_released_some_in")
"""Of weights that lose nothing."""
PARTS = "; "
"""Between the part of the weights and that of the cache, and between sources."""


def sentence(subject: Subject, row: Measured) -> Message:
    """``nvfp4 on Qwen3-8B, a smaller model of the family: MMLU −2.0 ± 0.5 pt``; with the task that
    lost far more beside it, and what it is against if that is neither plain nor the release."""
    model = measured_models()[plain_name(row.model)]
    worst = largest_drop(row)
    change = row.change
    if worst is not None:
        change = message("structure.remark", text=change, remark=worst.short)
    if row.baseline_scheme not in (*PLAIN, subject.released):
        change = message("reasons.against", c=change, x=row.baseline_scheme)
    return message(model.relation_id(subject), f=row.format, m=model.name, c=change)


def missing(names: Sequence[str]) -> Message:
    """What is said of formats without a row."""
    one: Text = names[0]
    if len(names) > 1:
        one = message("structure.either", parts=tuple(names))
    return message("reasons.no_accuracy_published_for_in", names=one)


@record
class PublishedChange:
    """A part of an anchor: a sentence, the source of its row and the kind of its benchmark; no
    source and no kind where no row stands behind it."""

    text: Text
    source: str = ""
    kind: BenchmarkKind | None = None


@lru_cache(maxsize=256)
def anchor(subject: Subject, scheme: str | None, layout: str | None) -> tuple[PublishedChange, ...]:
    """What others measured of a plan that loses most in ``scheme``, its cache in ``layout``.

    None: nothing changed against the release. The weights come first; a cache has a part of its
    own unless the row of the weights was measured with it. Then the nearest row of every further
    kind of benchmark, where one was published.
    """
    if scheme is None and layout is None:
        return (PublishedChange(UNCHANGED),)
    weights = None if scheme is None else nearest_weights(subject, scheme, layout or "bf16")
    alone = layout if weights is None or weights.kv_layout != layout else None
    cached = None if alone is None else nearest_cache(subject, alone)
    if scheme is not None and weights is None and alone is not None and cached is None:
        return (PublishedChange(missing([scheme, f"KV {alone}"])),)
    parts = [
        PublishedChange(RELEASED)
        if scheme is None
        else PublishedChange(missing([scheme]))
        if weights is None
        else _published(subject, weights)
    ]
    if alone is not None:
        parts.append(
            PublishedChange(missing([f"KV {alone}"]))
            if cached is None
            else _published(subject, cached)
        )
    known = {part.kind for part in parts}
    further = (
        nearest_of_kind(subject, scheme, layout, kind)
        for kind in BENCHMARK_KINDS
        if kind not in known
    )
    return (*parts, *(_published(subject, row) for row in further if row is not None))


class AnchorPart(Protocol):
    """What an anchor is made of, here and in a plan file."""

    @property
    def text(self) -> Text: ...
    @property
    def source(self) -> str: ...
    @property
    def kind(self) -> BenchmarkKind | None: ...


Part = TypeVar("Part", bound=AnchorPart)


def nearest_parts(parts: Sequence[Part]) -> Sequence[Part]:
    """The part of the weights and that of the cache where it has one, without the further kinds of
    benchmark behind them."""
    more = parts[1:2]
    cache = bool(more) and (
        not parts[0].source or not more[0].source or str(more[0].text).startswith("KV ")
    )
    return parts[: 1 + cache]


def short_alone(parts: Sequence[AnchorPart]) -> bool:
    """Whether short benchmarks are all that was published of the plan's formats."""
    return {part.kind for part in parts if part.source} == {"short"}


def change_of(text: Text) -> Text:
    """What a part of an anchor says that was lost; empty where that is a sentence alone."""
    if not isinstance(text, Message):
        return text.rpartition(": ")[2] if ": " in text else ""
    change = dict(text.values).get("c", "")
    return change if isinstance(change, str) else ""


def _published(subject: Subject, row: Measured) -> PublishedChange:
    return PublishedChange(sentence(subject, row), row.source, row.kind)
