"""Products whose activations the kernel before them narrows: the form without a quantise kernel."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from planner.hardware.profile import DeviceProfile
from planner.placement.modules import Module
from planner.throughput.forms.gemm import mechanisms
from planner.throughput.forms.gemm_tiles import GemmForm, stacked_forms
from planner.throughput.gemm import GemmModel
from planner.throughput.quantise import quantise_model

_DATA = Path(__file__).resolve().parent / "data"


def fused_kinds(stacks: Sequence[str], scheme: str) -> frozenset[str]:
    """Kinds of modules whose inputs a server of ``stacks`` gets narrow from the kernel before; none
    where no engine is chosen (several stacks)."""
    return _rules().get((stacks[0], scheme), frozenset()) if len(stacks) == 1 else frozenset()


def fused_layer(module: Module) -> bool:
    """Whether the residual stream beside ``module`` is wide enough for servers to fuse."""
    gemm = module.gemms[0]
    stream = sum(rows for rows, _ in gemm.members) if gemm.shard == "row" else gemm.inputs
    return stream > int(_document()["widest_apart"])


def narrowed_before(
    model: GemmModel, device: DeviceProfile, stacks: Sequence[str], *, static_scales: bool
) -> GemmForm:
    """The form of ``model`` where no quantise kernel runs: its launch and its pass are gone.

    A scale per tensor that no checkpoint stores must be searched for, whatever was fused: the form
    then stays as it is.
    """
    form = model.form
    separate = mechanisms(model.stack, model.scheme).separate
    if separate and not static_scales:
        return form
    alone = quantise_model(device, "scale-matrix", stacks).parts(np.zeros(()), np.zeros(()))
    launch = form.launch if separate else form.launch - np.minimum(alone.launch, form.launch / 2)
    return replace(
        form,
        launch=np.asarray(launch),
        narrow_launch=np.zeros_like(form.narrow_launch),
        narrow_seconds=np.zeros_like(form.narrow_seconds),
    )


def narrowed_forms(
    models: Sequence[GemmModel | None],
    device: DeviceProfile,
    stacks: Sequence[str],
    *,
    static_scales: bool,
) -> dict[str, GemmForm]:
    """Kind of module → the forms of S schemes there, for kinds where any differs from its own."""
    known = [m for m in models if m is not None]
    kinds = {m.scheme: fused_kinds(stacks, m.scheme) for m in known}

    def form(model: GemmModel | None, kind: str) -> GemmForm:
        if model is None or kind not in kinds[model.scheme]:
            return (model or known[0]).form
        return narrowed_before(model, device, stacks, static_scales=static_scales)

    return {
        kind: stacked_forms([form(m, kind) for m in models])
        for kind in sorted(frozenset[str]().union(*kinds.values()))
    }


@cache
def _document() -> Mapping[str, Any]:
    return tomllib.loads((_DATA / "fused.toml").read_text(encoding="utf-8"))


@cache
def _rules() -> Mapping[tuple[str, str], frozenset[str]]:
    return {
        (stack, scheme): frozenset(kinds)
        for stack, schemes in _document()["fused"].items()
        for scheme, kinds in schemes.items()
    }
