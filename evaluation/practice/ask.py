"""A drawn question answered and judged, as one row of plain data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import planner
from evaluation.answers import layout_words
from evaluation.practice.criteria import Answer, is_failure, judged
from evaluation.practice.draw import PracticeQuestion
from evaluation.practice.removal import without_recipes
from planner.base.errors import PlannerError
from planner.planning.practice.recipes import Recipe


@dataclass(frozen=True)
class Row:
    """A question with its answer; ``failed`` has the criteria that it does not pass, ``refusal``
    the message where there is no answer. ``recipe_shown``: the plan names one itself. ``seconds``
    of processor time. ``tokens_per_second`` of the deployment, ``tpot_ms`` milliseconds."""

    question: PracticeQuestion
    seconds: float
    refusal: str = ""
    engine: str = ""
    version: str = ""
    layout: str = ""
    replicas: int = 0
    batch: int = 0
    schemes: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    speculation: str = ""
    weights: str = ""
    tokens_per_second: float = 0.0
    tpot_ms: float = 0.0
    verdict: str = ""
    recipe: str = ""
    recipe_shown: bool = False
    evidence: str = ""
    unchecked: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()

    @property
    def deployable(self) -> bool:
        return not self.refusal and not self.failed

    @property
    def reasons(self) -> tuple[tuple[str, str], ...]:
        """(criterion, words) of all that fails it."""
        return (("refused", self.refusal),) if self.refusal else self.failed

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return {**asdict(self), "command": self.question.command, "deployable": self.deployable}


def ask(question: PracticeQuestion, rows: Sequence[Recipe], *, own: bool = True) -> Row:
    """``question`` as a user asks it, judged by all ``rows``; not ``own``: the planner is without
    the question's own recipes."""
    without = nullcontext() if own else without_recipes(question.model, question.device)
    with without:
        start = time.process_time()
        try:
            plan = planner.plan(
                question.model,
                question.device,
                devices=question.devices,
                workload=question.workload or None,
                context=question.context or None,
            )
        except PlannerError as error:
            return Row(question, time.process_time() - start, refusal=str(error))
        except Exception as error:  # a fault of the planner is no answer either
            words = f"{type(error).__name__}: {error}"
            return Row(question, time.process_time() - start, refusal=words)
        seconds = time.process_time() - start
    return row_of(question, Answer(plan, tuple(rows)), seconds)


def row_of(question: PracticeQuestion, answer: Answer, seconds: float) -> Row:
    """The row of an answer."""
    plan, said = answer.plan, judged(answer)
    named = plan.recommendation
    published = None if named is None else named.recipe
    drafts = plan.speculation
    return Row(
        question,
        seconds,
        engine=plan.engine.name,
        version=plan.engine.version or "",
        layout=("pools, decode " if answer.pools else "") + layout_words(plan).split(",")[0],
        replicas=plan.layout.replicas,
        batch=plan.workload.batch,
        schemes=answer.schemes,
        caches=answer.caches,
        speculation="" if drafts is None else f"{drafts.kind}:{drafts.draft_tokens}",
        weights=answer.weights.made if answer.served else "",
        tokens_per_second=plan.performance.output_tokens_per_second.value,
        tpot_ms=plan.performance.tpot_seconds.value * 1e3,
        verdict="" if named is None else named.verdict,
        recipe=strongest(answer)
        if published is None
        else f"{published.engine} {published.layout} ({published.source})",
        recipe_shown=published is not None,
        evidence=level_of(answer),
        unchecked=tuple(name for name, words in said.items() if not is_failure(words)),
        failed=tuple((name, words) for name, words in said.items() if is_failure(words)),
    )


def level_of(answer: Answer) -> str:
    """The level of evidence of the plan's time per token; that of its recipe where it is one."""
    named = answer.plan.recommendation
    if named is not None and named.verdict == "recipe" and named.recipe is not None:
        return named.recipe.evidence.level
    evidence = answer.plan.performance.tpot_seconds.evidence
    return "" if evidence is None else evidence.level


def strongest(answer: Answer) -> str:
    """The published deployment of the strongest source on the device, on the devices of the
    question where there is one; in words."""
    device, count = answer.device.id, answer.plan.device.count
    order = sorted(answer.here, key=lambda r: (r.device != device, r.devices != count))
    if not order:
        return ""
    row = order[0]
    return f"{row.engine} {row.layout} on {row.devices} ({row.source})"
