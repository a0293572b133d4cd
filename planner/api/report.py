"""What a report needs beside a plan: model and device are looked up and checked by digest."""

from __future__ import annotations

import os

from planner.hardware.catalog import hardware_folders
from planner.planning.inspect.derived_figures import derive_figures
from planner.planning.plan.record import Plan
from planner.planning.question.scenario import Scenario
from planner.planning.question.scenarios import load_scenario
from planner.report.view.content import ReportExtras


def report_extras(
    plan: Plan,
    *,
    requested: str = "",
    version: str = "",
    scenario: str | Scenario | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> ReportExtras:
    """The figures that are computed for ``plan``, with the reasons for those that are not, the
    command of the question as it was ``requested``, and the program's ``version``."""
    made = derive_figures(
        plan,
        scenario=None if scenario is None else load_scenario(scenario),
        folders=hardware_folders(hardware_dir),
    )
    return ReportExtras(made, requested, version)
