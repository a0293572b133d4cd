"""When nothing is feasible: which limit binds, and the smallest single change that frees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from planner.errors import InfeasibleError, InputError
from planner.hardware.profile import DeviceProfile
from planner.placement.cache_entries import page_tokens
from planner.placement.layout import Layout, device_counts, shape_problem
from planner.planning.infeasible.conflicting_limits import contradiction
from planner.planning.infeasible.larger_devices import larger_devices, wider
from planner.planning.price.price import Priced, price
from planner.planning.question.question import Question
from planner.planning.search.best_first import search
from planner.planning.search.formulate import loss_limit
from planner.planning.space.candidates import possible_layouts
from planner.planning.space.layouts import considered
from planner.planning.space.least_memory import least_rank
from planner.planning.space.memory import budget
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE
from planner.units import format_bytes, format_seconds

BISECTIONS = 6
MORE_DEVICES = tuple(device_counts(64))


Devices = Callable[[], Sequence[DeviceProfile]]


def _none() -> Sequence[DeviceProfile]:
    return ()


def refuse(model: CostModel, devices: Devices = _none) -> Exception:
    """The error to raise for a question without a feasible plan; ``devices`` are others that could
    be named where nothing else helps."""
    layouts = possible_layouts(model.question)
    if not layouts:
        return no_layout(model.question)
    least, index = least_rank(model, layouts)
    if least is None:
        return no_slot(model.question, layouts)
    if least > budget(model.question):
        return _memory(model, layouts[index], least, devices)
    return _limits(model)


def no_layout(question: Question) -> Exception:
    """What keeps every layout from being a candidate: the last hurdle that any of them meets."""
    fixed = {k: v for k, v in question.fixed.items() if v is not None}
    hint = "leave a flag out to search it"
    reasons = [why for _, why in considered(question)]
    if reasons:
        hurdle = max(reasons, key=lambda why: _hurdle(question, why))
        if question.engine != ANY_ENGINE and hurdle.startswith(question.engine):
            hint += ", or name another engine, or --engine any"
        return InputError(f"layout {_words(fixed)}: {hurdle}", hint=hint)
    tp, dp, pp = (fixed.get(k) or 1 for k in ("tp", "dp", "pp"))
    ranks, most = tp * dp * pp, max(question.sizes)
    why = shape_problem(question.spec, tp, dp, pp)
    if not why:
        why = f"tp·dp·pp = {ranks} exceeds the {most} devices" if ranks > most \
            else f"tp·dp·pp = {ranks} does not divide {most} devices"
        hint += "" if question.devices_given else f"; --devices {ranks} gives as many"
    return InputError(f"layout {_words(fixed)}: {why}", hint=hint)


def _hurdle(question: Question, why: str) -> int:
    """How far a layout came: past its numbers, the links, the engine's rules."""
    if question.engine != ANY_ENGINE and why.startswith(question.engine):
        return 2
    return int(why.startswith(f"{question.device.id} has no link"))


def _words(fixed: Mapping[str, int | None]) -> str:
    return ", ".join(f"{k} {v}" for k, v in fixed.items()) or "search"


def no_slot(question: Question, layouts: list[Layout]) -> Exception:
    steps = sorted({la.dp * la.pp for la in layouts})
    return InputError(f"batch {question.batch} is not a multiple of dp·pp of any layout",
                      hint="dp·pp here: " + ", ".join(map(str, steps)))


def _memory(model: CostModel, layout: Layout, least: int, devices: Devices) -> InfeasibleError:
    question = model.question
    limit = budget(question)
    if least >= np.iinfo(np.int64).max:
        return InfeasibleError(
            f"no scheme among {', '.join(question.schemes)} is legal for every unit of "
            f"{question.spec.id} on {question.device.id}", hint="leave out --schemes")
    given = question.memory_bytes is not None and question.memory_bytes < question.usable_bytes
    enough = _relaxed_memory(question) if given else ""
    message = (f"{'memory-bytes' if given else 'memory'}: {question.spec.id} "
               f"at context {question.workload.context} needs at least "
               f"{format_bytes(least)} on each of {layout.ranks} × {question.device.id}, "
               f"{format_bytes(limit)} {'given' if given else 'usable'}")
    return InfeasibleError(message, hint=enough or _memory_hint(model)
                           or _missing(model, layout, least, limit, devices))


def _memory_hint(model: CostModel) -> str:
    """A change of the question that is enough: devices, context, layout; empty where none is."""
    question = model.question
    reach = question.net.reach()
    for count in MORE_DEVICES:
        if count <= max(question.sizes) or count > reach:
            continue
        if _fits(replace(question, sizes=(count,), devices_given=True), model):
            return f"{count} devices are the fewest that hold it"
    shorter = _longest_context(model)
    if shorter:
        return f"the longest context that fits is {shorter} tokens"
    fixed = {k: v for k, v in question.fixed.items() if v is not None}
    free = replace(question, fixed=dict.fromkeys(question.fixed))
    if fixed and _fits(free, model):
        return f"leave out {_words(fixed)}"
    return ""


def _missing(model: CostModel, layout: Layout, least: int, limit: int, devices: Devices) -> str:
    """How much is missing at the fewest bytes, and what would help: schemes that were not allowed,
    or other devices."""
    question = model.question
    named = question.engine != ANY_ENGINE
    of = f"that {question.engine} serves on" if named else "of"
    every = None if named else wider(question)
    if every is not None:
        layouts = possible_layouts(every)
        smaller, index = least_rank(build_model(every, model.prior), layouts)
        if smaller is not None and smaller <= budget(every):
            return "allow more formats: with all that the device offers (no --scheme, --schemes " \
                   f"and --kv) the least is {format_bytes(smaller)}"
        if smaller is not None:
            least, layout = smaller, layouts[index]
    other = "" if named else larger_devices(question, devices(), least * layout.ranks)
    help_ = f"it fits on {other}" if other else "use devices with more memory"
    return f"{format_bytes(least - limit)} a device are missing even with the smallest formats " \
           f"{of} {question.device.id}; {help_}"


def _fits(question: Question, model: CostModel) -> bool:
    layouts = possible_layouts(question)
    if not layouts:
        return False
    trial = replace(model, question=question)
    least, _ = least_rank(trial, layouts)
    return least is not None and least <= budget(question)


def _longest_context(model: CostModel) -> int:
    """The longest context whose smallest assignment fits (whole pages, by bisection)."""
    question = model.question
    low, high = 0, question.workload.context
    page = max(page_tokens(a) for a in question.spec.attention)
    while high - low > page:
        middle = (low + high) // 2 // page * page
        if middle <= low:
            break
        work = replace(question.workload, context=middle)
        if _fits(replace(question, workload=work), model):
            low = middle
        else:
            high = middle
    return low


def _limits(model: CostModel) -> InfeasibleError:
    """Memory suffices for some plan: a time or loss limit, alone or together, excludes all."""
    question = model.question
    relaxations: list[tuple[str, str, Callable[[], str]]] = []
    if question.memory_bytes is not None:
        relaxations.append(("memory-bytes", format_bytes(question.memory_bytes),
                            lambda: _relaxed_memory(question)))
    if question.tpot_seconds is not None:
        relaxations.append(("tpot", format_seconds(question.tpot_seconds),
                            lambda: _relaxed_tpot(question)))
    if question.ttft_seconds is not None:
        relaxations.append(("ttft", format_seconds(question.ttft_seconds),
                            lambda: _relaxed_ttft(question)))
    loss = loss_limit(model)
    if loss is not None:
        name = question.loss_scheme or f"{loss:.3g}"
        relaxations.append(("max-loss", name, lambda: _relaxed_loss(model)))
    where = f"{question.spec.id} on {question.device.id}"
    at_odds = contradiction(model)
    if len(at_odds) > 1:
        return _at_odds(model, at_odds, where, relaxations)
    for name, value, change in relaxations:
        text = change()
        if text:
            return InfeasibleError(f"{name} {value} excludes every plan for {where}", hint=text)
    names = " and ".join(name for name, _, _ in relaxations) or "memory"
    return InfeasibleError(f"{names} together with memory exclude every plan for {where}",
                           hint=_devices_hint(question)
                           or "relax more than one limit, or use a device with more memory")


def _at_odds(model: CostModel, names: tuple[str, ...], where: str,
             relaxations: list[tuple[str, str, Callable[[], str]]]) -> InfeasibleError:
    """Limits that exclude every plan together, none of them without the others."""
    told = [f"{name} {value}" for name, value, _ in relaxations if name in names]
    ways = [text for name, _, change in relaxations if name in names and (text := change())]
    return InfeasibleError(
        f"{' and '.join(told)} contradict each other for {where}: without "
        f"{'either' if len(told) == 2 else 'any of them'} a plan exists",
        hint="; or ".join(ways) or _devices_hint(model.question) or "relax one of them")


def _devices_hint(question: Question) -> str:
    for count in MORE_DEVICES:
        if max(question.sizes) < count <= question.net.reach():
            bigger = replace(question, sizes=(count,), devices_given=True)
            if search(build_model(bigger, load_prior())) is not None:
                return f"{count} devices are the fewest that satisfy all limits"
    return ""


def _found(question: Question) -> Priced | None:
    found = search(build_model(question, load_prior()))
    return price(found.space, found.candidate, found.segments) if found is not None else None


def _smallest(feasible: Callable[[float], bool], low: float, high: float) -> float:
    """A value near the smallest feasible one between ``low`` (not feasible) and ``high``."""
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        if feasible(middle):
            high = middle
        else:
            low = middle
    return high


def _milliseconds(seconds: float) -> str:
    """Milliseconds rounded up to four digits, so that the printed limit is feasible."""
    value = seconds * 1e3
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    return f"{math.ceil(value / step * (1 - 1e-12)) * step:.6g}"


def _relaxed_tpot(question: Question) -> str:
    fastest = _found(replace(question, objective="latency", tpot_seconds=None))
    if fastest is None:
        return ""
    seconds = fastest.tpot
    return f"the fastest plan reaches {format_seconds(seconds)}: raise --tpot-ms to " \
           f"{_milliseconds(seconds)}"


def _relaxed_ttft(question: Question) -> str:
    free = replace(question, ttft_seconds=None)
    start = _found(replace(free, objective="latency"))
    if start is None or question.ttft_seconds is None:
        return ""
    seconds = _smallest(lambda s: _found(replace(free, ttft_seconds=s)) is not None,
                        question.ttft_seconds, start.ttft)
    return f"a plan with {format_seconds(seconds)} exists: raise --ttft-ms to " \
           f"{_milliseconds(seconds)}"


def _relaxed_loss(model: CostModel) -> str:
    question = model.question
    free = replace(question, objective="quality", loss_scheme=None, loss_limit=None)
    found = search(build_model(free, load_prior()))
    if found is None:
        return ""
    enough = _lossier_scheme(model, found.value)
    devices = _devices_hint(question)
    options = [f"--max-loss {enough}"] if enough else []
    options += [devices] if devices else []
    return f"the least lossy plan that fits has relative loss {found.value:.3g}: " \
           + ("; or ".join(options) or "use more devices or memory")


def _lossier_scheme(model: CostModel, loss: float) -> str:
    """The scheme of least uniform loss that admits ``loss``; empty if none does."""
    found = []
    for name in model.prior.error[model.references[0]]["attention-out"]:
        trial = replace(model, question=replace(model.question, loss_scheme=name))
        limit = loss_limit(trial)
        if limit is not None and limit >= loss * (1 + 1e-9):
            found.append((limit, name))
    return min(found)[1] if found else ""


def _relaxed_memory(question: Question) -> str:
    free = replace(question, memory_bytes=None)
    start = _found(free)
    if start is None or question.memory_bytes is None:
        return ""
    least = _smallest(lambda b: _found(replace(free, memory_bytes=int(b))) is not None,
                      float(question.memory_bytes), float(start.fullest.total))
    total = math.ceil(least)
    return f"raise --memory-bytes to {total} ({format_bytes(total)})"
