"""Elements, schemes and cache layouts as plain data: ``plan formats --json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from planner.formats.elements import ELEMENTS
from planner.formats.kv import KV_LAYOUTS, entry_bytes, latent_bytes
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.formats.spec import KvLayout

HEAD_WIDTH = 128
MLA_WIDTHS = (512, 64)
"""Widths of a head and of MLA's latent and rope, at which bytes of a token are told."""


def formats_dict() -> dict[str, Any]:
    """Elements, schemes and cache layouts by id; bits, and bytes of one token."""
    return {
        "elements": [asdict(item) for item in ELEMENTS.values()],
        "schemes": [
            {
                **asdict(item),
                "weight_bits": bits_per_element(item.weight),
                "activation_bits": bits_per_element(item.activation),
            }
            for item in SCHEMES.values()
        ],
        "kv_layouts": [
            {
                **asdict(item),
                "applies_to": list(item.applies_to),
                "bytes_per_token": {kind: cache_bytes(item, kind) for kind in item.applies_to},
                "widths": {"kv-k": HEAD_WIDTH, "kv-v": HEAD_WIDTH, "kv-latent": list(MLA_WIDTHS)},
            }
            for item in KV_LAYOUTS.values()
        ],
    }


def cache_bytes(layout: KvLayout, kind: str) -> int:
    """Bytes of one token of a layout: a key or value of HEAD_WIDTH, or MLA_WIDTHS."""
    if kind == "kv-latent":
        return latent_bytes(layout, *MLA_WIDTHS)
    return entry_bytes(layout, width=HEAD_WIDTH, kind=kind)
