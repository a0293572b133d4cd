"""A quantisation as rules over module names, and its application to a model's rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from planner.base.errors import DataError
from planner.base.records import record
from planner.base.strict_json import short_repr
from planner.models.quantization.forms import Form, store
from planner.models.spec import ModelSpec, StoredAs, TensorRow
from planner.models.stacked import with_linear_experts


@record
class StorageRule:
    """Modules in ``names`` are stored in ``form``; None leaves them as they are.

    ``named``: it lists modules by their names, so that routers and embeddings are meant as well;
    a class or a default means ordinary linear layers. ``tables``: all embeddings are meant.
    """

    names: Names
    form: Form | None
    named: bool = False
    tables: bool = False


@record
class QuantPlan:
    """The first rule that covers a module decides; without one, ``default``.

    ``head``: the output head counts as a linear layer. ``main_only``: prediction layers are left
    alone. ``replaces``: rows that the family already stores quantised may be stored anew.
    ``splits``: its quantiser stores stacked experts as matrices by expert.
    ``kv_scheme`` is a cache layout the release is calibrated for.
    """

    method: str
    rules: tuple[StorageRule, ...]
    default: Form | None
    head: bool = False
    main_only: bool = False
    replaces: bool = False
    splits: bool = False
    kv_scheme: str = ""

    def form_of(self, module: str, *, by_name: bool = False, table: bool = False) -> Form | None:
        """The form of ``module``, None where it stays as it is; ``by_name``: only a rule that
        lists names, or for a ``table`` all of them, can change it."""
        for rule in self.rules:
            if (table and rule.tables) or rule.names.covers(module):
                if by_name and not (rule.named or (table and rule.tables)):
                    return None
                return rule.form
        return None if by_name else self.default


def excluding(names: Names) -> tuple[StorageRule, ...]:
    """The rule that leaves the modules in ``names`` plain, if there are any."""
    return (StorageRule(names, None),) if names else ()


def quantise(spec: ModelSpec, plans: Iterable[QuantPlan]) -> ModelSpec:
    """``spec`` as its release stores it: every plan applied, in order.

    Raises:
        DataError: a plan that covers no module of the model.
    """
    rows, kv_scheme = spec.rows, spec.kv_scheme
    for plan in plans:
        if plan.splits:
            rows = with_linear_experts(replace(spec, rows=rows)).rows
        changed = tuple(out for row in rows for out in _apply(row, plan))
        if changed == rows:
            raise DataError(
                f"{spec.id}: the {plan.method} quantisation of "
                "quantization_config covers no module",
                hint="check targets and ignore in quantization_config: they leave every module out",
            )
        rows, kv_scheme = changed, plan.kv_scheme or kv_scheme
    if kv_scheme == "fp8":
        rows = tuple(_with_cache_scales(row) for row in rows)
    return replace(spec, rows=rows, kv_scheme=kv_scheme,
                   quantization=largest_scheme(rows, spec.quantization))  # fmt: skip


def largest_scheme(rows: Iterable[TensorRow], plain: str) -> str:
    """The scheme of most quantised elements, ``plain`` where nothing is quantised."""
    sizes: dict[str, int] = {}
    for row in rows:
        if row.scheme is not None:
            sizes[row.scheme] = sizes.get(row.scheme, 0) + row.elements * row.copies
    return max(sorted(sizes), key=lambda name: sizes[name]) if sizes else plain


def _apply(row: TensorRow, plan: QuantPlan) -> Iterator[TensorRow]:
    by_name = (
        row.part == "main" and row.is_matrix and (row.kind == "router" or row.fused == "embedding")
    )
    candidate = row.quantisable or by_name or (plan.head and row.kind == "head")
    if not candidate or (plan.main_only and row.part != "main"):
        return iter((row,))
    if row.scheme is not None and not plan.replaces:
        return iter((row,))
    if not plan.rules:
        form = None if by_name else plan.default
        return iter((row if form is None else store(row, form),))
    return _by_layer(row, plan, by_name)


def _by_layer(row: TensorRow, plan: QuantPlan, by_name: bool) -> Iterator[TensorRow]:
    """``row`` once for each form its layers are stored in."""
    table = row.kind == "embedding"
    template = row.name.removesuffix(".weight")
    groups: dict[Form | None, list[int]] = {}
    for layer in row.layers or (-1,):
        first, last = (
            plan.form_of(template.format(layer=layer, expert=expert), by_name=by_name, table=table)
            for expert in (0, row.experts - 1)
        )
        if first != last:
            raise DataError(
                f"{row.name}: the experts of layer {layer} are not stored alike",
                hint="plan the checkpoint as it was before, with a scheme of `plan "
                "formats`: plan estimate MODEL DEVICE --scheme NAME",
            )
        groups.setdefault(first, []).append(layer)
    for form, layers in groups.items():
        part = replace(row, layers=tuple(layers) if row.layers else ())
        yield part if form is None else store(part, form)


def _with_cache_scales(row: TensorRow) -> TensorRow:
    """The scales of an FP8 cache, stored beside key and value projections; files may lack them."""
    for letter in ("k", "v"):
        if row.name.endswith(f"self_attn.{letter}_proj.weight") and row.part == "main":
            name = row.name.removesuffix("weight") + f"{letter}_scale"
            return replace(row, extras=(*row.extras, StoredAs(name, "F32", (), True)))
    return row


MAX_NAMES = 2**20
MAX_PATTERN = 512
# A repeated group can take exponential time in Python's engine, k open repetitions time n^k.
_REPEATED_GROUP = r"\)[*+{]"
_AMBIGUOUS = r"\[(?:\[|\^?\]?[^\]\[]*(?:--|&&|~~|\|\|))"
"""What Python warns of, once escapes are taken out: it may mean a set within a set one day."""
_OPEN = r"(?<!\\)(?:\*|\+|,\})"
_MAX_OPEN = 4
MAX_EXPRESSIONS = 256


@record
class Names:
    """A set of module names, patterns and path components; ``covers`` tests one module."""

    exact: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    def covers(self, module: str) -> bool:
        """Whether ``module``, a module it is in, or a run of its components is in the list."""
        if any(pattern.match(module) for pattern in self.patterns):
            return True
        parts = module.split(".")
        return any(
            ".".join(parts[start:end]) in self.exact
            for start in range(len(parts))
            for end in range(start + 1, len(parts) + 1)
        )

    def __bool__(self) -> bool:
        return bool(self.exact or self.patterns)


def wildcards(names: Iterable[str], place: str) -> Names:
    """Names in which ``*`` stands for any run of characters, and ``re:`` begins an expression.

    A name covers the modules below it too. A name without a dot covers every module that has it as
    one of its components (``gate`` is not ``gate_proj``).

    Raises:
        DataError: an expression that is not one, too long, or of unbounded cost; too many names.
    """
    exact: set[str] = set()
    patterns: list[re.Pattern[str]] = []
    for name in names:
        if len(name) > MAX_PATTERN:
            raise DataError(
                f"{place}: {short_repr(name)} is longer than {MAX_PATTERN} characters",
                hint="shorten the lists of modules in quantization_config",
            )
        if name.startswith("re:"):
            patterns.append(expression(name[3:], place))
        elif "*" in name:
            text = re.sub(r"\*+", "*", name)
            if text.count("*") > _MAX_OPEN:
                raise DataError(
                    f"{place}: {short_repr(name)} has more than {_MAX_OPEN} wildcards",
                    hint="shorten the lists of modules in quantization_config",
                )
            body = ".*".join(map(re.escape, text.split("*")))
            patterns.append(re.compile(body + r"(\..*)?$"))
        else:
            exact.add(name)
    if len(exact) > MAX_NAMES or len(patterns) > MAX_EXPRESSIONS:
        raise DataError(
            f"{place}: more than {MAX_NAMES} names or {MAX_EXPRESSIONS} patterns",
            hint="shorten the lists of modules in quantization_config",
        )
    return Names(frozenset(exact), tuple(patterns))


def expression(text: str, place: str) -> re.Pattern[str]:
    """``text`` as an expression of bounded cost.

    Raises:
        DataError: it is none, or repeats too much.
    """
    if re.search(_REPEATED_GROUP, text) or len(re.findall(_OPEN, text)) > _MAX_OPEN:
        raise DataError(
            f"{place}: {short_repr(text)} repeats too much for its cost to be bounded",
            hint="shorten the lists of modules in quantization_config",
        )
    try:
        if re.search(_AMBIGUOUS, re.sub(r"\\.", "", text, flags=re.DOTALL)):
            raise re.error("a set within a set, which Pythons need not read alike")
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise DataError(
            f"{place}: {short_repr(text)} is not an expression: {error}",
            hint="correct the expression, or name the modules one by one",
        ) from None
