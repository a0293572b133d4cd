"""Texts of files as people's editors and shells save them."""

from __future__ import annotations

import codecs

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decoded(data: bytes) -> str:
    """The text of a file in UTF-8, with or without the mark that Excel and Notepad put before it,
    or in UTF-16 with its mark, as ``>`` of Windows PowerShell writes what a command prints.

    Raises:
        UnicodeDecodeError: it is in neither.
    """
    if data.startswith(_WIDE):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")
