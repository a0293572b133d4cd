"""One model on llama.cpp: its answer for this machine, plans at four sizes, the engine's own types.

Everything is asked of the planner as a user asks it: ``plan``, ``profile``, ``verify`` and
``calibrate``. Every verification keeps a journal, so that a loop that was stopped goes on.
"""

from __future__ import annotations

import datetime
import importlib
import inspect
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import planner
from evaluation.closed_loop.parts import Clock
from planner.base.errors import DataError
from planner.export.plan_files import export_plan
from planner.lab.calibration.run import calibrate
from planner.lab.verifying.llama_cpp import SCRIPT
from planner.planning.plan.record import Plan
from planner.throughput.calibration import ANY_ENGINE

ENGINE, DEVICE = "llama.cpp", "host"
TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "IQ4_XS")
LIMITS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
"""Types whose file a plan may be as large as."""
REQUEST = {"isl": 448, "osl": 64, "batch": 1}
NO_LIMIT = "100 nats"
"""The loss is what is minimised: the default limit on it must not stand against a size."""
ANSWER, WEIGHED_ANSWER = "answer", "answer, imatrix"
ALONE = ("none",)
PRIOR, PROFILED, LEARNED, WEIGHED, WEIGHED_LEARNED = ALL_ROUNDS = (
    "T0",
    "T2",
    "learned",
    "T0, imatrix",
    "learned, imatrix",
)
"""What a plan's losses are known from: other models, a probe of the checkpoint, or what the
engine's own types lost here; the last two with files that an importance matrix wrote."""
ROUNDS = (PRIOR, LEARNED)
MATRIX_TEXT = ("argparse", "ast", "datetime", "decimal", "inspect", "pathlib", "statistics")
"""Modules of Python whose source the importance matrix is of: no text that losses are measured
on."""
MATRIX_CHUNKS, MATRIX_SECONDS = 24, 3600
OPERATORS = ("bandwidth", "gemm", "attention", "quantise")
SCHEMES = (
    "ggml-q8_0",
    "ggml-q6_k",
    "ggml-q5_k",
    "ggml-q5_0",
    "ggml-q5_1",
    "ggml-q4_k",
    "ggml-q4_0",
    "ggml-q4_1",
    "ggml-iq4_xs",
    "ggml-iq4_nl",
)
"""Formats that a profile of the checkpoint measures: those between the limits."""
CHOICES = ("bf16", *SCHEMES)
"""What plans from a profile choose from: every layer decides by itself there, among all of
llama.cpp's types for minutes."""


STEP_SECONDS = 600
"""No step takes a tenth of it on a free machine."""


@dataclass(frozen=True)
class Loop:
    """One model's loop: where its parts are, and how much of the text the loss is measured on.
    ``model`` is what `plan` is given, a name or the BF16 file itself; ``name`` what pages say."""

    model: str
    base: Path
    programs: Path
    folder: Path
    chunks: int
    repeats: int
    rounds: tuple[str, ...]
    operators: Path
    clock: Clock
    threads: int | None = None
    name: str = ""

    def verified(self, name: str, plan: Plan, **more: Any) -> dict[str, Any]:
        """Run ``plan`` in its folder, or predict again what was run there."""
        self.clock.check(f"{self.model}: {name}")
        self.clock.tell(f"{self.model}: {name}")
        found = planner.verify(
            plan,
            self.base,
            engine=ENGINE,
            engine_dir=self.programs,
            chunks=self.chunks,
            output=self.folder / name,
            repeats=self.repeats,
            threads=self.threads,
            prompt_tokens=REQUEST["isl"],
            output_tokens=REQUEST["osl"],
            step_seconds=STEP_SECONDS,
            progress=lambda step: self.clock.tell(f"{self.model}: {name}: {step}"),
            **more,
        )
        return found.to_dict()


@dataclass
class Begun:
    """A model whose answer and whose engine's types were run: what is known by round, and what the
    page is written from; ``made`` are the runs by the commands that made their files, ``ran`` the
    plans that were run by name."""

    loop: Loop
    out: dict[str, Any]
    known: dict[str, dict[str, Any]]
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    ran: dict[str, Plan] = field(default_factory=dict)


def begin(loop: Loop) -> Begun:
    """Run the model's answer and the engine's own types, as predicted before anything was learned
    here, and after.

    Raises:
        PlannerError: an engine's program failed; what was measured stays in the folder.
        TimeIsUpError: there was no time for all of it.
    """
    loop.folder.mkdir(parents=True, exist_ok=True)
    answer = planner.plan(loop.model, DEVICE, engine=ENGINE, **REQUEST)
    first = loop.verified(ANSWER, answer, also=TYPES)
    limits = dict(memory_limits(loop, answer, first))
    probed = profiled(loop) if PROFILED in loop.rounds else None
    learned = learn(loop, probed)
    after = {"profile": str(learned / "profile.json"), "hardware_dir": learned}
    out: dict[str, Any] = {
        "model": loop.name or loop.model,
        "verdict": str(answer),
        "limits": limits,
        "runs": [
            {
                "name": ANSWER,
                "round": PRIOR,
                "limit": "",
                "before": first,
                "after": loop.verified(ANSWER, answer, also=TYPES, **after),
            }
        ],
    }
    write(loop.folder / "loop.json", out)
    return Begun(loop, out, {PRIOR: {}, PROFILED: {"profile": probed}, LEARNED: after})


def weigh(begun: Begun) -> None:
    """Run the engine's own types once more, as an importance matrix writes them, as predicted from
    the prior and from what they taught.

    Raises:
        PlannerError: an engine's program failed. TimeIsUpError: there was no time for all of it.
    """
    loop = begun.loop
    matrix = str(importance(loop))
    answer = planner.plan(loop.model, DEVICE, engine=ENGINE, imatrix=matrix, **REQUEST)
    first = loop.verified(WEIGHED_ANSWER, answer, also=TYPES, imatrix=matrix)
    profile = loop.folder / LEARNED / "imatrix.profile.json"
    shutil.copy(loop.folder / WEIGHED_ANSWER / "profile.json", profile)
    after = {**begun.known[LEARNED], "profile": str(profile), "imatrix": matrix}
    begun.out["runs"].append(
        {
            "name": WEIGHED_ANSWER,
            "round": WEIGHED,
            "limit": "",
            "before": first,
            "after": loop.verified(WEIGHED_ANSWER, answer, also=TYPES, **after),
        }
    )
    begun.known |= {WEIGHED: {"imatrix": matrix}, WEIGHED_LEARNED: after}
    write(loop.folder / "loop.json", begun.out)


def importance(loop: Loop) -> Path:
    """An importance matrix of the model over source of Python's own modules, made once.

    Raises:
        DataError: llama-imatrix failed or hung.
    """
    path, text = loop.folder / "imatrix.gguf", loop.folder / "imatrix.txt"
    if path.exists():
        return path
    loop.clock.tell(f"{loop.model}: llama-imatrix over {MATRIX_CHUNKS} pieces")
    sources = [inspect.getsource(importlib.import_module(name)) for name in MATRIX_TEXT]
    text.write_text("\n\n".join(sources), encoding="utf-8")
    part = path.with_suffix(".part.gguf")
    options = f"-c 512 --chunks {MATRIX_CHUNKS} --no-ppl".split()
    files = ["-m", loop.base, "-f", text, "-o", part]
    try:
        done = subprocess.run(
            [loop.programs / "llama-imatrix", *files, *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=MATRIX_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"llama-imatrix: {error}", hint="run it by hand") from None
    if done.returncode or not part.exists():
        raise DataError(f"llama-imatrix: {done.stderr.strip()[-400:]}", hint="run it by hand")
    part.replace(path)
    return path


def plans(begun: Begun, round_: str) -> None:
    """Run the plans of a round at every limit; each is kept as it comes. One whose file an earlier
    round made already is not run again.

    Raises:
        PlannerError: an engine's program failed. TimeIsUpError: there was no time for all of them.
    """
    loop, out = begun.loop, begun.out
    if round_ in (WEIGHED, WEIGHED_LEARNED):
        if WEIGHED_LEARNED not in begun.known:
            weigh(begun)
        after = begun.known[WEIGHED_LEARNED]
    else:
        after = taught(begun) if round_ == LEARNED else begun.known[LEARNED]
    for limit, memory_bytes in out["limits"].items():
        name = f"{round_}-{limit}"
        loop.clock.check(f"{loop.model}: {name}")
        loop.clock.tell(f"{loop.model}: {name}: plan")
        chosen = planner.plan(
            loop.model,
            DEVICE,
            engine=ENGINE,
            objective="quality",
            memory_bytes=memory_bytes,
            max_loss=NO_LIMIT,
            **REQUEST,
            schemes=None if round_ in (PRIOR, WEIGHED) else CHOICES,
            **begun.known[round_],
        )
        made = export_plan(chosen, ENGINE, engine=ANY_ENGINE, model=loop.model)
        script = made.files.get(SCRIPT, "")
        same = begun.made.get(script)
        run = {"name": name, "round": round_, "limit": limit, "formats": formats(chosen)}
        if same is not None:
            run |= {"before": same["before"], "after": same["after"], "same_as": same["name"]}
        else:
            before = begun.known[round_] if round_ in (PROFILED, WEIGHED) else {}
            if round_ == WEIGHED_LEARNED:
                before = begun.known[WEIGHED]
            run |= {
                "before": loop.verified(name, chosen, also=ALONE, **before),
                "after": loop.verified(name, chosen, also=ALONE, **after),
            }
            begun.made[script], begun.ran[name] = run, chosen
        out["runs"].append(run)
        write(loop.folder / "loop.json", out)


def taught(begun: Begun) -> dict[str, Any]:
    """What is known once the plans of the rounds before were run too: their losses beside those of
    the engine's types."""
    if not begun.ran:
        return begun.known[LEARNED]
    loop, (*others, last) = begun.loop, begun.ran
    loop.verified(
        last,
        begun.ran[last],
        also=ALONE,
        learn_from=[loop.folder / name for name in (ANSWER, *others)],
    )
    profile = loop.folder / LEARNED / "plans.profile.json"
    shutil.copy(loop.folder / last / "profile.json", profile)
    return {**begun.known[LEARNED], "profile": str(profile)}


def memory_limits(loop: Loop, answer: Plan, first: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Type → bytes of memory that leave a plan as much for its weights as that type's file has for
    its own: the file less what names and tokens take, with the cache and buffers of the answer."""
    memory = answer.memory_per_device
    stored = planner.estimate(
        loop.model, DEVICE, engine=ENGINE, scheme="bf16", **REQUEST
    ).memory_per_device.weights_bytes
    beside = loop.base.stat().st_size - stored
    for limit in LIMITS:
        size = next(
            row["measured"]
            for row in first["rows"]
            if (row["subject"], row["quantity"]) == (limit, "file_bytes")
        )
        yield limit, int(size - beside + memory.total_bytes - memory.weights_bytes)


def profiled(loop: Loop) -> str:
    """The checkpoint's own profile (`plan profile --tier T2`), measured once."""
    path = loop.folder / "t2.profile.json"
    if not path.exists():
        loop.clock.tell(f"{loop.model}: plan profile --tier T2")
        planner.profile(loop.base, tier="T2", output=path, schemes=SCHEMES, workers=2)
    return str(path)


def operators(folder: Path, programs: Path) -> Path:
    """This machine's operators (`plan measure --quick`), measured once."""
    if not (folder / "host.toml").exists():
        planner.measure(folder, quick=True, only=OPERATORS, engine_dir=programs, force=True)
    return folder


def learn(loop: Loop, profile: str | None) -> Path:
    """A folder with what this machine and the run of the engine's own types taught:
    ``profile.json`` for losses and ``host.toml`` for times (`plan measure`, `plan calibrate`)."""
    folder = loop.folder / LEARNED
    shutil.copytree(loop.operators, folder, dirs_exist_ok=True)
    answer = planner.plan(loop.model, DEVICE, engine=ENGINE, **REQUEST)
    loop.verified(ANSWER, answer, also=TYPES, **({} if profile is None else {"profile": profile}))
    shutil.copy(loop.folder / ANSWER / "profile.json", folder / "profile.json")
    shutil.copy(loop.folder / ANSWER / "e2e_verify.csv", folder / "e2e_verify.csv")
    result = calibrate(
        folder,
        planner.load_device(DEVICE, hardware_dir=str(loop.operators)),
        date=datetime.date.today().isoformat(),
        source="plan verify on this machine",
        model=planner.load_model(loop.model),
    )
    (folder / "host.toml").write_text(result.text, encoding="utf-8")
    return folder


def formats(plan: Plan) -> dict[str, int]:
    """Scheme → modules of a plan."""
    out: dict[str, int] = {}
    for unit in plan.units:
        if unit.kv_layout is None and unit.kind != "norm":
            out[unit.scheme] = out.get(unit.scheme, 0) + max(1, len(unit.layers))
    return out


def write(path: Path, data: dict[str, Any]) -> None:
    """``data`` as JSON, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data, indent=1), encoding="utf-8")
    part.replace(path)
