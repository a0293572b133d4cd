"""The view of ``plan list files``."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.units import GIB
from planner.planning.files.catalogue import PublishedFile
from planner.report.view.record import Code, Prose, Section, Table, View
from planner.report.view.verb_words import verb_phrases

VERB = "lists"
ABSENT = "-"
USUAL = "Q4_K_M"
"""What ``-hf`` downloads unless told otherwise, by which the commands are shown."""
_MARKS = {"stated": "", "computed": "=", "rounded": "~", "": ""}
"""How a size is known: as a sign before it."""


def files_view(files: Sequence[PublishedFile], lang: str) -> View:
    """A table a container: one line a repository and file, with its size in GiB; what fetches the
    first of each last."""
    t = verb_phrases(VERB, lang)
    sections: list[Section] = []
    heads = (t("files.repository"), t("files.quant"), "GiB")
    for container in dict.fromkeys(file.container for file in files):
        mine = [file for file in files if file.container == container]
        rows: list[tuple[str, ...]] = []
        before = ""
        for file in mine:
            shown = file.repository if file.repository != before else ""
            rows.append((shown, file.quant, _size(file)))
            before = file.repository
        shown_file = next((file for file in mine if file.quant.upper() == USUAL), mine[0])
        code = tuple(f"  {command}" for command in shown_file.commands.values())
        blocks = (Table(heads, tuple(rows), (0, 1)), *((Code(code),) if code else ()))
        sections.append(Section(container, blocks))
    if not files[0].model:
        sections.append(Section("", (Prose(t("files.not_bundled", model=files[0].of)),)))
    sections.append(Section("", (Prose(t("files.note")),)))
    return View("", (), tuple(sections))


def _size(file: PublishedFile) -> str:
    if file.bytes is None:
        return ABSENT
    return f"{_MARKS[file.basis]}{file.bytes / GIB:.2f}"
