"""Requests of several lengths on the same replicas, as a stream of one length that stands for them.

The queues of this package know one length. A mix is a share w, a prompt of I and an answer of O
tokens for each kind; a prompt of it costs c seconds beside a batch. The kind with the longest
prompts stands for all:

* it comes less often, so that prompts take the same time a second: λ' = λ·Σwc / c';
* its answers are longer, so that tokens are made at the same rate: O' = O̅·c' / Σwc, O̅ = ΣwO;
* a step has caches of the length that sequences have while they decode, ΣwO(I + O/2) / ΣwO, and a
  rank as many slots as its cache holds of what they hold then, ΣwO(I + O) / ΣwO.

So load, steps and requests in flight are those of the mix, and a first token is as late as that of
the longest prompt, which waits behind prompts as long: TTFT is told for the kind that has it worst.
TPOT is the mean over a life, in which a request of O tokens meets λOτ prompts that add c/O each: a
variance of λτΣwc²/O, over that of the stream that stands for all, λτ(Σwc)²/O̅
(:func:`tpot_variance`).
How close this is to a mix played request by request: docs/evidence/capacity.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.records import record
from planner.planning.price.served import serving_policy
from planner.planning.price.step import Serving, step_times
from planner.sizing.deployable import MOST_SLOTS, Deployable
from planner.sizing.rank import ServedRank, served_rank


@record
class RequestKind:
    """One kind of request: the workload's name (empty: none), its ``share`` of all, tokens of
    prompt and answer, the longest sequence that an engine must take, and the share of a prompt that
    the prefix cache holds."""

    name: str
    share: float
    isl: int
    osl: int
    context: int
    prefix_hit_rate: float = 0.0


@record
class RequestMix:
    """Kinds whose shares sum to 1."""

    kinds: tuple[RequestKind, ...]

    @property
    def of_one_length(self) -> bool:
        """Whether all requests are alike."""
        return len(self.kinds) == 1

    @property
    def mean_isl(self) -> float:
        """Prompt tokens of a request."""
        return sum(kind.share * kind.isl for kind in self.kinds)

    @property
    def mean_osl(self) -> float:
        """Answer tokens of a request."""
        return sum(kind.share * kind.osl for kind in self.kinds)

    @property
    def context(self) -> int:
        """The longest sequence."""
        return max(kind.context for kind in self.kinds)

    @property
    def prefix_hit_rate(self) -> float:
        """The share of all prompt tokens that the prefix cache holds."""
        cached = sum(kind.share * kind.isl * kind.prefix_hit_rate for kind in self.kinds)
        return cached / self.mean_isl

    def decoding(self, generated: float) -> float:
        """Tokens of a sequence at ``generated`` of its answer, the mean over those that decode:
        each kind counts by its answers' length."""
        return (
            sum(kind.share * kind.osl * (kind.isl + generated * kind.osl) for kind in self.kinds)
            / self.mean_osl
        )


@record
class EquivalentStream:
    """A deployable whose requests are of one length; each of them stands for ``requests`` of the
    mix."""

    deployable: Deployable
    requests: float

    def rate(self, requests_per_second: float) -> float:
        """Its rate, of a rate of the mix."""
        return requests_per_second / self.requests


def equivalent_stream(deployable: Deployable, mix: RequestMix) -> EquivalentStream:
    """``deployable``, which was made for the mean request of ``mix``, with a stream of one
    length."""
    if len(mix.kinds) == 1:
        return EquivalentStream(deployable, 1.0)
    slots = _slots(deployable, mix)
    ranks = [_rank(deployable, kind, slots, mix.decoding(0.5)) for kind in mix.kinds]
    costs = [rank.cost(max(rank.slots / 2, 1.0)) for rank in ranks]
    longest = max(range(len(ranks)), key=lambda i: (costs[i], -i))
    osl, requests = equivalent_request(mix, costs, longest)
    rank = replace(ranks[longest], osl=osl, uneven=tpot_variance(mix, costs))
    return EquivalentStream(replace(deployable, rank=rank), requests)


def equivalent_request(mix: RequestMix, costs: Sequence[float], longest: int) -> tuple[int, float]:
    """(tokens of the answer of a request that stands for the mix, requests that it stands for),
    of prompts that ``costs`` seconds each."""
    mean = sum(kind.share * cost for kind, cost in zip(mix.kinds, costs, strict=True))
    osl = max(round(mix.mean_osl * (costs[longest] / mean if mean > 0 else 1.0)), 1)
    return osl, osl / mix.mean_osl


def tpot_variance(mix: RequestMix, costs: Sequence[float]) -> float:
    """The variance that prompts of ``costs`` make in the TPOT of a request, over that of the
    stream that stands for them: Σwc² / (Σwc)² · Σw/O · ΣwO."""
    shares = [kind.share for kind in mix.kinds]
    mean = sum(w * c for w, c in zip(shares, costs, strict=True))
    square = sum(w * c * c for w, c in zip(shares, costs, strict=True))
    lives = sum(kind.share / kind.osl for kind in mix.kinds) * mix.mean_osl
    return lives * square / (mean * mean) if mean > 0 else 1.0


def _rank(deployable: Deployable, kind: RequestKind, slots: int, length: float) -> ServedRank:
    """A rank whose prompts are all of ``kind``, beside sequences of the mix."""
    times = step_times(
        deployable.assignment,
        Serving(
            kind.isl,
            kind.osl,
            float(slots),
            deployable.question.chunk_tokens,
            hit_rate=kind.prefix_hit_rate,
            length=length,
        ),
    )
    layout = deployable.layout
    return served_rank(times, serving_policy(deployable.question), kind.osl, layout.dp, slots)


def _slots(deployable: Deployable, mix: RequestMix) -> int:
    """Requests of the mix that a rank holds, of those of the mean request that it does."""
    work, reserve = deployable.question.workload, deployable.rank.policy.reserve
    if work.reserved:
        return deployable.slots
    by = (work.isl + reserve * work.osl) / mix.decoding(reserve)
    return max(min(int(deployable.slots * by), MOST_SLOTS), 1)
