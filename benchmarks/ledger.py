"""``python -m benchmarks.ledger``: what evidence there is for each kind of deployment, counted from
shipped data alone, in one run:

* planner/planning/data/evidence_ledger.csv: compared rows of served models, published recipes and
  how operators are timed, by engine, version, device, class of model, class of layout, format,
  cache and speculation;
* docs/evidence/ledger.md: the same by engine, device and class of model, and what has nothing.

Run it again whenever served rows, recipes or device profiles have changed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from statistics import median, stdev

from benchmarks.ledger_operators import basis, weakest
from benchmarks.ledger_page import page
from evaluation.pages import publish
from planner.base.records import record
from planner.base.versions import Version, version_in
from planner.hardware.catalog import device_ids
from planner.lab.validation.served import spec_of
from planner.lookup import load_device
from planner.memory.engines.versions import known_versions
from planner.placement.deployment_kinds import LAYOUT_CLASSES
from planner.planning.practice.recipes import Recipe, recipes
from planner.planning.price.evidence import Residuals, served_residuals
from planner.planning.price.kinds import model_class
from planner.planning.price.ledger import LEDGER, LedgerRow

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "ledger.md"
GUIDES = ("guide", "config")
"""Kinds of recipes that their authors advise."""
HEAD = (
    "# Written by `python -m benchmarks.ledger` from served_residuals.csv, published_practice.csv",
    "# and hardware_profiles; no figure is typed. bias: the median of log(measured / predicted) of",
    "# a token's time; spread: its standard deviation; each served row has its source in the first",
    "# file, each recipe in the second.",
)
COLUMNS = tuple(f.name for f in fields(LedgerRow))
_OF_TABLE = re.compile(r"_v(\d+\.\d+)(?:_|$)")
_VERSION = re.compile(r"(>=)?(?:(?:vllm|sglang)(?:==|-(?:.*-)?))?v?(\d+\.\d[^-+]*)")


@record
class Key:
    """What rows of the ledger differ by."""

    engine: str
    version: str
    device: str
    architecture: str
    model_class: str
    layout: str
    format: str
    cache: str
    speculation: str


@record
class Entry:
    """One deployment of a key: the residuals of a served one, or what a recipe is for."""

    key: Key
    model: str
    residuals: tuple[float, ...] = ()
    recipes: int = 0
    guides: int = 0
    latency: int = 0
    throughput: int = 0


def build() -> tuple[LedgerRow, ...]:
    """All rows, by their keys in order."""
    groups: dict[Key, list[Entry]] = {}
    for entry in (*_served(served_residuals()), *map(_published, recipes())):
        groups.setdefault(entry.key, []).append(entry)
    order = sorted(groups, key=lambda key: [getattr(key, f.name) for f in fields(Key)])
    return tuple(_row(key, groups[key]) for key in order)


def as_csv(rows: tuple[LedgerRow, ...]) -> str:
    """The file of ``rows``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = (getattr(row, name) for name in COLUMNS)
        writer.writerow(
            "" if c is None else f"{c:.3f}" if isinstance(c, float) else c for c in cells
        )
    return "\n".join(HEAD) + "\n" + text.getvalue()


def minor_of(engine: str, text: str) -> str:
    """The minor of an engine's version (``0.21``, ``>=0.11``) in the words of a recipe; empty where
    they name none that the engine has: a nightly build, a branch, another product's version."""
    match = _VERSION.match(text)
    version = version_in(match[2].removesuffix(".x")) if match else None
    if match is None or version is None:
        return ""
    known = _known(engine)
    minors = {v.release[:2] for v in known}
    mine = (*version.release, 0)[:2]
    if version not in known and not (version.is_prerelease and mine in minors):
        return ""
    return f"{match[1] or ''}{mine[0]}.{mine[1]}"


@cache
def _known(engine: str) -> frozenset[Version]:
    texts = (known.text for known in known_versions(engine))
    return frozenset(v for v in map(version_in, texts) if v is not None)


def _served(lines: tuple[Residuals, ...]) -> Iterator[Entry]:
    """Lines of TPOT, and of throughput where a deployment has none: of these the sign is turned, so
    that above zero is slower than predicted."""
    timed = {_deployment(line) for line in lines if line.metric == "tpot"}
    for line in lines:
        if line.metric == "tpot":
            sign = 1.0
        elif line.metric == "throughput" and _deployment(line) not in timed:
            sign = -1.0
        else:
            continue
        kind = line.kind
        version = _OF_TABLE.search(line.table)
        key = Key(
            kind.engine,
            version[1] if version else "",
            kind.device,
            kind.architecture,
            kind.model,
            _layout(kind.layout),
            kind.precision,
            kind.cache,
            "",
        )
        yield Entry(key, line.model_id, tuple(sign * x for x in line.residuals))


def _deployment(line: Residuals) -> tuple[object, ...]:
    return line.kind, line.model_id, line.table


def _published(recipe: Recipe) -> Entry:
    architecture = load_device(recipe.device).architecture if recipe.device in device_ids() else ""
    key = Key(
        recipe.engine,
        minor_of(recipe.engine, recipe.version),
        recipe.device,
        architecture,
        class_of(recipe.model),
        _layout(recipe.layout),
        recipe.weights,
        recipe.kv,
        recipe.speculation.partition(":")[0],
    )
    latency, throughput = (word in recipe.purpose for word in ("latency", "throughput"))
    return Entry(
        key,
        recipe.model,
        recipes=1,
        guides=int(recipe.kind in GUIDES),
        latency=int(latency and not throughput),
        throughput=int(throughput and not latency),
    )


def _layout(name: str) -> str:
    """A class of layouts; independent copies count as what is copied."""
    return name if name in LAYOUT_CLASSES else "tp"


@cache
def class_of(model: str) -> str:
    """The class of a model of recipes."""
    return model_class(spec_of(model))


def _row(key: Key, entries: list[Entry]) -> LedgerRow:
    errors = [x for entry in entries for x in entry.residuals]
    models = sorted({entry.model for entry in entries})
    return LedgerRow(
        **{f.name: getattr(key, f.name) for f in fields(Key)},
        served=len(errors),
        bias=round(median(errors), 3) if errors else None,
        spread=round(stdev(errors), 3) if len(errors) > 1 else None,
        models=len(models),
        operators=weakest(
            basis(key.engine, key.device, key.layout, key.format, key.cache, spec_of(model))
            for model in models
        ),
        recipes=sum(entry.recipes for entry in entries),
        guides=sum(entry.guides for entry in entries),
        latency=sum(entry.latency for entry in entries),
        throughput=sum(entry.throughput for entry in entries),
    )


def main() -> None:
    """Write the file and the page."""
    rows = build()
    LEDGER.write_text(as_csv(rows), encoding="utf-8")
    publish(PAGE, page(rows))
    print("written:", *(path.relative_to(ROOT) for path in (LEDGER, PAGE)))


if __name__ == "__main__":
    main()
