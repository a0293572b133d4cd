"""``python -m evaluation.offload``: write docs/evidence/offload.md."""

from __future__ import annotations

from pathlib import Path

from evaluation.offload.page import page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "offload.md"

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
