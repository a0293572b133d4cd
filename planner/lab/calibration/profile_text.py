"""Put fitted sets into the text of a device profile; everything else stays byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterable

from planner.hardware.profile import FittedSet

HEADER = "# Fitted to operator tables by `plan calibrate`; errors are on groups kept back.\n"


def with_fits(text: str, fits: Iterable[FittedSet], *, sources: dict[str, str], date: str) -> str:
    """``text`` of a profile with its ``[[fitted]]`` tables, which stand last, replaced by ``fits``.

    ``sources`` (key → title) are added to ``[sources]``, dated ``date``, where they are missing.
    """
    head = text.split("[[fitted]]", 1)[0].rstrip()
    head = head.removesuffix(HEADER.rstrip()).rstrip() + "\n"
    for key, title in sources.items():
        if f"\n{key} = {{" not in head:
            head += f"{key} = {{ title = {_string(title)}, date = {_string(date)} }}\n"
    return head + "\n" + HEADER + "".join(map(_block, fits))


def _block(fit: FittedSet) -> str:
    e = fit.error
    lines = [
        "[[fitted]]",
        *(
            f"{name} = {_string(getattr(fit, name))}"
            for name in ("operator", "stack", "software", "variant", "kind", "source", "date")
        ),
    ]
    if fit.note:
        lines.append(f"note = {_string(fit.note)}")
    if fit.parameters:
        pairs = ", ".join(f"{k} = {_number(v)}" for k, v in fit.parameters.items())
        lines.append(f"parameters = {{ {pairs} }}")
    lines.append(
        f"error = {{ rows = {e.rows}, held_out = {e.held_out}, mean = {e.mean:.4f}, "
        f"median = {e.median:.4f}, bias = {e.bias:.4f}, sigma = {e.sigma:.4f}, "
        f"coverage = {e.coverage:.3f} }}"
    )
    for key, column in fit.table.items():
        lines.append(f"table.{key} = [{', '.join(map(_number, column))}]")
    return "\n".join(lines) + "\n\n"


def _number(value: float) -> str:
    """``value`` with five significant digits, as a TOML integer where it is whole."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(float(f"{value:.5g}"))


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON leaves it
