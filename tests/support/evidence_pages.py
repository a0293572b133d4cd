"""Pages of docs/evidence as their generators write them, beside those that are stored."""

from pathlib import Path

from evaluation.pages import split


def assert_stored(page: Path, text: str) -> None:
    """The page, and every table of rows beside it, are what a generator's ``text`` gives."""
    shown, data = split(text)
    assert page.read_text(encoding="utf-8") == shown, f"{page.name} is stale"
    for name, rows in data.items():
        path = page.parent / "data" / f"{name}.csv"
        assert path.read_text(encoding="utf-8") == rows, f"{path.name} is stale"
