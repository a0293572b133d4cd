"""``planner.what_if``: the answers around a plan, each planned as a single question would be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing.reduction import ForkingPickler
from shlex import quote
from types import MappingProxyType
from typing import Any, Literal

from planner.api.ask import AUTO, ENGINES, THROUGHPUT, Ask, engine_named, given
from planner.errors import InputError, UnsupportedError
from planner.hardware.power import fastest_mode
from planner.hardware.profile import DeviceProfile
from planner.jobs.workers import in_processes
from planner.lookup import load_device, load_model
from planner.models.spec import ModelSpec
from planner.planning.plan.deployment import AGGREGATED
from planner.planning.plan.record import Plan
from planner.planning.question.asked import NO_LIMIT, Asked, Seconds, asked_of, milliseconds
from planner.planning.question.defaults import default_of
from planner.planning.question.question import Question
from planner.planning.question.resolve import MAX_COUNT, MAX_DEVICES
from planner.planning.question.workload import Workload, workload
from planner.planning.space.model import CostModel, build_model
from planner.planning.whatif.grid import Grid, Inner, Loss, Point, PooledPoint, block
from planner.planning.whatif.grid_axes import (
    BATCHES,
    KV_LADDER,
    Axis,
    check_size,
    default_contexts,
    default_devices,
    kv_axis,
    loss_axis,
    number_axis,
    parse_grid,
    scheme_axis,
)
from planner.quality.prior import load_prior
from planner.quality.profile import Profile
from planner.scenarios import Scenario
from planner.typed import typed
from planner.workloads import NamedWorkload

Progress = Callable[[int, int], None]
ALONE = 150
"""Grids of fewer points are planned in this process."""


@typed
def what_if(model: str | ModelSpec | None = None, device: str | DeviceProfile | None = None, *,
            base: Plan, grid: Sequence[str] = (), progress: Progress | None = None,
            devices: int | None = None, tp: int | None = None, dp: int | None = None,
            pp: int | None = None, ep: int | None = None, context: int | None = None,
            isl: int | None = None, osl: int | None = None, batch: int | None = None,
            workload: str | NamedWorkload | None = None,
            prefix_hit_rate: float | None = None, slots: str | None = None,
            objective: str = THROUGHPUT, ttft_seconds: float | None = None,
            tpot_seconds: float | Literal["none"] | None = None,
            max_loss: str | float | None = None,
            schemes: Sequence[str] | None = None, kv: str = AUTO,
            memory_bytes: int | None = None, engine: str = ENGINES,
            scenario: str | Scenario | None = None, profile: str | Profile | None = None,
            imatrix: str | os.PathLike[str] | None = None,
            untie: bool = False, drop_policies: Sequence[str] | None = None,
            hardware_dir: str | os.PathLike[str] | None = None) -> Grid:
    """Plan every combination of context, batch, devices, limit on loss, schemes and cache layout
    around ``base``, the plan of these arguments.

    ``grid`` names the values of an axis (``batch=auto,16,64``); the others have a ladder of their
    own. ``progress`` is told (points planned, points in all), first before any is.

    Raises:
        InputError: a value out of range, or more points than a page can hold.
    """
    return _grid(Ask.of(locals(), own=("base", "grid", "progress")), base, grid, progress)


def _grid(ask: Ask, base: Plan, values: Sequence[str], progress: Progress | None) -> Grid:
    """The grid of a question around its plan; ``values`` are those named for its axes. The page
    spans what the defaults of limit and users would narrow: it starts at the plan's batch."""
    ask = ask.on_engine_of(base)
    whole, loaded = ask, ask.loaded_scenario
    if default_of(ask.asked.with_scenario(loaded), ask.subject[1]):
        ask = replace(ask, batch=_start_batch(base), tpot_seconds=NO_LIMIT)
    asked = ask.asked.with_scenario(loaded)
    question = ask.question(asked, engine=engine_named(ask.asked_engine))
    if asked.workload is not None:
        ask, asked = _spelled_out(ask, asked, question.workload)
    around = _Around(ask, asked, build_model(question, load_prior()), base)
    axes = _axes(around, parse_grid(values))
    if loaded is not None and "schemes" in loaded.values and AUTO in axes[4].values:
        raise InputError(f"--grid schemes: scenario {loaded.id!r} names schemes, so auto has no "
                         "meaning of its own", hint="name sets joined by +, e.g. bf16+fp8-block")
    total = check_size(axes)
    points = tuple(_points(around, axes, total, progress))
    return Grid(_command(ask, around.model.question.objective), axes, points,
                tuple(_pools(whole, around, axes)))


def _start_batch(base: Plan) -> int | None:
    """The batch of the position that the page starts at: the plan's, of a plan in pools that of the
    workers that do both, where they keep the limits."""
    pools = base.deployment
    if pools is None:
        return base.workload.batch
    return None if pools.aggregated is None else pools.aggregated.batch


def _pools(ask: Ask, around: _Around, axes: tuple[Axis, ...]) -> Iterator[PooledPoint | None]:
    """The pools beside the positions of a plan in pools, under the limits of its own question."""
    if around.plan.deployment is None:
        return
    from planner.api.what_if_pools import pooled_points

    contexts, _, devices, losses, schemes, kvs = axes
    mine = replace(around, asked=replace(around.asked, batch=ask.batch,
                                         tpot_seconds=ask.tpot_seconds))
    yield from pooled_points(
        replace(ask, workload=None, slots=around.ask.slots),
        [mine.at(int(context), schemes.values[schemes.base], kvs.values[kvs.base])
         for context in contexts.values],
        [int(n) for n in devices.values], [_loss(name) for name in losses.values], around.plan)


def _spelled_out(ask: Ask, asked: Asked, work: Workload) -> tuple[Ask, Asked]:
    """The question with the numbers of its workload in place of the name: an axis varies them."""
    own: dict[str, Any] = {
        "context": work.context, "isl": work.isl, "osl": work.osl, "workload": None,
        "prefix_hit_rate": work.prefix_hit_rate, "tpot_seconds": asked.tpot_seconds}
    return replace(ask, **own), replace(asked, **own)


def _command(ask: Ask, objective: str) -> str:
    """The command that asks the question, without what the axes vary; the page shows optima."""
    scenario, dropped = ask.scenario, ask.drop_policies
    flags = {"objective": None if objective == THROUGHPUT else objective,
             "engine": given(ask.engine), "mode": _mode(ask), "ttft-ms": _ms(ask.ttft_seconds),
             "tpot-ms": _ms(ask.tpot_seconds), "tp": ask.tp, "dp": ask.dp, "pp": ask.pp,
             "ep": ask.ep, "memory-bytes": ask.memory_bytes, "slots": ask.slots,
             "prefix-hit": ask.prefix_hit_rate or None,
             "scenario": scenario.id if isinstance(scenario, Scenario) else scenario,
             "profile": ask.profile if isinstance(ask.profile, str) else None,
             "imatrix": None if ask.imatrix is None else os.fspath(ask.imatrix),
             "hardware-dir": ask.hardware_dir,
             "drop-policies": ",".join(dropped) if dropped else None}
    names = [getattr(n, "id", n) for n in (ask.model, ask.device) if n is not None]
    return " ".join(["plan", *(quote(str(name)) for name in names),
                     *(f"--{name} {quote(str(value))}" for name, value in flags.items()
                       if value is not None), *(["--untie"] if ask.untie else []),
                     "--exact"])


def _mode(ask: Ask) -> str | None:
    """Positions are of workers that do both: the command says so where an engine might serve pools.
    """
    return None if engine_named(ask.asked_engine) is None else AGGREGATED


@dataclass(frozen=True)
class _Around:
    """What a grid is built around: the question, its values with those of the scenario, its model,
    and the plan."""

    ask: Ask
    asked: Asked
    model: CostModel
    plan: Plan

    def questions(self, changed: Asked) -> tuple[Question, ...]:
        """The ways to serve a changed question.

        Raises:
            UnsupportedError: the device or engine cannot.
        """
        return self.ask.ways(changed, defaults=False)

    def at(self, context: int, schemes: str, kv: str) -> Asked:
        """What is asked at one context under a set of schemes and a cache layout."""
        asked = replace(self.asked, kv=kv,
                        schemes=None if schemes == AUTO else tuple(schemes.split("+")))
        if context == self.plan.workload.context_tokens:
            return asked
        return replace(asked, context=context, isl=None)

    def possible(self, schemes: str, kv: str) -> bool:
        """Whether device and engine take these formats."""
        try:
            self.questions(self.at(self.plan.workload.context_tokens, schemes, kv))
        except UnsupportedError:
            return False
        return True


def _axes(around: _Around, given: dict[str, tuple[str, ...]]) -> tuple[Axis, ...]:
    asked, plan, question = around.asked, around.plan, around.model.question
    most = question.spec.max_context
    contexts = number_axis(
        "context", given.get("context"),
        [c for c in default_contexts(most, question.workload.context)
         if asked.osl is None or c > asked.osl], question.workload.context, most=most)
    texts = []
    loaded = around.ask.loaded_scenario
    named = loaded is not None and "workload" in loaded.values
    for value in contexts.values:
        own = int(value) == question.workload.context
        workload(most, context=int(value), isl=asked.isl if own else None,
                 osl=asked.osl)
        shown = {"context": int(value) if not own or asked.isl is None else asked.context,
                 "isl": asked.isl if own else int(value) - (asked.osl or 0) if named else None,
                 "osl": asked.osl}
        texts.append(" ".join(f"--{k} {v}" for k, v in shown.items() if v is not None))
    loss = question.loss_scheme or f"{question.loss_limit:g}"
    own_kv = None if asked.kv in (None, AUTO) else asked.kv
    base_formats = AUTO if asked.schemes is None else "+".join(asked.schemes)
    layouts = [k for k in KV_LADDER if around.possible(base_formats, k)][:2]
    eight = "+".join(dict.fromkeys(("bf16", question.loss_scheme or "bf16")))
    sets = [s for s in (eight,) if s in given.get("schemes", (s,))
            and around.possible(s, asked.kv or AUTO)]
    return (
        replace(contexts, flags=tuple(texts)),
        number_axis("batch", given.get("batch"), BATCHES, asked.batch, most=MAX_COUNT, auto=True),
        number_axis("devices", given.get("devices"),
                    default_devices(plan.device.count, MAX_DEVICES), plan.device.count,
                    most=MAX_COUNT),
        loss_axis(given.get("max-loss"), around.model, loss, asked.max_loss is not None),
        scheme_axis(given.get("schemes"), asked.schemes, sets),
        kv_axis(given.get("kv"), own_kv, layouts))


def _points(around: _Around, axes: tuple[Axis, ...], total: int, progress: Progress | None,
            ) -> Iterator[Point]:
    """All points, blocks of one context and set of formats at a time."""
    contexts, batches, devices, losses, schemes, kvs = axes
    inner = Inner(tuple(int(n) for n in devices.values),
                  tuple(None if b == AUTO else int(b) for b in batches.values),
                  tuple(_loss(name) for name in losses.values))
    keys = list(product(contexts.values, schemes.values, kvs.values))
    work = [around.questions(around.at(int(c), s, k)) for c, s, k in keys]
    found: dict[tuple[str, str, str], list[Point]] = {}
    if progress is not None:
        progress(0, total)
    with _mapped(total) as run:
        for number, points in run(work, inner):
            found[keys[number]] = points
            if progress is not None:
                progress(len(found) * len(inner), total)
    for c, b, n, loss, s, k in product(contexts.values, range(len(batches)), range(len(devices)),
                                       range(len(losses)), schemes.values, kvs.values):
        yield found[c, s, k][(n * len(batches) + b) * len(losses) + loss]


@contextmanager
def _mapped(total: int) -> Iterator[Callable[[list[tuple[Question, ...]], Inner],
                                             Iterator[tuple[int, list[Point]]]]]:
    """A map over blocks, with their numbers and as they come: in this process, or a core each where
    the grid is large."""
    workers = os.cpu_count() or 1
    if total < ALONE or workers == 1:
        yield lambda work, inner: (_numbered((n, questions, inner))
                                   for n, questions in enumerate(work))
        return
    # Profiles and configurations hold read-only mappings, which pickle does not know.
    ForkingPickler.register(MappingProxyType, _reduced)
    yield lambda work, inner: in_processes(
        _numbered, ((n, questions, inner) for n, questions in enumerate(work)), workers=workers)


def _numbered(item: tuple[int, tuple[Question, ...], Inner]) -> tuple[int, list[Point]]:
    number, questions, inner = item
    return number, block(questions, inner)


def _reduced(mapping: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return _read_only, (dict(mapping),)


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


def _loss(name: str) -> Loss:
    try:
        return None, float(name)
    except ValueError:
        return name, None


def _ms(seconds: Seconds | None) -> str | None:
    return None if seconds is None else milliseconds(seconds)


def around_file(plan: Plan) -> dict[str, Any]:
    """The arguments of :func:`what_if` that a plan file tells: model, device, workload, engine,
    objective, and the limits, layout and formats that were asked for.

    Raises:
        InputError: the model is another one by now, or a scenario asked for what no flag repeats.
    """
    spec = load_model(plan.model.id)
    if spec.config_sha256 != plan.model.config_sha256:
        raise InputError(f"{plan.model.id} has changed since the plan was made",
                         hint="plan again, with --report FILE.html --interactive")
    if plan.speculation is not None:
        raise InputError("the plan drafts tokens, which the what-if page does not price",
                         hint="plan again without --speculation")
    asked = dict(asked_of(plan))
    asked.pop("policies", None)  # what the scenario named; what it dropped is an argument
    asked.pop("exact", None)
    lost = [name for name in ("keep_first_layers", "keep_last_layers") if asked.get(name)]
    device = load_device(plan.device.id)
    if plan.power_mode is not None and plan.power_mode != fastest_mode(device):
        lost.append("power_mode")
    if lost:
        raise InputError(f"the plan was made with {lost[0].replace('_', '-')} of a scenario, which "
                         "a plan file alone does not repeat",
                         hint="plan again: plan --scenario FILE --report FILE.html --interactive")
    work = plan.workload
    same = workload(spec.max_context, context=work.context_tokens, isl=None, osl=None)
    given: dict[str, Any] = {"context": work.context_tokens}
    if work.prefix_hit_rate:
        given["prefix_hit_rate"] = work.prefix_hit_rate
    if (same.isl, same.osl) != (work.isl, work.osl):
        given |= {"isl": work.isl, "osl": work.osl}
    if not plan.engine.chosen_from:
        given["engine"] = "@".join(filter(None, (plan.engine.name, plan.engine.version)))
    return {"model": plan.model.id, "device": plan.device.id, "objective": plan.objective,
            **asked, **given}
