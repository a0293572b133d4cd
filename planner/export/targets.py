"""What the exporters share: the files of a configuration, and what a format cannot say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from planner.base.errors import UnsupportedError
from planner.base.units import format_layers
from planner.export.assignment import Linear, ModuleAssignment
from planner.formats.schemes import SCHEMES
from planner.placement.modules import AS_RELEASED_KINDS

TARGETS = {
    "compressed-tensors": "compressed-tensors",
    "modelopt": "modelopt",
    "modelopt-mixed": "modelopt",
    "fp8": "fp8",
    "gptq": "gptq",
    "blockwise-int8": "blockwise-int8",
    "torchao": "torchao",
    "gguf": "llama.cpp",
}
"""Checkpoint format of the engine matrix → target of an export."""


@dataclass(frozen=True, slots=True)
class Exported:
    """Files of one export by name, and what the format leaves unsaid.

    ``notes`` are what the configuration cannot say and how it is said instead; ``containers`` the
    names of the format in the engine matrix; ``steps`` how the weights are made and put in place;
    ``reads_as`` the schemes that the format cannot tell from others, and what they read back as.
    """

    files: dict[str, str]
    containers: tuple[str, ...]
    notes: tuple[str, ...]
    steps: tuple[str, ...]
    reads_as: Mapping[str, str] = field(default_factory=dict)


def as_json(data: object) -> str:
    """JSON text with a final newline; keys in the order given."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def cannot(target: str, linear: Linear, reason: str, able: str) -> UnsupportedError:
    """The refusal of a scheme that the format has no word for."""
    where = f" of layers {format_layers(linear.layers)}" if linear.layers else ""
    return UnsupportedError(
        f"{target}: {linear.kind}{where} in {linear.scheme}: {reason}",
        hint=f"the format says: {able}",
    )


def require_matrices(
    target: str,
    assignment: ModuleAssignment,
    apart: Sequence[str] = ("head", "embedding", "router", "indexer"),
) -> None:
    """Refuse quantised experts that a checkpoint stores as one tensor: they have no names; kinds
    that are built apart and that the format's readers never quantise (not in ``apart``); and a
    table of embeddings with activations.

    Raises:
        UnsupportedError: naming the tensor.
    """
    for linear in assignment.quantised():
        if linear.kind in AS_RELEASED_KINDS and linear.kind not in apart:
            raise cannot(target, linear, f"its readers leave a {linear.kind} plain", "it plain")
        if linear.kind == "embedding" and SCHEMES[linear.scheme].path == "native":
            raise cannot(
                target,
                linear,
                "a table multiplies nothing: it has no activations",
                "schemes of weights alone",
            )
        if linear.stacked:
            raise cannot(
                target,
                linear,
                f"the experts of a layer are one tensor ({linear.module}), "
                "which is no linear layer",
                "matrices",
            )


def cache_of(assignment: ModuleAssignment) -> str | None:
    """The one quantised layout of a calibrated cache (fp8, nvfp4) beside plain ones, else None."""
    packed = [name for name in assignment.layouts() if name not in ("bf16", "fp16", "fp32")]
    names = {"fp8": "fp8", "fp8-ds-mla": "fp8", "nvfp4": "nvfp4"}
    used = {names.get(name, "") for name in packed}
    return used.pop() or None if len(used) == 1 else None


def cache_notes(assignment: ModuleAssignment, said: str | None) -> list[str]:
    """What a configuration with one cache type (``said``, None for none) leaves to the server."""
    out = []
    for cache in assignment.caches:
        same = cache.layout == said or (said == "fp8" and cache.layout == "fp8-ds-mla")
        if cache.layout in ("bf16", "fp16", "fp32"):
            same = said is None
        if not same:
            out.append(
                f"{cache.kind} of layers {format_layers(cache.layers)} in {cache.layout}: "
                "the configuration has one cache type"
                + (f" ({said})" if said else " or none")
                + "; see the server's flags"
            )
    return out
