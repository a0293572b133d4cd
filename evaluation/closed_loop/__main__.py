"""``python -m evaluation.closed_loop``: install engines, judge, run the loop, write the pages."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluation.closed_loop import llama, vllm
from evaluation.closed_loop.install import WEIGHTS, install
from evaluation.closed_loop.page import page
from planner.errors import PlannerError
from planner.hardware.host.detect import host_facts

ROOT, PAGES = Path(".engines").absolute(), Path("docs/evidence")
CHUNKS, REPEATS = 8, 5
VLLM_MODEL = "smollm2-135m"
JUDGES_SECONDS = 3600
_UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")
"""Flags of a processor that kernels are chosen by."""


def main() -> int:
    """Every part that can be done is done and kept; 1 where one is missing."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.closed_loop", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="install and measure again")
    parser.add_argument("--rounds", default=",".join(llama.ROUNDS),
                        help="what losses are known from: " + ", ".join(llama.ALL_ROUNDS))
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="pieces of the text for losses")
    parser.add_argument("--install-only", action="store_true")
    given = parser.parse_args()
    if given.fresh:
        shutil.rmtree(ROOT, ignore_errors=True)
    start = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - start:6.0f} s  {text}", file=sys.stderr, flush=True)

    missing = {f"installing {name}": why for name, why in install(ROOT, tell).items()}
    if not given.install_only:
        judge(missing, tell)
        loops, on_vllm = measured(given, missing, tell)
        text = page(loops, on_vllm, missing, machine())
        (PAGES / "closed-loop.md").write_text(text, encoding="utf-8")
        tell(f"wrote {PAGES / 'closed-loop.md'}")
    for name, why in missing.items():
        print(f"missing: {name}: {why}", file=sys.stderr)
    return int(bool(missing))


def judge(missing: dict[str, str], tell: Callable[[str], None]) -> None:
    """Engines' own code on commands and exports, with a page of its own: vLLM's, then that of
    llm-compressor, transformers and torchao."""
    for module, flag, name in (("engine_judges", "--vllm", "vllm"),
                               ("quantiser_judges", "--torch", "torch")):
        tell(f"{name} judges exports ({module})")
        try:
            done = subprocess.run(
                [sys.executable, "-m", f"benchmarks.{module}", flag, ROOT / name / "bin/python",
                 "--write", PAGES / "engines-judged.md"], capture_output=True, text=True,
                check=False, timeout=JUDGES_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            missing[module] = str(error)
            continue
        if done.returncode:
            words = done.stderr.strip() or "something differs; see engines-judged.md"
            missing[module] = words[-400:]


def measured(given: argparse.Namespace, missing: dict[str, str], tell: Callable[[str], None],
             ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """(the loops on llama.cpp, the verification on vLLM); what fails is in ``missing``, with what
    was measured of it kept."""
    loops: list[dict[str, Any]] = []
    operators = ROOT / "loop" / "operators"
    try:
        llama.operators(operators, ROOT / "llama.cpp" / "bin", tell)
        models = WEIGHTS
    except (PlannerError, OSError) as error:
        missing["this machine's operators, and llama.cpp"], models = str(error), ()
    for model in models:
        folder = (ROOT / "loop" / model.model)
        try:
            loops.append(llama.run(llama.Loop(
                model.model, model.base(ROOT), ROOT / "llama.cpp" / "bin", folder, given.chunks,
                REPEATS, tuple(given.rounds.split(",")), operators, tell)))
        except (PlannerError, OSError) as error:
            missing[f"{model.model} on llama.cpp"] = str(error)
            if (folder / "loop.json").exists():
                loops.append(json.loads((folder / "loop.json").read_text(encoding="utf-8")))
    base = next(w for w in WEIGHTS if w.model == VLLM_MODEL).base(ROOT)
    try:
        return loops, vllm.run(VLLM_MODEL, base, ROOT / "vllm/bin/python",
                               (ROOT / "loop" / "vllm"), given.chunks, tell)
    except (PlannerError, OSError) as error:
        missing[f"{VLLM_MODEL} on vLLM"] = str(error)
        return loops, None


def machine() -> str:
    """This machine in words."""
    facts = host_facts()
    memory = "" if facts.memory_bytes is None else f", {facts.memory_bytes / 2**30:.0f} GiB"
    units = sorted(flag for flag in facts.flags if flag in _UNITS)
    return (f"{facts.name}, {facts.threads} cores{memory}, {facts.system} {facts.machine}, "
            + " ".join(units) + (", a virtual machine" if facts.virtual else ""))


if __name__ == "__main__":
    raise SystemExit(main())
