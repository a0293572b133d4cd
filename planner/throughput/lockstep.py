"""Attention ranks that step together: how often they read prompts, and how many at a time."""

from __future__ import annotations

from math import exp, expm1, fsum, log1p

from planner.base.records import record
from planner.throughput.arrivals import prompts_a_step
from planner.throughput.scheduling import Scheduling


@record
class PromptsInStep:
    """How ranks that step together read: ``passes`` a step, each of one prompt, the ``chance`` that
    a step reads any, ``share`` of the other ranks that read in the same pass, ``ranks`` whose
    prompts come independently, and the steps that a prompt is ``held`` for them."""

    passes: float
    chance: float
    share: float
    ranks: int
    held: float

    @property
    def each_pass(self) -> float:
        """Prompts that the busiest rank reads in a pass with prompts: of a long one its chunk."""
        return self.passes / self.chance if self.passes > 0 else 1.0


def prompts_in_step(
    policy: Scheduling, each: float, ranks: int, *, alike: bool = False, chunks: int = 1
) -> PromptsInStep:
    """``each`` prompts come in a step to each of ``ranks``: Poisson in number, of requests of one
    length (``alike``) one after the other.

    A prompt on one rank makes the step long for all; held until all have one, they share it. One
    that takes a pass for each of its ``chunks`` keeps its rank reading for as many steps, in which
    others read theirs: each rank reads in a share n·chunks of steps, at most in all. Where prompts
    run alone no answer ends, and so no prompt comes, before the last chunk.
    """
    if ranks <= 1 or each <= 0:
        return PromptsInStep(each, min(each, 1.0) if alike else -expm1(-each), 0.0, 1, 0.0)
    if policy.balance_steps:
        # The last of R ranks gets its prompt after (1 + 1/2 + … + 1/R)/n steps.
        window = min(float(policy.balance_steps), fsum(1 / k for k in range(1, ranks + 1)) / each)
        reading = ranks * (1 - exp(-each * window))
        reading = min(max(reading, 1.0), float(ranks))
        passes = each * ranks / reading
        return PromptsInStep(passes, min(passes, 1.0), (reading - 1) / (ranks - 1), 1, window / 2)
    if chunks > 1 and not policy.exclusive:
        busy = min(each * chunks, 1.0)
        chance = 1.0 if busy >= 1 else -expm1(ranks * log1p(-busy))
        share = (ranks * busy / chance - 1) / (ranks - 1)
        return PromptsInStep(chance / chunks, chance, max(share, 0.0), 1, 0.0)
    reading = ranks * expm1(-each) / expm1(-each * ranks)
    return PromptsInStep(
        prompts_a_step(each * ranks, ranks),
        -expm1(-each * ranks),
        max(reading - 1, 0.0) / (ranks - 1),
        ranks,
        0.0,
    )
