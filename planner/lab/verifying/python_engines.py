"""Engines that are Python packages: found in a Python of their own, asked by a program in it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from planner.base.atomic_files import replacing
from planner.base.errors import DataError, InputError, UnknownNameError
from planner.export.assignment import ModuleAssignment, from_schemes
from planner.lab.probe.tokens import load_tokenizer
from planner.lab.verifying.hf_checkpoint import config_of_gguf, folder_of_gguf
from planner.lab.verifying.logit_differences import kl_and_flips, read_logits
from planner.lab.verifying.processes import EngineFailedError, run
from planner.lab.verifying.records import PLAN, Reading, Setting, StepResult, Task, Trial
from planner.lab.verifying.writing import work_folder
from planner.models.catalog import resolve_model
from planner.models.configuration import spec_from_bytes
from planner.models.gguf_header import read_gguf
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS
from planner.quality.profile import structure_sha256

RUNNERS = Path(__file__).resolve().parent / "runners"
TOKENS, REFERENCE, BASE = "tokens.npy", "checkpoint.npy", "checkpoint"
BATCHES = (1, 4)
"""Sequences of the timed runs; the first is what is compared."""
_ASK_SECONDS = 120.0
_VERSIONS = (
    "import importlib.metadata as m, json, sys\n"
    "found = {}\n"
    "for name in sys.argv[1:]:\n"
    "    try: found[name] = m.version(name)\n"
    "    except m.PackageNotFoundError: pass\n"
    "print(json.dumps(found))\n"
)


def versions_in(python: str, packages: tuple[str, ...]) -> dict[str, str]:
    """The installed ones of ``packages`` in a Python and their versions.

    Raises:
        EngineFailedError: it cannot be started or does not answer.
    """
    ran = run(
        [python, "-c", _VERSIONS, *packages],
        what=f"asking {python} what it has",
        limit_seconds=_ASK_SECONDS,
    )
    try:
        versions = json.loads(ran.stdout)
    except ValueError:
        raise EngineFailedError(
            f"{python} is no Python: it answered {ran.stdout[:80]!r}",
            hint="name the Python of the engine's environment",
        ) from None
    return {str(name): str(version) for name, version in dict(versions).items()}


def python_of(named: str | None, variable: str) -> str:
    """The Python that is named, else that of the environment's ``variable``, else this one.

    Raises:
        InputError: the named one is not there.
    """
    given = named if named is not None else os.environ.get(variable, "")
    if not given:
        return sys.executable
    path = Path(given).expanduser()
    if path.is_dir():
        path = path / "bin" / "python"
    if not path.is_file():
        where = "--python" if named is not None else variable
        raise InputError(
            f"{where} {given!r}: no such program",
            hint="name the Python of the environment that the engine is in",
        )
    return str(path.absolute())


def check_checkpoint(task: Task) -> None:
    """Refuse what is no 16-bit checkpoint of the plan's model, by Hugging Face's names.

    Raises:
        InputError: which, and what to give instead.
    """
    if any(row.name.startswith("blk.") for row in task.spec.rows):
        raise InputError(
            f"the plan names its modules as GGUF files do, {task.engine.name} as config.json does",
            hint="make the plan for the model's id or its folder; "
            "CHECKPOINT may be a GGUF file all the same",
        )
    spec = _spec_of(task.checkpoint)
    if structure_sha256(spec) != structure_sha256(task.spec):
        raise InputError(
            f"{task.checkpoint}: a checkpoint of another model: {spec.layers} layers of width "
            f"{spec.hidden_size}, vocabulary {spec.vocab_size}; the plan's {task.spec.id} has "
            f"{task.spec.layers} of width {task.spec.hidden_size}, {task.spec.vocab_size}",
            hint="give the checkpoint of the model that the plan was made for",
        )
    if task.checkpoint.is_dir() and spec.quantization not in ("bf16", "fp16", "fp32"):
        raise InputError(
            f"{task.checkpoint}: it is quantised already ({spec.quantization})",
            hint="give the model's 16-bit checkpoint: losses count from there",
        )


def _spec_of(path: Path) -> ModelSpec:
    """The model of a checkpoint; of a GGUF file, that of the folder which it becomes."""
    if path.is_dir():
        return resolve_model(str(path))
    config = json.dumps(config_of_gguf(read_gguf(path), path)).encode()
    return spec_from_bytes(
        config,
        str(path),
        model_id=path.stem,
        public_name=path.stem,
        source=str(path),
        source_kind="file",
    )


def base_folder(task: Task) -> Path:
    """The folder that the engine loads unquantised: the checkpoint, or what a GGUF file becomes."""
    return task.checkpoint if task.checkpoint.is_dir() else task.folder / BASE


def unpack(task: Task) -> StepResult:
    """Write the folder of a GGUF file."""
    fresh(task, base_folder(task))
    folder_of_gguf(task.checkpoint, base_folder(task))
    return StepResult({}, {})


def fresh(task: Task, folder: Path) -> None:
    """Remove what a run that was ended between writing ``folder`` and noting it left there; what is
    not in the verification's own folder stays."""
    import shutil

    if folder.parent == task.folder:
        shutil.rmtree(folder, ignore_errors=True)


def keep_tokens(task: Task) -> StepResult:
    """Write the ids of the text, (pieces, length); a ``.npy`` of ids is taken as it is.

    Raises:
        DataError: the text is too short. UnsupportedError: no tokeniser that is known here.
    """
    s = task.setting
    wanted = s.kl_chunks * s.kl_context_tokens
    if task.text.suffix == ".npy":
        ids = np.load(task.text, allow_pickle=False).reshape(-1)
    else:
        text = task.text.read_text(encoding="utf-8")
        ids = np.asarray(load_tokenizer(task.checkpoint).encode(text), np.int64)
    if len(ids) < wanted or ids.min() < 0 or ids.max() >= task.spec.vocab_size:
        raise DataError(
            f"{task.text}: {len(ids)} token ids of this model, {wanted} are needed",
            hint="give a longer --text, or fewer --chunks",
        )
    target = task.folder / TOKENS
    with replacing(target, exclusive=True) as file:
        np.save(file, ids[:wanted].astype(np.int64).reshape(s.kl_chunks, s.kl_context_tokens))
    return StepResult({}, {"tokens": wanted})


def ask(
    task: Task, runner: str, name: str, question: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """The answer of a runner to ``question``; both are kept in the work folder.

    Raises:
        EngineFailedError: the engine refused, crashed, or did not end in time.
    """
    folder = work_folder(task.folder)
    question_path, answer_path = folder / f"{name}.question.json", folder / f"{name}.answer.json"
    answer_path.unlink(missing_ok=True)
    question_path.write_text(json.dumps(dict(question), indent=1), encoding="utf-8", newline="\n")
    run(
        [
            task.engine.place,
            str(RUNNERS / runner),
            str(question_path.absolute()),
            str(answer_path.absolute()),
        ],
        what=name.replace("-", " "),
        limit_seconds=task.setting.step_seconds,
        log=folder / f"{name}.txt",
        environment=environment,
        folder=folder,
        accept=(0, 1),
    )
    if not answer_path.is_file():
        raise EngineFailedError(
            f"{name}: the engine left no answer",
            hint=f"all of its output is in {folder / name}.txt",
        )
    answer: dict[str, Any] = json.loads(answer_path.read_text(encoding="utf-8"))
    if "error" in answer:
        raise EngineFailedError(
            f"{name}: {task.engine.name} {task.engine.version}: {str(answer['error'])[-400:]}",
            hint=f"all of its output is in {folder / name}.txt; what was measured is kept",
        )
    return answer


def timed(answer: Mapping[str, Any]) -> tuple[dict[str, Reading], dict[str, Any]]:
    """(seconds of the prompt and of a token of one sequence, and the same of the other batches).

    Of each run the least step counts, over all runs; the spread is that of the runs' means.
    """
    values: dict[str, Reading] = {}
    others: dict[str, Any] = {}
    for batch in sorted({entry["batch"] for entry in answer["runs"]}):
        runs = [entry for entry in answer["runs"] if entry["batch"] == batch]
        prompts = [float(entry["prefill_seconds"]) for entry in runs]
        steps = [float(s) for entry in runs for s in entry["decode_seconds"]]
        prompt = Reading(min(prompts), float(np.std(prompts)), len(prompts))
        token = Reading(min(steps), float(np.std(steps)), len(steps))
        if batch == BATCHES[0]:
            values = {"prefill_seconds": prompt, "decode_seconds": token}
        else:
            others[f"batch_{batch}"] = {
                "prefill_seconds": prompt.value,
                "decode_seconds": token.value,
                "median_decode_seconds": float(np.median(steps)),
            }
    others["median_decode_seconds"] = float(
        np.median(
            [
                s
                for entry in answer["runs"]
                if entry["batch"] == BATCHES[0]
                for s in entry["decode_seconds"]
            ]
        )
    )
    return values, others


def fewer_runs(answer: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """The fact that tells how much less was timed than was asked for; none where all was."""
    out = []
    for batch in sorted({entry["batch"] for entry in answer["runs"]}):
        runs = [entry for entry in answer["runs"] if entry["batch"] == batch]
        steps, prompt_runs = (
            min(len(entry["decode_seconds"]) for entry in runs),
            setting.output_tokens - 1,
        )
        if len(runs) < setting.repeats or steps < prompt_runs:
            out.append(
                f"{batch} sequence{'s' * (batch > 1)}: {len(runs)} of {setting.repeats} "
                f"repeats, {steps} of {prompt_runs} decode steps"
            )
    return {"fewer_runs": "; ".join(out)} if out else {}


def fewer_pieces(answer: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """The fact that tells how much less of the text was read than was asked for."""
    done = int(answer.get("chunks", setting.kl_chunks))
    return (
        {}
        if done >= setting.kl_chunks
        else {"fewer_pieces": f"loss: {done} of {setting.kl_chunks} pieces of the text"}
    )


def loss(task: Task, subject: Trial) -> dict[str, Reading]:
    """KL divergence from the checkpoint's answers, and flipped tokens; where an engine was slow, on
    the pieces of the text that both have."""
    path = answers_of(task, subject)
    first, second = read_logits(task.folder / REFERENCE), read_logits(path)
    both = min(len(first), len(second))
    kl, flips = kl_and_flips(first[:both], second[:both])
    path.unlink(missing_ok=True)
    return {"kl": kl, "flips": flips}


def answers_of(task: Task, subject: Trial) -> Path:
    """Where a subject's answers lie until they were compared."""
    return task.folder / f".{subject.id}.npy"


def uniform(spec: ModelSpec, scheme: str, able: tuple[str, ...]) -> ModuleAssignment:
    """Every planned matrix in ``scheme``, which is one of ``able``.

    Raises:
        UnknownNameError: it is none of them.
    """
    if scheme not in able:
        raise UnknownNameError("scheme", scheme, able)
    from planner.placement.cache_entries import cache_units

    modules = {
        (row.kind, layer): scheme
        for row in spec.rows
        if row.part == "main" and row.kind in PLANNED_KINDS
        for layer in row.layers
    }
    caches = {(unit.kind, layer): "bf16" for unit in cache_units(spec) for layer in unit.layers}
    return from_schemes(spec, modules, caches)


def scheme_of(subject: Trial) -> dict[str, Any]:
    """The fact that names a uniform scheme; a plan has its own."""
    return {} if subject.role == PLAN else {"scheme": subject.id}


def bytes_of(folder: Path) -> int:
    """Bytes of the weights of a checkpoint's folder [B]."""
    return sum(
        path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")
    )


def remove(task: Task, keep: tuple[str, ...] = ()) -> None:
    """Remove the large files that the steps alone needed."""
    import shutil

    for path in task.folder.glob("*.npy"):
        path.unlink(missing_ok=True)
    for path in task.folder.glob(".*.npy"):
        path.unlink(missing_ok=True)
    for path in task.folder.iterdir():
        if path.is_dir() and (path / "config.json").is_file() and path.name not in keep:
            shutil.rmtree(path, ignore_errors=True)
