"""Asks aiconfigurator 0.12 in its own interpreter: ``PYTHON rival.py`` reads one request as JSON
from standard input and prints one answer as JSON on the last line of standard output.

    {"ask": "search", "question": {…}, "level": {…}}            its best of both modes
    {"ask": "price", "question": {…}, "level": {…}, "plans": […]}   one given configuration each
    {"ask": "rows", "rows": […]}        the configuration of one measured row each

It imports nothing but aiconfigurator's public functions, reads none of its tables, and is no part
of the planner. Plans are the records of :mod:`evaluation.aiconfigurator.plans`, rows those of
:mod:`evaluation.aiconfigurator.rows`.
"""

import json
import logging
import re
import resource
import sys
import time
import warnings
from importlib.metadata import version

TOOL = "aiconfigurator"


def main() -> None:
    """Answer the request on standard input."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    asked = json.load(sys.stdin)
    found = {"search": searched, "price": priced, "rows": rows}[asked["ask"]](asked)
    used = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(one.ru_utime + one.ru_stime for one in (used, children))
    print(json.dumps({"version": version(TOOL), "cpu_seconds": round(cpu, 2), **found}))


def searched(asked: dict) -> dict:
    """The first of each mode under the limits."""
    from aiconfigurator.cli.api import cli_default

    question, level = asked["question"], asked["level"]
    found = cli_default(
        question["model"],
        question["devices"],
        question["system"],
        backend=question["engine"],
        isl=question["isl"],
        osl=question["osl"],
        ttft=level["ttft_ms"],
        tpot=level["tpot_ms"],
        strict_sla=True,
        top_n=1,
    )
    return {mode: _first(found.best_configs.get(mode)) for mode in ("agg", "disagg")}


def _first(frame):
    if frame is None or frame.empty:
        return None
    return {
        name: _plain(value)
        for name, value in frame.iloc[0].to_dict().items()
        if not name.startswith("_")
    }


def _plain(value):
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (int, float, str)) else str(value)


def priced(asked: dict) -> dict:
    """Each plan's estimate, or why there is none."""
    return {"prices": [_priced(asked, plan) for plan in asked["plans"]]}


def _priced(asked: dict, plan: dict) -> dict:
    """One configuration as their search prices its candidates: by a task, of which it is the only
    point. (``cli_estimate`` is another path: it leaves their wide expert parallelism out, and then
    says 3 to 4 times the seconds of the search for the same workers.)"""
    tries = _tries(asked, plan)
    found, why = [], ""
    for run in tries:
        try:
            found.append(run())
        except Exception as error:
            why = re.sub(r"\S*/site-packages/", "", " ".join(str(error).split()))[:200]
    return _best(found, asked["level"]) if found else {"refused": why}


def _tries(asked: dict, plan: dict) -> list:
    """The ways to run a configuration: context tokens of a step; prompts of a prefill pass, one
    where they refuse more."""
    from aiconfigurator.sdk.task_v2 import Task

    question, kinds = asked["question"], plan["formats"].items()
    base = {
        "isl": question["isl"],
        "osl": question["osl"],
        "total_gpus": question["devices"],
        "ttft": asked["level"]["ttft_ms"],
        "tpot": asked["level"]["tpot_ms"],
    }
    words = {
        "model_path": question["model"],
        "system_name": question["system"],
        "backend_name": question["engine"],
        **{f"{kind}_quant_mode": name for kind, name in kinds},
    }
    if plan["mode"] == "agg":
        worker, batch = _layout(plan["worker"]), plan["worker"]["batch"]
        task = Task.from_cli(serving_mode="agg", **base, **words)
        return [
            lambda tokens=tokens: _one(
                task.run_single_agg(**worker, batch_size=batch, ctx_tokens=tokens)
            )
            for tokens in plan["context_tokens"]
        ]
    task = Task.from_cli(
        serving_mode="disagg",
        **base,
        **{
            f"{role}_{name}": value
            for role in ("prefill", "decode")
            for name, value in words.items()
        },
    )
    most = plan["prefill"]["batch"]
    return [
        lambda prompts=prompts: _one(
            task.run_single_disagg(
                **_pool("prefill", plan["prefill"] | {"batch": prompts}),
                **_pool("decode", plan["decode"]),
            ),
            task.autoscale_ttft_correction_factor,
        )
        for prompts in sorted({1, most})
    ]


def _one(row: dict, queue: float = 1.0) -> dict:
    """A row; of pools with their factor for queues, which their search puts on it."""
    found = {name: _plain(value) for name, value in row.items()}
    return found | {"ttft": queue * found["ttft"]}


def rows(asked: dict) -> dict:
    """Each row's estimate, or its refusal, and the databases that they are of. What is loaded with
    the first row of a kind, by one that differs in its batch, is no part of an estimate's time."""
    from aiconfigurator.sdk.perf_database import get_latest_database_version

    versions, warm, prices = {}, set(), []
    for row in asked["rows"]:
        place = row["system"], row["backend"]
        if place not in versions:
            versions[place] = get_latest_database_version(system=place[0], backend=place[1])
        kind = json.dumps([*place, row["model"], row["formats"], row["layout"]])
        if kind not in warm:
            warm.add(kind)
            _row_price(row | {"batch": row["batch"] + 1}, versions[place])
        prices.append(_row_price(row, versions[place]))
    databases = {f"{backend} on {system}": one for (system, backend), one in versions.items()}
    return {"prices": prices, "databases": databases}


def _row_price(row: dict, number: str) -> dict:
    """TPOT and TTFT [s] of a row, at its prompt's tokens a step and at its engine's. Where they
    have no data of the experts' format, in the one that they default to."""
    default = {kind: name for kind, name in row["formats"].items() if kind != "moe"}
    why = ""
    for formats in (row["formats"], default):
        try:
            begun = time.process_time()
            first, beyond = _row_times(row, number, formats, None)
            cpu = time.process_time() - begun
            chunk = _row_times(row, number, formats, row["chunk"])[0]
        except Exception as error:
            text = re.sub(r"\S*/site-packages/", "", " ".join(str(error).split()))
            why = why or re.split(r" at aiconfigurator|\. ", text)[0][:160]
            continue
        return {
            "isl": first,
            "chunk": chunk,
            "beyond": beyond,
            "cpu": cpu,
            "default": formats != row["formats"],
        }
    return {"refused": why}


def _row_times(row: dict, number: str, formats: dict, context) -> tuple:
    """(TPOT and TTFT [s], whether the batch is beyond their cache)."""
    from aiconfigurator.sdk.predictor import AnalyticPredictor
    from aiconfigurator.sdk.task_v2 import Task

    class Keeping(AnalyticPredictor):
        """Theirs, which keeps what it says of memory."""

        def predict_agg_worker(self, **words):
            self.kept = super().predict_agg_worker(**words)
            return self.kept

    predictor, layout = Keeping(), row["layout"]
    task = Task.from_cli(
        serving_mode="agg",
        isl=row["isl"],
        osl=row["osl"],
        total_gpus=layout["tp"] * layout["dp"] * layout["pp"],
        model_path=row["model"],
        system_name=row["system"],
        backend_name=row["backend"],
        backend_version=number,
        **{f"{kind}_quant_mode": name for kind, name in formats.items()},
    )
    task.predictor = predictor
    price = task.run_single_agg(**layout, batch_size=row["batch"], ctx_tokens=context)
    times = {name: 1e-3 * float(price[name]) for name in ("tpot", "ttft")}
    return times, bool(predictor.kept.check_kv_cache_oom())


def _layout(worker: dict) -> dict:
    """Ranks of a worker; 1 × 1 experts' ranks where the model has none."""
    ep = worker["ep"]
    return {
        "tp": worker["tp"],
        "pp": worker["pp"],
        "dp": worker["dp"],
        "moe_ep": ep or 1,
        "moe_tp": worker["tp"] * worker["dp"] // ep if ep else 1,
    }


def _pool(name: str, worker: dict) -> dict:
    found = {f"{name}_{key}": value for key, value in _layout(worker).items()}
    return found | {f"{name}_batch_size": worker["batch"], f"{name}_num_workers": worker["workers"]}


def _best(prices: list, level: dict) -> dict:
    """The most tokens/s of those that keep the limits, else of all."""
    good = [
        one for one in prices if one["ttft"] <= level["ttft_ms"] and one["tpot"] <= level["tpot_ms"]
    ]
    return max(good or prices, key=lambda one: one["tokens/s/gpu"])


if __name__ == "__main__":
    main()
