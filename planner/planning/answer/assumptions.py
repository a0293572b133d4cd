"""What an answer took for granted, each with its reason."""

from __future__ import annotations

from planner.base.units import GIB, format_bytes, format_seconds
from planner.memory.overheads import runtime_source
from planner.messages.message import Message, Note, Text, message
from planner.models.inventory import row_bytes
from planner.models.planned import structure_note
from planner.models.spec import ModelSpec
from planner.planning.answer.capacity import grows_alike
from planner.planning.answer.engine_notes import engine_notes
from planner.planning.answer.measured_anchor import measured_elsewhere, reasoning_notes
from planner.planning.answer.quantiser_notes import domain_note, quantiser_notes
from planner.planning.answer.running_costs import running_costs
from planner.planning.engines.repositories import GGUF
from planner.planning.price.intervals import routing_assumption, time_basis
from planner.planning.price.price import Priced, file_bytes_of
from planner.planning.question.given_values import IN_FLIGHT_KEY
from planner.planning.question.question import Question
from planner.planning.question.speculation import MTP
from planner.planning.question.time_limits import REQUEST_TIME
from planner.planning.search.formulate import loss_limit
from planner.planning.space.loss_basis import loss_assumptions
from planner.planning.space.losses import loss_word, saturated_loss
from planner.planning.space.memory import question_overheads
from planner.planning.space.model import CostModel
from planner.planning.space.printed_loss import limit_text
from planner.throughput.attended import COMPRESSED
from planner.throughput.cpu_host import host_source
from planner.throughput.recurrent import APPROXIMATED
from planner.throughput.torch_cpu import cpu_host_rules, emulated

INTERRUPTION, QUEUEING = "prefill interruption", "queueing"
LOOP_KEYS = (INTERRUPTION, QUEUEING, REQUEST_TIME)
"""Assumptions of a closed loop whose workers read prompts and decode."""


def assumptions(model: CostModel, priced: Priced, by_search: bool) -> tuple[Note, ...]:
    """What was taken for granted, each with its reason; user input first."""
    question = model.question
    work = question.workload
    given_notes = (*structure_note(question.spec), *question.notes)
    out = list(given_notes)
    if work.assumed:
        out.append(Note("workload", work.assumed, message("assumptions.not_given")))
    out += request_note(question, priced.ttft, priced.tpot)
    limit = loss_limit(model)
    if by_search and limit is not None:
        out.append(
            Note(
                "max-loss",
                _limit_text(model, limit),
                message("assumptions.loss_limit", model=loss_word(model)),
            )
        )
    out += in_flight_note(question, priced)
    out += _file_note(model, priced)
    out += _model_assumptions(model, priced)
    out += running_costs(question, priced)
    return tuple(out)


def request_note(question: Question, ttft: float, tpot: float) -> list[Note]:
    """What a whole request takes, where it is limited."""
    if question.e2e_seconds is None:
        return []
    takes = question.limited_times(ttft, tpot)["e2e"]
    return [
        Note(
            REQUEST_TIME,
            message(
                "assumptions.request_time_within",
                takes=format_seconds(takes),
                limit=format_seconds(question.e2e_seconds),
            ),
            message("assumptions.request_time", tokens=question.tokens_after_first),
        )
    ]


def in_flight_note(question: Question, priced: Priced) -> list[Note]:
    """How many requests are in flight, where they are fewer than a whole batch of each replica."""
    places = priced.batch * question.replicas(priced.layout.ranks)
    if question.concurrency is None or question.concurrency >= places:
        return []
    why = message("assumptions.fewer_requests_than_places", places=places)
    return [Note(IN_FLIGHT_KEY, str(question.concurrency), why)]


def _file_note(model: CostModel, priced: Priced) -> list[Note]:
    """What of the limit on the weights' file is taken, where there is one."""
    limit = model.question.file_bytes
    if limit is None:
        return []
    counted = "gguf" if model.question.container == GGUF else "checkpoint"
    return [
        Note(
            "weights' file",
            message(
                "assumptions.file_within",
                n=file_bytes_of(model, priced),
                most=limit,
            ),
            message(f"assumptions.file_counted_{counted}"),
        )
    ]


def _limit_text(model: CostModel, limit: float) -> Text:
    """The limit on loss as it was given, with what it comes to; ``limit`` is of the sum."""
    told, scheme = limit_text(model, limit), model.question.loss_scheme
    if scheme is None and isinstance(told, Message):
        return told
    exact = saturated_loss(model, limit)
    return message("structure.remark", text=scheme or f"{exact:.6g}", remark=f"{exact:.3g}")


def _chunk_note(question: Question) -> Note:
    """Tokens of prompts that a step takes, and who says so."""
    chunk = question.prefill_chunk
    why = (
        message("assumptions.common_engine_default")
        if chunk.source is None
        else message(
            "assumptions.chunk_default_set_by",
            engine=question.engine,
            device=question.device.id,
            flag=chunk.flag,
            source=f"{chunk.source.title}, {chunk.source.date}",
        )
    )
    return Note("prefill chunk", message("assumptions.tokens", context=chunk.tokens), why)


def _reserve_note(question: Question, priced: Priced) -> list[Note]:
    """What the engine reserves because the replica has several ranks."""
    reserved = 0 if question.usable is None else question.usable.reserved_bytes(priced.layout)
    if reserved <= 0:
        return []
    return [
        Note(
            "reserved memory",
            format_bytes(reserved),
            message("assumptions.kept_free_for_several_ranks"),
        )
    ]


def _structure_notes(spec: ModelSpec) -> list[Note]:
    """What of a model's structure stands in for another, or is kept once for several layers."""
    rules = dict.fromkeys(a.rule for a in spec.attention if a.rule in APPROXIMATED)
    packed = ", ".join(sorted({a.kind for a in spec.attention if a.kind in COMPRESSED}))
    return [
        *(
            Note(
                f"recurrence {rule}",
                APPROXIMATED[rule],
                message("assumptions.no_kernels_of_it_were"),
            )
            for rule in rules
        ),
        *_where(
            bool(packed),
            "approximated attention",
            message("assumptions.deepseek_v3_2s_sparse_kernels", packed=packed),
            message("assumptions.no_kernels_of_it_were_measured"),
        ),
        *_where(
            any(a.borrows for a in spec.attention),
            "borrowed caches",
            message("assumptions.read_by_several_layers_kept"),
            message("assumptions.last_layers_attend_to_keys"),
        ),
        *_where(
            any(".altup." in row.name for row in spec.rows),
            "residual streams",
            message("assumptions.their_matrices_alone_are_priced"),
            message("assumptions.sums_over_streams_of_altup"),
        ),
        *_where(
            any(row.fused.startswith("hc-") for row in spec.rows),
            "residual streams",
            message("assumptions.read_and_written_as_norm"),
            message("assumptions.no_kernels_that_mix_them"),
        ),
        *_where(
            any("attn_res_proj" in row.name for row in spec.rows),
            "attention residuals",
            message("assumptions.norm_half_layer_stands_for"),
            message("assumptions.their_sums_over_outputs_of"),
        ),
    ]


def _where(holds: bool, key: str, value: Text, reason: Text) -> list[Note]:
    """One note, or none."""
    return [Note(key, value, reason)] if holds else []


def _model_assumptions(model: CostModel, priced: Priced) -> list[Note]:
    """What times, losses, memory and structure rest on, in the order of the answer."""
    question, spec = model.question, model.question.spec
    return [
        time_basis(model, priced),
        *reasoning_notes(model, priced),
        *loss_assumptions(model),
        *quantiser_notes(model, priced),
        *domain_note(priced),
        *measured_elsewhere(model, priced),
        *engine_notes(model, priced),
        Note(
            INTERRUPTION,
            message("assumptions.of_tpot", interruption=format_seconds(priced.interruption)),
            message("assumptions.every_answer_that_ends_lets"),
        ),
        Note(
            QUEUEING,
            message("assumptions.of_ttft", queue=format_seconds(priced.queue)),
            message(
                "assumptions.rank_reads_prompts_for_of", utilisation=f"{priced.utilisation:.0%}"
            ),
        ),
        _chunk_note(question),
        tokens_per_step(question),
        Note(
            "usable memory",
            message(
                "assumptions.of_gib",
                a=f"{question.usable_bytes / GIB:.1f}",
                b=f"{question.capacity_bytes / GIB:.1f}",
            ),
            (question.usable.source if question.usable is not None else "")
            or question.device.usable_fraction.note
            or question.device.usable_fraction.source,
        ),
        Note(
            "runtime memory",
            format_bytes(priced.stages[0].runtime),
            runtime_source(question.device, question_overheads(question, priced.layout)),
        ),
        *_reserve_note(question, priced),
        *(cpu_notes(model) if model.machine.host_seconds else ()),
        *((routing_assumption(),) if spec.experts else ()),
        *_structure_notes(spec),
        *_where(
            not grows_alike(question),
            "capacity tokens",
            message("assumptions.tokens_of_sequences_at_context"),
            message("assumptions.layers_with_window_or_state"),
        ),
        *_where(
            any(a.chunked and a.window < question.workload.context for a in spec.attention),
            "chunked attention",
            message("assumptions.decode_step_reads_whole_chunk"),
            message("assumptions.sequences_are_anywhere_in_their"),
        ),
        *unloaded_layers(question),
        *(image_notes(spec) if any(row.part == "vision" for row in spec.rows) else ()),
        _tied_note(question),
        *_where(
            bool(spec.experts) and question.fixed.get("ep") is None,
            "expert parallel",
            message("assumptions.divisors_of_tp_dp_that"),
            message("assumptions.searched_as_far_as_engine"),
        ),
    ]


def _tied_note(question: Question) -> Note:
    """Which layers decide together, and why."""
    if question.profile is not None:
        return Note(
            "units",
            message("assumptions.each_layer_decides_by_itself"),
            message("assumptions.profile_was_given"),
        )
    if not question.untie:
        return Note(
            "tied layers",
            message("assumptions.one_decision_per_kind_and"),
            message("assumptions.prior_never_ranks_single_layers"),
        )
    return Note(
        "untied layers",
        message("assumptions.layers_decided_one_by_one"),
        message("assumptions.asked_for_prior_cannot_rank"),
    )


def image_notes(spec: ModelSpec) -> list[Note]:
    """That images are prompt tokens and their encoder is not in memory; nothing for text models."""
    parts = [row for row in spec.rows if row.part in ("vision", "audio")]
    if not parts:
        return []
    size = sum(row_bytes(row) * max(1, len(row.layers)) for row in parts)
    encoder = spec.encoder
    return [
        Note(
            "images",
            message("assumptions.encoder_of_not_loaded", size=format_bytes(size)),
            message("assumptions.tokens_of_images_at_most", largest=encoder.tokens)
            if encoder
            else message("assumptions.tokens_of_images_are_prompt"),
        )
    ]


def cpu_notes(model: CostModel) -> list[Note]:
    """Nothing on accelerators, and where the engine's own time is not in the data."""
    question, seconds = model.question, model.machine.host_seconds
    notes = []
    if seconds:
        notes.append(
            Note(
                "time between kernels",
                message("assumptions.s_layer", x=f"{seconds * 1e6:.0f}"),
                message(
                    "assumptions.on_cores_that_compute",
                    engine=question.engine,
                    counted=host_source(
                        question.device, question.spec, question.engine, eager=question.eager
                    ),
                ),
            )
        )
    for name in question.schemes:
        cost = emulated(question.engine, question.device, name)
        if cost is not None:
            rule = cpu_host_rules()["scaled_mm"]
            notes.append(
                Note(
                    f"kernel of {name}",
                    message("structure.named", name=rule["kernel"], text=cost.text),
                    message("assumptions.weights_are_widened_in_every", s=rule["source"]),
                )
            )
    return notes


def tokens_per_step(question: Question) -> Note:
    """Tokens that a step yields for a sequence, and how sure that is."""
    speculation = question.speculation
    if speculation is None:
        return Note("tokens per step", "1", message("assumptions.no_speculative_decoding"))
    rate = speculation.acceptance
    accepted = f"{rate.value:.2f}"
    return Note(
        "tokens per step",
        message(
            "assumptions.of_drafted_and_one",
            accepted=f"{speculation.accepted:.2f}",
            draft_tokens=speculation.draft_tokens,
        ),
        message(
            "assumptions.accepted_between",
            kind=speculation.kind,
            rate=accepted,
            low=f"{rate.low:.2f}",
            high=f"{rate.high:.2f}",
            source=rate.source,
        )
        if rate.low < rate.high
        else message(
            "assumptions.accepted_at", kind=speculation.kind, rate=accepted, source=rate.source
        ),
    )


def unloaded_layers(question: Question) -> list[Note]:
    """That prediction layers of the model are not loaded, and why; nothing where they draft."""
    drafts = question.speculation
    if not question.spec.mtp_layers or (drafts is not None and drafts.kind == MTP):
        return []
    return [
        Note(
            "MTP layer",
            message("assumptions.not_loaded"),
            message("assumptions.no_speculative_decoding")
            if drafts is None
            else message("assumptions.drafts", kind=drafts.kind),
        )
    ]
