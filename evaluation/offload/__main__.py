"""``python -m evaluation.offload``: write docs/evidence/offload.md."""

from __future__ import annotations

from pathlib import Path

from evaluation.offload.page import page
from evaluation.pages import publish

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "offload.md"

if __name__ == "__main__":
    publish(PAGE, page())
