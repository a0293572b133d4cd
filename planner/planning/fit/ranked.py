"""Which models and files suit a machine: files in the order of their models' scores, priced by what
prices ``plan estimate``, until enough fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from planner.base.errors import PlannerError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import parse_engine
from planner.memory.usable import usable_memory
from planner.models.catalog import model_ids
from planner.planning.answer.assemble import assemble
from planner.planning.engines.mixes import engine_mixes
from planner.planning.engines.repositories import GGUF, repositories_of
from planner.planning.files.catalogue import PublishedFile, file_at, files_of
from planner.planning.fit.rating import FitUse, PublishedScore, score_of
from planner.planning.plan.record import Estimate
from planner.planning.question.input import QuestionInput
from planner.planning.search.engine_search import solve_with_relaxations

ENGINE = "llama.cpp"
TRIED_PER_MODEL = 3
"""Files of a model that are priced before the next model is tried."""


@record
class FittingFile:
    """A published file of ``release``, a checkpoint, that fits.

    ``decode`` and ``prefill`` are in tokens a second, ``context_max`` tokens that its cache has
    room for, ``loss`` in nats, ``rating`` its model's score less what it loses (None: nobody
    published a score), ``evidence`` how near measured deployments are."""

    release: str
    file: PublishedFile
    score: PublishedScore | None
    rating: float | None
    memory_bytes: int
    context_max: int
    decode: Estimate
    prefill: Estimate
    loss: float
    evidence: str

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "release": self.release,
            "file": self.file.to_dict(),
            "score": None
            if self.score is None
            else {
                "score": self.score.score,
                "category": self.score.category,
                "source": self.score.source,
                "seen": self.score.seen,
            },
            "rating": self.rating,
            "memory_bytes": self.memory_bytes,
            "context_max": self.context_max,
            "decode_tokens_per_second": _json(self.decode),
            "prefill_tokens_per_second": _json(self.prefill),
            "loss": self.loss,
            "evidence": self.evidence,
            "command": self.file.commands[ENGINE],
        }


@record
class Fitting:
    """The files that suit ``device`` for ``use``, the best first and one a model; ``tried`` of
    ``models`` models with published files were looked at."""

    device: str
    use: FitUse
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
            "tried": self.tried,
            "models": self.models,
            "files": [file.to_dict() for file in self.files],
        }


def fitting_files(device: DeviceProfile, use: FitUse, count: int) -> Fitting:
    """The ``count`` best files for ``use`` on one ``device``."""
    rows = (r for m in model_ids() for r in repositories_of(m) if r.container == GGUF)
    models = list(dict.fromkeys((row.of, row.model) for row in rows))
    scores = {release: score_of(release, use.category) for release, _ in models}
    models.sort(key=lambda pair: -(s.score if (s := scores[pair[0]]) else 0.0))
    usable = usable_memory(device, parse_engine(ENGINE)).bytes
    limit = usable if use.file_bytes is None else min(usable, use.file_bytes)
    found: list[FittingFile] = []
    tried = 0
    for release, model in models:
        score = scores[release]
        if len(found) >= count and _cannot_enter(found, count, score):
            break
        tried += 1
        best = None
        for file in list(_largest_first(release, model, limit))[:TRIED_PER_MODEL]:
            priced = priced_file(file, score, device, use)
            if priced is not None and priced.decode.value >= use.tokens_per_second:
                best = priced
                break
        if best is not None:
            found.append(best)
    found.sort(key=lambda f: (f.rating is None, -(f.rating or 0.0)))
    return Fitting(device.id, use, tuple(found[:count]), tried, len(models))


def _cannot_enter(found: list[FittingFile], count: int, score: PublishedScore | None) -> bool:
    """Whether a model of ``score`` is behind those found however little its file loses."""
    ratings = sorted((f.rating for f in found if f.rating is not None), reverse=True)
    if score is None:
        return True
    return len(ratings) >= count and score.score <= ratings[count - 1]


def _largest_first(release: str, model: str, limit: float) -> Iterator[PublishedFile]:
    """Files of ``release`` in llama.cpp's mixtures smaller than ``limit``, the largest first, one a
    mixture."""
    by_quant: dict[str, PublishedFile] = {}
    for file in files_of(model):
        if file.of == release and file.container == GGUF and file.quant.upper() in engine_mixes():
            by_quant.setdefault(file.quant.upper(), file)
    sized = [file for file in by_quant.values() if file.bytes is not None and file.bytes < limit]
    yield from sorted(sized, key=lambda file: -(file.bytes or 0))


def priced_file(
    file: PublishedFile, score: PublishedScore | None, device: DeviceProfile, use: FitUse
) -> FittingFile | None:
    """``file`` as ``plan estimate`` prices its mixture alone on ``device``; None where it does not
    fit or nothing runs it."""
    inputs = QuestionInput(
        model=file.model,
        device=device,
        scheme=file.quant.lower(),
        engine=ENGINE,
        devices=1,
        batch=1,
        isl=use.isl,
        osl=use.osl,
        context=use.context,
    )
    try:
        ways = inputs.ways(inputs.given_values, uniform=file.quant.lower())
        result = solve_with_relaxations(ways)[0]
    except PlannerError:
        return None
    if result is None:
        return None
    plan = assemble(result)
    counted = file_at(file.place, inputs.subject[0])
    loss = plan.quality.loss
    evidence = plan.performance.tpot_seconds.evidence
    return FittingFile(
        file.of,
        file if counted is None else counted,
        score,
        None if score is None else score.less(loss),
        plan.memory_per_device.total_bytes,
        plan.capacity.max_context_at_batch,
        rate_of(plan.performance.tpot_seconds, 1),
        rate_of(plan.performance.ttft_seconds, use.isl),
        loss,
        "none" if evidence is None else evidence.level,
    )


def rate_of(time: Estimate, tokens: int) -> Estimate:
    """Tokens a second of ``tokens`` in ``time``, with its interval."""
    return Estimate(tokens / time.value, tokens / time.high, tokens / time.low, time.basis)


def _json(value: Estimate) -> dict[str, Any]:
    return {"value": value.value, "low": value.low, "high": value.high, "basis": value.basis}
