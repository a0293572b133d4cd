"""The Python API: names, paths and defaults are resolved here; the core takes exact arguments.

Arguments carry the names of the command line's flags, except that ``--ttft-ms`` and ``--tpot-ms``
are ``ttft_seconds`` and ``tpot_seconds``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from planner.errors import InputError
from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.planning.answer.assemble import assemble
from planner.planning.inspect.priced_input import price_plan, price_uniform
from planner.planning.modes.deploy import drafts_asked, plan_deployment, prefixes_of
from planner.planning.plan.bounds import escape_control_characters
from planner.planning.plan.record import Plan
from planner.planning.pools.flags import OWN, PoolFlags
from planner.planning.question.input import AUTO, BF16, ENGINES, THROUGHPUT, QuestionInput
from planner.planning.question.scenarios import Scenario
from planner.planning.search.best_first import SearchResult
from planner.typed import typed
from planner.workloads import NamedWorkload

if TYPE_CHECKING:
    from planner.quality.profile import Profile


@typed
def plan(
    model: str | ModelSpec | None = None,
    device: str | DeviceProfile | None = None,
    *,
    devices: int | None = None,
    tp: int | None = None,
    dp: int | None = None,
    pp: int | None = None,
    ep: int | None = None,
    context: int | None = None,
    isl: int | None = None,
    osl: int | None = None,
    batch: int | None = None,
    workload: str | NamedWorkload | None = None,
    prefix_hit_rate: float | None = None,
    slots: str | None = None,
    objective: str = THROUGHPUT,
    ttft_seconds: float | None = None,
    tpot_seconds: float | Literal["none"] | None = None,
    max_loss: str | float | None = None,
    schemes: Sequence[str] | None = None,
    kv: str = AUTO,
    memory_bytes: int | None = None,
    engine: str = ENGINES,
    scenario: str | Scenario | None = None,
    profile: str | Profile | None = None,
    imatrix: str | os.PathLike[str] | None = None,
    untie: bool = False,
    drop_policies: Sequence[str] | None = None,
    exact: bool = False,
    anchor: str | None = None,
    host: str | DeviceProfile | None = None,
    host_sockets: int | None = None,
    host_memory_bytes: int | None = None,
    reuse: str | os.PathLike[str] | NamedWorkload | None = None,
    kv_offload: str = "none",
    kv_offload_bytes: int | None = None,
    speculation: str | ModelSpec | None = None,
    draft_tokens: int | None = None,
    acceptance: float | None = None,
    mode: str = "auto",
    prefill_device: str | DeviceProfile | None = None,
    transfer_bytes_per_s: float | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Plan:
    """The plan to serve for a model on a device: the simplest that no other beats by more than 3 %
    with a chance of 80 %, in view of how sure times and losses are (``recommendation``); with
    ``exact`` the optimum, whatever its numbers may be off by.

    Model and device may come from ``scenario``; arguments given here override it. ``anchor``
    (``tpot_ms=12.3``) is a measured point whose ratio is told among the assumptions.
    ``engine="auto"`` takes the best plan that an engine serves, ``"any"`` no engine's rules.
    Without a limit on time, throughput and cost are held to 50 ms a token where a layout reaches
    that; ``tpot_seconds="none"`` leaves it out.
    ``drop_policies`` names rules that shall not hold (``head``, ``first-layers``, …): their modules
    are planned too. ``imatrix`` is an importance matrix of llama.cpp (llama-imatrix): ggml's types
    are priced as written with it, and those that need one may be chosen. ``host`` is a CPU beside
    one device: what the device has no room for lives in the memory of its ``host_sockets`` sockets
    (default 1; ``host_memory_bytes`` for weights), as engines do that, and is computed there or
    fetched; what lives where is part of the plan (``offload``).
    ``reuse`` (``auto``: the workload's own, a workload's name or file) says how prompts come back:
    the hit rate then follows from the room that the plan leaves for prefixes (``prefix_cache``), on
    the devices and in ``kv_offload_bytes`` beside each of them (``kv_offload``: ``host``,
    ``nvme``). A ``prefix_hit_rate`` that is given overrides it.
    ``speculation`` drafts tokens that each step verifies: ``mtp`` (the model's prediction layers),
    ``eagle`` (a head that is known for it), a model of its vocabulary, ``auto`` (where it gains
    more than the uncertainty) or ``none``, the default. ``draft_tokens`` a step are searched where
    they are not given; ``acceptance`` of a token is published or given.

    ``mode="disaggregated"`` plans pools of prefill and decode workers, each with formats of its
    own, of all ``devices`` together (``deployment``); ``"auto"`` takes them where they win by more
    than the uncertainty and the engine serves them, ``"aggregated"`` never. ``prefill_device``:
    another device for the prefill pool; ``transfer_bytes_per_s``: the link between the pools, each
    device (default: its network, inside one scale-up domain that).

    Raises:
        InfeasibleError: nothing satisfies the limits; the message names the binding one.
        InputError: an unknown name, a number out of range, an unsupported combination.
    """
    return _planned(*_taken(locals()))


@typed
def estimate(
    model: str | ModelSpec | None = None,
    device: str | DeviceProfile | None = None,
    *,
    scheme: str | None = None,
    plan: Plan | None = None,
    kv: str = BF16,
    devices: int | None = None,
    tp: int | None = None,
    dp: int | None = None,
    pp: int | None = None,
    ep: int | None = None,
    context: int | None = None,
    isl: int | None = None,
    osl: int | None = None,
    batch: int | None = None,
    workload: str | NamedWorkload | None = None,
    prefix_hit_rate: float | None = None,
    slots: str | None = None,
    objective: str = THROUGHPUT,
    ttft_seconds: float | None = None,
    tpot_seconds: float | Literal["none"] | None = None,
    memory_bytes: int | None = None,
    engine: str = ENGINES,
    scenario: str | Scenario | None = None,
    profile: str | Profile | None = None,
    imatrix: str | os.PathLike[str] | None = None,
    anchor: str | None = None,
    host: str | DeviceProfile | None = None,
    host_sockets: int | None = None,
    host_memory_bytes: int | None = None,
    reuse: str | os.PathLike[str] | NamedWorkload | None = None,
    kv_offload: str = "none",
    kv_offload_bytes: int | None = None,
    speculation: str | ModelSpec | None = None,
    draft_tokens: int | None = None,
    acceptance: float | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Plan:
    """Price one uniform scheme (as released when none is named), or the assignment of ``plan``.

    Layout and batch are searched where they are not given (``plan`` brings its own, and its
    workload, engine and speculation). ``anchor``, ``imatrix``, ``host``, ``reuse``, ``kv_offload``
    and ``speculation`` as in :func:`plan`.

    Raises:
        UnsupportedError: the device cannot execute the scheme; the message gives the reason.
        InfeasibleError: it does not fit.
    """
    return _estimated(QuestionInput.of(locals()))


def _taken(arguments: Mapping[str, Any]) -> tuple[QuestionInput, PoolFlags]:
    """The question and the mode of the verb's arguments."""
    return QuestionInput.of(arguments, own=OWN), PoolFlags(*map(arguments.__getitem__, OWN))


def _planned(inputs: QuestionInput, flags: PoolFlags) -> Plan:
    """The best plan of a question."""
    _check_anchor(inputs.anchor)
    return _anchored(plan_deployment(inputs, flags), inputs.anchor)


def _estimated(inputs: QuestionInput) -> Plan:
    """The price of the question's plan, or of its scheme."""
    _check_anchor(inputs.anchor)
    if inputs.plan is not None:
        if inputs.scheme is not None:
            raise InputError("scheme and plan exclude each other", hint="leave one out")
        if inputs.kv != BF16:
            raise InputError(
                f"kv {inputs.kv!r} and plan exclude each other: the plan has its own caches",
                hint="leave one out",
            )
        if drafts_asked(inputs):
            raise InputError(
                "speculation and plan exclude each other: the plan has its own",
                hint="leave one out",
            )
    drafts, prefixes = drafts_asked(inputs), prefixes_of(inputs)
    if prefixes is not None:
        from planner.planning.reuse.search import estimated_with_prefixes

        return _anchored(estimated_with_prefixes(inputs, prefixes, _priced), inputs.anchor)
    if inputs.plan is not None:
        return _anchored(_repriced(inputs, inputs.plan), inputs.anchor)
    if drafts:
        from planner.planning.speculate.search import estimated

        return _anchored(estimated(inputs, _uniform), inputs.anchor)
    return _anchored(assemble(_uniform(inputs)), inputs.anchor)


def _priced(inputs: QuestionInput) -> SearchResult:
    """The assignment of the question's plan, or of its scheme."""
    return _uniform(inputs) if inputs.plan is None else price_plan(inputs, inputs.plan)


def _uniform(inputs: QuestionInput) -> SearchResult:
    """The question's scheme, or its scenario's, everywhere."""
    scenario = inputs.loaded_scenario
    return price_uniform(
        inputs,
        inputs.scheme
        if inputs.scheme is not None or scenario is None
        else scenario.values.get("scheme"),
    )


def _repriced(inputs: QuestionInput, plan: Plan) -> Plan:
    """The units of ``plan``, with what it drafts; both its pools."""
    if plan.deployment is not None:
        from planner.planning.pools.priced_again import priced_again

        return priced_again(inputs, plan)
    found = price_plan(inputs, plan)
    if plan.speculation is None:
        return assemble(found)
    from planner.planning.speculate.info import with_speculation

    return with_speculation(assemble(found), found, None)


def _check_anchor(text: str | None) -> None:
    """Refuse a malformed anchor before anything is computed."""
    if text is not None:
        from planner.planning.answer.measured_point import parse_anchor

        parse_anchor(text)


def _anchored(plan: Plan, text: str | None) -> Plan:
    """``plan`` as it can be written, with the ratio to one measured operating point among its
    assumptions."""
    plan = escape_control_characters(plan)
    if text is None:
        return plan
    from planner.planning.answer.measured_point import anchor_note, anchored

    perf = plan.performance
    found = anchored(
        text,
        {
            name: getattr(perf, name).value
            for name in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second")
        },
    )
    return replace(plan, assumptions=(*plan.assumptions, anchor_note(found)))
