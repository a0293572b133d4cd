"""llama.cpp's programs: where they are, and what they print, read: llama-bench's JSON,
llama-perplexity's statistics, the buffers of a load. Sources: tools/llama-bench/llama-bench.cpp,
tools/perplexity/perplexity.cpp, src/llama-model.cpp and src/llama-kv-cache.cpp of
ggml-org/llama.cpp.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from planner.base.errors import InputError
from planner.base.records import record
from planner.lab.verifying.processes import EngineFailedError, Execution, run
from planner.lab.verifying.records import Reading

PROGRAMS = ("llama-quantize", "llama-bench", "llama-perplexity")
VARIABLE = "PLAN_LLAMA_CPP"
ASK_SECONDS = 30.0
MIB = 1 << 20
_MODEL = re.compile(r"load_tensors:\s+(\S+) model buffer size =\s*([\d.]+) MiB")
_CACHE = re.compile(r"llama_kv_cache\w*:\s+(\S+) KV buffer size =\s*([\d.]+) MiB")
_CELLS = re.compile(r"llama_kv_cache\w*: size =.*?\(\s*(\d+) cells")
_COMPUTE = re.compile(r":\s+(\S+) compute buffer size =\s*([\d.]+) MiB")
_KL = re.compile(r"Mean\s+KLD:\s*(-?[\d.]+|-?nan|-?inf) ±\s*(-?[\d.]+|-?nan|-?inf)")
_TOP = re.compile(r"Same top p:\s*([\d.]+) ±\s*([\d.]+|-?nan) %")
_SHORT = re.compile(r"the data file you provided tokenizes to only (\d+) tokens")
_VERSION = re.compile(r"^version: (.+)$", re.MULTILINE)
_DEVICE = re.compile(r"^  (?=\S+: )(.+)$", re.MULTILINE)
_LISTED = re.compile(r"^\s*\d+\s+or\s+(\S+)", re.MULTILINE)


@record
class BenchTest:
    """One test of llama-bench: seconds of a token, read or made; ``machine`` as it says itself."""

    token_seconds: Reading
    machine: str


@record
class Buffers:
    """Bytes that one context took, as printed: of all devices together, and cells of its cache (of
    the larger one, where layers with a window have another)."""

    weights: int
    cache: int
    cells: int
    compute: int


def version_of(text: str) -> str:
    """``0.5.0-dev (build 1, commit 0c1e570)``; empty where there is none."""
    match = _VERSION.search(text)
    return match[1].strip() if match else ""


def types_listed(text: str) -> frozenset[str]:
    """Names of the mixes and types that llama-quantize's help lists."""
    return frozenset(name.upper() for name in _LISTED.findall(text))


def too_short(text: str) -> int | None:
    """Tokens of a text that llama-perplexity finds too short; None where it does not."""
    match = _SHORT.search(text)
    return int(match[1]) if match else None


def bench_test(text: str, *, prompt: int, output: int, depth: int) -> BenchTest:
    """The test of ``llama-bench -o json`` that reads ``prompt`` tokens, or makes ``output`` tokens,
    after ``depth`` others: the least of its repeats, and their standard deviation.

    Raises:
        EngineFailedError: it is not there, or is no such JSON.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(text)
        row = next(
            r for r in rows if (r["n_prompt"], r["n_gen"], r["n_depth"]) == (prompt, output, depth)
        )
        times = [float(t) * 1e-9 / (prompt or output) for t in row["samples_ns"]]
        least = min(times)
        math.log(least)  # a time of 0 or less is none
        return BenchTest(
            Reading(least, statistics.pstdev(times), len(times)), str(row.get("cpu_info", ""))
        )
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise EngineFailedError(
            f"llama-bench: its JSON has not the test that was asked for ({error!r})",
            hint="use a newer llama.cpp; its output is in the folder work",
        ) from None


def buffers(text: str) -> Buffers:
    """The buffers of the last context that a load log tells of; bytes of types that were repacked
    count once more, as they lie there twice.

    Raises:
        EngineFailedError: it tells of none.
    """
    weights = _MODEL.findall(text)
    last = text.rsplit("llama_context: n_ctx ", 1)[-1]
    caches, cells, compute = _CACHE.findall(last), _CELLS.findall(last), _COMPUTE.findall(last)
    if not weights or not caches or not cells:
        raise EngineFailedError(
            "llama-bench: its log does not tell the buffers",
            hint="use a newer llama.cpp; its output is in the folder work",
        )
    return Buffers(_sum(weights), _sum(caches), max(map(int, cells)), _sum(compute))


def _sum(sizes: list[tuple[str, str]]) -> int:
    return round(sum(float(size) for _, size in sizes) * MIB)


def kl_and_flips(text: str) -> tuple[Reading, Reading]:
    """(mean KL divergence [nats], share of tokens whose most likely one differs), with their
    standard errors.

    Raises:
        EngineFailedError: the statistics are not there, or are no numbers.
    """
    kl, top = _KL.search(text), _TOP.search(text)
    if kl is None or top is None:
        raise EngineFailedError(
            "llama-perplexity: its output has no KL statistics",
            hint="it writes them from 100 tokens on: give more --chunks, or a newer llama.cpp",
        )
    numbers = [float(kl[1]), float(kl[2]), float(top[1]), float(top[2])]
    if not all(abs(n) < float("inf") for n in numbers):
        raise EngineFailedError(
            f"llama-perplexity: a KL divergence of {kl[1]}",
            hint="the file gives no finite logits: is the checkpoint sound?",
        )
    return (
        Reading(max(numbers[0], 0.0), numbers[1]),
        Reading(1.0 - numbers[2] / 100.0, numbers[3] / 100.0),
    )


def programs_needed(*, is_finished: bool, has_base: bool) -> tuple[str, ...]:
    """Programs that a run starts: a finished file is not quantised, and compared with a base
    alone."""
    _, bench, perplexity = PROGRAMS
    if not is_finished:
        return PROGRAMS
    return (bench, perplexity) if has_base else (bench,)


def programs_folder(named: str | None, programs: Sequence[str] = PROGRAMS) -> Path:
    """The folder with all of ``programs``: ``named``, else of the environment, else on PATH.

    Raises:
        InputError: they are not there.
    """
    given = named if named is not None else os.environ.get(VARIABLE, "")
    if given:
        for folder in program_folders(given):
            if all((folder / name).is_file() for name in programs):
                return folder.resolve()
        missing = [name for name in programs if not (Path(given) / name).is_file()]
        where = "--engine-dir" if named is not None else VARIABLE
        raise InputError(
            f"{where} {given!r} has no {' and no '.join(missing)}",
            hint="name the folder where llama.cpp's programs were built (build/bin)",
        )
    for name in programs[:1]:
        program = shutil.which(name)
        if program and all((Path(program).parent / other).is_file() for other in programs):
            return Path(program).resolve().parent
    raise InputError(
        f"llama.cpp: {', '.join(programs)} are not on PATH",
        hint="`plan engine llama.cpp` says what is here and what installs it; name the folder of "
        f"its programs with --engine-dir or {VARIABLE} (the package llama-cpp-python carries the "
        "library and its sources, not these programs)",
    )


def program_folders(given: str) -> tuple[Path, ...]:
    """Where programs may be in a folder that was named: itself, or as a build leaves them."""
    return (Path(given), Path(given) / "bin", Path(given) / "build" / "bin")


def devices_listed(text: str) -> tuple[str, ...]:
    """What ``--list-devices`` names besides the CPU: ``CUDA0: NVIDIA … (24,080 MiB, … free)``."""
    return tuple(match.strip() for match in _DEVICE.findall(text))


def output_of(program: Path, *flags: str, accept: Sequence[int] = (0,)) -> Execution:
    """What a program says of itself.

    Raises:
        EngineFailedError: it does not run here.
    """
    try:
        return run(
            [str(program), *flags],
            what=f"asking {program.name} {' '.join(flags)}",
            limit_seconds=ASK_SECONDS,
            accept=accept,
        )
    except EngineFailedError as error:
        raise EngineFailedError(
            error.message,
            hint=f"`{program} {' '.join(flags)}` has to run here: build "
            "llama.cpp anew, or name another folder with --engine-dir",
        ) from None
