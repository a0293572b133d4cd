"""``python -m evaluation.closed_loop``: install engines, run the loop, judge, write the pages."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.closed_loop import llama, served, served_page, vllm
from evaluation.closed_loop.install import WEIGHTS, Weights, install
from evaluation.closed_loop.page import page
from evaluation.closed_loop.parts import Clock, Parts
from evaluation.pages import publish
from planner.base.errors import DataError
from planner.hardware.host.detect import host_facts

ROOT, PAGES = Path(".engines").absolute(), Path("docs/evidence")
CHUNKS, REPEATS, MINUTES = 8, 5, 55.0
JUDGES = {
    "vLLM judges exports": ("engine_judges", "--vllm", "vllm"),
    "llm-compressor, transformers and torchao judge exports": (
        "quantiser_judges",
        "--torch",
        "torch",
    ),
}
JUDGE_SECONDS = 1200
_UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")
"""Flags of a processor that kernels are chosen by."""


def main() -> int:
    """Every part that can be done is done and kept; 1 where one is missing."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.closed_loop", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="install and measure again")
    parser.add_argument(
        "--rounds",
        default=",".join(llama.ROUNDS),
        help="what losses are known from: " + ", ".join(llama.ALL_ROUNDS),
    )
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="pieces of the text for losses")
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        help="no part begins later; what is left out is told",
    )
    parser.add_argument("--install-only", action="store_true")
    given = parser.parse_args()
    if given.fresh:
        shutil.rmtree(ROOT, ignore_errors=True)
    clock = Clock(given.minutes)
    missing = {f"installing {name}": why for name, why in install(ROOT, clock.tell).items()}
    clock.tell(engines_here())
    if not given.install_only:
        missing |= Run(given, clock, dict(missing)).all()
        clock.tell(f"wrote {PAGES / 'closed-loop.md'}")
    for name, why in missing.items():
        print(f"missing: {name}: {why}", file=sys.stderr)
    return int(bool(missing))


def engines_here() -> str:
    """What ``plan engine`` says of the engines that were installed, by their ids."""
    pythons = {"PLAN_VLLM_PYTHON": "vllm", "PLAN_PYTORCH_PYTHON": "torch"}
    places = {name: str(ROOT / folder / "bin/python") for name, folder in pythons.items()}
    places |= {"PLAN_LLAMA_CPP": str(ROOT / "llama.cpp")}
    done = subprocess.run(
        [sys.executable, "-m", "planner", "engine"],
        env={
            **os.environ,
            **{name: place for name, place in places.items() if Path(place).exists()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout or done.stderr


class Run:
    """One run of the loop, what matters most first; the page is written after each part."""

    def __init__(self, given: argparse.Namespace, clock: Clock, missing: dict[str, str]) -> None:
        self.given, self.clock, self.earlier = given, clock, missing
        self.rounds = tuple(given.rounds.split(","))
        self.loops: dict[str, llama.Begun] = {}
        self.on_vllm: dict[str, dict[str, Any]] = {}
        self.servers: list[dict[str, Any]] = []
        self.machine = machine()

    def work(self) -> dict[str, Callable[[], object]]:
        """Part → what does it, in order."""
        out: dict[str, Callable[[], object]] = {
            "this machine's operators": partial(
                llama.operators, ROOT / "loop" / "operators", ROOT / "llama.cpp" / "bin"
            )
        }
        for model in WEIGHTS:
            out[f"{model.model} on llama.cpp"] = partial(self.begin, model)
            out |= self.plans(model, self.rounds[:1])
        out |= {
            f"{model.model} served by {engine}": partial(self.serve, model, engine)
            for engine in served.ENGINES
            for model in WEIGHTS
        }
        out |= {f"{model.model} on vLLM": partial(self.vllm, model) for model in WEIGHTS}
        out |= {name: partial(judge, *one) for name, one in JUDGES.items()}
        for model in WEIGHTS:
            out |= self.plans(model, self.rounds[1:])
            out[f"plans of {model.model} on vLLM"] = partial(self.vllm_plans, model)
        return out

    def plans(self, model: Weights, rounds: tuple[str, ...]) -> dict[str, Callable[[], object]]:
        """The parts of a model's plans at its limits."""
        return {
            f"plans of {model.model} on llama.cpp, losses from {one}": partial(
                self.planned, model.model, one
            )
            for one in rounds
        }

    def all(self) -> dict[str, str]:
        """Do everything; what is missing, and why."""
        (ROOT / "loop").mkdir(parents=True, exist_ok=True)
        work = self.work()
        parts = Parts(
            list(work), self.clock, lambda: self.write(parts.missing), ROOT / "loop" / "errors.txt"
        )
        for name, one in work.items():
            parts.do(name, one)
        return parts.missing

    def begin(self, model: Weights) -> None:
        """The model's answer and the engine's types."""
        self.loops[model.model] = llama.begin(
            llama.Loop(
                model.model,
                model.base(ROOT),
                ROOT / "llama.cpp" / "bin",
                ROOT / "loop" / model.model,
                self.given.chunks,
                REPEATS,
                self.rounds,
                ROOT / "loop" / "operators",
                self.clock,
            )
        )

    def planned(self, model: str, round_: str) -> None:
        """The model's plans of a round."""
        if model not in self.loops:
            raise DataError("its own types were not run", hint="see what is missing above")
        llama.plans(self.loops[model], round_)

    def serve(self, model: Weights, engine: str) -> None:
        """The printed command of the model on an engine, and the page with what there is."""
        self.servers.append(served.serve(served.place(ROOT, model, self.clock), engine))
        served_page.write(PAGES / "served.md", self.servers, self.machine)

    def vllm(self, model: Weights) -> None:
        """The model's answer and uniform schemes on vLLM."""
        self.on_vllm[model.model] = vllm.run(self.place(model))

    def vllm_plans(self, model: Weights) -> None:
        """The model's plans at limits on vLLM."""
        if model.model not in self.on_vllm:
            raise DataError("its answer was not run", hint="see what is missing above")
        vllm.plans(self.place(model), self.on_vllm[model.model])

    def place(self, model: Weights) -> vllm.Place:
        """Where the model's part on vLLM is."""
        return vllm.Place(
            model.model,
            model.base(ROOT),
            ROOT / "vllm/bin/python",
            ROOT / "llama.cpp" / "bin",
            ROOT / "loop" / "vllm" / model.model,
            self.clock,
        )

    def write(self, missing: dict[str, str]) -> None:
        """The page with what there is."""
        text = page(
            [one.out for one in self.loops.values()],
            list(self.on_vllm.values()),
            {**self.earlier, **missing},
            self.machine,
        )
        publish(PAGES / "closed-loop.md", text)


def judge(module: str, flag: str, name: str) -> None:
    """Engines' own code on commands and exports, with a page of its own.

    Raises:
        DataError: something differs, or the judge failed. OSError: it could not be started.
    """
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                f"benchmarks.{module}",
                flag,
                ROOT / name / "bin/python",
                "--write",
                PAGES / "engines-judged.md",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=JUDGE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(str(error), hint="run it alone") from None
    if done.returncode:
        words = done.stderr.strip()[-400:] or "something differs; see engines-judged.md"
        raise DataError(words, hint="see engines-judged.md")


def machine() -> str:
    """This machine in words."""
    facts = host_facts()
    memory = "" if facts.memory_bytes is None else f", {facts.memory_bytes / 2**30:.0f} GiB"
    units = sorted(flag for flag in facts.flags if flag in _UNITS)
    return (
        f"{facts.name}, {facts.threads} cores{memory}, {facts.system} {facts.machine}, "
        + " ".join(units)
        + (", a virtual machine" if facts.virtual else "")
    )


if __name__ == "__main__":
    raise SystemExit(main())
