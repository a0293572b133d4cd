"""What an engine does that a plan's times and losses rest on, a line each.

Experts' tokens, streams and the host; the kernels that schemes and caches run on, from the engines'
own selectors (:mod:`planner.throughput.engine_kernels`), nothing being said where they were not
read for a device; what is widened; ggml's types and llama.cpp's own mixes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp

from planner.base.units import format_bytes, format_seconds
from planner.formats.schemes import SCHEMES
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Message, Note, Text, message
from planner.placement.cache_entries import cache_units
from planner.placement.shards import module_bytes
from planner.planning.engines.mixes import engine_mixes, mix_substitutes
from planner.planning.engines.routes import EXPERTS, cache_choice, route_words, scheme_choice
from planner.planning.engines.rules import PLAIN, cache_group, kind_group, requantised
from planner.planning.plan.record import UnitPlan
from planner.planning.price.measured_errors import Z80
from planner.planning.price.price import Priced
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.named import schemes_of, usable_mixes
from planner.planning.question.question import Question
from planner.planning.space.model import CostModel
from planner.throughput.curves import gathers_experts, one_sided_experts
from planner.throughput.engine_kernels import KernelChoice
from planner.throughput.engine_policy import shared_experts_overlap, stored_scales
from planner.throughput.ggml import ggml_certainty, runs_on_ggml, widening

GATHERED = message("assumptions.all_gather_and_reduce_scatter")
SCALED = "fp8-tensor"
"""The scheme whose activations have a scale that a checkpoint can store."""
KERNELS = "kernels"
GPU_BLOCK = 32
"""Activations that share a scale on GPUs, beside any type."""


def engine_notes(model: CostModel, priced: Priced) -> list[Note]:
    """Assumptions about the engine of ``model`` that this plan's times rest on."""
    question, layout = model.question, priced.layout
    out: list[Note] = []
    experts = question.spec.experts
    if experts is not None and layout.dp > 1:
        out += [
            _exchange(model, priced),
            Note(
                "attention ranks",
                message("assumptions.step_together"),
                message("assumptions.prompt_on_one_rank_makes"),
            ),
        ]
    if experts is not None and experts.shared:
        used = {
            model.choices[c.segment.choice]
            for c in priced.costs
            if model.units[c.segment.unit].kind == "shared-down" and c.segment.choice >= 0
        }
        for name in sorted(used):
            if source := shared_experts_overlap(question.engine, name):
                out.append(
                    Note(
                        "shared experts",
                        message("assumptions.on_second_stream", x=name),
                        source,
                    )
                )
    source = stored_scales(question.engine)
    if source and SCALED in {
        model.choices[c.segment.choice] for c in priced.costs if c.segment.choice >= 0
    }:
        out.append(Note("activation scales", message("assumptions.stored", scaled=SCALED), source))
    out += _lookup_note(model, priced)
    host = question.prompt_host
    if host.layer_seconds or host.handling_seconds:
        out.append(
            Note(
                "host of a prompt",
                message(
                    "assumptions.at_least_to_launch_it",
                    prompt_floor_seconds=format_seconds(question.prompt_floor_seconds),
                    handling_seconds=format_seconds(host.handling_seconds),
                ),
                host.source,
            )
        )
    return out


def _lookup_note(model: CostModel, priced: Priced) -> list[Note]:
    """Bytes of the table of tokens, where it is in the memory of the host."""
    if not model.question.looks_up_on_host:
        return []
    size = 0
    for cost in priced.costs:
        unit, choice = model.units[cost.segment.unit], cost.segment.choice
        if unit.kind == "embedding":
            size += (
                model.released[unit.row].stored_bytes
                if choice < 0
                else module_bytes(model.planned[unit.row], scheme_by_id(model.choices[choice]))
            )
    copied = "copied" if model.question.spec.tied_embeddings else "alone"
    return [
        Note(
            "table of tokens",
            message("assumptions.in_memory_of_host", x=format_bytes(size)),
            message(f"assumptions.lookup_on_host_{copied}", engine=model.question.engine),
        )
    ]


def _exchange(model: CostModel, priced: Priced) -> Note:
    """How tokens come to their experts."""
    net, layout = model.question.net, priced.layout
    if layout.ep == 1:
        return Note("expert tokens", GATHERED, message("assumptions.experts_are_split_not_spread"))
    if net.gathers and layout.tp * layout.dp <= net.domain:
        return Note("expert tokens", GATHERED, gathers_experts(model.machine.stacks, net.domain))
    if net.one_sided:
        return Note(
            "expert tokens",
            message("assumptions.written_straight_to_ranks_of"),
            one_sided_experts(model.machine.stacks, net.domain),
        )
    return Note(
        "expert tokens",
        message("assumptions.exchanged_by_rank"),
        message("assumptions.exchange_that_engines_stack_was"),
    )


def kernel_notes(question: Question, units: Sequence[UnitPlan]) -> list[Note]:
    """The kernels of the schemes and caches that ``units`` take."""
    engine = engine_of(question)
    if engine is None:
        return []
    uses = dict.fromkeys((kind_group(u.kind), u.scheme) for u in units if u.kv_layout is None)
    caches = dict.fromkeys(u.scheme for u in units if u.kv_layout is not None)
    groups = dict.fromkeys(cache_group(u) for u in cache_units(question.spec))
    return kernel_assumptions(
        engine,
        question.device,
        uses,
        question.container,
        [(group, name) for group in groups for name in caches],
    )


def kernel_assumptions(
    engine: Engine,
    device: DeviceProfile,
    uses: Iterable[tuple[str, str]],
    container: str,
    caches: Iterable[tuple[str, str]] = (),
) -> list[Note]:
    """One assumption of all kernels that are known; none where none is."""
    kernels_by_use: list[tuple[str, KernelChoice | None]] = [
        (
            message(f"assumptions.{group}_x", x=scheme),
            scheme_choice(engine, device, scheme, group, "" if scheme in PLAIN else container),
        )
        for group, scheme in uses
        if group in ("dense", EXPERTS)
    ]
    kernels_by_use += [
        (f"KV {name}", cache_choice(engine, device, name, group)) for group, name in caches
    ]
    known = {what: choice for what, choice in kernels_by_use if choice is not None}
    if not known:
        return []
    read = dict.fromkeys(
        f"{engine.name} {kernel_choice.read_in}" for kernel_choice in known.values()
    )
    slow = [
        message("structure.named", name=what, text=kernel_choice.reason)
        for what, kernel_choice in known.items()
        if kernel_choice.reason
    ]
    capability, read_in = str(device.compute_capability), ", ".join(read)
    sources = "; ".join(dict.fromkeys(kernel_choice.source for kernel_choice in known.values()))
    return [
        Note(
            KERNELS,
            message("structure.clauses", parts=tuple(_kernel(*item) for item in known.items())),
            message(
                "assumptions.kernels_by_selectors_with_reasons",
                engine=engine.label,
                capability=capability,
                read_in=read_in,
                reasons=message("structure.semicolons", parts=tuple(dict.fromkeys(slow))),
                sources=sources,
            )
            if slow
            else message(
                "assumptions.kernels_by_selectors",
                engine=engine.label,
                capability=capability,
                read_in=read_in,
                sources=sources,
            ),
        )
    ]


def _kernel(use: str, choice: KernelChoice) -> Message:
    """The kernel of a use, and how it takes what it is given where that is not natively."""
    kernel: Text = choice.kernel.partition(":")[2] or choice.kernel
    if choice.path != "native":
        kernel = message("structure.remark", text=kernel, remark=choice.path)
    return message("structure.named", name=use, text=kernel)


def route_notes(question: Question, units: Sequence[UnitPlan]) -> list[Note]:
    """A line for every scheme of ``units`` whose weights the question's engine widens although
    quantised activations are asked for; its time is that of the weight-only kernel."""
    engine = engine_of(question)
    if engine is None:
        return []
    used = {(kind_group(u.kind), u.scheme) for u in units if u.kv_layout is None}
    out = [
        route_words(engine, question.device, route, route.group)
        for route in question.routes
        if (route.group, route.asked) in used
    ]
    for name in sorted({scheme for _, scheme in used}):
        changed = requantised(engine, question.device, name)
        if changed is not None:
            out.append(Note(f"scales of {name}", message("assumptions.as_stored"), changed.reason))
    return out


def ggml_notes(question: Question, units: Sequence[UnitPlan]) -> list[Note]:
    """Nothing where a plan has no ggml type and its engine no mix."""
    # What stays as released may be told by its element alone.
    used = dict.fromkeys(
        u.scheme
        for u in units
        if u.kv_layout is None and u.scheme in SCHEMES and runs_on_ggml(SCHEMES[u.scheme])
    )
    out = []
    if used:
        law, factor = widening(question.device), exp(Z80 * ggml_certainty(question.device).sigma)
        out.append(
            Note(
                "ggml kernels",
                message("assumptions.counted_each", used=", ".join(used), factor=f"{factor:.1f}"),
                message("assumptions.integer_products_of_llama_cpps")
                if law is None
                else message("assumptions.llama_cpps_back_end_widens", back_end=law["name"]),
            )
        )
    coarse = [
        name
        for name in used
        if (scale := SCHEMES[name].activation.scale) is not None and scale.block_columns > GPU_BLOCK
    ]
    if coarse and question.device.kind != "cpu" and widening(question.device) is None:
        out.append(
            Note(
                "ggml activations",
                message("assumptions.blocks_of", schemes=", ".join(coarse), elements=256),
                message("assumptions.as_on_cpus_gpus_round"),
            )
        )
    for name in usable_mixes(question):
        mix, others = engine_mixes()[name], mix_substitutes(question.spec, name, question.imatrix)
        reasons: list[Text] = [mix.note] if mix.note else []
        if others:
            parts = tuple(
                message("structure.stands_for", name=other, other=scheme)
                for scheme, other in others
            )
            instead = message("structure.semicolons", parts=parts)
            reasons.append(message("assumptions.rows_are_no_whole_blocks_instead", instead=instead))
        if not reasons:
            continue
        out.append(
            Note(
                f"baseline {name}",
                ", ".join(schemes_of(name, question)),
                message(
                    "structure.dated",
                    text=message("structure.semicolons", parts=tuple(reasons)),
                    source=f"{mix.source.title}, {mix.source.date}",
                ),
            )
        )
    return out
