"""Questions as users pose them, drawn by a seed from what the table of published practice covers.

Families of devices have shares as in guides and configurations; no model has more than three
questions. Counts are those of the recipes, and every third is twice or half of one.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TypeVar

from planner.base.records import record
from planner.hardware.catalog import is_device, resolve_device
from planner.models.catalog import bundled_model, is_model
from planner.models.inventory import inventory_of
from planner.planning.practice.recipes import KINDS, Recipe
from planner.workloads import load_workload

SEED, COUNT = 42, 60
MOST_A_MODEL = 3
"""Questions of one model."""
LEAST_PARAMETERS = 7e9
MOST_DEVICES = 32
FITS = 0.85
"""Share of the devices' memory that weights may take where a count was halved."""
FAMILIES = {
    "Hopper": ("Hopper",),
    "Blackwell, data centre": ("Blackwell", "Blackwell Ultra"),
    "Ampere": ("Ampere",),
    "AMD": ("CDNA3", "CDNA4"),
    "RTX and workstation": ("Blackwell (GB202)", "Blackwell (GB10)", "Ada"),
    "Jetson": ("Ampere (GA10B)", "Blackwell (Thor)"),
}
"""Families of devices, by the architectures of their profiles."""
SINGLE = ("Jetson",)
"""Families whose devices work alone: their counts are not doubled."""
WORKLOADS: tuple[tuple[str, int], ...] = (
    ("", 0),
    ("chat", 0),
    ("rag", 0),
    ("reasoning", 0),
    ("batch", 0),
    ("", 32_768),
)
"""A named workload, or the longest sequence in tokens; neither: what is assumed without."""
DEPARTURES = ("as published", "as published", "other")


@record
class PracticeQuestion:
    """``devices`` of a ``family``; ``workload`` is empty and ``context`` 0 where not given;
    ``count`` says how ``devices`` came about: ``as published``, ``twice`` or ``half``."""

    model: str
    device: str
    devices: int
    workload: str
    context: int
    family: str
    count: str

    @property
    def command(self) -> str:
        """What asks it at a shell."""
        words = ["plan", self.model, self.device, "--devices", str(self.devices)]
        words += ["--workload", self.workload] if self.workload else []
        words += ["--context", str(self.context)] if self.context else []
        return " ".join(words)


@cache
def family_of(device: str) -> str:
    """The family of a bundled device; empty where it is of none, or a word for a maker."""
    if not is_device(device):
        return ""
    architecture = resolve_device(device).architecture
    return next((name for name, of in FAMILIES.items() if architecture in of), "")


def draw(
    rows: Sequence[Recipe], count: int = COUNT, seed: int = SEED
) -> tuple[PracticeQuestion, ...]:
    """``count`` questions, by family in the order of FAMILIES.

    Raises:
        ValueError: the table has too few models for so many.
    """
    rng = random.Random(seed)
    pairs = covered(rows)
    quotas = shares({name: len(some) for name, some in _strong(pairs).items()}, count)
    taken: defaultdict[str, int] = defaultdict(int)
    chosen: dict[str, list[tuple[str, str]]] = {}
    for family in sorted(quotas, key=lambda name: len(pairs[name])):  # the scarcest first
        chosen[family] = _chosen(pairs[family], quotas[family], taken, rng)
    workloads = _turns(WORKLOADS, rng)
    departures = _turns(DEPARTURES, rng)
    out = []
    for family in (name for name in FAMILIES if name in chosen):
        for model, device in chosen[family]:
            own = pairs[family][model, device]
            devices, words = _count(own, next(departures), model, device, family, rng)
            workload, context = _lengths(*next(workloads), model)
            out.append(PracticeQuestion(model, device, devices, workload, context, family, words))
    return tuple(out)


Item = TypeVar("Item")
Pairs = dict[str, dict[tuple[str, str], tuple[Recipe, ...]]]


def covered(rows: Sequence[Recipe]) -> Pairs:
    """Recipes by family and (model, device): of bundled models above LEAST_PARAMETERS on bundled
    devices; of each pair those of the strongest source that it has, guides and configurations being
    as strong."""
    index: Pairs = {name: {} for name in FAMILIES}
    for row in rows:
        family = family_of(row.device)
        if family and row.devices <= MOST_DEVICES and is_model(row.model) and _is_large(row.model):
            pair = row.model, row.device
            index[family][pair] = (*index[family].get(pair, ()), row)
    return {
        family: {pair: _strongest(some) for pair, some in sorted(of.items())}
        for family, of in index.items()
    }


def shares(weights: Mapping[str, int], count: int) -> dict[str, int]:
    """``count`` in parts as ``weights``, by largest remainders; each that has a weight has one."""
    there = {name: weight for name, weight in weights.items() if weight}
    total = sum(there.values())
    exact = {name: count * weight / total for name, weight in there.items()}
    parts = {name: max(1, int(x)) for name, x in exact.items()}
    order = sorted(there, key=lambda name: parts[name] - exact[name])
    while (missing := count - sum(parts.values())) > 0:
        for name in order[:missing]:
            parts[name] += 1
    while sum(parts.values()) > count:
        parts[max(parts, key=lambda name: parts[name])] -= 1
    return parts


def is_guided(row: Recipe) -> bool:
    """Whether a guide or a configuration says it."""
    return row.kind in KINDS[:2]


def _strong(pairs: Pairs) -> dict[str, list[tuple[str, str]]]:
    return {
        family: [pair for pair, some in of.items() if is_guided(some[0])]
        for family, of in pairs.items()
    }


def _strongest(rows: Sequence[Recipe]) -> tuple[Recipe, ...]:
    return tuple(filter(is_guided, rows)) or tuple(rows)


def _chosen(
    pairs: Mapping[tuple[str, str], Sequence[Recipe]],
    quota: int,
    taken: defaultdict[str, int],
    rng: random.Random,
) -> list[tuple[str, str]]:
    """Pairs of a family: those of guides and configurations first, each once before any is again;
    ``taken`` counts models and goes on."""
    order = sorted(pairs)
    rng.shuffle(order)
    order.sort(key=lambda pair: not is_guided(pairs[pair][0]))
    out: list[tuple[str, str]] = []
    for model, device in order * MOST_A_MODEL:
        if len(out) == quota:
            return out
        if taken[model] < MOST_A_MODEL:
            taken[model] += 1
            out.append((model, device))
    if len(out) < quota:
        raise ValueError(f"{quota} questions of a family, and models for {len(out)}")
    return out


def _count(
    rows: Sequence[Recipe],
    departure: str,
    model: str,
    device: str,
    family: str,
    rng: random.Random,
) -> tuple[int, str]:
    """A count that the recipes have, or twice or half of one that they do not."""
    published = sorted({row.devices for row in rows})
    devices = rng.choice(published)
    if departure == DEPARTURES[0]:
        return devices, departure
    able = []
    if family not in SINGLE and 2 * devices <= MOST_DEVICES and 2 * devices not in published:
        able.append((2 * devices, "twice"))
    if devices % 2 == 0 and devices // 2 not in published and fits(model, device, devices // 2):
        able.append((devices // 2, "half"))
    return rng.choice(able) if able else (devices, DEPARTURES[0])


def _lengths(workload: str, context: int, model: str) -> tuple[str, int]:
    """The workload where the model has positions for it, else none."""
    longest = bundled_model(model).max_context
    if workload:
        named = load_workload(workload)
        context_of = named.context or (named.isl or 0) + (named.osl or 0)
    else:
        context_of = context
    return (workload, context) if longest is None or context_of <= longest else ("", 0)


def _turns(items: Sequence[Item], rng: random.Random) -> Iterator[Item]:
    """All items in a new order, again and again."""
    while True:
        order = list(items)
        rng.shuffle(order)
        yield from order


def fits(model: str, device: str, devices: int) -> bool:
    """Whether the released weights take at most FITS of the memory of ``devices``."""
    room = resolve_device(device).capacity_bytes.value * devices
    return inventory_of(bundled_model(model)).payload_bytes <= FITS * room


@cache
def _is_large(model: str) -> bool:
    return inventory_of(bundled_model(model)).parameters_total > LEAST_PARAMETERS
