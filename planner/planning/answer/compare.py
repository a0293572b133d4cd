"""The plan beside uniform assignments: the baselines table and the one-line comparison."""

from __future__ import annotations

from collections.abc import Sequence

from planner.placement.modules import PLANNED_KINDS
from planner.planning.answer.baselines import baseline_pairs, baselines
from planner.planning.plan.record import Baseline, Comparison
from planner.planning.price.intervals import performance
from planner.planning.price.price import Priced
from planner.planning.question.question import TIMED, Question, improvement
from planner.planning.search.best_first import Found
from planner.planning.search.formulate import loss_limit
from planner.planning.search.uniform import (
    Uniform,
    UniformQuery,
    best_uniforms,
    uniform_pairs,
)
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor, indistinguishable
from planner.planning.space.model import CostModel

SAME = 0.0005
"""Relative gains below this print as zero, so they are called none."""
NOUNS = {"throughput": "tokens/s per device", "latency": "TPOT", "memory": "memory",
         "quality": "loss", "cost": "cost per token"}


def compared(found: Found, priced: Priced, *, searched: bool, others: Sequence[Space] = (),
             ) -> tuple[tuple[Baseline, ...], Comparison]:
    """The baselines and the comparison of a plan; uniform assignments are placed together.

    ``others`` are the candidates of the other ways in which the engine can serve the model (a
    cache type, a checkpoint format): their uniform assignments are rivals too.
    """
    if not searched:
        return (), Comparison("", 0.0, "a given assignment is priced, not chosen")
    question = found.space.model.question
    grids = _bf16_caches_first((found.grid, *others))
    limited = question.tpot_seconds is not None or question.ttft_seconds is not None
    rows: dict[tuple[str, str], Uniform] = {}
    rivals: dict[tuple[str, str], Uniform] = {}
    for one in grids:
        table = [UniformQuery(*pair, limits=False) for pair in baseline_pairs(one.model)
                 if pair not in rows]
        against = [UniformQuery(*pair, limits=limited) for pair in _rival_pairs(one.model, priced)
                   if pair not in rivals]
        wanted = list(dict.fromkeys(table + against))
        placed = dict(zip(wanted, best_uniforms(one, wanted), strict=True))
        rows |= {(w.scheme, w.kv): placed[w] for w in table}
        rivals |= {(w.scheme, w.kv): placed[w] for w in against}
    return baselines(grids[0].model, rows), comparison(found, priced, list(rivals.values()))


def _bf16_caches_first(grids: Sequence[Space]) -> list[Space]:
    """Baselines keep a BF16 cache where an engine can; the answer's own goes before its equals."""
    return sorted(grids, key=lambda one: "bf16" not in one.model.question.kv)


def score(question: Question, priced: Priced) -> float:
    """The objective of a priced assignment, to be minimised."""
    if question.objective == "latency":
        return priced.tpot
    if question.objective == "memory":
        group = priced.layout.tp * priced.layout.dp * question.replicas(priced.layout.ranks)
        return float(sum(s.total for s in priced.stages) * group)
    if question.objective == "quality":
        return priced.loss
    return _seconds_per_token(priced)


def _rival_pairs(model: CostModel, priced: Priced) -> list[tuple[str, str]]:
    """Uniform assignments whose loss stays within the same limit."""
    limit = loss_limit(model)
    allowed = max(priced.loss, limit if limit is not None else priced.loss)
    return uniform_pairs(model, allowed)


def comparison(found: Found, priced: Priced, placed: Sequence[Uniform]) -> Comparison:
    """Against the best of uniform assignments whose loss stays within the same limit."""
    question = found.space.model.question
    rivals = [u for u in placed if u.priced is not None]
    if not rivals:
        return Comparison("", 0.0, "no uniform plan fits within the same limits")
    ranked = [(score(question, u.priced), _seconds_per_token(u.priced), i)
              for i, u in enumerate(rivals) if u.priced is not None]
    best = rivals[min(ranked)[2]]
    assert best.priced is not None
    return _sentence(found, priced, best, best.priced)


def _seconds_per_token(priced: Priced) -> float:
    """Device-seconds of one output token: decides between equal scores."""
    return priced.tpot * priced.layout.ranks / priced.batch


def _linear_schemes(found: Found) -> set[str]:
    model = found.space.model
    return {model.choices[s.choice] for s in found.segments
            if s.choice >= 0 and model.units[s.unit].kind in PLANNED_KINDS}


def _sentence(found: Found, priced: Priced, best: Uniform, rival: Priced) -> Comparison:
    model = found.space.model
    question = model.question
    ours, theirs = score(question, priced), score(question, rival)
    noun = NOUNS[question.objective]
    where = (f"{best.name} (batch {rival.batch} on {rival.layout.ranks} "
             f"device{'s' if rival.layout.ranks > 1 else ''})")
    schemes = _linear_schemes(found)
    if theirs <= 0 or ours <= 0:
        return Comparison(best.scheme, 0.0, f"none over uniform {where}: both reach {noun} "
                          f"{min(ours, theirs):.3g}")
    if question.objective == "quality" and indistinguishable(model, ours, theirs):
        return _equal(priced, best, rival, where, band_factor(model))
    gain = improvement(question.objective, theirs, ours)
    if gain < SAME:
        reason = "every unit is fastest in it within the limits" if len(schemes) == 1 \
            else "mixing formats gains nothing measurable here"
        return Comparison(best.scheme, 0.0, f"none over uniform {where}: {reason}")
    verb = {"throughput": "more", "cost": "lower"}.get(question.objective, "less")
    why = "" if len(schemes) > 1 else "; the linears are uniform, the caches are not"
    if question.objective in TIMED:
        time = performance(model, priced, 1).tpot_seconds
        if gain < time.high / time.value - 1:
            why += f"; inside the 80 % interval of the times (×/÷ {time.high / time.value:.2f})"
    return Comparison(best.scheme, float(f"{gain:.6g}"),
                      f"{gain:.1%} {verb} {noun} than uniform {where}{why}")


def _equal(priced: Priced, best: Uniform, rival: Priced, where: str, band: float) -> Comparison:
    """Losses that the band does not tell apart: the uniform plan's speed is compared beside."""
    ours, theirs = priced.loss, rival.loss
    low, high = sorted((ours, theirs))
    text = f"indistinguishable in loss from uniform {where}: a factor of {high / low:.2f} lies " \
           f"inside the band of {band:.2g}"
    faster = improvement("throughput", _seconds_per_token(rival), _seconds_per_token(priced))
    if abs(faster) >= SAME:
        text += f"; {abs(faster):.1%} {'more' if faster > 0 else 'fewer'} tokens/s per device"
    gain = max(0.0, improvement("quality", theirs, ours))
    return Comparison(best.scheme, float(f"{gain:.6g}"), text)
