"""``planner.plan``: the plan to serve for a model on a device."""

from __future__ import annotations

from planner.planning.modes.plan import answer_plan
from planner.planning.plan.record import Plan
from planner.planning.question.input import QuestionInput
from planner.planning.question.pool_flags import PoolFlags
from planner.planning.question.verbs import PlanInput, verb


@verb(PlanInput)
def plan(given: PlanInput) -> Plan:
    """What to serve a model with on a device: the published recipe or checkpoint, unless another
    plan is likely enough to be faster by enough (``recommendation``; thresholds: ``min_gain``,
    ``new_weights``, ``allow_unmeasured``). With ``exact``, the optimum of the predictions.

    ``scenario`` may supply any argument; arguments given here override it.

    * ``engine``: ``auto`` considers all, ``any`` ignores engines' rules.
    * ``tpot_seconds``: without a latency limit, 50 ms for throughput and cost; ``"none"`` removes
      it.
    * ``drop_policies``: protection rules to turn off (``head``, ``first-layers``, …).
    * ``imatrix``: llama.cpp's importance matrix; types that require one become available.
    * ``host``: a CPU whose memory (``host_sockets``, ``host_memory_bytes``) takes the weights that
      do not fit on one device (``offload``).
    * ``reuse``: how prompts repeat (``auto``, a workload or a file); the hit rate then follows from
      the free memory on the devices and in ``kv_offload`` (``host``, ``nvme``; ``kv_offload_bytes``
      per device). ``prefix_hit_rate`` overrides it.
    * ``speculation``: ``mtp``, ``eagle``, a draft model, ``auto`` or ``none`` (default), with
      ``draft_tokens`` per step (searched) and ``acceptance`` (published).
    * ``mode``: ``disaggregated`` plans separate prefill and decode pools out of all ``devices``,
      ``aggregated`` one pool, ``auto`` either. ``prefill_device`` and ``transfer_bytes_per_s`` set
      the prefill pool's device and the link per device.
    * ``rate``: requests a second that come by themselves. The answer has the fewest devices, at
      most ``devices``, whose p90 keeps the limits, and its times at that rate.
    * ``anchor``: a measured point such as ``tpot_ms=12.3``; its ratio is among the assumptions.

    Raises:
        InfeasibleError: nothing satisfies the limits; the message names the binding one.
        InputError: an unknown name, a number out of range, an unsupported combination.
    """
    flags = PoolFlags(given.mode, given.prefill_device, given.transfer_bytes_per_s)
    if given.rate is not None:
        from planner.sizing.rate_plan import plan_at_rate

        return plan_at_rate(QuestionInput.of_verb(given), flags, given.rate)
    return answer_plan(QuestionInput.of_verb(given), flags)
