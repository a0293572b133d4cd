"""``planner.plan``: the plan to serve for a model on a device."""

from __future__ import annotations

from planner.planning.modes.plan import answer_plan
from planner.planning.plan.record import Plan
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_flags import PoolFlags
from planner.planning.question.verbs import PlanInput, verb


@verb(PlanInput)
def plan(given: PlanInput) -> Plan:
    """The plan to serve for a model on a device: what is published or conventional, unless another
    plan is worth leaving it in view of how sure gains and losses are (``recommendation``; by how
    much: ``min_gain``, ``new_weights``, ``allow_unmeasured``); with ``exact`` the optimum, whatever
    its numbers may be off by.

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
    flags = PoolFlags(given.mode, given.prefill_device, given.transfer_bytes_per_s)
    return answer_plan(QuestionInput.of_verb(given), flags)
