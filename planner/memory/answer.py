"""The answer of ``plan memory`` as a record and as JSON values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from planner.base.display import as_frame, as_table, as_text, with_former_methods
from planner.memory.breakdown import Breakdown, StageMemory
from planner.memory.engines.records import EngineResult, Rank
from planner.memory.on_disk import OnDisk
from planner.memory.resident import Line
from planner.messages.message import Note, message
from planner.messages.stored import stored_notes

if TYPE_CHECKING:
    import pandas as pd

PARTS = {
    "weights": "weights_bytes",
    "cache": "cache_bytes",
    "activations": "activation_bytes",
    "runtime": "runtime_bytes",
}


@dataclass(frozen=True, slots=True)
class MemoryProposal:
    """A change with which it fits: of what kind, its ``flags``, on how many ``devices``, and the
    bytes of the fullest of them."""

    kind: Literal["layout", "devices", "cache", "format"]
    flags: str
    devices: int
    bytes_per_device: int


@with_former_methods
@dataclass(frozen=True, slots=True)
class MemoryAnswer:
    """Memory of one replica. ``usable_bytes`` and ``capacity_bytes`` are 0 without a device;
    ``sequences`` is how many of the context fit on one replica, ``at_requests`` how many as they
    hold it, ``longest_context`` the tokens of one request that fit. Where it does not fit or start
    ``proposals`` are changes with which it does, and ``way_out`` what would help in words."""

    model: str
    device: str
    scheme: str
    kv: str
    parts: Breakdown
    capacity_bytes: int
    usable_bytes: int
    sequences: int
    at_requests: int
    engine: EngineResult | None
    on_disk: OnDisk | None
    assumptions: tuple[Note, ...]
    way_out: str = ""
    longest_context: int = 0
    proposals: tuple[MemoryProposal, ...] = ()

    @property
    def fits(self) -> bool:
        """The engine starts; without one, the fullest device holds its part."""
        if self.engine is not None:
            return self.engine.starts
        return not self.usable_bytes or self.parts.fullest.total_bytes <= self.usable_bytes

    @property
    def shortfall(self) -> str:
        """Why it does not fit or start; empty if it does."""
        if self.fits:
            return ""
        if self.engine is not None:
            return f"{self.engine.engine} {self.engine.reason}"
        over = self.parts.fullest.total_bytes - self.usable_bytes
        usable = f"{self.usable_bytes:,}"
        return message("memory.over_usable", over=f"{over:,}", usable=usable)

    def to_frame(self) -> pd.DataFrame:
        """One row a pipeline stage: bytes of each part on one device."""
        return as_frame(
            [
                {
                    "stage": s.stage,
                    "devices": s.devices,
                    **{name: getattr(s, name) for name in PARTS.values()},
                    "total_bytes": s.total_bytes,
                }
                for s in self.parts.stages
            ]
        )

    __str__ = as_text

    def _repr_html_(self) -> str:
        return as_table(self.to_frame())

    def to_dict(self) -> dict[str, Any]:
        """JSON values; bytes are whole numbers of one device unless named otherwise."""
        layout, use = self.parts.layout, self.parts.use
        return {
            "model": self.model,
            "device": self.device or None,
            "scheme": self.scheme,
            "kv_layout": self.kv,
            "layout": {"tp": layout.tp, "dp": layout.dp, "pp": layout.pp, "ep": layout.ep},
            "workload": {
                "context_tokens": use.context,
                "request_tokens": use.tokens,
                "batch": use.batch,
                "chunk_tokens": use.chunk,
            },
            "devices": [_stage(stage) for stage in self.parts.stages],
            "not_loaded": _lines(self.parts.not_loaded),
            "kv_cache": {
                "bytes_per_token_per_device": self.parts.token_bytes,
                "bytes_per_request_per_device": self.parts.request_bytes,
            },
            "capacity": {
                "capacity_bytes": self.capacity_bytes or None,
                "usable_bytes": self.usable_bytes or None,
                "sequences": self.sequences if self.usable_bytes else None,
                "sequences_at_requests": self.at_requests if self.usable_bytes else None,
                "longest_context_tokens": self.longest_context if self.usable_bytes else None,
                "fits": self.fits if self.usable_bytes or self.engine else None,
            },
            "proposals": [
                {
                    "kind": one.kind,
                    "flags": one.flags,
                    "devices": one.devices,
                    "bytes_per_device": one.bytes_per_device,
                }
                for one in self.proposals
            ],
            "engine": _engine(self.engine) if self.engine is not None else None,
            "checkpoint": self.on_disk.to_dict() if self.on_disk is not None else None,
            "assumptions": stored_notes(self.assumptions),
        }


def _lines(lines: Iterable[Line]) -> list[dict[str, Any]]:
    return [{"name": line.name, "bytes": line.bytes, "basis": line.basis} for line in lines]


def _stage(stage: StageMemory) -> dict[str, Any]:
    return {
        "stage": stage.stage,
        "count": stage.devices,
        "weights_bytes": stage.weights_bytes,
        "kv_cache_bytes": stage.cache_bytes,
        "activation_bytes": stage.activation_bytes,
        "runtime_bytes": stage.runtime_bytes,
        "total_bytes": stage.total_bytes,
        "weights": _lines(stage.weights),
        "caches": _lines(stage.caches),
        "prefill": _lines(stage.prefill),
        "decode": _lines(stage.decode),
        **({"encode": _lines(stage.encode)} if stage.encode else {}),
    }


def _engine(result: EngineResult) -> dict[str, Any]:
    return {
        "name": result.engine,
        "version": result.version,
        "settings": dict(result.settings),
        "total_bytes": result.total_bytes,
        "starts": result.starts,
        "reason": result.reason,
        "weights_bytes_per_device": result.rank.weights_bytes,
        "kv_cache_bytes": result.kv_bytes,
        "block_tokens": result.block_tokens,
        "block_bytes": result.block_bytes,
        "blocks": result.blocks,
        "tokens": result.tokens,
        "tokens_per_replica": result.replica_tokens,
        "max_concurrency": result.max_concurrency,
        "limiting_stage": result.rank.stage,
        "ranks": [_rank(rank) for rank in result.ranks],
        "unexplained": _lines(result.unexplained),
        "notes": list(result.notes),
    }


def _rank(rank: Rank) -> dict[str, Any]:
    return {
        "stage": rank.stage,
        "weights": _lines(rank.weights),
        "overheads": _lines(rank.overheads),
        "budget_bytes": rank.budget_bytes,
    }
