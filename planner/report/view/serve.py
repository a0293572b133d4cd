"""The view of ``plan serve``: the operating point, pools, and throughput against interactivity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.base.units import format_bytes, format_rate, format_seconds
from planner.planning.serving.deployment import PoolInfo, ServedPoint, ServingAnswer
from planner.report.phrases import Phrases
from planner.report.view.record import Block, Fact, Prose, Section, Table, View
from planner.report.view.verb_words import span, verb_phrases, word

VERB = "serve"


def serve_view(answer: ServingAnswer, lang: str) -> View:
    """The whole answer."""
    t = verb_phrases(VERB, lang)
    facts = tuple(_point(t, answer, answer.point)) if answer.point is not None else ()
    anchored: list[Block] = [
        Prose(
            t(
                "head.anchor",
                quantity=anchor.quantity,
                predicted=f"{anchor.predicted:.4g}",
                measured=f"{anchor.measured:.4g}",
                ratio=f"{anchor.ratio:.3f}",
            )
        )
        for anchor in answer.anchors
    ]
    sections = [Section("", tuple(anchored))] if anchored else []
    if answer.frontier:
        sections.append(Section(t("table.title"), (_table(t, answer.frontier),)))
    return View(_title(t, answer), facts, tuple(sections))


def _title(t: Phrases, answer: ServingAnswer) -> str:
    la = answer.layout
    shape = " ".join(
        f"{name}{value}"
        for name, value in (("tp", la.tp), ("dp", la.dp), ("pp", la.pp), ("ep", la.ep))
        if value > 1
    )
    what = "head.workers" if answer.pools else "head.replicas"
    copies = t(what, n=la.replicas) if la.replicas > 1 else ""
    layout = t("head.comma").join(filter(None, (shape, copies)))
    return t(
        "head.title",
        model=answer.model,
        devices=answer.devices,
        device=answer.device,
        layout=t("head.layout", text=layout) if layout else "",
        scheme=word(t, "scheme", answer.scheme),
        kv=answer.kv,
        engine=t("head.any") if answer.engine == "any" else answer.engine,
        isl=f"{answer.isl:,}",
        osl=f"{answer.osl:,}",
    )


def _point(t: Phrases, answer: ServingAnswer, point: ServedPoint) -> Iterator[Fact]:
    assert answer.tpot_seconds is not None
    assert answer.ttft_seconds is not None
    yield Fact(t("fact.concurrency"), t("point.concurrency", n=f"{point.concurrency:,g}"))
    yield Fact(
        t("fact.throughput"),
        t(
            "point.throughput",
            rate=format_rate(point.output_tokens_per_second),
            device=format_rate(point.output_tokens_per_second_per_device),
            user=format_rate(point.output_tokens_per_second_per_user),
        ),
    )
    yield Fact(
        t("fact.latency"),
        t(
            "point.latency",
            tpot=span(t, answer.tpot_seconds),
            ttft=span(t, answer.ttft_seconds),
            whole=format_seconds(point.request_seconds),
        ),
    )
    where = "point.worker" if answer.pools else "point.replica"
    yield Fact(
        t("fact.batch"),
        t(where, n=f"{point.active_sequences:.1f}") + _full(t, answer, point),
    )
    yield Fact(
        t("fact.time"),
        t(
            "point.shares",
            prompts=f"{point.prompt_share:.0%}",
            host=f"{point.host_share:.0%}",
            busy=f"{point.prefill_utilisation:.0%}",
        ),
    )
    if answer.pools is not None:
        yield Fact(t("fact.pools"), _pools(t, answer.pools))


def _full(t: Phrases, answer: ServingAnswer, point: ServedPoint) -> str:
    """Of a full cache: the requests that do not decode, and the rate that is served."""
    if not point.cache_full:
        return ""
    copies = answer.pools.decode_workers if answer.pools else answer.layout.replicas
    return t(
        "point.full",
        waiting=f"{max(point.concurrency - copies * point.active_sequences, 0.0):,.0f}",
        rate=format_rate(point.output_tokens_per_second / answer.osl),
    )


def _pools(t: Phrases, pools: PoolInfo) -> str:
    return t(
        "pools.text",
        prefill=pools.prefill_workers,
        decode=pools.decode_workers,
        limit=word(t, "limit", pools.limit),
        first=f"{pools.prefill_utilisation:.0%}",
        second=f"{pools.decode_utilisation:.0%}",
        balanced=f"{pools.balanced_ratio:.3g}",
        bytes=format_bytes(pools.transfer_bytes),
        time=format_seconds(pools.transfer_seconds),
    )


def _table(t: Phrases, points: Sequence[ServedPoint]) -> Table:
    heads = ("requests", "device", "user", "tpot", "ttft", "batch", "prompts", "mark")
    rows = tuple(
        (
            f"{p.concurrency:,.0f}",
            format_rate(p.output_tokens_per_second_per_device),
            format_rate(p.output_tokens_per_second_per_user),
            format_seconds(p.tpot_seconds),
            format_seconds(p.ttft_seconds),
            f"{p.active_sequences:.1f}",
            f"{p.prompt_share:.0%}",
            ("*" if p.pareto else "") + (t("table.full") if p.cache_full else ""),
        )
        for p in points
    )
    return Table(
        tuple(t(f"table.{head}") if head != "mark" else "" for head in heads),
        rows,
        (len(heads) - 1,),
        (t("table.note"),),
    )
