"""``python -m evaluation.caches_by_layer``: where a cache by layer pays.

Weights stay as released. Of each target the best plan with one plain cache and with one quantised
cache is held against the best with both, as far as the engine's version keeps them together: in a
choice for each group of layers (the first two, the last two, those between, windows apart), and
for each layer by itself. Limits on loss are shares of what the quantised cache loses; below it the
best single cache is the plain one. ``--docs`` puts the tables into the page between its markers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation.answers import table
from evaluation.pages import insert, moved
from planner.base.units import format_layers
from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import parse_engine
from planner.planning.question.engine_questions import engine_questions
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question, improvement
from planner.planning.question.resolve import build_question
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import solve_questions
from planner.planning.search.rivals import loss_of
from planner.planning.space.losses import saturated_loss

PLAIN = "bf16"
SHARES = (0.25, 0.5, 0.75)
SHOWN = 0.5
"""Of the shares that which the page shows by layers and by groups."""
ANSWER = 1024
"""Tokens of an answer; the rest of a context is the prompt."""


@dataclass(frozen=True)
class Target:
    """A model on devices with an engine, and the quantised layout of its caches."""

    model: str
    device: str
    devices: int
    engine: str
    packed: str
    contexts: tuple[int, ...]


TARGETS = (
    Target("llama-3.1-8b", "h100-sxm", 1, "vllm", "fp8", (8192, 65_536)),
    Target("llama-3.1-70b", "h200-sxm", 2, "vllm", "fp8", (8192, 65_536)),
    Target("gpt-oss-120b", "b200-sxm", 1, "vllm", "fp8", (8192, 65_536)),
    Target("gemma-3-27b-text", "h100-sxm", 1, "vllm", "fp8", (8192, 65_536)),
    Target("deepseek-v3", "h200-sxm", 8, "vllm", "fp8", (8192, 65_536)),
)


@dataclass(frozen=True)
class Mixed:
    """The best plan with both caches within a share of the loss: its gain over the plain cache, by
    groups of layers and by layer, and the layers that stay plain."""

    share: float
    by_group: float
    by_layer: float
    plain_layers: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """A target at a context: what the quantised cache gains and loses [nats], what mixes do."""

    target: Target
    context: int
    layers: int
    gain: float
    loss_nats: float
    mixed: tuple[Mixed, ...]


def question_of(target: Target, context: int) -> Question:
    """The target with weights as released and both caches, as its engine keeps them together.

    Raises:
        ValueError: it does not.
    """
    values = GivenValues(
        devices=target.devices, context=context, isl=context - ANSWER, osl=ANSWER, kv=target.packed
    )
    question = build_question(
        load_model(target.model),
        load_device(target.device),
        values,
        None,
        uniform="",
        given=None,
        engine=parse_engine(target.engine),
    )
    pair = (PLAIN, target.packed)
    for way in engine_questions(replace(question, kv=pair)):
        if way.kv == pair:
            return way
    raise ValueError(f"{target.engine} keeps {target.model} in one layout")


def row_of(target: Target, context: int) -> Row:
    """Both single caches and the mixes between them.

    Raises:
        ValueError: nothing fits.
    """
    both = question_of(target, context)
    free = replace(both, barred=frozenset(p for p in both.barred if p[1] != PLAIN))
    plain, packed = (_solved(replace(free, kv=(name,))) for name in both.kv)
    most = loss_of(packed.space.model, packed.segments)
    mixed = tuple(_mixed(both, plain, most, share) for share in SHARES)
    return Row(
        target,
        context,
        both.spec.layers,
        _gain(both, plain, packed),
        saturated_loss(packed.space.model, most),
        mixed,
    )


def _mixed(both: Question, plain: SearchResult, most: float, share: float) -> Mixed:
    limited = replace(both, loss_scheme=None, loss_limit=share * most)
    found = [solve_questions([replace(limited, kv_by_layer=layer)]) for layer in (False, True)]
    gains = [0.0 if one is None else max(_gain(both, plain, one), 0.0) for one in found]
    kept = set(range(both.spec.layers)) if found[1] is None else _plain_layers(found[1])
    return Mixed(share, gains[0], gains[1], tuple(sorted(kept)))


def _solved(question: Question) -> SearchResult:
    found = solve_questions([question])
    if found is None:
        raise ValueError(f"{question.spec.id} does not fit {question.device.id}")
    return found


def _gain(question: Question, before: SearchResult, after: SearchResult) -> float:
    return improvement(question.objective, before.value, after.value)


def _plain_layers(found: SearchResult) -> set[int]:
    model = found.space.model
    return {
        layer
        for segment in found.segments
        if model.units[segment.unit].role == "cache" and model.choices[segment.choice] == PLAIN
        for layer in segment.layers
    }


def rows(targets: Sequence[Target]) -> Iterator[Row]:
    """Every target at its contexts."""
    for target in targets:
        for context in target.contexts:
            yield row_of(target, context)
            print(f"{target.model} at {context}", file=sys.stderr)


def shown(found: Sequence[Row]) -> str:
    """A line for each target at its longest context and half of the loss."""
    lines = []
    for row in found:
        if row.context != max(row.target.contexts):
            continue
        half = next(mix for mix in row.mixed if mix.share == SHOWN)
        lines.append(
            [
                row.target.model,
                f"{row.gain:+.1%}",
                f"{half.by_layer:+.1%}",
                f"{half.by_group:+.1%}",
                f"{len(half.plain_layers)} of {row.layers}",
            ]
        )
    head = ["model", "all", "by layer", "by group", "plain"]
    return table(head, lines)


def every(found: Sequence[Row]) -> str:
    """Every share of the loss, with the layers that stay plain."""
    head = [
        "model",
        "device",
        "engine",
        "cache",
        "context",
        "nats of all",
        "gain of all",
        "share of loss",
        "by layer",
        "by group",
        "plain layers",
    ]
    lines = [
        [
            row.target.model,
            f"{row.target.devices} × {row.target.device}",
            row.target.engine,
            f"{PLAIN} + {row.target.packed}",
            f"{row.context:,}",
            f"{row.loss_nats:.2g}",
            f"{row.gain:+.2%}",
            f"{mix.share:g}",
            f"{mix.by_layer:+.2%}",
            f"{mix.by_group:+.2%}",
            format_layers(mix.plain_layers) or "none",
        ]
        for row in found
        for mix in row.mixed
    ]
    return table(head, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.caches_by_layer", description=__doc__
    )
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the tables into this page")
    parser.add_argument("--models", default=",".join(t.model for t in TARGETS), help="with commas")
    options = parser.parse_args(arguments)
    wanted = options.models.split(",")
    found = list(rows([target for target in TARGETS if target.model in wanted]))
    text = f"{shown(found)}\n\n{moved('caches-by-layer', 'Every share of the loss', every(found))}"
    if options.docs is None:
        print(text)
        return 0
    insert(options.docs, text + "\n", "caches-by-layer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
