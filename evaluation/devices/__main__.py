"""``python -m evaluation.devices``: write docs/evidence/devices.md."""

from __future__ import annotations

from pathlib import Path

from evaluation.devices.page import device_page
from evaluation.pages import publish

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "devices.md"

if __name__ == "__main__":
    publish(PAGE, device_page())
