"""The views of ``plan formats``: elements, schemes and cache layouts; formats on a device."""

from __future__ import annotations

from collections.abc import Sequence

from planner.formats.elements import ELEMENTS, element
from planner.formats.format_data import HEAD_WIDTH, MLA_WIDTHS, cache_bytes
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.formats.spec import ScaleSpec, TensorFormat
from planner.planning.inspect.format_table import (
    DEGREES_OF_FREEDOM,
    OUTLIER_FACTOR,
    SHAPE,
    TENSORS,
    FormatRow,
)
from planner.report.phrases import Phrases
from planner.report.view.record import Items, Prose, Section, Table, View
from planner.report.view.verb_words import data_text, verb_phrases, word

VERB = "formats"
ABSENT = "-"
_TERA = 1e12


def formats_view(lang: str) -> View:
    """Three tables: element formats, schemes, cache layouts."""
    t = verb_phrases(VERB, lang)
    layouts = t("section.layouts", head=HEAD_WIDTH, latent=MLA_WIDTHS[0], rope=MLA_WIDTHS[1])
    return View(
        "",
        (),
        (
            Section(t("section.elements"), (_elements(t),)),
            Section(t("section.schemes"), (_schemes(t),)),
            Section(layouts, (_layouts(t),)),
        ),
    )


def _heads(t: Phrases, table: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(t(f"{table}.{name}") for name in names)


def _elements(t: Phrases) -> Table:
    names = ("format", "bits", "exp", "man", "largest", "normal", "least", "inf", "nan")
    rows = tuple(
        (
            item.id,
            str(item.bits),
            str(item.exponent_bits),
            str(item.mantissa_bits),
            f"{item.max_finite:.6g}",
            f"{item.min_normal:.4g}",
            f"{item.min_subnormal:.4g}",
            t("element.yes" if item.has_inf else "element.no"),
            word(t, "nan", item.nan),
        )
        for item in ELEMENTS.values()
    )
    return Table(_heads(t, "element", names), rows, (0, 7, 8))


def _schemes(t: Phrases) -> Table:
    names = ("scheme", "weights", "activations", "wbits", "abits", "path", "unit")
    rows = tuple(
        (
            item.id,
            _stored(t, item.weight),
            _stored(t, item.activation),
            f"{bits_per_element(item.weight):.5g}",
            f"{bits_per_element(item.activation):.5g}",
            word(t, "path", item.path),
            item.compute or ABSENT,
        )
        for item in SCHEMES.values()
    )
    return Table(_heads(t, "scheme", names), rows, (0, 1, 2, 5, 6))


def _layouts(t: Phrases) -> Table:
    names = ("layout", "entries", "scales", "key", "value", "mla")
    rows = tuple(
        (
            item.id,
            t("layout.rope", element=item.element, rope=item.rope_element)
            if item.rope_element
            else item.element,
            _scale(t, item.scale),
            *(
                str(cache_bytes(item, kind)) if kind in item.applies_to else ABSENT
                for kind in ("kv-k", "kv-v", "kv-latent")
            ),
        )
        for item in KV_LAYOUTS.values()
    )
    return Table(_heads(t, "layout", names), rows, (0, 1, 2))


def _stored(t: Phrases, tensor: TensorFormat) -> str:
    if tensor.block_bytes is not None and tensor.scale is not None:
        return t("scale.packed", n=tensor.scale.block_columns, bytes=tensor.block_bytes)
    where = _block(t, tensor.scale)
    return f"{tensor.element} {where}" if where else tensor.element


def _block(t: Phrases, scale: ScaleSpec | None) -> str:
    """The elements under one scale, in a word."""
    if scale is None:
        return ""
    rows, columns = scale.block_rows, scale.block_columns
    if rows == 0:
        return t("scale.tensor")
    return t("scale.row") if columns == 0 else f"{rows}×{columns}"


def _scale(t: Phrases, scale: ScaleSpec | None) -> str:
    if scale is None:
        return t("scale.none")
    extra = t("scale.of_tensor") if scale.tensor_scale else ""
    return t("scale.per", element=element(scale.format).id, block=_block(t, scale)) + extra


def format_rows_view(device: str, rows: Sequence[FormatRow], lang: str) -> View:
    """Bytes, rates and errors of formats on a device in one table, engines below it."""
    t = verb_phrases(VERB, lang)
    names = ("scheme", "wbytes", "abytes", "rate", "binades", "gauss", "heavy", "outlier", "of")
    cells = []
    for r in rows:
        rate = f"{r.dense_flop_per_s / _TERA:,.0f}" if r.dense_flop_per_s is not None else ABSENT
        rate += "" if r.path in ("native", "storage") or rate == ABSENT else "*"
        cells.append(
            (
                r.scheme,
                f"{r.weight_bytes:.4g}",
                f"{r.activation_bytes:.4g}",
                rate,
                f"{r.binades:.1f}",
                *(_decibel(t, r.sqnr_db[kind]) for kind in TENSORS),
                "A" if r.sqnr_of == "activation" else "W",
            )
        )
    legend = t(
        "device.legend",
        rows=SHAPE[0],
        columns=SHAPE[1],
        freedom=DEGREES_OF_FREEDOM,
        factor=f"{OUTLIER_FACTOR:g}",
    )
    table = Section("", (Table(_heads(t, "device", names), tuple(cells), (0, 8)), Prose(legend)))
    sections = [table]
    refused = tuple(
        t("device.named", name=r.scheme, text=data_text(r.refused, lang)) for r in rows if r.refused
    )
    if refused:
        sections.append(Section(t("device.refused"), (Items(refused),)))
    engines = tuple(t("device.named", name=r.scheme, text=_engines(t, r)) for r in rows)
    sections.append(Section(t("device.engines"), (Items(engines),)))
    return View(t("device.title", device=device), (), tuple(sections))


def _engines(t: Phrases, row: FormatRow) -> str:
    served = ", ".join(data_text(name, t.lang) for name in row.engines) or t("device.none")
    return served + (t("device.unknown", names=", ".join(row.unknown)) if row.unknown else "")


def _decibel(t: Phrases, value: float | None) -> str:
    return f"{value:.1f}" if value is not None else t("device.exact")
