"""The verbs that are short. Each imports what it needs when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planner.cli.answers import print_answer, print_view
from planner.cli.language import language
from planner.cli.progress import working
from planner.cli.refusals import say
from planner.cli.types import (
    BESIDE,
    DRAFTS,
    FREEDOM,
    POOLS,
    PREFIXES,
    QUESTION,
    RULE,
    SURFACE,
    Hinted,
    RequestRate,
    options,
)

if TYPE_CHECKING:
    from planner.hardware.profile import DeviceProfile


@click.command("plan")
@click.argument("model", required=False)
@click.argument("device", required=False)
@options(
    *QUESTION,
)
@click.option(
    "--rate",
    type=RequestRate(),
    metavar="N[/s|/min|/h|/day]",
    help="Requests come at this rate; the fewest devices that keep the limits at p90.",
)
@options(
    "file_bytes",
    "max_loss",
    "schemes",
    "kv",
    "profile",
    "imatrix",
    *FREEDOM,
    "exact",
    *RULE,
    *DRAFTS,
    "anchor",
    *BESIDE,
    *PREFIXES,
    *POOLS,
    "trust_remote_code",
    *SURFACE,
    "out",
    "force",
    "verbose",
    "assumptions",
    "interactive",
    "grid",
    "resume",
)
def plan_command(**given: Any) -> None:
    """What to serve MODEL with on DEVICE: formats, engine, layout, speed, cost and quality."""
    from planner.cli.interactive import check_host, check_interactive, journal_of, planned_grid
    from planner.cli.run import check_output_flags, finish, question_arguments, timed

    check_output_flags(given)
    if given["out"] is not None or given["force"]:
        from planner.cli.plan_folder import check_folder

        check_folder(given["out"], force=given["force"])
    check_interactive(
        given["interactive"],
        given["grid"],
        given["report"],
        flag="--report",
        resume=given["resume"],
    )
    if given["interactive"]:
        check_host(given)
        if given["rate"] is not None:
            raise Hinted(
                say("interactive_rate"),
                say("leave_either", one="--interactive", other="--rate"),
            )
        if given["speculation"] not in (None, "none"):
            raise Hinted(
                say("interactive_drafts"),
                say("leave_either", one="--interactive", other="--speculation"),
            )
    with timed(given["timings"]):
        import planner

        arguments = question_arguments(given)
        with working("searching layouts and formats", quiet=given["quiet"]):
            plan = planner.plan(given["model"], given["device"], **arguments)
        around = None
        if given["interactive"]:
            for name in ("anchor", "exact", *RULE, *BESIDE, *PREFIXES, *DRAFTS, *POOLS):
                del arguments[name]
            if plan.prefix_cache is not None:
                arguments["prefix_hit_rate"] = plan.workload.prefix_hit_rate
            around = planned_grid(
                plan,
                given["grid"],
                {"model": given["model"], "device": given["device"], **arguments},
                quiet=given["quiet"],
                out=given["report"],
                resume=given["resume"],
            )
        finish(plan, given, around)
        if around is not None:
            journal_of(given["report"]).unlink(missing_ok=True)


@click.command("estimate")
@click.argument("model", required=False)
@click.argument("device", required=False)
@click.option(
    "--scheme",
    metavar="SCHEME",
    help="One scheme (default: the published checkpoint), or by kind of module: "
    "fp8-block,experts=nvfp4.",
)
@click.option("--plan", "plan_file", metavar="FILE", help="Price this plan file.")
@options(
    *QUESTION,
    "kv",
    "chunk_tokens",
    "requests",
    "same_lengths",
    "profile",
    "imatrix",
    *DRAFTS,
    "anchor",
    *BESIDE,
    *PREFIXES,
    *SURFACE,
    "verbose",
    "assumptions",
)
def estimate_command(**given: Any) -> None:
    """Memory, speed and loss of one scheme or plan file on DEVICE, without a search."""
    from planner.cli.run import check_output_flags, finish, question_arguments, timed

    check_output_flags(given)
    with timed(given["timings"]):
        import planner

        arguments = question_arguments(given)
        with working("pricing", quiet=given["quiet"]):
            plan = planner.estimate(given["model"], given["device"], **arguments)
        finish(plan, given)


@click.command("inventory")
@click.argument("model")
@click.option("--expand", is_flag=True, help="With --json: list every tensor.")
@options("json")
def inventory_command(model: str, expand: bool, as_json: bool) -> None:
    """Parameters and bytes of MODEL, tensor class by tensor class."""
    import planner
    from planner.cli.files import print_json

    counts = planner.inventory(model)
    if as_json:
        print_json(counts.to_dict(expand=expand))
        return
    if expand:
        raise Hinted(say("expand_json"), say("add", what="--json"))
    print_answer(counts)


@click.command("models")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@options("json")
def models_command(words: tuple[str, ...], as_json: bool) -> None:
    """Bundled models with their parameters; WORDs filter by name."""
    import planner
    from planner.models.catalog import catalog
    from planner.models.naming import family_name, grouped, search

    inventories = [
        planner.inventory(name) for names in grouped(search(words)).values() for name in names
    ]
    if as_json:
        from planner.cli.files import print_json

        print_json(
            [
                {
                    "id": c.spec.id,
                    "public_name": c.spec.public_name,
                    "family": family_name(c.spec.id),
                    "parameters_total": c.parameters_total,
                    "parameters_published": catalog()[c.spec.id].published,
                    "parameters_active": c.parameters_active,
                    "checkpoint_format": c.spec.quantization,
                    "source": c.spec.source,
                }
                for c in inventories
            ]
        )
        return
    from planner.report.view.lists import models_view

    print_view(models_view(inventories, language()))


@click.command("devices")
@click.argument("name", required=False)
@click.option("--template", is_flag=True, help="Print a short device file to start from.")
@options("hardware_dir", "json")
def devices_command(
    name: str | None,
    template: bool,
    hardware_dir: str | None,
    as_json: bool,
) -> None:
    """Bundled devices and their formats; with NAME, every figure with its source."""
    import planner
    from planner.hardware.catalog import hardware_folders, list_devices

    if name is not None:
        profiles = [planner.load_device(name, hardware_dir=hardware_dir)]
    else:
        profiles = list_devices(hardware_folders(hardware_dir))
    if template:
        _template(profiles[0] if name is not None else None, as_json)
        return
    if as_json:
        from planner.cli.files import print_json
        from planner.hardware.device_data import device_dict

        print_json([device_dict(d) for d in profiles])
        return
    from planner.report.view.device import device_view
    from planner.report.view.lists import devices_view

    print_view(
        device_view(profiles[0], language())
        if name is not None
        else devices_view(profiles, language())
    )


def _template(device: DeviceProfile | None, as_json: bool) -> None:
    """Print the short file after ``device``."""
    from planner.base.errors import InputError

    if device is None or as_json:
        raise InputError(
            say("template_toml") if as_json else say("template_which"),
            hint=say("example", command="plan list devices rtx-4090 --template > mine.toml"),
        )
    from planner.hardware.template import device_template

    click.echo(device_template(device), nl=False)


@click.command("formats")
@click.option("--device", metavar="DEVICE", help="Compare formats on this device.")
@options("hardware_dir", "json")
def formats_command(device: str | None, hardware_dir: str | None, as_json: bool) -> None:
    """Schemes, element formats and KV cache layouts; with --device, what runs on it."""
    if device is not None:
        _formats_on(device, hardware_dir, as_json)
        return
    if as_json:
        from planner.cli.files import print_json
        from planner.formats.format_data import formats_dict

        print_json(formats_dict())
        return
    from planner.report.view.formats import formats_view

    print_view(formats_view(language()))


def _formats_on(name: str, hardware_dir: str | None, as_json: bool) -> None:
    import planner
    from planner.planning.inspect.format_table import format_rows, format_rows_dict
    from planner.report.view.formats import format_rows_view

    device = planner.load_device(name, hardware_dir=hardware_dir)
    rows = format_rows(device)
    if as_json:
        from planner.cli.files import print_json

        print_json(format_rows_dict(device.id, rows))
        return
    print_view(format_rows_view(device.id, rows, language()))


@click.command("scenarios")
@options("json")
def scenarios_command(as_json: bool) -> None:
    """Bundled deployment scenarios."""
    from planner.planning.question.scenarios import load_scenario, scenario_ids

    scenarios = [load_scenario(name) for name in scenario_ids()]
    if as_json:
        from planner.cli.files import print_json

        print_json(
            [
                {
                    "id": s.id,
                    "title": s.title,
                    "question": s.question,
                    **{
                        k: list(v) if isinstance(v, tuple) else v.id if k == "workload" else v
                        for k, v in s.values.items()
                    },
                }
                for s in scenarios
            ]
        )
        return
    from planner.report.view.lists import scenarios_view

    print_view(scenarios_view(scenarios, language()))


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the plan file."""
    from planner.cli.files import print_json
    from planner.planning.plan.schema import plan_json_schema

    print_json(plan_json_schema())


HERE = (
    plan_command,
    estimate_command,
    models_command,
    devices_command,
    formats_command,
    scenarios_command,
    inventory_command,
    schema_command,
)
"""The others are in modules of their own (:mod:`planner.cli.known`)."""
