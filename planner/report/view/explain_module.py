"""The view of ``plan explain --module``: a sentence a module, its time by scheme, crossovers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.messages.words import in_language
from planner.planning.explain.module_time import ModuleExplanation, ModuleSplit, Split
from planner.report.phrases import Phrases
from planner.report.view.record import Items, Prose, Section, Table, View
from planner.report.view.verb_words import data_text, shared_word, verb_phrases

HEADS = (
    "scheme",
    "total",
    "busy",
    "compute",
    "memory",
    "convert",
    "quant",
    "floor",
    "comm",
    "bound",
    "basis",
)
TEXT_COLUMNS = (0, 9, 10)
MOST = 12
"""Crossovers shown for a module; --json has all."""
VERB = "explain"


def module_view(explanation: ModuleExplanation, lang: str) -> View:
    """The whole answer."""
    t = verb_phrases(VERB, lang)
    title = t(
        "module.title",
        module=explanation.module,
        model=explanation.model,
        device=explanation.device,
        layout=f"tp{explanation.tp} dp{explanation.dp} ep{explanation.ep}",
    )
    sections = [Section("", (Prose(t("module.legend")),))]
    for module in explanation.modules:
        sections += _module(t, explanation, module)
    if explanation.refused:
        texts = tuple(
            t("item.named", name=scheme, text=data_text(why, lang))
            for scheme, why in explanation.refused
        )
        sections.append(Section(t("module.refused"), (Items(texts),)))
    return View(title, (), tuple(sections))


def _module(t: Phrases, explanation: ModuleExplanation, module: ModuleSplit) -> Iterator[Section]:
    where = module.unit
    if module.layers:
        where = t("module.layers", unit=where, layers=module.layers)
    if module.shapes:
        where += t("module.shapes", shapes="; ".join(module.shapes))
    yield Section(where, (Prose(in_language(module.sentence, t.lang)),))
    decode = [(s.scheme, s.decode, s.basis) for s in module.schemes]
    yield Section(t("module.decode", tokens=f"{module.tokens:,}"), (_splits(t, decode),))
    by_prompt = sorted(module.schemes, key=lambda s: (s.prefill.total_seconds, s.scheme))
    prefill = [(s.scheme, s.prefill, s.basis) for s in by_prompt]
    yield Section(t("module.prefill", tokens=f"{explanation.isl:,}"), (_splits(t, prefill),))
    totals = Table(
        (t("table.scheme"), *(f"{tokens:,}" for tokens in explanation.tokens)),
        tuple((s.scheme, *map(_us, s.at_tokens_seconds)) for s in module.schemes),
    )
    yield Section(t("module.totals"), (totals,))
    if len(module.schemes) > 1:
        yield _crossovers(t, explanation, module)


def _splits(t: Phrases, rows: Sequence[tuple[str, Split, str]]) -> Table:
    return Table(
        tuple(t(f"table.{head}") for head in HEADS),
        tuple(
            (
                name,
                _us(s.total_seconds),
                _us(s.busy_seconds),
                _us(s.compute_seconds),
                _us(s.memory_seconds),
                _us(s.conversion_seconds),
                _us(s.quantise_seconds),
                _us(s.launch_seconds),
                _us(s.communication_seconds),
                shared_word(t, "bound", s.bound),
                t(f"basis.{basis}"),
            )
            for name, s, basis in rows
        ),
        TEXT_COLUMNS,
    )


def _crossovers(t: Phrases, explanation: ModuleExplanation, module: ModuleSplit) -> Section:
    """Those with the reference or the fastest first; the others are counted."""
    if not module.crossovers:
        return Section(t("module.no_turns"), ())
    ends = {explanation.reference, module.schemes[0].scheme}
    shown = [c for c in module.crossovers if ends & {c.faster, c.slower}][:MOST]
    texts = [
        t("module.turn", tokens=f"{c.tokens:,}", faster=c.faster, slower=c.slower) for c in shown
    ]
    left = len(module.crossovers) - len(shown)
    texts += [t("module.more", n=left)] if left else []
    return Section(t("module.turns"), (Items(tuple(texts)),))


def _us(seconds: float) -> str:
    value = seconds * 1e6
    return "-" if value == 0 else f"{value:.2f}" if value < 100 else f"{value:.0f}"
