"""``plan serve``: a deployment under a closed loop of requests."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.answers import print_answer, print_notes
from planner.cli.types import INTEGER, NUMBER, PRINTED, options

_SHARE = click.FLOAT


@click.command("serve")
@click.argument("model", required=False)
@click.argument("device", required=False)
@click.option(
    "--concurrency",
    type=NUMBER,
    metavar="N",
    help="Requests in flight over the deployment (absent: the frontier alone).",
)
@click.option("--scheme", metavar="SCHEME", help="One scheme everywhere (default: as released).")
@click.option("--plan", "plan_file", metavar="FILE", help="Serve the units of a plan file.")
@options(
    "devices",
    "tp",
    "dp",
    "pp",
    "ep",
    "context",
    "isl",
    "osl",
    "workload",
    "prefix_hit_rate",
    "slots",
    "memory_bytes",
    "kv",
    "measured_engine",
)
@click.option(
    "--requests",
    type=INTEGER,
    help="Requests of a run that starts with all slots filled at once (default: steady state).",
)
@click.option("--draft-tokens", type=INTEGER, default=0, help="Tokens drafted a step.")
@click.option("--acceptance", type=_SHARE, help="Probability that a drafted token is kept.")
@click.option(
    "--draft-layers",
    type=INTEGER,
    help="Cost of a drafted token in layers (default: the model's prediction layers).",
)
@click.option(
    "--chunk-tokens",
    type=INTEGER,
    help="Most prompt tokens of one pass (default: the engine's on the device).",
)
@click.option(
    "--stream-interval", type=INTEGER, default=1, show_default=True, help="Tokens sent together."
)
@click.option("--scheduler", metavar="NAME", help="mixed | exclusive (default: the engine's).")
@click.option("--host-us", type=_SHARE, help="Host time a step that the device waits for.")
@click.option("--host-us-per-sequence", type=_SHARE, help="The same for each sequence.")
@click.option(
    "--graphs",
    metavar="LIST",
    default="none",
    show_default=True,
    help="Pad steps to captured batches: engine, none, or 1,2,4,8.",
)
@click.option("--overlap", is_flag=True, help="Two micro-batches hide the exchange of experts.")
@click.option("--prefill-workers", type=INTEGER, help="Replicas that only read prompts.")
@click.option("--decode-workers", type=INTEGER, help="Replicas that only decode.")
@click.option(
    "--transfer-bytes-per-s",
    type=NUMBER,
    help="Link between the pools, each device (default: its network).",
)
@click.option("--cache-tokens", type=INTEGER, help="Tokens that the cache of a rank holds.")
@options("anchor", "hardware_dir", *PRINTED)
def serve_command(**given: Any) -> None:
    """TPOT, TTFT and throughput of MODEL on DEVICE with requests in a closed loop."""
    from planner.cli.files import print_json
    from planner.cli.run import question_arguments, timed

    with timed(given["timings"]):
        from planner.planning.serving import serve as api_serve

        serving_answer = api_serve.serve(
            given["model"], given["device"], **question_arguments(given)
        )
        if given["as_json"]:
            print_json(serving_answer.to_dict())
        else:
            print_answer(serving_answer)
        if not given["quiet"]:
            print_notes(serving_answer.assumptions)
