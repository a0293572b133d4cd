"""PyTorch with transformers and torchao: the exported script quantises, plain passes are timed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from planner.base.atomic_files import draft
from planner.base.errors import InputError
from planner.base.records import record
from planner.export import torchao
from planner.lab.verifying.adapter import Address, Step
from planner.lab.verifying.llama_checkpoint import PYTHON_VARIABLE
from planner.lab.verifying.processes import EngineFailedError, run
from planner.lab.verifying.python_engines import (
    BASE,
    BATCHES,
    REFERENCE,
    answers_of,
    ask,
    base_folder,
    bytes_of,
    check_checkpoint,
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
from planner.lab.verifying.records import PLAN, InstalledEngine, Reading, StepResult, Task, Trial
from planner.lab.verifying.writing import work_folder

VARIABLE = PYTHON_VARIABLE
CONFIGURATION, SCRIPT = "fqn_to_config.json", "quantise.py"
_OLDEST = (2, 4)
_RUNNER = "run_torch.py"


@record
class PyTorch:
    """The adapter (see :mod:`planner.lab.verifying.adapter`)."""

    name: str = "pytorch"

    def find(self, where: Address) -> InstalledEngine:
        """The Python that has torch and transformers: the one named, else of the environment, else
        this one.

        Raises:
            InputError: a package is missing or too old.
        """
        python = python_of(where.python, VARIABLE)
        versions = versions_in(python, ("torch", "transformers", "torchao"))
        missing = [name for name in ("torch", "transformers") if name not in versions]
        if missing:
            raise InputError(
                f"{' and '.join(missing)} not installed in {python}",
                hint="install torch, transformers and torchao into an environment of "
                f"their own and name its Python: --python, or {VARIABLE}",
            )
        if tuple(int(part) for part in re.findall(r"\d+", versions["torch"])[:2]) < _OLDEST:
            raise InputError(
                f"torch {versions['torch']} in {python} is too old",
                hint="verify runs 2.4 and newer",
            )
        return InstalledEngine(
            self.name,
            versions["torch"],
            python,
            ", ".join(
                f"{name} {versions[name]}"
                for name in ("transformers", "torchao")
                if name in versions
            ),
        )

    def check(self, task: Task) -> None:
        """The checkpoint is a 16-bit folder, or a GGUF file, of the plan's model.

        Raises:
            InputError: the cache or the quantisation cannot be run here.
        """
        check_checkpoint(task)
        if task.setting.cache != "bf16":
            raise InputError(
                f"a cache in {task.setting.cache}: transformers keeps the model's type",
                hint="make the plan with --kv bf16",
            )
        if CONFIGURATION in task.files and "torchao" not in task.engine.machine:
            raise InputError(
                f"torchao is not installed in {task.engine.place}",
                hint="install it beside torch: the plan quantises",
            )

    def subjects(self, task: Task) -> tuple[Trial, ...]:
        """The plan, the checkpoint as it is, and uniform schemes by --also."""
        return trials(task, torchao.SCHEMES)

    def before(self, task: Task) -> tuple[Step, ...]:
        """Ids of the text, the folder of a GGUF file, and the checkpoint's own answers."""
        return steps_before(task, _reference)

    def steps(self, task: Task, subject: Trial) -> tuple[Step, ...]:
        """Quantise, run, compare."""
        return subject_steps(
            task,
            subject,
            _folder(task, subject),
            quantise=_quantise,
            time=_run,
            times=("weight_bytes", "cache_bytes", "prefill_seconds", "decode_seconds"),
            compare=_loss,
        )

    def after(self, task: Task) -> None:
        """The plan's own checkpoint stays."""
        remove(task, keep=(PLAN,))


ADAPTER = PyTorch()


def _folder(task: Task, subject: Trial) -> Path:
    return folder_of(task, subject, CONFIGURATION)


def _reference(task: Task) -> StepResult:
    answer = _ask(task, BASE, base_folder(task), logits=task.folder / REFERENCE, batches=())
    return StepResult({}, {"kernels": answer["kernels"]})


def _quantise(task: Task, subject: Trial) -> StepResult:
    """By the exported script; a uniform scheme by the script that its own export would have."""
    files = (
        task.files
        if subject.role == PLAN
        else torchao.export(uniform(task.spec, subject.id, tuple(torchao.SCHEMES))).files
    )
    target = _folder(task, subject)
    fresh(task, target)
    scripts = work_folder(task.folder) / f"{subject.id}-export"
    scripts.mkdir(parents=True, exist_ok=True)
    for name in (CONFIGURATION, SCRIPT):
        (scripts / name).write_text(files[name], encoding="utf-8", newline="\n")
    beside = target.with_name(f".{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    with draft(beside):
        run(
            [task.engine.place, str(scripts / SCRIPT), str(base_folder(task)), str(beside)],
            what=f"quantising {subject.id}",
            limit_seconds=task.setting.step_seconds,
            log=work_folder(task.folder) / f"{subject.id}-made.txt",
            environment={"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
            if task.setting.on_cpu
            else {"HF_HUB_OFFLINE": "1"},
        )
        if not (beside / "config.json").is_file():
            raise EngineFailedError(
                f"quantising {subject.id}: no checkpoint was written",
                hint="its output is in the work folder",
            )
        beside.rename(target)
    return StepResult({"file_bytes": Reading(float(bytes_of(target)))}, scheme_of(subject))


def _run(task: Task, subject: Trial) -> StepResult:
    answer = _ask(task, f"{subject.id}-run", _folder(task, subject), logits=None, batches=BATCHES)
    values, others = timed(answer)
    values |= {name: Reading(float(answer[name])) for name in ("weight_bytes", "cache_bytes")}
    facts: dict[str, Any] = {
        key: answer[key] for key in ("kernels", "threads", "isa", "load_seconds", "peak_bytes")
    }
    return StepResult(values, {**facts, **others})


def _loss(task: Task, subject: Trial) -> StepResult:
    _ask(
        task,
        f"{subject.id}-loss",
        _folder(task, subject),
        logits=answers_of(task, subject),
        batches=(),
    )
    return StepResult(loss(task, subject), {})


def _ask(
    task: Task, name: str, folder: Path, *, logits: Path | None, batches: tuple[int, ...]
) -> dict[str, Any]:
    """One start: its sizes, and times of ``batches`` or the logits of the text."""
    request = question(task, folder, logits=logits, batches=batches) | {
        "threads": task.setting.threads,
        "device": "cpu" if task.setting.on_cpu else "cuda",
    }
    return ask(task, _RUNNER, name, request, {"HF_HUB_OFFLINE": "1"})
