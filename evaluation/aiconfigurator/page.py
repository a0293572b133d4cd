"""docs/evidence/beside-aiconfigurator.md from the kept answers."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

from evaluation.aiconfigurator.questions import LEVELS, QUESTIONS, ServiceLevel
from evaluation.aiconfigurator.rows_table import section
from evaluation.pages import moved

REASONS = Path(__file__).parent / "reasons.toml"
ROWS = Path(__file__).parent / "rows.json"
"""Both tools' errors over measured rows, as :mod:`evaluation.aiconfigurator.rows` keeps them."""
SLACK = 1.1
"""A limit that the other tool's numbers break by less counts as kept: each best is at its own
limit, so that any difference of two models breaks it."""
NEAR = 0.03
Entry = Mapping[str, Any]

HEAD = """# Beside aiconfigurator

Six questions at two service levels, asked of `aiconfigurator` {version} and of this planner, each
on one engine; every answer is then priced by both tools, and both are asked for measured rows.
Both rest on the same operator measurements, so agreement on kernels proves little; nothing was
tuned on this comparison. Requests have 4,000 tokens in and 1,000 out; *relaxed*: TTFT 5 s, TPOT 50
ms; *tight*: TTFT 2 s, TPOT 25 ms. CPU seconds are of whole processes ({machine}). Made by
`python -m evaluation.aiconfigurator --rival PYTHON` from `evaluation/aiconfigurator/answers.json`;
why the two differ stands in `evaluation/aiconfigurator/reasons.toml`.
"""


def page(kept: Mapping[str, Any]) -> str:
    """The whole page."""
    answers = kept["answers"]
    version = next(
        (one["search"].get("version") for one in answers.values() if one["search"].get("version")),
        "0.12",
    )
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    cases = [(f"{q.id}, {level.name}", level) for q in QUESTIONS for level in LEVELS]
    cases = [(key, level) for key, level in cases if answers.get(key, {}).get("entries")]
    parts = [
        HEAD.format(version=version, machine=kept.get("machine", "")),
        _summary(answers, cases),
        _words(answers, cases),
    ]
    if ROWS.exists():
        parts.append(section(json.loads(ROWS.read_text(encoding="utf-8"))))
    every = "\n\n".join(_case(key, answers[key], level) for key, level in cases)
    parts += [
        moved("aiconfigurator-answers", "Every answer by both tools", every),
        moved("aiconfigurator-words", "What the words mean in each", _definitions(reasons)),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def keeps(price: Entry | None, level: ServiceLevel, slack: float = 1.0) -> bool:
    """Whether a price keeps both limits."""
    return (
        price is not None
        and "refused" not in price
        and price["tpot_ms"] <= level.tpot_ms * slack
        and price["ttft_ms"] <= level.ttft_ms * slack
    )


def rate(price: Entry | None) -> float | None:
    """Tokens/s of a device; None where there is no price."""
    if price is None or "refused" in price:
        return None
    return float(price["tokens_per_second_per_device"])


def best(entries: Iterable[Entry], who: str, by: str) -> Entry | None:
    """The entry of ``who`` with the most tokens/s by its own tool."""
    mine = [one for one in entries if one["who"] == who and rate(one.get(by)) is not None]
    return max(mine, key=lambda one: rate(one[by]) or 0.0, default=None)


def contest(answer: Mapping[str, Any]) -> tuple[Entry | None, Entry | None, Entry | None]:
    """(their best, our best in their formats, what we print)."""
    entries = answer["entries"]
    return (
        best(entries, "theirs", "by_them"),
        best(entries, "ours, their formats", "by_us"),
        best(entries, "ours, auto", "by_us"),
    )


def verdict(theirs: Entry | None, ours: Entry | None, by: str, level: ServiceLevel) -> str:
    """Who wins by one tool's numbers, ours over theirs in percent."""
    if theirs is None or ours is None:
        return "no answer" if ours is None else "only ours"
    a, b = rate(theirs.get(by)), rate(ours.get(by))
    if a is None or b is None:
        return (
            "only ours priced"
            if b is not None
            else "only theirs priced"
            if a is not None
            else "not priced"
        )
    bad = [
        name
        for name, one in (("theirs", theirs), ("ours", ours))
        if not keeps(one.get(by), level, SLACK)
    ]
    gain = b / a - 1
    text = f"{gain:+.0%}".replace("-", "−")
    if bad:
        return f"{text}, {' and '.join(bad)} late"
    return f"{text}, {'even' if abs(gain) <= NEAR else 'ours' if gain > 0 else 'theirs'}"


def _summary(answers: Mapping[str, Any], cases: Sequence[tuple[str, ServiceLevel]]) -> str:
    out = [
        "## Who wins, by whose numbers",
        "",
        "Tokens/s of a device. *Alike*: both in the formats of their checkpoint. *Printed*: what "
        f"`plan` prints. *Late*: a limit is broken by more than {SLACK - 1:.0%}; *even* is within "
        f"{NEAR:.0%}.",
        "",
        "| question | alike, by them | alike, by us | printed, by them | printed, by us |",
        "|---|---|---|---|---|",
    ]
    for key, level in cases:
        theirs, alike, printed = contest(answers[key])
        cells = [
            verdict(theirs, one, by, level)
            for one in (alike, printed)
            for by in ("by_them", "by_us")
        ]
        out.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(out)


def agreement(answers: Mapping[str, Any], name: str, mode: str) -> list[float]:
    """log(ours ÷ theirs) of a figure over all configurations of a mode that both price."""
    found = []
    for answer in answers.values():
        for one in answer.get("entries", ()):
            a, b = one.get("by_them"), one.get("by_us")
            if one.get("mode") == mode and rate(a) and rate(b):
                found.append(log(b[name] / a[name]))
    return found


def _words(answers: Mapping[str, Any], cases: Sequence[tuple[str, ServiceLevel]]) -> str:
    """How far the two are apart over all configurations."""
    rows = []
    for mode, word in (("agg", "one pool"), ("disagg", "two pools")):
        for name, what in (
            ("tokens_per_second_per_device", "tokens/s"),
            ("tpot_ms", "TPOT"),
            ("ttft_ms", "TTFT"),
        ):
            logs = agreement(answers, name, mode)
            if logs:
                middle = exp(median(logs))
                spread = exp(median(abs(x) for x in logs))
                rows.append(f"| {word} | {what} | {len(logs)} | {middle:.2f} | {spread:.2f} |")
    table = ["| | figure | configurations | median | apart |", "|---|---|---:|---:|---:|", *rows]
    cpu = [answers[key]["cpu_seconds"] for key, _ in cases]
    ratio = median((one["theirs"] or 0.0) / one["ours"]["auto"] for one in cpu)
    return "\n".join(
        [
            "## How far the two models are apart",
            "",
            moved("aiconfigurator-apart", "Ours ÷ theirs over all that both price", table),
            "",
            f"CPU: theirs {sum(one['theirs'] or 0.0 for one in cpu):.0f} s for the "
            f"{len(cpu)} answers, ours {sum(one['ours']['auto'] for one in cpu):.0f} s "
            f"(median ratio {ratio:.0f}); a search of ours that must be in pools "
            f"{sum(one['ours'].get('disaggregated', 0.0) for one in cpu):.0f} s.",
        ]
    )


def _definitions(reasons: Mapping[str, Any]) -> str:
    out = ["| | aiconfigurator 0.12 | here |", "|---|---|---|"]
    out += [f"| {one['what']} | {one['theirs']} | {one['ours']} |" for one in reasons["word"]]
    return "\n".join(out)


def _case(key: str, answer: Mapping[str, Any], level: ServiceLevel) -> str:
    out = [
        f"## {key}",
        "",
        "| whose | workers | formats, cache | by them: tokens/s · TPOT · TTFT | by us |",
        "|---|---|---|---|---|",
    ]
    for one in answer["entries"]:
        if "words" not in one:
            out.append(f"| {one['who']} | — | — | — | {one['refused']} |")
            continue
        formats = ", ".join(one["schemes"]) or "as theirs"
        them = (
            _cell(one["by_them"], level)
            if one["by_them"] is not None
            else f"cannot express {one['lost']}"
        )
        out.append(
            f"| {one['who']} | {one['words']} | {formats}, {one['kv']} | {them} | "
            f"{_cell(one['by_us'], level)} |"
        )
    return "\n".join(out)


def _cell(price: Entry, level: ServiceLevel) -> str:
    if "refused" in price:
        return str(price["refused"]).replace("|", "/")[:160]
    tpot, ttft = f"{price['tpot_ms']:.1f} ms", f"{price['ttft_ms'] / 1e3:.2f} s"
    if price["tpot_ms"] > level.tpot_ms:
        tpot = f"**{tpot}**"
    if price["ttft_ms"] > level.ttft_ms:
        ttft = f"**{ttft}**"
    more = "; beyond its cache" if price.get("warning") else ""
    return f"{price['tokens_per_second_per_device']:,.0f} · {tpot} · {ttft}{more}"
