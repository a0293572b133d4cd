"""``plan validate``: every table of a directory against the predictor of its kind."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from planner.errors import UnknownNameError
from planner.hardware.loader import load_profile
from planner.hardware.profile import DeviceProfile
from planner.lab.validation.grouping import group, uncovered
from planner.lab.validation.reader import MeasuredTable, read_directory
from planner.lab.validation.records import Outcome, Uncovered, Validation
from planner.typed import typed

SAMPLE = Path(__file__).resolve().parent / "sample"
"""Measured rows that ship with the package (see sample/README.md)."""
Predict = Callable[..., list[Outcome]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of table: known by its columns, predicted by ``predict_rows`` of a module, which takes
    ``profiles`` of the table's own devices where ``own_devices`` says so."""

    name: str
    columns: frozenset[str]
    module: str
    own_devices: bool = False


KINDS = (
    Kind(
        "memory",
        frozenset(
            {
                "engine",
                "engine_version",
                "model",
                "checkpoint_dtype",
                "kv_dtype",
                "device",
                "tp",
                "gpu_memory_utilization",
                "max_model_len",
                "block_size",
                "quantity",
                "value",
                "unit",
                "confidence",
            }
        ),
        "planner.lab.validation.memory_predict",
    ),
    Kind(
        "e2e_silicon",
        frozenset(
            {
                "device",
                "mode",
                "software",
                "model",
                "precision",
                "gemm_dtype",
                "moe_dtype",
                "parallelism",
                "concurrency",
                "isl",
                "osl",
                "ttft_ms",
                "tpot_ms",
            }
        ),
        "planner.lab.validation.e2e_silicon",
    ),
    Kind(
        "e2e_published",
        frozenset(
            {
                "source",
                "device",
                "n_devices",
                "software",
                "model",
                "w_dtype",
                "a_dtype",
                "kv_dtype",
                "parallelism",
                "batch_or_concurrency",
                "isl",
                "osl",
                "metric",
                "value",
                "unit",
                "note",
            }
        ),
        "planner.lab.validation.e2e_published",
    ),
    Kind(
        "op_gemm",
        frozenset({"device", "software", "w_a_dtype", "m", "n", "k", "latency_us"}),
        "planner.lab.validation.op_gemm",
        own_devices=True,
    ),
    Kind(
        "op_quantize",
        frozenset({"device", "software", "op", "quant_dtype", "m", "k", "latency_us"}),
        "planner.lab.validation.op_quantize",
        own_devices=True,
    ),
    Kind(
        "op_attn_context",
        frozenset(
            {
                "device",
                "software",
                "attn_dtype",
                "kv_dtype",
                "batch",
                "isl",
                "heads",
                "kv_heads",
                "head_dim",
                "window",
                "latency_us",
            }
        ),
        "planner.lab.validation.op_attention",
        own_devices=True,
    ),
    Kind(
        "op_attn_generation",
        frozenset(
            {
                "device",
                "software",
                "attn_dtype",
                "kv_dtype",
                "batch",
                "kv_len",
                "heads",
                "kv_heads",
                "head_dim",
                "window",
                "latency_us",
            }
        ),
        "planner.lab.validation.op_attention",
        own_devices=True,
    ),
    Kind(
        "op_mla",
        frozenset(
            {
                "device",
                "software",
                "phase",
                "mla_dtype",
                "kv_dtype",
                "heads",
                "batch",
                "isl",
                "kv_len",
                "latency_us",
            }
        ),
        "planner.lab.validation.op_attention",
        own_devices=True,
    ),
    Kind(
        "op_attn_module",
        frozenset(
            {
                "device",
                "software",
                "kernel",
                "phase",
                "module",
                "model",
                "attn_dtype",
                "kv_dtype",
                "gemm_dtype",
                "heads",
                "tp",
                "batch",
                "isl",
                "step",
                "latency_us",
            }
        ),
        "planner.lab.validation.op_attn_module",
    ),
    Kind(
        "op_linear_attention",
        frozenset(
            {
                "device",
                "software",
                "kernel",
                "phase",
                "batch",
                "seq_len",
                "d_conv",
                "k_heads",
                "k_dim",
                "v_heads",
                "v_dim",
                "latency_us",
            }
        ),
        "planner.lab.validation.op_linear_attention",
    ),
    Kind(
        "op_moe",
        frozenset(
            {
                "device",
                "software",
                "kernel",
                "moe_dtype",
                "num_tokens",
                "hidden",
                "inter",
                "topk",
                "num_experts",
                "moe_tp",
                "moe_ep",
                "distribution",
                "latency_us",
            }
        ),
        "planner.lab.validation.op_moe",
        own_devices=True,
    ),
    Kind(
        "op_comm",
        frozenset(
            {
                "device",
                "software",
                "op",
                "mode",
                "dtype",
                "num_gpus",
                "message_elements",
                "latency_us",
            }
        ),
        "planner.lab.validation.op_comm",
    ),
    Kind(
        "op_moe_a2a",
        frozenset(
            {
                "device",
                "software",
                "comm_backend",
                "phase",
                "comm_dtype",
                "ep_size",
                "node_num",
                "hidden_size",
                "topk",
                "num_experts",
                "num_tokens",
                "sms",
                "latency_us",
            }
        ),
        "planner.lab.validation.op_moe_a2a",
    ),
    Kind(
        "e2e_verify",
        frozenset(
            {
                "device",
                "software",
                "engine",
                "model",
                "subject",
                "types",
                "prompt_tokens",
                "output_tokens",
                "threads",
                "cache",
                "quantity",
                "measured",
                "predicted",
                "low",
                "high",
                "basis",
            }
        ),
        "planner.lab.validation.e2e_verify",
    ),
)
"""Add a kind here: a table is of the first kind all of whose columns it has."""


def kind_of(table: MeasuredTable) -> Kind | None:
    """The kind of ``table`` by its columns, None for an unknown one."""
    return next((kind for kind in KINDS if kind.columns <= set(table.columns)), None)


@typed
def validate(data: str | os.PathLike[str] | None = None, *, only: str | None = None) -> Validation:
    """Compare predictions with every table in ``data`` (None: the sample of the package).

    ``only`` names kinds of tables or file stems, with commas between them. Profiles beside the
    tables go before packaged ones.

    Raises:
        DataError: no such directory, or an invalid profile in it.
        UnknownNameError: no such kind, and no such file in the directory.
    """
    folder = Path(data) if data is not None else SAMPLE
    tables = read_directory(folder)
    own = own_profiles(folder)
    wanted = _wanted(only, tables)
    outcomes: list[Outcome] = []
    unknown: list[Uncovered] = []
    for table in tables:
        kind = kind_of(table)
        if (
            wanted is not None
            and table.name not in wanted
            and (kind is None or kind.name not in wanted)
        ):
            continue
        if table.name in own and not table.columns:
            continue  # the profile of a device
        if table.rows is None:
            unknown.append(Uncovered(table.name, "unreadable file", table.lines))
        elif kind is None:
            unknown.append(Uncovered(table.name, "unknown file", max(1, len(table.rows))))
        else:
            module = importlib.import_module(kind.module)
            given = {"profiles": own} if kind.own_devices and own else {}
            outcomes += cast("Predict", module.predict_rows)(table.name, table.rows, **given)
    return Validation(group(outcomes), (*unknown, *uncovered(outcomes)), tuple(outcomes))


def own_profiles(folder: Path) -> dict[str, DeviceProfile]:
    """Devices whose profiles lie beside the tables (``plan measure`` writes host.toml), by id.

    Raises:
        DataError: such a profile is invalid.
    """
    found = [load_profile(path) for path in sorted(folder.glob("*.toml"))]
    return {profile.id: profile for profile in found}


def _wanted(only: str | None, tables: list[MeasuredTable]) -> frozenset[str] | None:
    """Kinds and stems that ``only`` names; None for all."""
    if only is None:
        return None
    names = frozenset(part.strip() for part in only.split(",") if part.strip())
    known = {kind.name for kind in KINDS} | {table.name for table in tables}
    for name in sorted(names) or [only]:
        if name not in known:
            raise UnknownNameError("table or kind of table", name, known)
    return names
