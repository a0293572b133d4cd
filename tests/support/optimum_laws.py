"""Laws of an optimum, each a function of one random question: what it says is broken, if anything.

A pair of questions stands for most of them: what the tight one allows, the loose one allows too.
Further options are picked from the question itself, so that all laws share the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import planner
from planner.base.errors import InfeasibleError
from planner.planning.plan.record import Plan
from planner.planning.question.question import OBJECTIVES
from support.answers import (
    ROUNDING,
    NotAskedError,
    answered,
    assumed,
    broken_limits,
    different,
    least_of,
    objective_of,
    some,
    worse,
)
from support.random_questions import Case

Law = Callable[[Case], Sequence[str]]
CUTS = (0.995, 0.97, 0.9, 0.7)
SLACKS = (1.000001, 1.01, 1.3, 3.0, 20.0)
LIMITS = ("tpot_seconds", "ttft_seconds", "memory_bytes")


def figure(plan: Plan, limit: str) -> float:
    """The plan's own figure of what ``limit`` bounds."""
    if limit == "memory_bytes":
        return float(plan.memory_per_device.total_bytes)
    return float(getattr(plan.performance, limit).value)


def limited(case: Case, limit: str, factor: float) -> Case:
    """``case`` with ``limit`` at ``factor`` × what its own optimum takes; bytes below that are so
    far towards the least that any plan takes, so that there is one."""
    value = figure(some(case), limit) * factor
    if limit != "memory_bytes":
        return case.asked(**{limit: value})
    return case.asked(memory_bytes=cut_bytes(case, factor) if factor < 1 else int(value))


def cut_bytes(case: Case, share: float) -> int:
    """Bytes of a device between the least that any plan takes (0) and what the optimum does (1)."""
    most = some(case).memory_per_device.total_bytes
    least = min(some(case.asked(objective="memory")).memory_per_device.total_bytes, most)
    return least + int((most - least) * share)


def never_worse(tight: Case, loose: Case, scale: float = 1.0) -> list[str]:
    """What allows more is no worse, and answers where the other does."""
    plan = some(tight)
    found = answered(loose)
    if found is None:
        return [f"no plan for {loose}, one for {tight}"]
    words = worse(plan, found, scale)
    return [f"{words}: {loose} after {tight}"] if words else []


def more_memory(case: Case) -> list[str]:
    """More memory a device never worsens the objective."""
    memory = some(case).memory_per_device
    size = cut_bytes(case, case.pick("memory")(CUTS))
    whole = size * memory.capacity_bytes // memory.usable_bytes + 2
    return never_worse(case.asked(host_bytes=whole), case)


def larger_memory_limit(case: Case) -> list[str]:
    """A larger limit on a device's bytes never worsens the objective."""
    cut = case.pick("bytes")(CUTS)
    return never_worse(
        limited(case, "memory_bytes", cut), limited(case, "memory_bytes", (1 + cut) / 2)
    )


def more_devices(case: Case) -> list[str]:
    """Twice the devices allow two replicas of the same plan: no fewer tokens a device, no slower,
    no lossier, and no more than twice the bytes of all devices."""
    more = case.asked(devices=2 * int(case.get("devices")))
    return never_worse(case, more, 2.0 if case.objective == "memory" else 1.0)


def more_schemes(case: Case) -> list[str]:
    """More schemes to choose from never worsen the objective."""
    some(case)
    pick = case.pick("schemes")
    able = list(dict.fromkeys(s for q in case.questions() for s in q.schemes))
    few = [s for s in able if s == "bf16" or pick((True, False))] or able[:1]
    left = [s for s in able if s not in few]
    if not left:
        raise NotAskedError("no scheme is left out")
    more = tuple(s for s in able if s in (*few, pick(left)))
    wide = case.asked(schemes=more) if pick((True, False)) else case
    return never_worse(case.asked(schemes=tuple(few)), wide)


def more_cache_layouts(case: Case) -> list[str]:
    """A cache layout that is named is never better than the choice of all."""
    some(case)
    able = list(dict.fromkeys(k for q in case.questions() for k in q.kv))
    if len(able) < 2:
        raise NotAskedError("there is one cache layout")
    return never_worse(case.asked(kv=case.pick("kv")((able[0], *able))), case)


def looser_limit(case: Case) -> list[str]:
    """A looser limit on time or loss never worsens the objective."""
    pick = case.pick("limit")
    kind = pick(("tpot_seconds", "ttft_seconds", "max_loss"))
    if kind != "max_loss":
        cut = pick(CUTS)
        loose = cut * pick((1.001, 1.05, 1.5))
        return never_worse(limited(case, kind, cut), limited(case, kind, loose))
    names = pick((("bf16", "fp8-block"), ("int8-w8a8", "int4-w4a16"), ("fp8-tensor", "fp8-block")))
    plans = {name: some(case.asked(max_loss=name)) for name in names}
    bound = {
        name: float((assumed(plan, "max-loss") or "").partition("(")[2].rstrip(")"))
        for name, plan in plans.items()
    }
    order = sorted(plans, key=bound.__getitem__)
    return [
        words
        for tight, loose in pairwise(order)
        if bound[tight] < bound[loose]
        for words in never_worse(case.asked(max_loss=tight), case.asked(max_loss=loose))
    ]


def dropped_rule(case: Case) -> list[str]:
    """A policy rule that is dropped never worsens the objective."""
    rules = [("embedding", "head"), ("router",), ("norm",), ("embedding", "head", "norm")]
    if case.get("engine") is None:
        rules.append(("one-data-type",))
    return never_worse(case, case.asked(drop_policies=case.pick("rules")(rules)))


def tighter_limits(case: Case) -> list[str]:
    """Limits that the free optimum breaks, one or two, never improve on it."""
    return never_worse(cut(case), case)


def cut(case: Case) -> Case:
    """``case`` under a limit that its optimum breaks, and in half of the cases a slack one."""
    pick = case.pick("cut")
    kind, other = pick(LIMITS), pick(LIMITS)
    tight = limited(case, kind, pick(CUTS))
    if other == kind or pick((True, False)):
        return tight
    return tight.asked(**{other: limited(case, other, pick(SLACKS)).get(other)})


def kept_limit(case: Case) -> list[str]:
    """Limits that the free optimum keeps change nothing."""
    pick = case.pick("slack")
    kinds = pick([(kind,) for kind in LIMITS] + [("tpot_seconds", "ttft_seconds")])
    bound = case.asked(**{k: limited(case, k, pick(SLACKS)).get(k) for k in kinds})
    plan, found = some(case), answered(bound)
    if found is None:
        return [f"no plan for {bound}, whose limits the free optimum keeps"]
    words = different(plan, found)
    return [f"{bound}: {worse(plan, found) or 'as good'}: {'; '.join(words[:4])}"] if words else []


def met(case: Case) -> Case:
    """``case``, or the same under limits that cut or under one that does not, where it has a
    plan."""
    pick = case.pick("met")
    asked = pick((case, cut(case), limited(case, pick(LIMITS), pick(SLACKS))))
    return asked if answered(asked) is not None else case


def estimate_agrees(case: Case) -> list[str]:
    """`plan estimate --plan` under the same limits ends well, with the same figures."""
    asked = met(case)
    plan, given = some(asked), asked.arguments
    keep = (
        "model",
        "device",
        "scenario",
        "ttft_seconds",
        "tpot_seconds",
        "memory_bytes",
        "objective",
    )
    try:
        again = planner.estimate(plan=plan, **{k: v for k, v in given.items() if k in keep})
    except InfeasibleError as error:
        return [f"{asked}: {error.message}"]
    pairs = [
        (name, getattr(plan.performance, name).value, getattr(again.performance, name).value)
        for name in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second")
    ]
    pairs += [
        ("bytes", plan.memory_per_device.total_bytes, again.memory_per_device.total_bytes),
        ("loss", plan.quality.loss, again.quality.loss),
    ]
    return [
        f"{asked}: {name} {ours!r}, priced {theirs!r}"
        for name, ours, theirs in pairs
        if abs(ours - theirs) > ROUNDING * abs(ours)
    ]


def limits_kept(case: Case) -> list[str]:
    """A plan keeps every limit by its own printed figures."""
    return [
        f"{asked}: {words}"
        for asked in (met(case), cut(case))
        if (plan := answered(asked)) is not None
        for words in broken_limits(asked, plan)
    ]


def price_is_the_objective(case: Case) -> list[str]:
    """What the solver minimised is the full price, and `repricing` says so."""
    asked = met(case)
    plan = some(asked)
    said = assumed(plan, "repricing")
    told = [] if said is None or "differ by +0.00%;" in said else [f"{asked}: repricing {said}"]
    full = objective_of(plan, plan.objective)
    kept = 1 - plan.solver.gap
    if abs(plan.solver.bound - kept * full) > ROUNDING * abs(full) * kept:
        told.append(f"{asked}: {plan.solver.bound:.12g} within {kept:.4%} of {full:.12g}")
    return told


def bound_is_not_undercut(case: Case) -> list[str]:
    """No plan that keeps the limits is better than ``solver.bound``: neither that of another
    objective nor that of another batch in the same layout."""
    pick, asked = case.pick("rivals"), met(case)
    plan, pinned = some(asked), _pinned(asked)
    batches = [] if asked.get("batch") else [pinned.asked(batch=b) for b in _near(some(asked))]
    others = [asked.asked(objective=o) for o in OBJECTIVES if o != asked.objective]
    return [
        f"{words}: {rival} against {asked}"
        for rival in (pick(others), *([pick(batches)] if batches else []))
        if (words := undercut(asked, plan, rival))
    ]


def undercut(asked: Case, plan: Plan, rival: Case) -> str:
    """What says that the plan of ``rival`` keeps the limits of ``asked`` and is better than the
    bound of ``plan``."""
    try:
        other = answered(rival)
    except NotAskedError:
        return ""
    if other is None or broken_limits(asked, other):
        return ""
    value, precise = objective_of(other, asked.objective), least_of(plan)[1]
    bound = plan.solver.bound if not precise else least_of(plan)[0] * (1 - precise)
    if value >= bound * (1 - ROUNDING):
        return ""
    return f"{value:.9g} under the bound {bound:.9g} ({value / bound - 1:+.3%})"


def _pinned(case: Case) -> Case:
    layout = some(case).layout
    return case.asked(tp=layout.tp, dp=layout.dp, pp=layout.pp, ep=layout.ep)


def _near(plan: Plan) -> list[int]:
    """Batches beside the plan's, of the same layout."""
    step, batch = plan.layout.dp * plan.layout.pp, plan.workload.batch
    wide = [int(batch * f) // step * step for f in (0.7, 0.9, 1.1, 1.4, 2, 4)]
    return sorted({b for b in (batch - step, batch + step, *wide) if b >= step} - {batch})


LAWS: dict[str, Law] = {
    "more memory never worsens": more_memory,
    "a larger memory limit never worsens": larger_memory_limit,
    "more devices never worsen": more_devices,
    "more schemes never worsen": more_schemes,
    "more cache layouts never worsen": more_cache_layouts,
    "a looser limit never worsens": looser_limit,
    "a dropped rule never worsens": dropped_rule,
    "a tighter limit never improves": tighter_limits,
    "a limit that is kept changes nothing": kept_limit,
    "estimate agrees with the plan": estimate_agrees,
    "the plan keeps every limit": limits_kept,
    "the solver's objective is the full price": price_is_the_objective,
    "the bound is never undercut": bound_is_not_undercut,
}
