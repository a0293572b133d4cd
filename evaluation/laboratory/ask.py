"""A page's question asked as a user asks it, and the answer placed among the page's runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import planner
from benchmarks.gains_rows import MeasuredConfiguration
from evaluation.answers import layout_words
from evaluation.laboratory.nearest import exactness, nearest, regret, tuned, unlike
from evaluation.laboratory.rows import LaboratoryPage
from planner.base.errors import PlannerError
from planner.lab.validation.served import spec_of
from planner.models.catalog import model_ids
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.planning.choose.calibrated import Configuration
from planner.planning.plan.record import Plan
from planner.planning.question.input import QuestionInput
from planner.planning.search.conventional import by_preference

AUTO = "auto"
OUTSIDE = ("embedding", "norm", "router", "head", "indexer")
"""Units that engines keep as they are."""


@dataclass(frozen=True)
class FreeAnswer:
    """An answer as a measured run states it; ``refusal`` is the message where there is none.
    ``inside``: stages of a pipeline within one domain of links."""

    command: str
    configuration: Configuration | None
    words: str = ""
    verdict: str = ""
    evidence: str = ""
    inside: bool = False
    refusal: str = ""


@dataclass(frozen=True)
class Placed:
    """A ``page`` with its ``answer``. ``taken`` is what was placed among its runs: the answer, or
    that for an engine of the page; ``run`` the nearest of them, None where all is refused."""

    page: LaboratoryPage
    answer: FreeAnswer
    taken: FreeAnswer
    run: MeasuredConfiguration | None

    @property
    def differing(self) -> frozenset[str]:
        """What the answer itself and the run differ in."""
        mine = self.answer.configuration
        if self.run is None or mine is None:
            return frozenset(("engine",))
        stated = self.page.requests is not None
        return unlike(mine, self.run.configuration, stated=stated)

    @property
    def exact(self) -> str:
        return exactness(self.differing)

    @property
    def regret(self) -> float | None:
        return None if self.run is None else regret(self.run, self.page.runs)

    @property
    def own(self) -> float | None:
        """Regret of the run nearest to the answer itself, whatever engine the page has."""
        mine = self.answer.configuration
        return None if mine is None else regret(nearest(mine, self.page.runs), self.page.runs)

    @property
    def tuned(self) -> float | None:
        return None if self.run is None else tuned(self.run, self.page.runs)


def place(page: LaboratoryPage, engine: str = AUTO) -> Placed:
    """The page's question, asked of all engines or of one, placed among the page's runs of it.

    Where no run has the answer's engine, the page's engines are asked one by one, the preferred
    first, and the first answer is placed.
    """
    mine = page if engine == AUTO else page.of_engine(engine)
    answer = answered(page, engine)
    for taken in (answer, *(answered(page, e) for e in _instead(answer, mine))):
        if taken.configuration is not None and taken.configuration.engine in mine.engines:
            return Placed(mine, answer, taken, nearest(taken.configuration, mine.runs))
    return Placed(mine, answer, answer, None)


def _instead(answer: FreeAnswer, page: LaboratoryPage) -> Sequence[str]:
    """Engines of the page to ask where the answer has none of them, the preferred first."""
    mine = answer.configuration
    if mine is not None and mine.engine in page.engines:
        return ()
    order = _preferred(page.model, page.device, page.devices)
    return sorted(page.engines, key=lambda name: (order + page.engines).index(name))


@cache
def _preferred(model: str, device: str, devices: int) -> tuple[str, ...]:
    """Engines in the order in which the planner prefers them."""
    question = QuestionInput(model=_named(model), device=device, devices=devices)
    return tuple(some[0].engine for some in by_preference(question.questions()))


def _named(model: str) -> str | ModelSpec:
    """The model as a user names it: by its configuration where it is not bundled."""
    return model if model in model_ids() else spec_of(model)


@cache
def _asked(
    model: str,
    device: str,
    devices: int,
    lengths: tuple[int, int],
    requests: int | None,
    engine: str,
) -> FreeAnswer:
    isl, osl = lengths
    batch = f" --batch {requests}" if requests else ""
    command = (
        f"plan {model} {device} --devices {devices} --isl {isl} --osl {osl}{batch} "
        f"--engine {engine} --tpot-ms none"
    )
    try:
        plan = planner.plan(
            _named(model),
            device,
            devices=devices,
            isl=isl,
            osl=osl,
            batch=requests,
            engine=engine,
            tpot_seconds="none",
        )
    except PlannerError as error:
        return FreeAnswer(command, None, refusal=str(error).splitlines()[0])
    return answer_of(plan, command)


def answered(page: LaboratoryPage, engine: str) -> FreeAnswer:
    """The answer to the page's question for an engine, or for the best of all."""
    return _asked(page.model, page.device, page.devices, page.lengths, page.requests, engine)


def answer_of(plan: Plan, command: str) -> FreeAnswer:
    """The answer of a plan."""
    lay = plan.layout
    layout = Layout(lay.tp, lay.dp, lay.pp, lay.ep)
    device = planner.load_device(plan.device.id)
    domain = max(device.devices_per_node, device.scale_up_devices)
    split = plan.deployment is not None and plan.deployment.mode == "disaggregated"
    configuration = Configuration(
        plan.engine.name,
        plan.engine.version or "",
        layout,
        layout.ranks * lay.replicas,
        _format(plan),
        " ".join(dict.fromkeys(u.kv_layout for u in plan.units if u.kv_layout)),
        float(plan.workload.batch * lay.replicas),
        0 if plan.speculation is None else plan.speculation.draft_tokens,
        "pools" if split else "",
    )
    evidence = plan.performance.tpot_seconds.evidence
    return FreeAnswer(
        command,
        configuration,
        layout_words(plan),
        "" if plan.recommendation is None else plan.recommendation.verdict,
        "" if evidence is None else evidence.level,
        lay.pp > 1 and layout.ranks <= domain,
    )


def _format(plan: Plan) -> str:
    """The scheme of most bytes of linear weights: in a mixture of experts that of the experts."""
    bytes_of: dict[str, int] = {}
    for unit in plan.units:
        if unit.kv_layout is None and unit.kind not in OUTSIDE:
            bytes_of[unit.scheme] = bytes_of.get(unit.scheme, 0) + unit.weight_bytes
    return max(bytes_of, key=lambda name: bytes_of[name])
