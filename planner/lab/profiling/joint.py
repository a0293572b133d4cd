"""The whole model under one scheme at a time: is loss additive here, and how many tokens change?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from planner.jobs.journal import Journal
from planner.lab.probe.emulate import Quantizer
from planner.lab.probe.measure import Reference, plan_loss
from planner.lab.probe.model import ProbeModel
from planner.numerics.engines import Engine

CHECKED = ("fp8-block", "int8-w8a8", "int4-w4a16-g32", "nvfp4")
"""From nearly lossless to lossy, floats and integers: what a plan is mostly made of."""
_JOINT = "joint/"
Recipes = Callable[[str], Mapping[str, Quantizer]]


def joint_losses(
    model: ProbeModel,
    reference: Reference,
    schemes: Sequence[str],
    recipes: Recipes,
    journal: Journal,
    engine: Engine,
) -> dict[str, dict[str, float]]:
    """``{scheme: {"joint": nats, "flips": share}}`` of those ``CHECKED`` that are in ``schemes``.

    Args:
        recipes: of every unit under a scheme.
        journal: results found there are not measured again; new ones land in it.
    """
    out = {}
    for scheme in (name for name in CHECKED if name in schemes):
        id = _JOINT + scheme
        if id not in journal.done:
            loss = plan_loss(model, reference, recipes(scheme), engine=engine)
            journal.append({"id": id, "joint": max(loss.mean, 0.0), "flips": loss.flips or 0.0})
        out[scheme] = {key: float(journal.done[id][key]) for key in ("joint", "flips")}
    return out
