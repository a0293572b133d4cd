"""The table of a plan: formats by module, what they weigh, and a time column that is TPOT."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import fsum

from planner.base.records import record
from planner.base.units import GIB, format_layers
from planner.planning.plan.record import ModulePlan, Plan, UnitPlan
from planner.report.columns import columns
from planner.report.phrases import Phrases
from planner.report.view.record import Table

TEXT_COLUMNS = (0, 1, 2, 6, 7)
AT = 3
"""Column of the place of weights, where some are in host memory."""
MILLI = 1e3
LONGEST_NAMES = (30, 26, 22, 18, 1)
"""Columns that the names of kinds in one row may take; the first whose table fits is taken."""


def module_table(t: Phrases, plan: Plan, width: int = 80) -> Table:
    """Rows of modules, what else TPOT holds, and TPOT: the column of times adds up to it as shown.
    Kinds share rows as far as the table takes no more than ``width`` columns."""
    for longest in LONGEST_NAMES:
        heads, *rows = _placed(t, plan, longest)
        widths = [max(columns(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
        if sum(widths) + len(widths) - 1 <= width:
            break
    text = TEXT_COLUMNS if plan.offload is None else (*TEXT_COLUMNS[:3], AT, 7, 8)
    return Table(heads, tuple(rows), text)


def _placed(t: Phrases, plan: Plan, longest: int) -> list[tuple[str, ...]]:
    """The heads and the rows, with where weights live if some are in host memory."""
    rows = _rows(t, plan, longest)
    if plan.offload is None:
        return rows
    own = [place_of(plan, row.place) for row in kind_rows(plan, longest)]
    places = [t("plan.place"), *own, *([""] * (len(rows) - 1 - len(own)))]
    return [(*row[:AT], place, *row[AT:]) for row, place in zip(rows, places, strict=True)]


def _rows(t: Phrases, plan: Plan, longest: int) -> list[tuple[str, ...]]:
    """The heading and the cells of each row."""
    rows, others = kind_rows(plan, longest), other_seconds(plan)
    lost = sum(m.loss for m in plan.modules)
    digits = decimals(plan.performance.tpot_seconds.value * MILLI)
    times = shares_of_total(
        [MILLI * s for s in (*(r.decode_seconds for r in rows), *(s for _, s in others))], digits
    )
    zero = f"{0.0:.{digits}f}"
    heads = ("module", "layers", "scheme", "gib", "ms", "loss_share", "because", "bottleneck")
    cells = [
        tuple(t(f"plan.module_{head}") for head in heads),
        *(
            _cells(t, row, time, lost, pools=plan.deployment is not None)
            for row, time in zip(rows, times[: len(rows)], strict=True)
        ),
    ]
    cells += [
        (t(f"plan.{name}"), "", "", "-", time, "-", "", "")
        for (name, _), time in zip(others, times[len(rows) :], strict=True)
        if time != zero
    ]
    weights = sum(m.weight_bytes for m in plan.modules)
    tpot = f"{plan.performance.tpot_seconds.value * MILLI:.{digits}f}"
    return [*cells, ("TPOT", "", "", _gib(weights), tpot, "-", "", "")]


DEVICE = "gpu"
"""Where weights live that are not in host memory."""


def place_of(plan: Plan, place: str) -> str:
    """The cell of a row of the table."""
    assert plan.offload is not None
    return place or DEVICE


def decimals(milliseconds: float) -> int:
    """Decimals that show a time of so many milliseconds to four digits, three at most."""
    return next((n for n, size in enumerate((1000, 100, 10)) if milliseconds >= size), 3)


def _cells(t: Phrases, row: KindRow, time: str, lost: float, *, pools: bool) -> tuple[str, ...]:
    """A row; ``pools``: its workers were chosen whole, which says nothing of single modules."""
    heaviest = max(row.units, key=lambda u: u.decode_seconds)
    size = _gib(row.weight_bytes) if row.weight_bytes else "-"
    return (
        kinds_text(row.kinds),
        _short_layers(row.layers),
        row.scheme,
        size,
        time,
        _share(row.loss, lost),
        t("plan.because_pools") if pools else chosen_because(t, heaviest.reason),
        _bottleneck(t, heaviest.bound),
    )


def _gib(size: int) -> str:
    """GiB with two decimals, from a hundred on with one."""
    return f"{size / GIB:.1f}" if size >= 100 * GIB else f"{size / GIB:.2f}"


def _share(loss: float, total: float) -> str:
    """A module's share of the summed loss; what is not nothing never shows as 0.0%."""
    if loss == 0 or total == 0:
        return "0"
    return f"{loss / total:.1%}" if loss >= 0.0005 * total else "<.1%"


def _short_layers(text: str) -> str:
    spans = text.split(", ")
    return text if len(spans) <= 3 else ", ".join(spans[:2]) + ", …"


TAGS = {
    "kept as released": "fixed",
    "only": "only",
    "limits": "limits",
    "best": "best",
    "simple": "simplest",
    "pace": "pace",
    "not best": "not_best",
    "max-loss": "quality",
    "memory": "memory",
    "host memory": "host_memory",
    "tpot": "tpot",
    "ttft": "ttft",
    "priced, not chosen": "given",
    "given": "given",
}
"""What decided a unit's scheme, by the tag of its reason."""


def chosen_because(t: Phrases, reason: str) -> str:
    """What decided: ``fixed``, ``only option``, the limit that keeps better choices away."""
    tag = reason.partition(":")[0]
    return t(f"plan.because_{TAGS[tag]}") if tag in TAGS else t.original(tag)


def _bottleneck(t: Phrases, bound: str) -> str:
    return t.texts.get(f"plan.bound_{bound}", bound)


GROUPS = (
    ("embedding", "indexer", "compressor", "router", "norm", "head"),
    ("attention-qkv", "mla-q", "mla-kv", "attention-out"),
    ("linear-attention",),
    ("mlp-gate-up", "mlp-down"),
    ("experts-gate-up", "experts-down"),
    ("shared-gate-up", "shared-down"),
    ("kv-k", "kv-v"),
)
"""Kinds that may share a row: those that no format is chosen for, and products of one block."""
PROMPTS, STAGES, JOINT = "interference", "bubbles", "joint_kernels"
UNSPLIT, DRAFTS = "interference_and_waits", "draft_time"
"""What TPOT holds beside units, by the texts that name it."""


@record
class KindRow:
    """Kinds that take one scheme; sums over their units, seconds of one decode step."""

    kinds: tuple[str, ...]
    scheme: str
    layers: str
    weight_bytes: int
    decode_seconds: float
    loss: float
    units: tuple[UnitPlan, ...]
    place: str = ""


def kind_rows(plan: Plan, longest: int) -> list[KindRow]:
    """A row for each kind and scheme, in the order of the plan; kinds of one group that have one
    scheme each, and the same one, share a row as far as their names take ``longest`` columns."""
    alone = {
        name
        for name in {(m.matrix, m.place) for m in plan.modules}
        if sum((m.matrix, m.place) == name for m in plan.modules) == 1
    }
    rows: dict[tuple[object, ...], list[ModulePlan]] = {}
    for place, module in enumerate(plan.modules):
        group = next((i for i, kinds in enumerate(GROUPS) if module.kind in kinds), None)
        shared = group is not None and (module.matrix, module.place) in alone
        key = (group, module.scheme, module.place) if shared else (place,)
        rows.setdefault(key, []).append(module)
    return [_row(plan, part) for members in rows.values() for part in _short(members, longest)]


def kinds_text(kinds: Sequence[str]) -> str:
    """Kinds in a row; a name that begins as the one before it is told by its end:
    ``experts-gate-up, -down``, ``attention-qkv.q, .k``."""
    out = list(kinds[:1])
    for before, kind in pairwise(kinds):
        kind_name, _, part = kind.partition(".")
        if part and before.startswith(f"{kind_name}."):
            out.append(f".{part}")
            continue
        family, _, end = kind.rpartition("-")
        out.append(f"-{end}" if family and before.startswith(f"{family}-") else kind)
    return ", ".join(out)


def _short(members: Sequence[ModulePlan], longest: int) -> list[list[ModulePlan]]:
    """The members of a row, in as many rows as their names need."""
    parts: list[list[ModulePlan]] = []
    for member in members:
        names = [m.matrix for m in parts[-1]] + [member.matrix] if parts else []
        if parts and columns(kinds_text(names)) <= longest:
            parts[-1].append(member)
        else:
            parts.append([member])
    return parts


def _row(plan: Plan, members: Sequence[ModulePlan]) -> KindRow:
    kinds, scheme = tuple(m.matrix for m in members), members[0].scheme
    place = members[0].place
    units = tuple(
        u for u in plan.units if u.matrix in kinds and u.scheme == scheme and u.place == place
    )
    layers = (
        format_layers(tuple({n for u in units for n in u.layers}))
        if len(members) > 1
        else members[0].layers
    )
    return KindRow(
        kinds,
        scheme,
        layers,
        sum(m.weight_bytes for m in members),
        fsum(m.decode_seconds for m in members),
        fsum(m.loss for m in members),
        units,
        place or "",
    )


def other_seconds(plan: Plan) -> list[tuple[str, float]]:
    """(name, seconds) of what TPOT holds beside the units; may be below zero where one kernel
    serves units that are priced alone above it. The rows of :func:`kind_rows` and these add up to
    TPOT."""
    perf = plan.performance
    drafts = (
        []
        if plan.speculation is None
        else [(DRAFTS, plan.speculation.draft_seconds / plan.speculation.accepted_tokens)]
    )
    rest = (
        perf.tpot_seconds.value
        - fsum(u.decode_seconds for u in plan.units)
        - fsum(seconds for _, seconds in drafts)
    )
    if perf.interruption_seconds is None:
        return [*drafts, (UNSPLIT, rest)]
    return [
        *drafts,
        (STAGES if plan.layout.pp > 1 else JOINT, rest - perf.interruption_seconds),
        (PROMPTS, perf.interruption_seconds),
    ]


def shares_of_total(values: Sequence[float], digits: int) -> list[str]:
    """``values`` with so many decimals, rounded so that what is shown adds up to the rounded sum:
    each is off by less than one unit of its last decimal."""
    unit = 10.0**-digits
    total_units = round(fsum(values) / unit)
    down = [int(v // unit) for v in values]
    by_rest = sorted(range(len(values)), key=lambda i: (down[i] * unit - values[i], i))
    missing = total_units - sum(down)
    for i in by_rest[:missing]:
        down[i] += 1
    return [f"{(n * unit) + 0.0:.{digits}f}" for n in down]
