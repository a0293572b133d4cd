"""What ``python -m evaluation.community`` prints; docs/guide/compare.md has its sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluation.community.rows import KINDS, BothRules, median_percent

_HEAD = """# Decode on people's machines, by llmfit's rule and by ours

[llmfit](https://github.com/AlexsJones/llmfit) (3f44fd3, MIT) ranks models for a machine by its
memory bandwidth: GB/s ÷ GB of weights that a token reads × 0.55, with terms for experts. Rows are
its community's (self-reported, one user), as `plan lab validate` reads them; both rules predict
the same ones. Nothing of either was fitted to them here; llmfit's terms for experts were, by its
source, calibrated on an RX 6900 XT.
"""


def community_page(pairs: Sequence[BothRules], reasons: Mapping[str, int]) -> str:
    """The page's text."""
    lines = [
        "| kind | rows | ours: median error | llmfit: median error | inside our 80 % interval |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [_line(kind, [p for p in pairs if p.kind == kind]) for kind in KINDS]
    lines.append(_line("all", pairs))
    devices = sorted({pair.device for pair in pairs})
    by_device = [
        "| device | rows | ours | llmfit | inside |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    by_device += [_line(name, [p for p in pairs if p.device == name]) for name in devices]
    left = [
        f"- {count} rows: {reason}"
        for reason, count in sorted(reasons.items(), key=lambda one: -one[1])
    ]
    every = [
        "| kind | device | model | file | measured | ours | low | high | llmfit |",
        "|" + "---|" * 9,
    ]
    every += [
        f"| {p.kind} | {p.device} | {p.model} | {p.quant} | {p.measured:.4g} | {p.ours:.4g} | "
        f"{p.low:.4g} | {p.high:.4g} | {p.llmfit:.4g} |"
        for p in pairs
    ]
    return "\n".join(
        [
            _HEAD,
            *lines,
            "",
            "Not compared, as our reader does not predict them:",
            "",
            *left,
            "",
            "## By device",
            "",
            *by_device,
            "",
            "## Every row",
            "",
            *every,
            "",
        ]
    )


def _line(name: str, pairs: Sequence[BothRules]) -> str:
    if not pairs:
        return f"| {name} | 0 | - | - | - |"
    ours = median_percent([(p.ours, p.measured) for p in pairs])
    other = median_percent([(p.llmfit, p.measured) for p in pairs])
    inside = sum(p.low <= p.measured <= p.high for p in pairs) / len(pairs)
    return f"| {name} | {len(pairs)} | {ours:.0f} % | {other:.0f} % | {inside:.0%} |"
