"""Where the data folders are: inside an installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """The folder ``name`` (``hardware_profiles`` or ``scenarios``).

    A checkout's own folder wins over a packaged copy, so that an edit is seen at once.

    Raises:
        FileNotFoundError: neither exists (a broken installation).
    """
    beside = _PACKAGE.parent / name
    if (_PACKAGE.parent / "pyproject.toml").is_file() and beside.is_dir():
        return beside
    packaged = _PACKAGE / "_data" / name
    if packaged.is_dir():
        return packaged
    raise FileNotFoundError(f"data folder {name} is neither at {beside} nor at {packaged}")
