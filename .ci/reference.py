"""docs/reference/api.md and formats.md, made from the program; ``.ci/docs.py`` writes them."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.formats.spec import KvLayout, ScaleSpec, TensorFormat
    from planner.hardware.profile import DeviceProfile

sys.path.insert(0, str(Path(__file__).parent))
from record_fields import fields_part

WIDTH = 96
HEAD_WIDTH, MLA_WIDTHS = 128, (512, 64)
API_SECTIONS = (
    ("Ask", ("plan", "estimate", "frontier", "what_if", "sweep", "serve", "capacity")),
    (
        "Understand",
        (
            "explain",
            "diff",
            "memory_use",
            "layer_error",
            "sensitivity",
            "experts",
            "train",
            "claims",
            "validate",
        ),
    ),
    ("Take along", ("export_plan", "import_plan", "read_plan", "profile")),
    ("Look up", ("inventory", "load_model", "load_device", "load_scenario")),
    (
        "Errors",
        (
            "PlannerError",
            "InfeasibleError",
            "InputError",
            "UnknownNameError",
            "UnsupportedError",
            "DataError",
            "MissingPackageError",
            "SolverError",
        ),
    ),
)
"""Headings of the names that a reader looks for; other public names follow these."""
API_HEAD = """# Python API

Every public name of `planner`, and every field of its results; made from the program by `make
docs`. Functions are the commands of the [command line](cli.md), and arguments their options; times
are in seconds (`--tpot-ms` is `tpot_seconds`), sizes in bytes. Records are frozen. Errors are
`planner.PlannerError` with a `message` and a `hint`: `InfeasibleError` where nothing satisfies the
limits; `InputError`, `UnsupportedError` and `DataError` where the question or a file is at fault.

```python
import planner

plan = planner.plan("llama-3.1-8b", "h100-sxm", context=32_768)
print(plan.performance.tpot_seconds, plan.quality.loss)
plan.to_frame()                                   # pandas [frames]: one row a decision
held = planner.estimate("llama-3.1-8b", "h100-sxm", scheme="fp8-tensor", devices=1)
```

Names that this page does not list may move in any version ([stability](stability.md)). More
examples: the [notebooks](../../notebooks/README.md).
"""
FORMATS_HEAD = """# Formats

Every scheme, element format and KV cache layout, its size, and which devices multiply it; made
from the program by `make docs`. `plan list formats --device DEVICE` shows one device and each
engine. See also [adding a format](../guide/add-a-format.md) and
[llama.cpp's block types](../guide/ggml.md).
"""
SCHEMES_HEAD = """## Schemes

A scheme is formats of weights and activations with their scales. Bits include the scales over
whole blocks; 128×128 is outputs × inputs, "row" one scale per output channel or token. The matrix
unit multiplies the format under *multiplied in*: `native` takes the stored formats, `weight-only`
widens the weights first, `storage` runs only in llama.cpp's own kernels ("256 in 144 B": a block
with its scales).
"""
DEVICES_HEAD = """## Supported by

By architecture of the bundled devices (with compute capability); what is
alike shares a column or a row.

* **unit**: the matrix unit multiplies what is stored.
* **widened**: weights are widened to 16 bits first; on CPUs also the operands of FP8 schemes.
* **ggml**: llama.cpp's own kernels, on integer units.
* -: not supported; `plan list devices DEVICE` gives the reasons.
"""
LAYOUTS_HEAD = f"""## Cache layouts

Bytes of one token: a key or a value of {HEAD_WIDTH} channels, or an MLA entry (a latent of
{MLA_WIDTHS[0]} and a rope part of {MLA_WIDTHS[1]}). Tokens under one scale pay equal parts of it.
"""
ELEMENTS_HEAD = """## Element formats

How a single number is stored. *stored as* is the type's name in safetensors headers, where there
is one.
"""


def api_page() -> str:
    """docs/reference/api.md."""
    import planner
    from planner import numerics, plot

    left = [n for n in planner.__all__ if not any(n in names for _, names in API_SECTIONS)]
    sections = [
        (title, [n for n in names if n in planner.__all__]) for title, names in API_SECTIONS
    ] + [("Records and other names", left)]
    parts = [API_HEAD]
    for title, names in sections:
        parts.append(
            f"## {title}\n\n"
            + _table(("name", "meaning"), ((f"`{n}`", _brief(_meaning(planner, n))) for n in names))
        )
    parts.append(
        "## Figures: `planner.plot`\n\nEach takes a result and returns matplotlib `Axes` "
        "(extra `plot`); `ax=` draws on your own.\n\n"
        + _table(
            ("name", "meaning"),
            ((f"`{n}`", _begun(_brief(_meaning(plot, n)))) for n in plot.__all__),
        )
    )
    parts.append(
        "## Arithmetic of formats: `planner.numerics`\n\n"
        + _table(("name", "meaning"), ((f"`{n}`", _meaning(numerics, n)) for n in numerics.__all__))
    )
    parts += [fields_part(), "## In full"]
    named = [(planner, n) for _, names in sections for n in names]
    for home, name in (*named, *((plot, n) for n in plot.__all__)):
        found = getattr(home, name)
        if callable(found):
            parts.append(
                f"### {home.__name__}.{name}\n\n```text\n"
                + "\n".join(_in_full(name, found))
                + "\n```"
            )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _meaning(home: Any, name: str) -> str:
    """The first sentence of a docstring."""
    found = getattr(home, name)
    if isinstance(found, str):
        return f"the version, `{found}`"
    text = " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split())
    return re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text).replace("``", "`").replace("|", "\\|")


def _brief(text: str) -> str:
    """The beginning of a meaning that stands in full further down, to its first stop."""
    found = re.match(r"(.{25,}?)(?:[.:;] |, (?:unless|which|in) | \()", text)
    return found[1] if found else text.rstrip(".")


def _begun(text: str) -> str:
    """A meaning up to its first comma, where that is a phrase."""
    found = re.match(r"(.{25,}?), ", text)
    return found[1] if found else text


def _in_full(name: str, found: Any) -> Iterator[str]:
    """The call with its defaults, and the docstring; of a class its fields and public methods."""
    if not inspect.isclass(found):
        yield from _call(name, inspect.signature(found))
        yield ""
    yield from (inspect.getdoc(found) or "").splitlines()
    if inspect.isclass(found):
        record = dataclasses.is_dataclass(found)
        fields = ", ".join(f.name for f in dataclasses.fields(found)) if record else ""
        yield ""
        yield from textwrap.wrap(
            f"fields: {fields}" if fields else "", WIDTH, subsequent_indent="        "
        )
        for own, value in vars(found).items():
            if own.startswith("_") or own in fields.split(", "):
                continue
            kind = "" if isinstance(value, property) else "()"
            text = (
                _meaning(found, own)
                if not isinstance(value, property)
                else " ".join((value.__doc__ or "").split("\n\n")[0].split())
            )
            yield from textwrap.wrap(f".{own}{kind}  {text}", WIDTH, subsequent_indent="    ")


def _call(name: str, signature: inspect.Signature) -> list[str]:
    """``name(a, b=None, *, c=1) -> R``, wrapped under its first argument."""
    shown, starred = [], False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        mark = "**" if one.kind is one.VAR_KEYWORD else ""
        value = "…" if callable(one.default) else repr(one.default)
        shown.append(f"{mark}{one.name}" if one.default is one.empty else f"{one.name}={value}")
    gives = str(signature.return_annotation).replace("'", "")
    text = f"{name}({', '.join(shown)}) -> {gives}"
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * (len(name) + 1))


def formats_page() -> str:
    """docs/reference/formats.md."""
    return (
        "\n\n".join(
            part.strip()
            for part in (
                FORMATS_HEAD,
                SCHEMES_HEAD,
                _schemes(),
                DEVICES_HEAD,
                _who_multiplies(),
                LAYOUTS_HEAD,
                _layouts(),
                ELEMENTS_HEAD,
                _elements(),
            )
        )
        + "\n"
    )


def _schemes() -> str:
    from planner.formats.schemes import SCHEMES
    from planner.formats.sizes import bits_per_element

    heads = ("scheme", "weights", "bits", "activations", "bits", "multiplied in", "path", "source")
    return _table(
        heads,
        (
            (
                f"`{s.id}`",
                _stored(s.weight),
                f"{bits_per_element(s.weight):.5g}",
                _stored(s.activation),
                f"{bits_per_element(s.activation):.5g}",
                s.compute or "-",
                s.path,
                s.source,
            )
            for s in SCHEMES.values()
        ),
        right=(2, 4),
    )


def _who_multiplies() -> str:
    from planner.formats.schemes import scheme_ids
    from planner.hardware.catalog import device_ids, resolve_device

    columns: dict[str, list[str]] = {}
    for device in map(resolve_device, device_ids()):
        capability = f" ({device.compute_capability})" if device.compute_capability else ""
        words = [_path(device, name) for name in scheme_ids()]
        if columns.setdefault(device.architecture + capability, words) != words:
            columns[device.id] = words
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, words in columns.items():
        alike.setdefault(tuple(words), []).append(name)
    schemes: dict[tuple[str, ...], list[str]] = {}
    for name, *words in zip(scheme_ids(), *alike, strict=True):
        schemes.setdefault(tuple(words), []).append(f"`{name}`")
    rows = ((", ".join(names), *words) for words, names in schemes.items())
    return _table(("schemes", *(", ".join(names) for names in alike.values())), rows)


def _path(device: DeviceProfile, name: str) -> str:
    """What ``device`` does with a scheme, in a word of DEVICES_HEAD."""
    from planner.base.errors import UnsupportedError
    from planner.throughput.kernels import kernel

    words = {"native": "unit", "weight-only": "widened", "software": "widened", "storage": "ggml"}
    try:
        return words[kernel(device, name).path]
    except UnsupportedError:
        return "-"


def _layouts() -> str:
    from planner.formats.kv import KV_LAYOUTS, entry_bytes, latent_bytes

    def size(layout: KvLayout, kind: str) -> str:
        if kind not in layout.applies_to:
            return "-"
        return str(
            latent_bytes(layout, *MLA_WIDTHS)
            if kind == "kv-latent"
            else entry_bytes(layout, width=HEAD_WIDTH, kind=kind)
        )

    return _table(
        ("layout", "entries", "scales", "key", "value", "MLA", "source"),
        (
            (
                f"`{k.id}`",
                k.element + (f", rope part {k.rope_element}" if k.rope_element else ""),
                _scale(k.scale) or "none",
                *(size(k, kind) for kind in ("kv-k", "kv-v", "kv-latent")),
                k.source,
            )
            for k in KV_LAYOUTS.values()
        ),
        right=(3, 4, 5),
    )


def _elements() -> str:
    from planner.formats.elements import ELEMENTS

    heads = (
        "format",
        "stored as",
        "bits",
        "exponent",
        "mantissa",
        "largest",
        "least normal",
        "least",
        "infinity",
        "NaN",
        "source",
    )
    return _table(
        heads,
        (
            (
                f"`{e.id}`",
                e.checkpoint_name or "-",
                str(e.bits),
                str(e.exponent_bits),
                str(e.mantissa_bits),
                f"{e.max_finite:.6g}",
                f"{e.min_normal:.4g}",
                f"{e.min_subnormal:.4g}",
                "yes" if e.has_inf else "no",
                e.nan,
                e.source,
            )
            for e in ELEMENTS.values()
        ),
        right=range(2, 8),
    )


def _stored(tensor: TensorFormat) -> str:
    if tensor.block_bytes is not None and tensor.scale is not None:
        return f"{tensor.scale.block_columns} in {tensor.block_bytes} B"
    scale = _scale(tensor.scale)
    return f"{tensor.element}, {scale}" if scale else tensor.element


def _scale(scale: ScaleSpec | None) -> str:
    """Format of the scales and the elements under one, e.g. ``fp32 a 1×128``."""
    if scale is None:
        return ""
    rows, columns = scale.block_rows, scale.block_columns
    under = "tensor" if rows == 0 else "row" if columns == 0 else f"{rows}×{columns}"
    return f"{scale.format} a {under}" + (", fp32 a tensor" if scale.tensor_scale else "")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], right: Iterable[int] = ()) -> str:
    """A Markdown table; the columns ``right`` are aligned right."""
    named, aligned = tuple(heads), set(right)
    marks = ("---:" if i in aligned else "---" for i in range(len(named)))
    lines = ["| " + " | ".join(named) + " |", "|" + "|".join(marks) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
