"""A finished GGUF file, run as it is: the plan that leaves it unchanged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from planner.base.errors import InputError, UnsupportedError
from planner.hardware.catalog import HOST
from planner.hardware.profile import DeviceProfile
from planner.lab.verifying.predict import batch_one_run
from planner.lab.verifying.records import Setting
from planner.lookup import load_device
from planner.models.gguf_header import read_gguf
from planner.models.imatrix import check_imatrix, load_imatrix
from planner.models.spec import ModelSpec
from planner.planning.inspect.batch_one import price_batch_one
from planner.planning.plan.record import Plan

LLAMA_CPP = "llama.cpp"
IMPORTANCE = "quantize.imatrix.entries_count"
"""What llama-quantize writes of the importance matrix (tools/quantize/quantize.cpp)."""
CACHE = "fp16"
"""llama.cpp's own, where nobody names another."""


def finished_file(plan: str | Plan, engine: str, also: Sequence[str]) -> Path:
    """The GGUF file that stands where a plan would.

    Raises:
        InputError: it is no GGUF file, or other files are asked for beside it. UnsupportedError:
            another engine than llama.cpp.
    """
    path = Path(plan) if isinstance(plan, str) else None
    if path is None or path.suffix.lower() != ".gguf" or not path.is_file():
        raise InputError(
            f"{plan if path is None else str(path)!r} is no GGUF file, and no checkpoint is given",
            hint="plan verify PLAN.json CHECKPOINT, or plan verify FILE.gguf",
        )
    if engine != LLAMA_CPP:
        raise UnsupportedError(
            f"{engine} does not run GGUF files here", hint="leave --engine out: llama.cpp runs them"
        )
    if also:
        raise InputError(
            "also: other files are made of a checkpoint, and this one is finished",
            hint="give a plan and the checkpoint in BF16: plan verify PLAN.json BASE.gguf --also …",
        )
    return path.resolve()


def plan_of_file(
    spec: ModelSpec,
    device: str | DeviceProfile | None,
    folder: str | os.PathLike[str] | None,
    s: Setting,
) -> Plan:
    """The plan of a file as it is stored, for ``device`` or this machine, one request alone."""
    where = load_device(HOST if device is None else device, hardware_dir=folder)
    return price_batch_one(spec, batch_one_run(where, LLAMA_CPP, replace(s, cache=CACHE)))


def check_plan_alone(engine: str, base: object, depths: Sequence[int]) -> None:
    """Refuse what goes with a finished file, or with llama.cpp alone.

    Raises:
        InputError: a base beside a plan. UnsupportedError: depths with another engine.
    """
    if base is not None:
        raise InputError(
            "base: losses of a plan count from its checkpoint",
            hint="--base goes with a finished file: plan verify FILE.gguf --base BASE.gguf",
        )
    if depths and engine != LLAMA_CPP:
        raise UnsupportedError(
            f"depths: {engine} is timed after the prompt alone",
            hint="leave --depths out, or give another length with --prompt-tokens",
        )


def is_made_with_imatrix(path: Path) -> bool:
    """Whether a GGUF file says that llama-quantize had an importance matrix."""
    return IMPORTANCE in read_gguf(path).metadata


def matrix_file(given: str | os.PathLike[str] | None, spec: ModelSpec, engine: str) -> Path | None:
    """The file of the importance matrix, which is of the model.

    Raises:
        UnsupportedError: another engine than llama.cpp.
    """
    if given is None:
        return None
    if engine != LLAMA_CPP:
        raise UnsupportedError(
            f"imatrix and {engine}: importance matrices are llama-quantize's",
            hint="leave --imatrix out, or --engine llama.cpp",
        )
    check_imatrix(load_imatrix(Path(given)), spec)
    return Path(given).resolve()
