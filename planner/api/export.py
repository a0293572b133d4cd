"""``planner.export_plan`` and ``planner.import_plan``: plans to engines' files and back."""

from planner.export.plan_files import export_plan as export_plan
from planner.export.plan_files import import_plan as import_plan
