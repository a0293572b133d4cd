"""``plan --version``: the program, and how old the data are that it answers from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_DATE: re.Pattern[str] = re.compile(r"\b20\d\d-[01]\d(?:-[0-3]\d)?\b")
_PACKAGE = Path(__file__).parents[1]


def version_text() -> str:
    """The version, and a line for each kind of data."""
    from planner import __version__

    lines = [
        f"plan, version {__version__}",
        *(f"  {name:<16} {date}" for name, date in data_dates().items()),
    ]
    return "\n".join(lines) + "\n"


def data_dates() -> dict[str, str]:
    """The newest date that stands in each kind of data, with how much there is."""
    from planner.base.files import data_folder
    from planner.hardware.catalog import device_ids, variant_ids
    from planner.planning.plan.record import SCHEMA_VERSION

    profiles = [
        path
        for path in sorted(data_folder("hardware_profiles").rglob("*.toml"))
        if path.stem != "aliases"
    ]
    planning, quality, throughput = (
        _PACKAGE / name / "data" for name in ("planning", "quality", "throughput")
    )
    return {
        "device profiles": f"{_newest(profiles)}, {len(device_ids()) + len(variant_ids())} devices",
        "engine matrix": _newest([planning / "engine_sources.csv", planning / "engine_matrix.csv"]),
        "checkpoints": _newest([planning / "checkpoints.csv"]),
        "operator tables": _newest(throughput.glob("*.toml")),
        "sensitivities": _newest([quality / "kld_models.toml", quality / "priors.toml"]),
        "measured losses": _newest([quality / "measured_deltas.csv"]),
        "plan file": f"schema {SCHEMA_VERSION}",
    }


def _newest(files: Iterable[Path]) -> str:
    """The newest date in some files, to the day where one says it."""
    return max(
        match.group()
        for file in files
        for match in _DATE.finditer(file.read_text(encoding="utf-8"))
    )
