"""``plan explain``: why a plan is what it is; or why a scheme is faster for one module, or not."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.answers import print_answer, print_notes, print_view
from planner.cli.language import language
from planner.cli.types import FREEDOM, INTEGER, POOLS, PRINTED, QUESTION, RULE, options

SOLVES = 40


class _Solves(click.ParamType[int]):
    """A whole number from 0."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return 0 if str(value).strip() == "0" else INTEGER.convert(value, param, ctx)


@click.command("explain")
@click.argument("model", required=False)
@click.argument("device", required=False)
@click.option(
    "--module", metavar="KIND|NAME", help="Explain one module's time instead, e.g. mlp-down."
)
@click.option(
    "--scheme",
    metavar="SCHEME",
    help="With --module: the scheme (default: the fastest).",
)
@click.option("--plan", "plan_file", metavar="FILE", help="Explain this plan file.")
@click.option(
    "--solves",
    type=_Solves(),
    default=SOLVES,
    show_default=True,
    help="Further searches for what would change the answer.",
)
@options(
    *QUESTION,
    "file_bytes",
    "max_loss",
    "schemes",
    "kv",
    "engine",
    "scenario",
    "profile",
    "imatrix",
    *FREEDOM,
    "exact",
    *RULE,
    *POOLS,
    "hardware_dir",
    "no_learned",
    *PRINTED,
)
def explain_command(**given: Any) -> None:
    """Why is the plan for MODEL on DEVICE what it is?

    What the next best choice of every unit costs, the price of every limit, and what would change
    the answer. With --module: the time of one module under each scheme.
    """
    from planner.cli.files import print_json
    from planner.cli.run import question_arguments, timed

    with timed(given["timings"]):
        from planner.api import explain as api_explain
        from planner.planning.explain.module_time import ModuleExplanation

        explanation = api_explain.explain(
            given["model"], given["device"], **question_arguments(given)
        )
        if given["as_json"]:
            print_json(explanation.to_dict())
        else:
            print_answer(explanation)
        if given["quiet"]:
            return
        if isinstance(explanation, ModuleExplanation):
            print_notes(explanation.assumptions)
            return
        from planner.report.view.explain_amounts import basis_section
        from planner.report.view.record import View
        from planner.report.view.verb_words import verb_phrases

        words = verb_phrases("explain", language())
        print_view(View("", (), (basis_section(words, explanation),)), err=True)
