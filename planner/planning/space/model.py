"""Units, losses and what each unit may take: the part of a search that no candidate changes.

A unit may take only its own kind of choice: a module a scheme, a cache a layout.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.identity_cache import cached_by_identity, drop_oldest
from planner.base.records import cached_record
from planner.placement.cache_entries import stores
from planner.placement.modules import Module, in_gguf, modules
from planner.placement.parts import modules_apart
from planner.planning.engines.cache_rules import cache_words
from planner.planning.engines.mixes import mix_classes
from planner.planning.engines.repositories import GGUF
from planner.planning.engines.routes import EXPERTS, scheme_choice
from planner.planning.question.decisions import build_units, split_modules
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.named import named_scheme
from planner.planning.question.policies import NO_OTHER, kept_scheme, runs_as_released
from planner.planning.question.question import Question
from planner.planning.space.decisions import Decisions, decisions_of
from planner.planning.space.drafting import draft_module, draft_question
from planner.planning.space.losses import LossModel, no_range
from planner.planning.space.unit_model import host_side
from planner.quality.cache_loss import PLAIN_CACHES
from planner.quality.prior import Prior
from planner.throughput.calibration import PRIOR, Certainty, stacks_of
from planner.throughput.engine_policy import shared_experts_overlap, stored_scales
from planner.throughput.gemm import gemm_model
from planner.throughput.ggml_attention import ggml_attention
from planner.throughput.launches import as_launched, launches
from planner.throughput.linear import Machine, kernel_arrays
from planner.throughput.moe import popularity_spread
from planner.throughput.scheduling import StepTimes

MODELS = 48
"""Models that are kept, with their units and kernels: 1 to 3 MB each."""
SHARED = {
    "alphas",
    "caches",
    "certainties",
    "decided",
    "floor",
    "indexer_fp8",
    "known_paces",
    "known_steps",
    "known_tables",
    "layer_loss",
    "norm",
    "of_contexts",
    "possible",
    "references",
    "sensitivity",
    "uniform_losses",
}
"""What no batch, layout or limit of a question changes."""
OF_CONTEXT = {"decided", "known_paces", "layer_loss"}
"""What of it a context changes, over which quantised caches lose more."""
ALL = (
    "alphas",
    "certainties",
    "decided",
    "known_paces",
    "known_steps",
    "known_tables",
    "layer_loss",
    "uniform_losses",
)
"""What of it every question needs."""


@cached_record
class CostModel(LossModel):
    """What does not depend on the candidate: modules, units, losses, device kernels."""

    def with_question(self, question: Question) -> CostModel:
        """The model of another question of the same units, kernels and choices, with what is known
        of them (:data:`SHARED`)."""
        if question is self.question:
            return self
        context = question.workload.context
        if context == self.question.workload.context or set(question.kv) <= set(PLAIN_CACHES):
            return self._with(question, SHARED)
        other = self.of_contexts.get(context)
        if other is None:
            if len(self.of_contexts) >= MODELS:
                drop_oldest(self.of_contexts)
            other = self.of_contexts[context] = self._with(question, SHARED - OF_CONTEXT)
        return other._with(question, SHARED)

    def _with(self, question: Question, shared: set[str]) -> CostModel:
        other = replace(self, question=question)
        for name in ALL:
            getattr(self, name)
        other.__dict__.update((name, self.__dict__[name]) for name in shared & self.__dict__.keys())
        return other

    @cached_property
    def of_contexts(self) -> dict[int, CostModel]:
        """This model and those of other contexts, as far as they were asked for, by context: all
        of them have this one record."""
        return {self.question.workload.context: self}

    @cached_property
    def certainties(self) -> dict[tuple[str, int, int, bool, int], tuple[str, Certainty]]:
        """Operator class and certainty by role, row, choice, whether of a decode step, and layout
        (:func:`planner.planning.price.intervals.certainty`), as far as they were asked for."""
        return {}

    @cached_property
    def known_tables(self) -> dict[tuple[object, ...], Any]:
        """Tables of layouts (:func:`planner.planning.space.memory.tables_and_stages`), as far as
        they were asked for."""
        return {}

    @cached_property
    def known_steps(self) -> dict[tuple[object, ...], StepTimes]:
        """Step times of assignments (:mod:`planner.planning.price.served`), as far as they were
        needed."""
        return {}

    @cached_property
    def known_paces(self) -> dict[tuple[object, ...], Any]:
        """Paces of layouts (:mod:`planner.planning.search.paces`), as far as they were needed."""
        return {}

    @cached_property
    def draft(self) -> CostModel | None:
        """The model that drafts tokens, as a model of its own; None where none does."""
        speculation = self.question.speculation
        if speculation is None:
            return None
        question = draft_question(self.question, speculation)
        stored = bool(stored_scales(question.engine))
        return replace(_built(question, self.prior, question.engine, stored), question=question)

    @cached_property
    def cards(self) -> tuple[CardModel, ...]:
        """The model on each of the unequal cards of a host, none on any other device."""
        return tuple(
            CardModel(
                card.share, build_model(replace(self.question, device=card.profile), self.prior)
            )
            for card in self.question.device.cards
        )

    @cached_property
    def decided(self) -> Decisions:
        """What is decided together, over what is possible."""
        return decisions_of(self, self.possible)

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """bool [unit, choice]: right kind of choice, error emulated, range sufficient."""
        table = ~np.isnan(self.layer_loss)
        schemes = len(self.question.schemes)
        for i, unit in enumerate(self.units):
            if unit.role == "cache":
                table[i, schemes:] &= [stores(self.caches[unit.row], n) for n in self.question.kv]
                if self.question.caches_named:
                    table[i, schemes:] &= [
                        n == self.question.layout_of(unit.kind, unit.layers[0], n)
                        for n in self.question.kv
                    ]
            hosted = unit.role == "module" and bool(self.planned[unit.row].place)
            if hosted and self.host is not None:
                table[i, :schemes] &= self.host.legal
            apart = (
                hosted and self.question.offload is not None and bool(self.question.offload.schemes)
            )
            if self.question.barred and unit.role != "released" and not apart:
                words = (
                    (unit.kind,) if unit.role == "module" else cache_words(self.caches[unit.row])
                )
                table[i] &= [
                    not any((word, n) in self.question.barred for word in words)
                    for n in self.choices
                ]
            if unit.role != "module":
                continue
            released = runs_as_released(self.question, self.planned[unit.row].released_as)
            if unit.layers and set(unit.layers) <= set(self.question.kept):
                table[i, :schemes] &= [
                    s == kept_scheme(self.question, released) for s in self.question.schemes
                ]
            if self.question.named:
                wanted = named_scheme(
                    self.question, self.planned[unit.row], unit, self.question.named
                )
                table[i, :schemes] &= [s == wanted for s in self.question.schemes]
            for j, scheme in enumerate(self.question.schemes):
                fixed = self.question.as_released or unit.kind in NO_OTHER
                if fixed and scheme != released:
                    table[i, j] = False
                if table[i, j] and no_range(self, unit, scheme):
                    table[i, j] = False
        return table


@cached_record
class CardModel:
    """A model on one of a host's cards, and the card's share of its layers."""

    share: float
    model: CostModel


def build_model(
    question: Question, prior: Prior, engine: str | None = None, *, static_scales: bool = False
) -> CostModel:
    """Modules, units and kernels for ``question``, as ``engine`` (default: the question's) was
    measured to run them.

    ``static_scales``: activation scales per tensor are stored, none is searched for in a step, as
    in every checkpoint of some engines.
    """
    server = engine or question.engine
    stored = static_scales or bool(stored_scales(server))
    return _built(question, prior, server, stored).with_question(question)


def _built_of(
    question: Question,
    prior: Prior,
    server: str,
    static_scales: bool,
) -> tuple[object, ...]:
    """What of a question a model is built of: not the workload, nor layouts and limits."""
    return (
        question.spec,
        question.device,
        question.net,
        prior,
        question.profile,
        question.imatrix,
        question.schemes,
        question.kv,
        question.kv_apart,
        question.kv_of_layer,
        question.kv_by_layer,
        question.dropped,
        question.fused,
        question.kept,
        question.barred,
        question.as_released,
        question.named,
        question.apart,
        question.engine,
        question.engine_version,
        question.container,
        question.eager,
        question.offload,
        tuple((r.group, r.asked, r.runs_as) for r in question.routes),
        question.speculation,
        question.corrections,
        server,
        static_scales,
    )


@cached_by_identity(MODELS, of=_built_of)
def _built(question: Question, prior: Prior, server: str, static_scales: bool) -> CostModel:
    """The model of the first question of its kind."""
    spec = question.spec
    planned, released = split_modules(
        modules_apart(spec) if question.apart else modules(spec), question.dropped
    )
    if question.container == GGUF:
        planned, released = ([in_gguf(m) for m in some] for some in (planned, released))
    if question.offload is not None:
        planned = question.offload.placed(planned)
    if question.speculation is not None:
        released.append(draft_module(question, question.speculation))
    fused = question.fused
    if spec.tied_embeddings:
        own = planned if "head" in question.dropped else released
        own.append(tied_head(own))
        fused = (*fused, ("embedding", "head"))
    units = build_units(
        spec,
        planned,
        released,
        prior.ends,
        by_layer=question.profile is not None,
        fused=fused,
        kept=question.kept,
        classes=mix_classes(spec, question.engine) if question.apart else None,
        caches=question.kv_of_layer,
        caches_by_layer=question.kv_by_layer,
    )
    device, how = as_launched(question.device, server), launches(question.device, server)
    stacks = stacks_of(server)
    host, sure = _host(question, server)
    machine = Machine(
        bandwidth=device.bandwidth_bytes_per_s.value,
        dense=kernel_arrays(
            device,
            _run(question, "dense"),
            experts=False,
            stacks=stacks,
            static_scales=static_scales,
            engine=server,
            picked=_picked(question),
        ),
        grouped=kernel_arrays(
            device,
            _run(question, EXPERTS),
            experts=True,
            stacks=stacks,
            static_scales=static_scales,
            engine=server,
            version=question.engine_version,
            container=question.container,
        )
        if spec.experts
        else None,
        net=question.net,
        stacks=stacks,
        plain=gemm_model(device, "bf16", stacks),
        spread=popularity_spread(spec) if spec.experts else None,
        beside=np.array(
            [bool(shared_experts_overlap(server, s)) for s in question.schemes], dtype=bool
        ),
        host_seconds=host,
        host_certainty=sure,
        cpu_attention=ggml_attention(device, server),
        launches=how,
        stages=max(len(question.device.cards), 1),
        one_kernel_gate=how is not None and how.gate_is_one_kernel(device),
    )
    return CostModel(
        question, prior, planned, released, units, machine, host_side(question, server)
    )


def _host(question: Question, engine: str) -> tuple[float, Certainty]:
    """Seconds of an average layer that the engine itself takes of the cores that compute, and how
    sure they are."""
    if question.device.kind != "cpu":
        return 0.0, PRIOR
    from planner.throughput.cpu_host import cpu_host_seconds, host_certainty

    return (
        cpu_host_seconds(question.spec, question.device, engine, eager=question.eager),
        host_certainty(question.device, engine),
    )


def _run(question: Question, group: str) -> list[str]:
    """The schemes whose kernels the question's engine runs for its schemes, in order."""
    return [question.runs_as.get((group, name), name) for name in question.schemes]


def _picked(question: Question) -> list[str]:
    """The names of the kernels that the question's engine picks for dense modules, by scheme; empty
    where no source says."""
    engine = engine_of(question)
    names = [
        None
        if engine is None
        else scheme_choice(engine, question.device, name, "dense", question.container)
        for name in question.schemes
    ]
    return ["" if choice is None else choice.kernel for choice in names]


def tied_head(modules: list[Module]) -> Module:
    """The output projection that shares the embedding's matrix: it runs, and stores nothing."""
    embedding = next(m for m in modules if m.kind == "embedding")
    return replace(embedding, kind="head", stored_bytes=0)
