"""Attention cores of llama.cpp on a CPU: fused attention of ggml, Parts [C, K].

    t = launch + max(pairs · heads · width · s, bytes / (W·e_m))

s is seconds of a (query, entry) pair of a head and an element of its key or value. Prompts run in
tiles of queries and entries where the cache's type has them (F16, F32) and a pass has as many
tokens; all else one query at a time: a BF16 cache takes three times as long in prompts. Cycles are
data/ggml.toml, or fitted to a machine's own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.formats.kv import kv_layout
from planner.hardware.profile import DeviceProfile
from planner.messages.message import message
from planner.models.spec import Attention
from planner.placement.cache_entries import head_entry_bytes
from planner.throughput.attended import decode_entries, prompt_pairs
from planner.throughput.attention import local_kv_heads
from planner.throughput.calibration import Certainty
from planner.throughput.ggml import cpu_unit, engine_runs, ggml_certainty, on_cpu, rules
from planner.throughput.ggml_fitted import STACK
from planner.throughput.points import Phase, Points, column
from planner.throughput.roofline import Parts, parts, select_parts

Array = NDArray[np.float64]
OPERATOR = "ggml-attention"
STEP, PROMPT = "decode", "prefill"


@record
class PairCost:
    """One layout: seconds of an element of a pair, in a step and (``tile``) in a prompt's tiles;
    ``tile`` is ``step`` where the type has none."""

    step: float
    tile: float
    sure_step: Certainty
    sure_tile: Certainty


@record
class GgmlAttention:
    """Costs by cache layout on one CPU; ``tile_rows`` is the edge of a tile, ``tiled`` the layouts
    that have them."""

    costs: Mapping[str, PairCost]
    tiled: frozenset[str]
    tile_rows: float

    def certainty(self, attention: Attention, layout: str, *, decode: bool) -> Certainty | None:
        """How sure the time is; None where the core is not priced here."""
        cost = self.costs.get(layout)
        if cost is None or not _priced(attention):
            return None
        return cost.sure_step if decode else cost.sure_tile


def ggml_attention(device: DeviceProfile, engine: str) -> GgmlAttention | None:
    """The costs on ``device``, None unless ``engine`` runs ggml's kernels on its CPU."""
    chosen = cpu_unit(device) if engine_runs(engine) and on_cpu(device) else None
    if chosen is None:
        return None
    unit, law = chosen
    cycles = device.rates[unit, "int8"].dense.value / 2.0 / law["peak_products"]
    return GgmlAttention(
        {name: _cost(device, name, counted, cycles) for name, counted in law["attention"].items()},
        frozenset(name for name, counted in law["attention"].items() if "tile" in counted),
        float(rules()["cpu"]["attention"]["tile_rows"]),
    )


def _cost(
    device: DeviceProfile, layout: str, counted: Mapping[str, float], cycles: float
) -> PairCost:
    step = counted["step"] / cycles
    by_pass = {STEP: step, PROMPT: counted.get("tile", counted["step"]) / cycles}
    sure = dict.fromkeys(
        by_pass, Certainty("prior", ggml_certainty(device).sigma, "ggml attention by cycles")
    )
    for phase in by_pass:
        fitted = device.fitted.get((OPERATOR, STACK, f"{phase}:{layout}"))
        if fitted is not None:
            by_pass[phase] = fitted.parameters["element_seconds"]
            sure[phase] = Certainty(
                "fitted",
                fitted.error.sigma,
                message(
                    "assumptions.ggml_attention_measured",
                    version=fitted.software,
                    device=device.id,
                ),
            )
    return PairCost(by_pass[STEP], by_pass[PROMPT], sure[STEP], sure[PROMPT])


def _priced(attention: Attention) -> bool:
    return attention.kind in ("gqa", "mla") and not attention.indexer_topk


def with_ggml(
    costs: GgmlAttention | None,
    attention: Attention,
    kind: str,
    layouts: Sequence[str],
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
    other: Callable[[], Parts],
) -> Parts:
    """One layer of one cache unit: by ``costs`` where they price it, else by ``other``."""
    if costs is None or not _priced(attention):
        return other()
    known = [name in costs.costs for name in layouts]
    operator_parts = core_parts(
        costs,
        attention,
        kind,
        [name if ok else next(iter(costs.costs)) for name, ok in zip(layouts, known, strict=True)],
        device,
        pts,
        phase,
    )
    return (
        operator_parts
        if all(known)
        else select_parts(np.array(known)[None, :], operator_parts, other())
    )


def core_parts(
    costs: GgmlAttention,
    attention: Attention,
    kind: str,
    layouts: Sequence[str],
    device: DeviceProfile,
    pts: Points,
    phase: Phase,
) -> Parts:
    """The module's equation; keys and values carry half of the launch each."""
    heads, local = attention.heads / pts.tp, local_kv_heads(attention, pts.tp)
    width = _width(attention, kind)
    size = np.array(
        [head_entry_bytes(attention, kv_layout(n), kind) for n in layouts], dtype=np.float64
    )
    step = np.array([costs.costs[n].step for n in layouts])
    if phase.name == "decode":
        reached = device.achieved["attention-decode"]
        entries = phase.sequences * decode_entries(attention, phase.kv_len)
        pairs, seconds, moved = entries[:, None], step, (entries * local)[:, None] * size
        launches: Array | float = 1.0
    else:
        reached = device.achieved["attention-prefill"]
        alone = np.ones(len(pts)) * prompt_pairs(attention, phase.kv_len)
        tiled = (phase.tokens >= costs.tile_rows)[:, None] & np.array(
            [n in costs.tiled for n in layouts]
        )
        # Tiles on the diagonal are computed whole.
        pairs = alone[:, None] + np.where(
            tiled, column(phase.kv_len) * (costs.tile_rows / 2.0), 0.0
        )
        seconds = np.where(tiled, np.array([costs.costs[n].tile for n in layouts]), step)
        moved, launches = (phase.kv_len * local)[:, None] * size, column(phase.passes)
    compute = pairs * heads[:, None] * width * seconds
    memory = moved / (device.bandwidth_bytes_per_s.value * reached.bandwidth_fraction.value)
    share = 1.0 if kind == "kv-latent" else 0.5
    return parts(
        compute=compute,
        memory=memory,
        busy=np.maximum(compute, memory),
        overlap=True,
        launch=np.asarray(reached.floor_seconds.value * share * launches),
    )


def _width(attention: Attention, kind: str) -> float:
    """Elements that a head multiplies with an entry of the unit."""
    if kind == "kv-v":
        return float(attention.value_dim or attention.head_dim)
    if kind == "kv-k":
        return float(attention.head_dim)
    return float(2 * attention.kv_lora_rank + attention.rope_dim)
