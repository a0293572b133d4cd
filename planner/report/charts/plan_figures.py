"""What more or less loss buys, as numbers: the frontier of a plan's layout, the plan with its
intervals, and the uniform formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from planner.planning.inspect.layout_frontier import FrontierReach, uniform_groups
from planner.planning.inspect.sensitivity import PerturbedPlan, PremiseSwing, Sensitivity
from planner.planning.inspect.users import UsersPoint
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import recorded_values, requests_in_flight
from planner.planning.question.question import RATES
from planner.planning.solver.problem import TOLERANCE
from planner.report.plan_terms import LIMIT_DEFAULT, assumption_of


def tpot_limit(plan: Plan, typed: str = "") -> float | None:
    """The limit on TPOT [s] that ``plan`` keeps: as ``typed`` in milliseconds, else the default
    that its assumptions tell; None without a limit."""
    default = assumption_of(plan, LIMIT_DEFAULT)
    text = typed or ("" if default is None else str(default.value).partition(" ")[0])
    try:
        return float(text) / 1e3
    except ValueError:
        return None


OVER = " †"
"""Behind the names of what breaks a limit that the plan keeps."""
LimitName = Literal["tpot", "ttft", "loss"]
ROUNDED = 5e-3
"""A limit on loss is told with three digits."""


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What a plan keeps: TPOT and TTFT [s], and a loss in the plan's unit; None: no limit."""

    tpot_seconds: float | None = None
    ttft_seconds: float | None = None
    loss: float | None = None

    @property
    def names(self) -> tuple[LimitName, ...]:
        """Names of the limits that there are."""
        inf = float("inf")
        return self.broken(tpot=inf, ttft=inf, loss=inf)

    def broken(
        self, *, tpot: float = 0.0, ttft: float = 0.0, loss: float = 0.0
    ) -> tuple[LimitName, ...]:
        """Names of the limits that times [s] and a loss are over."""
        told: tuple[tuple[LimitName, float, float | None, float], ...] = (
            ("tpot", tpot, self.tpot_seconds, TOLERANCE),
            ("ttft", ttft, self.ttft_seconds, TOLERANCE),
            ("loss", loss, self.loss, ROUNDED),
        )
        return tuple(
            name
            for name, value, limit, slack in told
            if limit is not None and value > limit * (1 + slack)
        )


NO_LIMITS = PlanLimits()


def limits_of(plan: Plan) -> PlanLimits:
    """The limits that ``plan`` keeps: those that were asked for, else the defaults that its
    assumptions tell.

    Raises:
        DataError: the plan file tells a flag that is unknown, or a value that is not of its kind.
    """
    asked = recorded_values(plan)
    typed, first = asked.get("tpot_seconds"), asked.get("ttft_seconds")
    return PlanLimits(
        tpot_limit(plan, f"{1e3 * typed:.17g}" if isinstance(typed, float) else ""),
        first if isinstance(first, float) else None,
        _loss_limit(plan),
    )


def _loss_limit(plan: Plan) -> float | None:
    """The limit as the assumptions tell it, ``int8-w8a8 (0.0123)`` or ``0.02``; of a scheme that
    stands beside the plan, its loss."""
    told = assumption_of(plan, "max-loss")
    if told is None:
        return None
    scheme, _, number = str(told.value).rpartition(" (")
    beside = [b.loss for b in plan.baselines if b.feasible and b.name == scheme]
    try:
        return beside[0] if beside else float(number.rstrip(")"))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class ReachPlace:
    """A loss and what it buys; ends of 80 % intervals where they are known, else None. ``over``:
    the limits of the plan that it breaks."""

    loss: float
    value: float
    names: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    over: tuple[LimitName, ...] = ()


@dataclass(frozen=True, slots=True)
class ReachFigure:
    """Values are TPOT [s] where ``late``, and less is better; else output tokens/s per device."""

    late: bool
    loss_unit: str
    mine: ReachPlace
    curve: tuple[ReachPlace, ...]
    others: tuple[ReachPlace, ...]
    limits: PlanLimits = NO_LIMITS

    @property
    def places(self) -> tuple[ReachPlace, ...]:
        """All of them, the plan first."""
        return (self.mine, *self.curve, *self.others)


def reach_figure(
    plan: Plan, curve: Sequence[FrontierReach], limits: PlanLimits = NO_LIMITS
) -> ReachFigure:
    """The numbers of the figure, ``curve`` being the frontier on the plan's layout; places
    over one of the ``limits`` say so."""
    late, perf, quality = plan.objective == "latency", plan.performance, plan.quality
    own = perf.tpot_seconds if late else perf.output_tokens_per_second_per_device
    first = {b.name: b.ttft_seconds for b in plan.baselines}
    return ReachFigure(
        late,
        quality.unit,
        ReachPlace(quality.loss, own.value, (), own.low, own.high, quality.low, quality.high),
        tuple(
            ReachPlace(
                r.loss,
                r.tpot_seconds if late else r.output_tokens_per_second_per_device,
                over=limits.broken(tpot=r.tpot_seconds, loss=r.loss),
            )
            for r in curve
        ),
        tuple(
            ReachPlace(
                loss,
                tpot if late else rate,
                tuple(names),
                over=limits.broken(tpot=tpot, ttft=first[names[0]], loss=loss),
            )
            for names, loss, tpot, rate in uniform_groups(plan)
        ),
        limits,
    )


@dataclass(frozen=True, slots=True)
class PremiseEnds:
    """A premise, and the figure with it a fifth ``less`` and ``more``."""

    swing: PremiseSwing
    less: float
    more: float

    @property
    def effect(self) -> float:
        """How far both are apart."""
        return abs(self.more - self.less)


@dataclass(frozen=True, slots=True)
class PremisesFigure:
    """Values are TPOT [s] where ``late``, else output tokens/s per device: ``now`` as the plan is
    priced again, ``low`` to ``high`` its 80 % interval; rows in falling order of their effect."""

    late: bool
    now: float
    low: float
    high: float
    rows: tuple[PremiseEnds, ...]


def premises_figure(plan: Plan, sensitivity: Sensitivity) -> PremisesFigure:
    """The numbers of the figure; ``sensitivity`` is the plan priced again."""
    late, perf = plan.objective == "latency", plan.performance
    own = perf.tpot_seconds if late else perf.output_tokens_per_second_per_device

    def value(end: PerturbedPlan) -> float:
        return end.tpot_seconds if late else end.output_tokens_per_second_per_device

    rows = [PremiseEnds(s, value(s.low), value(s.high)) for s in sensitivity.swings]
    return PremisesFigure(
        late,
        value(sensitivity.now),
        own.low,
        own.high,
        tuple(sorted(rows, key=lambda row: -row.effect)),
    )


Line = tuple[tuple[int, int], ...]
"""(context [tokens], sequences of all replicas)."""


@dataclass(frozen=True, slots=True)
class UsersFigure:
    """Lines of the plan's caches and of BF16 ones (empty where they hold as many), contexts without
    room left out; ``batch`` is the plan's, at ``context``. ``ticks`` are powers of two."""

    own: Line
    wide: Line
    batch: int
    context: int
    ticks: tuple[int, ...]


def users_figure(plan: Plan, points: Sequence[UsersPoint]) -> UsersFigure:
    """The numbers of the figure, ``points`` by rising context."""
    same = all(point.users == point.wide_users for point in points)
    return UsersFigure(
        tuple((p.context, p.users) for p in points if p.users > 0),
        () if same else tuple((p.context, p.wide_users) for p in points if p.wide_users > 0),
        requests_in_flight(plan),
        next((p.context for p in points if p.own), plan.workload.context_tokens),
        tuple(p.context for p in points if p.context & (p.context - 1) == 0),
    )


def short_tokens(tokens: int) -> str:
    """Tokens in units of 1,024 where they are whole."""
    return f"{tokens // 1024:,}Ki" if tokens >= 1024 and tokens % 1024 == 0 else f"{tokens:,}"


WORSE = 1.05
"""Loss, or time of a token, relative to the plan's above which a uniform format is drawn pale."""
Compares = Literal["rate", "late", "memory", "loss"]


@dataclass(frozen=True, slots=True)
class RivalRow:
    """``value`` with its 80 % interval where there is one; ``names`` of formats whose figures are
    the same, empty for the plan and for the workers that do both. ``pale``: loses over 5 % more
    than the plan, or takes over 5 % longer a token; ``over``: the limits of
    the plan that it breaks."""

    kind: Literal["plan", "aggregated", "uniform"]
    names: tuple[str, ...]
    value: float
    low: float | None
    high: float | None
    loss: float
    pale: bool
    over: tuple[LimitName, ...] = ()


@dataclass(frozen=True, slots=True)
class RivalsFigure:
    """Values are output tokens/s per device (``rate``), TPOT [s] (``late``), bytes of the fullest
    device (``memory``) or losses in ``loss_unit``; ``limit`` of the plan on them."""

    compares: Compares
    loss_unit: str
    rows: tuple[RivalRow, ...]
    limit: float | None = None

    @property
    def longest(self) -> float:
        """The greatest value, 1 where all are 0."""
        return max(row.value for row in self.rows) or 1.0


@dataclass(frozen=True, slots=True)
class _ServedFigures:
    """What is compared of one way to serve."""

    tpot: float
    rate: float
    size: int
    loss: float
    ttft: float

    def value(self, compares: Compares) -> float:
        return {
            "rate": self.rate,
            "late": self.tpot,
            "memory": float(self.size),
            "loss": self.loss,
        }[compares]


def rivals_figure(plan: Plan, limits: PlanLimits = NO_LIMITS) -> RivalsFigure:
    """The plan, workers that do both beside pools, then every feasible baseline: those first that
    keep the ``limits``."""
    perf, quality = plan.performance, plan.quality
    compares = _compares(plan.objective)
    low, high = {
        "rate": (
            perf.output_tokens_per_second_per_device.low,
            perf.output_tokens_per_second_per_device.high,
        ),
        "late": (perf.tpot_seconds.low, perf.tpot_seconds.high),
        "memory": (None, None),
        "loss": (quality.low, quality.high),
    }[compares]
    own = _ServedFigures(
        perf.tpot_seconds.value,
        perf.output_tokens_per_second_per_device.value,
        plan.memory_per_device.total_bytes,
        quality.loss,
        perf.ttft_seconds.value,
    )
    rows = [RivalRow("plan", (), own.value(compares), low, high, own.loss, False)]
    other = plan.deployment.aggregated if plan.deployment is not None else None
    if other is not None and plan.objective in RATES:
        both = _ServedFigures(
            other.tpot_seconds,
            other.output_tokens_per_second_per_device,
            0,
            _loss_of_aggregated(plan),
            0.0,
        )
        rows.append(
            RivalRow(
                "aggregated", (), both.value(compares), None, None, both.loss, _pale(both, own)
            )
        )
    alike: dict[_ServedFigures, list[str]] = {}
    for b in plan.baselines:
        if b.feasible:
            alike.setdefault(
                _ServedFigures(
                    b.tpot_seconds,
                    b.output_tokens_per_second_per_device,
                    b.total_bytes_per_device,
                    b.loss,
                    b.ttft_seconds,
                ),
                [],
            ).append(b.name)
    rows += [
        RivalRow(
            "uniform",
            tuple(names),
            served_figures.value(compares),
            None,
            None,
            served_figures.loss,
            _pale(served_figures, own),
            limits.broken(
                tpot=served_figures.tpot, ttft=served_figures.ttft, loss=served_figures.loss
            ),
        )
        for served_figures, names in alike.items()
    ]
    rows.sort(key=lambda row: bool(row.over))
    limit = {"late": limits.tpot_seconds, "loss": limits.loss}.get(compares)
    return RivalsFigure(compares, quality.unit, tuple(rows), limit)


def _compares(objective: str) -> Compares:
    if objective == "latency":
        return "late"
    if objective == "memory":
        return "memory"
    return "loss" if objective == "quality" else "rate"


def _pale(row: _ServedFigures, own: _ServedFigures) -> bool:
    return row.loss > own.loss * WORSE or row.tpot > own.tpot * WORSE


def _loss_of_aggregated(plan: Plan) -> float:
    """The loss of the workers that do both, which stand first among the other plans."""
    recommendation = plan.recommendation
    return (
        recommendation.alternatives[0].loss
        if recommendation is not None and recommendation.alternatives
        else 0.0
    )
