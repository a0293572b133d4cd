"""Repositories of published files, as data: ``published_repositories.csv``.

A row is one repository: the model that it was made of, the names that it gives its files with the
sizes that the source states, in GiB to 0.1 (``Q4_K_M=4.7``), and how often it was downloaded when
the source was made. The rows were gathered once (docs/reference/checkpoints.md says how). Rows of a
model stand in the order of preference: by container, plain repositories before those of variants,
ggml.org and the maker first, then unsloth, bartowski, LM Studio and mlx-community.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from functools import cache

from planner.base.records import record
from planner.planning.engines.rules import DATA

GGUF, MLX = "gguf", "mlx"
"""Containers of the files."""
_BITS = re.compile(r"(\d)bit")


@record
class PublishedRepository:
    """One repository. ``model`` is the bundled model of its structure ("" for one that is not
    bundled), ``of`` the repository that was converted; ``files`` are (name, size [GiB], 0 where not
    stated)."""

    model: str
    of: str
    repository: str
    container: str
    files: tuple[tuple[str, float], ...]
    downloads: int
    source: str
    seen: str


def repositories_of(model: str) -> tuple[PublishedRepository, ...]:
    """The repositories of a bundled model, () where none is known."""
    return _by_model().get(model, ())


def repository_named(name: str) -> PublishedRepository | None:
    """The repository of that name, in any case of letters."""
    return _by_name().get(name.lower())


@cache
def repositories() -> tuple[PublishedRepository, ...]:
    """Every repository, those of bundled models first."""
    with (DATA / "published_repositories.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            PublishedRepository(
                row["model"],
                row["of"],
                row["repository"],
                row["container"],
                tuple(_named(word) for word in row["files"].split()),
                int(row["downloads"]),
                row["source"],
                row["seen"],
            )
            for row in csv.DictReader(file)
        )


def mlx_bits(quant: str) -> int | None:
    """The bits of a name that mlx_lm.convert gives uniform weights (``4bit``), else None."""
    match = _BITS.fullmatch(quant.lower())
    return None if match is None else int(match[1])


def _named(word: str) -> tuple[str, float]:
    """``Q4_K_M=4.7`` → the name and the size in GiB, 0 without one."""
    name, _, size = word.partition("=")
    return name, float(size or 0)


@cache
def _by_model() -> dict[str, tuple[PublishedRepository, ...]]:
    rows: dict[str, list[PublishedRepository]] = defaultdict(list)
    for row in repositories():
        if row.model:
            rows[row.model].append(row)
    return {model: tuple(mine) for model, mine in rows.items()}


@cache
def _by_name() -> dict[str, PublishedRepository]:
    return {row.repository.lower(): row for row in repositories()}
