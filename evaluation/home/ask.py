"""A question asked of the command, and what its answer says."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.home.questions import HomeQuestion
from planner.export.serve_line import ServeLine, serving_command
from planner.lookup import known_spec
from planner.placement.modules import PLANNED_KINDS
from planner.planning.answer.choice_notes import ONE_REQUEST_KEY
from planner.planning.files.catalogue import PublishedFile, file_at
from planner.planning.plan.file import read_plan
from planner.planning.plan.record import Plan
from planner.report.render.plan_text import plan_text


@dataclass(frozen=True)
class HomeAnswer:
    """What the command answered: its exit code, the plan where there is one, else what it said on
    stderr; ``seconds`` of processor time."""

    question: HomeQuestion
    code: int
    seconds: float
    plan: Plan | None
    refusal: str

    @cached_property
    def text(self) -> str:
        """The answer as people read it."""
        return self.refusal if self.plan is None else plan_text(self.plan)

    @cached_property
    def command(self) -> ServeLine | None:
        """The command that serves it."""
        return None if self.plan is None else serving_command(self.plan)

    @cached_property
    def place(self) -> str:
        """The repository, and of a GGUF repository which file, that the command fetches."""
        words = () if self.command is None else self.command.words
        for flag in ("-hf", "--model", "serve"):
            if flag in words:
                return words[words.index(flag) + 1]
        return ""

    @cached_property
    def file(self) -> PublishedFile | None:
        """The published file that is served, where the catalogue has it."""
        assert self.plan is not None
        return file_at(self.place, known_spec(self.plan.model.id))

    @cached_property
    def formats(self) -> tuple[str, ...]:
        """The mixture of the file, or the schemes of the linears; ``released`` for an unchanged
        checkpoint."""
        plan = self.plan
        assert plan is not None
        quant = self.place.partition(":")[2]
        if quant:
            return (quant,)
        if plan.recommendation is not None and not plan.recommendation.formats:
            return ("released",)
        return tuple(dict.fromkeys(u.scheme for u in plan.units if u.kind in PLANNED_KINDS))

    @cached_property
    def speeds(self) -> tuple[float, float, float, float]:
        """Tokens/s of one request alone: prompt, decode, and the ends of the interval of decode; of
        an engine for servers those of the plan where it is for one request."""
        assert self.plan is not None
        for note in self.plan.assumptions:
            if note.key == ONE_REQUEST_KEY:
                return speeds_of(note.value)
        perf, work = self.plan.performance, self.plan.workload
        each = perf.tpot_seconds
        return work.isl / perf.ttft_seconds.value, 1 / each.value, 1 / each.high, 1 / each.low

    @cached_property
    def window(self) -> int:
        """The longest context window of one request [tokens]."""
        assert self.plan is not None
        for note in self.plan.assumptions:
            if note.key == ONE_REQUEST_KEY and (said := _values(note.value).get("window")):
                return int(said.replace(",", ""))
        return self.plan.capacity.max_context_at_batch


def speeds_of(said: Any) -> tuple[float, float, float, float]:
    """The figures of the note on one request."""
    values = _values(said)
    values = _values(values["speeds"]) if "speeds" in values else values
    prompt, decode, low, high = (
        float(values[name].replace(",", "")) for name in ("prompt", "decode", "low", "high")
    )
    return prompt, decode, low, high


def _values(said: Any) -> dict[str, Any]:
    return dict(getattr(said, "values", ()))


def ask(question: HomeQuestion) -> HomeAnswer:
    """The command's answer to a question, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(prefix="home-") as folder:
        made = subprocess.run(
            [sys.executable, "-m", "planner", *question.words, "--json", "--quiet"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if made.returncode:
            return HomeAnswer(question, made.returncode, seconds, None, made.stderr.strip())
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps(json.loads(made.stdout)), encoding="utf-8")
        return HomeAnswer(question, 0, seconds, read_plan(path), "")
