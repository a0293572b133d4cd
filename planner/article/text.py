"""Claims for a terminal and as Markdown."""

from __future__ import annotations

from typing import Any

from planner.report.terminal.columns import wrapped


def claims_text(data: dict[str, Any]) -> str:
    """One block a claim: verdict, the article's words, what was computed."""
    lines = [data["article"]["title"], *wrapped(_score(data)), ""]
    for claim in data["claims"]:
        lines += wrapped(f"{claim['verdict']}: {claim['english']}", " " * 5,
                         first=f"{claim['id']:>3}  ")
        lines.append(f"     „{claim['quote']}“")
        lines += wrapped(claim["finding"], " " * 5, first=" " * 5)
        if len(claim["parts"]) > 1:
            lines += [line for p in claim["parts"] for line in
                      wrapped(f"{p['verdict']}: {p['text']}", " " * 9, first=" " * 7)]
        lines += wrapped("source: " + "; ".join(s["title"] for s in claim["sources"]), " " * 7,
                         first=" " * 5)
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
