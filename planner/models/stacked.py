"""Experts that a release keeps in one tensor a layer, as linear layers of their own.

Quantisers see linear layers: llm-compressor splits such tensors by expert, and gate from up, before
it quantises, and writes what it makes under the names of the split layers. Source: llm-compressor
0.14, modeling/moe (linear_experts.py, conversion_mappings.py, llama4.py); NVIDIA ModelOpt does the
same under the same names (torch/quantization/plugins/huggingface.py: experts.{id}.gate_proj).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.models.spec import ModelSpec, TensorRow

SPLIT_BY_QUANTISERS = ("gemma4", "llama4", "mistral3", "mistral4", "qwen3_5_moe", "qwen3_vl_moe")
"""``model_type`` of models whose stacked experts llm-compressor splits, alone (``…_text``) or in a
larger one. It splits gpt-oss as well,
which is released quantised: its experts stay as they are. Mistral 4's (alone or inside a
``mistral3``) have no mapping of their own: they are split after loading, as all that are stored so.
"""
_JOINED, _HALVES = "gate_up_proj", ("gate_proj", "up_proj")


def splits_experts(spec: ModelSpec) -> bool:
    """Whether quantisers split the stacked experts of ``spec``."""
    return spec.model_type.removesuffix("_text") in SPLIT_BY_QUANTISERS


def with_linear_experts(spec: ModelSpec) -> ModelSpec:
    """``spec`` with every stacked tensor of plain experts that quantisers split as matrices by
    expert; another model as it is."""
    if not splits_experts(spec) or not any(row.stacked for row in spec.rows):
        return spec
    return replace(spec, rows=tuple(tensor for row in spec.rows for tensor in _split(row)))


def _split(row: TensorRow) -> Iterator[TensorRow]:
    if not row.stacked or row.scheme is not None or len(row.shape) != 2:
        yield row
        return
    stem, _, last = row.name.rpartition(".")
    outputs, inputs = row.shape
    parts = [(name, outputs // 2) for name in _HALVES] if last == _JOINED else [(last, outputs)]
    for name, width in parts:
        yield replace(
            row,
            name=f"{stem}.{{expert}}.{name}.weight",
            shape=(width, inputs),
            stacked=False,
            stored=None,
        )
