"""Weights that need not be made: a public release of a plan, or a format the engine makes itself.

Both are judged by units alone, (kind, layers, scheme) each: a release is a plan's if every linear
is stored in the plan's scheme and nothing that the plan keeps plain is quantised. What differs in
small is said, never passed over.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

from planner.base.records import record
from planner.base.versions import Version, end_of, holds_at, version_of
from planner.formats.schemes import SCHEMES
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Message, Text, message
from planner.models.spec import ModelSpec
from planner.placement.modules import AS_RELEASED_KINDS, EXPERT_KINDS, PLANNED_KINDS
from planner.planning.engines.mixes import OUTSIDE, engine_mixes
from planner.planning.engines.published import PublishedWeights, published_weights
from planner.planning.engines.repositories import GGUF, MLX
from planner.planning.engines.rules import (
    DATA,
    PLAIN,
    RuleSource,
    kind_group,
    on_device,
    support_cell,
)
from planner.throughput.kernels import WEIGHT_ONLY_OF

Unit = tuple[str, tuple[int, ...], str]
"""A decision as an engine sees it: kind of module, or one matrix of it (``attention-qkv.v``),
layers, scheme."""
_READ_AS = {"modelopt": ("modelopt", "modelopt-mixed"), "awq": ("awq", "gptq")}
"""Checkpoint formats that the engine matrix knows under another name: an engine that reads mixed
ModelOpt checkpoints reads uniform ones, AWQ weights run on the kernels of GPTQ ones."""
_TUNED = re.compile(r"-(?:instruct|base|it|pt|hf|text|\d{4})(?=-|$)")
_SMALL = ("embedding", "head", "indexer")
"""What a release may quantise beside the plan's choice; said as a difference."""
_AWQ_READERS = ("vllm", "sglang")
_NAMED_AS = {
    "release": ("assumptions.release_in_formats", "release"),
    "another": ("assumptions.another_checkpoint", "name"),
}
"""Ids of what is said of a checkpoint that was named as the model, and the hole of its name."""


@record
class ReadyMade:
    """A public release that is a plan. ``repository`` is what the engine is given,
    ``differences`` are words on what is not quite as the plan has it."""

    repository: str
    of: str
    publisher: str
    container: str
    differences: tuple[Text, ...]
    source: str
    seen: str


@record
class MadeWhileLoading:
    """A format that an engine makes of plain weights: ``command`` are its flags or its call."""

    engine: str
    dense: str
    experts: str
    command: str
    note: str
    source: RuleSource


def named_checkpoint(reasons: Iterable[Text], kind: Literal["release", "another"]) -> str:
    """The repository that was named as the model, by the reasons of a question's notes: a
    ``release`` in other formats, or ``another`` checkpoint of the same structure; empty where none
    was."""
    id, hole = _NAMED_AS[kind]
    found = (r for r in reasons if isinstance(r, Message) and r.id == id)
    return next((str(dict(reason.values)[hole]) for reason in found), "")


def checkpoint_of(
    spec: ModelSpec,
    device: DeviceProfile,
    engine: Engine | None,
    units: Iterable[Unit],
    kv: Sequence[str] = (),
    *,
    named: str = "",
    another: str = "",
) -> ReadyMade | None:
    """The first public release of ``spec`` that ``units`` describe and ``engine`` serves on
    ``device`` (None: any), before others the one that was ``named``, then those made of
    ``another`` checkpoint that was named, else no files of a younger model; ``kv`` are the cache
    layouts of the plan. None where none is known.

    Raises:
        InputError, DataError: a file of the user's own (see
            :func:`planner.planning.engines.published.published_weights`).
    """
    wanted = tuple(units)
    wanted_of = another.lower()
    rows = list(published_weights(spec.id)) if another else _own_rows(spec)
    for row in sorted(
        rows,
        key=lambda row: (row.repository != named, row.of.lower() != wanted_of),
    ):
        container = _served_as(row, device, engine, wanted, spec)
        if container is not None:
            return ReadyMade(
                row.repository,
                row.of,
                row.publisher,
                container,
                _differences(row, wanted, kv, spec),
                row.source,
                row.seen,
            )
    return None


def _own_rows(spec: ModelSpec) -> list[PublishedWeights]:
    """The releases of a model without files of a younger model of the same structure, which has to
    be named; all where no file is of the model by its name."""
    rows = list(published_weights(spec.id))
    files = [row for row in rows if {GGUF, MLX} & set(row.container)]
    wanted = _plain_name(spec.public_name)
    away = [row for row in files if row.of and not _plain_name(row.of).startswith(wanted)]
    return rows if len(away) == len(files) else [row for row in rows if row not in away]


def _plain_name(repository: str) -> str:
    """A repository's name without what tells tuned releases and dates."""
    return _TUNED.sub("", repository.rpartition("/")[2].lower().removeprefix("meta-"))


def made_while_loading(
    spec: ModelSpec, device: DeviceProfile, engine: Engine | None, units: Iterable[Unit]
) -> MadeWhileLoading | None:
    """What ``engine`` is told to make of the plain release of ``spec`` so that every linear is as
    in ``units``; None where it makes no such format, where the release is quantised, and where
    somebody publishes them: weights that exist need no making."""
    wanted = tuple(units)
    if engine is None or spec.quantization not in PLAIN:
        return None
    if _published(spec, device, engine, wanted):
        return None
    linear = [(name.partition(".")[0], where, scheme) for name, where, scheme in wanted]
    linear = [unit for unit in linear if unit[0] in PLANNED_KINDS or unit[2] not in PLAIN]
    if any(kind in AS_RELEASED_KINDS for kind, _, _ in linear):
        return None
    dense = {scheme for kind, _, scheme in linear if kind not in EXPERT_KINDS}
    experts = {scheme for kind, _, scheme in linear if kind in EXPERT_KINDS}
    for since, until, where, made in _formats(engine.name):
        if (
            holds_at(since, until, engine.version)
            and on_device(where, device)
            and dense == {made.dense}
            and experts in (set(), {made.experts})
        ):
            return made
    return None


def _published(
    spec: ModelSpec, device: DeviceProfile, engine: Engine, units: Sequence[Unit]
) -> bool:
    """Whether these units of the model are published, in a format that ``engine`` reads here."""
    return any(
        _served_as(row, device, engine, units, spec) is not None
        for row in published_weights(spec.id)
    )


def _served_as(
    row: PublishedWeights,
    device: DeviceProfile,
    engine: Engine | None,
    units: Sequence[Unit],
    spec: ModelSpec,
) -> str | None:
    """The format in which a release is these units on this engine; None where it is not."""
    for container in row.container:
        if all(_same(row, container, device, engine, unit, spec) for unit in units):
            return container
    return None


def _same(
    row: PublishedWeights,
    container: str,
    device: DeviceProfile,
    engine: Engine | None,
    unit: Unit,
    spec: ModelSpec,
) -> bool:
    matrix, where, scheme = unit
    kind = matrix.partition(".")[0]
    if kind in AS_RELEASED_KINDS:
        if row.dense in engine_mixes() and kind in row.also:
            # A file of a mixture gives them its own types, which its engine decides as others.
            return scheme in row.schemes_of(kind, OUTSIDE, spec)
        return scheme in PLAIN or kind in row.also
    if kind not in PLANNED_KINDS:
        return True
    return all(
        _runs(stored, scheme, kind, container, device, engine)
        for layer in where
        for stored in row.schemes_of(matrix, layer, spec)
    )


def _runs(
    stored: str,
    scheme: str,
    kind: str,
    container: str,
    device: DeviceProfile,
    engine: Engine | None,
) -> bool:
    """Whether weights in ``stored`` are what the plan runs as ``scheme``: the same, or the very
    weights whose activations the engine leaves in 16 bits here."""
    if stored in PLAIN or scheme in PLAIN:
        return stored in PLAIN and scheme in PLAIN
    widened = (
        WEIGHT_ONLY_OF.get(stored) == scheme and SCHEMES[stored].weight == SCHEMES[scheme].weight
    )
    if stored != scheme and not widened:
        return False
    if engine is None:
        return stored == scheme
    wanted = "supported" if stored == scheme else "emulated"
    return any(
        support_cell(engine, device, "scheme", stored, kind_group(kind), name).status == wanted
        for name in _containers(engine, container)
    )


def _containers(engine: Engine, container: str) -> tuple[str, ...]:
    if container == "awq" and engine.name not in _AWQ_READERS:
        return ("awq",)
    return _READ_AS.get(container, (container,))


def _differences(
    row: PublishedWeights, units: Sequence[Unit], kv: Sequence[str], spec: ModelSpec
) -> tuple[Text, ...]:
    """What a release has otherwise than the plan."""
    differences: list[Text] = [row.note] if row.note else []
    plain = {kind for kind, _, scheme in units if kind in _SMALL and scheme in PLAIN}
    extra = [kind for kind in row.also if kind in plain]
    if extra:
        differences.append(message("reasons.quantised_too", extra=" and ".join(extra)))
    if "fp8" in kv and row.kv != "fp8":
        differences.append(message("reasons.no_scales_of_fp8_cache"))
    if row.kv and kv and row.kv not in kv:
        differences.append(message("reasons.it_states_cache_name_plans", x=row.kv))
    if row.of and row.of.lower() != spec.public_name.lower():
        differences.append(message("reasons.of", x=row.of))
    return tuple(differences)


@cache
def _formats(
    engine: str,
) -> tuple[tuple[Version, Version | None, str, MadeWhileLoading], ...]:
    """(first version, version that ends it, devices, format) of ``data/loading_formats.csv``."""
    with (DATA / "loading_formats.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["engine"] == engine]
    for row in rows:
        if not {row["dense"], row["experts"]} - {""} <= set(SCHEMES):
            raise ValueError(f"loading_formats.csv: {row}")
    return tuple(
        (
            version_of(row["since"]),
            end_of(row["until"]),
            row["device"],
            MadeWhileLoading(
                engine,
                row["dense"],
                row["experts"],
                row["command"],
                row["note"],
                RuleSource(row["source"], row["date"]),
            ),
        )
        for row in rows
    )
