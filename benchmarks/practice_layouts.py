"""Ranks of published deployments in one convention: tp × dp × pp devices a worker, ep of tp · dp.

Engines count otherwise: SGLang's and TensorRT-LLM's tp has the ranks of attention data parallel
inside, vLLM's has not.
"""

from __future__ import annotations

import re

from planner.base.records import record
from planner.models.catalog import resolve_model
from planner.placement.deployment_kinds import layout_class
from planner.placement.layout import Layout

Row = dict[str, str]
_COPIES = re.compile(r"TP1 on a|one replica a GPU|replicas|workers on", re.IGNORECASE)


class DisagreeError(ValueError):
    """Ranks that do not make the number of devices."""


@record
class Ranks:
    """A worker's layout, how many such workers there are, and the devices of the deployment."""

    layout: Layout
    workers: int
    devices: int
    kind: str
    prefill: str = ""

    @property
    def attention_dp(self) -> str:
        return "yes" if self.layout.dp > 1 else "no"


def side_of(value: str, side: str) -> str:
    """What ``P:4 D:8`` says of a side; a value without sides holds for both."""
    parts = dict(re.findall(r"([PD]):(\S+)", value))
    return parts.get(side, "") if parts else value


def ranks_of(row: Row, model: str) -> Ranks:
    """The ranks of a deployment in one pool.

    Raises:
        DisagreeError: they do not make its devices.
    """
    total = _number(row["devices"])
    layout, workers = _worker(row, model, total)
    kind = layout_class(layout)
    return Ranks(layout, workers, layout.ranks * workers, "replicas" if workers > 1 else kind)


def pools_of(row: Row, model: str) -> Ranks:
    """The ranks of a deployment in two pools, of a row that has both sides.

    Raises:
        DisagreeError: its sides do not make its devices, or nobody says how many workers each has.
    """
    numbers = re.search(r"(\d+)P(\d+)D", row["purpose"])
    total = _number(row["devices"])
    if numbers is None or total is None:
        raise DisagreeError("workers or devices of the two pools are not stated")
    prefills, decodes = int(numbers.group(1)), int(numbers.group(2))
    sides = {side: _side(row, side) for side in "PD"}
    for p in _sizes(sides["P"]):
        for d in _sizes(sides["D"]):
            if prefills * p + decodes * d == total:
                prefill = _worker(sides["P"], model, p)[0]
                decode = _worker(sides["D"], model, d)[0]
                return Ranks(decode, decodes, total, "pools", f"{prefills} x {written(prefill)}")
    tensor = [_number(side["tp"]) or 0 for side in sides.values()]
    if row["engine"].startswith("vllm") and prefills * tensor[0] + decodes * tensor[1] == total:
        # The number of devices was counted without data parallel.
        prefill, decode = (_worker(side, model, _whole(side))[0] for side in sides.values())
        devices = prefills * prefill.ranks + decodes * decode.ranks
        return Ranks(decode, decodes, devices, "pools", f"{prefills} x {written(prefill)}")
    raise DisagreeError("the two pools do not make the devices")


def paired(prefill: Row, decode: Row, model: str) -> Ranks:
    """The ranks of a deployment whose pools are a row each.

    Raises:
        DisagreeError: as :func:`ranks_of`.
    """
    first, _ = _worker(prefill, model, _number(prefill["devices"]))
    second, _ = _worker(decode, model, _number(decode["devices"]))
    prefills, decodes = _workers(prefill), _workers(decode)
    numbers = re.search(r"(\d+)P(\d+)D", decode["purpose"])
    if numbers:
        prefills, decodes = int(numbers.group(1)), int(numbers.group(2))
    stated = re.search(r"(\d+) GPUs in all", decode["purpose"])
    devices = prefills * first.ranks + decodes * second.ranks
    if stated and int(stated.group(1)) != devices:
        raise DisagreeError("how many workers each pool has is not stated")
    return Ranks(second, decodes, devices, "pools", f"{prefills} x {written(first)}")


def written(layout: Layout) -> str:
    """``tp4 ep4``: what is above 1, and tp where nothing is."""
    parts = [f"{n}{getattr(layout, n)}" for n in ("tp", "dp", "pp", "ep") if getattr(layout, n) > 1]
    return " ".join(parts) or "tp1"


def _side(row: Row, side: str) -> Row:
    keys = ("tp", "pp", "dp", "ep", "attention_dp")
    return {**row, **{key: side_of(row[key], side) for key in keys}}


def _sizes(side: Row) -> list[int]:
    """Devices that a worker of a side may have, the likeliest first."""
    tp, dp, pp = (_number(side[k]) or 1 for k in ("tp", "dp", "pp"))
    ep = _number(side["ep"]) or 1
    return list(dict.fromkeys((max(tp, dp) * pp, tp * dp * pp, max(tp, dp, ep) * pp)))


def _whole(side: Row) -> int:
    """Devices of a worker of vLLM, whose tp has no data parallel inside."""
    tp, dp, ep = (_number(side[k]) or 1 for k in ("tp", "dp", "ep"))
    return tp * (dp if dp > 1 else max(1, ep // tp))


def _workers(row: Row) -> int:
    text = f"{row['purpose']}; {row['other_flags']}"
    number = re.search(r"(\d+) (?:workers?|context servers)", text)
    return int(number.group(1)) if number else 1


def _worker(row: Row, model: str, total: int | None) -> tuple[Layout, int]:
    """A worker's layout and the number of workers in ``total`` devices."""
    tp, dp, pp = _number(row["tp"]), _number(row["dp"]), _number(row["pp"]) or 1
    if row["attention_dp"] == "yes" or (_copies_share_experts(row, model) and (dp or 1) > 1):
        tp, dp, workers = _attention_dp(tp, dp, pp, total)
    else:
        workers, dp = dp or 1, 1
        tp = tp or _divided(total or pp * workers, pp * workers)
        if total is not None and workers == 1 and _COPIES.search(row["purpose"]):
            workers = _divided(total, tp * pp)
        if total is not None and total != tp * pp * workers:
            raise DisagreeError("ranks and devices disagree")
    ep = tp * dp if row["ep"] in ("flag", "on") else _number(row["ep"]) or 1
    if (tp * dp) % ep or resolve_model(model).experts is None:
        if resolve_model(model).experts is not None:
            raise DisagreeError("experts and ranks disagree")
        ep = 1
    return Layout(tp=tp, dp=dp, pp=pp, ep=ep), workers


def _copies_share_experts(row: Row, model: str) -> bool:
    """vLLM's data parallel of a model with experts is attention data parallel without a word."""
    return row["engine"].startswith("vllm") and resolve_model(model).experts is not None


def _attention_dp(
    tp: int | None, dp: int | None, pp: int, total: int | None
) -> tuple[int, int, int]:
    """(tp, dp, workers): of ranks that hold dp inside tp, or beside it."""
    ranks = _divided(total, pp) if total is not None else max(tp or 1, dp or 1)
    if tp is not None and dp is not None and tp * dp == ranks:
        return tp, dp, 1
    if dp is None:
        inside = tp if tp is not None and tp > 1 else ranks
        return 1, inside, _divided(ranks, inside)
    if tp is None or tp == ranks:
        return _divided(ranks, dp), dp, 1
    raise DisagreeError("ranks and devices disagree")


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _divided(number: int, by: int) -> int:
    if number % by:
        raise DisagreeError("ranks and devices disagree")
    return number // by
