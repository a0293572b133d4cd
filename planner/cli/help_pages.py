"""Pages of ``--help``: examples first, then the usual options, then groups; what few ask for is
shown by ``--help-all``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from planner.cli.device_count import take_device_count
from planner.cli.settings import TAKEN, settings_text, take_settings, with_settings
from planner.cli.spellings import long_forms
from planner.cli.types import BESIDE, DRAFTS, FREEDOM, LATENCY, LAYOUT, POOLS, PREFIXES, RULE

FEW = 14
"""A command with no more options shows them in one list."""
ALL = "--help-all"
_SHOWS_ALL = "planner.help_all"
USUAL = (
    "devices",
    "engine",
    "workload",
    "context",
    "batch",
    "ttft_ms",
    "tpot_ms",
    "max_loss",
    "out",
    "report",
    "verbose",
    "as_json",
)
FIRST: dict[str, tuple[str, ...]] = {
    "capacity": ("rate", "percentile", "price", "max_devices"),
    "compare": ("price", "everything"),
    "estimate": ("scheme", "plan_file"),
    "experts": ("skew", "ep"),
    "explain": ("module", "scheme", "plan_file"),
    "export": ("target", "deploy"),
    "frontier": ("points", "map", "svg"),
    "import": ("out", "device"),
    "memory": ("tp", "scheme", "plan_file", "checkpoint"),
    "numerics": ("module", "schemes"),
    "profile": ("quick", "tier", "text", "output"),
    "replay": ("rate", "trace", "scheme", "plan_file", "stages", "arrivals", "lengths"),
    "serve": ("concurrency", "scheme", "plan_file"),
    "train": ("tp", "pp", "zero", "recipe", "recompute", "seq"),
    "verify": ("output", "engine_dir", "python", "also", "text"),
}
"""Options that a command is about: they come before the usual ones."""
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Requests",
        (
            "isl",
            "osl",
            "batch",
            "concurrency",
            "prefix_hit_rate",
            "slots",
            "requests",
            "same_lengths",
        ),
    ),
    ("Layout", (*LAYOUT, "memory_bytes", "file_bytes", "chunk_tokens")),
    ("Limits and objective", ("objective", "price", *LATENCY)),
    ("Formats", ("scheme", "schemes", "kv", "profile", "imatrix")),
    ("When to leave the published plan", (*RULE, "exact")),
    ("Output", ("as_json", "report", "out", "force", "verbose", "lang", "quiet", "timings")),
)
ADVANCED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Prefill and decode pools", POOLS),
    ("Prefix caching", PREFIXES),
    ("Speculative decoding", DRAFTS),
    ("Weights in host memory", BESIDE),
    ("Layers and protection rules", FREEDOM),
    ("What-if page", ("interactive", "grid", "resume")),
    (
        "Files and code",
        ("scenario", "hardware_dir", "no_learned", "anchor", "trust_remote_code", "ignore_keys"),
    ),
)
"""Shown by ``--help-all`` alone."""


class HelpfulCommand(click.Command):
    """A command whose page has its examples first and its options in groups."""

    @classmethod
    def of(cls, command: click.Command) -> HelpfulCommand:
        """``command`` with such a page."""
        made = cls(
            name=command.name,
            context_settings=command.context_settings,
            callback=command.callback,
            params=command.params,
            help=command.help,
            epilog=command.epilog,
            short_help=command.short_help,
            options_metavar=command.options_metavar,
            add_help_option=command.add_help_option,
            no_args_is_help=command.no_args_is_help,
        )
        if any(made.advanced()):
            made.params.append(_help_all_option())
        return made

    def advanced(self) -> Iterator[click.Parameter]:
        """The options that the short page leaves out; none of a command with few."""
        names = {name for _, group in ADVANCED for name in group}
        options = [p for p in self.params if isinstance(p, click.Option)]
        if len(options) > FEW:
            yield from (p for p in options if p.name in names)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, then what of ``planner.toml`` stands in for those that are not given."""
        with_settings(self, ctx)
        rest = super().parse_args(ctx, long_forms(self, args))
        take_device_count(ctx)
        take_settings(self, ctx)
        if ctx.params.get("as_json") and not ctx.params.get("quiet"):
            for file, values in ctx.meta.get(TAKEN, {}).items():  # which JSON has no place for
                click.echo(settings_text(file, values), err=True)
        return rest

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, what it does, examples, options."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_epilog(ctx, formatter)
        self.format_options(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The usual options, then groups, each with its heading."""
        records = {
            p.name or "": (p, record)
            for p in self.get_params(ctx)
            if (record := p.get_help_record(ctx)) is not None and record[1]
        }
        left = dict(records)
        if sum(isinstance(p, click.Option) for p, _ in records.values()) <= FEW:
            self._section(formatter, "Options", [record for _, record in left.values()])
            return
        hidden = [] if ctx.meta.get(_SHOWS_ALL) else list(self.advanced())
        for parameter in hidden:
            left.pop(parameter.name or "", None)
        first = (*FIRST.get(self.name or "", ()), *USUAL)
        usual = [left.pop(name)[1] for name in first if name in left]
        self._section(formatter, "Usual options", usual)
        for title, names in (*GROUPS, *ADVANCED):
            self._section(formatter, title, [left.pop(name)[1] for name in names if name in left])
        self._section(formatter, "Other options", [record for _, record in left.values()])
        if hidden:
            titles = [
                title[0].lower() + title[1:]
                for title, names in ADVANCED
                if {p.name for p in hidden}.intersection(names)
            ]
            more = f"{ALL} shows {len(hidden)} more: {', '.join(titles)}."
            formatter.write("\n" + click.formatting.wrap_text(more, formatter.width) + "\n")

    @staticmethod
    def _section(
        formatter: click.HelpFormatter, title: str, records: list[tuple[str, str]]
    ) -> None:
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def full_page(command: click.Command, context: click.Context) -> str:
    """The page of a command with every option."""
    context.meta[_SHOWS_ALL] = True
    try:
        return command.get_help(context)
    finally:
        del context.meta[_SHOWS_ALL]


def help_page(root: click.Context, words: tuple[str, ...]) -> str:
    """What ``plan help WORDS`` prints. Raises UsageError for a command that does not exist."""
    context, command = root, root.command
    for word in words:
        inner = command.get_command(context, word) if isinstance(command, click.Group) else None
        if inner is None:
            from planner.base.errors import UnknownNameError

            known = command.list_commands(context) if isinstance(command, click.Group) else []
            raise UnknownNameError("command", word, known)
        command = inner
        context = click.Context(command, info_name=word, parent=context)
    return full_page(command, context)


def _help_all_option() -> click.Option:
    def show(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        if wanted and not context.resilient_parsing:
            click.echo(full_page(context.command, context))
            context.exit()

    return click.Option(
        [ALL],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=show,
        help="Show all options.",
    )
