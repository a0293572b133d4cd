"""Whether a checkpoint is one that llama.cpp's programs can start from, and of the plan's model."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path

from planner.base.errors import InputError, UnknownNameError
from planner.lab.verifying.python_engines import python_of, versions_in
from planner.lab.verifying.records import Task
from planner.lookup import load_model
from planner.models.gguf_header import GgufTensor, read_gguf
from planner.models.gguf_names import gguf_matrices
from planner.models.spec import ModelSpec
from planner.planning.plan.record import Plan

CONVERT = "convert_hf_to_gguf.py"
PYTHON_VARIABLE = "PLAN_PYTORCH_PYTHON"
CONVERTER_NEEDS = ("torch", "transformers")
"""What the converter imports that this package does not need."""
_PLAIN = {"F32", "F16", "BF16"}
_LAYER = re.compile(r"blk\.(\d+)\.")


def _difference(tensors: Mapping[str, GgufTensor], spec: ModelSpec) -> str:
    """How the matrices of a file are not those of ``spec``; empty where they are."""
    rows = {row.name: row for row in spec.rows}
    wanted = [m for m in gguf_matrices(spec) if m.kind != "mtp"]
    parts = Counter(row for m in wanted for row in m.rows if m.layer in (None, 0))
    for matrix in wanted:
        tensor = tensors.get(matrix.name)
        if tensor is None:
            return f"it has no {matrix.name}"
        if any(parts[row] > 1 for row in matrix.rows) or not matrix.rows:
            continue
        elements = sum(rows[row].elements * rows[row].experts for row in matrix.rows)
        if prod(tensor.shape) != elements:
            return f"{matrix.name} has {prod(tensor.shape):,} elements, not {elements:,}"
    last = max((int(m[1]) for m in map(_LAYER.match, tensors) if m), default=-1)
    if last >= spec.layers + spec.mtp_layers:
        return f"it has {last + 1} layers, not {spec.layers}"
    return ""


def model_of_plan(plan: Plan, model: str | ModelSpec | None, checkpoint: Path) -> ModelSpec:
    """The plan's model: as named, bundled, else read from the checkpoint.

    Raises:
        InputError: the checkpoint is of another model.
    """
    if model is not None:
        return load_model(model)
    try:
        return load_model(plan.model.id)
    except UnknownNameError:
        spec = load_model(str(checkpoint))
    if spec.config_sha256 != plan.model.config_sha256:
        raise InputError(
            f"{checkpoint}: a checkpoint of another model than the plan's {plan.model.id}",
            hint="name the plan's model with --model",
        )
    return spec


def matrices_of(path: Path, spec: ModelSpec) -> dict[str, GgufTensor]:
    """The tensors of a GGUF file of ``spec`` by name.

    Raises:
        InputError: it is of another model.
    """
    tensors = {t.name: t for t in read_gguf(path).tensors}
    reason = _difference(tensors, spec)
    if reason:
        raise InputError(
            f"{path}: a checkpoint of another model than {spec.id}: {reason}",
            hint="give the GGUF file in BF16 or F16 of the model that the plan was "
            "made for, in one part (llama-gguf-split joins them)",
        )
    return tensors


def check_model(path: Path, task: Task) -> None:
    """Refuse another model, by its tensors' names and sizes, and weights that are quantised where
    losses count from them.

    Raises:
        InputError: it is one of them.
    """
    tensors = matrices_of(path, task.spec)
    stored = {t.type for t in tensors.values()} - _PLAIN
    if stored and not (task.is_finished and path == task.checkpoint):
        raise InputError(
            f"{path}: it is quantised already ({', '.join(sorted(stored))})",
            hint="give the file in BF16, F16 or F32: losses count from there",
        )


def converter(task: Task) -> Path:
    """llama.cpp's own converter of Hugging Face folders.

    Raises:
        InputError: it is not there.
    """
    return converter_of_programs(Path(task.engine.place), task.checkpoint)


def converter_of_programs(programs: Path, checkpoint: Path) -> Path:
    """The converter of the llama.cpp whose ``programs`` these are.

    Raises:
        InputError: it is not there.
    """
    for folder in (programs, *list(programs.parents)[:3]):
        if (folder / CONVERT).is_file():
            return folder / CONVERT
    on_path = shutil.which(CONVERT)
    if on_path is not None:
        return Path(on_path)
    raise InputError(
        f"{checkpoint} is a folder, and {CONVERT} is neither beside llama.cpp's programs nor on "
        "PATH",
        hint=f"convert it with llama.cpp's {CONVERT}, in BF16, and give the GGUF file",
    )


def conversion(
    script: Path, checkpoint: Path, output: Path, python: str | os.PathLike[str] | None = None
) -> list[str]:
    """The command that makes the BF16 GGUF file ``output`` of a folder, by llama.cpp's ``script``
    in a Python that has what it imports: the one named, else of PLAN_PYTORCH_PYTHON, else this one.

    Raises:
        InputError: that Python is not there, or lacks a package.
    """
    program = python_of(None if python is None else os.fspath(python), PYTHON_VARIABLE)
    versions = versions_in(program, CONVERTER_NEEDS)
    missing = [name for name in CONVERTER_NEEDS if name not in versions]
    if missing:
        raise InputError(
            f"{script.name} needs {', '.join(missing)}, and {program} has none of that name",
            hint="install llama.cpp's requirements/requirements-convert_hf_to_gguf.txt into an "
            f"environment and name its Python: {PYTHON_VARIABLE}, for `plan make` also --python",
        )
    return [program, str(script), str(checkpoint), "--outtype", "bf16", "--outfile", str(output)]
