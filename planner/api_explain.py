"""``planner.explain``: where a module's time goes under each scheme, and where the order changes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from planner.api import load_device, load_model
from planner.errors import InputError, UnsupportedError
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.schemes import scheme_ids
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import parse_engine
from planner.models.spec import ModelSpec
from planner.planning.candidates import possible_layouts
from planner.planning.costs import build_model, layout_tables
from planner.planning.plan import Assumption
from planner.planning.question import Question
from planner.planning.resolve import Asked, build_question
from planner.planning.split import SHOWN, Explanation, module_split, named_units
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE

DEFAULT_BATCH = 64


def explain(model: str | ModelSpec, device: str | DeviceProfile, *, module: str,
            scheme: str | None = None, schemes: Sequence[str] | None = None,
            kv: str | None = None, tp: int = 1, dp: int = 1, ep: int = 1,
            context: int | None = None, isl: int | None = None, osl: int | None = None,
            batch: int | None = None, engine: str = ANY_ENGINE,
            hardware_dir: str | os.PathLike[str] | None = None) -> Explanation:
    """Times of ``module`` (a kind or a unit) under ``schemes`` (all legal ones by default).

    ``scheme`` is the one to explain against bf16. Memory is not checked: one layer is priced.

    ``engine``: whose measured kernels are meant (any: the first measured stack).

    Raises:
        UnknownNameError: no such module, scheme, model or device.
        UnsupportedError: the device cannot run a named scheme, or the layout does not divide.
    """
    names = _named(scheme, schemes)
    spec, target = load_model(model), load_device(device, hardware_dir=hardware_dir)
    asked = Asked(devices=tp * dp, tp=tp, dp=dp, pp=1, ep=ep, context=context, isl=isl, osl=osl,
                  kv=kv, schemes=names)
    question = build_question(spec, target, asked, None, uniform=None, given=None,
                              engine=parse_engine(engine) if engine != ANY_ENGINE else None)
    layouts = possible_layouts(question)
    if not layouts:
        raise UnsupportedError(f"{spec.id}: tp{tp} dp{dp} ep{ep} does not divide it",
                               hint="choose another --tp, --dp or --ep")
    size = batch if batch is not None else DEFAULT_BATCH * dp
    if size < 1 or size % dp:
        raise InputError(f"batch {size} over {dp} attention ranks",
                         hint="batch is a multiple of --dp")
    focus = _focus(scheme, question)
    built = build_model(question, load_prior())
    tables = layout_tables(built, layouts[:1])
    reference = "bf16" if "bf16" in question.schemes else question.schemes[0]
    found = tuple(module_split(built, tables, unit, batch=size, reference=reference,
                               focus=focus)
                  for unit in named_units(built, module))
    return Explanation(
        model=spec.id, device=target.id, module=module, batch=size, isl=question.workload.isl,
        osl=question.workload.osl, tp=tp, dp=dp, ep=ep, reference=reference,
        tokens=tuple(int(m) for m in SHOWN), modules=found,
        refused=question.refused, assumptions=_assumptions(question, batch, size, tp, dp, ep))


def _named(scheme: str | None, schemes: Sequence[str] | None) -> tuple[str, ...] | None:
    """The schemes to price: those named, the one to explain, and bf16 beside a single one."""
    if schemes is None:
        return None
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
        raise UnsupportedError(f"scheme {name!r} on {question.device.id}: {why}",
                               hint="legal here: " + ", ".join(question.schemes))
    return name


def _assumptions(question: Question, batch: int | None, size: int, tp: int, dp: int, ep: int,
                 ) -> tuple[Assumption, ...]:
    out = [Assumption(*note) for note in question.notes if note[0] != "max-loss default"]
    if batch is None:
        out.append(Assumption("batch", str(size), "not given; sequences decoded together"))
    if question.workload.assumed:
        out.append(Assumption("workload", question.workload.assumed, "not given"))
    out.append(Assumption("layout", f"tp{tp} dp{dp} ep{ep}", "one layer is priced by itself; "
                          "whether the model fits is not checked"))
    if question.engine == ANY_ENGINE:
        out.append(Assumption("kernels", "first measured stack", "TensorRT-LLM, vLLM, SGLang in "
                              "this order, as no engine is given"))
    if question.spec.experts:
        out.append(Assumption("tokens", "of one attention rank",
                              "experts see those of all dp ranks"))
    return tuple(out)


