"""Which models and files suit a machine: files in the order of their models' scores, priced by what
prices ``plan estimate``, until enough fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from planner.base.errors import PlannerError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_model
from planner.planning.answer.assemble import assemble
from planner.planning.files.catalogue import PublishedFile, file_at
from planner.planning.fit.candidates import Candidate, candidates, releases_with_files
from planner.planning.fit.rating import FitUse, PublishedScore, score_of
from planner.planning.plan.record import Estimate, Plan
from planner.planning.question.input import QuestionInput
from planner.planning.search.engine_search import solve_with_relaxations

WEIGHTS = "weights"
"""The basis of a size that is counted from weights alone."""
TRIED_PER_MODEL = 4
"""Files of a model that are priced before the next model is tried."""
ABOUT_AS_LARGE = 0.9
"""Of files that fit, those with this share of the largest's bytes are compared by what they lose:
a format of more bits may lose more."""
SLACK = 1.2
"""By how much more than its bytes say a smaller file may be quicker than one that is too slow."""


@record
class FittingFile:
    """A published ``file`` of ``release``, a checkpoint, that fits ``engine``'s memory.

    ``bytes`` are the file's, or (``basis`` ``weights``) those of its weights as counted where no
    source has them; ``memory_bytes`` what serving takes. ``decode`` and ``prefill`` are in tokens a
    second, ``context_max`` tokens that its cache has room for, ``loss`` in nats; ``score`` is its
    model's, ``rating`` that less what the file loses (None: nobody published a score); ``evidence``
    is how near measured deployments are; ``command`` fetches and runs it."""

    release: str
    file: PublishedFile
    engine: str
    bytes: int
    basis: str
    score: PublishedScore | None
    rating: float | None
    memory_bytes: int
    context_max: int
    decode: Estimate
    prefill: Estimate
    loss: float
    evidence: str
    command: str

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "release": self.release,
            "file": self.file.to_dict(),
            "engine": self.engine,
            "bytes": self.bytes,
            "basis": self.basis,
            "score": None if self.score is None else _score_values(self.score),
            "rating": self.rating,
            "memory_bytes": self.memory_bytes,
            "context_max": self.context_max,
            "decode_tokens_per_second": _json(self.decode),
            "prefill_tokens_per_second": _json(self.prefill),
            "loss": self.loss,
            "evidence": self.evidence,
            "command": self.command,
        }


@record
class Fitting:
    """The ``files`` that suit ``device`` for ``use``, the best first and one a model; ``tried`` of
    ``models`` models with published files were looked at, of files for ``engines``."""

    device: str
    use: FitUse
    engines: tuple[str, ...]
    files: tuple[FittingFile, ...]
    tried: int
    models: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "device": self.device,
            "use": self.use.name,
            "isl": self.use.isl,
            "osl": self.use.osl,
            "context": self.use.context,
            "least_tokens_per_second": self.use.tokens_per_second,
            "engines": list(self.engines),
            "tried": self.tried,
            "models": self.models,
            "files": [file.to_dict() for file in self.files],
        }


def fitting_files(
    device: DeviceProfile, use: FitUse, count: int, engines: Sequence[str]
) -> Fitting:
    """The ``count`` best files for ``use`` on one ``device``, of those that ``engines`` run."""
    downloads = releases_with_files()
    scores = {release: score_of(release, use.category) for release, _ in downloads}

    def first(pair: tuple[str, str]) -> tuple[float, int]:
        score = scores[pair[0]]
        return -(score.score if score is not None else 0.0), -downloads[pair]

    models = sorted(downloads, key=first)
    suiting: list[FittingFile] = []
    tried = 0
    for release, model in models:
        score = scores[release]
        if len(suiting) >= count and _cannot_enter(suiting, count, score):
            break
        if score is None and any(file.file.model == model for file in suiting):
            continue  # another checkpoint of the same structure, which nobody rated
        tried += 1
        best = _best_file(release, model, score, device, use, engines)
        if best is not None:
            suiting.append(best)
    suiting.sort(key=lambda f: (f.rating is None, -(f.rating or 0.0)))
    return Fitting(device.id, use, tuple(engines), tuple(suiting[:count]), tried, len(models))


def _best_file(
    release: str,
    model: str,
    score: PublishedScore | None,
    device: DeviceProfile,
    use: FitUse,
    engines: Sequence[str],
) -> FittingFile | None:
    """Of the largest files of ``release`` that fit and decode quickly enough, the one that loses
    least; None where none does."""
    suiting: list[FittingFile] = []
    least, most = 0.0, math.inf
    tried = 0
    for candidate in candidates(release, model, load_model(model), engines, use, device):
        if tried == TRIED_PER_MODEL or candidate.bytes < least:
            break
        if candidate.bytes > most:
            continue
        tried += 1
        priced = priced_file(candidate, score, device, use)
        if priced is None:
            continue
        if priced.decode.value < use.tokens_per_second:
            most = SLACK * candidate.bytes * priced.decode.value / use.tokens_per_second
            continue
        suiting.append(priced)
        if candidate.weighed:
            break
        least = max(least, ABOUT_AS_LARGE * candidate.bytes)
    return min(suiting, key=lambda one: one.loss, default=None)


def _cannot_enter(suiting: Sequence[FittingFile], count: int, score: PublishedScore | None) -> bool:
    """Whether a model of ``score`` is behind those that suit however little its file loses."""
    ratings = sorted((f.rating for f in suiting if f.rating is not None), reverse=True)
    if score is None:
        return True
    return len(ratings) >= count and score.score <= ratings[count - 1]


def priced_file(
    candidate: Candidate, score: PublishedScore | None, device: DeviceProfile, use: FitUse
) -> FittingFile | None:
    """``candidate`` as ``plan estimate`` prices its scheme alone on ``device``; None where it does
    not fit or nothing runs it."""
    inputs = QuestionInput(
        model=candidate.file.model,
        device=device,
        scheme=candidate.scheme,
        engine=candidate.engine,
        devices=1,
        batch=1,
        isl=use.isl,
        osl=use.osl,
        context=use.context,
    )
    try:
        ways = inputs.ways(inputs.given_values, uniform=candidate.scheme or "")
        result = solve_with_relaxations(ways)[0]
    except PlannerError:
        return None
    if result is None:
        return None
    plan = assemble(result)
    if plan.capacity.max_context_at_batch < use.context:
        return None
    return _fitting(candidate, score, plan, file_at(candidate.file.place, inputs.subject[0]), use)


def _fitting(
    candidate: Candidate,
    score: PublishedScore | None,
    plan: Plan,
    counted: PublishedFile | None,
    use: FitUse,
) -> FittingFile:
    file = candidate.file if counted is None else counted
    loss = plan.quality.loss
    evidence = plan.performance.tpot_seconds.evidence
    size, basis = file.bytes, str(file.basis)
    if size is None:
        size, basis = plan.memory_per_device.weights_bytes, WEIGHTS
    return FittingFile(
        file.of,
        file,
        candidate.engine,
        size,
        basis,
        score,
        None if score is None else score.less(loss),
        plan.memory_per_device.total_bytes,
        plan.capacity.max_context_at_batch,
        rate_of(plan.performance.tpot_seconds, 1),
        rate_of(plan.performance.ttft_seconds, use.isl),
        loss,
        "none" if evidence is None else evidence.level,
        file.commands.get(candidate.engine, "")
        or f"vllm serve {file.repository} --max-model-len {use.context}",
    )


def rate_of(time: Estimate, tokens: int) -> Estimate:
    """Tokens a second of ``tokens`` in ``time``, with its interval."""
    return Estimate(tokens / time.value, tokens / time.high, tokens / time.low, time.basis)


def _score_values(score: PublishedScore) -> dict[str, Any]:
    return {
        "score": score.score,
        "category": score.category,
        "raised_by": score.raised_by,
        "arena_name": score.arena_name,
        "source": score.source,
        "seen": score.seen,
    }


def _json(value: Estimate) -> dict[str, Any]:
    return {"value": value.value, "low": value.low, "high": value.high, "basis": value.basis}
