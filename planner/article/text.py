"""Claims for a terminal and as Markdown."""

from __future__ import annotations

import textwrap
from typing import Any

WIDTH = 80


def claims_text(data: dict[str, Any]) -> str:
    """One block a claim: verdict, the article's words, what was computed."""
    lines = [data["article"]["title"], _score(data), ""]
    for claim in data["claims"]:
        lines.append(f"{claim['id']:>3}  {claim['verdict']}: {claim['english']}")
        lines.append(f"     „{claim['quote']}“")
        lines += textwrap.wrap(claim["finding"], WIDTH, initial_indent="     ",
                               subsequent_indent="     ")
        if len(claim["parts"]) > 1:
            lines += [f"       {p['verdict']}: {p['text']}" for p in claim["parts"]]
        lines += textwrap.wrap("source: " + "; ".join(s["title"] for s in claim["sources"]), WIDTH,
                               initial_indent="     ", subsequent_indent="       ")
    return "\n".join(lines) + "\n"


def claims_markdown(data: dict[str, Any]) -> str:
    """A table: claim, words, verdict, computed, source."""
    lines = [f"# {data['article']['title']}", "", _score(data), "",
             "| # | claim | quote | verdict | computed | source |", "|---|---|---|---|---|---|"]
    for c in data["claims"]:
        figures = "; ".join(f"{f['name']} {_number(f['value'])} {f['unit']}".strip()
                            for f in c["computed"])
        cells = (c["id"], c["english"], c["quote"], f"**{c['verdict']}**",
                 f"{c['finding']} ({figures})", "; ".join(s["title"] for s in c["sources"]))
        lines.append("| " + " | ".join(_cell(x) for x in cells) + " |")
    return "\n".join(lines) + "\n"


def _score(data: dict[str, Any]) -> str:
    return ", ".join(f"{n} {v}" for v, n in data["verdicts"].items())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
