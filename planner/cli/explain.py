"""``plan explain``: why a plan is what it is; or why a scheme is faster for one module, or not."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.types import FREEDOM, INTEGER, PRINTED, QUESTION, RULE, options

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
    "hardware_dir",
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
        from planner.planning.explain.records import ChoiceExplanation
        from planner.report.terminal.choice import choice_text, pool_choice_text

        explanation = api_explain.explain(
            given["model"], given["device"], **question_arguments(given)
        )
        if isinstance(explanation, ModuleExplanation):
            _module(explanation, given)
            return
        if given["as_json"]:
            print_json(explanation.to_dict())
        else:
            text = (
                choice_text(explanation)
                if isinstance(explanation, ChoiceExplanation)
                else pool_choice_text(explanation)
            )
            click.echo(text, nl=False)
        if not given["quiet"]:
            from planner.report.terminal.choice import basis_text

            click.echo(basis_text(explanation), nl=False, err=True)


def _module(module: Any, given: dict[str, Any]) -> None:
    from planner.cli.files import print_json
    from planner.report.terminal.explain import explain_assumptions, explain_text

    if given["as_json"]:
        print_json(module.to_dict())
    else:
        click.echo(explain_text(module), nl=False)
    if not given["quiet"]:
        click.echo(explain_assumptions(module), nl=False, err=True)
