"""docs/evidence/pools.md from rows of deployments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evaluation.deployments.causes import CAUSE_ROWS, CAUSES, ratio_words, reading
from evaluation.deployments.figures import (
    Pick,
    by_case,
    contrasts,
    picks,
    rank,
    ratios,
    settings,
)
from evaluation.deployments.rows import DeploymentRow
from evaluation.pages import moved
from evaluation.report import table
from planner.lab.validation.parallelism import Shape, deployment

HEAD = """# Pools against measurements

Do predictions rank measured deployments in two pools as measurements do, how far are they off, and
what would have been picked? *Rate* is output tokens/s a device by Little's law, from measured and
from predicted times; *closed loop* is the row's own load, *as planned* an open stream with the
prefill pool at 0.9 of its highest rate; ρ is Spearman's; ratios are predicted / measured, the
median [what 80 % of the rows lie within]. Made by `make evaluate-pools DATA=DIR` from
`e2e_silicon*` on {day}; nothing is fitted to these rows.
"""
PICKED = """At each limit on TPOT the row with the highest predicted rate is picked among those
that are predicted to keep it. *Share*: its measured rate ÷ the best measured; *blindly*: the mean
of all rows that keep the limit ÷ the best.
"""
CONTRAST = """The best measured rate of two pools ÷ that of one pool, by limit on TPOT; engines,
versions and months differ between the two.
"""
_LIMITED = "; {n} do not, with {most:.0%} above it at most, as TPOT is predicted too low there"


def page(rows: Sequence[DeploymentRow], left: Mapping[str, int], day: str) -> str:
    """The page of a run on ``day``; ``left``: rows in pools that are not predicted by reason."""
    pools = [row for row in rows if row.pools]
    one = [row for row in rows if not row.pools]
    parts = [
        HEAD.format(day=day),
        "## Two pools",
        "",
        *pool_table(pools),
        counted(pools, left),
        "",
        moved("pools-engines", "By engine", engine_table(pools)),
        "",
        "## What would have been picked",
        "",
        PICKED,
        picked_words("Two pools", pools),
        "",
        picked_words("One pool", one),
        "",
        moved("pools-picks", "Every pick", pick_table(pools)),
        moved("one-pool", "One pool by model and device", one_table(one)),
        "",
        "## One pool or two",
        "",
        CONTRAST,
        *contrast_table(rows),
        "",
        "## Where the errors come from",
        "",
        CAUSES,
        moved("pools-causes", "Causes, with figures", CAUSE_ROWS.format_map(reading(rows))),
    ]
    return "\n".join(parts).strip() + "\n"


def pool_table(rows: Sequence[DeploymentRow]) -> list[str]:
    """Ranks and ratios of two pools by case."""
    head = (
        "model, device",
        "precision",
        "tokens",
        "rows",
        "configurations",
        "ρ of rate: closed loop",
        "as planned",
        "ρ of TPOT",
        "of TTFT",
        "rate",
        "TPOT",
        "TTFT",
    )
    return table(
        head,
        [
            (
                *_case_words(case),
                len(mine),
                settings(mine),
                _rho(mine, "rate"),
                _number(rank(mine, lambda r: r.planned, lambda r: r.rate.measured)),
                _rho(mine, "tpot"),
                _rho(mine, "ttft"),
                *_three(mine),
            )
            for case, mine in by_case(rows).items()
        ],
    )


def engine_table(rows: Sequence[DeploymentRow]) -> list[str]:
    """Ratios of two pools by engine, device and precision, and of all."""
    groups: dict[tuple[str, ...], list[DeploymentRow]] = {}
    kept = [row for row in rows if not row.excluded]
    for row in kept:
        groups.setdefault((row.software, row.device, row.precision), []).append(row)
    lines = [(*key, len(mine), *_three(mine)) for key, mine in sorted(groups.items())]
    return table(
        ("engine", "device", "precision", "rows", "rate", "TPOT", "TTFT"),
        [*lines, ("all", "", "", len(kept), *_three(kept))],
    )


def one_table(rows: Sequence[DeploymentRow]) -> list[str]:
    """Ranks and ratios of one pool by model, device and precision: ρ is the median of its lengths
    and the least."""
    groups: dict[tuple[str, str, str], list[list[DeploymentRow]]] = {}
    for case, mine in by_case(rows).items():
        groups.setdefault(case[:3], []).append(mine)
    lines = []
    for (model, device, precision), found in groups.items():
        ranks = sorted(
            value
            for mine in found
            if (value := rank(mine, lambda r: r.rate.predicted, lambda r: r.rate.measured))
            is not None
        )
        every = [row for mine in found for row in mine]
        said = f"{ranks[len(ranks) // 2]:.2f} (least {ranks[0]:.2f})" if ranks else "-"
        lines.append(
            (f"{model}, {device}", precision, len(every), len(found), said, *_three(every))
        )
    return table(
        ("model, device", "precision", "rows", "lengths", "ρ of rate", "rate", "TPOT", "TTFT"),
        lines,
    )


def pick_table(rows: Sequence[DeploymentRow]) -> list[str]:
    """What would have been picked by case and limit."""
    lines = [
        (
            ", ".join(_case_words(case)),
            _limit(pick.limit),
            pick.kept,
            _row(pick.best),
            "the same" if pick.picked == pick.best else _row(pick.picked),
            _share(pick),
            f"{pick.any:.2f}",
        )
        for case, mine in by_case(rows).items()
        for pick in picks(mine, lambda r: r.rate.predicted)
    ]
    return table(
        ("case", "TPOT", "rows", "best: measured tokens/s a device", "pick", "share", "any row"),
        lines,
    )


def picked_words(what: str, rows: Sequence[DeploymentRow]) -> str:
    """How good picks were in all."""
    found = [
        pick for mine in by_case(rows).values() for pick in picks(mine, lambda r: r.rate.predicted)
    ]
    free = [pick for pick in found if pick.limit is None]
    kept = [pick for pick in found if pick.limit is not None and pick.keeps]
    missed = [
        pick.picked.tpot.measured / pick.limit
        for pick in found
        if pick.limit is not None and pick.picked is not None and not pick.keeps
    ]
    none = sum(pick.picked is None for pick in found)
    said = (
        f"**{what}**: without a limit the pick is the best measured in "
        f"{sum(p.share == 1 for p in free)} of {len(free)} cases (mean share "
        f"{_mean(p.share for p in free):.2f}, blindly {_mean(p.any for p in free):.2f}). At a "
        f"limit {len(kept)} of {len(kept) + len(missed)} picks keep it as measured (mean share "
        f"{_mean(p.share for p in kept):.2f}, blindly {_mean(p.any for p in kept):.2f})"
    )
    if missed:
        said += _LIMITED.format(n=len(missed), most=max(missed) - 1)
    return said + (f"; at {none} limits nothing is predicted to keep it." if none else ".")


def contrast_table(rows: Sequence[DeploymentRow]) -> list[str]:
    """Two pools against one."""
    lines = []
    for case, mine in by_case(rows).items():
        for one in contrasts(mine):
            lines.append(
                (
                    ", ".join(_case_words(case)),
                    _limit(one.limit),
                    f"{one.ratio.measured:.2f}",
                    f"{one.ratio.predicted:.2f}",
                    "yes" if one.agrees else "**no**",
                    one.pools.software,
                    one.one.software,
                )
            )
    agree = sum(line[4] == "yes" for line in lines)
    every = table(
        (
            "case",
            "TPOT",
            "measured",
            "predicted",
            "same side",
            "best of two pools",
            "best of one",
        ),
        lines,
    )
    return [
        f"The same side in {agree} of {len(lines)} cases.",
        moved("pools-or-one", "Every case", every),
    ]


def counted(rows: Sequence[DeploymentRow], left: Mapping[str, int]) -> str:
    """Which rows in pools are not counted above."""
    out = [f"{n} without a prediction ({why})" for why, n in sorted(left.items())]
    reasons: dict[str, int] = {}
    for row in rows:
        if row.excluded:
            reasons[row.excluded] = reasons.get(row.excluded, 0) + 1
    out += [f"{n} excluded ({why})" for why, n in sorted(reasons.items())]
    return "Rows in two pools that are not counted: " + ("; ".join(out) or "none") + "."


def layout_words(setting: str) -> str:
    """Workers and attention ranks of a setting: ``2 × tp8 → 3 × dp8``; what is not understood as
    it stands."""
    found = deployment(setting)
    if found is None:
        return setting
    if found.prefill is None:
        return _shape(found.decode)
    return (
        f"{found.prefill_workers} × {_shape(found.prefill)} → "
        f"{found.decode_workers} × {_shape(found.decode)}"
    )


def _shape(shape: Shape) -> str:
    words = [
        f"{name}{n}" for name, n in (("tp", shape.tp), ("dp", shape.dp), ("pp", shape.pp)) if n > 1
    ]
    return " ".join(words) or "tp1"


def _case_words(case: tuple[str, str, str, int, int]) -> tuple[str, str, str]:
    model, device, precision, isl, osl = case
    return f"{model}, {device}", precision, f"{isl:,} + {osl:,}"


def _three(rows: Sequence[DeploymentRow]) -> tuple[str, str, str]:
    return (
        ratio_words(ratios(r.rate for r in rows)),
        ratio_words(ratios(r.tpot for r in rows)),
        ratio_words(ratios(r.ttft for r in rows if r.first_token)),
    )


def _rho(rows: Sequence[DeploymentRow], name: str) -> str:
    return _number(
        rank(
            rows,
            lambda r: float(getattr(r, name).predicted),
            lambda r: float(getattr(r, name).measured),
        )
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _limit(limit: float | None) -> str:
    return "any" if limit is None else f"≤ {limit * 1e3:.0f} ms"


def _row(row: DeploymentRow | None) -> str:
    if row is None:
        return "none is predicted to keep it"
    return (
        f"{row.rate.measured:,.0f}: {row.software.partition(' ')[0]} "
        f"{layout_words(row.setting)}, {row.concurrency:,.0f} requests"
    )


def _share(pick: Pick) -> str:
    if pick.picked is None:
        return "-"
    if not pick.keeps:
        return f"{pick.picked.tpot.measured * 1e3:.1f} ms"
    return f"{pick.share:.2f}"


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
