"""Parameter types and shared options of the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
NO_LIMIT = "none"
_SUFFIX = re.compile(r"^(\d+(?:\.\d+)?)\s*([kKmMgG])i?[bB]?$")
_GROUPED = re.compile(r"^[+-]?\d{1,3}(,\d{3})+$")
_STEP = {"k": 1, "m": 2, "g": 3}
_EXAMPLES = {
    "--context": 8192,
    "--isl": 7168,
    "--osl": 1024,
    "--tp": 2,
    "--dp": 2,
    "--pp": 2,
    "--ep": 2,
    "--memory-bytes": 64 << 30,
    "--host-bytes": 64 << 30,
    "--seq": 4096,
}
"""What an error shows for a flag."""


class Hinted(click.UsageError):
    """A usage error with a hint line of its own."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class PlainInteger(click.ParamType[int]):
    """A whole number ≥ 1 without suffix; ``128k`` is refused with both readings spelled out."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = _GROUPED.sub(lambda m: m[0].replace(",", ""), str(value).strip()).replace("_", "")
        flag = param.opts[0] if param is not None else "value"
        suffix = _SUFFIX.match(text)
        if suffix:
            number, power = float(suffix[1]), _STEP[suffix[2].lower()]
            binary, decimal = int(number * 1024**power), int(number * 1000**power)
            raise Hinted(
                f"{flag} {value}: suffixes are ambiguous",
                f"write {binary} (×1024) or {decimal} (×1000)",
            )
        if not re.fullmatch(r"[+-]?\d+", text):
            raise Hinted(
                f"{flag} {value!r} is not a whole number",
                f"for example {flag} {_EXAMPLES.get(flag, 8)}",
            )
        number_int = int(text) if len(text) < 20 else -1 if text[0] == "-" else 1 << 63
        if not 1 <= number_int < 1 << 62:
            raise Hinted(
                f"{flag} {value} is out of range",
                f"{flag} is at least 1"
                if number_int < 1
                else f"{flag} is from 1 to {(1 << 62) - 1}",
            )
        return number_int


class PositiveNumber(click.ParamType[float]):
    """A finite number above 0."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        flag = param.opts[0] if param is not None else "value"
        try:
            number = float(value)
        except ValueError:
            raise Hinted(f"{flag} {value!r} is not a number", f"for example {flag} 50") from None
        if not 0 < number < float("inf"):
            raise Hinted(f"{flag} {value} is out of range", f"{flag} is above 0")
        return number


def scheme_names(text: str | None) -> list[str] | None:
    """The names of ``--schemes``; None where it is not given."""
    if text is None:
        return None
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise Hinted("--schemes is empty", "for example --schemes bf16,fp8-block")
    return names


class Limit(PositiveNumber):
    """A number above 0, or ``none``: the default does not hold either."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value).strip().lower() == NO_LIMIT:
            return NO_LIMIT
        return super().convert(value, param, ctx)


INTEGER = PlainInteger()
NUMBER = PositiveNumber()


def rule_names(text: str | None) -> list[str] | None:
    """The names of ``--drop-policies``; None where it is not given."""
    if text is None:
        return None
    names = [part.strip().lower().replace("_", "-") for part in text.split(",") if part.strip()]
    if not names:
        raise Hinted("--drop-policies is empty", "for example --drop-policies head,embedding")
    return names


def refuse_empty(command: click.Command) -> None:
    """Let ``command`` refuse a text that was given and is empty, as an unset variable of a script
    leaves it: a file that is not written, or the folder that one happens to be in."""
    inner = command.callback
    if inner is None:
        return

    def callback(**given: Any) -> Any:
        context = click.get_current_context()
        for param in command.params:
            name = param.name or ""
            source = context.get_parameter_source(name)
            if given.get(name) == "" and source is click.core.ParameterSource.COMMANDLINE:
                shown = (
                    param.human_readable_name
                    if isinstance(param, click.Argument)
                    else max(param.opts, key=len)
                )
                raise Hinted(
                    f"{shown} is empty",
                    "give a value, or leave it out"
                    if isinstance(param, click.Option)
                    else f"name the {shown}",
                )
        return inner(**given)

    command.callback = callback


def options(*names: str) -> Callable[[F], F]:
    """Decorate a command with the shared options ``names``, in the given order."""

    def apply(function: F) -> F:
        for name in reversed(names):
            function = OPTIONS[name](function)
        return function

    return apply


OPTIONS: dict[str, Callable[[Any], Any]] = {
    "devices": click.option("--devices", type=INTEGER, help="Devices in all (searched if absent)."),
    "tp": click.option("--tp", type=INTEGER, help="Attention tensor parallel."),
    "dp": click.option("--dp", type=INTEGER, help="Attention data parallel."),
    "pp": click.option("--pp", type=INTEGER, help="Pipeline stages."),
    "ep": click.option("--ep", type=INTEGER, help="Expert parallel; divides tp·dp."),
    "context": click.option("--context", type=INTEGER, help="Longest sequence of a slot [tokens]."),
    "isl": click.option("--isl", type=INTEGER, help="Prompt tokens."),
    "osl": click.option("--osl", type=INTEGER, help="Answer tokens."),
    "workload": click.option(
        "--workload",
        metavar="NAME|FILE",
        help="Requests by name: agent, batch, chat, long, rag, reasoning; or a file.",
    ),
    "prefix_hit": click.option(
        "--prefix-hit",
        "--prefix-hit-rate",
        "prefix_hit_rate",
        type=click.FLOAT,
        metavar="RATE",
        help="Share of a prompt found in the prefix cache.",
    ),
    "reuse": click.option(
        "--reuse",
        metavar="NAME|FILE",
        help="How prompts come back: auto (the "
        "workload's own), agent, chat, rag, reasoning, or a workload file; hits "
        "then follow from the room for prefixes.",
    ),
    "kv_offload": click.option(
        "--kv-offload",
        metavar="TIER",
        default="none",
        show_default=True,
        help="Prefixes beyond the device: host (its memory) | nvme.",
    ),
    "kv_offload_bytes": click.option(
        "--kv-offload-bytes", type=INTEGER, help="Bytes for them beside each device."
    ),
    "slots": click.option(
        "--slots",
        metavar="NAME",
        help="Cache of a sequence: requests (what it holds) | full (the whole context).",
    ),
    "batch": click.option("--batch", type=INTEGER, help="Sequences decoded together."),
    "objective": click.option(
        "--objective", metavar="NAME", help="throughput | latency | memory | quality | cost."
    ),
    "ttft_ms": click.option(
        "--ttft-ms", type=NUMBER, help="Limit on the time to the first token [ms]."
    ),
    "tpot_ms": click.option(
        "--tpot-ms",
        type=Limit(),
        metavar="NUMBER",
        help="Limit on the time per output token [ms], or none (default: 50 "
        "under throughput and cost).",
    ),
    "memory_bytes": click.option(
        "--memory-bytes", type=INTEGER, help="Limit on bytes of one device."
    ),
    "max_loss": click.option(
        "--max-loss",
        metavar="SCHEME|NUMBER",
        help="No lossier than this scheme uniformly, or nats of mean KL.",
    ),
    "schemes": click.option("--schemes", metavar="A,B", help="Schemes to choose from."),
    "kv": click.option("--kv", metavar="LAYOUT", help="Cache layout, or auto."),
    "engine": click.option(
        "--engine",
        metavar="NAME[@VERSION]",
        default="auto",
        show_default=True,
        help="Engine that must serve it; auto: the best of all, any: theory, no engine's rules.",
    ),
    "measured_engine": click.option(
        "--engine",
        metavar="NAME[@VERSION]",
        default="any",
        show_default=True,
        help="Engine whose kernels and scheduler are meant.",
    ),
    "scenario": click.option("--scenario", metavar="NAME", help="A scenario's name or file."),
    "hardware_dir": click.option("--hardware-dir", metavar="DIR", help="Further device profiles."),
    "imatrix": click.option(
        "--imatrix",
        metavar="FILE",
        help="Importance matrix (llama-imatrix) that llama.cpp's types are written with.",
    ),
    "profile": click.option("--profile", metavar="FILE", help="Quality profile of a checkpoint."),
    "untie": click.option("--untie", is_flag=True, help="Decide layer by layer."),
    "exact": click.option(
        "--exact", is_flag=True, help="The optimum, without regard to how sure the numbers are."
    ),
    "drop_policies": click.option(
        "--drop-policies",
        metavar="A,B",
        help="Rules that shall not "
        "hold: embedding, head, router, norm, indexer, first-layers, "
        "last-layers, one-data-type.",
    ),
    "speculation": click.option(
        "--speculation",
        metavar="NAME|MODEL",
        help="What drafts tokens: auto | none | mtp | eagle, or a model (default: none).",
    ),
    "draft_tokens": click.option(
        "--draft-tokens", type=INTEGER, help="Tokens drafted a step (searched if absent)."
    ),
    "acceptance": click.option(
        "--acceptance",
        type=click.FLOAT,
        metavar="RATE",
        help="Share of drafted tokens that is accepted (default: published).",
    ),
    "anchor": click.option(
        "--anchor",
        metavar="NAME=VALUE",
        help="A measured tpot_ms, ttft_ms or output_tokens_per_second to compare with.",
    ),
    "host": click.option(
        "--host",
        metavar="CPU",
        help="CPU beside one device: weights that the device has no room for live in its memory.",
    ),
    "host_sockets": click.option("--host-sockets", type=INTEGER, help="Its sockets (default 1)."),
    "host_memory_bytes": click.option(
        "--host-memory-bytes", type=INTEGER, help="Its memory for weights (default: its profile's)."
    ),
    "mode": click.option(
        "--mode",
        metavar="NAME",
        default="auto",
        show_default=True,
        help="aggregated (workers do both) | disaggregated (pools of prefill and "
        "decode workers) | auto.",
    ),
    "prefill_device": click.option(
        "--prefill-device", metavar="DEVICE", help="Another device for the prefill pool."
    ),
    "transfer": click.option(
        "--transfer-bytes-per-s",
        type=NUMBER,
        help="Link between the pools, each device (default: its network).",
    ),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    "report": click.option(
        "--report", metavar="FILE", help="Also write a report: FILE.html or FILE.md."
    ),
    "interactive": click.option(
        "--interactive", is_flag=True, help="With FILE.html: a what-if page in the report."
    ),
    "grid": click.option(
        "--grid",
        multiple=True,
        metavar="AXIS=A,B",
        help="Positions of the what-if page, e.g. context=8192,32768.",
    ),
    "resume": click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Go on from FILE.html.journal, which an interrupted what-if page leaves.",
    ),
    "assumptions": click.option(
        "--assumptions", is_flag=True, help="Every assumption on stderr, not the heaviest five."
    ),
    "quiet": click.option(
        "--quiet", is_flag=True, help="No assumptions, notes or progress on stderr."
    ),
    "timings": click.option("--timings", is_flag=True, help="Print own run time on stderr."),
}
LAYOUT = ("devices", "tp", "dp", "pp", "ep")
WORKLOAD = ("context", "isl", "osl", "batch", "workload", "prefix_hit", "slots")
LATENCY = ("ttft_ms", "tpot_ms")
QUESTION = (*LAYOUT, *WORKLOAD, "objective", *LATENCY, "memory_bytes")
BESIDE = ("host", "host_sockets", "host_memory_bytes")
PREFIXES = ("reuse", "kv_offload", "kv_offload_bytes")
FREEDOM = ("untie", "drop_policies")
DRAFTS = ("speculation", "draft_tokens", "acceptance")
POOLS = ("mode", "prefill_device", "transfer")
POOL_NAMES = ("mode", "prefill_device", "transfer_bytes_per_s")
PRINTED = ("json", "quiet", "timings")
SURFACE = ("engine", "scenario", "hardware_dir", "json", "report", "quiet", "timings")
