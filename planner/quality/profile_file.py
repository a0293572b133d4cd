"""Profile files: read strictly, written the same way every time."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from planner.errors import DataError
from planner.quality.profile import Profile

MAX_BYTES = 512 << 20


def read_profile(path: Path) -> Profile:
    """The profile in ``path``.

    Raises:
        DataError: not a file, too large, not JSON, or not a profile.
    """
    from planner.models.strict_json import parse_object, read_config_bytes
    from planner.quality.profile_schema import parse_profile

    if not path.is_file():
        raise DataError(
            f"profile {str(path)!r} does not exist",
            hint="write one with `plan profile CHECKPOINT -o FILE`",
        )
    text = read_config_bytes(path, limit=MAX_BYTES)
    return parse_profile(parse_object(text, str(path)), str(path))


def profile_text(profile: Profile) -> str:
    """JSON with one line a unit and tensor; the same profile gives the same bytes."""
    data = as_dict(profile)
    lines = []
    for key, value in data.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n".join("  " + _flat(row) for row in value)
            lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {_flat(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def as_dict(value: Any) -> Any:
    """Records as plain data, empty optional mappings left out."""
    if is_dataclass(value):
        return {
            f.name: as_dict(getattr(value, f.name))
            for f in fields(value)
            if not (
                f.name in ("flushed", "overflow", "parts", "settings", "joint")
                and not getattr(value, f.name)
            )
        }
    if isinstance(value, tuple):
        return [as_dict(v) for v in value]
    return value


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
