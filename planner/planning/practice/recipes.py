"""Published deployments: the layout, format and cache that guides, configurations and sweeps of
others name for a model on a device (``data/published_practice.csv``).

A row says what somebody published, never how fast it was. Ranks are in the convention of
:class:`planner.placement.layout.Layout`: a worker has tp × dp × pp devices, dp being attention data
parallel, and ep divides tp · dp.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

from planner.base.records import record
from planner.formats.schemes import SCHEMES
from planner.hardware.catalog import device_ids, variant_ids
from planner.memory.engines.catalog import engine_names
from planner.placement.deployment_kinds import LAYOUT_CLASSES

TABLE = Path(__file__).resolve().parents[1] / "data" / "published_practice.csv"
KINDS = ("guide", "config", "sweep", "generator")
"""Kinds of sources, the strongest first: a guide's command, a configuration that ships with an
engine or a model, a configuration that a benchmark tried, a menu's command."""
LAYOUTS = (*LAYOUT_CLASSES, "replicas")
"""Classes of layouts, and independent copies of one."""
FAMILIES = ("nvidia", "amd")
"""Devices of a guide that names none."""
FORMATS = ("fp8", "gguf")
"""Words for weights whose scheme nobody states."""
_MIXTURE = re.compile(r"I?Q\d_\w+")
"""llama.cpp's names of its mixtures."""
PURPOSES = frozenset(
    ("default", "latency", "throughput", "long context", "agentic", "disaggregated")
)
CACHES = ("", "bf16", "fp8")
_FORMATS = frozenset(("", *FORMATS, *SCHEMES))
COLUMNS = (
    "model",
    "checkpoint",
    "device",
    "engine",
    "version",
    "devices",
    "nodes",
    "tp",
    "pp",
    "dp",
    "ep",
    "attention_dp",
    "workers",
    "prefill",
    "layout",
    "weights",
    "kv",
    "speculation",
    "flags",
    "isl",
    "osl",
    "concurrency_low",
    "concurrency_high",
    "purpose",
    "kind",
    "source",
    "date",
)


@record
class Recipe:
    """One published deployment.

    ``device`` is a bundled id or a word of FAMILIES, ``devices`` all of the deployment's. A worker
    is ``tp`` × ``dp`` × ``pp`` devices; ``workers`` are the decode workers of two pools, or
    independent copies, and ``prefill`` are the prefill workers (``2 x tp4``; empty: one pool).
    ``weights`` is a scheme, a mixture of llama.cpp, a word of FORMATS, or empty where the source
    says nothing; ``kv`` is empty for the engine's default, ``speculation`` for none (``mtp:3``:
    the model's own prediction layers, three tokens). ``isl`` and ``osl`` are tokens of prompt and
    answer, concurrency is requests in flight over the deployment; None where not stated. ``date``
    is that of the source, ISO 8601, or empty.
    """

    model: str
    checkpoint: str
    device: str
    engine: str
    version: str
    devices: int
    nodes: int | None
    tp: int
    pp: int
    dp: int
    ep: int
    attention_dp: bool
    workers: int
    prefill: str
    layout: str
    weights: str
    kv: str
    speculation: str
    flags: tuple[str, ...]
    isl: int | None
    osl: int | None
    concurrency_low: int | None
    concurrency_high: int | None
    purpose: str
    kind: str
    source: str
    date: str


@cache
def recipes() -> tuple[Recipe, ...]:
    """Every published deployment, by model in the catalogue's order, the strongest kind first.

    Raises:
        ValueError: a row names an engine, a layout, a format or a kind that is not known, or its
            ranks do not make its devices.
    """
    return tuple(recipe for model in _lines() for recipe in recipes_for(model))


_FORMAT = re.compile(r"-(?:bf16|fp8|fp4|nvfp4|mxfp4|mxfp8|int4|int8|awq|gptq|w4a16|w8a8|text)$")


def base_model(model_id: str) -> str:
    """What all releases of a model have in common: its id without the words of formats, and
    without that for the part that reads text."""
    base = _FORMAT.sub("", model_id)
    return base if base == model_id else base_model(base)


def of_releases(model_id: str) -> tuple[Recipe, ...]:
    """The published deployments of a bundled model, then those of the model that it is a release
    of, in whatever format that is given: weights and checkpoint are not theirs to say."""
    base = base_model(model_id)
    others = recipes_for(base) if base != model_id else ()
    return (
        *recipes_for(model_id),
        *(replace(recipe, weights="", checkpoint="") for recipe in others),
    )


@cache
def recipes_for(model_id: str) -> tuple[Recipe, ...]:
    """The published deployments of a bundled model; none where nobody published one. Rows of other
    models are not looked at.

    Raises:
        ValueError: as :func:`recipes`.
    """
    return tuple(map(_recipe, _lines().get(model_id, ())))


@cache
def _lines() -> dict[str, list[list[str]]]:
    """The cells of every row, by model."""
    index: defaultdict[str, list[list[str]]] = defaultdict(list)
    with TABLE.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if tuple(next(lines)) != COLUMNS:
            raise ValueError(f"{TABLE.name}: the columns are {', '.join(COLUMNS)}")
        for cells in lines:
            index[cells[0]].append(cells)
    return dict(index)


def _recipe(cells: list[str]) -> Recipe:
    row = dict(zip(COLUMNS, cells, strict=True))
    recipe = Recipe(
        model=row["model"],
        checkpoint=row["checkpoint"],
        device=row["device"],
        engine=row["engine"],
        version=row["version"],
        devices=int(row["devices"]),
        nodes=_number(row["nodes"]),
        tp=int(row["tp"]),
        pp=int(row["pp"]),
        dp=int(row["dp"]),
        ep=int(row["ep"]),
        attention_dp=row["attention_dp"] == "yes",
        workers=int(row["workers"]),
        prefill=row["prefill"],
        layout=row["layout"],
        weights=row["weights"],
        kv=row["kv"],
        speculation=row["speculation"],
        flags=tuple(filter(None, row["flags"].split("; "))),
        isl=_number(row["isl"]),
        osl=_number(row["osl"]),
        concurrency_low=_number(row["concurrency_low"]),
        concurrency_high=_number(row["concurrency_high"]),
        purpose=row["purpose"],
        kind=row["kind"],
        source=row["source"],
        date=row["date"],
    )
    problem = _problem(recipe)
    if problem:
        raise ValueError(f"{TABLE.name}: {problem}: {row}")
    return recipe


def _problem(recipe: Recipe) -> str:
    """What a row may not say, in words; empty where all is known."""
    ranks = recipe.tp * recipe.dp * recipe.pp * recipe.workers
    unknown = (
        ("engine", recipe.engine not in engine_names()),
        ("layout", recipe.layout not in LAYOUTS),
        ("format", recipe.weights not in _FORMATS and not _MIXTURE.fullmatch(recipe.weights)),
        ("cache", recipe.kv not in CACHES),
        ("kind", recipe.kind not in KINDS),
        ("device", recipe.device not in _devices()),
        ("purpose", not set(recipe.purpose.split(" / ")) <= PURPOSES),
    )
    for name, wrong in unknown:
        if wrong:
            return f"a {name} that is not known"
    if recipe.attention_dp != (recipe.dp > 1):
        return "attention data parallel is dp above 1"
    if (recipe.concurrency_low or 0) > (recipe.concurrency_high or 0):
        return "the lowest load is above the highest"
    if (recipe.layout == "pools") != bool(recipe.prefill):
        return "two pools have a prefill side, one pool has none"
    if ranks >= recipe.devices if recipe.prefill else ranks != recipe.devices:
        return "the ranks do not make the devices"
    return "" if (recipe.tp * recipe.dp) % recipe.ep == 0 else "ep does not divide tp x dp"


@cache
def _devices() -> frozenset[str]:
    return frozenset((*device_ids(), *variant_ids(), *FAMILIES))


def _number(text: str) -> int | None:
    return int(text) if text else None
