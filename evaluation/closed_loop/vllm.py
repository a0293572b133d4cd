"""One model on vLLM's CPU back end: as released, INT8 and FP8, predicted and measured."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np

import planner
from evaluation.closed_loop.llama import ANSWER, NO_LIMIT, formats
from evaluation.closed_loop.parts import Clock
from planner.base.errors import UnsupportedError
from planner.export.plan_files import export_plan
from planner.lab.probe.tokens import load_tokenizer
from planner.lab.verifying import processes
from planner.lab.verifying.vllm import CONFIGURATION
from planner.models.gguf_header import read_gguf
from planner.placement.modules import AS_RELEASED_KINDS
from planner.planning.plan.record import Plan
from planner.throughput.calibration import ANY_ENGINE

ENGINE = "vllm"
SCHEMES = {"smollm2-135m": ("int8-w8a8", "fp8-channel"), "gemma-3-270m": ("int8-w8a8",)}
"""Model → the schemes that are run beside its BF16 checkpoint. FP8 takes seconds a token on a CPU,
so that one model is enough to tell it."""
CHUNKS, STEP_SECONDS = 4, 600
PIECE = 512
"""Tokens of a piece of the text, that `plan verify` reads where nothing else is said."""
TEXT_CHARACTERS = 40_000
"""Of the text: CHUNKS pieces at eight characters a token and more."""
REQUEST = {"isl": 448, "osl": 64, "batch": 1}
SETTING: dict[str, Any] = {
    "prompt_tokens": REQUEST["isl"],
    "output_tokens": REQUEST["osl"],
    "chunks": CHUNKS,
    "repeats": 3,
    "step_seconds": STEP_SECONDS,
}
SHARES = (0.0, 0.25, 0.5, 0.75)
"""Of what BF16 has more than INT8: how large a plan's weights may be."""


@dataclass(frozen=True)
class Place:
    """Where a model's verifications on vLLM have their parts. ``programs`` are llama.cpp's, one of
    which knows the tokens of every model."""

    model: str
    base: Path
    python: Path
    programs: Path
    folder: Path
    clock: Clock

    def verified(self, name: str, plan: Plan, also: Sequence[str]) -> dict[str, Any]:
        """Run ``plan`` in its folder, or predict again what was run there."""
        words = f"{self.model} on vLLM: {name}"
        self.clock.check(words)
        self.clock.tell(words)
        found = planner.verify(
            plan,
            self.base,
            engine=ENGINE,
            python=self.python,
            also=also,
            **SETTING,
            text=text_of(self.programs, self.base, self.folder / "text.npy"),
            output=self.folder / name,
            progress=lambda step: self.clock.tell(f"{words}: {step}"),
        )
        return found.to_dict()


def run(place: Place) -> dict[str, Any]:
    """The model's answer for vLLM with SCHEMES beside it; a scheme that the answer has throughout
    is not run twice.

    Raises:
        PlannerError: vLLM failed; what was measured stays in the folder.
        TimeIsUpError: there was no time for it.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    plan = planner.plan(place.model, "host", engine=ENGINE, **REQUEST)
    same = throughout(plan)
    found = place.verified(ANSWER, plan, [s for s in SCHEMES[place.model] if s != same])
    return {**found, "plan_is": same, "made": configuration(plan), "plans": []}


def plans(place: Place, found: dict[str, Any]) -> None:
    """Add the plans at limits between the bytes of INT8 and of BF16 to ``found``, each as it comes;
    one that has the configuration of another is not run again.

    Raises:
        PlannerError: vLLM failed. TimeIsUpError: there was no time for all of them.
    """
    known = {found["made"]: f"the {ANSWER}"}
    for name, memory_bytes in limits(place.model).items():
        plan = planner.plan(
            place.model,
            "host",
            engine=ENGINE,
            objective="quality",
            memory_bytes=memory_bytes,
            max_loss=NO_LIMIT,
            **REQUEST,
        )
        text = configuration(plan)
        one: dict[str, Any] = {"limit": name, "formats": formats(plan)}
        if text in known:
            one["same_as"] = known[text]
        else:
            one["found"] = place.verified(name.replace(" ", "-"), plan, ("none",))
            known[text] = f"the plan ≤ {name}"
        found["plans"].append(one)


def limits(model: str) -> dict[str, int]:
    """Name → bytes of memory: those of INT8, and parts of the way to BF16's."""
    least, most = (
        planner.estimate(model, "host", engine=ENGINE, scheme=scheme, **REQUEST).memory_per_device
        for scheme in ("int8-w8a8", "bf16")
    )
    out = {}
    for share in SHARES:
        more = share * (most.weights_bytes - least.weights_bytes)
        out[f"{(least.weights_bytes + more) / 1e6:.0f} MB"] = math.ceil(least.total_bytes + more)
    return out


def configuration(plan: Plan) -> str:
    """What the plan's checkpoint says of its formats; empty where it is the released one."""
    files = export_plan(plan, ENGINE, engine=ANY_ENGINE).files
    return files.get(CONFIGURATION, "")


def text_of(programs: Path, base: Path, target: Path) -> Path | None:
    """The ids of the text, where they are not made here; None: `plan verify` does."""
    try:
        load_tokenizer(base)
    except UnsupportedError:
        return token_ids(programs, base, target)
    return None


def token_ids(programs: Path, base: Path, target: Path) -> Path:
    """The ids of CHUNKS pieces of Python's language reference, by the tokeniser of the file; each
    piece begins as the model wants texts to begin.

    Raises:
        DataError: the program failed or is not there.
    """
    source = target.with_suffix(".txt")
    source.write_text(
        "\n\n".join(topics[name] for name in sorted(topics))[:TEXT_CHARACTERS], encoding="utf-8"
    )
    ran = processes.run(
        [
            str(tool)
            for tool in (
                programs / "llama-tokenize",
                "-m",
                base,
                "--file",
                source,
                "--ids",
                "--log-disable",
            )
        ],
        what="token ids",
        limit_seconds=STEP_SECONDS,
    )
    found = json.loads(ran.stdout)
    first = [found[0]] if starts_texts(base) else []
    rest, each = found[len(first) :], PIECE - len(first)
    pieces = [first + rest[at * each : (at + 1) * each] for at in range(CHUNKS)]
    np.save(target, np.asarray(pieces, np.int64))
    return target


def starts_texts(base: Path) -> bool:
    """Whether the model's file says that texts begin with its own token for that."""
    return read_gguf(base).metadata.get("tokenizer.ggml.add_bos_token") is True


def throughout(plan: Plan) -> str:
    """The scheme that all matrices of the layers have; empty where there are several."""
    found = {
        unit.scheme
        for unit in plan.units
        if unit.kv_layout is None and unit.kind not in AS_RELEASED_KINDS
    }
    return found.pop() if len(found) == 1 else ""
