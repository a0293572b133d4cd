"""Modules cut into what stays on the device and what lives in the memory of its host."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from planner.placement.modules import EXPERT_KINDS, Module

HOST = "host"
"""``place`` of a module that lives in host memory."""


def split_by_layer(
    modules: Sequence[Module],
    kinds: Collection[str],
    layers: Collection[int],
) -> list[Module]:
    """``modules`` with those of ``kinds`` in ``layers`` placed in host memory."""
    out = []
    for module in modules:
        own = tuple(n for n in module.layers if n in layers) if module.kind in kinds else ()
        rest = tuple(n for n in module.layers if n not in own)
        if rest or not own:
            out.append(module if not own else replace(module, layers=rest))
        if own:
            out.append(replace(module, layers=own, place=HOST))
    return out


def split_by_expert(modules: Sequence[Module], resident: int) -> list[Module]:
    """``modules`` with ``resident`` experts of every layer on the device, the others in host
    memory."""
    out = []
    for module in modules:
        if module.kind not in EXPERT_KINDS:
            out.append(module)
            continue
        if resident > 0:
            out.append(_of(module, resident, ""))
        if resident < module.experts:
            out.append(_of(module, module.experts - resident, HOST))
    return out


def _of(module: Module, experts: int, place: str) -> Module:
    """So many experts of a module; bytes in proportion, which all experts have alike."""

    def share(size: int) -> int:
        return size * experts // module.experts

    return replace(
        module,
        experts=experts,
        stored_bytes=share(module.stored_bytes),
        vector_bytes=share(module.vector_bytes),
        place=place,
    )
