"""Which kernel an engine's own selector picks: the rows of ``data/engine_kernels.csv``.

A row holds for an engine from version ``since`` (included) to ``until`` (excluded), on ranges of
compute capability (ends included), for a module (``dense``, ``moe``, ``attention``), some schemes
(of attention: cache layouts), a case, an installation and some layouts. The first row that fits
counts. It was read in the version ``read_in``; what other versions pick is taken to be alike.
Optional parts that are absent change some choices: rows of such an installation go first.
"""

from __future__ import annotations

import csv
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from planner.base.records import record
from planner.base.versions import Version, end_of, holds_at, version_of

Module = Literal["dense", "moe", "attention"]
Spans = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
Route = Literal["native", "weight-only", "refused", "unknown"]
PATHS: tuple[Route, ...] = ("native", "weight-only", "refused", "unknown")
INSTALLED = ("full", "no-flashinfer", "no-cubins", "no-deepgemm", "no-humming")
LAYOUTS = ("tp", "ep", "dp", "dp-ep", "tp-dp-ep", "deepep-ht", "deepep-ll")
"""How experts lie: sharded over tensor-parallel ranks (``tp``) or whole on them (``ep``); with
attention data parallelism and no expert parallelism (``dp``), with it (``dp-ep``), both axes above
1 (``tp-dp-ep``); and ``dp-ep`` exchanged by DeepEP."""
_DATA = Path(__file__).resolve().parent / "data"
_ANY = "*"


@record
class KernelChoice:
    """What an engine runs: ``kernel`` is the engine's own name, BACKEND:CLASS of vLLM's experts.

    ``path`` says whether quantised activations are multiplied (``native``), weights are widened
    and activations kept in 16 bits (``weight-only``), or nothing runs (``refused``); ``reason`` is
    empty where the engine does as the scheme asks. ``read_in`` is the version that was read.
    """

    kernel: str
    path: Route
    reason: str
    read_in: str
    source: str


@record
class _Row:
    engine: str
    since: Version
    until: Version | None
    spans: Spans
    module: str
    schemes: tuple[str, ...]
    cases: tuple[str, ...]
    installed: str
    layouts: tuple[str, ...]
    choice: KernelChoice


@lru_cache(maxsize=32_768)
def chosen_kernel(
    engine: str,
    version: Version,
    compute_capability: str | None,
    module: Module,
    scheme: str,
    *,
    layout: str = "tp",
    case: str = "",
    installed: str = "full",
) -> KernelChoice | None:
    """What ``engine`` runs ``scheme`` (of attention: a cache layout) on, or None where no source
    says.

    ``case`` is the checkpoint format (``compressed-tensors``, ``fp8``, ``modelopt-mixed``,
    ``mxfp4``), of attention the kind (``heads``, ``heads-sinks``, ``latent-dense``,
    ``latent-sparse``), ``overridden`` for models whose experts SGLang gives another runner; empty:
    the first that the file names. ``layout`` is of LAYOUTS, ``installed`` of INSTALLED; what an
    absent part does not change is as in the full installation.
    """
    if compute_capability is None:
        return None
    here = version_numbers(compute_capability)
    for wanted in dict.fromkeys((installed, "full")):
        for row in _rows(engine, module, scheme):
            if (
                row.installed == wanted
                and holds_at(row.since, row.until, version)
                and in_ranges(here, row.spans)
                and (not case or row.cases == (_ANY,) or case in row.cases)
                and (row.layouts == (_ANY,) or layout in row.layouts)
            ):
                return row.choice
    return None


@cache
def _rows(engine: str, module: str, scheme: str) -> tuple[_Row, ...]:
    return tuple(
        row
        for row in _all()
        if row.engine == engine and row.module == module and scheme in row.schemes
    )


@cache
def _all() -> tuple[_Row, ...]:
    with (_DATA / "engine_kernels.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_read(row) for row in csv.DictReader(file))


def _read(row: dict[str, str]) -> _Row:
    path = next((p for p in PATHS if p == row["path"]), None)
    layouts = tuple(row["layouts"].split())
    if (
        path is None
        or row["installed"] not in INSTALLED
        or not row["source"]
        or not (layouts == (_ANY,) or set(layouts) <= set(LAYOUTS))
    ):
        raise ValueError(f"engine_kernels.csv: {row}")
    return _Row(
        row["engine"],
        version_of(row["since"]),
        end_of(row["until"]),
        capability_ranges(row["sm"]),
        row["module"],
        tuple(row["schemes"].split()),
        tuple(row["case"].split()),
        row["installed"],
        layouts,
        KernelChoice(row["kernel"], path, row["reason"], row["read_in"], row["source"]),
    )


def capability_ranges(text: str) -> Spans:
    """Ranges of compute capability as written (``8.0-8.6 9.0``), ends included."""
    return tuple(
        (version_numbers(low), version_numbers(high or low))
        for low, _, high in (span.partition("-") for span in text.split())
    )


def in_ranges(here: tuple[int, ...], spans: Spans) -> bool:
    """Whether a compute capability lies in one of ``spans``."""
    return any(low <= here <= high for low, high in spans)


def version_numbers(text: str) -> tuple[int, ...]:
    """The numbers of a compute capability; none of an empty text."""
    return tuple(int(part) for part in text.split(".")) if text else ()
