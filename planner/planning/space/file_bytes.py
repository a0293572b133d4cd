"""Bytes of the weights' file that an assignment makes: every stored tensor once, whatever the
layout.

GGUF: each matrix in its type, experts of a layer in one tensor, what is no matrix and routers in
F32, every tensor padded to :data:`ALIGNMENT`, and the header with the vocabulary as in a published
file of as many tokens (ggml-org/llama.cpp gguf-py/gguf/gguf_writer.py, convert_hf_to_gguf.py).
Other checkpoints: the stored tensors of the release with the planned ones in their schemes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import UnsupportedError
from planner.base.identity_cache import cached_by_identity
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import tensor_bytes
from planner.models.inventory import inventory_of
from planner.placement.layout import Layout
from planner.placement.modules import Module
from planner.placement.shards import block_legality, module_bytes
from planner.planning.engines.repositories import GGUF
from planner.planning.question.question import Question
from planner.planning.space.memory import host_room, host_used
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables

Int = NDArray[np.int64]
ALIGNMENT = 32
"""GGUF_DEFAULT_ALIGNMENT of gguf-py/gguf/constants.py."""
_F32_BYTES = 4


@cached_by_identity(16)
def file_bytes(model: CostModel) -> Int:
    """int64 [unit, choice]: bytes that one layer of a unit takes in the file."""
    question = model.question
    size = np.zeros((len(model.units), len(model.choices)), dtype=np.int64)
    rows = [
        [_stored_in_file(question, module, name) for name in question.schemes]
        for module in model.planned
    ]
    for i, unit in enumerate(model.units):
        if unit.role == "module" and unit.decision >= 0:
            size[i, : len(question.schemes)] = rows[unit.row]
    return size


@cached_by_identity(16)
def unchosen_bytes(model: CostModel) -> int:
    """Bytes of the file that no choice changes."""
    question = model.question
    if question.container != GGUF:
        planned = sum(m.stored_bytes * _layers(m) for m in model.planned)
        return inventory_of(question.spec).payload_bytes - planned
    from planner.planning.files.sizes import header_bytes, stored_elements  # of limited files alone

    every = [*model.planned, *(m for m in model.released if m.gemms)]
    own = [m for m in every if not _tied_head(question, m)]
    matrices = sum(_elements(m) * _layers(m) for m in own)
    plain = _padded((stored_elements(question.spec) - matrices) * _F32_BYTES)
    kept = sum(_kept_bytes(m) * _layers(m) for m in own if m in model.released)
    return header_bytes(question.spec) + plain + kept


def file_room(model: CostModel) -> int | None:
    """Bytes that choices may take in the file; None without a limit on it."""
    limit = model.question.file_bytes
    return None if limit is None else limit - unchosen_bytes(model)


def file_used(model: CostModel, choice: Sequence[int] | Int) -> int:
    """Bytes in the file where each unit takes its ``choice`` (-1: as released), but those that no
    choice changes."""
    size = file_bytes(model)
    return sum(
        int(size[i, int(c)]) * unit.count
        for i, (unit, c) in enumerate(zip(model.units, choice, strict=True))
        if unit.role == "module" and c >= 0
    )


def smallest_file(model: CostModel) -> int:
    """The fewest bytes that the file has under any choice that is possible."""
    decided, schemes = model.decided, len(model.question.schemes)
    possible = model.possible.copy()
    whole = block_legality(model.planned, model.question.schemes, [Layout(1, 1, 1, 1)])[0]
    for i, unit in enumerate(model.units):
        if unit.role == "module":
            possible[i, :schemes] &= whole[unit.row]
    able = decided.all_allowed(decided.allowed(possible))
    size = decided.total(decided.by_option(file_bytes(model)), decided.layers.astype(np.int64))
    least = np.where(able, size, np.iinfo(np.int64).max).min(axis=1)
    return unchosen_bytes(model) + int(least[able.any(axis=1)].sum())


def rooms_kept(model: CostModel, tables: LayoutTables, choice: Sequence[int] | Int) -> bool:
    """Whether ``choice`` [U] keeps the limits beside those of devices: on the memory of a
    host and on the file."""
    host, most = host_room(model.question), file_room(model)
    return (host is None or host_used(model, tables, choice) <= host) and (
        most is None or file_used(model, choice) <= most
    )


def _stored_in_file(question: Question, module: Module, scheme: str) -> int:
    """Bytes of one layer of a planned ``module`` in the file; 0 where its rows are no whole blocks
    of ``scheme``, which it cannot take then."""
    if _tied_head(question, module):
        return 0
    weight = scheme_by_id(scheme).weight
    try:
        if question.container != GGUF:
            return module_bytes(module, scheme_by_id(scheme))
        return sum(
            _padded(tensor_bytes(weight, rows, columns) * module.experts)
            for gemm in module.gemms
            for rows, columns in gemm.members
        )
    except UnsupportedError:
        return 0


def _kept_bytes(module: Module) -> int:
    """Bytes of the matrices of one layer of an as-released ``module`` in a GGUF file."""
    if module.kind == "router":
        return _elements(module) * _F32_BYTES
    return module.stored_bytes - module.vector_bytes


def _tied_head(question: Question, module: Module) -> bool:
    return module.kind == "head" and question.spec.tied_embeddings


def _elements(module: Module) -> int:
    return sum(r * c for gemm in module.gemms for r, c in gemm.members) * module.experts


def _layers(module: Module) -> int:
    return max(len(module.layers), 1)


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
