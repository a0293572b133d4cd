"""Public quantised releases of models, as data: ``data/checkpoints.csv``, the GGUF files in
mixtures of llama.cpp (``gguf_files``), and files of a user's own.

A row is one repository (one file of it for GGUF) with the scheme of each group of its linears. What
a row says was read at ``source`` on the day ``seen``; what nobody stated has no row.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from planner.base.errors import DataError, InputError, nearest_names
from planner.base.records import record
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.formats.stored_schemes import mlx_scheme_ids
from planner.models.spec import ModelSpec
from planner.placement.modules import (
    AS_RELEASED_KINDS,
    EXPERT_KINDS,
    PLANNED_KINDS,
    modules,
)
from planner.planning.engines.gguf_files import (
    PublishedGguf,
    all_gguf_files,
    gguf_files_of,
)
from planner.planning.engines.mixes import engine_mixes, mix_places
from planner.planning.engines.repositories import GGUF, MLX, mlx_bits, repositories_of
from planner.planning.engines.rules import DATA

CHECKPOINTS_VARIABLE = "PLAN_CHECKPOINTS"
COLUMNS = (
    "model",
    "repository",
    "of",
    "attention",
    "dense",
    "experts",
    "plain",
    "also",
    "kv",
    "container",
    "note",
    "source",
    "seen",
)
NEEDED = ("model", "repository", "container", "source", "seen")
ATTENTION_KINDS = ("attention-qkv", "mla-q", "mla-kv", "attention-out", "linear-attention")
HUB_QUANT = "q4_k_m"
CONVERTED = DATA / "converted_releases.csv"
PLAIN_SCHEME = "bf16"
"""What a group without a scheme, and the kinds of ``plain``, are stored in."""


@record
class PublishedWeights:
    """One release. ``attention``, ``dense`` (other linears, shared experts) and ``experts`` are
    schemes, or a mix of ``data/engine_mixes.csv``; empty: plain. ``plain`` are kinds of modules
    that stay plain all the same, ``also`` kinds outside the linears that are quantised too. ``kv``
    is the cache layout that it holds scales for, ``container`` the formats it may be in, ``of`` the
    repository that was quantised."""

    model: str
    repository: str
    of: str
    attention: str
    dense: str
    experts: str
    plain: tuple[str, ...]
    also: tuple[str, ...]
    kv: str
    container: tuple[str, ...]
    note: str
    source: str
    seen: str

    @property
    def publisher(self) -> str:
        """Who released it: the part of the repository before the slash."""
        return self.repository.partition("/")[0]

    def group(self, kind: str) -> str:
        """The scheme or mix of the linears of ``kind``."""
        if kind in self.plain:
            return PLAIN_SCHEME
        name = (
            self.experts
            if kind in EXPERT_KINDS
            else self.attention
            if kind in ATTENTION_KINDS
            else self.dense
        )
        return name or PLAIN_SCHEME

    def by_kind(self, spec: ModelSpec) -> str:
        """Its schemes as a named assignment of the model: one scheme or mixture, and the kinds of
        linears that have another (``nvfp4,attention-qkv=bf16``)."""
        kinds = sorted({m.kind for m in modules(spec)} & set(PLANNED_KINDS))
        groups = {kind: self.group(kind) for kind in kinds}
        first = self.dense or self.experts or self.attention or PLAIN_SCHEME
        others = (f"{kind}={name}" for kind, name in groups.items() if name != first)
        return ",".join((first, *others))

    def schemes_of(self, matrix: str, layer: int, spec: ModelSpec) -> frozenset[str]:
        """The schemes of the matrices of a kind, or of its part (``attention-qkv.v``), in
        ``layer`` (−1 outside the stack); none where a mix has no type for them."""
        kind, _, part = matrix.partition(".")
        name = self.group(kind)
        if name not in engine_mixes():
            return frozenset((name,))
        return frozenset(
            place.scheme
            for (k, p, n), place in mix_places(spec, name).items()
            if (k, n) == (kind, layer) and part in ("", p)
        )


def published_weights(model: str) -> tuple[PublishedWeights, ...]:
    """The releases of a model: those of the user's files first, then the bundled ones, of which
    files in mixtures of llama.cpp that ``data/checkpoints.csv`` does not name come last.

    Raises:
        InputError: a file of ``PLAN_CHECKPOINTS`` does not exist. DataError: it is malformed.
    """
    own = [row for path in _own_files() for row in read_published(path)]
    return (*(row for row in own if row.model == model), *_bundled(model))


def release_named(name: str) -> PublishedWeights | None:
    """The release of a bundled model that ``name`` is: a repository as the hub has it, with or
    without who published it, in any case of letters; of GGUF one file of it, ``REPOSITORY:QUANT``
    (without QUANT the one in Q4_K_M, which llama.cpp's ``-hf`` takes). None where none is known.

    Raises:
        InputError, DataError: as :func:`published_weights`.
    """
    wanted = name.strip().lower()
    own = [row for path in _own_files() for row in read_published(path)]
    rows = (
        *own,
        *_checkpoints(),
        *(_in_gguf(f) for f in all_gguf_files() if f.quant in engine_mixes()),
    )
    for spelling in (wanted, f"{wanted}:{HUB_QUANT}"):
        for row in rows:
            place = row.repository.lower()
            if spelling in (place, place.partition("/")[2]):
                return row
    return None


def read_published(path: str | os.PathLike[str]) -> tuple[PublishedWeights, ...]:
    """A table of releases: CSV in the columns of :data:`COLUMNS`, those of :data:`NEEDED` filled.

    Raises:
        InputError: the file cannot be read. DataError: its columns or a value are not understood.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_columns(str(path), reader.fieldnames or ())
            return tuple(
                _row(f"{path}, line {number}", row) for number, row in enumerate(reader, start=2)
            )
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text", hint="save it as CSV in UTF-8") from None
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}", hint=f"check the files of {CHECKPOINTS_VARIABLE}"
        ) from None


def _own_files() -> list[str]:
    return [p for p in os.environ.get(CHECKPOINTS_VARIABLE, "").split(os.pathsep) if p]


@cache
def _bundled(model: str) -> tuple[PublishedWeights, ...]:
    rows = tuple(row for row in _checkpoints() if row.model == model)
    named = {row.dense for row in rows if row.container == (GGUF,)}
    quants = {file.quant for file in gguf_files_of(model)} & set(engine_mixes()) - named
    first: dict[tuple[str, str], PublishedGguf] = {}
    for file in gguf_files_of(model):
        first.setdefault((file.quant, file.of.lower()), file)
    files = sorted((f for f in first.values() if f.quant in quants), key=lambda f: f.quant)
    return (*rows, *map(_in_gguf, files), *_in_mlx(model))


@cache
def _checkpoints() -> tuple[PublishedWeights, ...]:
    return read_published(DATA / "checkpoints.csv")


def _in_gguf(file: PublishedGguf) -> PublishedWeights:
    """A file in a mixture of llama.cpp, which gives every linear its type."""
    mix, also = file.quant, ("embedding", "head")
    return PublishedWeights(
        file.model,
        file.place,
        file.of,
        mix,
        mix,
        mix,
        (),
        also,
        "",
        (GGUF,),
        "",
        file.source,
        file.seen,
    )


def _in_mlx(model: str) -> tuple[PublishedWeights, ...]:
    """The repositories of mlx_lm.convert's uniform formats: the same bits in groups of 64 in every
    matrix, embedding and head with them. The first of each checkpoint and format."""
    first: dict[tuple[str, str], PublishedWeights] = {}
    for row in repositories_of(model):
        bits = mlx_bits(row.files[0][0]) if row.container == MLX else None
        scheme = f"mlx-{bits}bit-g64" if bits else ""
        if scheme in mlx_scheme_ids():
            weights = PublishedWeights(
                row.model,
                row.repository,
                row.of,
                scheme,
                scheme,
                scheme,
                (),
                ("embedding", "head"),
                "",
                (MLX,),
                "",
                row.source,
                row.seen,
            )
            first.setdefault((scheme, row.of.lower()), weights)
    return tuple(first.values())


def _check_columns(path: str, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    missing = [name for name in NEEDED if name not in names]
    if unknown:
        raise DataError(
            f"{path}: unknown column {unknown[0]!r}", hint=nearest_names(unknown[0], COLUMNS)
        )
    if missing:
        raise DataError(
            f"{path}: column {missing[0]!r} is missing", hint="columns: " + ", ".join(COLUMNS)
        )


def _row(where: str, row: dict[str, str]) -> PublishedWeights:
    if None in row or None in row.values():
        raise DataError(f"{where}: not as many values as columns", hint="quote values with commas")
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    for name in NEEDED:
        if not values[name]:
            raise DataError(
                f"{where}: {name} is empty", hint="a release needs its " + ", ".join(NEEDED)
            )
    for name in ("attention", "dense", "experts"):
        _known(where, name, filter(None, [values[name]]), [*SCHEMES, *engine_mixes()])
    _known(where, "kv", filter(None, [values["kv"]]), KV_LAYOUTS)
    _known(where, "plain", values["plain"].split(), PLANNED_KINDS)
    _known(where, "also", values["also"].split(), AS_RELEASED_KINDS)
    return PublishedWeights(
        values["model"],
        values["repository"],
        values["of"],
        values["attention"],
        values["dense"],
        values["experts"],
        tuple(values["plain"].split()),
        tuple(values["also"].split()),
        values["kv"],
        tuple(values["container"].split()),
        values["note"],
        values["source"],
        values["seen"],
    )


def _known(where: str, column: str, names: Iterable[str], known: Iterable[str]) -> None:
    valid = list(known)
    for name in names:
        if name not in valid:
            raise DataError(
                f"{where}: {column} {name!r} is unknown", hint=nearest_names(name, valid)
            )


@cache
def published_counts() -> dict[tuple[str, str], int]:
    """(model, scheme or mixture) → how many bundled releases store the linears, or the experts,
    in it; over all models under an empty model."""
    rows = (*_checkpoints(), *map(_in_gguf, all_gguf_files()))
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        for name in {row.dense, row.experts} - {""}:
            for key in ((row.model, name), ("", name)):
                counts[key] = counts.get(key, 0) + 1
    return counts


@cache
def converted_releases() -> dict[str, str]:
    """Model → a repository with its release in GGUF, every weight in the release's own type."""
    with CONVERTED.open(encoding="utf-8", newline="") as file:
        return {row["model"]: row["repository"] for row in csv.DictReader(file)}
