"""What a plan was asked for, kept among its assumptions so that a plan file alone can be explained.

The line holds the flags that were given, without those of the model, device, engine and workload,
which a plan file has fields for: ``devices=16; tpot-ms=50; schemes=bf16,fp8-block``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from planner.errors import DataError
from planner.planning.plan.record import Plan

if TYPE_CHECKING:
    from planner.planning.question.resolve import Asked

KEY = "asked"
REASON = "given; what is not named here was searched or took its default"
_COUNTS = ("devices", "tp", "dp", "pp", "ep", "batch", "memory_bytes", "keep_first_layers",
           "keep_last_layers")
_SECONDS = ("ttft_seconds", "tpot_seconds")
_TEXTS = ("max_loss", "kv")
_LISTS = ("schemes", "policies", "drop_policies")


def asked_note(asked: Asked) -> tuple[tuple[str, str, str], ...]:
    """The note, or nothing where only the model, device and workload were given."""
    parts = [f"{_flag(name)}={value}" for name in _COUNTS
             if (value := getattr(asked, name)) is not None]
    parts += [f"{_flag(name)}={value * 1e3:.12g}" for name in _SECONDS
              if (value := getattr(asked, name)) is not None]
    parts += [f"{_flag(name)}={value}" for name in _TEXTS
              if (value := getattr(asked, name)) is not None]
    parts += [f"{_flag(name)}=" + ",".join(value) for name in _LISTS
              if (value := getattr(asked, name)) is not None]
    if asked.untie:
        parts.append("untie")
    return ((KEY, "; ".join(parts), REASON),) if parts else ()


def asked_of(plan: Plan) -> Mapping[str, Any]:
    """Arguments of :class:`planner.planning.question.resolve.Asked` that the plan file tells.

    Raises:
        DataError: a flag that is unknown, or a value that is not of its kind.
    """
    lines = [a.value for a in plan.assumptions if a.key == KEY]
    out: dict[str, Any] = {}
    for part in (lines[0].split("; ") if lines else ()):
        flag, equals, text = part.partition("=")
        name = flag.replace("-", "_")
        try:
            if name in _COUNTS:
                out[name] = int(text)
            elif name in ("ttft_ms", "tpot_ms"):
                out[name.replace("_ms", "_seconds")] = float(text) * 1e-3
            elif name in _TEXTS and text:
                out[name] = text
            elif name in _LISTS and (text or name == "policies"):
                out[name] = tuple(text.split(",")) if text else ()
            elif name == "untie" and not equals:
                out[name] = True
            else:
                raise ValueError
        except ValueError:
            raise DataError(f"plan file: assumptions: {KEY}: {part[:60]!r} is not a flag with its "
                            "value", hint="use a plan file as `plan … --json` wrote it") from None
    return out


def _flag(name: str) -> str:
    return name.replace("_seconds", "-ms").replace("_", "-")
