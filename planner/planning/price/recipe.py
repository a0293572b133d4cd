"""An assignment from the schemes of a release: dense linears, experts, kinds that differ."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.base.errors import UnsupportedError
from planner.formats.kv import kv_layout
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.placement.modules import EXPERT_KINDS
from planner.planning.engines.rules import types_each_matrix
from planner.planning.price.step import Assignment
from planner.planning.question.given_values import GivenValues
from planner.planning.question.named import named_scheme
from planner.planning.question.resolve import build_question
from planner.planning.space.assignment import tied_segments
from planner.planning.space.candidates import possible_layouts
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.tables import layout_tables
from planner.quality.prior import Prior
from planner.throughput.calibration import ANY_ENGINE, stacks_of
from planner.throughput.collectives import fabric

_TABLES = ("embedding", "head")
"""Kinds that rules keep as released, unless a recipe has them as its dense linears."""


@dataclass(frozen=True, slots=True)
class SchemeSet:
    """Schemes of the dense linears and of the routed experts, and the layout of every cache.

    ``static_scales``: activation scales per tensor are part of the checkpoint. ``kinds``: module
    kinds with a scheme of their own, (kind, scheme), such as those that a release leaves in BF16.
    ``mixture``: an engine's own mixture, which gives every matrix its type in the place of all
    that.
    """

    dense: str
    experts: str
    kv: str
    static_scales: bool = False
    kinds: tuple[tuple[str, str], ...] = ()
    mixture: str = ""

    def of(self, kind: str) -> str:
        """The scheme of modules of ``kind``."""
        for name, own in self.kinds:
            if name == kind:
                return own
        return self.experts if kind in EXPERT_KINDS else self.dense


def recipe_assignment(
    spec: ModelSpec,
    device: DeviceProfile,
    layout: Layout,
    recipe: SchemeSet,
    prior: Prior,
    *,
    isl: int,
    osl: int,
    engine: str = ANY_ENGINE,
    version: str = "",
    one_sided: bool = False,
) -> Assignment:
    """``recipe`` on one replica of ``layout``, with the kernels of ``engine`` of ``version``;
    ``one_sided``: its experts' tokens are written straight to the ranks, where the engine would
    gather them.

    Raises:
        UnsupportedError: the device cannot execute a scheme, or the layout does not divide.
    """
    kinds = [name for _, name in recipe.kinds]
    schemes = [recipe.dense, recipe.experts, *kinds] if spec.experts else [recipe.dense, *kinds]
    question = build_question(
        spec,
        device,
        GivenValues(
            devices=layout.ranks,
            tp=layout.tp,
            dp=layout.dp,
            pp=layout.pp,
            ep=layout.ep,
            context=max(isl + osl, 2),
            isl=isl,
            osl=osl,
            kv=kv_layout(recipe.kv).id,
            schemes=None if recipe.mixture else tuple(dict.fromkeys(schemes)),
            drop_policies=tuple(
                kind for kind, own in recipe.kinds if kind in _TABLES and own == recipe.dense
            ),
        ),
        None,
        uniform=recipe.mixture or None,
        given=None,
        engine=parse_engine(engine) if recipe.mixture else None,
    )
    layouts = possible_layouts(question)
    if not layouts:
        raise UnsupportedError(
            f"{spec.id}: tp{layout.tp} dp{layout.dp} pp{layout.pp} "
            f"ep{layout.ep} does not divide it",
            hint="choose another layout",
        )
    net = fabric(device, stacks=stacks_of(engine))
    if one_sided:
        net = replace(net, gathers=False, one_sided=True)
    # An engine that is not modelled picks no kernels of its own.
    known = engine in engine_names()
    question = replace(
        question,
        net=net,
        engine=engine if known else ANY_ENGINE,
        engine_version=version if known else "",
    )
    if recipe.mixture:
        question = replace(question, apart=types_each_matrix(parse_engine(engine), device))
    model = build_model(question, prior, engine, static_scales=recipe.static_scales)
    return Assignment(
        model,
        layout_tables(model, layouts[:1]),
        0,
        tied_segments(model, _choices(model, recipe)),
    )


def _choices(model: CostModel, recipe: SchemeSet) -> tuple[int, ...]:
    out = []
    for unit in model.units:
        if unit.role == "released":
            out.append(-1)
        elif unit.role == "cache":
            out.append(len(model.question.schemes) + model.question.kv.index(recipe.kv))
        else:
            name = (
                named_scheme(model.question, model.planned[unit.row], unit, recipe.mixture) or ""
                if recipe.mixture
                else scheme_by_id(recipe.of(unit.kind)).id
            )
            if name not in model.question.schemes:
                raise UnsupportedError(
                    f"scheme {name!r} on {model.question.device.id}: it is not executed there",
                    hint="choose another scheme or device",
                )
            out.append(model.question.schemes.index(name))
    return tuple(out)
