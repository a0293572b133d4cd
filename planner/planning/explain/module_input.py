"""``planner.explain``: why a plan is what it is, or where a module's time goes.

Without ``module`` the choice of a plan is explained (:mod:`planner.planning.explain.choice`); with
it, the time of one module under each scheme, and where their order changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.base.errors import InputError, UnsupportedError
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.schemes import scheme_ids
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import parse_engine
from planner.messages.message import Note, message
from planner.models.spec import ModelSpec
from planner.planning.answer.engine_notes import kernel_assumptions
from planner.planning.engines.rules import kind_group
from planner.planning.explain.module_time import SHOWN, ModuleExplanation, module_split, named_units
from planner.planning.explain.records import ChoiceExplanation, PoolsExplanation
from planner.planning.explain.switching_points import SOLVES
from planner.planning.plan.notes import written
from planner.planning.plan.record import Plan
from planner.planning.question.declaring import parameters
from planner.planning.question.engine_choice import AUTO_ENGINE
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.given_values import GivenValues
from planner.planning.question.input import QuestionInput
from planner.planning.question.parameters import LIMITS_ON_TIME, RuleParameters
from planner.planning.question.pool_flags import PoolFlags
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question
from planner.planning.space.candidates import possible_layouts
from planner.planning.space.model import build_model
from planner.planning.space.tables import layout_tables
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE
from planner.throughput.kernels import kept_for_their_engine, legal_schemes

if TYPE_CHECKING:
    pass

DEFAULT_BATCH = 64
OF_A_PLAN = (
    "devices",
    "pp",
    "concurrency",
    "slots",
    *LIMITS_ON_TIME,
    "max_loss",
    "memory_bytes",
    "file_bytes",
    "untie",
    "objective",
    "drop_policies",
    "exact",
    *parameters(RuleParameters),
)


def explain_module(
    inputs: QuestionInput, module: str, solves: int, flags: PoolFlags | None = None
) -> ModuleExplanation:
    """The time of one module under each scheme, and where their order changes.

    Raises:
        InputError: arguments that belong to a plan, or questions to solve.
    """
    _refuse_solves(solves, "a module")
    if flags not in (None, PoolFlags()):
        raise InputError(
            "pools belong to a plan, and module asks about one layer",
            hint="leave one of the two out",
        )
    return _module(inputs, module)


def explain_plan(
    inputs: QuestionInput, solves: int, flags: PoolFlags | None = None
) -> ChoiceExplanation | PoolsExplanation:
    """Why the plan of a question is what it is, in the mode that ``planner.plan`` answers; at most
    ``solves`` further questions are solved.

    Raises:
        InputError: arguments that exclude each other.
    """
    if inputs.scheme is not None:
        raise InputError(
            "scheme is explained for a module", hint="name the module as well, or leave scheme out"
        )
    flags = flags or PoolFlags()
    if inputs.plan is not None and flags != PoolFlags():
        raise InputError("a plan has its own pools", hint="leave the flags of pools out")
    if inputs.plan is not None and inputs.plan.deployment is not None:
        return _pools(inputs, inputs.plan, solves)
    from planner.planning.explain.choice import explain_choice

    found = explain_choice(inputs, solves=solves, flags=flags)
    return found if isinstance(found, ChoiceExplanation) else _pools(inputs, found, solves)


def _pools(inputs: QuestionInput, plan: Plan, solves: int) -> PoolsExplanation:
    """A plan in pools explained."""
    from planner.planning.explain.pools_of_plan import explain_pools

    _refuse_solves(solves, "a plan in pools")
    return explain_pools(inputs, plan)


def _refuse_solves(solves: int, explained: str) -> None:
    """Refuse questions to solve where none are."""
    if solves != SOLVES:
        raise InputError(
            f"solves = {solves}: what would change {explained} is not looked for",
            hint="leave it out",
        )


def _module(inputs: QuestionInput, module: str) -> ModuleExplanation:
    """The time of one module, which no parameter of a whole plan may be given beside."""
    given_values = inputs.given_values
    named = [name for name in OF_A_PLAN if getattr(given_values, name) not in (None, False)]
    named += [
        name
        for name in ("plan", "scenario", "profile", "imatrix")
        if getattr(inputs, name) is not None
    ]
    if named:
        raise InputError(
            f"{named[0]} belongs to a plan, and module asks about one layer",
            hint="leave one of the two out",
        )
    if inputs.model is None or inputs.device is None:
        raise InputError("a module is one of a MODEL on a DEVICE", hint="name both")
    return _module_times(
        load_model(inputs.model),
        load_device(inputs.device, hardware_dir=inputs.hardware_dir),
        module,
        inputs.scheme,
        given_values,
        ANY_ENGINE if inputs.engine == AUTO_ENGINE else inputs.engine,
    )


def _module_times(
    spec: ModelSpec,
    target: DeviceProfile,
    module: str,
    scheme: str | None,
    given_values: GivenValues,
    engine: str,
) -> ModuleExplanation:
    """The time of one module under each scheme."""
    tp, dp, ep, batch = (
        given_values.tp or 1,
        given_values.dp or 1,
        given_values.ep or 1,
        given_values.batch,
    )
    given_values = GivenValues(
        devices=tp * dp,
        tp=tp,
        dp=dp,
        pp=1,
        ep=ep,
        context=given_values.context,
        isl=given_values.isl,
        osl=given_values.osl,
        kv=given_values.kv,
        workload=given_values.workload,
        prefix_hit_rate=given_values.prefix_hit_rate,
        slots=given_values.slots,
        schemes=_named(target, scheme, given_values.schemes, engine),
    )
    question = build_question(
        spec,
        target,
        given_values,
        None,
        uniform=None,
        given=None,
        engine=parse_engine(engine) if engine != ANY_ENGINE else None,
    )
    layouts = possible_layouts(question)
    if not layouts:
        raise UnsupportedError(
            f"{spec.id}: tp{tp} dp{dp} ep{ep} does not divide it",
            hint="choose another --tp, --dp or --ep",
        )
    size = batch if batch is not None else DEFAULT_BATCH * dp
    if size < 1 or size % dp:
        raise InputError(
            f"batch {size} over {dp} attention ranks", hint="batch is a multiple of --dp"
        )
    focus = _focus(scheme, question)
    built = build_model(question, load_prior())
    tables = layout_tables(built, layouts[:1])
    reference = "bf16" if "bf16" in question.schemes else question.schemes[0]
    module_splits = tuple(
        module_split(built, tables, unit, batch=size, reference=reference, focus=focus)
        for unit in named_units(built, module)
    )
    return ModuleExplanation(
        model=spec.id,
        device=target.id,
        module=module,
        batch=size,
        isl=question.workload.isl,
        osl=question.workload.osl,
        tp=tp,
        dp=dp,
        ep=ep,
        reference=reference,
        tokens=tuple(int(m) for m in SHOWN),
        modules=module_splits,
        refused=question.refused,
        assumptions=written(
            _assumptions(question, batch, size, tp, dp, ep, [split.kind for split in module_splits])
        ),
    )


def _named(
    target: DeviceProfile, scheme: str | None, schemes: Sequence[str] | None, engine: str
) -> tuple[str, ...] | None:
    """The schemes to price: those named, the one to explain, and bf16 beside a single one; a type
    that plans take for its engine alone stands beside the others where it is the one."""
    if schemes is None:
        legal, _ = legal_schemes(target, scheme_ids())
        apart = kept_for_their_engine(engine.partition("@")[0], legal)
        if scheme is None or scheme in KV_LAYOUTS or scheme_by_id(scheme).id not in apart:
            return None
        return (*(name for name in legal if name not in apart), scheme_by_id(scheme).id)
    extra = [scheme] if scheme is not None and scheme not in KV_LAYOUTS else []
    names = [*schemes, *extra]
    return tuple(dict.fromkeys(names if len(set(names)) > 1 else ["bf16", *names]))


def _focus(scheme: str | None, question: Question) -> str | None:
    """The id of the scheme or cache layout to explain.

    Raises:
        UnsupportedError: the device cannot run it.
    """
    if scheme is None:
        return None
    if scheme in KV_LAYOUTS and scheme not in scheme_ids():
        return scheme
    name = scheme_by_id(scheme).id
    why = dict(question.refused).get(name)
    if why:
        raise UnsupportedError(
            f"scheme {name!r} on {question.device.id}: {why}",
            hint=message("refusals.legal_here", x=", ".join(question.schemes)),
        )
    return name


def _assumptions(
    question: Question,
    batch: int | None,
    size: int,
    tp: int,
    dp: int,
    ep: int,
    kinds: Sequence[str],
) -> tuple[Note, ...]:
    out = [note for note in question.notes if note[0] != "max-loss default"]
    if batch is None:
        out.append(Note("batch", str(size), message("serving.batch_not_given")))
    if question.workload.assumed:
        out.append(Note("workload", question.workload.assumed, message("assumptions.not_given")))
    out.append(
        Note(
            "layout",
            message("serving.layout_of_layer", tp=tp, dp=dp, ep=ep),
            message("serving.one_layer_alone"),
        )
    )
    if question.engine == ANY_ENGINE:
        out.append(
            Note(
                "kernels",
                message("assumptions.first_measured_stack"),
                message("assumptions.tensorrt_llm_vllm_sglang_in"),
            )
        )
    engine = engine_of(question)
    if engine is not None:
        out += kernel_assumptions(
            engine,
            question.device,
            [
                (group, name)
                for group in dict.fromkeys(kind_group(kind) for kind in kinds)
                for name in question.schemes
            ],
            question.container,
        )
    if question.spec.experts:
        out.append(
            Note(
                "tokens",
                message("serving.tokens_of_one_rank"),
                message("serving.experts_see_all_ranks"),
            )
        )
    return tuple(out)
