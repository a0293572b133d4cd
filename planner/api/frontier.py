"""``planner.frontier``: loss against throughput against memory, and the map of regimes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from planner.api.ask import ANY, AUTO, Ask, serving_questions
from planner.errors import InputError
from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.planning.infeasible.diagnose import refuse
from planner.planning.question.asked import Asked
from planner.planning.question.question import Question
from planner.planning.search.requery import GAP
from planner.planning.space.model import build_model
from planner.planning.whatif.frontier import Frontier, frontier_points
from planner.planning.whatif.regimes import phase_map
from planner.quality.prior import load_prior
from planner.quality.profile import Profile
from planner.typed import typed


@typed
def frontier(model: str | ModelSpec, device: str | DeviceProfile, *, points: int = 50,
             map: bool = False, devices: int | None = None, tp: int | None = None,
             dp: int | None = None, pp: int | None = None, ep: int | None = None,
             context: int | None = None, isl: int | None = None, osl: int | None = None,
             batch: int | None = None, ttft_seconds: float | None = None,
             tpot_seconds: float | None = None, schemes: list[str] | None = None, kv: str = AUTO,
             memory_bytes: int | None = None, engine: str = ANY,
             profile: str | Profile | None = None, untie: bool = False,
             drop_policies: Sequence[str] | None = None,
             hardware_dir: str | os.PathLike[str] | None = None) -> Frontier:
    """The plans that no other equals or beats in loss, throughput and memory.

    ``points`` budgets of loss and memory are tried; equal and dominated answers are left out.
    ``map`` adds the best plan at every context and batch, under the default limit on loss.

    Raises:
        InfeasibleError: nothing fits.
        InputError: a value out of range.
    """
    return _frontier(Ask.of(locals(), own=("points", "map")), points=points, mapped=map)


def _frontier(ask: Ask, *, points: int, mapped: bool) -> Frontier:
    """The frontier of a question, with the map where it is asked for."""
    if mapped and ask.batch is not None:
        raise InputError("the map varies the batch", hint="leave out --batch or --map")
    def ways(ask: Ask, asked: Asked) -> list[Question]:
        return [replace(q, objective="throughput", loss_scheme=None, loss_limit=None)
                for q in serving_questions(ask.question(asked), asked)]

    question = ask.question()
    questions = serving_questions(question, ask.asked)
    case = ask.case(ways)
    models = [build_model(q, load_prior()) for q in case.questions]
    found = frontier_points(models, points)
    if not found:
        raise refuse(case)
    return Frontier(question.spec.id, question.device.id, question.workload.context,
                    "nats" if question.profile is None else question.profile.unit, GAP, found,
                    phase_map(questions[0]) if mapped else None)
