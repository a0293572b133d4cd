"""Which architectures an engine serves, by version: ``data/engine_models.csv``.

A row says that a class was in the engine's own registry from version ``since`` (included) to
``until`` (excluded), and in which version before it was ``absent``; between the two nothing was
read. ``since`` is empty where no version that was read has it. Registries of SGLang, vLLM and
llama.cpp were read whole, so that a class without a row is in none of them; of TensorRT-LLM only
support matrices, release notes and single files, so that it says nothing.
"""

from __future__ import annotations

import csv
from functools import cache

from planner.base.records import record
from planner.base.versions import Version, end_of
from planner.memory.engines.catalog import Engine
from planner.memory.engines.versions import known_versions
from planner.messages.message import message
from planner.models.spec import ModelSpec
from planner.planning.engines.rules import DATA, RuleSource, SupportCell

READ_WHOLE = ("vllm", "sglang", "llama.cpp")
"""Engines whose registries were read whole."""
FALLING_BACK = ("vllm", "sglang")
"""Engines that may run a class without one of their own as Transformers has it."""
ALIKE = {
    "Ernie4_5_ForCausalLM": ("Ernie4_5ForCausalLM",),
    "MiniMaxM3ForCausalLM": ("MiniMaxM3SparseForCausalLM",),
}
"""Names that configurations have for a class that registries name otherwise."""
READ = "2026-12"
"""When the registries were read."""


@record
class ModelClass:
    """One class of an engine: from ``since`` to before ``until``; not at ``absent``."""

    since: Version | None
    absent: Version | None
    until: Version | None
    source: str

    def has(self, version: Version, oldest: Version) -> bool | None:
        """Whether ``version`` serves the class; None where nothing was read. What the ``oldest``
        version that was read has is taken to be in those before it."""
        if self.absent is not None and version <= self.absent:
            return False
        if self.since is None or (version < self.since and self.since > oldest):
            return None
        return self.until is None or version < self.until


@record
class ServedClass:
    """What is known of a class at a version: whether it is served, the ``first`` version that was
    seen with it (None: none was) and where that was read."""

    served: bool | None
    first: Version | None
    source: str


def served_class(engine: Engine, architecture: str) -> ServedClass | None:
    """What is known of ``architecture`` in ``engine``; None where nothing is to know: no class is
    stated, or the engine has no table."""
    table = _table().get(engine.name)
    if table is None or not architecture:
        return None
    names = (architecture, *ALIKE.get(architecture, ()))
    rows = [row for name in names for row in table.get(name, ())]
    if not rows:
        whole = engine.name in READ_WHOLE
        return ServedClass(False if whole else None, None, "")
    oldest = oldest_read(engine.name)
    states = [row.has(engine.version, oldest) for row in rows]
    at = states.index(True) if True in states else states.index(None) if None in states else 0
    first = min((row.since for row in rows if row.since is not None), default=None)
    return ServedClass(states[at], first, rows[at].source)


def model_bar(engine: Engine, spec: ModelSpec) -> SupportCell | None:
    """What speaks against ``spec`` in the engine's version: its class is not there, or no source
    says so; None where it is served."""
    known = served_class(engine, spec.architecture)
    if known is None or known.served:
        return None
    source = RuleSource(f"{engine.name}: {known.source}", READ) if known.source else None
    name = spec.architecture
    if known.served is None:
        words = (
            message("engines.no_source_says_of_class_first", x=name, v=str(known.first))
            if known.first
            else message("engines.no_source_says_of_class", x=name)
        )
        return SupportCell("unknown", words, source)
    if known.first is None and engine.name in FALLING_BACK:
        words = message("engines.only_transformers_may_serve", x=name)
        return SupportCell("unknown", words, source)
    if known.first is None:
        return SupportCell("refused", message("engines.none_read_serves_class", x=name), source)
    later = known.first > engine.version
    seen = "does_not_serve_class" if later else "no_longer_serves_class"
    words = message(f"engines.{seen}", x=name, v=str(known.first))
    return SupportCell("refused", words, source)


def first_with(engine: Engine, spec: ModelSpec) -> str:
    """``NAME@VERSION`` of the first later version that was read with the class of ``spec``; empty
    where none is known."""
    known = served_class(engine, spec.architecture)
    later = known is not None and known.first is not None and known.first > engine.version
    return f"{engine.name}@{known.first}" if known is not None and later else ""


@cache
def oldest_read(engine: str) -> Version:
    """The oldest version of ``engine`` whose registry was read."""
    return min(k.version for k in known_versions(engine) if "registry" in k.read)


@cache
def _table() -> dict[str, dict[str, tuple[ModelClass, ...]]]:
    out: dict[str, dict[str, tuple[ModelClass, ...]]] = {}
    with (DATA / "engine_models.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if not row["source"]:
                raise ValueError(f"engine_models.csv: {row}")
            entry = ModelClass(
                end_of(row["since"]), end_of(row["absent"]), end_of(row["until"]), row["source"]
            )
            of_engine = out.setdefault(row["engine"], {})
            name = row["architecture"]
            of_engine[name] = (*of_engine.get(name, ()), entry)
    return out
