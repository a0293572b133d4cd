"""``python -m evaluation.devices``: write docs/evidence/devices.md."""

from __future__ import annotations

from pathlib import Path

from evaluation.devices.page import device_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "devices.md"

if __name__ == "__main__":
    PAGE.write_text(device_page(), encoding="utf-8")
