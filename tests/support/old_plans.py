"""Plan files of version 1, as programs of that time printed them (tests/golden/plan_files)."""

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

STORED = Path(__file__).parents[1] / "golden" / "plan_files" / "version_1.json.xz"
FIRST = ("plain", "deepseek", "kv8", "llamacpp", "untied", "estimate")
"""Written by 0.1.0."""
LATER = ("anchored", "no-devices", "no-gain", "pools", "host")
"""Written between 0.1.0 and 0.2, each without some key that came later."""
LAST = ("prefixes", "drafts")
"""Written by the last program of version 1, which told all that version 2 tells."""
NAMES = (*FIRST, *LATER, *LAST)


@cache
def _texts() -> dict[str, str]:
    plans = json.loads(lzma.decompress(STORED.read_bytes()))
    return {name: json.dumps(plan, ensure_ascii=False) for name, plan in plans.items()}


def old_plan(name: str) -> dict[str, Any]:
    """A plan as plain data of its own."""
    data = json.loads(_texts()[name])
    assert isinstance(data, dict)
    return data


def written(name: str, folder: Path) -> Path:
    """A plan as a file in ``folder``."""
    path = folder / f"{name}.json"
    path.write_text(_texts()[name], encoding="utf-8")
    return path
