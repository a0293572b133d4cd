"""The view of ``plan fit``."""

from __future__ import annotations

import re
from collections import Counter

from planner.base.units import GIB
from planner.planning.fit.ranked import Fitting, FittingFile
from planner.planning.fit.rating import POINTS_PER_NAT, usual_gap
from planner.planning.plan.record import Estimate
from planner.report.view.record import Code, Fact, Section, Table, View
from planner.report.view.verb_words import verb_phrases

VERB = "fit"
MARKS = {"stated": "", "computed": "=", "rounded": "~", "weights": "≈"}
UNRATED = "-"
COLUMNS = ("file", "gib", "room", "decode", "prefill", "loss", "score")
_SUFFIX = re.compile(r"-(?:Instruct|it|chat)(?=-|$)", re.IGNORECASE)
"""What nearly every name has, and the commands below show."""


def fit_view(answer: Fitting, lang: str) -> View:
    """The files that suit, a row each, and what fetches and runs each."""
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
            engines=", ".join(answer.engines),
        ),
    )
    if not answer.files:
        title = t("fit.nothing", device=answer.device, use=use.name, models=answer.models)
        return View(title, (assumed, Fact(t("fit.try_label"), t("fit.try"))))
    title = t(
        "fit.title",
        n=len(answer.files),
        device=answer.device,
        use=use.name,
        tried=answer.tried,
        models=answer.models,
    )
    rule = Fact(t("fit.rule_label"), t("fit.rule", points=f"{POINTS_PER_NAT:.0f}"))
    levels = Counter(file.evidence for file in answer.files)
    evidence = Fact(
        t("fit.evidence_label"),
        t(
            "fit.evidence",
            measured=levels["measured"],
            related=levels["related"],
            none=len(answer.files) - levels["measured"] - levels["related"],
        ),
    )
    heads = tuple(t(f"fit.{name}") for name in COLUMNS)
    notes = [t("fit.note")]
    if any(file.score is not None and file.score.raised_by for file in answer.files):
        notes.append(t("fit.raised", points=f"{usual_gap(use.category):+.0f}"))
    table = Table(heads, tuple(map(_row, answer.files)), (0,), tuple(notes))
    commands = Code(tuple(f"  {file.command}" for file in answer.files))
    return View(
        title,
        (rule, evidence, assumed),
        (Section("", (table,)), Section(t("fit.run"), (commands,))),
    )


def _row(fitting: FittingFile) -> tuple[str, ...]:
    score = UNRATED if fitting.rating is None else f"{fitting.rating:.0f}"
    if fitting.score is not None and fitting.score.raised_by:
        score += "*"
    name = _SUFFIX.sub("", fitting.release.rpartition("/")[2])
    return (
        f"{name} {fitting.file.quant}",
        f"{MARKS[fitting.basis]}{fitting.bytes / GIB:.1f}",
        f"{fitting.context_max // 1024}k",
        _span(fitting.decode),
        f"{fitting.prefill.value:,.0f}",
        f"{fitting.loss:.3f}",
        score,
    )


def _span(rate: Estimate) -> str:
    return f"{rate.value:.0f} ({rate.low:.0f}–{rate.high:.0f})"
