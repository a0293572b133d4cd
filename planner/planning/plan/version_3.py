"""Plan files of version 3 as they were before they told what a loss means.

``quality.measured_anchor`` was one record or null, and is a list; ``quality.flips`` was the share
of most likely tokens that change, where a profile had measured it. What they did not tell is null.
"""

from __future__ import annotations

from typing import Any

MEANING = ("word", "top1", "p99", "floor")


def lifted(data: dict[str, Any]) -> dict[str, Any]:
    """``data`` with the anchors, the floor and the meaning of a loss as they are now; it stays as
    it is, and is given back where it has them. What is no plan at all is left to the reader to
    refuse."""
    quality = data.get("quality")
    if not isinstance(quality, dict) or isinstance(quality.get("measured_anchor", []), list):
        return data
    quality = {**quality, "measured_anchor": _listed(quality["measured_anchor"])}
    for key in MEANING:
        quality.setdefault(key, None)
    flips = quality.pop("flips", None)
    if isinstance(flips, int | float):
        quality["top1"] = 1 - flips
    out = {**data, "quality": quality}
    said = data.get("recommendation")
    if isinstance(said, dict) and "lossier" in said:
        out["recommendation"] = {**said, "lossier": _step(said["lossier"])}
    return out


def _step(step: Any) -> Any:
    """A step of loss, and the mix beside it."""
    if not isinstance(step, dict) or not {"measured_anchor", "mix"} <= step.keys():
        return step
    anchor = _listed(step["measured_anchor"])
    return {**step, "measured_anchor": anchor, "mix": _step(step["mix"])}


def _listed(anchor: Any) -> list[Any]:
    if anchor is None or isinstance(anchor, list):
        return anchor or []
    return [{**anchor, "kind": None} if isinstance(anchor, dict) else anchor]
