"""Whether an answer is what somebody would deploy, by criteria that are written down.

Each criterion says in words what fails it, or nothing. What is published is judged by all of the
table, whatever the planner was given of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import planner
from evaluation.judges import trtllm_table
from evaluation.practice.removal import base_model, makers_words
from planner.base.errors import PlannerError
from planner.base.records import cached_record
from planner.export.readme import flags
from planner.export.serve_line import ServeLine, WeightsOfPlan, serving_command, weights_of
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.models.catalog import bundled_model
from planner.models.spec import ModelSpec
from planner.placement.deployment_kinds import layout_class
from planner.placement.layout import Layout
from planner.planning.engines.defaults import engine_default
from planner.planning.engines.model_classes import served_class
from planner.planning.plan.record import Plan
from planner.planning.practice.recipes import KINDS, Recipe
from planner.planning.price.evidence import served_residuals
from planner.planning.price.kinds import model_class
from planner.throughput.calibration import ANY_ENGINE

UNCHECKED = "not checked: "
"""How a criterion begins that nothing could be looked up for; it does not fail."""
TRTLLM = "trtllm-serve"
LINEAR_OUTSIDE = ("embedding", "norm", "router", "head", "indexer")


@cached_record
class Answer:
    """A plan, and all ``rows`` of published practice to judge it by."""

    plan: Plan
    rows: tuple[Recipe, ...]

    @cached_property
    def spec(self) -> ModelSpec:
        return bundled_model(self.plan.model.id)

    @cached_property
    def device(self) -> DeviceProfile:
        return planner.load_device(self.plan.device.id)

    @cached_property
    def engine(self) -> Engine:
        name, version = self.plan.engine.name, self.plan.engine.version
        return parse_engine(f"{name}@{version}" if version else name)

    @property
    def served(self) -> bool:
        """Whether it is for an engine at all."""
        return self.plan.engine.name != ANY_ENGINE

    @cached_property
    def of_model(self) -> tuple[Recipe, ...]:
        """Recipes of the model in whatever release, on any device, the strongest source first."""
        mine = base_model(self.plan.model.id)
        own = [row for row in self.rows if base_model(row.model) == mine]
        return tuple(sorted(own, key=lambda row: KINDS.index(row.kind)))

    @cached_property
    def here(self) -> tuple[Recipe, ...]:
        """Those of the model on the device, or on whatever its maker sells."""
        names = (self.plan.device.id, *makers_words(self.plan.device.id))
        return tuple(row for row in self.of_model if row.device in names)

    @cached_property
    def layout(self) -> Layout:
        lay = self.plan.layout
        return Layout(lay.tp, lay.dp, lay.pp, lay.ep)

    @property
    def pools(self) -> bool:
        """Whether two pools serve it."""
        info = self.plan.deployment
        return info is not None and info.mode == "disaggregated"

    @cached_property
    def domain(self) -> int:
        """Devices that reach each other without a network."""
        return max(self.device.devices_per_node, self.device.scale_up_devices)

    @cached_property
    def command(self) -> ServeLine:
        return serving_command(self.plan)

    @cached_property
    def weights(self) -> WeightsOfPlan:
        return weights_of(self.plan, self.engine, self.device, self.spec)

    @property
    def caches(self) -> tuple[str, ...]:
        """Layouts of the plan's caches."""
        return tuple(dict.fromkeys(u.kv_layout for u in self.plan.units if u.kv_layout))

    @property
    def schemes(self) -> tuple[str, ...]:
        """Schemes of the linears, in order."""
        return tuple(
            dict.fromkeys(
                u.scheme
                for u in self.plan.units
                if u.kv_layout is None and u.kind not in LINEAR_OUTSIDE
            )
        )


def engine_fails(answer: Answer) -> str:
    """Nobody published the model with the engine on the device or on what its maker sells, nor
    measured its class with it there."""
    name = answer.engine.name
    if any(row.engine == name for row in answer.here):
        return ""
    kind = model_class(answer.spec)
    device = answer.device.id
    rows = (r.kind for r in served_residuals())
    if any(k.engine == name and k.device == device and k.model == kind for k in rows):
        return ""
    published = sorted({row.engine for row in answer.here})
    return f"{name} on {device}: {kind} not measured; published: {', '.join(published) or 'none'}"


def layout_fails(answer: Answer) -> str:
    """Nobody published the class of layout for the model, nor for its class on the device."""
    mine = layout_class(answer.layout, pools=answer.pools)
    kind, device = model_class(answer.spec), answer.device.id
    near = [
        row
        for row in answer.rows
        if row.device == device and model_class(bundled_model(row.model)) == kind
    ]
    published = {class_of(row) for row in (*answer.of_model, *near)}
    return "" if mine in published else f"{mine}; published: {', '.join(sorted(published))}"


def class_of(row: Recipe) -> str:
    """The class of a recipe's layout; of copies that of each."""
    return layout_class(Layout(row.tp, row.dp, row.pp, row.ep), pools=bool(row.prefill))


def weights_fail(answer: Answer) -> str:
    """Weights must be made, or the engine makes them of more than FP8 of a dense model."""
    told = answer.plan.recommendation
    made = answer.weights.made
    if (told is not None and told.needs_new_weights) or made == "new":
        return f"new weights: {', '.join(answer.schemes)}"
    if made != "loading":
        return ""
    schemes = [name for name in answer.schemes if name not in ("bf16", "fp16")]
    dense = answer.spec.experts is None
    if dense and all(name.startswith("fp8") for name in schemes):
        return ""
    what = "dense" if dense else "experts"
    return f"made while loading, {what}: {', '.join(schemes)} ({' '.join(answer.weights.flags)})"


def cache_fails(answer: Answer) -> str:
    """A cache is neither the engine's default nor one that recipes have, and none was served so on
    the architecture and engine."""
    known = {
        default_cache(answer, (answer.spec.quantization,)),
        default_cache(answer, answer.schemes),
        *(row.kv for row in answer.here if row.kv),
        *(
            r.kind.cache
            for r in served_residuals()
            if r.kind.engine == answer.engine.name
            and r.kind.architecture == answer.device.architecture
        ),
    }
    if "fp8" in known:  # what engines make of that word for a cache of latents
        known |= {name for name in answer.caches if name.startswith("fp8")}
    strange = [name for name in answer.caches if name not in known]
    return f"{', '.join(strange)}; known: {', '.join(sorted(known))}" if strange else ""


def default_cache(answer: Answer, released: Sequence[str]) -> str:
    """The cache that the engine takes without a flag; plain where no source says."""
    default = engine_default(answer.engine.name, answer.device, answer.spec, released)
    return "bf16" if default is None else default.kv


def class_fails(answer: Answer) -> str:
    """No source says that the engine's version has a class for the model."""
    name = answer.spec.architecture
    known = served_class(answer.engine, name)
    if known is None or known.served:
        return ""
    state = "unknown" if known.served is None else "absent"
    return f"{name} {state} in {answer.engine.label}; first seen: {known.first or 'never'}"


def export_fails(answer: Answer) -> str:
    """``planner.export_plan`` raises an error."""
    try:
        planner.export_plan(answer.plan, answer.engine.name)
    except PlannerError as error:
        return str(error)
    except Exception as error:  # a fault of the planner is what this looks for
        return f"{type(error).__name__}: {error}"
    return ""


def command_fails(answer: Answer) -> str:
    """The printed command is none, or has a flag that the tables of the engine's flags do not."""
    line = answer.command
    if not line.words:
        return f"no command: {'; '.join(line.notes)}"
    known = set(flags(line.engine))
    if line.engine == "tensorrt-llm":
        known &= set(trtllm_table.table()["serve"])
    if not known:
        return f"{UNCHECKED}no table of the flags of {line.engine}"
    commands = [line.words, *(node.words for node in line.nodes)]
    used = dict.fromkeys(flag for words in commands for flag in flags_of(words))
    unknown = [flag for flag in used if flag not in known]
    return f"unknown: {' '.join(unknown)}" if unknown else ""


def flags_of(words: Sequence[str]) -> list[str]:
    """The flags of a command: what begins with a dash, but not a number, and none of the program
    that starts the server (``python -m``, ``mpirun``)."""
    start = words.index("-m") + 2 if "python" in words and "-m" in words else 0
    start = words.index(TRTLLM) if TRTLLM in words else start
    return [
        word.partition("=")[0]
        for word in words[start:]
        if word.startswith("-") and not word.lstrip("-")[:1].isdigit()
    ]


def shape_fails(answer: Answer) -> str:
    """Stages of a pipeline inside one domain, or two pools that nobody published for the model."""
    layout = answer.layout
    if layout.pp > 1 and layout.ranks // layout.pp < answer.domain:
        stage = layout.ranks // layout.pp
        return f"pp {layout.pp} of {stage} devices in a domain of {answer.domain}"
    if answer.pools and not any(row.prefill for row in answer.of_model):
        return "two pools, published for no release of the model"
    return ""


CRITERIA: dict[str, Callable[[Answer], str]] = {
    "1 engine": engine_fails,
    "2 layout": layout_fails,
    "3 weights": weights_fail,
    "4 cache": cache_fails,
    "5 class": class_fails,
    "6 export": export_fails,
    "7 command": command_fails,
    "8 shape": shape_fails,
}


def judged(answer: Answer) -> dict[str, str]:
    """What every criterion that does not pass says, by name; those that were not checked too."""
    if not answer.served:
        return {next(iter(CRITERIA)): "the plan is for no engine"}
    return {name: words for name, fails in CRITERIA.items() if (words := fails(answer))}


def is_failure(words: str) -> bool:
    """Whether the words of a criterion fail an answer."""
    return not words.startswith(UNCHECKED)
