"""The view of ``plan inventory``: parameters by convention, stored elements, bytes by module."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import format_bytes
from planner.models.inventory import Inventory
from planner.report.phrases import Phrases
from planner.report.view.record import Fact, Prose, Section, Table, View
from planner.report.view.verb_words import data_text, verb_phrases, word

VERB = "inventory"


def inventory_view(counts: Inventory, lang: str) -> View:
    """The whole answer."""
    t = verb_phrases(VERB, lang)
    spec = counts.spec
    rows: dict[tuple[str, str, str], list[int]] = {}
    for pattern in counts.patterns:
        kind = t("table.scales", kind=pattern.kind) if pattern.is_scale else pattern.kind
        sums = rows.setdefault((pattern.part, kind, pattern.dtype), [0, 0, 0])
        for place, value in enumerate((pattern.count, pattern.elements, pattern.bytes)):
            sums[place] += value
    heads = ("module", "part", "stored", "tensors", "elements", "bytes")
    table = Table(
        tuple(t(f"table.{head}") for head in heads),
        tuple(
            (kind, part, dtype, f"{tensors:,}", f"{elements:,}", format_bytes(size))
            for (part, kind, dtype), (tensors, elements, size) in rows.items()
        ),
        (0, 1, 2),
    )
    source = t("head.source", source=data_text(spec.source, lang))
    title = t("head.title", id=spec.id, name=spec.public_name, format=spec.quantization)
    return View(
        title, tuple(_facts(t, counts)), (Section("", (table,)), Section("", (Prose(source),)))
    )


def _facts(t: Phrases, counts: Inventory) -> Iterator[Fact]:
    spec, active = counts.spec, counts.parameters_active
    yield Fact(t("fact.parameters"), f"{counts.parameters_total:,}")
    mtp = (
        t(
            "parameters.mtp",
            n=f"{counts.parameters_mtp:,}",
            unique=f"{counts.parameters_mtp_unique:,}",
        )
        if counts.parameters_mtp
        else t("parameters.none")
    )
    yield Fact(t("fact.mtp"), mtp)
    for name, encoder in (
        ("vision", counts.parameters_vision),
        ("audio", counts.parameters_audio),
    ):
        if encoder:
            yield Fact(t(f"fact.{name}"), t("parameters.beside", n=f"{encoder:,}"))
    for name, text in (("structure", spec.structure), ("counts_only", spec.unplanned)):
        if text:
            yield Fact(t(f"fact.{name}"), data_text(text, t.lang))
    for key, value, reason in spec.remarks:
        texts = [data_text(part, t.lang) for part in (value, reason)]
        told = texts[0] if key == "not counted" else t("fact.remark", value=texts[0], why=texts[1])
        yield Fact(word(t, "remark", key), told)
    yield Fact(t("fact.active"), f"{active['with_embedding']:,}")
    yield Fact(t("fact.without_embedding"), f"{active['without_input_embedding']:,}")
    yield Fact(t("fact.without_head"), f"{active['without_embedding_and_head']:,}")
    yield Fact(
        t("fact.stored"),
        t(
            "parameters.stored",
            bytes=f"{counts.payload_bytes:,}",
            size=format_bytes(counts.payload_bytes),
            n=f"{counts.tensor_count:,}",
        ),
    )
    for name, n in counts.elements_by_dtype.items():
        yield Fact(t("fact.elements", name=name), f"{n:,}")
