"""The views of ``plan list``: models, devices, engines, workloads, scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from planner.base.units import GIB, format_count
from planner.models.inventory import Inventory
from planner.models.naming import family_name
from planner.report.view.record import Code, Items, Prose, Section, Table, View
from planner.report.view.verb_words import data_text, shared_word, verb_phrases
from planner.workloads import NamedWorkload

if TYPE_CHECKING:
    from planner.hardware.profile import DeviceProfile
    from planner.planning.question.scenario import Scenario

VERB = "lists"
_TERA = 1e12
_FP4 = ("nvfp4", "mxfp4")
ABSENT = "-"


def models_view(inventories: Sequence[Inventory], lang: str) -> View:
    """One line a model under its family: parameters, active ones, context, published format."""
    t = verb_phrases(VERB, lang)
    rows: list[tuple[str, ...]] = []
    family = ""
    for counts in inventories:
        spec = counts.spec
        if family_name(spec.id) != family:
            family = family_name(spec.id)
            rows.append((family, "", "", "", ""))
        rows.append(
            (
                f"  {spec.id}",
                format_count(counts.parameters_total),
                format_count(counts.parameters_active["with_embedding"]),
                str(spec.max_context),
                spec.quantization,
            )
        )
    heads = ("model", "params", "active", "context", "published")
    table = Table(tuple(t(f"models.{head}") for head in heads), tuple(rows), (0, 4))
    return View("", (), (Section("", (table, Prose(t("models.note")))),))


def devices_view(devices: Sequence[DeviceProfile], lang: str) -> View:
    """One line a device: memory an engine sees, bandwidth, dense rates, status."""
    t = verb_phrases(VERB, lang)
    rows = tuple(
        (
            device.id,
            f"{device.capacity_bytes.value / GIB:.1f}",
            f"{device.bandwidth_bytes_per_s.value / 1e9:,.0f}",
            *(_rate(device, names) for names in (("bf16",), ("fp8",), ("int8",), _FP4)),
            shared_word(t, "status", device.status),
        )
        for device in devices
    )
    heads = (t("devices.device"), "GiB", "GB/s", "bf16", "fp8", "int8", "fp4", t("devices.status"))
    note = Prose(t("devices.note"))
    return View("", (), (Section("", (Table(heads, rows, (0, 7)), note)),))


def _rate(device: DeviceProfile, names: tuple[str, ...]) -> str:
    values = [rate.dense.value for name in names if (rate := device.rate(name)) is not None]
    return f"{max(values) / _TERA:,.0f}" if values else ABSENT


def engines_view(rows: Sequence[Mapping[str, Any]], lang: str) -> View:
    """A paragraph an engine."""
    t = verb_phrases(VERB, lang)
    sections = []
    for row in rows:
        texts = []
        if row["versions"]:
            texts.append(
                t(
                    "engines.versions",
                    n=row["versions"],
                    old=row["oldest_version"],
                    new=row["newest_version"],
                )
            )
        if row["mixtures"]:
            texts.append(t("engines.mixtures", names=", ".join(row["mixtures"])))
        version = row["default_version"] or t("engines.by_build")
        heading = t("engines.named", name=row["id"], version=version)
        sections.append(Section(heading, (Items(tuple(texts)),) if texts else ()))
    return View("", (), (*sections, Section("", (Prose(t("engines.note")),))))


def workloads_view(workloads: Sequence[NamedWorkload], lang: str) -> View:
    """Each with its lengths and what it stands for."""
    t = verb_phrases(VERB, lang)
    sections = []
    for one in workloads:
        texts = [
            t(f"workloads.{name}", n=f"{tokens:,}")
            for tokens, name in ((one.isl, "isl"), (one.osl, "osl"), (one.context, "context"))
            if tokens is not None
        ]
        texts += [] if one.latency_limit else [t("workloads.no_limit")]
        title = t.texts.get(f"title.{one.id}", data_text(one.title, lang).lower())
        heading = t("workloads.named", name=one.id, title=title)
        sections.append(Section(heading, (Items((t("list.comma").join(texts),)),)))
    return View("", (), (*sections, Section("", (Prose(t("workloads.note")),))))


def scenarios_view(scenarios: Sequence[Scenario], lang: str) -> View:
    """Every scenario with its title and the flags that it sets."""
    t = verb_phrases(VERB, lang)
    sections = []
    for scenario in scenarios:
        values = ", ".join(
            f"{key}={_shown(value)}"
            for key, value in scenario.values.items()
            if key not in ("model", "device")
        )
        where = " × ".join(
            str(scenario.values[key]) for key in ("model", "device") if key in scenario.values
        )
        texts = tuple(filter(None, (data_text(scenario.title, lang), where, values)))
        sections.append(Section(scenario.id, (Items(texts),)))
    last = Section("", (Prose(t("scenarios.note")), Code(("  plan --scenario NAME",))))
    return View("", (), (*sections, last))


def _shown(value: object) -> str:
    if isinstance(value, NamedWorkload):
        return value.id
    return "+".join(value) if isinstance(value, tuple) else str(value)
