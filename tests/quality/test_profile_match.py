"""The digest by which a profile knows its model: files written by earlier versions stay valid."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from planner.models.catalog import resolve_model
from planner.quality.profile import structure_sha256

SHAPES = {
    "attention-out": [("4096x4096", 1)],
    "attention-qkv": [("1024x4096", 2), ("4096x4096", 1)],
    "mlp-down": [("4096x14336", 1)],
    "mlp-gate-up": [("14336x4096", 2)],
}
"""Matrices of a layer of Llama 3.1 8B by kind, and how many there are of each shape."""


def test_the_digest_is_of_kinds_layers_shapes_experts_and_counts() -> None:
    lines = ["32 4096 128256"]
    for kind in ("attention-out", "attention-qkv"):
        lines += [
            f"{kind} {n} {shape} 1 {count}" for n in range(32) for shape, count in SHAPES[kind]
        ]
    lines += ["embedding -1 128256x4096 1 1", "head -1 128256x4096 1 1"]
    for kind in ("mlp-down", "mlp-gate-up"):
        lines += [
            f"{kind} {n} {shape} 1 {count}" for n in range(32) for shape, count in SHAPES[kind]
        ]
    spec = resolve_model("llama-3.1-8b")
    assert structure_sha256(spec) == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_names_do_not_matter_and_matrices_do() -> None:
    spec = resolve_model("llama-3.1-8b")
    renamed = replace(spec, rows=tuple(replace(row, name=f"x.{row.name}") for row in spec.rows))
    fewer = replace(spec, rows=tuple(row for row in spec.rows if "k_proj" not in row.name))
    assert structure_sha256(renamed) == structure_sha256(spec) != structure_sha256(fewer)
