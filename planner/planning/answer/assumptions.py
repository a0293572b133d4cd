"""What an answer took for granted, each with its reason."""

from __future__ import annotations

from planner.memory.footprint import runtime_of
from planner.models.planned import structure_note
from planner.models.spec import ModelSpec
from planner.planning.answer.capacity import grows_alike
from planner.planning.answer.draft_notes import tokens_per_step, unloaded_layers
from planner.planning.answer.engine_notes import engine_notes
from planner.planning.answer.measured_anchor import measured_elsewhere
from planner.planning.answer.running_costs import running_costs
from planner.planning.plan.record import Assumption, written
from planner.planning.price.intervals import routing_assumption, time_basis
from planner.planning.price.price import Priced
from planner.planning.question.question import Question
from planner.planning.search.formulate import loss_limit
from planner.planning.space.loss_basis import loss_assumptions
from planner.planning.space.losses import loss_word, saturated_loss
from planner.planning.space.model import CostModel
from planner.throughput.attended import COMPRESSED
from planner.throughput.recurrent import APPROXIMATED
from planner.units import GIB, format_bytes, format_seconds


def assumptions(model: CostModel, priced: Priced, searched: bool) -> tuple[Assumption, ...]:
    """What was taken for granted, each with its reason; user input first."""
    question = model.question
    work = question.workload
    told = (*structure_note(question.spec), *question.notes)
    out = [written(note) for note in told]
    if work.assumed:
        out.append(Assumption("workload", work.assumed, "not given"))
    limit = loss_limit(model)
    if searched and limit is not None:
        out.append(
            Assumption("max-loss", _limit_text(model, limit), f"loss limit, {loss_word(model)}")
        )
    out += _model_assumptions(model, priced)
    out += running_costs(question, priced)
    return tuple(out)


def _limit_text(model: CostModel, limit: float) -> str:
    """The limit on loss as it was given, with what it comes to; ``limit`` is of the sum."""
    told = saturated_loss(model, limit)
    return f"{model.question.loss_scheme or f'{told:.6g}'} ({told:.3g})"


def _chunk_note(question: Question) -> Assumption:
    """Tokens of prompts that a step takes, and who says so."""
    chunk = question.prefill_chunk
    why = (
        "common engine default"
        if chunk.source is None
        else (
            f"default of {question.engine} on {question.device.id}, set by {chunk.flag} "
            f"({chunk.source.title}, {chunk.source.date})"
        )
    )
    return Assumption("prefill chunk", f"{chunk.tokens} tokens", why)


def _reserve_note(question: Question, priced: Priced) -> list[Assumption]:
    """What the engine reserves because the replica has several ranks."""
    reserved = 0 if question.usable is None else question.usable.reserved_bytes(priced.layout)
    if not reserved:
        return []
    return [
        Assumption(
            "reserved memory",
            format_bytes(reserved),
            "part of the runtime: what the engine keeps free for a replica of several ranks",
        )
    ]


def _structure_notes(spec: ModelSpec) -> list[Assumption]:
    """What of a model's structure stands in for another, or is kept once for several layers."""
    out = []
    for rule in dict.fromkeys(a.rule for a in spec.attention if a.rule in APPROXIMATED):
        out.append(
            Assumption(
                f"recurrence {rule}",
                APPROXIMATED[rule],
                "no kernels of it were measured; the interval is wider for it",
            )
        )
    packed = sorted({a.kind for a in spec.attention if a.kind in COMPRESSED})
    if packed:
        out.append(
            Assumption(
                "approximated attention",
                f"{', '.join(packed)}: DeepSeek-V3.2's "
                "sparse kernels over a window and compressed entries",
                "no kernels of it were measured: its interval is ×/÷ 1.8 or more, "
                "and what pools entries is priced by its bytes",
            )
        )
    if any(a.borrows for a in spec.attention):
        out.append(
            Assumption(
                "borrowed caches",
                "read by several layers, kept once",
                "the last layers attend to keys and values of earlier ones",
            )
        )
    if any(".altup." in row.name for row in spec.rows):
        out.append(
            Assumption(
                "residual streams",
                "their matrices alone are priced",
                "sums over the streams of AltUp were not measured",
            )
        )
    if any(row.fused.startswith("hc-") for row in spec.rows):
        out.append(
            Assumption(
                "residual streams",
                "read and written as a norm of their width",
                "no kernels that mix them were measured",
            )
        )
    if any("attn_res_proj" in row.name for row in spec.rows):
        out.append(
            Assumption(
                "attention residuals",
                "a norm a half layer stands for them",
                "their sums over the outputs of earlier blocks were not measured",
            )
        )
    return out


def _model_assumptions(model: CostModel, priced: Priced) -> list[Assumption]:
    question = model.question
    out = [
        time_basis(model, priced),
        *loss_assumptions(model),
        *measured_elsewhere(model, priced),
        *engine_notes(model, priced),
        Assumption(
            "prefill interruption",
            f"{format_seconds(priced.interruption)} of TPOT",
            "every answer that ends lets a prompt in, which is read beside the batch",
        ),
        Assumption(
            "queueing",
            f"{format_seconds(priced.queue)} of TTFT",
            f"a rank reads prompts for {priced.utilisation:.0%} of its time; mean wait of "
            "an M/D/1 queue",
        ),
        _chunk_note(question),
        tokens_per_step(question),
        Assumption(
            "usable memory",
            f"{question.usable_bytes / GIB:.1f} of {question.capacity_bytes / GIB:.1f} GiB",
            (question.usable.source if question.usable is not None else "")
            or question.device.usable_fraction.note
            or question.device.usable_fraction.source,
        ),
        Assumption(
            "runtime memory",
            format_bytes(priced.stages[0].runtime),
            runtime_of(question.device).source,
        ),
        *_reserve_note(question, priced),
    ]
    if model.machine.host_seconds:
        from planner.planning.answer.cpu_notes import cpu_notes

        out += cpu_notes(model)
    if question.spec.experts:
        out.append(routing_assumption())
    out += _structure_notes(question.spec)
    if not grows_alike(question):
        out.append(
            Assumption(
                "capacity tokens",
                "tokens of sequences at the context",
                "layers with a window or a state do not grow with every token",
            )
        )
    if any(a.chunked and a.window < question.workload.context for a in question.spec.attention):
        out.append(
            Assumption(
                "chunked attention",
                "a decode step reads a whole chunk",
                "sequences are anywhere in their chunk; half of it on average",
            )
        )
    out += unloaded_layers(question)
    if any(row.part == "vision" for row in question.spec.rows):
        from planner.planning.answer.image_notes import image_notes

        out += image_notes(question.spec)
    if question.profile is not None:
        out.append(Assumption("units", "each layer decides by itself", "a profile was given"))
    elif not question.untie:
        out.append(
            Assumption(
                "tied layers",
                "one decision per kind and depth bucket",
                "a prior never ranks single layers; --untie decides per layer",
            )
        )
    else:
        out.append(
            Assumption(
                "untied layers",
                "layers decided one by one",
                "asked for; a prior cannot rank layers inside a bucket",
            )
        )
    if question.spec.experts and question.fixed.get("ep") is None:
        out.append(
            Assumption(
                "expert parallel",
                "divisors of tp·dp that divide the experts",
                "searched, as far as the engine takes them",
            )
        )
    return out
