"""docs/reference/cli.md: every command with its own options; options of many commands once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import click

SHARED = 3
"""Commands from which on an option is described once for all of them."""
Record = tuple[str, str]


def reference(columns: int) -> str:
    """The sections of the page below its head, in text of ``columns``."""
    from planner.cli.groups import LAB, LISTS
    from planner.cli.main import cli
    from planner.cli.overview import SECTIONS

    sections = [(title, [(name,) for name in rows]) for title, rows in SECTIONS]
    sections += [(f"plan {group}", [(group, name) for name in rows]) for group, rows in
                 (("list", LISTS), ("lab", LAB))]  # fmt: skip
    with click.Context(
        cli, info_name="plan", terminal_width=columns - 2, **cli.context_settings
    ) as root:
        contexts = {words: _context(root, words) for _, commands in sections for words in commands}
        records = {words: list(_records(context)) for words, context in contexts.items()}
        counts = Counter(record for found in records.values() for _, record in found)
        shared = {record for record, number in counts.items() if number >= SHARED}
        parts = [f"## plan\n\n{_block(cli.get_help(root))}", _shared(records, shared, columns)]
        for title, commands in sections:
            parts.append(f"## {title}")
            for words in commands:
                page = _page(contexts[words], records[words], shared, columns)
                parts.append(f"### plan {' '.join(words)}\n\n{page}")
    return "\n\n".join(part.strip() for part in parts)


def _context(root: click.Context, words: tuple[str, ...]) -> click.Context:
    context = root
    for word in words:
        assert isinstance(context.command, click.Group)
        command = context.command.get_command(context, word)
        assert command is not None
        context = click.Context(command, info_name=word, parent=context)
    return context


def _records(context: click.Context) -> Iterator[tuple[str, Record]]:
    """Name and help of every option, that on help left out."""
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1] and not record[0].startswith(("-h,", "--help")):
            yield parameter.name or "", record


def _shared(
    records: dict[tuple[str, ...], list[tuple[str, Record]]], shared: set[Record], columns: int
) -> str:
    """Options of many commands, by group, once."""
    from planner.cli.help_pages import ADVANCED, GROUPS, USUAL

    left = {
        record: name for found in records.values() for name, record in found if record in shared
    }
    formatter = click.HelpFormatter(width=columns - 2)
    for title, names in (("Usual options", USUAL), *GROUPS, *ADVANCED, ("Other options", None)):
        rows = [record for record, name in left.items() if names is None or name in names]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)
        left = {record: name for record, name in left.items() if record not in rows}
    return (
        "## Options of several commands\n\nEach command below names those that it takes.\n\n"
        + _block(formatter.getvalue())
    )


def _page(
    context: click.Context, records: list[tuple[str, Record]], shared: set[Record], columns: int
) -> str:
    """Usage, what it answers, examples, its own options, names of the shared ones."""
    command = context.command
    formatter = click.HelpFormatter(width=columns - 2)
    command.format_usage(context, formatter)
    command.format_help_text(context, formatter)
    command.format_epilog(context, formatter)
    own = [record for _, record in records if record not in shared]
    if own:
        with formatter.section("Options"):
            formatter.write_dl(own)
    if isinstance(command, click.Group):
        with formatter.section("Commands"):
            formatter.write_dl(_lines(context))
    text = _block(formatter.getvalue())
    names = [f"`{record[0].split()[0].rstrip(',')}`" for _, record in records if record in shared]
    return text + (f"\n\nAlso {', '.join(names)}." if names else "")


def _lines(context: click.Context) -> Iterable[Record]:
    """Commands of a group, a line each."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield name, command.get_short_help_str(80)


def _block(text: str) -> str:
    lines = (line.rstrip() for line in text.strip().splitlines())
    return "```text\n" + "\n".join(lines) + "\n```"
