"""Files that are published in GGUF, as data: ``data/gguf_files.csv``, then those of
:mod:`planner.planning.engines.repositories`.

A row is one file, or one set of parts, of a repository, in the name that the repository gives its
mixture. Rows of a model stand in the order of preference: of the model itself or its tuned release
before other variants, ggml.org's and the maker's own repositories first, then those of unsloth,
bartowski and LM Studio. A file that nobody was seen to name has no row.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

from planner.base.records import record
from planner.planning.engines.repositories import GGUF, PublishedRepository, repositories
from planner.planning.engines.rules import DATA


@record
class PublishedGguf:
    """One published file. ``quant`` is its mixture (``Q4_K_M``), ``of`` the repository that was
    converted, ``file`` its name, and ``size_bytes`` its exact size: "" and 0 where not stated."""

    model: str
    of: str
    repository: str
    quant: str
    file: str
    size_bytes: int
    source: str
    seen: str

    @property
    def place(self) -> str:
        """What llama.cpp's ``-hf`` takes."""
        return f"{self.repository}:{self.quant}"


def gguf_files_of(model_id: str) -> tuple[PublishedGguf, ...]:
    """The published files of a bundled model, the preferred ones first; () where none is known."""
    return _files().get(model_id, ())


def all_gguf_files() -> tuple[PublishedGguf, ...]:
    """The published files of all bundled models."""
    return tuple(file for files in _files().values() for file in files)


def published_file(model_id: str, quant: str) -> PublishedGguf | None:
    """The preferred file of a model in one mixture (in any case of letters), None without one."""
    wanted = quant.lower()
    return next((row for row in gguf_files_of(model_id) if row.quant.lower() == wanted), None)


@cache
def _files() -> dict[str, tuple[PublishedGguf, ...]]:
    rows: dict[str, list[PublishedGguf]] = defaultdict(list)
    with (DATA / "gguf_files.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows[row["model"]].append(
                PublishedGguf(
                    row["model"],
                    row["of"],
                    row["repository"],
                    row["quant"],
                    row["file"],
                    int(row["size_bytes"] or 0),
                    row["source"],
                    row["seen"],
                )
            )
    for repository in repositories():
        if repository.container == GGUF and repository.model:
            rows[repository.model] += _files_in(repository, rows[repository.model])
    return {model: tuple(files) for model, files in rows.items()}


def _files_in(
    repository: PublishedRepository, known: Sequence[PublishedGguf]
) -> list[PublishedGguf]:
    """The files of a repository that are not ``known``."""
    there = {file.quant for file in known if file.repository == repository.repository}
    return [
        PublishedGguf(
            repository.model,
            repository.of,
            repository.repository,
            quant,
            "",
            0,
            repository.source,
            repository.seen,
        )
        for quant, _ in repository.files
        if quant not in there
    ]
