"""``planner.verify``: a plan made, loaded and run by a real engine, beside its predictions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.base.system import WINDOWS
from planner.base.typed import typed
from planner.export.assignment import assignment_of
from planner.export.plan_files import export_plan
from planner.hardware.profile import DeviceProfile
from planner.jobs.core_share import core_share
from planner.jobs.workers import own_version
from planner.lab.verifying.adapter import Adapter, Address
from planner.lab.verifying.device import predicted_device, threads_of
from planner.lab.verifying.finished_file import (
    check_plan_alone,
    finished_file,
    is_made_with_imatrix,
    matrix_file,
    plan_of_file,
)
from planner.lab.verifying.learned import LossBasis, learned_profile, loss_basis
from planner.lab.verifying.learning import LOSSES, LossCheck, learn, losses_text, read_losses
from planner.lab.verifying.llama_checkpoint import model_of_plan
from planner.lab.verifying.llama_programs import programs_needed
from planner.lab.verifying.measured_table import FILE, table_text
from planner.lab.verifying.predict import (
    Setup,
    busy_notes,
    fewer_notes,
    files_made_of,
    own_figures,
    predict,
    weighed_notes,
)
from planner.lab.verifying.records import InstalledEngine, Setting, Task, Verification
from planner.lab.verifying.run import MODULES, Progress, adapter, measure
from planner.lab.verifying.usual_settings import given_setting, shortened
from planner.lab.verifying.verdict import compared_rows, verdict
from planner.lab.verifying.writing import (
    WORK,
    as_json,
    prepare,
    refuse_other,
    work_folder,
    write_file,
)
from planner.lookup import load_model, load_profile
from planner.models.gguf_header import read_gguf
from planner.models.spec import ModelSpec
from planner.planning.plan.file import read_plan
from planner.planning.plan.record import Plan
from planner.quality.prior import total_band
from planner.quality.profile import Profile
from planner.quality.profile_file import profile_text
from planner.quality.sensitivity.predict import sensitivities
from planner.throughput.calibration import ANY_ENGINE

LEAST_TAKEN = 0.05
"""A share of the cores below which a quick run is not made shorter still."""
PROFILE = "profile.json"
TEXT = "Python's own language reference (pydoc_data.topics, PSF licence)"


@typed
def verify(
    plan: str | Plan,
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    base: str | os.PathLike[str] | None = None,
    depths: Sequence[int] = (),
    quick: bool = False,
    engine: str = "llama.cpp",
    model: str | ModelSpec | None = None,
    device: str | DeviceProfile | None = None,
    text: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] = "verified",
    also: Sequence[str] = (),
    engine_dir: str | os.PathLike[str] | None = None,
    python: str | os.PathLike[str] | None = None,
    prompt_tokens: int | None = None,
    output_tokens: int | None = None,
    threads: int | None = None,
    repeats: int | None = None,
    chunks: int | None = None,
    kl_context: int | None = None,
    step_seconds: float | None = None,
    profile: str | Profile | None = None,
    imatrix: str | os.PathLike[str] | None = None,
    learn_from: Sequence[str | os.PathLike[str]] = (),
    hardware_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Quantise ``checkpoint`` as ``plan`` says, run it on this machine with ``engine``'s own tools,
    and compare: bytes, cache, prefill and decode seconds, KL divergence and flipped tokens against
    the checkpoint; the engine's default, and what ``also`` names, beside it.

    Predictions are those for ``device`` (default: this machine as ``host``, else the plan's) at
    exactly the measured setting. What is measured is kept in the folder ``output`` as it comes: the
    same call goes on where one was stopped. The folder then holds verify.json, a table that
    `plan validate` and `plan calibrate` read, and a profile that `plan --profile` reads.

    Without ``checkpoint``, ``plan`` is a finished GGUF file, quantised or not: it is run as it is,
    and its loss measured where ``base``, the same model in BF16 or F16, is given.

    Args:
        depths: tokens of context after which decode is timed once more. quick: fewer tokens,
            repeats and pieces of text, where they are not given.
        also: further settings of the engine by its own names (Q8_0, Q6_K …); ``none`` leaves out
            what llama.cpp and vLLM run beside the plan by themselves.
        engine_dir: the folder of llama.cpp's programs. python: the Python of vLLM or PyTorch.
        profile: the quality profile that the loss is predicted with (default: T0). imatrix: the
            importance matrix that files are quantised with, or that the finished file was.
        learn_from: folders of earlier verifications of the model; their losses count as well.
        progress: told the name of each step before it runs.

    Raises:
        InputError: the engine is absent or too old, the checkpoint is of another model.
        UnsupportedError: on Windows.
        DataError: a program of the engine failed, hung, or the disk is full; what was measured
            stays in ``output``.
    """
    _check_system()
    _check_counts(
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        threads=threads,
        repeats=repeats,
        chunks=chunks,
        kl_context=kl_context,
        step_seconds=step_seconds,
    )
    tool = _tool(engine, engine_dir, python)
    s = given_setting(
        quick,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        repeats=repeats,
        kl_context_tokens=kl_context,
        kl_chunks=chunks,
        step_seconds=step_seconds,
    )
    if checkpoint is None:
        path = finished_file(plan, engine, also)
        spec = load_model(str(path) if model is None else model)
        given = plan_of_file(spec, device, hardware_dir, s)
    else:
        check_plan_alone(engine, base, depths)
        given = read_plan(plan) if isinstance(plan, str) else plan
        path = _existing(Path(checkpoint))
        spec = model_of_plan(given, model, path)
    where, notes = predicted_device(given, device, hardware_dir, threads)
    installed_engine = tool.find(_address(engine_dir, python, checkpoint is None, base))
    folder = Path(output)
    refuse_other(folder)
    losses = load_profile(profile, spec, spec)[0] if profile is not None else None
    s = replace(
        s, threads=threads or threads_of(where), cache=_cache(given), on_cpu=where.kind == "cpu"
    )
    is_finished = checkpoint is None
    plan_and_model = (given, spec, where)
    task = _task(*plan_and_model, path, folder.resolve(), installed_engine, s, is_finished)
    task = replace(
        task,
        text=_text(text, folder.resolve()),
        also=tuple(also),
        depths=tuple(dict.fromkeys(depths)),
        base=None if base is None else _existing(Path(base)),
        imatrix=matrix_file(imatrix, spec, engine),
    )
    header = _header_bytes(path) if installed_engine.name == "llama.cpp" else 0
    weighed = imatrix is not None or (is_finished and is_made_with_imatrix(path))
    setup = Setup(task, where, losses, *_losses(spec, losses, weighed), header)
    earlier = tuple(
        check
        for earlier_folder in learn_from
        for check in read_losses(Path(earlier_folder), spec.id, setup.basis)
    )
    share = core_share(s.threads) if quick and s.on_cpu else 1.0
    free = (prompt_tokens is None, output_tokens is None, chunks is None)
    setup, more = shortened(setup, *free, quick=quick, share=max(share, LEAST_TAKEN))
    return _finished(
        tool, setup, (*notes, *more), TEXT if text is None else Path(text).name, earlier, progress
    )


def _check_address(engine: str, engine_dir: object, python: object) -> None:
    """Refuse the address of another engine."""
    programs = engine == "llama.cpp"
    other, name = ("python", python) if programs else ("engine_dir", engine_dir)
    if name is not None:
        raise InputError(
            f"{other} and {engine}: it is found by "
            f"{'the folder of its programs' if programs else 'its Python'}",
            hint=f"--{'engine-dir' if programs else 'python'} names it",
        )


def _address(
    folder: str | os.PathLike[str] | None,
    python: str | os.PathLike[str] | None,
    is_finished: bool,
    base: object,
) -> Address:
    """Where the engine is, and which of its programs a finished file needs."""
    programs = programs_needed(is_finished=is_finished, has_base=base is not None)
    return Address(
        None if folder is None else os.fspath(folder),
        None if python is None else os.fspath(python),
        programs,
    )


def _finished(
    tool: Adapter,
    setup: Setup,
    notes: tuple[str, ...],
    text: str,
    earlier: Sequence[LossCheck],
    progress: Progress | None,
) -> Verification:
    """Measure, predict, learn, and write the folder's files."""
    task, version = setup.task, own_version()
    tool.check(task)
    tool.subjects(task)
    prepare(task.folder)
    if not task.text.exists():
        write_file(work_folder(task.folder) / task.text.name, _reference_text())
    run = measure(tool, task, version, progress)
    predictions = {s.id: predict(setup, s, run.facts.get(s.id, {})) for s in run.subjects}
    predicted = {k: p.values for k, p in predictions.items()}
    rows = compared_rows(run.subjects, run.values, predicted, run.facts)
    schemes = {name: p.schemes for name, p in predictions.items() if p.schemes is not None}
    made_of = files_made_of(task, run.subjects)
    learned = learn(setup.basis, schemes, run.values, earlier, made_of=made_of)
    verification = Verification(
        task.spec.id,
        setup.device.id,
        task.engine,
        task.setting,
        text,
        {s.id: s.role for s in run.subjects},
        rows,
        () if learned is None else learned.rows(rows),
        verdict(run.subjects, run.values, is_finished=task.is_finished),
        (
            *notes,
            *own_figures(task.plan, setup.device),
            *weighed_notes(setup),
            *busy_notes(run),
            *fewer_notes(run),
            *(line for p in predictions.values() for line in p.why),
            *(() if learned is None else learned.notes()),
        ),
        (
            "verify.json",
            FILE,
            LOSSES,
            *(() if learned is None or learned.posterior is None else (PROFILE,)),
        ),
    )
    files = {
        "verify.json": as_json(verification.to_dict()),
        FILE: table_text(verification, run, schemes),
        LOSSES: losses_text(task.spec.id, schemes, run.values, made_of=made_of),
    }
    if learned is not None and learned.posterior is not None:
        files[PROFILE] = profile_text(
            learned_profile(
                task.spec,
                setup.basis,
                learned.posterior,
                version=version,
                checks=[(c.name, c.shares, c.kl.value, c.flips) for c in learned.checks],
                source=f"{task.engine.name} {task.engine.version}, {text}",
                counted=[c.digest for c in learned.checks],
            )
        )
    for name, body in files.items():
        write_file(task.folder / name, body)
    return verification


def _check_system() -> None:
    """Refuse a system on which engines and their children cannot be measured and ended."""
    if WINDOWS:
        raise UnsupportedError(
            "plan verify starts engines, which it does on Linux and macOS",
            hint="run it in the Windows Subsystem for Linux",
        )


def _check_counts(**given: float | None) -> None:
    """Refuse what is not above 0."""
    for name, value in given.items():
        if value is not None and value <= 0:
            raise InputError(f"{name} {value} is not above 0", hint="leave it out for the default")


def _tool(engine: str, engine_dir: object, python: object) -> Adapter:
    if engine not in MODULES:
        raise UnknownNameError("engine to verify with", engine, MODULES)
    _check_address(engine, engine_dir, python)
    return adapter(engine)


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InputError(
            f"checkpoint {str(path)!r} does not exist",
            hint="a GGUF file in BF16 or F16, or a folder of safetensors",
        )
    return path.resolve()


def _task(
    plan: Plan,
    spec: ModelSpec,
    device: DeviceProfile,
    checkpoint: Path,
    folder: Path,
    engine: InstalledEngine,
    setting: Setting,
    is_finished: bool,
) -> Task:
    """The task, with the files that `plan export` writes for the engine; a finished file needs
    none, and its own types say what it is."""
    files = (
        {}
        if is_finished
        else export_plan(plan, engine.name, model=spec, device=device, engine=ANY_ENGINE).files
    )
    assignment = None if is_finished else assignment_of(plan, spec)
    text = folder / WORK / "text.txt"
    return Task(
        plan,
        spec,
        assignment,
        files,
        checkpoint,
        text,
        folder,
        engine,
        setting,
        is_finished=is_finished,
    )


def _cache(plan: Plan) -> str:
    """The plan's cache layout; one for all layers.

    Raises:
        UnsupportedError: it has several.
    """
    used = sorted({u.kv_layout for u in plan.units if u.kv_layout is not None}) or ["bf16"]
    if len(used) > 1:
        raise UnsupportedError(
            f"the plan's caches are in {' and '.join(used)}: llama.cpp and vLLM take one type",
            hint="name one layout for the plan with --kv",
        )
    return used[0]


def _text(given: str | os.PathLike[str] | None, folder: Path) -> Path:
    """The text's file; without one, where a text that every Python has will be written."""
    if given is None:
        return folder / WORK / "text.txt"
    if not Path(given).is_file():
        raise InputError(f"text {str(given)!r} does not exist", hint="a file of plain text")
    return Path(given).resolve()


def _reference_text() -> str:
    from pydoc_data import topics

    return "\n\n".join(topics.topics[name] for name in sorted(topics.topics))


def _losses(spec: ModelSpec, profile: Profile | None, weighed: bool) -> tuple[LossBasis, float]:
    """The prior of the losses, and the factor of its band."""
    basis = loss_basis(spec, profile, weighed=weighed)
    if profile is not None:
        return basis, profile.band_factor
    return basis, total_band(sensitivities(spec))


def _header_bytes(checkpoint: Path) -> int:
    """What a GGUF file has beside its tensors: a quantised one has the same."""
    return read_gguf(checkpoint).data_begin if checkpoint.is_file() else 0
