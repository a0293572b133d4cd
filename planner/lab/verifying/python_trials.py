"""What engines that are Python packages share: what is run beside the plan, and from which folder.

They load folders of Hugging Face's: the checkpoint itself where nothing is quantised, else one that
is written beside the results.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from planner.lab.verifying.adapter import Step
from planner.lab.verifying.logit_differences import first_position
from planner.lab.verifying.python_engines import (
    REFERENCE,
    TOKENS,
    base_folder,
    bytes_of,
    keep_tokens,
    uniform,
    unpack,
)
from planner.lab.verifying.records import ALSO, DEFAULT, PLAN, Reading, StepResult, Task, Trial

AS_RELEASED, ALONE = "bf16", "none"
"""The checkpoint as it is, among the names of --also; and that nothing runs beside the plan."""


def trials(task: Task, schemes: Collection[str]) -> tuple[Trial, ...]:
    """The plan, the checkpoint as it is, and uniform ``schemes`` by --also; the plan alone where
    that is ``none``.

    Raises:
        InputError, UnknownNameError: a scheme that the engine does not take.
    """
    names = [name.lower() for name in task.also]
    if names == [ALONE]:
        return (Trial(PLAN, PLAN),)
    for name in names:
        if name != AS_RELEASED:
            uniform(task.spec, name, tuple(schemes))
    others = dict.fromkeys(name for name in names if name != AS_RELEASED)
    return (Trial(PLAN, PLAN), Trial(AS_RELEASED, DEFAULT), *(Trial(name, ALSO) for name in others))


def steps_before(task: Task, answer: Callable[[Task], StepResult]) -> tuple[Step, ...]:
    """Ids of the text, the folder of a GGUF file, and the checkpoint's own answers by
    ``answer``."""
    folder = (
        ()
        if task.checkpoint.is_dir()
        else (Step("folder", (), partial(unpack, task), (base_folder(task),)),)
    )
    return (
        Step("token ids", (), partial(keep_tokens, task), (task.folder / TOKENS,)),
        *folder,
        Step("its answers", (), partial(answer, task), (task.folder / REFERENCE,)),
    )


Work = Callable[[Task, Trial], StepResult]


def subject_steps(
    task: Task,
    subject: Trial,
    folder: Path,
    *,
    quantise: Work,
    time: Work,
    times: tuple[str, ...],
    compare: Work,
) -> tuple[Step, ...]:
    """Quantise into ``folder``, run (which measures ``times`` and bytes), compare; of the
    checkpoint itself the size and the run."""
    run = Step("run", times, partial(time, task, subject))
    if folder == base_folder(task):
        return (Step("size", ("file_bytes", "kl", "flips"), partial(size_of_base, task)), run)
    return (
        Step("quantise", ("file_bytes",), partial(quantise, task, subject), (folder,)),
        run,
        Step("loss", ("kl", "flips"), partial(compare, task, subject)),
    )


def question(
    task: Task, folder: Path, *, logits: Path | None, batches: tuple[int, ...]
) -> dict[str, Any]:
    """What every runner is asked in one start: times of ``batches`` of the model in ``folder``, or
    the ``logits`` of the text."""
    s = task.setting
    return {
        "model": str(folder.absolute()),
        "tokens": str((task.folder / TOKENS).absolute()),
        "logits": "" if logits is None else str(logits.absolute()),
        "from_position": first_position(s.kl_context_tokens),
        "prompt": s.prompt_tokens,
        "new_tokens": s.output_tokens,
        "batches": list(batches),
        "repeats": s.repeats,
        "seed": 0,
    }


def folder_of(task: Task, subject: Trial, configuration: str) -> Path:
    """What the engine loads for a subject: the checkpoint itself, too where the plan's export has
    no ``configuration``, as it quantises nothing."""
    plain = subject.id == AS_RELEASED or (subject.role == PLAN and configuration not in task.files)
    return base_folder(task) if plain else task.folder / subject.id


def size_of_base(task: Task) -> StepResult:
    """The checkpoint itself: its answers are those that others are compared with."""
    nothing = Reading(0.0)
    return StepResult(
        {
            "file_bytes": Reading(float(bytes_of(base_folder(task)))),
            "kl": nothing,
            "flips": nothing,
        },
        {"scheme": ""},
    )
