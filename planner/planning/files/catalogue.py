"""Files that are published of popular models: repositories as data
(:mod:`planner.planning.engines.repositories`), sizes that somebody states to the byte
(``published_bytes.csv``) or that are counted, and what fetches each.

Releases for servers (AWQ, GPTQ, FP8, NVFP4) are those of
:mod:`planner.planning.engines.published`. A file that nobody was seen to name is not there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

from planner.base.errors import UnknownNameError
from planner.base.records import record
from planner.base.units import GIB
from planner.models.catalog import model_ids, named_id, named_repository
from planner.models.spec import ModelSpec
from planner.planning.engines.published import PublishedWeights, published_weights
from planner.planning.engines.repositories import (
    GGUF,
    MLX,
    PublishedRepository,
    repositories,
    repositories_of,
    repository_named,
)
from planner.planning.engines.rules import DATA
from planner.planning.files.sizes import gguf_bytes, mlx_bytes

Basis = Literal["stated", "computed", "rounded", ""]
STATED: Basis = "stated"
COMPUTED: Basis = "computed"
ROUNDED: Basis = "rounded"
HUB = "https://huggingface.co"
"""How LM Studio's `lms get` is told that a repository is of the hub: ORG/NAME alone is one of its
own (lmstudio-ai/lms 07b7252, src/subcommands/get.ts)."""
SAME_GIB = 0.06
"""By how much a counted size may differ from one that is stated to 0.1 GiB and be the same file."""
SAME_SHARE = 0.005
"""The same, as a share of the size."""


@record
class PublishedFile:
    """One file, or one set of parts, of ``repository``: ``quant`` is its name there, ``container``
    its format (``gguf``, ``mlx``, or what a server reads).

    ``bytes`` have a ``basis``: stated by a source, computed from the rules of what made it (and
    equal to what a source states to 0.1 GiB), or rounded (stated to 0.1 GiB only); None with an
    empty basis where nobody says. ``of`` is the repository that was converted, ``model`` the
    bundled model of its structure ("" without one). ``downloads`` are those when the source was
    ``seen`` (ISO date).
    """

    model: str
    of: str
    repository: str
    container: str
    quant: str
    bytes: int | None
    basis: Basis
    downloads: int
    source: str
    seen: str

    @property
    def place(self) -> str:
        """What is handed to an engine: the repository, and of a GGUF repository which file."""
        return f"{self.repository}:{self.quant}" if self.container == GGUF else self.repository

    @property
    def commands(self) -> dict[str, str]:
        """Program → the command that fetches and runs the file."""
        if self.container == GGUF:
            return {
                "llama.cpp": f"llama-server -hf {self.place}",
                "ollama": f"ollama run hf.co/{self.place}",
                "LM Studio": f"lms get {HUB}/{self.repository}@{self.quant.lower()}",
            }
        if self.container == MLX:
            return {
                "mlx": f"mlx_lm.generate --model {self.repository}",
                "LM Studio": f"lms get {HUB}/{self.repository}",
            }
        return {}

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "model": self.model or None,
            "of": self.of,
            "repository": self.repository,
            "container": self.container,
            "quant": self.quant,
            "bytes": self.bytes,
            "basis": self.basis or None,
            "downloads": self.downloads or None,
            "commands": self.commands,
            "source": self.source,
            "seen": self.seen,
        }


def files_of(name: str, spec: ModelSpec | None = None) -> tuple[PublishedFile, ...]:
    """The published files of a model, the preferred repositories first; sizes are counted where
    ``spec`` is given. ``name`` is a bundled id or any of its names, or a repository that files
    are known to be made of.

    Raises:
        UnknownNameError: no file of such a model is known.
    """
    from planner.models.common_names import common_name

    common = common_name(name)
    model = named_id(name) if common is None else common.id
    rows = repositories_of(model or "")
    another = named_repository(name if common is None else common.name)
    if another is not None:
        rows = tuple(row for row in rows if row.of.lower() == another.lower()) or rows
    if model is None:
        wanted = name.strip().lower()
        rows = tuple(
            row
            for row in repositories()
            if not row.model and wanted in (row.of.lower(), row.of.partition("/")[2].lower())
        )
    files = tuple(_file(row, quant, stated, spec) for row in rows for quant, stated in row.files)
    servers = tuple(_release(model, row) for row in _releases(model)) if model else ()
    if not files and not servers:
        raise UnknownNameError("model with known files", name, known_models())
    return files + servers


def file_at(place: str, spec: ModelSpec | None = None) -> PublishedFile | None:
    """The file that an engine is handed as ``place`` (``REPOSITORY:QUANT``; a repository alone
    where it holds one model), None where no source shows it. Sizes as in :func:`files_of`."""
    repository, _, quant = place.partition(":")
    row = repository_named(repository)
    if row is None:
        return None
    for name, stated in row.files:
        if name.lower() == quant.lower() or (not quant and row.container == MLX):
            return _file(row, name, stated, spec)
    return None


def known_models() -> tuple[str, ...]:
    """The bundled models, and the repositories of others, that files are known of."""
    others = dict.fromkeys(row.of for row in repositories() if not row.model)
    return (*(m for m in model_ids() if repositories_of(m)), *others)


def _file(
    row: PublishedRepository, quant: str, stated: float, spec: ModelSpec | None
) -> PublishedFile:
    size, basis = _size(row, quant, stated, spec)
    return PublishedFile(
        row.model,
        row.of,
        row.repository,
        row.container,
        quant,
        size,
        basis,
        row.downloads,
        row.source,
        row.seen,
    )


def _size(
    row: PublishedRepository, quant: str, stated: float, spec: ModelSpec | None
) -> tuple[int | None, Basis]:
    """(bytes, how they are known) of one file; ``stated`` in GiB, 0 for not stated."""
    exact = _exact().get((row.repository.lower(), quant.lower()))
    if exact:
        return exact, STATED
    for counted in () if spec is None else size_counts(row.container, spec, quant):
        if not stated or _same(counted / GIB, stated):
            return counted, COMPUTED
    return (round(stated * GIB), ROUNDED) if stated else (None, "")


def size_counts(container: str, spec: ModelSpec, quant: str) -> Iterator[int]:
    """What a file may have: of GGUF without prediction layers, as most converters leave them out,
    and with them."""
    if container != GGUF:
        counts = [mlx_bytes(spec, quant)]
    else:
        ways = (False, True) if spec.mtp_layers else (False,)
        counts = [gguf_bytes(spec, quant, predicts=with_them) for with_them in ways]
    yield from filter(None, counts)


def _same(counted_gib: float, stated_gib: float) -> bool:
    return abs(counted_gib - stated_gib) <= max(SAME_GIB, SAME_SHARE * stated_gib)


def _releases(model: str) -> list[PublishedWeights]:
    return [row for row in published_weights(model) if not {GGUF, MLX} & set(row.container)]


def _release(model: str, row: PublishedWeights) -> PublishedFile:
    """A release for servers: its schemes are its name."""
    schemes = dict.fromkeys(filter(None, (row.dense, row.experts)))
    return PublishedFile(
        model,
        row.of,
        row.repository,
        " ".join(row.container),
        "+".join(schemes) or row.attention,
        None,
        "",
        0,
        row.source,
        row.seen,
    )


@cache
def _exact() -> dict[tuple[str, str], int]:
    with (DATA / "published_bytes.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["repository"].lower(), row["quant"].lower()): int(row["bytes"])
            for row in csv.DictReader(file)
        }
