"""Lines of a replay in pools: each pool, and the cache that goes from one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.base.units import format_bytes, format_rate, format_seconds
from planner.planning.replay.record import PoolRun, ReplayAnswer
from planner.report.phrases import Phrases
from planner.report.view.answer_facts import degrees_text
from planner.report.view.record import Fact
from planner.report.view.verb_words import word


def pool_facts(t: Phrases, own: Phrases, answer: ReplayAnswer) -> Iterator[Fact]:
    """A line for each pool, and one for the transfer; none where workers do both."""
    pools = answer.replay.pools
    if pools is None:
        return
    for name, pool in (("prefill", pools.prefill), ("decode", pools.decode)):
        text = own(
            f"text.{name}",
            workers=_workers(t, own, pool),
            busy=f"{pool.busy:.0%}",
            waiting=format_rate(pool.waiting),
            cache=f"{pool.cache_share:.0%}",
            tokens=f"{pool.cache_tokens:,}",
            most=f"{pool.most_cache_share:.0%}",
            hits=f"{answer.replay.prefix_hit_rate:.0%}",
            preempted=preempted(own, pool.preemptions),
        )
        yield Fact(own(f"fact.{name}"), text)
    text = own(
        "text.transfer",
        bytes=format_bytes(round(pools.transfer_bytes)),
        link=word(own, "link", pools.link),
        rate=f"{pools.bytes_per_second / 1e9:.4g}",
        time=format_seconds(pools.transfer_seconds),
    )
    yield Fact(own("fact.transfer"), text)


def preempted(own: Phrases, count: int) -> str:
    """How many requests were preempted."""
    return own("text.preempted", n=f"{count:,}") if count else own("text.not_preempted")


def _workers(t: Phrases, own: Phrases, pool: PoolRun) -> str:
    layout = degrees_text(t, replace(pool.layout, replicas=1))
    kind = "text.workers_of" if layout else "text.workers"
    return own(kind, n=pool.workers, layout=layout, device=pool.device)
