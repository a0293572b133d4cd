"""Times of kernels over batches and over faster devices, for the laws that both must keep."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from planner.base.records import record
from planner.formats.ggml_types import needs_imatrix
from planner.formats.schemes import scheme_ids
from planner.hardware.catalog import device_ids
from planner.hardware.profile import DeviceProfile, Quantity
from planner.lookup import load_device, load_model
from planner.placement.layout import Layout, layout_problem
from planner.planning.engines.prefill_chunks import COMMON
from planner.planning.question.decisions import FUSED
from planner.planning.question.given_values import GivenValues
from planner.planning.question.resolve import build_question
from planner.planning.space.kernel_times import (
    hops,
    prompt_passes,
    prompts_read,
    with_prompts,
)
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.tables import layout_tables
from planner.planning.space.times import Key, Lengths, UnitTimes, timed_units
from planner.quality.prior import load_prior
from planner.throughput.calibration import stacks_of
from planner.throughput.collectives import fabric
from planner.throughput.kernels import legal_schemes
from planner.throughput.points import decode_phase, mixed_phase, points
from planner.throughput.roofline import Parts, from_every, fused_operators

Array = NDArray[np.float64]
MODELS = (
    "smollm2-135m",
    "qwen2.5-0.5b",
    "llama-3.2-1b",
    "llama-3.1-8b",
    "llama-3.1-70b",
    "mistral-7b-v0.1",
    "mixtral-8x7b",
    "mixtral-8x22b",
    "olmoe-1b-7b",
    "qwen3-30b-a3b",
    "qwen3-32b",
    "qwen3-235b-a22b-fp8",
    "qwen3-next-80b-a3b",
    "minimax-m2",
    "gemma-3-1b",
    "gemma-4-26b-a4b",
    "gpt-oss-20b",
    "gpt-oss-120b",
    "deepseek-v2-lite",
    "deepseek-v3",
    "deepseek-v3.2",
    "deepseek-v3.2-nvfp4",
    "glm-4.5",
    "glm-5",
    "llama-4-scout",
    "phi-3-mini-4k",
    "kimi-k2.5",
    "mimo-v2-flash",
    "qwen3.5-27b",
    "gpt2",
)
ENGINES = ("any", "vllm", "sglang", "tensorrt-llm", "llama.cpp")
MOST = 30_000
LINKS = (
    "scale_up_bytes_per_s",
    "scale_out_bytes_per_s",
    "scale_up_floor_seconds",
    "scale_out_floor_seconds",
)


@record
class Case:
    """What is asked of one layout; ``slots`` [C] ascend."""

    model: str
    device: str
    engine: str
    layout: Layout
    isl: int
    osl: int
    slots: tuple[int, ...]


@cache
def _devices() -> tuple[str, ...]:
    """Devices that run a model: a preliminary one states no rate."""
    return tuple(name for name in device_ids() if load_device(name).rate("bf16") is not None)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A model, a device, a layout that both allow, and batches, each with the next."""
    spec = load_model(draw(st.sampled_from(MODELS)))
    device = load_device(draw(st.sampled_from(_devices())))
    engine = draw(st.sampled_from(ENGINES))
    reach = fabric(device).reach()
    layouts = [
        la
        for tp in (1, 2, 3, 4, 8, 16)
        for dp in (1, 2, 8)
        for pp in (1, 2)
        for ep in (1, 2, 4, 8, 16)
        if ep <= tp * dp
        for la in (Layout(tp, dp, pp, ep),)
        if la.ranks <= reach and not layout_problem(spec, la)
    ]
    some = draw(
        st.lists(st.one_of(st.integers(1, 300), st.integers(1, MOST)), min_size=1, max_size=8)
    )
    slots = sorted({s for one in some for s in (one, min(one + 1, MOST))})
    isl = min(
        draw(st.sampled_from((16, 300, 1024, 2500, 8192, 9000, 40_000))), spec.max_context // 2
    )
    return Case(
        spec.id,
        device.id,
        engine,
        draw(st.sampled_from(layouts)),
        isl,
        draw(st.sampled_from((1, 4, 16, 256))),
        tuple(slots),
    )


def model_of(case: Case, device: DeviceProfile) -> CostModel:
    """Every scheme and cache layout that ``device`` runs without a matrix of importance, as the
    case's engine was measured."""
    asked = GivenValues(
        devices=1,
        isl=case.isl,
        osl=case.osl,
        context=case.isl + case.osl,
        schemes=tuple(
            name for name in legal_schemes(device, scheme_ids())[0] if not needs_imatrix(name)
        ),
    )
    question = build_question(load_model(case.model), device, asked, None, uniform=None, given=None)
    question = replace(
        question, engine=case.engine, net=fabric(device, stacks=stacks_of(case.engine))
    )
    return build_model(question, load_prior())


def kernel_times(case: Case, device: DeviceProfile) -> dict[str, tuple[Array, Array, Array]]:
    """{kernel: seconds [C, choices] of a decode step, a prompt beside it, the average step}."""
    model, layouts = model_of(case, device), [case.layout]
    pts = points(layouts, [(0, slot) for slot in case.slots])
    weight, reads = prompt_passes(
        prompts_read(
            model.question, pts, pts.batch * model.question.accepted / model.question.workload.osl
        )[0],
        case.isl,
        COMMON,
    )
    length = case.isl + case.osl / 2
    times = timed_units(model, layout_tables(model, layouts), pts, Lengths(length, case.isl, reads))
    step = decode_phase(pts, length)
    mixed = mixed_phase(pts, length, case.isl, COMMON, reads)
    found = {"hop": (hops(model, pts, step)[:, None], hops(model, pts, mixed)[:, None])}
    for name, keys in _kernels(model).items():
        found[name] = (_seconds(times, keys, "decode"), _seconds(times, keys, "mixed"))
    passes = float(-(-case.isl // COMMON))
    return {
        name: (one, beside, with_prompts(one, beside, weight[:, None], passes))
        for name, (one, beside) in found.items()
    }


def _kernels(model: CostModel) -> dict[str, tuple[Key, ...]]:
    """Kernels by name: the unit or units that each serves."""
    groups: dict[tuple[str, int], list[tuple[str, Key]]] = {}
    for i, unit in enumerate(model.units):
        for layer in unit.layers or (-1,):
            groups.setdefault((FUSED.get(unit.kind, f"{i}"), layer), []).append(
                (unit.kind, (unit.role, unit.row))
            )
    found = {
        tuple(key for _, key in units): "+".join(kind for kind, _ in units)
        for units in groups.values()
    }
    return {f"{name} {keys}": keys for keys, name in found.items()}


def _seconds(times: dict[Key, UnitTimes], keys: tuple[Key, ...], phase: str) -> Array:
    """Seconds [C, choices of the first × choices of the second …] of a kernel's units."""
    members: list[Parts] = [getattr(times[key], phase) for key in keys]
    widths = [m.busy.shape[1] for m in members]
    index = np.indices(widths).reshape(len(widths), -1)
    wide = [
        from_every([a if a.shape[1] == 1 else a[:, at] for a in m.every()])
        for m, at in zip(members, index, strict=True)
    ]
    whole = wide[0] if len(wide) == 1 else fused_operators(wide)
    return np.asarray(whole.total()[times[keys[0]].at])


def changes(device: DeviceProfile) -> list[str]:
    """What of a device may be doubled."""
    return [
        "bandwidth",
        "every peak",
        "conversion",
        "vector unit",
        *sorted({f"{name} peak" for _, name in device.rates}),
        *(name for name in LINKS if getattr(device.links, name) is not None),
    ]


def faster(device: DeviceProfile, what: str) -> DeviceProfile:
    """``device`` with one of :func:`changes` twice as fast."""
    if what == "bandwidth":
        return replace(device, bandwidth_bytes_per_s=_times(device.bandwidth_bytes_per_s, 2.0))
    if what == "conversion":
        return replace(device, conversion={k: _times(q, 2.0) for k, q in device.conversion.items()})
    if what == "vector unit":
        vector, silicon = device.vector_fp32_flop_per_s, device.silicon
        if silicon is not None and silicon.exp_per_s is not None:
            silicon = replace(silicon, exp_per_s=_times(silicon.exp_per_s, 2.0))
        return replace(
            device,
            silicon=silicon,
            vector_fp32_flop_per_s=(None if vector is None else _times(vector, 2.0)),
        )
    if what.endswith(" peak"):
        name = what.removesuffix(" peak")
        return replace(
            device,
            rates={
                key: replace(rate, dense=_times(rate.dense, 2.0))
                if name in ("every", key[1])
                else rate
                for key, rate in device.rates.items()
            },
        )
    quantity = getattr(device.links, what)
    factor = 0.5 if what.endswith("_seconds") else 2.0
    return replace(device, links=replace(device.links, **{what: _times(quantity, factor)}))


def _times(quantity: Quantity, factor: float) -> Quantity:
    return replace(quantity, value=quantity.value * factor)
