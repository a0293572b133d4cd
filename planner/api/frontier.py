"""``planner.frontier``: loss against throughput against memory, and the map of regimes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from planner.api.ask import ANY, AUTO, Ask, serving_questions
from planner.errors import InputError
from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.planning.infeasible.diagnose import refuse
from planner.planning.search.requery import GAP
from planner.planning.space.model import build_model
from planner.planning.whatif.frontier import FrontierPoint, frontier_points
from planner.planning.whatif.regimes import PhaseMap, phase_map
from planner.quality.prior import load_prior
from planner.quality.profile import Profile
from planner.shown import as_text
from planner.typed import typed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Frontier:
    """The points in order of loss; ``map`` where it was asked for. ``gap`` is the relative
    distance to which each question was answered."""

    model: str
    device: str
    context: int
    loss_unit: str
    gap: float
    points: tuple[FrontierPoint, ...]
    map: PhaseMap | None

    @property
    def knee(self) -> FrontierPoint | None:
        """The point at the knee, None where the frontier has none."""
        return next((p for p in self.points if p.knee), None)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Loss against throughput, memory as colour, the knee named."""
        from planner.report.drawing.frontier import draw_points

        return draw_points(self, ax)

    def plot_frontier(self, ax: Axes | None = None) -> Axes:
        """The same as :meth:`plot`, under the name that other results have."""
        return self.plot(ax)

    def plot_map(self, ax: Axes | None = None) -> Axes:
        """What a decode step is spent on by context and batch, and the number of the best plan.

        Raises:
            InputError: the frontier was made without ``map=True``.
        """
        if self.map is None:
            raise InputError("this frontier has no map", hint="ask for it with map=True")
        from planner.plot.axes import axes_for
        from planner.report.drawing.frontier import draw_map

        found = self.map
        size = (1.4 + 0.85 * len(found.batches), 1.3 + 0.5 * len(found.contexts))
        return draw_map(self, axes_for(ax, size=size))

    def to_frame(self) -> pd.DataFrame:
        """One row a point; units of measure are in the column names."""
        import pandas as pd

        frame = pd.DataFrame([asdict(point) for point in self.points])
        for name, column in zip(("tp", "dp", "pp", "ep"), zip(*frame.pop("layout"), strict=True),
                                strict=True):
            frame[name] = column
        frame["schemes"] = [", ".join(f"{n} {v:.0%}" for n, v in p.schemes) for p in self.points]
        return frame

    __str__ = as_text

    def _repr_html_(self) -> str:
        shown = self.to_frame()[["loss", "output_tokens_per_second_per_device",
                                 "total_bytes_per_device", "tpot_seconds", "batch", "dense",
                                 "experts", "kv"]]
        return str(shown.to_html(index=False, border=0, float_format=lambda v: f"{v:.4g}"))

    def to_dict(self) -> dict[str, Any]:
        """The frontier as JSON values."""
        data = asdict(self)
        for point in data["points"]:
            point["layout"] = dict(zip(("tp", "dp", "pp", "ep"), point["layout"], strict=True))
            point["schemes"] = [{"scheme": n, "share": v} for n, v in point["schemes"]]
        for cell in (data["map"] or {"cells": ()})["cells"]:
            cell["layout"] = dict(zip(("tp", "dp", "pp", "ep"), cell["layout"], strict=True))
        return data


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
    question = ask.question()
    questions = serving_questions(question, ask.asked)
    free = [replace(q, objective="throughput", loss_scheme=None, loss_limit=None)
            for q in questions]
    models = [build_model(q, load_prior()) for q in free]
    found = frontier_points(models, points)
    if not found:
        raise refuse(models[0])
    return Frontier(question.spec.id, question.device.id, question.workload.context,
                    "relative" if question.profile is None else "nats", GAP, found,
                    phase_map(questions[0]) if mapped else None)
