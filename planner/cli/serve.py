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
    help="Concurrent requests of the deployment (default: a curve).",
)
@click.option("--scheme", metavar="SCHEME", help="One scheme (default: the published checkpoint).")
@click.option("--plan", "plan_file", metavar="FILE", help="Serve this plan file.")
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
    help="A finite run of this many requests (default: steady state).",
)
@click.option("--draft-tokens", type=INTEGER, default=0, help="Drafted tokens per step.")
@click.option("--acceptance", type=_SHARE, help="Acceptance rate of drafted tokens.")
@click.option(
    "--draft-layers",
    type=INTEGER,
    help="Layers run per drafted token (default: prediction layers).",
)
@click.option(
    "--chunk-tokens",
    type=INTEGER,
    help="Prompt tokens per step (default: the engine's).",
)
@click.option(
    "--stream-interval",
    type=INTEGER,
    default=1,
    show_default=True,
    help="Tokens streamed together.",
)
@click.option("--scheduler", metavar="NAME", help="mixed | exclusive (default: the engine's).")
@click.option("--host-us", type=_SHARE, help="Host overhead per step [µs] (default: the engine's).")
@click.option(
    "--host-us-per-sequence", type=_SHARE, help="Host overhead per step and sequence [µs]."
)
@click.option(
    "--graphs",
    metavar="LIST",
    default="none",
    show_default=True,
    help="Pad to CUDA graph batches: engine, none, or 1,2,4,8.",
)
@click.option(
    "--overlap", is_flag=True, help="Hide expert communication behind a second micro-batch."
)
@options("prefill_workers", "decode_workers", "transfer_bytes_per_s")
@click.option("--cache-tokens", type=INTEGER, help="KV cache capacity of a rank [tokens].")
@options("anchor", "hardware_dir", "no_learned", *PRINTED)
def serve_command(**given: Any) -> None:
    """TPOT, TTFT and throughput of MODEL on DEVICE at a number of concurrent requests."""
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
