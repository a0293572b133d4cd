"""The closed loop of ``planner.serve``: its parameters as given, and the engine's rules for it."""

from __future__ import annotations

from dataclasses import replace

from planner.base.errors import InputError
from planner.base.records import record
from planner.memory.engines.catalog import parse_engine
from planner.messages.message import Note, message
from planner.planning.question.corrections import PROMPT, STEP
from planner.planning.question.question import Question
from planner.planning.serving.notes import (
    host_time_message,
    prompt_host_message,
    scheduler_message,
)
from planner.throughput.engine_policy import (
    EnginePolicy,
    PromptHost,
    engine_policy,
    prompt_host,
    with_prompt_host,
    with_slower_steps,
)
from planner.throughput.graphs import CapturedBatches, captured_batches
from planner.throughput.scheduling import Scheduling

SCHEDULERS = ("mixed", "exclusive")


@record
class Loop:
    """The parameters of the closed loop, as given; times of the host in microseconds."""

    concurrency: float | None = None
    requests: int | None = None
    draft_tokens: int = 0
    acceptance: float | None = None
    draft_layers: int | None = None
    chunk_tokens: int | None = None
    stream_interval: int = 1
    scheduler: str | None = None
    host_us: float | None = None
    host_us_per_sequence: float | None = None
    graphs: str = "none"
    overlap: bool = False
    prefill_workers: int | None = None
    decode_workers: int | None = None
    transfer_bytes_per_s: float | None = None
    cache_tokens: int | None = None


def check_loop(loop: Loop) -> None:
    """Refuse a loop whose parameters contradict each other.

    Raises:
        InputError: a value out of range, or one without what it needs.
    """
    if loop.concurrency is not None and not 1 <= loop.concurrency < 1 << 20:
        raise InputError(
            f"concurrency {loop.concurrency:g} is out of range",
            hint="requests in flight over the deployment, at least 1",
        )
    if loop.draft_tokens and loop.acceptance is None:
        raise InputError(
            f"a draft of {loop.draft_tokens} tokens without an acceptance rate",
            hint="give --acceptance: it depends on model, draft and text, and is not guessed",
        )
    if loop.acceptance is not None and not loop.draft_tokens:
        raise InputError("an acceptance rate without a draft", hint="give --draft-tokens")
    if loop.draft_layers is not None and not loop.draft_tokens:
        raise InputError("the cost of a drafted token without a draft", hint="give --draft-tokens")
    check_pool_flags(loop.prefill_workers, loop.decode_workers, loop.transfer_bytes_per_s)
    if loop.prefill_workers is not None and loop.concurrency is None:
        raise InputError("pools without a concurrency", hint="give --concurrency")
    if loop.scheduler is not None and loop.scheduler not in SCHEDULERS:
        raise InputError(f"scheduler {loop.scheduler!r}", hint="mixed or exclusive")
    for name in ("chunk_tokens", "stream_interval"):
        value = getattr(loop, name)
        if value is not None and value < 1:
            raise InputError(f"{name} = {value}", hint="at least 1")
    for name in ("host_us", "host_us_per_sequence"):
        value = getattr(loop, name)
        if value is not None and not 0 <= value < 1e9:
            raise InputError(f"{name} = {value:g}", hint="microseconds, 0 or more")


def check_pool_flags(
    prefill_workers: int | None, decode_workers: int | None, transfer_bytes_per_s: float | None
) -> None:
    """Refuse a pool without the other, and a link without pools.

    Raises:
        InputError: it is.
    """
    if (prefill_workers is None) != (decode_workers is None):
        raise InputError(
            "one pool without the other", hint="give --prefill-workers and --decode-workers"
        )
    if transfer_bytes_per_s is not None and prefill_workers is None:
        raise InputError(
            "a link between pools without pools", hint="give --prefill-workers and --decode-workers"
        )


@record
class LoopRules:
    """What an ``engine`` (its name and version) makes of the loop: its policy, the captured batches
    that steps are padded to, and a note on each."""

    engine: str
    policy: Scheduling
    sizes: tuple[int, ...]
    notes: tuple[Note, ...]


def loop_rules(question: Question, loop: Loop, engine: str) -> LoopRules:
    """The rules of ``engine``, or ``any``, with what ``loop`` gives in their place.

    Raises:
        InputError: graphs that are no list of batches.
    """
    name, version = "any", ""
    if engine != "any":
        parsed = parse_engine(engine)
        name, version = parsed.name, parsed.version_text
    rule = engine_policy(name, version, question.device.id)
    prompt = prompt_host(
        name, version, question.device.id, experts=question.spec.experts is not None
    ).slower(question.corrected(PROMPT))
    policy = with_slower_steps(rule.policy, question.corrected(STEP))
    policy = _policy(with_prompt_host(policy, prompt, question.spec.layers), loop)
    captured = captured_batches(name, version, question.device.compute_capability)
    sizes, padding = _captured_batches(loop.graphs, captured)
    return LoopRules(
        engine=f"{name} {version}".strip(),
        policy=policy,
        sizes=sizes,
        notes=(*_policy_notes(policy, loop, name, rule, prompt), padding),
    )


def _policy(policy: Scheduling, loop: Loop) -> Scheduling:
    """``policy`` with what the loop gives."""
    step, sequence = loop.host_us, loop.host_us_per_sequence
    return replace(
        policy,
        exclusive=policy.exclusive if loop.scheduler is None else loop.scheduler == "exclusive",
        host_seconds=policy.host_seconds if step is None else step * 1e-6,
        host_seconds_per_sequence=(
            policy.host_seconds_per_sequence if sequence is None else sequence * 1e-6
        ),
        overlapped=policy.overlapped and step is None,
        stream_interval=loop.stream_interval,
    )


def _policy_notes(
    policy: Scheduling, loop: Loop, engine: str, rule: EnginePolicy, prompt: PromptHost
) -> tuple[Note, ...]:
    """Scheduler, host and admission, each given or by the engine's ``rule``."""
    any_engine = engine == "any"
    by_engine = message("serving.no_engine_given") if any_engine else rule.source
    return (
        Note("scheduler", scheduler_message(policy), "given" if loop.scheduler else by_engine),
        Note(
            "host time",
            host_time_message(policy),
            rule.source if loop.host_us is None else "given",
        ),
        Note("host of a prompt", prompt_host_message(policy), prompt.source),
        Note(
            "admission",
            message("serving.answer_reserved", share=f"{policy.reserve:.0%}"),
            message("serving.never_evicts") if any_engine else message("serving.engine_rule"),
        ),
    )


def _captured_batches(text: str, known: CapturedBatches | None) -> tuple[tuple[int, ...], Note]:
    """The batches that ``text`` names (``engine``: its defaults), and a note on them."""
    key = "graph padding"
    if text == "none":
        return (), Note(key, "none", "given")
    if text == "engine" and known is None:
        return (), Note(key, "none", message("serving.no_captured_batches_known"))
    if text == "engine":
        assert known is not None
        padded = message("serving.padded_to_captured", count=len(known.sizes), most=known.sizes[-1])
        return known.sizes, Note(key, padded, known.source)
    try:
        sizes = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        sizes = ()
    if not sizes or sizes[0] < 1:
        raise InputError(f"graphs {text!r}", hint="engine, none, or a list such as 1,2,4,8")
    padded = message("serving.padded_to", sizes=", ".join(map(str, sizes)))
    return sizes, Note(key, padded, "given")
