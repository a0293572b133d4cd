"""Shell completion: names of models, devices, formats and scenarios, and ``plan completion``.

Values are completed by the name of the parameter, so that a flag means the same to the shell in
every command. Only catalogues are read: no numpy, no pydantic.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from planner.cli.types import Hinted
from planner.messages.catalogue import LANGUAGES

if TYPE_CHECKING:
    from click import Context, Parameter

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PLAN_COMPLETE"
HARDWARE_VARIABLE = "PLAN_HARDWARE_PATH"
HOW = {
    "bash": 'eval "$(plan completion bash)"',
    "zsh": 'eval "$(plan completion zsh)"',
    "fish": "plan completion fish | source",
}
WORDS: dict[str, tuple[str, ...]] = {
    "objective": ("throughput", "latency", "memory", "quality", "cost"),
    "lang": LANGUAGES,
    "link": ("pcie", "nvlink-c2c"),
    "scheduler": ("mixed", "exclusive"),
    "graphs": ("engine", "none"),
    "recipe": ("fp32", "fp16", "bf16", "fp8-deepseek"),
    "kv_offload": ("host", "nvme"),
    "deploy": ("compose", "kubernetes", "llm-d", "dynamo"),
    "router": ("least-loaded", "round-robin", "random"),
    "lora_targets": ("linear", "attention"),
    "zero": ("0", "1", "2", "3"),
    "recompute": ("none", "selective", "full"),
    "attention": ("flash", "plain"),
    "target": (
        "compressed-tensors",
        "modelopt",
        "fp8",
        "gptq",
        "blockwise-int8",
        "torchao",
        "llama.cpp",
    ),
    "names": ("module", "gguf"),
    "tier": ("T0", "T1", "T2", "T3"),
    "shell": SHELLS,
}
"""Words of flags that take one of a few; a test compares them with what the commands accept."""
MODES = {"plan": ("auto", "aggregated", "disaggregated"), "train": ("full", "lora")}
"""Words of ``--mode`` by command."""
LISTS = ("schemes", "units", "exclude_models")
FILES = ("FILE", "json", "toml", "svg", "csv", "html", "PLAN", "OLD", "NEW")


def models(_ctx: Context) -> Iterator[str]:
    """Ids, then public repository names."""
    from planner.models.catalog import catalog

    entries = catalog()
    yield from entries
    yield from (entry.public_name for entry in entries.values())


def devices(ctx: Context) -> Iterator[str]:
    """Ids of the packaged devices, this machine, and of the folders that the question adds."""
    from planner.hardware.catalog import HOST, device_ids, variant_ids

    yield from (*device_ids(), *variant_ids(), HOST)
    folders = [
        ctx.params.get("hardware_dir") or "",
        *os.environ.get(HARDWARE_VARIABLE, "").split(os.pathsep),
    ]
    for folder in folders:
        if folder and Path(folder).is_dir():
            yield from (p.stem for p in sorted(Path(folder).glob("*.toml")) if p.stem != "aliases")


def schemes(_ctx: Context) -> Iterable[str]:
    """Every scheme."""
    from planner.formats.schemes import scheme_ids

    return scheme_ids()


def layouts(_ctx: Context) -> Iterator[str]:
    """``auto``, ``by-layer`` and every cache layout."""
    from planner.formats.kv import kv_layout_ids
    from planner.planning.question.caches import BY_LAYER

    yield "auto"
    yield BY_LAYER
    yield from kv_layout_ids()


def engines(_ctx: Context) -> Iterator[str]:
    """``auto``, ``any`` and every engine."""
    from planner.memory.engines.catalog import engine_names

    yield from ("auto", "any", *engine_names())


def scenarios(_ctx: Context) -> Iterable[str]:
    """The bundled scenarios."""
    from planner.planning.question.scenarios import scenario_ids

    return scenario_ids()


def kinds(_ctx: Context) -> Iterator[str]:
    """Kinds of modules that a scheme is chosen for, and of caches."""
    from planner.formats.kv import KV_KINDS
    from planner.placement.modules import PLANNED_KINDS

    yield from PLANNED_KINDS
    yield from KV_KINDS


def measured(_ctx: Context) -> Iterator[str]:
    """Families and models whose matrices were measured."""
    from planner.quality.sensitivity.measured_names import measured_names

    yield from dict.fromkeys(measured_names().values())
    yield from measured_names()


def modes(ctx: Context) -> Iterable[str]:
    """What the command's ``--mode`` may be."""
    return MODES.get(ctx.info_name or "", ())


def draft_model_names(ctx: Context) -> Iterator[str]:
    """What may draft tokens: words, then models."""
    yield from ("auto", "none", "mtp", "eagle")
    yield from models(ctx)


def reuses(_ctx: Context) -> Iterator[str]:
    """Words and workloads that say how prompts come back."""
    from planner.workloads import workload_ids

    yield from ("auto", "none")
    yield from workload_ids()


NAMES: dict[str, Callable[[Context], Iterable[str]]] = {
    "model": models,
    "device": devices,
    "name": devices,
    "host_cpu": devices,
    "host": devices,
    "prefill_device": devices,
    "mode": modes,
    "speculation": draft_model_names,
    "reuse": reuses,
    "scheme": schemes,
    "schemes": schemes,
    "probe": schemes,
    "max_loss": schemes,
    "kv": layouts,
    "engine": engines,
    "scenario": scenarios,
    "module": kinds,
    "exclude_models": measured,
    **{name: (lambda ctx, words=words: words) for name, words in WORDS.items()},  # type: ignore[misc]
}
PATHS = (
    "model",
    "device",
    "name",
    "scenario",
    "host_cpu",
    "host",
    "prefill_device",
    "speculation",
    "reuse",
)
"""Names that may be a file instead."""


class Completed(click.types.StringParamType):
    """Text whose values the shell can complete: names, files or folders."""

    def __init__(self, metavar: str) -> None:
        self.metavar = metavar

    def shell_complete(
        self, ctx: Context, param: Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Names that begin with ``incomplete``; where none does, files if it may be one."""
        source = NAMES.get(param.name or "")
        if source is not None:
            before, _, part = (
                incomplete.rpartition(",") if param.name in LISTS else ("", "", incomplete)
            )
            lead = before + "," if before else ""
            matching_names = dict.fromkeys(
                n for n in source(ctx) if n.lower().startswith(part.lower())
            )
            shown = [n for n in matching_names if part or "/" not in n]
            if shown or param.name not in PATHS:
                return [CompletionItem(lead + name) for name in shown]
            return [CompletionItem(incomplete, type="file")]
        if self.metavar == "DIR":
            return [CompletionItem(incomplete, type="dir")]
        if any(word in self.metavar for word in FILES):
            return [CompletionItem(incomplete, type="file")]
        return []


def complete_values(command: click.Command) -> None:
    """Let the shell complete the text parameters of ``command``."""
    for parameter in command.params:
        if type(parameter.type) is click.types.StringParamType:
            parameter.type = Completed(parameter.metavar or (parameter.name or "").upper())


@click.command("completion")
@click.argument("shell", metavar="bash|zsh|fish", required=False)
def completion_command(shell: str | None) -> None:
    """The completion script of a shell; without one, how to switch completion on."""
    if shell is None:
        for name, line in HOW.items():
            click.echo(f"{name:<5} {line}")
        click.echo(
            "Put the line of your shell into its start-up file: ~/.bashrc, ~/.zshrc or "
            "~/.config/fish/config.fish.",
            err=True,
        )
        return
    shell_class = get_completion_class(shell.lower()) if shell.lower() in SHELLS else None
    if shell_class is None:
        raise Hinted(f"no completion for {shell!r}", f"one of {', '.join(SHELLS)}")
    root = click.get_current_context().find_root().command
    click.echo(shell_class(root, {}, "plan", VARIABLE).source(), nl=False)
