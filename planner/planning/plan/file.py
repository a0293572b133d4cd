"""Plan files: read from a path or from what ``Plan.to_dict`` gave."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.base.errors import DataError, InputError
from planner.base.files import read_bounded
from planner.base.typed import typed

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan

MAX_PLAN_BYTES = 64 << 20
OF_REPLICA = "plan"
"""Where plan data stands in the answer of ``plan capacity``: that of a replica."""


def _plan_data(name: str) -> dict[str, object]:
    """The JSON object in a plan file."""
    from planner.base.strict_json import parse_object

    path = Path(name)
    try:
        if not path.is_file():
            raise InputError(f"plan file {name!r} does not exist", hint="write one with --json")
        text = read_bounded(
            path,
            MAX_PLAN_BYTES,
            DataError(
                f"plan file {name!r} is larger than {MAX_PLAN_BYTES} bytes",
                hint="a plan file is the output of --json",
            ),
        )
    except OSError as error:
        raise DataError(
            f"plan file {name!r} cannot be read: {error.strerror}",
            hint="check the path and its permissions",
        ) from None
    return parse_object(text, str(path), made_by="a plan file is the output of --json")


@typed
def read_plan(source: str | os.PathLike[str] | dict[str, Any]) -> Plan:
    """A plan from its file (the output of ``--json``), or from what ``Plan.to_dict`` gave; of the
    answer of ``planner.capacity`` the plan of a replica.

    Raises:
        InputError: no such file, or neither a file nor a dict.
        DataError: a file that cannot be read, of more than 64 MiB, or not of JSON; a key that is
            missing, unknown, or of the wrong type (the message has its place).
    """
    from planner.planning.plan.schema import parse_plan

    data = _plan_data(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else source
    replica = data.get(OF_REPLICA)
    return parse_plan(replica if isinstance(replica, dict) else data)
