"""The view of ``plan fit``."""

from __future__ import annotations

from planner.base.units import GIB
from planner.planning.fit.ranked import ENGINE, Fitting, FittingFile
from planner.planning.fit.rating import POINTS_PER_NAT
from planner.planning.plan.record import Estimate
from planner.report.view.record import Code, Fact, Section, Table, View
from planner.report.view.verb_words import verb_phrases

VERB = "fit"
MARKS = {"stated": "", "computed": "=", "rounded": "~", "": ""}
UNRATED = "-"


def fit_view(answer: Fitting, lang: str) -> View:
    """The files that suit, a line each, and what fetches the best."""
    t = verb_phrases(VERB, lang)
    use = answer.use
    assumed = Fact(
        t("fit.assumed_label"),
        t(
            "fit.assumed",
            isl=f"{use.isl:,}",
            osl=f"{use.osl:,}",
            context=f"{use.context:,}",
            least=f"{use.tokens_per_second:g}",
        ),
    )
    rule = Fact(t("fit.rule_label"), t("fit.rule", points=f"{POINTS_PER_NAT:.0f}"))
    if not answer.files:
        title = t("fit.nothing", device=answer.device, use=use.name, models=answer.models)
        return View(title, (assumed,))
    title = t(
        "fit.title",
        n=len(answer.files),
        device=answer.device,
        use=use.name,
        tried=answer.tried,
        models=answer.models,
    )
    heads = tuple(
        t(f"fit.{name}")
        for name in ("file", "gib", "room", "decode", "prefill", "loss", "score", "evidence")
    )
    table = Table(heads, tuple(_row(f, use.category) for f in answer.files), (0,), (t("fit.note"),))
    best = answer.files[0].file.commands[ENGINE]
    return View(
        title,
        (rule, assumed),
        (Section("", (table,)), Section(t("fit.run"), (Code((f"  {best}",)),))),
    )


def _row(found: FittingFile, category: str) -> tuple[str, ...]:
    file = found.file
    size = "" if file.bytes is None else f"{MARKS[file.basis]}{file.bytes / GIB:.1f}"
    score = UNRATED if found.rating is None else f"{found.rating:.0f}"
    if found.score is not None and found.score.category != category:
        score += "*"
    return (
        file.place,
        size,
        f"{found.context_max // 1024}k",
        _span(found.decode),
        f"{found.prefill.value:.0f}",
        f"{found.loss:.3f}",
        score,
        found.evidence,
    )


def _span(rate: Estimate) -> str:
    return f"{rate.value:.0f} ({rate.low:.0f}–{rate.high:.0f})"
