"""Attention-module tables as groups of one kernel: what is computed, hold-out, predictions."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile
from planner.lab.validation.attention_rows import FORMATS, KV_BYTES
from planner.lab.validation.op_gemm import FORMATS as SCHEMES
from planner.lab.validation.op_rows import (
    NO_PROFILES,
    Z80,
    Batch,
    Profiles,
    Rows,
    batches,
    in_order,
    is_held_out,
    missing,
    predicted,
    regimes,
)
from planner.lab.validation.records import Outcome
from planner.models.catalog import bundled_model
from planner.throughput.attention_module import Projections
from planner.throughput.calibration import Calibration, fitted_set
from planner.throughput.forms import dsa, mla
from planner.throughput.forms.attention_rest import OPERATOR, host_seconds, hosted, rest_parts
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.mla import LatentShape
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
_DATA = Path(__file__).resolve().parent / "data"
WORDS = ("kernel", "phase", "module", "model", "attn_dtype", "kv_dtype", "gemm_dtype")
NARROW_PRODUCTS = {"fp8-block": 1.0, "nvfp4": 2.0}
"""Scheme → how much longer the host takes to launch its products, in the fit's unit."""
PHASES = {"context": "prefill", "generation": "decode"}


@dataclass(frozen=True)
class ModuleRows:
    """Rows of one kernel, model and format on one device and stack.

    ``operator`` and ``variant`` name the core's set; ``products`` what surrounds it; ``kv_bytes`` a
    cache element; ``held_out`` [n] rows are kept from the fit, ``hosted`` ones wait for the host
    and take no part. ``wide``: a decode kernel reads short prompts, with a row of heads for every
    query.
    """

    operator: str
    variant: str
    products: Projections
    kv_bytes: float
    wide: bool
    batch: Batch
    held_out: Mask
    hosted: Mask

    @property
    def decode(self) -> bool:
        """Whether one query a sequence runs."""
        return self.operator.endswith("decode")

    @property
    def sparse(self) -> bool:
        """Whether an indexer's choice is attended."""
        return self.operator.startswith("dsa")

    @property
    def narrow(self) -> float:
        """How much longer the host takes for products of the format (NARROW_PRODUCTS)."""
        return NARROW_PRODUCTS.get(self.products.scheme, 0.0)

    @property
    def label(self) -> str:
        """Module, phase, model, formats and products, for groups."""
        module, model = self.batch.words[2], self.batch.words[3].rpartition("/")[2].lower()
        phase = self.batch.words[1]
        return f"{module} {phase} {model} {self.variant} {self.products.scheme}"

    @property
    def tokens(self) -> Array:
        """Tokens of each call [n]."""
        c = self.batch.columns
        return np.asarray(c["batch"] * c["isl"])

    @property
    def shape(self) -> LatentShape:
        """What the core computes: a decode step's length is that of the cache with the new
        entries, a prompt's that of the prompt."""
        c, a = self.batch.columns, self.products.attention
        heads = c["heads"] * c["isl"] if self.wide else c["heads"]
        length = c["step"] + c["isl"] if self.decode else c["isl"]
        return LatentShape(
            c["batch"],
            length,
            heads,
            np.asarray(self.kv_bytes),
            key=a.nope_dim + a.rope_dim,
            value=a.value_dim,
            latent=a.kv_lora_rank,
            rope=a.rope_dim,
            past=0.0 if self.decode else c["step"],
        )

    def product_seconds(self) -> tuple[Array, float] | None:
        """(seconds of the products [n], their deviation), None where they were not measured."""
        assert self.batch.profile is not None
        c = self.batch.columns
        return self.products.seconds(
            self.batch.profile, [self.batch.stack], self.tokens, c["heads"], c["batch"] * c["step"]
        )

    def module_seconds(
        self, products: Array, core: Parameters, rest: Parameters | None, chip: Chip
    ) -> Array:
        """Seconds of the module [n]: ``products`` beside the core and the rest."""
        s = self.shape
        if self.sparse:
            return self._sparse(products, core, chip, s)
        if self.decode:
            busy = mla.mla_decode_parts(core, chip, s, cold=False).total()
        else:
            busy = mla.mla_prefill_parts(core, chip, s).total()
        if rest is None:
            return np.asarray(products + busy)
        plain = replace(s, heads=self.batch.columns["heads"])
        busy = (
            products
            + busy
            + rest_parts(rest, chip, self.operator, plain, tokens=self.tokens).total()
        )
        return busy if self.decode else hosted(busy, host_seconds(rest, narrow=self.narrow))

    def _sparse(self, products: Array, core: Parameters, chip: Chip, s: LatentShape) -> Array:
        a = self.products.attention
        shape = dsa.SparseShape(
            s, float(a.indexer_topk), float(a.indexer_heads), float(a.indexer_dim)
        )
        seconds = products + dsa.dsa_core(core, chip, self.operator, shape).total()
        if self.products.indexer:
            seconds = seconds + dsa.dsa_indexer(core, chip, self.operator, shape).total()
        if self.decode:
            return np.asarray(seconds)
        return hosted(
            seconds, dsa.host_seconds(core, indexer=self.products.indexer, narrow=self.narrow)
        )


Found = tuple[list[ModuleRows], list[int], list[tuple[Batch, str]]]
WITHOUT_GRAPH = "a step without a graph waits for the host"


def module_rows(rows: Rows, profiles: Profiles = NO_PROFILES) -> Found:
    """(groups of a module table, malformed rows, (group, reason) of what is not modelled)."""
    parsed, bad = batches(
        rows,
        WORDS,
        ("heads", "batch", "isl", "step", "latency_us"),
        zero=("step",),
        profiles=profiles,
    )
    modules, left = [], []
    for batch in parsed:
        rule = _special(batch)
        below = batch.columns["heads"] < rule.get("below", np.inf)
        for part, special in ((batch.take(below), rule), (batch.take(~below), {})):
            module = _module(part, special) if len(part.index) else None
            if isinstance(module, str):
                left.append((part, module))
            elif module is not None:
                modules.append(module)
    return modules, bad, left


def _special(batch: Batch) -> Mapping[str, Any]:
    """The rule of another set than that of the formats alone, empty for none."""
    kernel, phase, kv = batch.words[0], batch.words[1], batch.words[5]
    return next(
        (
            rule
            for rule in _rules()["set"]
            if rule["name"] in kernel
            and rule.get("kv", kv) == kv
            and rule.get("phase", phase) == phase
        ),
        {},
    )


def _module(batch: Batch, special: Mapping[str, Any]) -> ModuleRows | str:
    """The rows of ``batch``, or the reason why they are not modelled."""
    kernel, phase, module, model, attn, kv, gemm = batch.words
    rules = _rules()
    if model not in rules["model"]:
        return "unknown model"
    formats = [FORMATS.get(word.lower()) for word in (attn, kv)]
    if (
        module not in ("mla", "dsa")
        or phase not in PHASES
        or None in formats
        or gemm.lower() not in SCHEMES
    ):
        return "unknown format"
    spec = bundled_model(rules["model"][model])
    wide = phase == "context" and kernel in rules["absorbed"]["kernels"]
    operator = str(
        special.get("operator") or ("mla-decode" if wide else f"{module}-{PHASES[phase]}")
    )
    if operator == "mla-decode":
        formats[0] = "bf16"
    expanded = operator == "mla-prefill"
    record = kv != "bfloat16" and any(name in kernel for name in rules["records"]["kernels"])
    size = float(rules["records"]["bytes"]) if record else KV_BYTES[str(formats[1])]
    indexer = module == "dsa" and "skip_indexer" not in kernel and not expanded
    products = Projections(
        spec.attention[0], spec.hidden_size, SCHEMES[gemm.lower()], expanded, indexer
    )
    variant = f"{formats[0]}/{formats[1]}{special.get('suffix', '')}"
    return ModuleRows(
        operator, variant, products, size, wide, batch, _held_out(batch), _uncaptured(batch)
    )


def _uncaptured(batch: Batch) -> Mask:
    """Decode steps of more sequences than the stack captured a graph for [n]."""
    rule = _rules()["uncaptured"]
    here = (
        batch.stack == rule["stack"]
        and batch.words[2] == rule["module"]
        and batch.words[1] == "generation"
    )
    return np.asarray((batch.columns["batch"] > rule["batch"]) & here)


def _held_out(batch: Batch) -> Mask:
    heads, size = (batch.columns[name].astype(np.int64).tolist() for name in ("heads", "batch"))
    return np.array(
        [is_held_out(f"{h},{b}") for h, b in zip(heads, size, strict=True)], dtype=np.bool_
    )


@cache
def _rules() -> Mapping[str, Any]:
    text = (_DATA / "attention_modules.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def predict_rows(table: str, rows: Rows) -> list[Outcome]:
    """Predictions for a table with columns device, software, kernel, phase, module, model, the
    formats of attention, cache and products, heads, tp, batch, isl, step."""
    groups, bad, left = module_rows(rows)
    out = [
        outcome
        for batch, why in left
        for outcome in missing(
            table,
            batch,
            why,
            format=" ".join((*batch.words[2:0:-1], *batch.words[3:])),
        )
    ]
    return sorted([*in_order(table, groups, _group, bad), *out], key=lambda o: o.row)


def _group(table: str, group: ModuleRows) -> list[Outcome]:
    batch, name = group.batch, group.label
    measured = batch.seconds
    if batch.profile is None or batch.unknown:
        return missing(table, batch, batch.unknown, format=name)
    products = group.product_seconds()
    sets = _sets(batch.profile, group)
    if products is None or sets is None:
        return missing(table, batch, "not measured", format=name)
    figures, core, rest, how = sets
    seconds = group.module_seconds(products[0], core, rest, figures)
    share = np.clip(1.0 - products[0] / seconds, 0.0, 1.0)
    sigma = np.hypot(share * how.sigma, (1.0 - share) * products[1])
    held_out = group.held_out if how.basis == "fitted" else None
    left = {WITHOUT_GRAPH: group.hosted} if group.hosted.any() else {}
    return predicted(
        table,
        batch,
        format=name,
        seconds=seconds,
        regimes=regimes(len(measured), how.basis, held_out, left),
        spread=Z80 * sigma,
        basis=f"{how.basis}: products, and {how.fit.stack} {how.fit.software} {group.operator} "
        f"{group.variant} on {how.origin}",
    )


def _sets(
    device: DeviceProfile,
    group: ModuleRows,
) -> tuple[Chip, Parameters, Mapping[str, float] | None, Calibration] | None:
    """(device, parameters of the core, of the rest, the set that says how sure they are)."""
    stacks, figures = [group.batch.stack], chip(device)
    core = fitted_set(device, group.operator, stacks, [group.variant])
    if figures is None or core is None:
        return None
    if group.sparse:
        return figures, core.fit.parameters, None, core
    rest = fitted_set(device, OPERATOR, stacks, [f"{group.operator}:{group.variant}"])
    if rest is None:
        return None
    return figures, core.fit.parameters, rest.fit.parameters, rest
