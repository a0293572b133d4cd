"""Parameter types and shared options of the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from planner.cli.refusals import Hinted as Hinted
from planner.cli.refusals import say
from planner.planning.question import parameters as declared
from planner.planning.question.declaring import NO_LIMIT, ParameterText, parameters

F = TypeVar("F", bound=Callable[..., Any])
NO_LIMIT = NO_LIMIT
_SUFFIX = re.compile(r"^(\d+(?:\.\d+)?)\s*([kKmMgG])(|i|iB|[bB])$", re.ASCII)
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


class PlainInteger(click.ParamType[int]):
    """A whole number ≥ 1; ``k``, ``M`` and ``G`` (and ``Ki``, ``KiB`` …) are powers of 1,024, as in
    a context of 32k; ``KB``, ``MB`` and ``GB``, which sheets mean in either way, are refused with
    both readings."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = _GROUPED.sub(lambda m: m[0].replace(",", ""), str(value).strip()).replace("_", "")
        flag = param.opts[0] if param is not None else "value"
        suffix = _SUFFIX.match(text)
        if suffix:
            text = str(_scaled(flag, str(value), suffix))
        if not re.fullmatch(r"[+-]?\d+", text):
            raise Hinted(
                say("not_whole", flag=flag, value=repr(value)),
                say("for_example", flag=flag, value=_EXAMPLES.get(flag, 8)),
            )
        number_int = int(text) if len(text) < 20 else -1 if text[0] == "-" else 1 << 63
        if not 1 <= number_int < 1 << 62:
            raise Hinted(
                say("out_of_range", flag=flag, value=value),
                say("at_least_1", flag=flag)
                if number_int < 1
                else say("from_1_to", flag=flag, most=(1 << 62) - 1),
            )
        return number_int


def _scaled(flag: str, value: str, suffix: re.Match[str]) -> int:
    """The number of a text with a suffix. Raises Hinted where it is ambiguous or no whole one."""
    from fractions import Fraction

    number, power = Fraction(suffix[1]), _STEP[suffix[2].lower()]
    binary = number * 1024**power
    if suffix[3].lower() == "b":
        raise Hinted(
            say("ambiguous_suffix", flag=flag, value=value),
            say("write_either", binary=int(binary), decimal=int(number * 1000**power)),
        )
    if binary.denominator != 1:
        raise Hinted(
            say("not_whole", flag=flag, value=repr(value)),
            say("write_or", one=int(binary), two=int(binary) + 1),
        )
    return int(binary)


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
            raise Hinted(
                say("not_a_number", flag=flag, value=repr(value)),
                say("for_example", flag=flag, value=50),
            ) from None
        if not 0 < number < float("inf"):
            raise Hinted(say("out_of_range", flag=flag, value=value), say("above_0", flag=flag))
        return number


def scheme_names(text: str | None) -> list[str] | None:
    """The names of ``--schemes``; None where it is not given."""
    if text is None:
        return None
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise Hinted(
            say("is_empty", flag="--schemes"),
            say("for_example", flag="--schemes", value="bf16,fp8-block"),
        )
    return names


class Limit(PositiveNumber):
    """Milliseconds above 0, or a percentile with its own, ``p99:2000``; where it ``may_be_none``,
    ``none``: the default does not hold either."""

    name = "limit"

    def __init__(self, *, may_be_none: bool) -> None:
        self.may_be_none = may_be_none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value).strip().lower()
        if self.may_be_none and text == NO_LIMIT:
            return NO_LIMIT
        percentile, colon, number = text.partition(":")
        if not colon:
            return super().convert(value, param, ctx)
        return f"{percentile}:{super().convert(number, param, ctx):.17g}ms"


INTEGER = PlainInteger()
NUMBER = PositiveNumber()


class RequestRate(click.ParamType[float]):
    """Requests a second: ``20``, ``20/s``, ``1200/min``, ``2e6/day``."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        from planner.requests.request_rate import rate_parts

        if isinstance(value, float):
            return value
        number_and_unit = rate_parts(str(value))
        if number_and_unit is None:
            raise Hinted(
                f"--rate {value!r} is not understood",
                "requests a second, for example --rate 20, 20/s, 1200/min, 2e6/day",
            )
        number, seconds = number_and_unit
        return NUMBER.convert(number, param, ctx) / seconds


def rule_names(text: str | None) -> list[str] | None:
    """The names of ``--drop-policies``; None where it is not given."""
    if text is None:
        return None
    names = [part.strip().lower().replace("_", "-") for part in text.split(",") if part.strip()]
    if not names:
        raise Hinted(
            say("is_empty", flag="--drop-policies"),
            say("for_example", flag="--drop-policies", value="head,embedding"),
        )
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
                    say("is_empty", flag=shown),
                    say("value_or_leave")
                    if isinstance(param, click.Option)
                    else say("name_the", name=shown),
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


def _option(name: str, declaration: ParameterText) -> Callable[[Any], Any]:
    """The flag of a parameter of a question."""
    if declaration.kind == "switch":
        return click.option(declaration.flag, is_flag=True, help=declaration.help)
    kinds = {"count": INTEGER, "number": NUMBER, "share": click.FLOAT}
    return click.option(
        declaration.flag,
        *filter(None, (declaration.also, name if declaration.also else "")),
        type=Limit(may_be_none=declaration.may_be_none)
        if declaration.kind == "seconds"
        else kinds.get(declaration.kind),
        metavar=declaration.metavar,
        default=declaration.shown_default,
        show_default=declaration.shown_default is not None,
        help=declaration.help,
    )


def keys(*groups: type) -> tuple[str, ...]:
    """What click calls the parameters of groups."""
    return tuple(
        declaration.key if declaration.kind == "seconds" else name
        for name, declaration in parameters(*groups).items()
    )


OPTIONS: dict[str, Callable[[Any], Any]] = {
    **{
        declaration.key if declaration.kind == "seconds" else name: _option(name, declaration)
        for name, declaration in declared.PARAMETERS.items()
        if declaration.help
    },
    "measured_engine": click.option(
        "--engine",
        metavar="NAME[@VERSION]",
        default="any",
        show_default=True,
        help="Engine whose kernels and scheduler are used.",
    ),
    "prefill_workers": click.option(
        "--prefill-workers", type=INTEGER, help="Replicas that only run prefill."
    ),
    "decode_workers": click.option(
        "--decode-workers", type=INTEGER, help="Replicas that only decode."
    ),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    "report": click.option(
        "--report", metavar="FILE", help="Also write a report: FILE.html or FILE.md."
    ),
    "out": click.option(
        "--out",
        metavar="DIR",
        help="Also write plan, engine files, start script and report.",
    ),
    "force": click.option("--force", is_flag=True, help="With --out: overwrite files."),
    "interactive": click.option(
        "--interactive", is_flag=True, help="Add what-if controls to the report."
    ),
    "grid": click.option(
        "--grid",
        multiple=True,
        metavar="AXIS=A,B",
        help="Values of a what-if control, e.g. context=8192,32768.",
    ),
    "resume": click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Resume an interrupted what-if page.",
    ),
    "verbose": click.option(
        "-v", "--verbose", is_flag=True, help="Also details, benchmarks, assumptions."
    ),
    "assumptions": click.option(
        "--assumptions", is_flag=True, hidden=True, help="Every assumption on stderr."
    ),
    "trust_remote_code": click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Let the engine run code that the checkpoint includes.",
    ),
    "quiet": click.option(
        "--quiet", is_flag=True, help="No assumptions, notes or progress on stderr."
    ),
    "timings": click.option("--timings", is_flag=True, help="Print the run time on stderr."),
}
LAYOUT = keys(declared.LayoutParameters)
WORKLOAD = keys(
    declared.LengthsParameters,
    declared.BatchParameters,
    declared.RequestsParameters,
    declared.SlotsParameters,
)
LATENCY = keys(declared.TimeLimits)
QUESTION = (*LAYOUT, *WORKLOAD, "objective", "price", *LATENCY, "memory_bytes")
BESIDE = keys(declared.HostMachineParameters)
PREFIXES = keys(declared.PrefixesParameters)
FREEDOM = keys(declared.FreedomParameters)
RULE = keys(declared.RuleParameters)
DRAFTS = keys(declared.SpeculationName, declared.DraftNumbers)
POOLS = keys(declared.PoolsParameters)
PRINTED = ("json", "quiet", "timings")
SURFACE = (
    "engine",
    "scenario",
    "hardware_dir",
    "no_learned",
    "json",
    "report",
    "quiet",
    "timings",
)
WHERE = frozenset(
    {
        "as_json",
        "report",
        "out",
        "force",
        "quiet",
        "timings",
        "lang",
        "interactive",
        "grid",
        "resume",
    }
)
"""Parameters of commands that say where an answer goes."""
