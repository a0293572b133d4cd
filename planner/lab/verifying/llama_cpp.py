"""llama.cpp: llama-quantize by the exported script, llama-bench, llama-perplexity.

Nothing of it is linked: its own programs are started, and their output is read.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.base.records import record
from planner.formats.kv import GGML_CACHE_TYPES
from planner.jobs.core_share import LEAST_SHARE, core_share, least_disturbed
from planner.lab.verifying import llama_programs
from planner.lab.verifying.adapter import Address, Step
from planner.lab.verifying.llama_checkpoint import check_model, conversion, converter
from planner.lab.verifying.llama_files import log_of, written
from planner.lab.verifying.llama_programs import PROGRAMS, output_of, programs_folder
from planner.lab.verifying.make import quantise_words
from planner.lab.verifying.processes import Execution, run
from planner.lab.verifying.records import (
    ALSO,
    DEFAULT,
    DEPTH,
    PLAN,
    InstalledEngine,
    Reading,
    StepResult,
    Task,
    Trial,
    depth_of,
    depth_trial,
)
from planner.lab.verifying.writing import work_folder, write_file
from planner.models.gguf_header import read_gguf
from planner.planning.engines.mixes import importance_type

DEFAULT_TYPE = "Q4_K_M"
"""What `llama-server -hf` and its documentation take where no type is named."""
ALONE = "none"
SCRIPT = "quantise.sh"
ANSWERS = "checkpoint.kld"
TRIES = 3
"""Runs of a timing while other programs take the cores."""
AGAIN = 0.05
"""Of a step's limit: what is disturbed longer than this is not timed again."""
DECODE = ("decode_seconds", "weight_bytes", "cache_bytes", "cache_tokens", "compute_bytes")
"""What the timing of tokens after others measures."""


@record
class LlamaCpp:
    """The adapter (see :mod:`planner.lab.verifying.adapter`)."""

    name: str = "llama.cpp"

    def find(self, where: Address) -> InstalledEngine:
        """The folder with the programs: the one named, else of the environment, else PATH.

        Raises:
            InputError: a program is missing, too old, or another one.
        """
        folder = programs_folder(where.folder, where.programs or PROGRAMS)
        ran = output_of(folder / "llama-bench", "--version")
        version = llama_programs.version_of(ran.stdout + ran.stderr)
        if not version:
            raise InputError(
                f"{folder / 'llama-bench'} does not tell its version: it is too old, "
                "or another program",
                hint="build llama.cpp of 2025 or newer and name "
                "the folder of its programs with --engine-dir",
            )
        return InstalledEngine(self.name, version, str(folder))

    def check(self, task: Task) -> None:
        """The checkpoint is a GGUF file of plain types, or a folder that can be converted, of the
        plan's model."""
        path = task.checkpoint
        if path.is_dir():
            converter(task)
            return
        check_model(path, task)
        if task.base is not None:
            check_model(task.base, task)

    def subjects(self, task: Task) -> tuple[Trial, ...]:
        """The plan, Q4_K_M, and what ``--also`` names; the plan alone where that is ``none``.

        Raises:
            UnknownNameError: no type of llama-quantize. UnsupportedError: a type that
                needs an importance matrix.
        """
        deeper = tuple(map(depth_trial, task.depths))
        if task.is_finished or tuple(name.lower() for name in task.also) == (ALONE,):
            return (Trial(PLAN, PLAN), *deeper)
        ran = output_of(Path(_program(task, "llama-quantize")), "--help", accept=(0, 1))
        known = llama_programs.types_listed(ran.stdout + ran.stderr)
        names = [name.upper() for name in task.also]
        for name in names:
            if name not in known:
                raise UnknownNameError("type of llama-quantize", name, known)
            needs = "" if task.imatrix is not None else importance_type(task.spec, name)
            if needs:
                raise UnsupportedError(
                    f"--also {name}: llama-quantize writes {needs} with an importance matrix only",
                    hint="leave it out, or --imatrix FILE (llama-imatrix makes one)",
                )
        others = dict.fromkeys(n for n in names if n != DEFAULT_TYPE)
        return (
            Trial(PLAN, PLAN),
            *deeper,
            Trial(DEFAULT_TYPE, DEFAULT),
            *(Trial(name, ALSO) for name in others),
        )

    def before(self, task: Task) -> tuple[Step, ...]:
        """A folder is converted; the checkpoint's own answers are kept for comparison."""
        if task.losses_from is None:
            return ()
        convert = (
            ()
            if task.checkpoint.is_file()
            else (Step("convert", (), partial(_convert, task), (_base(task),)),)
        )
        return (
            *convert,
            Step("its answers", (), partial(_answers, task), (task.folder / ANSWERS,)),
        )

    def steps(self, task: Task, subject: Trial) -> tuple[Step, ...]:
        """Quantise, run, compare; after more tokens only run."""
        if subject.role == DEPTH:
            return (Step("tokens", DECODE, partial(_tokens, task, subject, depth_of(subject))),)
        loss = Step("loss", ("kl", "flips"), partial(_loss, task, subject))
        return (
            Step(
                "quantise",
                ("file_bytes",),
                partial(_quantise, task, subject),
                () if _unchanged(task, subject) else (_made(task, subject),),
            ),
            Step("prompt", ("prefill_seconds",), partial(_prompt, task, subject)),
            Step(
                "tokens",
                DECODE,
                partial(_tokens, task, subject, task.setting.prompt_tokens),
            ),
            *((loss,) if task.losses_from is not None else ()),
        )

    def after(self, task: Task) -> None:
        """The plan's own file stays; the others are made again in seconds."""
        for path in task.folder.glob("*.gguf"):
            if path not in (task.folder / f"{PLAN}.gguf", task.checkpoint, task.base):
                path.unlink(missing_ok=True)
        (task.folder / ANSWERS).unlink(missing_ok=True)


ADAPTER = LlamaCpp()


def _program(task: Task, name: str) -> str:
    return str(Path(task.engine.place) / name)


def _reference(task: Task) -> Path:
    """The file whose answers others are compared with."""
    return task.base if task.base is not None else _base(task)


def _base(task: Task) -> Path:
    return task.checkpoint if task.checkpoint.is_file() else task.folder / "checkpoint.gguf"


def _made(task: Task, subject: Trial) -> Path:
    """The file of a subject; a plan that changes nothing is the checkpoint."""
    name = PLAN if subject.role == DEPTH else subject.id
    return _base(task) if _unchanged(task, subject) else task.folder / f"{name}.gguf"


def _unchanged(task: Task, subject: Trial) -> bool:
    return task.is_finished or (subject.role == PLAN and SCRIPT not in task.files)


def _convert(task: Task) -> StepResult:
    written(
        task,
        _base(task),
        lambda part: conversion(converter(task), task.checkpoint, part),
        "converting the checkpoint",
        sum(f.stat().st_size for f in task.checkpoint.iterdir() if f.is_file()),
    )
    check_model(_base(task), task)
    return StepResult({}, {})


def _answers(task: Task) -> StepResult:
    """The checkpoint's log-probabilities of the text, to compare the others with."""
    s = task.setting
    size = s.kl_chunks * (s.kl_context_tokens // 2) * (task.spec.vocab_size + 4) * 2
    written(
        task,
        task.folder / ANSWERS,
        lambda part: [
            _program(task, "llama-perplexity"),
            "-m",
            str(_reference(task)),
            *_text(task),
            "--kl-divergence-base",
            str(part),
        ],
        "the checkpoint's answers",
        size,
    )
    _check_text(task)
    return StepResult({}, {})


def _check_text(task: Task) -> None:
    """Refuse a text that llama-perplexity found too short: it ends well all the same, and what
    it left has no answers."""
    log = log_of(task, f"{Path(ANSWERS).stem}-made")
    tokens = llama_programs.too_short(log.read_text(encoding="utf-8") if log.is_file() else "")
    if tokens is not None:
        (task.folder / ANSWERS).unlink(missing_ok=True)
        raise InputError(
            f"the text has {tokens} tokens, and the loss needs "
            f"{2 * task.setting.kl_context_tokens}",
            hint="give a longer one with --text, or a smaller --kl-context",
        )


def _quantise(task: Task, subject: Trial) -> StepResult:
    """By the exported script; a setting of the engine by its name alone."""
    target, base = _made(task, subject), _base(task)
    if not _unchanged(task, subject):
        most = base.stat().st_size
        matrix = [] if task.imatrix is None else ["--imatrix", str(task.imatrix)]
        if subject.role == PLAN:
            script = work_folder(task.folder) / SCRIPT
            write_file(script, task.files[SCRIPT])
            path = {"PATH": os.pathsep.join((task.engine.place, os.environ.get("PATH", "")))}
            written(
                task,
                target,
                lambda part: (
                    ["sh", str(script), str(base), str(part)]
                    if task.imatrix is None
                    else quantise_words(
                        task.files[SCRIPT],
                        Path(_program(task, "llama-quantize")),
                        base,
                        part,
                        task.imatrix,
                    )
                ),
                "quantising the plan",
                most,
                path,
            )
        else:
            written(
                task,
                target,
                lambda part: [
                    _program(task, "llama-quantize"),
                    *matrix,
                    str(base),
                    str(part),
                    subject.id,
                    str(task.setting.threads),
                ],
                f"quantising {subject.id}",
                most,
            )
    types = {t.name: t.type for t in read_gguf(target).tensors}
    return StepResult({"file_bytes": Reading(float(target.stat().st_size))}, {"types": types})


def _prompt(task: Task, subject: Trial) -> StepResult:
    """Seconds of the whole prompt."""
    n = task.setting.prompt_tokens
    test, _, lost = _timed(task, subject, "prompt", prompt=n, output=0, depth=0)
    each = test.token_seconds
    return StepResult(
        {"prefill_seconds": Reading(each.value * n, each.spread * n, each.repeats)},
        {"machine": test.machine, "busy_prompt": lost},
    )


def _tokens(task: Task, subject: Trial, depth: int) -> StepResult:
    """Seconds of a token after ``depth`` others, and what the context took."""
    s = task.setting
    test, ran, lost = _timed(task, subject, "tokens", prompt=0, output=s.output_tokens, depth=depth)
    buffer_bytes = llama_programs.buffers(ran.stderr)
    sizes = {
        "weight_bytes": buffer_bytes.weights,
        "cache_bytes": buffer_bytes.cache,
        "cache_tokens": buffer_bytes.cells,
        "compute_bytes": buffer_bytes.compute,
    }
    return StepResult(
        {
            "decode_seconds": test.token_seconds,
            **{name: Reading(float(size)) for name, size in sizes.items()},
        },
        {"machine": test.machine, "busy_tokens": lost},
    )


def _timed(
    task: Task, subject: Trial, what: str, *, prompt: int, output: int, depth: int
) -> tuple[llama_programs.BenchTest, Execution, float]:
    """(the test, the run that it is of, the share of its cores that the engine did not get); while
    other programs take the cores it is repeated, and the least counts."""
    numbers = (("-p", prompt), ("-n", output), ("-d", depth))
    test = [word for flag, n in numbers for word in (flag, str(n))]

    def once() -> tuple[llama_programs.BenchTest, Execution]:
        ran = _bench(task, subject, what, *test)
        return llama_programs.bench_test(ran.stdout, prompt=prompt, output=output, depth=depth), ran

    # A GPU has no share of cores: its engine waits for it.
    threads = task.setting.threads if task.setting.on_cpu else 1
    (found, ran), had = least_disturbed(
        once,
        partial(core_share, threads),
        lambda pair: pair[0].token_seconds.value,
        TRIES,
        AGAIN * task.setting.step_seconds,
    )
    each = found.token_seconds
    if had < LEAST_SHARE:  # the machine's own time lies anywhere below
        wider = max(each.spread, each.value * (1.0 - had))
        found = replace(found, token_seconds=replace(each, spread=wider))
    return found, ran, round(1.0 - had, 3)


def _bench(task: Task, subject: Trial, what: str, *test: str) -> Execution:
    s = task.setting
    cache = GGML_CACHE_TYPES[s.cache]
    options = f"-v -o json -t {s.threads} -r {s.repeats} -ngl {_on(task)} -ctk {cache} -ctv {cache}"
    return run(
        [_program(task, "llama-bench"), "-m", str(_made(task, subject)), *options.split(), *test],
        what=f"timing {subject.id}",
        limit_seconds=s.step_seconds,
        log=log_of(task, f"{subject.id}-{what}"),
    )


def _loss(task: Task, subject: Trial) -> StepResult:
    ran = run(
        [
            _program(task, "llama-perplexity"),
            "-m",
            str(_made(task, subject)),
            *_text(task),
            "--kl-divergence-base",
            str(task.folder / ANSWERS),
            "--kl-divergence",
        ],
        what=f"the loss of {subject.id}",
        limit_seconds=task.setting.step_seconds,
        log=log_of(task, f"{subject.id}-loss"),
    )
    kl, flips = llama_programs.kl_and_flips(ran.stdout + ran.stderr)
    return StepResult({"kl": kl, "flips": flips}, {})


def _text(task: Task) -> list[str]:
    s = task.setting
    cache = GGML_CACHE_TYPES[s.cache]
    options = (
        f"-c {s.kl_context_tokens} --chunks {s.kl_chunks} -t {s.threads} -ngl {_on(task)} "
        f"-ctk {cache} -ctv {cache}"
    )
    return ["-f", str(task.text), *options.split()]


def _on(task: Task) -> str:
    """Layers on a GPU: none for a plan of a CPU."""
    return "0" if task.setting.on_cpu else "999"
