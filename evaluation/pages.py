"""Pages of docs/evidence: what a reader needs stands in the page, all rows beside it as CSV.

A generator writes Markdown in full and says with :func:`moved` which parts of it are data.
:func:`publish` and :func:`insert` leave a link in their place and write docs/evidence/data.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_BEGIN, _END = "<!-- data {name}: {says} -->", "<!-- /data -->"
_MOVED = re.compile(r"<!-- data ([\w.-]+): (.*?) -->\n(.*?)<!-- /data -->", re.DOTALL)
_BLOCK = re.compile(
    r"^```[^\n]*\n(?s:.*?)^```\n|(?:^\|.*\n)+|^#+ .*\n|(?:^(?![|#]|```).+\n)+", re.MULTILINE
)
"""A block of code, a table, a heading, or lines of a list or paragraph."""
_SEPARATOR = re.compile(r"(?<!\\)\|")
Table = tuple[str, list[list[str]]]
"""What stands over a table (headings, then the line before it), and its rows, the head first."""


def moved(name: str, says: str, text: str | Iterable[str]) -> str:
    """Markdown that becomes data/``name``.csv; the page keeps ``says`` as a link to it.

    Tables of one head become one table, with what stands over each as the first column where there
    are several; lists, code and sentences are tables of one column. Of different heads they become
    rows of section, row, column, value.
    """
    body = text if isinstance(text, str) else "\n".join(text)
    return f"{_BEGIN.format(name=name, says=says)}\n{body.strip()}\n{_END}"


def narrow(table: str | Iterable[str], columns: Sequence[int]) -> str:
    """Some ``columns`` of a Markdown table, by their numbers from 0."""
    lines = table.splitlines() if isinstance(table, str) else table
    kept = (line for line in lines if line.startswith("|"))
    rows = ([_cells(line)[c].replace("|", "\\|") for c in columns] for line in kept)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def split(text: str) -> tuple[str, dict[str, str]]:
    """The page with links in the place of what :func:`moved` marked, and the CSV by name."""
    data: dict[str, str] = {}

    def linked(found: re.Match[str]) -> str:
        name, says, body = found.groups()
        data[name], rows = as_csv(body)
        return f"[{says}](data/{name}.csv): {rows:,} rows."

    return _MOVED.sub(linked, text), data


def publish(page: Path, text: str) -> None:
    """Write ``text`` as ``page``, and its data into the folder data beside it."""
    shown, data = split(text)
    page.write_text(shown, encoding="utf-8", newline="\n")
    folder = page.parent / "data"
    for name, rows in data.items():
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.csv").write_text(rows, encoding="utf-8", newline="\n")


def insert(page: Path, text: str, name: str = "evaluation") -> None:
    """Replace what stands between the markers ``name`` of ``page``."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin, 1)
    publish(page, f"{before}{begin}\n{text.strip()}\n{end}{rest.split(end, 1)[1]}")


def as_csv(text: str) -> tuple[str, int]:
    """(CSV, rows without the head) of Markdown."""
    found = list(_tables(text))
    heads = {tuple(rows[0]) for _, rows in found}
    if len(found) == 1:
        lines = found[0][1]
    elif len(heads) == 1:
        lines = [["section", *found[0][1][0]]]
        lines += [[section, *row] for section, rows in found for row in rows[1:]]
    else:
        lines = [["section", "row", "column", "value"]]
        for section, (head, *rows) in found:
            for row in rows:
                label, start = (row[0], 1) if len(head) > 1 else ("", 0)
                named = zip(head[start:], row[start:], strict=True)
                lines += [[section, label, name, value] for name, value in named]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue(), len(lines) - 1


def _tables(text: str) -> Iterator[Table]:
    """Every table; lists, code and what else is said as tables of one column."""
    headings: list[str] = []
    caption = ""
    for block in _BLOCK.findall(text.strip() + "\n\n"):
        first, *rest = lines = block.strip().splitlines()
        where = ": ".join(filter(None, (*headings, caption.rstrip(":"))))
        if first.startswith("|"):
            yield where, [_cells(line) for line in (first, *rest[1:])]
        elif first.startswith("```"):
            yield where, [["line"], *([line] for line in rest[:-1])]
        elif first.startswith(("* ", "- ")):
            items = re.split(r"^[*-] ", block.strip(), flags=re.MULTILINE)[1:]
            yield where, [["note"], *([" ".join(item.split())] for item in items)]
        else:
            if caption:
                yield ": ".join(headings), [["note"], [caption]]
            caption = ""
            if first.startswith("#"):
                level = len(first) - len(first.lstrip("#"))
                headings = [*headings[: max(level - 2, 0)], first.lstrip("# ")]
                lines = rest
            caption = " ".join(" ".join(lines).split())
            continue
        caption = ""
    if caption:
        yield ": ".join(headings), [["note"], [caption]]


def _cells(line: str) -> list[str]:
    cells = _SEPARATOR.split(line.strip())[1:-1]
    return [cell.strip().replace("\\|", "|") for cell in cells]
