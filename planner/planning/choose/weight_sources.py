"""Whether a plan's weights exist: as a public release, or made by the engine itself."""

from __future__ import annotations

from planner.base.records import record
from planner.memory.engines.catalog import Engine, parse_engine
from planner.planning.engines.checkpoints import (
    Unit,
    checkpoint_of,
    made_while_loading,
    named_checkpoint,
)
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult
from planner.throughput.calibration import ANY_ENGINE


@record
class ReadyWeights:
    """Where the weights of a plan come from: ``checkpoint`` names a public release, ``command`` is
    what makes the engine quantise while it loads; both empty: they must be made."""

    checkpoint: str = ""
    command: str = ""

    @property
    def new_weights(self) -> bool:
        """Whether they must be made."""
        return not self.checkpoint and not self.command


def weight_source(result: SearchResult) -> ReadyWeights:
    """Where the weights of a plan that is not as released come from."""
    model = result.space.model
    question = model.question
    engine = _engine(question)
    units: list[Unit] = [
        (
            model.units[s.unit].matrix,
            s.layers,
            model.choices[s.choice] if s.choice >= 0 else _plain(result, s.unit),
        )
        for s in result.segments
        if model.units[s.unit].role != "cache"
    ]
    kv = sorted(
        {model.choices[s.choice] for s in result.segments if model.units[s.unit].role == "cache"}
    )
    # What somebody publishes is not made by the engine (see made_while_loading).
    made = made_while_loading(question.spec, question.device, engine, units)
    if made is not None:
        return ReadyWeights(command=made.command)
    reasons = [note.reason for note in question.notes]
    named, another = (named_checkpoint(reasons, kind) for kind in ("release", "another"))
    known = checkpoint_of(
        question.spec, question.device, engine, units, kv, named=named, another=another
    )
    return ReadyWeights() if known is None else ReadyWeights(checkpoint=known.repository)


def _engine(question: Question) -> Engine | None:
    """The engine that serves it, None for none in particular."""
    if question.engine == ANY_ENGINE:
        return None
    return parse_engine("@".join(filter(None, (question.engine, question.engine_version))))


def _plain(result: SearchResult, unit: int) -> str:
    """What a unit without a choice is stored in."""
    model = result.space.model
    return model.released[model.units[unit].row].dtype
