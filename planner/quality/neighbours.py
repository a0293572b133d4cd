"""What others measured with the formats of a plan: rows of data/measured_deltas.csv, with source.

Benchmark points are never predicted here; the rows are shown beside a predicted loss. A row is of
one scheme and one cache layout, and stands for no other. Which rows were taken, which were left out
and why: docs/evidence/meaning.md#nearest-published-accuracies.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from math import inf, sqrt
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast, get_args

from planner.base.records import record
from planner.messages.catalogue import CLAUSES
from planner.messages.message import Message, Text, joined, message
from planner.quality.measured_models import MeasuredModel, Subject, measured_models, plain_name

BenchmarkKind = Literal["short", "reasoning", "code", "tools", "long"]
"""What a benchmark asks for: short answers, long chains of reasoning, programs, calls of tools, or
what stands far back in a long context. Short ones hide what the others lose."""
BENCHMARK_KINDS: tuple[BenchmarkKind, ...] = get_args(BenchmarkKind)
_DATA = Path(__file__).resolve().parent / "data"
PLAIN = ("bf16", "fp16", "fp32")
"""Formats without scales: a checkpoint's own, and what rows compare with."""
_POINTS = {"%": 1.0, "pt": 1.0, "frac": 100.0}
ACCURACIES = ("%", "frac")
"""Units of a share of questions answered right."""


@record
class Metric:
    """A benchmark. ``weights_order`` and ``cache_order`` are its places among the metrics that
    speak best of a weight format and of a cache: little noise and broad knowledge first, long
    contexts first. ``more``: whether more is better."""

    label: str
    kind: BenchmarkKind
    weights_order: int
    cache_order: int
    more: bool


@record
class Measured:
    """One published comparison. ``delta`` = value − baseline in ``unit``: % and pt are points,
    frac a hundredth of a point each, ppl is perplexity, % rel a percentage of the baseline.

    ``questions`` of the benchmark and ``stderr`` of the delta, in ``unit``, where known.
    """

    model: str
    scheme: str
    kv_layout: str
    metric: str
    unit: str
    baseline_scheme: str
    baseline: str
    value: str
    delta: float
    note: str
    source: str
    questions: int | None = None
    stderr: float | None = None

    @property
    def kind(self) -> BenchmarkKind:
        """Of its benchmark."""
        return measured_metrics()[self.metric].kind

    @property
    def worsening(self) -> float:
        """How much was lost: positive is worse."""
        return -self.delta if measured_metrics()[self.metric].more else self.delta

    @property
    def points(self) -> float | None:
        """The delta in points of a benchmark, None for other units."""
        size = _POINTS.get(self.unit)
        return None if size is None else self.delta * size

    @property
    def noise(self) -> float | None:
        """Standard error of the delta in points: as published, else by the number of questions as
        if both runs had drawn their own (they share them, so it is at most this)."""
        size = _POINTS.get(self.unit)
        if size is None:
            return None
        if self.stderr is not None:
            return self.stderr * size
        if self.questions is None:
            return None
        shares = [float(text) * size / 100 for text in (self.baseline, self.value)]
        return 100 * sqrt(sum(p * (1 - p) for p in shares) / self.questions)

    @property
    def format(self) -> Text:
        """``nvfp4, KV fp8 (attention partly BF16)``, or the cache alone: ``KV fp8``."""
        parts = [] if self.scheme in PLAIN else [self.scheme]
        parts += [] if self.kv_layout in PLAIN else [f"KV {self.kv_layout}"]
        text = joined(parts, CLAUSES)
        if not self.note:
            return text
        return message("structure.remark", text=text, remark=joined(self.note.split(", "), CLAUSES))

    @property
    def change(self) -> Message:
        """``MMLU −2.0 ± 0.5 pt``; perplexity and relative changes in their own unit."""
        points, noise = self.points, self.noise
        if points is None:
            name = "reasons.change_share" if self.unit == "% rel" else "reasons.change_own"
            return message(name, metric=self._label, delta=_signed(self.delta))
        if noise is None:
            return message("reasons.change_points", metric=self._label, delta=_signed(points))
        return message(
            "reasons.change_points_noise",
            metric=self._label,
            delta=_signed(points),
            noise=f"{noise:.1f}",
        )

    @property
    def short(self) -> Message:
        """``MMLU −2.0``: an accuracy in points."""
        delta = _signed(self.points or 0.0)
        return message("reasons.change_own", metric=self._label, delta=delta)

    @property
    def _label(self) -> str:
        return measured_metrics()[self.metric].label


def _signed(value: float) -> str:
    """Two decimals below one, else one; a true minus sign."""
    text = f"{value:+.2f}" if abs(value) < 1 else f"{value:+.1f}"
    return "±0" if value == 0 else text.replace("-", "−")


@cache
def measured_rows() -> tuple[Measured, ...]:
    """The shipped table (read once a process)."""
    with (_DATA / "measured_deltas.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_row(row) for row in csv.DictReader(file))


def _row(row: dict[str, str]) -> Measured:
    delta, questions, stderr = (row.pop(name) for name in ("delta", "questions", "stderr"))
    return Measured(
        **row,
        delta=float(delta),
        questions=int(questions) if questions else None,
        stderr=float(stderr) if stderr else None,
    )


@cache
def measured_metrics() -> Mapping[str, Metric]:
    """The metrics of the table by name (read once a process)."""
    with (_DATA / "measured_metrics.csv").open(encoding="utf-8", newline="") as file:
        return MappingProxyType(
            {
                row["metric"]: Metric(
                    row["label"],
                    cast(BenchmarkKind, row["kind"]),
                    int(row["weights_order"]),
                    int(row["cache_order"]),
                    row["better"] == "more",
                )
                for row in csv.DictReader(file)
            }
        )


def nearest_weights(
    subject: Subject, scheme: str, layout: str = "bf16", rows: Iterable[Measured] | None = None
) -> Measured | None:
    """The row of ``scheme`` nearest to ``subject``, whose cache is in ``layout``; None where
    nothing near was published.

    The order: the same model, one of the same structure, one of the family (as dense or sparse as
    it is, the nearest size first); its cache in ``layout``, unchanged, or another; metrics by
    their place; rounded weights before calibrated ones and other remarks; less noise; of equals
    the row that lost most, then by name and place in the table.
    """
    found = [row for row in _all(rows) if row.scheme == scheme and scheme not in PLAIN]
    return _first(subject, found, layout, cache=False)


def nearest_cache(
    subject: Subject, layout: str, rows: Iterable[Measured] | None = None
) -> Measured | None:
    """The row of a cache in ``layout`` beside weights that were left alone; see
    :func:`nearest_weights`."""
    found = [r for r in _all(rows) if r.scheme in PLAIN and r.kv_layout == layout]
    return _first(subject, found, layout, cache=True)


def nearest_of_kind(
    subject: Subject, scheme: str | None, layout: str | None, kind: BenchmarkKind
) -> Measured | None:
    """The row of a ``kind`` of benchmark nearest to ``subject``: of ``scheme`` where there is one,
    else of the cache alone; None where nothing near was published."""
    rows = [row for row in measured_rows() if row.kind == kind]
    row = None if scheme is None else nearest_weights(subject, scheme, layout or "bf16", rows)
    return nearest_cache(subject, layout, rows) if row is None and layout is not None else row


def largest_drop(row: Measured, rows: Iterable[Measured] | None = None) -> Measured | None:
    """The accuracy that fell most in the same publication: by a point at least, over twice as much
    as that of ``row``, and a point more; None where ``row`` tells enough."""
    if row.points is None:
        return None
    beside = [
        (r.points, r.metric, r)
        for r in _all(rows)
        if r.points is not None and r.unit in ACCURACIES and _publication(r) == _publication(row)
    ]
    points, _, worst = min(beside, key=lambda b: b[:2], default=(0.0, "", row))
    return worst if points <= -1 and points < min(2 * row.points, row.points - 1) else None


def _publication(row: Measured) -> tuple[str, ...]:
    return (
        plain_name(row.model),
        row.scheme,
        row.kv_layout,
        row.baseline_scheme,
        row.note,
        publisher(row.source),
    )


def publisher(source: str) -> str:
    """The first word of a source: ``intel/auto-round``."""
    return source.partition(" ")[0]


def _all(rows: Iterable[Measured] | None) -> Iterable[Measured]:
    return measured_rows() if rows is None else rows


def _first(
    subject: Subject, rows: Iterable[Measured], layout: str, *, cache: bool
) -> Measured | None:
    models = measured_models()
    ranked = []
    for place, row in enumerate(rows):
        model = models[plain_name(row.model)]
        relation = model.relation(subject)
        if relation is not None:
            ranked.append((_order(subject, model, relation, row, layout, cache), place, row))
    return min(ranked, key=lambda r: r[:2])[2] if ranked else None


def _order(
    subject: Subject, model: MeasuredModel, relation: int, row: Measured, layout: str, cache: bool
) -> tuple[float | str, ...]:
    metric = measured_metrics()[row.metric]
    cache_order = 0 if row.kv_layout == layout else 1 if row.kv_layout in PLAIN else 2
    noise = row.noise
    return (
        relation,
        model.dense(subject) is not None,
        round(model.distance(subject), 2),
        cache_order,
        metric.cache_order if cache else metric.weights_order,
        bool(row.note),
        inf if noise is None else noise,
        -row.worsening,
        model.name,
    )
