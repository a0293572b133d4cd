"""A profile on a terminal: 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from planner.quality.profile import CACHE_KINDS, Profile, ProfileUnit
from planner.report.columns import table_lines
from planner.report.columns import wrapped as _wrap

SHOWN = ("fp8-block", "fp8-channel", "int8-w8a8", "int4-w4a16", "nvfp4", "mxfp4")
CACHES = ("fp8", "int8-token", "int4-token", "int4-channel", "nvfp4", "fp8-ds-mla")
MOST = 5


def profile_text(profile: Profile, path: str) -> str:
    """Summary by kind, the most sensitive units, what was skipped; ends with a newline."""
    m, c = profile.model, profile.checkpoint
    head = [
        f"{m.id}: {m.layers} layers, released in {m.quantization}; {c.matrices} matrices in "
        f"{c.files} file{'s' if c.files != 1 else ''}",
        f"tier {profile.label}; loss in {_unit(profile)}, band ÷/× {profile.band_factor:.2g}",
    ]
    linear = [u for u in profile.units if u.kind not in CACHE_KINDS]
    caches = [u for u in profile.units if u.kind in CACHE_KINDS]
    lines = [part for line in head for part in _wrap(line)]
    lines += ["", *_table(linear, SHOWN)]
    if caches:
        lines += ["", *_table(caches, CACHES)]
    lines += ["", *_most(profile, linear), *_experts(profile), *_skipped(profile)]
    lines += [*_joint(profile), *_wrap(f"written to {path}")]
    return "\n".join(lines) + "\n"


def _unit(profile: Profile) -> str:
    return "nats of mean KL" if profile.unit == "nats" else f"units of uniform {profile.anchor}"


def _table(units: Sequence[ProfileUnit], names: Sequence[str]) -> list[str]:
    """Loss of all layers of a kind under each scheme."""
    shown = [n for n in names if any(n in u.loss for u in units)]
    kinds = list(dict.fromkeys(u.kind for u in units))
    rows = [["loss of all layers", *shown]]
    for kind in kinds:
        mine = [u for u in units if u.kind == kind]
        rows.append([kind, *(_sum(mine, name) for name in shown)])
    return table_lines(rows)


def _sum(units: Sequence[ProfileUnit], name: str) -> str:
    losses = [u.loss[name] for u in units if name in u.loss]
    return f"{sum(losses):.3g}" if len(losses) == len(units) else "-"


def _most(profile: Profile, units: Sequence[ProfileUnit]) -> list[str]:
    name = next(
        (n for n in ("nvfp4", "int4-w4a16", *profile.schemes) if all(n in u.loss for u in units)),
        None,
    )
    if name is None or len(units) < 2 or sum(u.loss[name] for u in units) <= 0:
        return []
    total = sum(u.loss[name] for u in units)
    first = sorted(units, key=lambda u: (-u.loss[name], u.layer, u.kind))[:MOST]
    text = ", ".join(f"{u.unit} {u.loss[name] / total:.0%}" for u in first)
    out = _wrap(f"most of the loss under {name}: {text}")
    if profile.tier == "T0":
        out += _wrap(
            "a prior does not rank single layers: differences between layers of a kind "
            "come from their weights alone"
        )
    return out


def _experts(profile: Profile) -> list[str]:
    if not profile.routers:
        return []
    rates = sorted(profile.routers[0].flip_rate, key=float)
    middle = rates[len(rates) // 2]
    mean = sum(r.flip_rate[middle] for r in profile.routers) / len(profile.routers)
    return _wrap(
        f"routers: {mean:.1%} of tokens change an expert where their input carries a "
        f"relative error power of {middle} ({profile.routers[0].basis})"
    )


def _joint(profile: Profile) -> list[str]:
    """What the whole model loses, against the sum of its units, and flipped tokens."""
    if not profile.joint:
        return []
    parts = [
        f"{c.scheme} {c.joint:.3g} nats ({c.joint / c.total:.2f} × the sum of its layers), "
        f"{c.flips:.1%} of top-1 tokens changed"
        for c in profile.joint
        if c.total > 0
    ]
    return _wrap("whole model, measured: " + "; ".join(parts))


def _skipped(profile: Profile) -> list[str]:
    if not profile.skipped:
        return []
    first = profile.skipped[0]
    more = f", and {len(profile.skipped) - 1} more" if len(profile.skipped) > 1 else ""
    return _wrap(f"skipped: {first.tensor} ({first.reason}){more}")
