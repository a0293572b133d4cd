"""Attention and MLA tables as fits: one a device, stack and kernel.

A group of shapes in three is left out (``is_held_out``); parameters come from the other two
thirds, so that errors on the third stay honest. Which terms a kernel has, and whether decode with
windows, or with a KV head for every query head, has a set of its own, is chosen on the fitted two
thirds alone, by leaving out each third of their groups in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.hardware.catalog import resolve_device
from planner.hardware.profile import FittedSet
from planner.lab.calibration import ggml_attention
from planner.lab.calibration.fit import fit
from planner.lab.calibration.problem import LEAST_ROWS, FitProblem, solve
from planner.lab.validation.attention_rows import (
    MOST_HEADS,
    KernelRows,
    attention_kernels,
    blackwell,
    branch,
    predictor,
)
from planner.lab.validation.op_rows import FOLDS, NO_PROFILES, Profiles, Rows, fold_of
from planner.throughput.calibration import kernel_family
from planner.throughput.forms import attention_decode, attention_prefill, mla
from planner.throughput.forms.base import Parameter, Parameters
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
Index = NDArray[np.int64]

SPLIT_ROWS = 40
BRANCHES = {"window": 1.05, "mha": 0.95}
"""A branch of a kernel is set apart where both sides have SPLIT_ROWS rows and together their error
is below this share of the joint one; windows almost always, for an interval of their own."""
CROSS_ROWS = 300
"""Most rows of one fit while structures are compared, every so many of all."""


@dataclass(frozen=True, slots=True)
class OperatorForm:
    """Parameters of an operator, those that describe the kernel, and what is chosen by
    cross-validation, one after the other: ``choices`` of parameters that stay at a value, the first
    of each the plain one. ``features`` are the columns that shape a row's time.

    ``branches`` may be set apart (see BRANCHES); a kernel of short windows takes the ``long`` terms
    from the full one, so that it holds for longer windows.
    """

    parameters: tuple[Parameter, ...]
    structure: tuple[Parameter, ...]
    choices: tuple[tuple[Mapping[str, float], ...], ...]
    features: tuple[str, ...]
    branches: tuple[str, ...] = ()
    long: tuple[str, ...] = ()


FORMS: Mapping[str, OperatorForm] = {
    "attention-prefill": OperatorForm(
        attention_prefill.PARAMETERS,
        attention_prefill.STRUCTURE,
        (),
        ("batch", "isl", "heads", "kv_heads", "head_dim"),
        ("window",),
        ("compute_fraction", "exp_fraction", "tail_factor", "wide_factor", "odd_factor"),
    ),
    "attention-decode": OperatorForm(
        attention_decode.PARAMETERS,
        attention_decode.STRUCTURE,
        attention_decode.CHOICES,
        ("batch", "kv_len", "heads", "kv_heads", "head_dim"),
        ("mha", "window"),
        (
            "bandwidth_fraction",
            "cached_factor",
            "split_seconds",
            "start_seconds",
            "cold_seconds",
            "token_seconds",
            "l2_share",
            "whole",
        ),
    ),
    "mla-prefill": OperatorForm(
        mla.PREFILL_PARAMETERS, mla.STRUCTURE, (), ("batch", "kv_len", "heads")
    ),
    "mla-decode": OperatorForm(
        mla.DECODE_PARAMETERS, mla.STRUCTURE, (mla.DECODE_STRUCTURES,), ("batch", "kv_len", "heads")
    ),
}


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every device, stack and kernel of a table like op_attn_context.csv,
    op_attn_generation.csv or op_mla.csv; of the first two, ggml's kernels as well."""
    sets = [(problem.device, solve(problem)) for problem in problems(rows, profiles=profiles)]
    return sets + ggml_attention.fit_tables(rows, profiles)


def problems(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[FitProblem]:
    """One fit for every kernel of a device with silicon figures; kernels with a unit it lacks and
    those with too few rows are left out."""
    fits = []
    for kernel in attention_kernels(rows, profiles)[0]:
        if kernel.batch.profile is None or not kernel.batch.stack:
            continue
        silicon = chip(kernel.batch.profile)
        if silicon is None or not _computes(kernel, silicon) or len(_seen(kernel)) < LEAST_ROWS:
            continue
        fits += [
            _problem(part, silicon, shared, option)
            for part, shared, option in _parts(kernel, silicon)
        ]
    return fits


def kernel_structure(kernel: KernelRows) -> dict[str, float]:
    """What is known of a stack's kernel beside its parameters (see the forms).

    TensorRT-LLM computes in FP8 whenever its cache is FP8, and so do kernels of Blackwell; vLLM's
    prefill tables move the cache entries alone.
    """
    attn, kv = kernel.formats.split("/")
    stack, latest = kernel.batch.stack, blackwell(kernel.batch)
    narrow = kv == "fp8"
    if kernel.operator == "attention-prefill":
        fp8 = attn == "fp8" or (narrow and (stack == "trtllm" or (stack == "vllm" and latest)))
        return {"fp8": float(fp8), "scatter": float(stack == "vllm")}
    if kernel.operator == "mla-prefill":
        return {"fp8": float(attn == "fp8" or (narrow and stack == "trtllm"))}
    if kernel.operator == "mla-decode":
        return {"fp8": float(attn == "fp8" or (narrow and (stack == "trtllm" or latest)))}
    most = MOST_HEADS.get(stack, attention_decode.EVERY_HEAD)
    alone = {"unit_heads": 1.0, "window_heads": 1.0} if kernel.variant.endswith(":mha") else {}
    return {"most_heads": most, **alone}


def _known(kernel: KernelRows) -> dict[str, float]:
    """The kernel's structure, and 1 for the factor of windows where it cannot be told from other
    terms: no row has a window or, in decode, all rows have one."""
    columns = kernel.batch.columns
    if "window" not in columns:
        return kernel_structure(kernel)
    windows = columns["window"] > 0
    same = not windows.any() or (kernel.operator == "attention-decode" and windows.all())
    return kernel_structure(kernel) | ({"window_factor": 1.0} if same else {})


def _computes(kernel: KernelRows, silicon: Chip) -> bool:
    fp8 = kernel_structure(kernel).get("fp8", 0.0)
    return "bf16" in silicon.peaks and (not fp8 or "fp8" in silicon.peaks)


def _seen(kernel: KernelRows) -> Index:
    """Rows that a fit may see."""
    return np.flatnonzero(kernel.included & ~kernel.held_out)


Option = Mapping[str, float]


def _parts(kernel: KernelRows, silicon: Chip) -> list[tuple[KernelRows, dict[str, float], Option]]:
    """The kernel, with those of its branches apart that differ from it (see BRANCHES), what stays
    fixed in each beside its structure, and its choices."""
    parts: list[tuple[KernelRows, dict[str, float], Option]] = []
    best_start = best_option(kernel, silicon)
    for name in FORMS[kernel.operator].branches:
        inside = branch(kernel, name)
        rest = kernel.take(~inside, kernel.variant)
        part = kernel.take(inside, f"{kernel.variant}:{name}")
        rows = [len(_seen(rest)), len(_seen(part))]
        if min(rows) < SPLIT_ROWS:
            continue
        left = best_option(rest, silicon)
        shared = _shared(rest, silicon, left[0]) if name == "window" else {}
        apart = best_option(part, silicon, shared)
        if np.average([left[1], apart[1]], weights=rows) < BRANCHES[name] * best_start[1]:
            parts.append((part, shared, apart[0]))
            kernel, best_start = rest, left
    return [(kernel, {}, best_start[0]), *parts]


def _shared(rest: KernelRows, silicon: Chip, option: Option) -> dict[str, float]:
    """Parameters of the full kernel that short windows do not tell: they read few bytes."""
    seen = _seen(rest)
    mask = np.zeros(len(rest.seconds), dtype=np.bool_)
    mask[seen] = True
    part = rest.take(mask, rest.variant)
    parameters = fit(
        lambda p: part.predict(p, silicon),
        part.seconds,
        FORMS[rest.operator].parameters,
        fixed={**option, **_known(rest)},
    )
    return {name: parameters[name] for name in FORMS[rest.operator].long}


def _problem(kernel: KernelRows, silicon: Chip, shared: Parameters, option: Option) -> FitProblem:
    form, batch = FORMS[kernel.operator], kernel.batch
    fixed = {**option, **_known(kernel), **shared}
    features = [np.log(np.maximum(batch.columns[name], 1.0)) for name in form.features]
    return FitProblem(
        device=batch.device,
        operator=kernel.operator,
        stack=batch.stack,
        software=batch.software.partition(" ")[2],
        variant=kernel.variant,
        parameters=(*form.parameters, *form.structure),
        known=_facts(kernel),
        predict=lambda p, index: _seconds(kernel, silicon, p, index),
        measured=kernel.seconds,
        held_out=kernel.held_out,
        excluded=~kernel.included,
        features=np.stack(features, axis=1),
        fixed=fixed,
        note=f"{', '.join(form.long)} of the full kernel" if shared else "",
        folds=np.array([fold_of(key) for key in kernel.keys]),
    )


def _facts(kernel: KernelRows) -> dict[str, float]:
    """What holds for the device's kernel whatever a relative's set says: its structure, and no
    terms of a kernel of another architecture."""
    facts, profile = kernel_structure(kernel), kernel.batch.profile
    if profile is None or not profile.transfer_from or kernel.operator != "attention-decode":
        return facts
    relative = resolve_device(profile.transfer_from)
    if kernel_family(relative.architecture) == kernel_family(profile.architecture):
        return facts
    return attention_decode.CARRIED | {"narrow_factor": 1.0} | facts


def _seconds(kernel: KernelRows, silicon: Chip, parameters: Parameters, index: Index) -> Array:
    """Seconds of the rows at ``index``, with L2 as warm as in the tables."""
    mask = np.zeros(len(kernel.seconds), dtype=np.bool_)
    mask[index] = True
    rows = kernel.batch.take(mask)
    return predictor(kernel.operator, kernel.variant, rows)(parameters, silicon)


def _choices(kernel: KernelRows, fixed: Parameters) -> list[tuple[Option, ...]]:
    """What is chosen, without what is known. Only MLA kernels of Blackwell differ by head count; a
    factor for it elsewhere fits the counts at hand and misses others."""
    choices = FORMS[kernel.operator].choices
    if kernel.operator == "mla-decode":
        latest = blackwell(kernel.batch)
        choices = tuple(some[1:] if latest else some[:1] for some in choices)
    elif "window" in kernel.batch.columns and not (kernel.batch.columns["window"] > 0).any():
        choices = tuple(
            some[:1] if any(n.startswith("window_") for n in some[0]) else some for some in choices
        )
    return [some for some in choices if len(some) == 1 or not set(some[0]) & set(fixed)]


def best_option(
    kernel: KernelRows,
    silicon: Chip,
    shared: Parameters | None = None,
) -> tuple[Option, float]:
    """(parameters that stay at a value, error of that choice) by cross-validation, with those in
    ``shared`` as they are. One choice after the other, the rest as chosen so far."""
    fixed = {**_known(kernel), **(shared or {})}
    choices = _choices(kernel, fixed)
    chosen: dict[str, float] = {}
    for some in choices:
        chosen |= some[0]
    error = _cross_error(kernel, silicon, {**chosen, **fixed})
    for some in choices:
        plain = {n: v for n, v in chosen.items() if n not in some[0]}
        for other in some[1:]:
            other_error = _cross_error(kernel, silicon, {**plain, **other, **fixed})
            if other_error < error:
                chosen, error = {**plain, **other}, other_error
    return chosen, error


def _cross_error(kernel: KernelRows, silicon: Chip, fixed: Parameters) -> float:
    """Mean |log ratio| on each third of the fitted groups, predicted from the rest of them."""
    seen = _seen(kernel)
    fold = np.array([fold_of(kernel.keys[i]) for i in seen])
    form, misses = FORMS[kernel.operator], []
    for number in range(FOLDS):
        test, rest = seen[fold == number], seen[fold != number]
        if not len(test) or not len(rest):
            continue
        train = rest[:: -(-len(rest) // CROSS_ROWS)]
        mask = np.zeros(len(kernel.seconds), dtype=np.bool_)
        mask[train] = True
        part = kernel.take(mask, kernel.variant)

        def predict(p: Parameters, part: KernelRows = part) -> Array:
            return part.predict(p, silicon)

        parameters = fit(predict, part.seconds, form.parameters, fixed=fixed)
        ratio = _seconds(kernel, silicon, parameters, test) / kernel.seconds[test]
        misses.append(np.abs(np.log(ratio)))
    return float(np.concatenate(misses).mean()) if misses else float("inf")
