"""The view of ``plan profile``: losses by kind, the most sensitive units, what was skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.messages.words import in_language
from planner.quality.profile import CACHE_KINDS, Profile, ProfileUnit
from planner.report.phrases import Phrases
from planner.report.view.record import Fact, Section, Table, View
from planner.report.view.verb_words import shared_word, verb_phrases

VERB = "profile"
SHOWN = ("fp8-block", "fp8-channel", "int8-w8a8", "int4-w4a16", "nvfp4", "mxfp4")
CACHES = ("fp8", "int8-token", "int4-token", "int4-channel", "nvfp4", "fp8-ds-mla")
MOST = 5


def profile_view(profile: Profile, path: str, lang: str) -> View:
    """The whole answer; ``path`` is where it was written."""
    t = verb_phrases(VERB, lang)
    m = profile.model
    linear = [u for u in profile.units if u.kind not in CACHE_KINDS]
    caches = [u for u in profile.units if u.kind in CACHE_KINDS]
    facts = (
        Fact(t("fact.read"), _read(t, profile)),
        Fact(t("fact.tier"), _tier(t, profile)),
        *_most(t, profile, linear),
        *_experts(t, profile),
        *_joint(t, profile),
        *_skipped(t, profile),
        Fact(t("fact.written"), path),
    )
    sections = [Section("", (_table(t, linear, SHOWN),))]
    if caches:
        sections.append(Section("", (_table(t, caches, CACHES),)))
    title = t("head.title", model=m.id, layers=m.layers, format=m.quantization)
    return View(title, facts, tuple(sections))


def _read(t: Phrases, profile: Profile) -> str:
    return t("head.read", matrices=profile.checkpoint.matrices, files=profile.checkpoint.files)


def _tier(t: Phrases, profile: Profile) -> str:
    unit = t("head.nats") if profile.unit == "nats" else t("head.uniform", scheme=profile.anchor)
    return t("head.tier", tier=profile.label, unit=unit, band=f"{profile.band_factor:.2g}")


def _table(t: Phrases, units: Sequence[ProfileUnit], names: Sequence[str]) -> Table:
    """Loss of all layers of a kind under each scheme."""
    shown = [n for n in names if any(n in u.loss for u in units)]
    rows = []
    for kind in dict.fromkeys(u.kind for u in units):
        mine = [u for u in units if u.kind == kind]
        rows.append((kind, *(_sum(mine, name) for name in shown)))
    return Table((t("table.loss"), *shown), tuple(rows))


def _sum(units: Sequence[ProfileUnit], name: str) -> str:
    losses = [u.loss[name] for u in units if name in u.loss]
    return f"{sum(losses):.3g}" if len(losses) == len(units) else "-"


def _most(t: Phrases, profile: Profile, units: Sequence[ProfileUnit]) -> Iterator[Fact]:
    name = next(
        (n for n in ("nvfp4", "int4-w4a16", *profile.schemes) if all(n in u.loss for u in units)),
        None,
    )
    if name is None or len(units) < 2 or sum(u.loss[name] for u in units) <= 0:
        return
    total = sum(u.loss[name] for u in units)
    first = sorted(units, key=lambda u: (-u.loss[name], u.layer, u.kind))[:MOST]
    text = ", ".join(f"{u.unit} {u.loss[name] / total:.0%}" for u in first)
    prior = t("most.prior") if profile.tier == "T0" else ""
    yield Fact(t("fact.most"), t("most.text", scheme=name, units=text) + prior)


def _experts(t: Phrases, profile: Profile) -> Iterator[Fact]:
    if not profile.routers:
        return
    rates = sorted(profile.routers[0].flip_rate, key=float)
    middle = rates[len(rates) // 2]
    mean = sum(r.flip_rate[middle] for r in profile.routers) / len(profile.routers)
    basis = shared_word(t, "basis", profile.routers[0].basis)
    yield Fact(t("fact.routers"), t("routers.text", share=f"{mean:.1%}", power=middle, basis=basis))


def _joint(t: Phrases, profile: Profile) -> Iterator[Fact]:
    """What the whole model loses, against the sum of its units, and flipped tokens."""
    parts = [
        t(
            "joint.text",
            scheme=c.scheme,
            loss=f"{c.joint:.3g}",
            ratio=f"{c.joint / c.total:.2f}",
            flips=f"{c.flips:.1%}",
        )
        for c in profile.joint
        if c.total > 0
    ]
    if parts:
        yield Fact(t("fact.joint"), t("joint.join").join(parts))


def _skipped(t: Phrases, profile: Profile) -> Iterator[Fact]:
    if profile.skipped:
        first, more = profile.skipped[0], len(profile.skipped) - 1
        text = t("skipped.text", tensor=first.tensor, why=in_language(first.reason, t.lang))
        yield Fact(t("fact.skipped"), text + (t("skipped.more", n=more) if more else ""))
