"""The view of ``plan experts``: what a step touches, ranks, residency and times."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import format_bytes, format_seconds
from planner.messages.words import in_language
from planner.placement.tiers import Residency
from planner.planning.serving.experts import ExpertUse, FetchTimes
from planner.planning.serving.offloaded import OffloadedStep
from planner.report.phrases import Phrases
from planner.report.view.record import Fact, View
from planner.report.view.verb_words import shared_word, verb_phrases

VERB = "experts"


def experts_view(answer: ExpertUse, lang: str) -> View:
    """The whole answer."""
    t = verb_phrases(VERB, lang)
    title = t(
        "head.title",
        model=answer.model,
        per_token=answer.per_token,
        count=answer.count,
        layers=answer.layers,
        bytes=format_bytes(answer.expert_bytes),
        always=format_bytes(answer.always_on_bytes),
    )
    return View(title, tuple(_facts(t, answer)))


def _facts(t: Phrases, answer: ExpertUse) -> Iterator[Fact]:
    yield Fact(t("fact.touched"), _touched(t, answer))
    if answer.ranks.ranks > 1:
        yield Fact(t("fact.ranks"), _ranks(t, answer))
    if answer.residency is not None and answer.room_bytes is not None:
        yield from _residency(t, answer.residency, answer.room_bytes)
    if answer.times is not None:
        yield from _times(t, answer.times)
    if answer.offloaded is not None:
        yield Fact(t("fact.offloaded"), _offloaded(t, answer.offloaded))


def _touched(t: Phrases, answer: ExpertUse) -> str:
    text = t(
        "touched.token" if answer.batch == 1 else "touched.tokens",
        batch=answer.batch,
        distinct=f"{answer.distinct:.1f}",
        popularity=in_language(answer.popularity, t.lang),
        uniform=f"{answer.distinct_uniform:.1f}",
    )
    if answer.effective_batch is None:
        return text
    return text + t("touched.effective", n=f"{answer.effective_batch:.1f}")


def _ranks(t: Phrases, answer: ExpertUse) -> str:
    spread = answer.ranks
    text = t(
        "ranks.text",
        ranks=spread.ranks,
        held=spread.held,
        distinct=f"{spread.distinct:.1f}",
        straggler=f"{spread.straggler:.2f}",
    )
    before = spread.straggler_without_redundancy
    if before is None:
        return text
    return text + t("ranks.redundant", straggler=f"{before:.2f}", n=spread.redundant)


def _residency(t: Phrases, residency: Residency, room: int) -> Iterator[Fact]:
    yield Fact(
        t("fact.room"),
        t(
            "residency.room",
            room=format_bytes(room),
            device=f"{residency.device.experts:,}",
            experts=f"{residency.experts:,}",
            host=f"{residency.host.experts:,}",
            drive=f"{residency.drive.experts:,}",
        ),
    )
    yield Fact(
        t("fact.hits"),
        t(
            "residency.hits",
            touched=f"{residency.hit_rate:.1%}",
            picks=f"{residency.pick_hit_rate:.1%}",
            host=format_bytes(residency.host_bytes_per_step),
            drive=format_bytes(residency.drive_bytes_per_step),
        ),
    )


def _times(t: Phrases, times: FetchTimes) -> Iterator[Fact]:
    yield Fact(
        t("fact.fetch"),
        t(
            "times.fetch",
            step=format_seconds(times.step.seconds),
            link=times.host.id,
            host=format_seconds(times.expert_seconds),
            drive=format_seconds(times.expert_from_drive_seconds),
        ),
    )
    yield Fact(t("fact.load"), t("times.load", time=format_seconds(times.checkpoint_seconds)))


def _offloaded(t: Phrases, step: OffloadedStep) -> str:
    layer = step.layer
    return t(
        "offloaded.text",
        sockets=step.sockets,
        cpu=step.cpu,
        scheme=step.scheme,
        unit=layer.unit,
        bound=shared_word(t, "bound", layer.bound),
        context=f"{step.context:,}",
        time=format_seconds(step.seconds),
        experts=format_seconds(step.expert_seconds),
        link=format_seconds(step.layers * layer.transfer),
        gpu=format_seconds(step.gpu_seconds),
    )
