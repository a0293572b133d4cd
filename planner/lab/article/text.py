"""Claims as Markdown."""

from __future__ import annotations

from typing import Any


def claims_markdown(data: dict[str, Any]) -> str:
    """A table: claim, words, verdict, computed, source."""
    version = data["version_before"]
    lines = [
        f"# {data['article']['title']}",
        "",
        _score(data),
        "",
        _turned(data),
        "",
        f"| # | claim | quote | verdict | computed | {version} found | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in data["claims"]:
        figures = "; ".join(map(_figure, c["computed"]))
        before = "" if c["before"] is None else _before(c, version)
        cells = (
            c["id"],
            c["english"],
            c["quote"],
            f"**{c['verdict']}**",
            f"{c['finding']} ({figures})",
            before,
            "; ".join(s["title"] for s in c["sources"]),
        )
        lines.append("| " + " | ".join(_cell(x) for x in cells) + " |")
    return "\n".join(lines) + "\n"


def _score(data: dict[str, Any]) -> str:
    return ", ".join(f"{n} {v}" for v, n in data["verdicts"].items())


def _turned(data: dict[str, Any]) -> str:
    """The claims whose verdict is another than before."""
    turned = [
        f"{c['id']} ({c['before']['verdict']} → {c['verdict']})"
        for c in data["claims"]
        if c["before"] is not None and c["before"]["verdict"] != c["verdict"]
    ]
    return f"other verdicts than version {data['version_before']}: {', '.join(turned) or 'none'}"


def _before(claim: dict[str, Any], version: str) -> str:
    claimed = claim["before"]
    return f"{version} found it {claimed['verdict']}: {claimed['found']}. Now: {claimed['why']}"


def _figure(figure: dict[str, Any]) -> str:
    text = f"{figure['name']} {_number(figure['value'])}"
    if figure["low"] is not None:
        text += f" ({_number(figure['low'])} to {_number(figure['high'])})"
    return f"{text} {figure['unit']}".strip() + f", {figure['basis']}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
