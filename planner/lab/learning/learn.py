"""``planner.learn``: measured runs beside what the law says of them, and what is kept of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from planner.base.errors import InputError, PlannerError, UnknownNameError
from planner.base.typed import typed
from planner.base.versions import version_in
from planner.hardware.learned_runs import LearnedRun, MeasuredFactor, forget, keep, kept_runs
from planner.lab.learning.ask import TPOT, TTFT, ServedSubject, explaining, predicted, tells
from planner.lab.learning.disturbed import disturbances, repeats_apart, standard_error
from planner.lab.learning.forecast import RunForecast
from planner.lab.learning.records import ComparedRun, ComparedTime, Learning
from planner.lab.learning.results.read import read_results
from planner.lab.learning.results.run import BATCH, DECODE, PROMPT, MeasuredRun, MeasuredTime
from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import parse_engine
from planner.messages.message import Message, Text, message
from planner.models.spec import ModelSpec
from planner.planning.plan.record import Estimate
from planner.planning.question.corrections import corrections_of, runs_for
from planner.planning.question.input import ANY, BF16, QuestionInput
from planner.planning.question.learned import model_key
from planner.throughput.attended import model_class

MOST_FILES = 100


@typed
def learn(
    results: Sequence[str | os.PathLike[str]] = (),
    *,
    model: str | ModelSpec | None = None,
    device: str | None = None,
    engine: str | None = None,
    scheme: str | None = None,
    kv: str | None = None,
    tp: int | None = None,
    isl: int | None = None,
    osl: int | None = None,
    concurrency: int | None = None,
    keep_runs: bool = True,
    forget_run: str | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Learning:
    """Compare the runs in ``results`` with their predictions; each that was not disturbed is kept
    as a correction for its device, engine, version and class of model. ``model`` and the arguments
    after it say what a file does not. ``keep_runs``: False only compares. ``forget_run``: the id of
    a kept run to remove first, or ``all``. Without results: what is kept.

    Raises:
        DataError: a file that is no result. InputError: something is missing, or cannot be written.
    """
    forgotten = () if forget_run is None else forget(forget_run)
    if len(results) > MOST_FILES:
        raise InputError(f"{len(results)} files", hint=f"at most {MOST_FILES} at a time")
    given = _Given(model, device, engine, scheme, kv, tp, isl, osl, concurrency, hardware_dir)
    runs = [
        (given.completed(run), Path(path)) for path in results for run in read_results(Path(path))
    ]
    apart, before = repeats_apart([run for run, _ in runs]), kept_runs().runs
    compared = tuple(
        _compared(run, path, given, apart.get(i), before, keep_it=keep_runs)
        for i, (run, path) in enumerate(runs)
    )
    kept = kept_runs()
    return Learning(
        compared,
        kept.runs,
        kept.damaged,
        tuple(path.stem for path in forgotten),
    )


class _Given:
    """What the caller says of runs."""

    def __init__(
        self,
        model: str | ModelSpec | None,
        device: str | None,
        engine: str | None,
        scheme: str | None,
        kv: str | None,
        tp: int | None,
        isl: int | None,
        osl: int | None,
        concurrency: int | None,
        hardware_dir: str | os.PathLike[str] | None,
    ) -> None:
        self.model, self.device, self.engine = model, device, engine
        self.scheme, self.kv, self.hardware_dir = scheme, kv, hardware_dir
        self.numbers = {"tp": tp, "isl": isl, "osl": osl, "concurrency": concurrency}

    def completed(self, run: MeasuredRun) -> MeasuredRun:
        """``run`` with what was given in place of what its file says."""
        told: dict[str, Any] = {
            name: value for name, value in self.numbers.items() if value is not None
        }
        if run.kind in (PROMPT, DECODE):
            told = {name: value for name, value in told.items() if name == "tp"}
        return replace(run, **told, scheme=self.scheme or run.scheme, kv=self.kv or run.kv)

    def subject(self, run: MeasuredRun) -> ServedSubject:
        """What ran. Raises InputError where neither the caller nor the file says it."""
        model = self._model(run)
        device = self.device or self._known_device(run.device)
        if device is None:
            raise InputError(
                message("verbs.learn_not_said", what="device"),
                hint=message("verbs.learn_say", flag="device"),
            )
        engine = self._engine(run)
        ranks = run.tp or 1
        kv = {None: BF16, "f16": BF16, "bf16": BF16}.get(run.kv, run.kv) or BF16
        inputs = QuestionInput(
            model=model,
            device=load_device(device, hardware_dir=self.hardware_dir),
            engine=engine,
            scheme=run.scheme,
            kv=kv,
            devices=ranks,
            tp=ranks,
            hardware_dir=self.hardware_dir,
            no_learned=True,
        )
        return ServedSubject(inputs, engine, run.scheme)

    def _model(self, run: MeasuredRun) -> ModelSpec:
        if self.model is not None:
            return load_model(self.model)
        if run.model is None:
            raise InputError(
                message("verbs.learn_not_said", what="model"),
                hint=message("verbs.learn_say", flag="model"),
            )
        try:
            return load_model(run.model)
        except PlannerError as error:
            raise InputError(error.text, hint=message("verbs.learn_say", flag="model")) from None

    def _known_device(self, name: str | None) -> str | None:
        """The id of the device that a file names, where it is one that is known."""
        if name is None:
            return None
        for text in (name, name.removeprefix("NVIDIA ").removeprefix("GeForce ")):
            try:
                return load_device(text, hardware_dir=self.hardware_dir).id
            except PlannerError:
                continue
        return None

    def _engine(self, run: MeasuredRun) -> str:
        """The engine as a flag takes it; a version that the file says where none is given."""
        name = self.engine or run.engine or ANY
        if "@" in name or name == ANY or run.version is None or name != (run.engine or name):
            return name
        if version_in(run.version.removeprefix("v")) is None:
            return name
        dated = f"{name}@{run.version.removeprefix('v')}"
        try:
            parse_engine(dated)
        except (UnknownNameError, InputError):
            return name
        return dated


def _compared(
    run: MeasuredRun,
    path: Path,
    given: _Given,
    apart: Message | None,
    before: Sequence[LearnedRun],
    *,
    keep_it: bool,
) -> ComparedRun:
    """A run beside its prediction, also with what was kept ``before``, and kept where it may be."""
    try:
        subject = given.subject(run)
        first = predicted(run, subject)
    except PlannerError as error:
        return ComparedRun(run.source, run.tool, "", "", "", _load(run), (), (error.text,), None)
    times = _times(run, first, _as_learned(run, subject, before))
    refused: list[Text] = [*disturbances(run, first), *([] if apart is None else [apart])]
    if run.tpot is None and run.ttft is None:
        refused.append(message("verbs.learn_undivided"))
    learned = None
    if not refused:
        pair = explaining(run, subject, first)
        if pair is None:
            refused.append(message("verbs.learn_unexplained"))
        else:
            learned = _learned(run, path, subject, first, pair)
            if keep_it:
                keep(learned)
    spec, device, _, _ = subject.inputs.subject
    return ComparedRun(
        run.source,
        run.tool,
        spec.id,
        device.id,
        subject.engine,
        _load(run),
        times,
        tuple(refused),
        learned,
        kept=learned is not None and keep_it,
    )


def _as_learned(
    run: MeasuredRun, subject: ServedSubject, before: Sequence[LearnedRun]
) -> RunForecast | None:
    """The run's prediction with what other runs taught ``before``; None where none did."""
    spec, device, _, _ = subject.inputs.subject
    name, _, version = subject.engine.partition("@")
    source = _source(run)
    kept = [one for one in before if one.source != source]
    runs = runs_for(
        kept, device=device.id, engine=name, version=version, model_class=model_class(spec)
    )
    known = corrections_of(runs, model_key(spec))
    return predicted(run, subject, known) if known else None


def _source(run: MeasuredRun) -> str:
    return f"{run.tool}: {run.source}"[:300]


def _times(
    run: MeasuredRun, first: RunForecast, learned: RunForecast | None
) -> tuple[ComparedTime, ...]:
    """What was measured beside what was predicted, and would be with what was ``learned`` before,
    quantity by quantity."""
    out = []
    pairs: tuple[tuple[str, MeasuredTime | None, Estimate], ...] = (
        ("tpot_seconds", run.tpot, first.tpot),
        ("ttft_seconds", run.ttft, first.ttft),
    )
    for name, times, estimate in pairs:
        if times is not None:
            out.append(
                ComparedTime(
                    name,
                    estimate.value,
                    estimate.low,
                    estimate.high,
                    estimate.basis,
                    times.mean,
                    standard_error(times, first.load(name[:4])),
                    None if learned is None else getattr(learned, name[:4]).value,
                )
            )
    served = run.kind != BATCH and run.rate is not None
    if run.e2e is not None and (served or (run.kind == BATCH and run.output_rate is None)):
        error = standard_error(run.e2e) if served else 0.0
        out.append(_compared_figure("e2e_seconds", first.e2e, run.e2e.mean, error))
    if run.output_rate is not None:
        out.append(
            _compared_figure("output_tokens_per_second", first.output_rate, run.output_rate, 0.0)
        )
    return tuple(out)


def _compared_figure(
    quantity: str, forecast: Estimate | float, measured: float, error: float
) -> ComparedTime:
    if isinstance(forecast, Estimate):
        return ComparedTime(
            quantity, forecast.value, forecast.low, forecast.high, forecast.basis, measured, error
        )
    return ComparedTime(quantity, forecast, None, None, "", measured, error)


def _load(run: MeasuredRun) -> Text:
    """What a run was asked, in words."""
    isl, osl = (f"{value:.0f}" if value is not None else "?" for value in (run.isl, run.osl))
    if run.kind == PROMPT:
        return message(
            "verbs.learn_prompt",
            isl=f"{(run.isl or 0) - run.cached:.0f}",
            depth=f"{run.cached:.0f}",
        )
    if run.kind == DECODE:
        return message("verbs.learn_decode", osl=osl, depth=f"{run.cached:.0f}")
    if run.rate is not None:
        return message("verbs.learn_rate", isl=isl, osl=osl, rate=f"{run.rate:g}")
    in_flight = run.concurrency or run.completed
    return message("verbs.learn_load", isl=isl, osl=osl, n=f"{in_flight:g}")


def _learned(
    run: MeasuredRun,
    path: Path,
    subject: ServedSubject,
    first: RunForecast,
    pair: tuple[float, float],
) -> LearnedRun:
    """What is kept of a run."""
    spec, device, _, _ = subject.inputs.subject
    name, _, version = subject.engine.partition("@")
    kind = first.kind
    return LearnedRun(
        device.id,
        name,
        version or ((run.version or "") if name == "llama.cpp" else ""),
        spec.id,
        model_key(spec),
        model_class(spec),
        kind.layout,
        kind.precision,
        kind.cache,
        kind.requests,
        str(_load(run)),
        max(round(run.isl or 1), 1),
        max(round(run.osl or 1), 1),
        max(run.completed, 1),
        _source(run),
        _date(run, path),
        _factor(run, first, TPOT, pair[0]),
        _factor(run, first, TTFT, pair[1]),
    )


def _factor(
    run: MeasuredRun, forecast: RunForecast, name: str, factor: float
) -> MeasuredFactor | None:
    """What is kept of TPOT or TTFT, as sure as its mean and the draw of arrivals leave it; None
    where the run does not tell it."""
    if not tells(run, forecast, name):
        return None
    times: MeasuredTime = getattr(run, name)
    error = math.hypot(standard_error(times, forecast.load(name)), forecast.draws(name))
    return MeasuredFactor(factor, error, times.mean, getattr(forecast, name).value)


def _date(run: MeasuredRun, path: Path) -> str:
    """The day of a run, as its file says it or as the file was written."""
    digits = "".join(c for c in run.date if c.isdigit())[:8]
    if len(digits) == 8 and digits.startswith("20"):
        return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
