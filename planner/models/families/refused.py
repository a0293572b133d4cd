"""Architectures that are known and not modelled: why, and what a configuration of them must say."""

from __future__ import annotations

from collections.abc import Mapping

from planner.records import record


@record
class Refused:
    """``reason`` completes "… is not modelled:"; ``needs`` are keys without which the tensors of
    the architecture cannot be counted, whoever models it."""

    reason: str
    needs: tuple[str, ...] = ()


REFUSED: dict[str, Refused] = {
    "glm5_next": Refused("Kimi delta attention, pooled indexer keys and four residual streams "
                         "(hc_mult)"),
}  # fmt: skip


def refusal_of(model_type: str, values: Mapping[str, object]) -> str:
    """Why ``model_type`` is refused, with the keys its configuration lacks; "" if it is unknown."""
    found = REFUSED.get(model_type)
    if found is None:
        return ""
    text = values.get("text_config")
    inner = text if isinstance(text, dict) else {}
    missing = [key for key in found.needs if values.get(key) is None and inner.get(key) is None]
    lacks = f"; the configuration is incomplete, it lacks {', '.join(missing)}" if missing else ""
    return f"{model_type} is not modelled: {found.reason}{lacks}"
