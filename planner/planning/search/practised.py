"""The rivals that practice names: published deployments of the model on the device, and the layout,
format and cache that are conventional where nobody published one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from planner.base.records import record
from planner.formats.schemes import SCHEMES
from planner.placement.layout import Layout, layout_problem
from planner.planning.engines.defaults import engine_default
from planner.planning.engines.gguf_files import published_file
from planner.planning.plan import names
from planner.planning.practice.recipes import KINDS, Recipe
from planner.planning.price.kinds import model_class
from planner.planning.price.ledger import published_formats, published_layouts
from planner.planning.price.plan_kinds import recipes_here
from planner.planning.question.named import RELEASED, usable_mixes
from planner.planning.question.question import RATES, Question
from planner.planning.search.releases import releases_of
from planner.planning.search.rivals import Rival, as_result, rival_of, stored_schemes, uniform_name
from planner.planning.search.spaces import grid_space
from planner.planning.search.uniform import (
    Columns,
    PlacedUniform,
    UniformDraft,
    UniformQuery,
    coarse_draft,
    refined_drafts,
    uniform_choice,
    uniform_loss,
)
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

MOST = 4
"""Published deployments that are priced."""
PLAIN = ("bf16", "fp16", "fp32")
FP8 = ("fp8-block", "fp8-block-ue8m0", "fp8-channel", "fp8-tensor", "fp8-w8a16")
"""What a guide means by FP8 weights, the kinds that releases have most first."""


@record
class Practised:
    """How a model is served: the ``layout`` of a replica, one ``scheme`` of the linears (or as
    released) and one cache layout; ``recipe`` is who published it, None for convention."""

    layout: Layout
    scheme: str
    kv: str
    recipe: Recipe | None = None


def practised_rivals(
    spaces: Sequence[Space], elsewhere: Sequence[Question], allowed: float | None
) -> tuple[Rival, ...]:
    """What practice names, each placed within the limits: for the engine of ``spaces`` published
    deployments and conventional layouts, for engines ``elsewhere`` the first of them that fits.
    ``allowed`` is what losses may sum to."""
    models = [space.model for space in spaces]
    drafts = _Drafts()
    wanted = [(one, drafts.on(spaces, one, allowed), False) for one in published(models)]
    if not any(found for _, found, _ in wanted) and models[0].question.loss_default:
        # The floor is a preference, and what is published goes before it.
        wanted = [(one, drafts.on(spaces, one, None), False) for one in published(models)]
    wanted += [(one, drafts.on(spaces, one, allowed), False) for one in conventions(models)]
    for engine in dict.fromkeys(q.engine for q in elsewhere):
        ways = [build_model(q, load_prior()) for q in elsewhere if q.engine == engine]
        for one in (*published(ways), *usual_downloads(ways), *conventions(ways)):
            found = drafts.anew(ways, one, allowed)
            if found:
                wanted.append((one, found, True))
                break
    placed = iter(refined_drafts([draft for _, found, _ in wanted for draft in found]))
    return tuple(
        _rival(one, _best([next(placed) for _ in found]), away)
        for one, found, away in wanted
        if found
    )


class _Drafts:
    """Assignments on the grids of their spaces, not yet refined. What kernels take on the
    candidates of a space, and the spaces that are built, are kept for those that follow."""

    def __init__(self) -> None:
        # By identity, with what is meant: it lives as long as its number stands here.
        self._columns: dict[int, tuple[Space, Columns]] = {}
        self._built: dict[tuple[int, Layout], tuple[Question, Space | None]] = {}

    def on(
        self, spaces: Iterable[Space], practised: Practised, allowed: float | None
    ) -> list[tuple[Space, UniformDraft]]:
        """In each of ``spaces`` that has it within the limits the assignment on its layout, beside
        the space that is refined."""
        drafts = (self._draft(space, practised, allowed) for space in spaces)
        return [draft for draft in drafts if draft is not None]

    def anew(
        self, models: Iterable[CostModel], practised: Practised, allowed: float | None
    ) -> list[tuple[Space, UniformDraft]]:
        """The same of ways to serve that were not searched, on its layout alone."""
        able = (
            model
            for model in models
            if practised.kv in model.question.kv
            and uniform_choice(model, practised.scheme, practised.kv) is not None
        )
        built = (self._on_layout(model.question, practised.layout) for model in able)
        return self.on((space for space in built if space is not None), practised, allowed)

    def _draft(
        self, space: Space, practised: Practised, allowed: float | None
    ) -> tuple[Space, UniformDraft] | None:
        if practised.kv not in space.model.question.kv:
            return None
        choice = uniform_choice(space.model, practised.scheme, practised.kv)
        if choice is None:
            return None
        if (
            allowed is not None
            and uniform_loss(space.model, choice) > allowed * (1 + TOLERANCE) + 1e-12
        ):
            return None
        if practised.layout not in space.tables.layouts:
            built = self._on_layout(space.model.question, practised.layout)
            if built is None:
                return None
            space = built
        at = space.tables.layouts.index(practised.layout)
        mine = np.flatnonzero(space.pts.layout == at)
        if not len(mine):
            return None
        wanted = UniformQuery(practised.scheme, practised.kv, limits=True)
        columns = self._columns.setdefault(id(space), (space, {}))[1]
        draft = coarse_draft(space.take(mine), wanted, choice, columns)
        return None if draft.space is None else (space, draft)

    def _on_layout(self, question: Question, layout: Layout) -> Space | None:
        key = id(question), layout
        if key not in self._built:
            self._built[key] = question, on_layout(question, layout)
        return self._built[key][1]


def _best(placed: Sequence[PlacedUniform | None]) -> PlacedUniform:
    return min((one for one in placed if one is not None), key=lambda p: p.score)


def _rival(practised: Practised, placed: PlacedUniform, away: bool = False) -> Rival:
    """``away``: on another engine than the others."""
    recipe, question = practised.recipe, placed.space.model.question
    kind = "conventional" if recipe is None else "recipe"
    name = names.PUBLISHED if recipe is not None else uniform_name(placed)
    name = names.on_engine(name, question.engine) if away else name
    return replace(rival_of(name, kind, as_result(placed)), recipe=recipe)


def published(models: Sequence[CostModel]) -> list[Practised]:
    """Published deployments as the question takes them, the strongest source first."""
    question = models[0].question
    mine = [r for r in recipes_here(question) if r.engine == question.engine]
    mine.sort(key=lambda r: order_of_sources(r, question))
    out: dict[tuple[Layout, str, str], Practised] = {}
    for recipe in mine:
        layout = layout_here(recipe, question)
        scheme = scheme_here(recipe, models)
        kv = cache_here(recipe.kv, models)
        if layout is not None and scheme and kv:
            out.setdefault((layout, scheme, kv), Practised(layout, scheme, kv, recipe))
    return list(out.values())[:MOST]


def order_of_sources(recipe: Recipe, question: Question) -> tuple[bool, int, bool, bool]:
    """Less goes first: what is for the very device, then the strongest kind of source, then what is
    for as many devices and for the objective."""
    return (
        recipe.device != question.device.id,
        KINDS.index(recipe.kind),
        recipe.devices not in question.sizes,
        ("latency" in recipe.purpose) == (question.objective in RATES),
    )


def conventions(models: Sequence[CostModel]) -> Iterator[Practised]:
    """The released checkpoint, and the format that is published most for the class of model on the
    device, with the engine's default cache on the layouts that are published for the class, the
    commonest first."""
    question = models[0].question
    kv = cache_here("", models)
    device, spec = question.device, question.spec
    of_class = model_class(spec)
    known = published_layouts(
        question.engine,
        device.id,
        device.architecture,
        of_class,
        throughput=question.objective in RATES,
    )
    names = [name for name, _ in known if name != "pools"] or ["tp"]
    schemes = [RELEASED, *_formats_here(models, of_class)]
    for name in dict.fromkeys((*names[:2], "tp")):
        for layout in _layouts_of(name, question):
            for scheme in schemes if kv else ():
                yield Practised(layout, scheme, kv)


def usual_downloads(models: Sequence[CostModel]) -> Iterator[Practised]:
    """The files that are published for an engine of mixtures, on one device: where the floor
    cannot be kept the least lossy first, else the smallest that an engine may take."""
    question = models[0].question
    kv = cache_here("", models)
    if kv and 1 in question.sizes:
        for mix in _files_here(models, kv):
            yield Practised(Layout(), mix, kv)


def _files_here(models: Sequence[CostModel], kv: str) -> list[str]:
    """The mixtures that files of the model are published in, in the order of their loss: ascending
    where the floor cannot be kept, else descending."""
    spec = models[0].question.spec
    losses: dict[str, float] = {}
    for model in models:
        for mix in usable_mixes(model.question):
            choice = uniform_choice(model, mix, kv)
            if choice is not None and published_file(spec.id, mix) is not None:
                losses.setdefault(mix, uniform_loss(model, choice))
    dropped = models[0].question.floor_dropped
    return sorted(losses, key=lambda mix: losses[mix] if dropped else -losses[mix])


def _formats_here(models: Sequence[CostModel], of_class: str) -> list[str]:
    """The schemes of FP8, where the given checkpoint is plain and FP8, however it is scaled, is
    published most for the class of model on the device."""
    device, stored = models[0].question.device, stored_schemes(models[0])
    recipes: Counter[str] = Counter()
    for word, number in published_formats(device.id, device.architecture, of_class):
        recipes["fp8" if word.startswith("fp8") else word] += number
    others = max((n for word, n in recipes.items() if word != "fp8"), default=0)
    if not set(stored) <= set(PLAIN) or recipes["fp8"] <= others:
        return []
    able = {name for model in models for name in model.question.schemes}
    return [name for name in FP8 if name in able]


def layout_here(recipe: Recipe, question: Question) -> Layout | None:
    """The layout of a published deployment on the devices of the question: as it stands where they
    are as many or several times as many, else of its class over all of them."""
    if recipe.layout == "pools" or (recipe.pp > 1 and recipe.device != question.device.id):
        return None  # stages are for the links of the very device
    own = Layout(recipe.tp, recipe.dp, recipe.pp, recipe.ep)
    if not question.devices_given:
        return _legal(question, own) if own.ranks in question.sizes else None
    devices = max(question.sizes)
    if devices % own.ranks == 0:
        return _legal(question, own)
    name = recipe.layout if recipe.layout != "replicas" else "tp"
    return next(_layouts_of(name, question), None)


def _layouts_of(name: str, question: Question) -> Iterator[Layout]:
    """Layouts of a class over the devices: the widest that is legal, replicas of it else."""
    domain = max(question.node_devices, int(question.net.domain))
    for devices in sorted({max(question.sizes)} if question.devices_given else question.sizes):
        width = min(devices, domain)
        while width > 1 and (devices % width or _of_class(name, width, question) is None):
            width -= 1
        layout = _of_class(name, width, question)
        if layout is not None:
            yield layout


def _of_class(name: str, width: int, question: Question) -> Layout | None:
    """A layout of ``width`` ranks; None where the model or the question cannot have it."""
    layout = {
        "tp+ep": Layout(tp=width, ep=width),
        "attention dp": Layout(dp=width, ep=width),
    }.get(name, Layout(tp=width))
    return _legal(question, layout)


def _legal(question: Question, layout: Layout) -> Layout | None:
    fixed = all(
        value is None or value == getattr(layout, name) for name, value in question.fixed.items()
    )
    return layout if fixed and not layout_problem(question.spec, layout) else None


def scheme_here(recipe: Recipe, models: Sequence[CostModel]) -> str:
    """The scheme of the linears that a published deployment has, as released where that is what the
    given checkpoint has; empty where no way to serve has it."""
    own = [
        name
        for model in models
        for name, row in releases_of(model).items()
        if row.repository.lower() == recipe.checkpoint.lower()
    ]
    if own:
        return own[0]
    stored = set(stored_schemes(models[0]))
    quantised = stored - set(PLAIN) or stored
    wanted = recipe.weights
    if not wanted or {wanted} == quantised or (wanted == "fp8" and quantised <= set(FP8)):
        return RELEASED
    able = {name for model in models for name in model.question.schemes}
    names = FP8 if wanted.startswith("fp8") else (wanted,)
    first = (wanted, *names) if wanted in SCHEMES else names
    alike = [
        name
        for model in models
        for name, row in releases_of(model).items()
        if wanted in (row.experts, row.dense)
    ]
    return next(iter(alike), "") or next((name for name in first if name in able), "")


def cache_here(kv: str, models: Sequence[CostModel]) -> str:
    """A cache layout of the question for what a guide says; the engine's default where it says
    nothing, empty where the question has none of it."""
    question = models[0].question
    able = {name for model in models for name in model.question.kv}
    default = engine_default(
        question.engine, question.device, question.spec, (question.spec.quantization,)
    )
    plain = "bf16" if default is None else default.kv
    names = (plain, "bf16", "fp16") if kv in ("", "bf16") else (kv, plain)
    known = next((name for name in names if name in able), "")
    return known or (next(iter(able)) if len(able) == 1 else "")


def on_layout(question: Question, layout: Layout) -> Space | None:
    """The candidates of a question on one layout."""
    fixed: dict[str, int | None] = {
        "tp": layout.tp,
        "dp": layout.dp,
        "pp": layout.pp,
        "ep": layout.ep,
    }
    return grid_space(build_model(replace(question, fixed=fixed, conventional=False), load_prior()))
