"""Which schemes an exporter can write in a checkpoint format: ``data/checkpoint_writers.csv``.

What an engine's matrix supports is served only if there is a checkpoint to give it: the release
itself, or one that a quantiser writes from an export's files. ``stacked`` tells whether experts
that a release keeps in one tensor a layer can be written.
"""

from __future__ import annotations

import csv
from functools import cache

from planner.base.identity_cache import cached_by_identity
from planner.base.records import record
from planner.formats.schemes import SCHEMES
from planner.formats.stored_schemes import stored_scheme
from planner.messages.message import Text, message
from planner.models.gguf_names import ARCHITECTURES, gguf_stems
from planner.models.spec import ModelSpec, TensorRow
from planner.models.stacked import splits_experts
from planner.planning.engines.repositories import GGUF
from planner.planning.engines.rules import DATA, OF_RELEASES, PLAIN
from planner.throughput.kernels import WEIGHT_ONLY_OF

GGUF_BLOCK = "blk."
"""How the names of a layer's tensors begin in a file that is GGUF already."""
STACKED = ("no", "split", "yes")


@record
class Writer:
    """One checkpoint format: the schemes that its exporter writes, ``stacked``: whether it writes
    experts in one tensor (no; split: where quantisers split them; yes), and ``readers``: the
    engines that its exports are judged for."""

    container: str
    schemes: frozenset[str]
    stacked: str
    readers: tuple[str, ...]
    source: str


def writing_refusal(spec: ModelSpec, kind: str, scheme: str, container: str, reader: str) -> Text:
    """Why no exporter writes modules of ``kind`` in ``scheme`` in a checkpoint of the format
    ``container`` for the engine ``reader``; empty where one does, or where they stay as released.
    What an engine that no exporter knows reads is for the matrix to say.
    """
    judged = {name for writer in writers().values() for name in writer.readers}
    if (
        scheme not in PLAIN
        and container in writers()
        and reader in judged
        and reader not in writers()[container].readers
    ):
        return message("engines.no_export_in_is_made", container=container, reader=reader)
    return next(
        (
            why
            for row in _by_kind(spec).get(kind, ())
            if (why := _against(spec, row, scheme, container))
        ),
        "",
    )


def _against(spec: ModelSpec, row: TensorRow, scheme: str, container: str) -> Text:
    released = row.scheme is not None and _holds(scheme, row.scheme)
    if row.stacked and row.scheme is not None:
        keeps = released and container in (*OF_RELEASES, GGUF)
        return "" if keeps else message("engines.experts_of_layer_are_one", x=row.scheme, y=scheme)
    if released or scheme in PLAIN or not container:
        return ""
    writer = writers().get(container)
    if writer is None or scheme not in writer.schemes:
        return message("engines.no_exporter_writes_in", scheme=scheme, container=container)
    if row.stacked and (
        writer.stacked == "no" or (writer.stacked == "split" and not splits_experts(spec))
    ):
        return message("engines.experts_of_layer_are_one_tensor", container=container)
    if (
        container == GGUF
        and row.layers
        and not row.name.startswith(GGUF_BLOCK)
        and (spec.model_type not in ARCHITECTURES or not gguf_stems(row.name))
    ):
        return message("engines.name_of_in_gguf_files", x=row.name)
    return ""


def _holds(scheme: str, released: str) -> bool:
    """Whether weights ``released`` in a scheme are those of ``scheme``."""
    return (
        WEIGHT_ONLY_OF.get(released) == scheme or SCHEMES[released].weight == SCHEMES[scheme].weight
    )


@cached_by_identity(64)
def _by_kind(spec: ModelSpec) -> dict[str, tuple[TensorRow, ...]]:
    rows_by_kind: dict[str, list[TensorRow]] = {}
    for row in spec.rows:
        if (
            row.part == "main"
            and row.is_matrix
            and (row.quantisable or row.stacked or row.kind == "head")
        ):
            rows_by_kind.setdefault(row.kind, []).append(row)
    return {kind: tuple(rows) for kind, rows in rows_by_kind.items()}


@cache
def writers() -> dict[str, Writer]:
    """Every format that an exporter writes, by its name in the engine matrix."""
    with (DATA / "checkpoint_writers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        known = all(name in SCHEMES or stored_scheme(name) for name in row["schemes"].split())
        if not known or row["stacked"] not in STACKED:
            raise ValueError(f"checkpoint_writers.csv: {row}")
    return {
        row["container"]: Writer(
            row["container"],
            frozenset(row["schemes"].split()),
            row["stacked"],
            tuple(row["readers"].split()),
            row["source"],
        )
        for row in rows
    }
