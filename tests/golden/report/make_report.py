"""Write the golden reports anew from the stored plan: after a wanted change, look at the diff.

``python tests/golden/report/make_report.py``; with ``--plan`` the plan and its counts as well.
Pages are stored without the style sheets that they repeat: a change of one changes no golden file.
"""

import json
import re
import sys
from pathlib import Path

from planner.planning.plan.file import read_plan
from planner.planning.plan.record import Plan, plain_data
from planner.report.render.embedded import computed_from
from planner.report.render.html import TEMPLATES, page
from planner.report.render.markdown import markdown
from planner.report.view.content import ReportExtras

HERE = Path(__file__).resolve().parent
SHEETS = ("plan.css", "view.css", "charts.css")
_SHEET = re.compile(r"(?<=<style>\n).*?(?=</style>)", flags=re.DOTALL)
ASKED = "plan qwen3-0.6b jetson-agx-orin-64gb --context 4096 --devices 1"


def stored() -> tuple[Plan, ReportExtras]:
    """The plan file and what is told beside it."""
    plan = read_plan(HERE / "plan.json")
    made = computed_from(json.loads((HERE / "computed.json").read_text(encoding="utf-8")))
    return plan, ReportExtras(made, ASKED, "0.0.0")


def reports() -> dict[str, str]:
    """The golden files' names and texts."""
    plan, beside = stored()
    return {
        "plan.en.html": without_sheet(page(plan, "en", beside)),
        "plan.zh.html": without_sheet(page(plan, "zh", beside)),
        "plan.en.md": markdown(plan, "en", beside),
    }


def without_sheet(text: str) -> str:
    """A page with the names of its style sheets for the sheets, which it must hold whole."""
    (sheet,) = _SHEET.findall(text)
    names = " and ".join(SHEETS)
    if sheet != "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SHEETS):
        raise ValueError(f"the page's style sheets are not {names}")
    return text.replace(sheet, f"/* {names} */\n", 1)


def made() -> dict[str, object]:
    """The stored files as the planner makes them today."""
    import planner
    from planner.planning.inspect.derived_figures import derive_figures

    plan = planner.plan(*ASKED.split()[1:3], context=4096, devices=1)
    return {"plan.json": plan.to_dict(), "computed.json": plain_data(derive_figures(plan))}


def _store_plan() -> None:
    for name, data in made().items():
        (HERE / name).write_text(json.dumps(data, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if "--plan" in sys.argv:
        _store_plan()
    for file, text in reports().items():
        (HERE / file).write_text(text, encoding="utf-8", newline="\n")
