"""The command that serves a plan, in lines that a shell takes as one command."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from planner.export.serve_line import ServeLine
from planner.report.columns import columns, printable

INDENT, DEEPER = "  ", "    "
GOES_ON = " \\"


def server_lines(command: ServeLine, width: int) -> list[str]:
    """The command of a server, or one after the other what its nodes run."""
    if not command.nodes:
        return command_lines(command.words, width)
    from planner.export.nodes import address

    return [
        line
        for node in command.nodes
        for line in (f"{INDENT}# on {address(node.node)}", *command_lines(node.words, width))
    ]


def command_lines(words: Sequence[str], width: int) -> list[str]:
    """A command in lines that end with a backslash, a flag with its value on one of them; a word
    that no quoting makes safe to show stands as its escapes. Unfolded where ``width`` is 0."""
    pieces = _pieces([quote(printable(word)) for word in words])
    if not width:
        return [" ".join(pieces)]
    room = width - len(DEEPER) - len(GOES_ON)
    pieces = [
        part
        for piece in pieces
        for part in ([piece] if columns(piece) <= room else _flag_and_value(piece))
    ]
    lines = [INDENT + pieces[0]]
    for piece in pieces[1:]:
        if columns(f"{lines[-1]} {piece}{GOES_ON}") <= width:
            lines[-1] += f" {piece}"
        else:
            lines[-1] += GOES_ON
            lines.append(DEEPER + piece)
    return lines


def _flag_and_value(piece: str) -> list[str]:
    """The parts of a piece that is wider than a line: a flag apart from its value."""
    flag, space, value = piece.partition(" ")
    return [flag, value] if space and flag.startswith("-") else [piece]


def _pieces(words: Sequence[str]) -> list[str]:
    """Words before the first flag one by one, then each flag with what follows it."""
    out: list[str] = []
    for i, word in enumerate(words):
        if i and words[i - 1].startswith("-") and not word.startswith("-"):
            out[-1] += f" {word}"
        else:
            out.append(word)
    return out
