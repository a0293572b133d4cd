"""Asks aiconfigurator 0.12 in its own interpreter: ``PYTHON rival.py`` reads one request as JSON
from standard input and prints one answer as JSON on the last line of standard output.

    {"ask": "search", "question": {…}, "level": {…}}            its best of both modes
    {"ask": "price", "question": {…}, "level": {…}, "plans": […]}   one given configuration each

It imports nothing but aiconfigurator's public functions, reads none of its tables, and is no part
of the planner. Plans are the records of :mod:`evaluation.aiconfigurator.plans`.
"""

import json
import logging
import re
import resource
import sys
import warnings
from importlib.metadata import version

TOOL = "aiconfigurator"


def main() -> None:
    """Answer the request on standard input."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    asked = json.load(sys.stdin)
    found = (searched if asked["ask"] == "search" else priced)(asked)
    used = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(one.ru_utime + one.ru_stime for one in (used, children))
    print(json.dumps({"version": version(TOOL), "cpu_seconds": round(cpu, 2), **found}))


def searched(asked: dict) -> dict:
    """The first of each mode under the limits."""
    from aiconfigurator.cli.api import cli_default

    question, level = asked["question"], asked["level"]
    found = cli_default(
        question["model"], question["devices"], question["system"], backend=question["engine"],
        isl=question["isl"], osl=question["osl"], ttft=level["ttft_ms"], tpot=level["tpot_ms"],
        strict_sla=True, top_n=1)
    return {mode: _first(found.best_configs.get(mode)) for mode in ("agg", "disagg")}


def _first(frame):
    if frame is None or frame.empty:
        return None
    return {name: _plain(value) for name, value in frame.iloc[0].to_dict().items()
            if not name.startswith("_")}


def _plain(value):
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (int, float, str)) else str(value)


def priced(asked: dict) -> dict:
    """Each plan's estimate, or why there is none."""
    return {"prices": [_priced(asked, plan) for plan in asked["plans"]]}


def _priced(asked: dict, plan: dict) -> dict:
    from aiconfigurator.cli.api import cli_estimate

    question = asked["question"]
    kinds = {f"{kind}_quant_mode": name for kind, name in plan["formats"].items()}
    base = dict(isl=question["isl"], osl=question["osl"], backend_name=question["engine"], **kinds)
    try:
        if plan["mode"] == "disagg":
            found = cli_estimate(question["model"], question["system"], mode="disagg", **base,
                                 **_pool("prefill", plan["prefill"]),
                                 **_pool("decode", plan["decode"]))
            return _told(found)
        return _best([_told(cli_estimate(
            question["model"], question["system"], mode="agg", ctx_tokens=tokens, **base,
            **_layout(plan["worker"]), batch_size=plan["worker"]["batch"]))
            for tokens in plan["context_tokens"]], asked["level"])
    except Exception as error:
        return {"refused": re.sub(r"\S*/site-packages/", "", " ".join(str(error).split()))[:300]}


def _layout(worker: dict) -> dict:
    found = {"tp_size": worker["tp"], "pp_size": worker["pp"], "attention_dp_size": worker["dp"]}
    if worker["ep"]:
        found |= {"moe_ep_size": worker["ep"],
                  "moe_tp_size": worker["tp"] * worker["dp"] // worker["ep"]}
    return found


def _pool(name: str, worker: dict) -> dict:
    found = {f"{name}_{key}": value for key, value in _layout(worker).items()}
    return found | {f"{name}_batch_size": worker["batch"], f"{name}_num_workers": worker["workers"]}


def _told(found) -> dict:
    raw = {name: _plain(value) for name, value in found.raw.items() if not name.startswith("_")}
    return raw | {"warning": found.kv_cache_warning or ""}


def _best(prices: list, level: dict) -> dict:
    """The most tokens/s of those that keep the limits, else of all."""
    good = [one for one in prices
            if one["ttft"] <= level["ttft_ms"] and one["tpot"] <= level["tpot_ms"]]
    return max(good or prices, key=lambda one: one["tokens/s/gpu"])


if __name__ == "__main__":
    main()
