"""Climbing from a plan by full prices: is anything near it better, that keeps every limit?

Moves: one part's choice, any two choices of parts that one kernel reads, the most promising pairs
of any parts, the batch by one and by factors, every other layout. After each move of batch or
layout the choices climb again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from planner.placement.layout import Layout
from planner.planning.plan.record import Plan
from planner.planning.question.question import TIMED
from planner.planning.space.model import CostModel
from support.answers import ROUNDING, choices, least_of, some
from support.full_price import Part, Place, Setting, broken, parts_of, value_of
from support.random_questions import Case

FACTORS = (0.5, 0.7, 0.9, 1.1, 1.4, 2.0)
READ_TOGETHER = (("kv-k", "kv-v"), ("experts-gate-up", "experts-down"))
ROUNDS = 8
FAR = 1.1
"""Times the best objective, from which a batch or layout is not climbed from."""
Taken = tuple[int, ...]


@dataclass(frozen=True)
class Spot:
    """An assignment at a place, with its full price's objective and loss, and broken limits."""

    place: Place
    taken: Taken
    value: float
    loss: float
    over: tuple[str, ...]


@dataclass
class Climb:
    """What climbing found: ``better`` is the relative improvement beyond the plan, ``beyond`` what
    of it the plan's own gap does not cover."""

    case: Case
    plan: Plan
    value: float
    best: float
    moves: str
    prices: int = 0

    @property
    def better(self) -> float:
        return 1 - self.best / self.value if self.value else 0.0

    @property
    def beyond(self) -> float:
        precise = least_of(self.plan)[1]
        return max(0.0, self.better - self.plan.solver.gap - precise - ROUNDING)


class Climber:
    """Climbs in one way to serve; ``pairs`` promising pairs are priced in every round."""

    def __init__(self, setting: Setting, pairs: int) -> None:
        self.setting, self.pairs = setting, pairs
        self.parts = parts_of(setting.model, by_layer=setting.question.untie)
        self.prices = 0
        self.places: dict[tuple[Layout, int], Place] = {}

    def place(self, layout: Layout, slot: int) -> Place:
        key = layout, slot
        if key not in self.places:
            self.places[key] = self.setting.place(layout, slot)
        return self.places[key]

    def spot(self, place: Place, taken: Taken) -> Spot:
        """An assignment, priced."""
        self.prices += 1
        segments = place.segments(self.parts, taken)
        priced, sums = place.priced(segments), place.sums(segments)
        return Spot(
            place,
            taken,
            value_of(self.setting.question, priced, sums),
            priced.loss,
            tuple(broken(self.setting, priced, sums)),
        )

    def up(self, start: Spot) -> Spot | None:
        """The best that rounds of moves of choices reach from ``start``; None where nothing that
        keeps the limits is met."""
        best = start
        for _ in range(ROUNDS):
            found = next(
                (spots for spots in self._moves(best) if _order(spots) < _order(best)), best
            )
            if found is best:
                break
            best = found
        return None if best.over else best

    def _moves(self, spot: Spot) -> Iterator[Spot]:
        """The best of each kind of move: one part, two that are read together, two of any."""
        able = [spot.place.able(part) for part in self.parts]
        single = {
            (i, choice): self.spot(spot.place, _with(spot.taken, {i: choice}))
            for i, few in enumerate(able)
            for choice in few
            if choice != spot.taken[i]
        }
        yield min(single.values(), key=_order, default=spot)
        pairs = [
            ((i, one), (j, other))
            for i, j in self._together()
            for one, other in product(able[i], able[j])
            if one != spot.taken[i] and other != spot.taken[j]
        ]
        for some_pairs in (pairs, self._promising(spot, single)):
            yield min(
                (self.spot(spot.place, _with(spot.taken, dict(pair))) for pair in some_pairs),
                key=_order,
                default=spot,
            )

    def _together(self) -> Iterator[tuple[int, int]]:
        """Pairs of parts that one kernel reads in some layer."""
        units = self.setting.model.units
        for i, one in enumerate(self.parts):
            for j, other in enumerate(self.parts):
                kinds = (units[one[0][0]].kind, units[other[0][0]].kind)
                if kinds in READ_TOGETHER and set(one[0][1]) & set(other[0][1]):
                    yield i, j

    def _promising(
        self,
        spot: Spot,
        single: dict[tuple[int, int], Spot],
    ) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Pairs of moves whose sum is better, and within the loss that is allowed."""
        limit = self.setting.loss_limit
        room = float("inf") if limit is None else limit - spot.loss
        gains = sorted(
            ((s.value - spot.value, s.loss - spot.loss, key) for key, s in single.items())
        )
        found = []
        for a, (gain, loss, one) in enumerate(gains):
            if gain >= 0:
                break
            for other_gain, other_loss, other in gains[a + 1 :]:
                if gain + other_gain >= 0:
                    break
                if one[0] != other[0] and loss + other_loss <= room + 1e-9:
                    found.append((gain + other_gain, one, other))
        return [(one, other) for _, one, other in sorted(found)[: self.pairs]]


def climbed(case: Case, *, pairs: int = 300, restarts: int = 3) -> Climb:
    """The best that is met from the plan of ``case``, over all ways that can carry it; what is
    better is climbed from again, ``restarts`` times in all."""
    plan = some(case)
    value = least_of(plan)[0]
    out = Climb(case, plan, value, value, "")
    for question in case.questions():
        climber = Climber(Setting.of(question), pairs)
        taken = _taken(climber, plan)
        if taken is not None:
            if question.objective in TIMED and not out.prices:
                out.value = out.best = _summed(climber, plan, taken)
            _climb_all(climber, plan, taken, out, restarts)
            out.prices += climber.prices
    return out


def _summed(climber: Climber, plan: Plan, taken: Taken) -> float:
    """The objective of the plan as a search sums it up."""
    layout = replace(
        Layout(), tp=plan.layout.tp, dp=plan.layout.dp, pp=plan.layout.pp, ep=plan.layout.ep
    )
    slot = plan.workload.batch // (layout.dp * layout.pp)
    return climber.spot(climber.place(layout, slot), taken).value


def _climb_all(climber: Climber, plan: Plan, taken: Taken, out: Climb, restarts: int) -> None:
    layout = replace(
        Layout(), tp=plan.layout.tp, dp=plan.layout.dp, pp=plan.layout.pp, ep=plan.layout.ep
    )
    here: tuple[Layout, int, Taken] | None = (
        layout,
        plan.workload.batch // (layout.dp * layout.pp),
        taken,
    )
    for _ in range(restarts):
        if here is None:
            break
        layout, slot, taken = here
        here = None
        for name, other, slots in _places(climber.setting, layout, slot):
            found = None
            if _legal(climber, other, slots, taken):
                start = climber.spot(climber.place(other, slots), taken)
                if start.over or start.value < out.best * FAR:
                    found = climber.up(start)
            if found is not None and found.value < out.best * (1 - ROUNDING):
                out.best = found.value
                out.moves = f"{name}: {_told(climber, taken, found.taken)}"
                here = other, slots, found.taken


def _places(setting: Setting, layout: Layout, slot: int) -> Iterator[tuple[str, Layout, int]]:
    """The place itself, other batches of its layout, and other layouts."""
    yield "same batch", layout, slot
    given = setting.question.batch is not None
    if not given:
        near = {slot - 1, slot + 1, *(int(slot * f) for f in FACTORS)} - {slot}
        for other in sorted(n for n in near if n >= 1):
            yield f"batch {other * layout.dp * layout.pp}", layout, other
    for other_layout in setting.layouts:
        if other_layout == layout:
            continue
        wide = other_layout.dp * other_layout.pp
        batch = slot * layout.dp * layout.pp
        sizes = {batch} if given else {batch, batch * other_layout.ranks // layout.ranks}
        for size in sorted(sizes):
            if size % wide == 0 and size:
                yield (
                    (
                        f"tp{other_layout.tp} dp{other_layout.dp} pp{other_layout.pp} "
                        f"ep{other_layout.ep} batch {size}"
                    ),
                    other_layout,
                    size // wide,
                )


def _legal(climber: Climber, layout: Layout, slot: int, taken: Taken) -> bool:
    place = climber.place(layout, slot)
    return all(
        choice in place.able(part) for part, choice in zip(climber.parts, taken, strict=True)
    )


def _taken(climber: Climber, plan: Plan) -> Taken | None:
    """The plan's choices for the climber's parts; None where this way does not carry them."""
    model = climber.setting.model
    names, out = choices(plan), []
    for part in climber.parts:
        unit, layers = part[0]
        index = _index(model, unit, names[model.units[unit].kind, *(layers[:1] or (-1,))])
        if index is None:
            return None
        out.append(index)
    return tuple(out)


def _index(model: CostModel, unit: int, name: str) -> int | None:
    question = model.question
    cache = model.units[unit].role == "cache"
    pool = question.kv if cache else question.schemes
    return pool.index(name) + (len(question.schemes) if cache else 0) if name in pool else None


def _with(taken: Taken, moves: dict[int, int]) -> Taken:
    return tuple(moves.get(i, choice) for i, choice in enumerate(taken))


def _order(spot: Spot) -> tuple[int, float]:
    return len(spot.over), spot.value


def _told(climber: Climber, old: Taken, new: Taken) -> str:
    model = climber.setting.model

    def name(part: Part) -> str:
        return "+".join(model.units[unit].id for unit, _ in part)

    return (
        ", ".join(
            f"{name(part)} {model.choices[a]} → {model.choices[b]}"
            for part, a, b in zip(climber.parts, old, new, strict=True)
            if a != b
        )
        or "the same choices"
    )


QUESTIONS: dict[str, Case] = {
    "keys and values on a CPU": Case.of("qwen2.5-0.5b", "xeon-platinum-8480", context=16384),
    "experts on two GPUs": Case.of("deepseek-v2-lite", "l40s", devices=2, objective="latency"),
    "batches beyond the grid": Case.of("smollm2-135m", "h100-sxm", context=256, devices=1),
    "keys and values, latency": Case.of("llama-3.2-1b", "xeon-6980p", objective="latency"),
    "keys and values on a GPU": Case.of("llama-3.2-1b", "h100-sxm", devices=1, context=2048),
    "keys and values, batch given": Case.of("qwen2.5-0.5b", "l40s", devices=1, batch=64),
    "keys and values, loose loss": Case.of(
        "llama-3.2-1b", "b200-sxm", devices=1, batch=128, max_loss="int4-w4a16"
    ),
    "experts, latency": Case.of("olmoe-1b-7b", "h100-sxm", devices=1, objective="latency"),
    "experts on a CPU": Case.of("olmoe-1b-7b", "xeon-6980p", devices=1, batch=16),
    "experts, loose loss": Case.of(
        "olmoe-1b-7b", "l40s", devices=1, batch=32, max_loss="int4-w4a16"
    ),
    "experts over two GPUs": Case.of("olmoe-1b-7b", "h100-sxm", devices=2, batch=32),
    "latents and experts": Case.of("deepseek-v2-lite", "b200-sxm", devices=1, batch=64),
    "edge": Case.of("llama-3.2-1b", "jetson-agx-orin-64gb", objective="latency"),
    "one engine": Case.of("llama-3.2-1b", "h100-sxm", devices=1, engine="vllm", context=2048),
    "another engine": Case.of("deepseek-v2-lite", "h100-sxm", devices=1, engine="sglang", batch=32),
    "a limit on the token": Case.of(
        "mistral-7b-v0.1", "b200-sxm", devices=2, context=1500, tpot_seconds=0.0633369600774675
    ),
    "a limit on the first token": Case.of(
        "llama-3.2-1b", "h100-sxm", devices=1, context=512, ttft_seconds=0.016
    ),
    "least memory": Case.of(
        "qwen2.5-0.5b",
        "xeon-platinum-8480",
        devices=1,
        batch=32,
        objective="memory",
        ttft_seconds=2.0,
    ),
    "untied": Case.of("synthetic-mha-6", "h100-sxm", devices=1, batch=64, untie=True),
    "untied experts": Case.of("synthetic-moe-4", "l40s", devices=1, batch=64, untie=True),
}
"""Questions whose units share kernels; the first three are those of `make test`."""
