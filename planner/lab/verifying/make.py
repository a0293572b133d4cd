"""``plan make``: the GGUF file of a plan, by llama.cpp's own programs, checked against the plan.

A folder of safetensors is converted by ``convert_hf_to_gguf.py`` first; then llama-quantize gives
every matrix the type that the plan says. The file appears under its name only when it is whole and
as planned.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from planner.base.atomic_files import draft
from planner.base.errors import DataError, InputError
from planner.base.records import record
from planner.base.typed import typed
from planner.export.llama_cpp import FILE
from planner.export.plan_files import export_plan
from planner.lab.verifying.llama_checkpoint import (
    conversion,
    converter_of_programs,
    matrices_of,
    model_of_plan,
)
from planner.lab.verifying.llama_programs import programs_folder
from planner.lab.verifying.processes import run
from planner.models.gguf_header import GgufTensor
from planner.planning.plan.file import read_plan
from planner.planning.plan.record import Plan
from planner.throughput.calibration import ANY_ENGINE

QUANTIZE = "llama-quantize"
SCRIPT = "quantise.sh"
STEP_SECONDS = 6 * 3600.0
_HINT = "`plan verify` runs the same programs; --engine-dir names another llama.cpp"


@record
class MadeFile:
    """What was made, or would be.

    Attributes:
        file: the GGUF file. commands: what was run, as a shell takes it.
        file_bytes: its size, None where nothing was run.
        weight_bytes: bytes of its tensors, None where nothing was run.
        planned_bytes: bytes of weights that the plan counts.
        types: number of matrices by type."""

    file: str
    commands: tuple[str, ...]
    file_bytes: int | None
    weight_bytes: int | None
    planned_bytes: int
    types: Mapping[str, int]


@typed
def make(
    plan: str | os.PathLike[str] | Plan,
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    engine_dir: str | os.PathLike[str] | None = None,
    python: str | os.PathLike[str] | None = None,
    imatrix: str | os.PathLike[str] | None = None,
    model: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> MadeFile:
    """Make the GGUF file ``output`` of a plan from ``checkpoint``: the model in BF16 or F16, a GGUF
    file or a folder of safetensors.

    Args:
        plan: a plan, or its file.
        checkpoint: what llama-quantize starts from; a folder is converted first.
        output: the file to make, ``NAME.gguf``.
        engine_dir: the folder of llama.cpp's programs (default: PLAN_LLAMA_CPP, else the PATH).
        python: the Python that converts a folder: it needs torch and transformers (default:
            PLAN_PYTORCH_PYTHON, else this one).
        imatrix: importance matrix, of llama-imatrix.
        model: the plan's model, where it is not bundled and not the checkpoint.
        dry_run: run nothing; the result has the commands.
        force: write over a file that is there.
        progress: called with each command before it runs.

    Raises:
        InputError: a file is missing or there already, llama.cpp is absent, or the checkpoint is of
            another model.
        UnsupportedError: the plan has a scheme that is no type of llama.cpp.
        DataError: a program failed, or the file is not as planned; nothing is left of it.
    """
    target, base = Path(output), Path(checkpoint)
    _check_files(target, base, imatrix, force)
    read = plan if isinstance(plan, Plan) else read_plan(os.fspath(plan))
    spec = model_of_plan(read, model, base)
    files = export_plan(read, "llama.cpp", model=spec, engine=ANY_ENGINE).files
    if SCRIPT not in files:
        raise InputError(
            "the plan keeps every weight as it is",
            hint="there is nothing to make: serve the checkpoint or file itself",
        )
    folder = programs_folder(None if engine_dir is None else os.fspath(engine_dir), (QUANTIZE,))
    start, steps = base, []
    if base.is_dir():
        start = target.with_name(f".{target.stem}.bf16.gguf")
        script = converter_of_programs(folder, base)
        steps.append((start, conversion(script, base, start, python)))
    else:
        matrices_of(base, spec)
    part = target.with_name(f".{target.name}")
    words = quantise_words(files[SCRIPT], folder / QUANTIZE, start, part, imatrix)
    steps.append((part, words))
    lines = tuple(shlex.join(words) for _, words in steps)
    planned = sum(unit.weight_bytes for unit in read.units if unit.kv_layout is None)
    if dry_run:
        return MadeFile(str(target), lines, None, None, planned, {})
    try:
        with draft(part):
            for (made, words), line in zip(steps, lines, strict=True):
                if progress is not None:
                    progress(line)
                made.unlink(missing_ok=True)  # a link that lies there is not followed
                run(words, what=f"making {target}", limit_seconds=STEP_SECONDS)
            tensors = matrices_of(part, spec)
            check_types(tensors, files[FILE], target)
            part.replace(target)
    finally:
        if start != base:
            start.unlink(missing_ok=True)
    return MadeFile(
        str(target),
        lines,
        target.stat().st_size,
        sum(tensor.bytes for tensor in tensors.values()),
        planned,
        _counted(tensors),
    )


def _check_files(target: Path, base: Path, imatrix: object, force: bool) -> None:
    if not base.exists():
        raise InputError(
            f"checkpoint {str(base)!r} does not exist",
            hint="a GGUF file in BF16 or F16, or a folder of safetensors",
        )
    if imatrix is not None and not Path(str(imatrix)).is_file():
        raise InputError(f"imatrix {str(imatrix)!r} does not exist", hint="llama-imatrix writes it")
    if target.suffix.lower() != ".gguf":
        raise InputError(f"output {str(target)!r} does not end in .gguf", hint="-o NAME.gguf")
    if not target.parent.is_dir():
        raise InputError(f"folder {str(target.parent)!r} does not exist", hint="make it first")
    if os.path.lexists(target) and (not force or target.samefile(base)):
        raise InputError(f"{str(target)!r} exists", hint="another -o, or --force")


def quantise_words(
    script: str, program: Path, start: Path, target: Path, imatrix: str | os.PathLike[str] | None
) -> list[str]:
    """The words of the command in an exported ``script``, with its files in place."""
    line = next(line for line in script.splitlines() if line.startswith("exec "))
    line = line.replace('"${1:?IN.gguf}"', shlex.quote(str(start)))
    line = line.replace('"${2:?OUT.gguf}"', shlex.quote(str(target)))
    words = shlex.split(re.sub(r"\$\{3:-((?:[^}\\]|\\.)*)\}", r"\1", line))[1:]
    if imatrix is not None:
        if "--imatrix" in words:
            words[words.index("--imatrix") + 1] = os.fspath(imatrix)
        else:
            words[1:1] = ["--imatrix", os.fspath(imatrix)]
    return [str(program), *words[1:]]


def check_types(tensors: Mapping[str, GgufTensor], types: str, target: Path) -> None:
    """Refuse a file in which a matrix has not the type that the list of ``types`` gives it.

    Raises:
        DataError: naming the first.
    """
    lines = [line.rpartition("=") for line in types.splitlines() if line]
    patterns = [(re.compile(pattern), name.upper()) for pattern, _, name in lines]
    for tensor in tensors.values():
        wanted = next((name for pattern, name in patterns if pattern.search(tensor.name)), None)
        if wanted is not None and tensor.type.upper() != wanted:
            raise DataError(
                f"{target}: llama-quantize made {tensor.name} {tensor.type}, the plan says "
                f"{wanted}: the file is removed",
                hint=_HINT,
            )


def _counted(tensors: Mapping[str, GgufTensor]) -> dict[str, int]:
    out: dict[str, int] = {}
    for tensor in tensors.values():
        if len(tensor.shape) > 1:
            out[tensor.type] = out.get(tensor.type, 0) + 1
    return dict(sorted(out.items()))
