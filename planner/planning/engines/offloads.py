"""What engines keep in the memory of the host: the rules of ``data/engine_offloads.csv``.

A row holds for an engine from version ``since`` (included) to ``until`` (excluded), on devices as
in :mod:`planner.planning.engines.rules`, beside hosts that have one of the vector ``units``. All
rows that hold are one way: what lives there (``kinds``), by which unit of place, whether it is
computed there or fetched, and the ``schemes`` that are served there. Where no row holds, nothing is
known, and unknown is never read as supported.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from typing import Literal, cast

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.base.versions import Version, end_of, holds_at, version_of
from planner.formats.schemes import SCHEMES
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, engine_names
from planner.messages.message import Text, joined, message, with_name
from planner.placement.modules import EXPERT_KINDS, PLANNED_KINDS
from planner.planning.engines.rules import DATA, RuleSource, on_device, sources

_ANY = "*"
KINDS_OF = {"experts": EXPERT_KINDS, "mlp": ("mlp-gate-up", "mlp-down"), "all": PLANNED_KINDS}
"""Kinds of modules by the words of the column ``kinds``."""
Place = Literal["layers", "experts"]
Mode = Literal["computed", "fetched"]


@record
class OffloadWay:
    """How an engine uses the host's memory.

    ``groups`` are words of KINDS_OF, of which the first that a model has is meant. By ``layers``
    the first layers' modules live there, by ``experts`` the least popular experts of every layer.
    ``mode`` says what becomes of them in a pass; from ``fetched_from`` tokens on (0: never) they
    are copied to the device in any case. ``prompt_tokens`` of prompts are read in a step, 0: as the
    engine does without a host. ``together``: several sockets share every product, else
    one computes. Activations cross the link with ``activation_bytes`` an element. ``schemes`` are
    those served in host memory, empty: whatever the engine serves.
    """

    engine: str
    groups: tuple[str, ...]
    places: Place
    mode: Mode
    fetched_from: int
    prompt_tokens: int
    together: bool
    activation_bytes: float
    schemes: tuple[str, ...]
    notes: tuple[str, ...]
    sources: tuple[RuleSource, ...]

    @property
    def reason(self) -> Text:
        """The notes with their sources, for people."""
        return joined(
            [
                message("structure.dated", text=note, source=f"{source.title}, {source.date}")
                for note, source in zip(self.notes, self.sources, strict=True)
            ]
        )


@record
class _Rule:
    since: Version
    until: Version | None
    device: str
    units: tuple[str, ...]
    way: OffloadWay


def offload_way(engine: Engine, device: DeviceProfile, host: DeviceProfile) -> OffloadWay:
    """How ``engine`` on ``device`` uses the memory of ``host``.

    Raises:
        UnsupportedError: no row says that it does; the message names engines that do.
    """
    units = {unit for unit, _ in host.rates}
    offload_ways = [
        rule.way
        for rule in _rules()
        if rule.way.engine == engine.name
        and holds_at(rule.since, rule.until, engine.version)
        and on_device(rule.device, device)
        and (rule.units == (_ANY,) or units & set(rule.units))
    ]
    if not offload_ways:
        others = [name for name in engine_names() if any(r.way.engine == name for r in _rules())]
        raise UnsupportedError(
            with_name(
                engine.label,
                message("engines.no_source_says_that_it_keeps", h=host.id, d=device.id),
            ),
            hint=f"--engine {' or '.join(others)}, or leave --host out",
        )
    schemes = {name for way in offload_ways for name in way.schemes}
    any_scheme = any(not way.schemes for way in offload_ways)
    return replace(
        offload_ways[0],
        schemes=() if any_scheme else tuple(s for s in SCHEMES if s in schemes),
        notes=tuple(note for way in offload_ways for note in way.notes),
        sources=tuple(source for way in offload_ways for source in way.sources),
    )


@cache
def _rules() -> tuple[_Rule, ...]:
    known = sources()
    with (DATA / "engine_offloads.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_rule(row, known) for row in csv.DictReader(file))


def _rule(row: dict[str, str], origins: dict[str, RuleSource]) -> _Rule:
    schemes = () if row["schemes"] == _ANY else tuple(row["schemes"].split())
    groups = tuple(row["kinds"].split())
    if (
        not set(schemes) <= set(SCHEMES)
        or not set(groups) <= set(KINDS_OF)
        or row["places"] not in ("layers", "experts")
        or row["mode"] not in ("computed", "fetched")
        or row["together"] not in ("yes", "no")
    ):
        raise ValueError(f"engine_offloads.csv: {row}")
    return _Rule(
        version_of(row["since"]),
        end_of(row["until"]),
        row["device"],
        tuple(row["units"].split()),
        OffloadWay(
            row["engine"],
            groups,
            cast("Place", row["places"]),
            cast("Mode", row["mode"]),
            int(row["fetched_from"]),
            int(row["prompt_tokens"]),
            row["together"] == "yes",
            float(row["activation_bytes"]),
            schemes,
            (row["note"],),
            (origins[row["source"]],),
        ),
    )
