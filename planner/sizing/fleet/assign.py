"""The assignment solved exactly, by HiGHS: cheapest, with most growth, with the smallest stock."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any

import numpy as np

from planner.base.errors import SolverError
from planner.base.records import record
from planner.planning.solver.highs import EXCLUDED, LIMITS, run_highs
from planner.sizing.fleet.problem import FleetChoice, FleetProblem, FleetWay

GAP = 1e-9
TIED = 1e-7
"""Objectives that differ by less, as a share, are equal."""
OPTIONS: dict[str, object] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": GAP,
    "mip_abs_gap": 1e-9,
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
}
RANKED = 1e-3
"""A rank of formats over a way more."""
GROWTH_GAP = 1e-3
"""To what share a growth is proved that is told beside an answer: its last digits take longest."""
MOST_NODES, FEW_NODES = 50_000, 1_000
"""Nodes of the search for an answer, and for what is told beside it. What is not proved within them
is told as such: growth of eight models on five kinds of devices takes some thousand."""
MOST_SECONDS = 600.0


@record
class GrowthFactor:
    """A factor of growth, and whether no larger one is left to a share of GROWTH_GAP."""

    factor: float
    proved: bool


@dataclass
class _Program:
    """A mixed-integer program as it grows: columns with bounds and kinds, rows of terms."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    rows: list[tuple[dict[int, float], float, float]] = field(default_factory=list)

    def column(self, upper: float, *, integer: bool = True) -> int:
        self.lower.append(0.0)
        self.upper.append(upper)
        self.integer.append(integer)
        return len(self.lower) - 1

    def row(self, terms: dict[int, float], low: float, high: float) -> None:
        self.rows.append((terms, low, high))


@dataclass
class _FleetProgram:
    """The program of a problem: the column of each way's replicas at each of its paces, whether
    they are taken, the devices of each kind that are bought, and the growth of all rates."""

    program: _Program
    replicas: list[list[int]]
    taken: list[int]
    bought: list[int]
    growth: int


def cheapest_assignment(problem: FleetProblem, *, fewest_ways: bool = True) -> FleetChoice | None:
    """The fewest USD an hour with which all rates are served, where no price is known the fewest
    devices; of equal ones the fewest ways, unless any will do. None: the stock does not serve them.
    """
    milp = _fleet_program(problem)
    milp.program.lower[milp.growth] = milp.program.upper[milp.growth] = 1.0
    cost = _cost(problem, milp)
    first = _solved(milp, cost, nodes=MOST_NODES if fewest_ways else FEW_NODES)
    if first is None or not fewest_ways:
        return first
    return _second(milp, cost, first, _simplicity(problem, milp))


def _simplicity(problem: FleetProblem, milp: _FleetProgram) -> dict[int, float]:
    """One for each way that is taken, and a little for formats that are not the simplest."""
    uses = iter(milp.taken)
    return {next(uses): 1.0 + RANKED * way.rank for way in problem.ways for _ in way.paces}


def largest_growth(problem: FleetProblem) -> FleetChoice | None:
    """The choice with which all rates may grow by the largest factor alike, of equal ones for the
    fewest USD an hour, or devices."""
    milp = _fleet_program(problem)
    goal = {milp.growth: -1.0}
    first = _solved(milp, goal)
    if first is None:
        return None
    fleet_choice = _second(milp, goal, first, _cost(problem, milp))
    return FleetChoice(fleet_choice.replicas, -fleet_choice.value, -fleet_choice.bound)


def growth_factor(problem: FleetProblem, *, of: int | None = None) -> GrowthFactor:
    """The largest factor by which all rates may grow alike (below 1: they do not all fit), to a
    share of GROWTH_GAP, or that of model ``of`` beside the others at theirs; 0 where those are not
    served."""
    milp = _fleet_program(problem, grows=of)
    solved = _run(milp, {milp.growth: -1.0}, gap=GROWTH_GAP, nodes=FEW_NODES)
    if solved is None:
        return GrowthFactor(0.0, proved=True)
    factor, bound = solved[0][milp.growth], -solved[1]
    return GrowthFactor(factor, proved=bound <= factor * (1 + 2 * GROWTH_GAP))


def smallest_stock(problem: FleetProblem) -> tuple[int, ...] | None:
    """Devices of each kind to buy so that all rates are served, for the fewest USD an hour (or the
    fewest devices, where a price is missing); None: no number of them does."""
    milp = _fleet_program(problem, buys=True)
    milp.program.lower[milp.growth] = milp.program.upper[milp.growth] = 1.0
    prices = [
        stock.price if problem.priced and stock.price is not None else 1.0
        for stock in problem.stock
    ]
    cost = dict(zip(milp.bought, prices, strict=True))
    values = _run(milp, cost)
    if values is None:
        return None
    return tuple(round(values[0][column]) for column in milp.bought)


def _second(
    milp: _FleetProgram,
    goal: dict[int, float],
    first: FleetChoice,
    then: dict[int, float],
) -> FleetChoice:
    """Of the choices whose ``goal`` is as good as that of ``first``, the best for ``then``."""
    milp.program.row(goal, -inf, first.value + TIED * max(abs(first.value), 1e-6))
    try:
        fleet_choice = _solved(milp, then, nodes=FEW_NODES)
    except SolverError:  # none met within so many nodes: the first is as good
        return first
    return (
        first
        if fleet_choice is None
        else FleetChoice(fleet_choice.replicas, first.value, first.bound)
    )


def _cost(problem: FleetProblem, milp: _FleetProgram) -> dict[int, float]:
    """USD an hour of all replicas, or their devices."""
    return {
        column: way.size * ((problem.stock[way.device].price or 0.0) if problem.priced else 1.0)
        for way, columns in zip(problem.ways, milp.replicas, strict=True)
        for column in columns
    }


def _fleet_program(
    problem: FleetProblem, *, buys: bool = False, grows: int | None = None
) -> _FleetProgram:
    """The program; ``grows`` names the one model whose rate may grow (None: all alike)."""
    program = _Program()
    replicas, taken = [], []
    for way in problem.ways:
        columns = []
        for first, last in _ranges(problem, way, buys=buys):
            use, count = program.column(float(first <= last)), program.column(float(last))
            taken.append(use)
            columns.append(count)
            program.row({count: 1.0, use: -float(first)}, 0.0, inf)
            program.row({count: 1.0, use: -float(last)}, -inf, 0.0)
        replicas.append(columns)
    milp = _FleetProgram(program, replicas, taken, [], program.column(inf, integer=False))
    _one_way_each(problem, milp)
    _rates(problem, milp, grows)
    _room(problem, milp, buys=buys)
    return milp


def _ranges(problem: FleetProblem, way: FleetWay, *, buys: bool) -> list[tuple[int, int]]:
    """(fewest, most replicas) of each pace; 0 at most where the stock ends before it begins."""
    rate = problem.rates[way.model]
    most = (
        max(way.paces[-1][0], ceil(rate / way.paces[-1][1]))
        if buys
        else problem.stock[way.device].count // way.size
    )
    lasts = [first - 1 for first, _ in way.paces[1:]] + [most]
    ranges = [(first, min(last, most)) for (first, _), last in zip(way.paces, lasts, strict=True)]
    return [(first, last if first <= last else 0) for first, last in ranges]


def _one_way_each(problem: FleetProblem, milp: _FleetProgram) -> None:
    """A model takes one way on a kind of device, at one of its paces."""
    uses = iter(milp.taken)
    pairs: dict[tuple[int, int], list[int]] = {}
    for way in problem.ways:
        pairs.setdefault((way.model, way.device), []).extend(next(uses) for _ in way.paces)
    for columns in pairs.values():
        milp.program.row(dict.fromkeys(columns, 1.0), -inf, 1.0)


def _rates(problem: FleetProblem, milp: _FleetProgram, grows: int | None) -> None:
    """What is served is what is asked, times the growth; each row scaled to its rate."""
    for model, rate in enumerate(problem.rates):
        if rate <= 0:
            continue
        terms = {
            column: pace / rate
            for way, columns in zip(problem.ways, milp.replicas, strict=True)
            if way.model == model
            for column, (_, pace) in zip(columns, way.paces, strict=True)
        }
        if grows in (None, model):
            milp.program.row({**terms, milp.growth: -1.0}, 0.0, inf)
        else:
            milp.program.row(terms, 1.0, inf)


def _room(problem: FleetProblem, milp: _FleetProgram, *, buys: bool) -> None:
    """Hosts have room for the replicas, by size. What is bought fills hosts up, then new ones:
    full hosts, the rest of one, and the pieces of a size that the rest holds are whole numbers."""
    program = milp.program
    for device, stock in enumerate(problem.stock):
        mine = [
            (way, columns)
            for way, columns in zip(problem.ways, milp.replicas, strict=True)
            if way.device == device
        ]
        full = left = -1
        if buys:
            milp.bought.append(program.column(inf))
            full, left = program.column(inf), program.column(float(stock.host - 1))
            program.row(
                {full: float(stock.host), left: 1.0, milp.bought[-1]: -1.0},
                float(stock.count),
                float(stock.count),
            )
        for size in sorted({way.size for way, _ in mine}):
            terms = {
                column: float(way.size)
                for way, columns in mine
                if way.size >= size
                for column in columns
            }
            if not buys:
                program.row(terms, -inf, float(stock.room(size)))
                continue
            terms[full] = -float(stock.host)
            if size <= stock.host:
                pieces = program.column(float(stock.host // size))
                program.row({pieces: float(size), left: -1.0}, -inf, 0.0)
                terms[pieces] = -float(size)
            program.row(terms, -inf, 0.0)


def _solved(
    milp: _FleetProgram, goal: dict[int, float], *, nodes: int = MOST_NODES
) -> FleetChoice | None:
    solved = _run(milp, goal, nodes=nodes)
    if solved is None:
        return None
    values, bound = solved
    replicas = tuple(sum(round(values[column]) for column in columns) for columns in milp.replicas)
    return FleetChoice(replicas, sum(values[i] * by for i, by in goal.items()), bound)


def _run(
    milp: _FleetProgram,
    goal: dict[int, float],
    *,
    gap: float = GAP,
    nodes: int = MOST_NODES,
) -> tuple[list[float], float] | None:
    """(values of the columns, proved bound), None where there is no answer.

    Raises:
        SolverError: HiGHS ended otherwise.
    """
    import highspy

    scale = max((abs(by) for by in goal.values()), default=0.0) or 1.0
    options = OPTIONS | {"mip_rel_gap": gap, "mip_max_nodes": nodes, "time_limit": MOST_SECONDS}
    solver = run_highs(_model(milp.program, {i: by / scale for i, by in goal.items()}), options)
    status, info = solver.getModelStatus().name, solver.getInfo()
    if status in EXCLUDED:
        return None
    if (
        status != "kOptimal" and status not in LIMITS
    ) or info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        raise SolverError(
            f"the assignment of devices ended with {status}",
            hint="fewer kinds of devices, or fewer models, in one file",
        )
    return list(solver.getSolution().col_value), float(info.mip_dual_bound) * scale


def _model(program: _Program, goal: dict[int, float]) -> Any:
    """The program as HiGHS reads it."""
    import highspy

    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(program.lower), len(program.rows)
    cost = np.zeros(model.num_col_)
    cost[list(goal)] = list(goal.values())
    model.col_cost_ = cost
    model.col_lower_, model.col_upper_ = np.array(program.lower), np.array(program.upper)
    model.row_lower_ = np.array([low for _, low, _ in program.rows])
    model.row_upper_ = np.array([high for *_, high in program.rows])
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.cumsum([0, *(len(t) for t, *_ in program.rows)]).astype(np.int32)
    model.a_matrix_.index_ = np.array([i for t, *_ in program.rows for i in t], dtype=np.int32)
    model.a_matrix_.value_ = np.array([v for t, *_ in program.rows for v in t.values()])
    kinds = highspy.HighsVarType
    model.integrality_ = [
        kinds.kInteger if integer else kinds.kContinuous for integer in program.integer
    ]
    return model
