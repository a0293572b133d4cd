"""``plan learn``: results of benchmarks beside what is predicted, kept as corrections."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.answers import print_answer
from planner.cli.refusals import say
from planner.cli.types import INTEGER, Hinted, options

REFUSED = 1
"""The exit code where nothing of what was given could be kept."""


@click.command("learn")
@click.argument("results", nargs=-1, metavar="[RESULT]...")
@click.option("--model", metavar="MODEL", help="What was served, where the result does not say it.")
@click.option("--device", metavar="DEVICE", help="What it ran on.")
@click.option("--engine", metavar="NAME[@VERSION]", help="What served it.")
@click.option("--scheme", metavar="SCHEME", help="Its formats (default: the published checkpoint).")
@click.option("--kv", metavar="LAYOUT", help="Its KV cache layout (default: bf16).")
@click.option("--tp", type=INTEGER, help="Its tensor parallel size (default: 1).")
@click.option("--isl", type=INTEGER, help="Input tokens of a request.")
@click.option("--osl", type=INTEGER, help="Output tokens of a request.")
@click.option("--concurrency", type=INTEGER, help="Requests in flight.")
@click.option("--no-keep", is_flag=True, help="Compare alone; keep nothing.")
@click.option("--list", "list_kept", is_flag=True, help="Show what is kept.")
@click.option("--forget", metavar="ID", help="Remove a kept run; all: every one.")
@options("hardware_dir", "json", "quiet")
def learn_command(results: tuple[str, ...], **given: Any) -> None:
    """Compare measured runs with predictions, and let later answers use them.

    RESULT is what `vllm bench`, SGLang's bench_serving, GuideLLM, AIPerf, genai-perf or llama-bench
    wrote. A run that was not disturbed is kept as a correction for its device, engine and class of
    model; --no-learned leaves it out of an answer.
    """
    import planner

    if not results and not given["list_kept"] and given["forget"] is None:
        raise Hinted(say("learn_what"), say("learn_names"))
    answer = planner.learn(
        list(results),
        keep_runs=not given["no_keep"],
        forget_run=given["forget"],
        **{
            name: given[name]
            for name in (
                "model",
                "device",
                "engine",
                "scheme",
                "kv",
                "tp",
                "isl",
                "osl",
                "concurrency",
                "hardware_dir",
            )
        },
    )
    if given["as_json"]:
        from planner.cli.files import print_json

        print_json(answer.to_dict())
    else:
        print_answer(answer)
    if answer.runs and all(run.learned is None for run in answer.runs):
        raise click.exceptions.Exit(REFUSED)
