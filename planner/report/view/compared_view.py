"""The answer of ``plan compare`` as a view: what to take, then the rows that decide.

The sentence comes first, then a line a device, then at most twelve rows under what each is shown
for; ``everything``: every row as a table a model and device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.base.units import GIB, format_rate, format_seconds
from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan
from planner.planning.what_if.compared_roles import is_damaging, shown_rows
from planner.quality.meaning import loss_words
from planner.report.charts.compared import LANGUAGE_FOLDER, formats_of
from planner.report.charts.records import number_text
from planner.report.compared_terms import SHORT, absent_rows, anchors_of, rounded_loss
from planner.report.phrases import Phrases, phrases
from planner.report.plan_terms import chance
from planner.report.view.compared_verdict import WEIGHTS, verdict_of, weights_of
from planner.report.view.record import Block, Fact, Items, Section, Table, View
from planner.report.words import NAMES

REQUANTIZE = "*"
"""Behind formats whose weights nobody publishes."""
LATE = "!"
"""Behind formats that do not keep the limits on time."""
NONE = "–"
PLAIN_CACHE = "bf16"
"""What a cache is where none is told."""
TIMES = ("throughput", "latency")
"""Objectives by which a better plan is a faster one."""
EVERY_ROW = ("kv", "devices", "users", "rate", "tpot", "memory", "loss", "usd", "engine")
"""Columns of the table of every row."""


def compared_view(comparison: Compared, lang: str = "en", *, everything: bool = False) -> View:
    """The answer in a language.

    Raises:
        UnknownNameError: no such language.
    """
    say = phrases(lang, LANGUAGE_FOLDER)
    shown = shown_rows(comparison)
    rows = (
        [_every_row(comparison, pair, say) for pair in comparison.pairs]
        if everything
        else _few_rows(comparison, shown, say)
    )
    details = [
        _rejected(comparison, shown, say),
        _setup(comparison, shown, say),
        _absent(comparison, say),
        Section(
            say("anchors.title"),
            (Items(tuple(map(say.original, anchors_of(comparison)))),),
            detail=True,
        ),
    ]
    more = Fact(say("view.more"), say("view.more_all" if everything else "view.more_flags"))
    return View(
        title_of(comparison, say),
        tuple(_facts(comparison, say)),
        (*rows, *(one for one in details if _has_texts(one)), Section("", (more,))),
    )


def title_of(comparison: Compared, say: Phrases) -> str:
    """What to take of the one model; of several what is compared, as each has its own line."""
    if len(comparison.models) == 1:
        model = comparison.models[0]
        return verdict_of(comparison, model, say)
    return say(
        "page.title",
        models=say("verdict.comma").join(comparison.models),
        devices=say("verdict.comma").join(comparison.devices),
    )


def role_words(row: ComparedPlan, say: Phrases) -> str:
    """What a row is shown for."""
    own = "recommended" in row.roles
    telling = [role for role in row.roles if role != "named"] or row.roles
    names = ["own_recipe" if own and role == "recipe" else role for role in telling]
    return say("role.comma").join(say(f"role.{name}") for name in names)


def _facts(comparison: Compared, say: Phrases) -> Iterator[Fact]:
    """A line a model where there are several, a line a device, then what was assumed."""
    several = len(comparison.models) > 1
    for model in comparison.models:
        if several:
            yield Fact(say("view.verdict"), verdict_of(comparison, model, say))
        for pair in comparison.pairs:
            if pair.model == model:
                yield Fact(
                    ("  " if several else "") + pair.device, _recommended(comparison, pair, say)
                )
    if comparison.left_out:
        texts = dict.fromkeys(_left_out(comparison, say))
        yield Fact(say("view.left_out"), say("verdict.stop").join(texts))
    assumed = (*question_lines(comparison, say), say("view.ranges"))
    yield Fact(say("view.assumed"), say("view.space").join(assumed))


def _recommended(comparison: Compared, pair: ComparedPair, say: Phrases) -> str:
    """What the recommended plan of a pair gives; why there is none."""
    row = next((r for r in comparison.of(pair) if r.kind == "recommended"), None)
    if row is None or not row.feasible:
        return say("view.no_plan", reason=say.original("" if row is None else row.reason))
    rate, tpot = row.output_tokens_per_second_per_device, row.tpot_seconds
    usd = row.usd_per_million_output_tokens
    assert rate is not None
    assert tpot is not None
    text = say(
        "view.gives",
        rate=format_rate(rate.value),
        low=format_rate(rate.low),
        high=format_rate(rate.high),
        tpot=format_seconds(tpot.value),
        loss=rounded_loss(row.loss),
    )
    if usd is not None:
        text = say("view.costs", text=text, usd=number_text(usd.value))
    parts = [
        weights_of(say, row).strip(),
        engine_name(row),
        say("view.device" if row.devices == 1 else "view.devices", n=row.devices),
    ]
    if row.kv and row.kv != PLAIN_CACHE:
        parts.insert(1, say("cell.kv", kv=row.kv))
    if row.mode != "aggregated":
        parts.append(say("view.pools"))
    return say("view.of_plan", text=text, plan=say("role.comma").join(parts))


def _left_out(comparison: Compared, say: Phrases) -> Iterator[str]:
    """Schemes that were named and do not run on a device."""
    for one in comparison.left_out:
        reason = say.original(one.reason)
        yield say("view.left_out_of", scheme=one.scheme, device=one.device, reason=reason)


def question_lines(comparison: Compared, say: Phrases) -> list[str]:
    """What was asked, once for all models and devices of which it is the same."""
    having: dict[str, list[str]] = {}
    for pair in comparison.pairs:
        if pair.requests:
            requests, limits = say.original(pair.requests), say.original(pair.limits)
            text = say("asked.all", requests=requests, limits=limits)
            having.setdefault(text, []).append(pair_name(comparison, pair, say))
    if len(having) == 1:
        return list(having)
    return [
        say("asked.pairs", pairs=say("verdict.comma").join(names), text=text)
        for text, names in having.items()
    ]


Shown = Sequence[tuple[ComparedPair, tuple[ComparedPlan, ...]]]


def _few_rows(comparison: Compared, shown: Shown, say: Phrases) -> list[Section]:
    """One table of the rows that decide, those of a pair under its name."""
    better = "chance" if comparison.objective in TIMES else "chance_better"
    first = "usd" if _by_cost(comparison) else "rate"
    heads = ("", *(say(f"view.{name}") for name in (first, "tpot", "loss", better, "formats")))
    lines: list[tuple[str, ...]] = []
    for pair, rows in shown:
        if rows and len(comparison.pairs) > 1:
            lines.append((pair_name(comparison, pair, say), *[""] * (len(heads) - 1)))
        best = next((row for row in rows if "recommended" in row.roles), None)
        lines += [_cells(row, best, first, say) for row in rows]
    if not lines:
        return []
    all_rows = [row for _, rows in shown for row in rows]
    table = Table(
        heads, tuple(lines), (0, len(heads) - 1), tuple(_notes(all_rows, comparison, say))
    )
    return [Section("", (table,))]


def pair_name(comparison: Compared, pair: ComparedPair, say: Phrases) -> str:
    """The device, with the model where there are several."""
    if len(comparison.models) == 1:
        return pair.device
    return say("figure.pair", model=pair.model, device=pair.device)


def _by_cost(comparison: Compared) -> bool:
    """Whether cost was asked for, and is known of all that runs."""
    able = [row for row in comparison.rows if row.feasible]
    return comparison.objective == "cost" and all(
        row.usd_per_million_output_tokens is not None for row in able
    )


def _cells(
    row: ComparedPlan, best: ComparedPlan | None, first: str, say: Phrases
) -> tuple[str, ...]:
    rate, tpot = row.output_tokens_per_second_per_device, row.tpot_seconds
    usd = row.usd_per_million_output_tokens
    assert rate is not None
    assert tpot is not None
    return (
        role_words(row, say),
        number_text(usd.value) if first == "usd" and usd is not None else format_rate(rate.value),
        format_rate(1e3 * tpot.value),
        rounded_loss(row.loss),
        NONE if row.probability_better is None else chance(row.probability_better),
        _formats(row, best, say),
    )


def _formats(row: ComparedPlan, best: ComparedPlan | None, say: Phrases) -> str:
    """Weights, cache, and on how many devices where the recommended plan has another number; the
    engine where another serves that plan, or none is beside it."""
    marks = REQUANTIZE * (row.weights == "new") + LATE * (not row.within_limits)
    parts = [formats_of(row) + marks]
    if row.kv and row.kv != PLAIN_CACHE:
        parts.append(say("cell.kv", kv=SHORT.get(row.kv, row.kv)))
    if best is None or engine_name(row) != engine_name(best):
        parts.append(engine_name(row))
    if best is not None and row.devices != best.devices:
        parts.append(say("view.count", n=row.devices))
    if row.mode != "aggregated":
        parts.append(say("view.pools"))
    return say("role.comma").join(parts)


def engine_name(row: ComparedPlan) -> str:
    """The engine as its makers write it, without its version."""
    name = row.engine.partition(" ")[0]
    return NAMES.get(name, name)


def _notes(rows: Sequence[ComparedPlan], comparison: Compared, say: Phrases) -> Iterator[str]:
    """What the columns and marks mean."""
    timed = comparison.objective in TIMES
    parts = [say("view.note" if timed else "view.note_better")]
    if any(row.weights == "new" for row in rows):
        parts.append(say("view.requantize"))
    if not all(row.within_limits for row in rows):
        parts.append(say("view.late"))
    if any(map(is_damaging, rows)):
        edge = loss_words()[-2].below_nats
        parts.append(say("view.sound", edge=f"{edge:g}"))
    yield say("view.space").join(parts)
    left = sum(1 for row in comparison.rows if row.kind == "recommended") - sum(
        1 for row in rows if "recommended" in row.roles
    )
    if left and len(comparison.pairs) > len(rows):
        yield say("view.pairs_left", n=left)


def _every_row(comparison: Compared, pair: ComparedPair, say: Phrases) -> Section:
    """Everything that runs of a model on a device, then why the rest does not."""
    rows = comparison.of(pair)
    heads = ("", *(say(f"every.{name}") for name in EVERY_ROW))
    lines = tuple(_every_cells(row, say) for row in rows if row.feasible)
    absent = tuple(_absent_texts(rows, say))
    table: tuple[Block, ...] = (
        (Table(heads, lines, (0, 1, len(heads) - 1), absent),) if lines else ()
    )
    title = say(
        "every.title", model=pair.model, device=pair.device, released=" + ".join(pair.released)
    )
    return Section(title, table or (Items(absent),))


def _every_cells(row: ComparedPlan, say: Phrases) -> tuple[str, ...]:
    rate, tpot = row.output_tokens_per_second_per_device, row.tpot_seconds
    usd, engine = row.usd_per_million_output_tokens, row.engine.partition(" ")[0]
    assert rate is not None
    assert tpot is not None
    marks = REQUANTIZE * (row.weights == "new") + LATE * (not row.within_limits)
    return (
        (row.name if row.kind == "uniform" else say(f"role.{row.kind}")) + marks,
        SHORT.get(row.kv, row.kv),
        str(row.devices),
        f"{row.users:,}",
        format_rate(rate.value),
        format_seconds(tpot.value),
        f"{(row.total_bytes_per_device or 0) / GIB:.1f}",
        rounded_loss(row.loss),
        "-" if usd is None else f"{usd.value:.2g}",
        SHORT.get(engine, engine),
    )


def _absent_texts(rows: Sequence[ComparedPlan], say: Phrases) -> Iterator[str]:
    for reason, names in absent_rows(rows).items():
        listed = say("verdict.comma").join(map(say.name, names))
        yield say("view.absent", names=listed, reason=say.original(reason))


def _absent(comparison: Compared, say: Phrases) -> Section:
    """What does not run, by pair."""
    texts = tuple(
        say("asked.pair", model=pair.model, device=pair.device, text=text)
        for pair in comparison.pairs
        for text in _absent_texts(comparison.of(pair), say)
    )
    return Section(say("refused.title"), (Items(texts),), detail=True)


def _rejected(comparison: Compared, shown: Shown, say: Phrases) -> Section:
    """Why the rows beside the recommended ones are not taken: told at once of schemes that were
    named."""
    texts = tuple(
        say(
            "view.rejected_row",
            pair=pair_name(comparison, pair, say),
            roles=role_words(row, say),
            formats=_formats(row, None, say),
            reason=say.original(row.why_not),
        )
        for pair, rows in shown
        for row in rows
        if row.why_not
    )
    asked = any("named" in row.roles for _, rows in shown for row in rows)
    return Section(say("view.rejected"), (Items(texts),), detail=not asked)


def _setup(comparison: Compared, shown: Shown, say: Phrases) -> Section:
    """Engine, layout, users and weights of the recommended plans."""
    texts = tuple(
        say(
            "view.setup_row",
            pair=pair_name(comparison, pair, say),
            engine=row.engine,
            layout=layout_words(row),
            users=f"{row.users:,}",
            gib=f"{(row.total_bytes_per_device or 0) / GIB:.1f}",
            weights=weights_words(row, say),
        )
        for pair, rows in shown
        for row in rows
        if "recommended" in row.roles
    )
    return Section(say("view.setup"), (Items(texts),), detail=True)


def layout_words(row: ComparedPlan) -> str:
    """``tp8 ep8``: the axes above 1; ``tp1`` for one device."""
    axes = (("tp", row.tp), ("dp", row.dp), ("pp", row.pp), ("ep", row.ep))
    return " ".join(f"{name}{n}" for name, n in axes if n and n > 1) or "tp1"


def weights_words(row: ComparedPlan, say: Phrases) -> str:
    """Where the weights come from."""
    return say(f"weights.{WEIGHTS[row.weights]}_told", checkpoint=row.checkpoint)


def _has_texts(section: Section) -> bool:
    return any(not isinstance(block, Items) or block.texts for block in section.blocks)
