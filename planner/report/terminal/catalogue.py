"""Listings for a terminal and as data: models, devices, formats, scenarios, inventories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from planner.base.units import GIB, format_bytes, format_count
from planner.formats.elements import ELEMENTS, element
from planner.formats.kv import KV_LAYOUTS, entry_bytes, latent_bytes
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.formats.spec import KvLayout, ScaleSpec, TensorFormat
from planner.models.inventory import Inventory
from planner.models.naming import family_name
from planner.report.columns import HEADINGS, console, table_lines, wrapped
from planner.report.terminal.device_page import device_dict, device_page
from planner.workloads import NamedWorkload

if TYPE_CHECKING:
    from rich.text import Text

    from planner.hardware.profile import DeviceProfile
    from planner.planning.question.scenario import Scenario

__all__ = [
    "device_dict",
    "device_page",
    "devices_table",
    "formats_dict",
    "formats_tables",
    "inventory_table",
    "models_table",
    "scenarios_table",
]

HEAD_WIDTH = 128
MLA_WIDTHS = (512, 64)
_TERA = 1e12
_FP4 = ("nvfp4", "mxfp4")
_ABSENT = "-"


def inventory_table(counts: Inventory) -> str:
    """Parameters by convention, stored elements by type, and bytes by module kind and type."""
    spec, active = counts.spec, counts.parameters_active
    lines = [
        ("parameters", f"{counts.parameters_total:,}"),
        (
            "of prediction layers",
            f"{counts.parameters_mtp:,} ({counts.parameters_mtp_unique:,} without copies)"
            if counts.parameters_mtp
            else "none",
        ),
        *(
            (("of the vision encoder", f"{counts.parameters_vision:,} (not in the total)"),)
            if counts.parameters_vision
            else ()
        ),
        *(
            (("of the audio encoder", f"{counts.parameters_audio:,} (not in the total)"),)
            if counts.parameters_audio
            else ()
        ),
        *((("structure", spec.structure),) if spec.structure else ()),
        *((("counts only", spec.unplanned),) if spec.unplanned else ()),
        *(
            (key, f"{value}: {reason}" if key != "not counted" else value)
            for key, value, reason in spec.remarks
        ),
        ("active per token", f"{active['with_embedding']:,}"),
        ("  without embedding", f"{active['without_input_embedding']:,}"),
        ("  nor head", f"{active['without_embedding_and_head']:,}"),
        (
            "stored",
            f"{counts.payload_bytes:,} B ({format_bytes(counts.payload_bytes)}) in "
            f"{counts.tensor_count:,} tensors",
        ),
        *((f"elements in {name}", f"{n:,}") for name, n in counts.elements_by_dtype.items()),
    ]
    rows: dict[tuple[str, str, str], list[int]] = {}
    for pattern in counts.patterns:
        kind = f"{pattern.kind} scales" if pattern.is_scale else pattern.kind
        sums = rows.setdefault((pattern.part, kind, pattern.dtype), [0, 0, 0])
        for place, value in enumerate((pattern.count, pattern.elements, pattern.bytes)):
            sums[place] += value
    table = _table(("module", "part", "stored as"), ("tensors", "elements", "bytes"))
    for (part, kind, dtype), (tensors, elements, size) in rows.items():
        table.add_row(kind, part, dtype, f"{tensors:,}", f"{elements:,}", format_bytes(size))
    return _render(
        f"{spec.id} — {spec.public_name}, released as {spec.quantization}",
        f"configuration: {spec.source}",
        "",
        _pairs(lines),
        "",
        table,
    )


def models_table(inventories: Sequence[Inventory]) -> str:
    """One line a model under its family: parameters, active ones, context, released format."""
    table = _table(("model",), ("params", "active", "context"), ("released as",))
    family = ""
    for counts in inventories:
        spec = counts.spec
        if family_name(spec.id) != family:
            family = family_name(spec.id)
            table.add_row(family, "", "", "", "")
        table.add_row(
            f"  {spec.id}",
            format_count(counts.parameters_total),
            format_count(counts.parameters_active["with_embedding"]),
            str(spec.max_context),
            spec.quantization,
        )
    return _render(
        table,
        "params: of the language model, without prediction layers and "
        "encoders of images. active: those one token passes, embedding and head "
        "included. `plan models qwen3` lists what has that in a name. Public "
        "repository names, configuration files and checkpoint folders are accepted too.",
    )


def devices_table(devices: Sequence[DeviceProfile]) -> str:
    """One line a device: memory an engine sees, bandwidth, dense rates, status."""
    table = _table(("device",), ("GiB", "GB/s", "bf16", "fp8", "int8", "fp4"), ("status",))
    for device in devices:
        rates = [_rate(device, names) for names in (("bf16",), ("fp8",), ("int8",), _FP4)]
        table.add_row(
            device.id,
            f"{device.capacity_bytes.value / GIB:.1f}",
            f"{device.bandwidth_bytes_per_s.value / 1e9:,.0f}",
            *rates,
            device.status,
        )
    return _render(
        table,
        "GiB: what an engine sees. Rates are dense, in TFLOP/s (int8: TOP/s); "
        "`-` is a format the matrix units do not multiply, or no published rate. "
        "`plan devices NAME` shows every figure with its source; `host` is this "
        "machine.",
    )


def _rate(device: DeviceProfile, names: tuple[str, ...]) -> str:
    values = [rate.dense.value for name in names if (rate := device.rate(name)) is not None]
    return f"{max(values) / _TERA:,.0f}" if values else _ABSENT


def scenarios_table(scenarios: Sequence[Scenario]) -> str:
    """Every scenario with its title and the values it sets."""
    from rich.padding import Padding
    from rich.text import Text

    blocks: list[Any] = []
    for scenario in scenarios:
        values = ", ".join(
            f"{key} {_shown(value)}"
            for key, value in scenario.values.items()
            if key not in ("model", "device")
        )
        where = " on ".join(
            str(scenario.values[key]) for key in ("model", "device") if key in scenario.values
        )
        blocks += [
            Text(scenario.id, style="bold"),
            Padding(Text(scenario.title), (0, 0, 0, 2)),
            Padding(Text("; ".join(t for t in (where, values) if t)), (0, 0, 0, 2)),
        ]
    return _render(*blocks, "Run one with `plan --scenario NAME`; flags override its values.")


def _shown(value: object) -> str:
    if isinstance(value, NamedWorkload):
        return value.id
    return " ".join(value) if isinstance(value, tuple) else str(value)


def formats_dict() -> dict[str, Any]:
    """Elements, schemes and cache layouts by id; bits, and bytes of one token."""
    return {
        "elements": [asdict(item) for item in ELEMENTS.values()],
        "schemes": [
            {
                **asdict(item),
                "weight_bits": bits_per_element(item.weight),
                "activation_bits": bits_per_element(item.activation),
            }
            for item in SCHEMES.values()
        ],
        "kv_layouts": [
            {
                **asdict(item),
                "applies_to": list(item.applies_to),
                "bytes_per_token": {kind: _cache_bytes(item, kind) for kind in item.applies_to},
                "widths": {"kv-k": HEAD_WIDTH, "kv-v": HEAD_WIDTH, "kv-latent": list(MLA_WIDTHS)},
            }
            for item in KV_LAYOUTS.values()
        ],
    }


def formats_tables() -> str:
    """Three tables: element formats, schemes, cache layouts."""
    return _render(
        "element formats",
        _elements_table(),
        "",
        "schemes: weights and activations, bits an element with its scales",
        _schemes_table(),
        "",
        f"cache layouts: bytes a token, key or value of {HEAD_WIDTH}, MLA of "
        f"{MLA_WIDTHS[0]} + {MLA_WIDTHS[1]}",
        _layouts_table(),
    )


def _elements_table() -> Listing:
    table = _table(
        ("format",), ("bits", "exp", "man", "largest", "least normal", "least"), ("inf", "nan")
    )
    for item in ELEMENTS.values():
        table.add_row(
            item.id,
            str(item.bits),
            str(item.exponent_bits),
            str(item.mantissa_bits),
            f"{item.max_finite:.6g}",
            f"{item.min_normal:.4g}",
            f"{item.min_subnormal:.4g}",
            "yes" if item.has_inf else "no",
            item.nan,
        )
    return table


def _schemes_table() -> Listing:
    table = _table(("scheme", "weights", "activations"), ("W bits", "A bits"), ("path", "unit"))
    for item in SCHEMES.values():
        table.add_row(
            item.id,
            _stored(item.weight),
            _stored(item.activation),
            f"{bits_per_element(item.weight):.5g}",
            f"{bits_per_element(item.activation):.5g}",
            item.path,
            item.compute or _ABSENT,
        )
    return table


def _layouts_table() -> Listing:
    table = _table(("layout", "entries", "scales"), ("key", "value", "MLA"))
    for item in KV_LAYOUTS.values():
        sizes = [
            str(_cache_bytes(item, kind)) if kind in item.applies_to else _ABSENT
            for kind in ("kv-k", "kv-v", "kv-latent")
        ]
        entries = (
            f"{item.element} + {item.rope_element} rope" if item.rope_element else item.element
        )
        table.add_row(item.id, entries, _scale(item.scale), *sizes)
    return table


def _cache_bytes(layout: KvLayout, kind: str) -> int:
    if kind == "kv-latent":
        return latent_bytes(layout, *MLA_WIDTHS)
    return entry_bytes(layout, width=HEAD_WIDTH, kind=kind)


def _stored(tensor: TensorFormat) -> str:
    if tensor.block_bytes is not None and tensor.scale is not None:
        return f"{tensor.scale.block_columns} in {tensor.block_bytes} B"
    where = _block(tensor.scale)
    return f"{tensor.element} {where}" if where else tensor.element


def _block(scale: ScaleSpec | None) -> str:
    """The elements under one scale, in a word."""
    if scale is None:
        return ""
    rows, columns = scale.block_rows, scale.block_columns
    if rows == 0:
        return "tensor"
    if columns == 0:
        return "row"
    return f"{rows}×{columns}"


def _scale(scale: ScaleSpec | None) -> str:
    if scale is None:
        return "none"
    extra = " + fp32 tensor" if scale.tensor_scale else ""
    return f"{element(scale.format).id} per {_block(scale)}{extra}"


@dataclass
class Listing:
    """Rows under headings, printed as a table where it fits and as paragraphs where not."""

    rows: list[tuple[str, ...]]
    left: frozenset[int]

    def add_row(self, *cells: str) -> None:
        """One more row, a cell a heading."""
        self.rows.append(cells)

    def text(self) -> Text:
        """The lines, the headings in bold where it is a table."""
        from rich.text import Text

        lines = table_lines(self.rows, left=self.left)
        shown = Text("\n".join(lines))
        if lines and lines[0].startswith(self.rows[0][0]):
            shown.stylize(HEADINGS, 0, len(lines[0]))
        return shown


def _table(left: Sequence[str], right: Sequence[str], after: Sequence[str] = ()) -> Listing:
    """A listing: text columns ``left`` and ``after``, numbers ``right`` aligned right."""
    heads = (*left, *right, *after)
    numbers = range(len(left), len(left) + len(right))
    return Listing([heads], frozenset(i for i in range(len(heads)) if i not in numbers))


def _pairs(lines: Iterable[tuple[str, str]]) -> str:
    line_pairs = list(lines)
    wide = max(len(key) for key, _ in line_pairs) + 1
    return "\n".join(
        part
        for key, value in line_pairs
        for part in wrapped(value, " " * wide, first=key.ljust(wide))
    )


def _render(*parts: Any) -> str:
    """Print texts and renderables on a fixed-width console; ends with a newline."""
    out = StringIO()
    con = console(out)
    for part in parts:
        con.print(part.text() if isinstance(part, Listing) else part, markup=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
