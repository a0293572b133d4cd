"""Text of others in Markdown: shown as it is, never read as markup."""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_\[\]<>|~#])")
BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
"""Characters that break a line, turn the direction of writing, or cannot be seen."""
_LINK = re.compile(r"(https?://[^\s()<>\"']+)")


def escape(text: str) -> str:
    """Plain text: no character is read as markup, nothing breaks the line; links stay whole."""
    flat = BREAKS.sub(" ", text)
    return "".join(
        piece if _LINK.fullmatch(piece) else _MARKS.sub(r"\\\1", piece)
        for piece in _LINK.split(flat)
    )
