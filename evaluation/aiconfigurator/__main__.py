"""``python -m evaluation.aiconfigurator --rival PYTHON``: asks both tools, keeps their answers in
answers.json and writes docs/evidence/beside-aiconfigurator.md.

PYTHON is an interpreter whose environment has aiconfigurator 0.12 (``pip install
'aiconfigurator==0.12.*'``), also from AICONFIGURATOR_PYTHON. Without it the page is written from
the answers that are kept, and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from evaluation.aiconfigurator import ours, plans
from evaluation.aiconfigurator.page import page
from evaluation.aiconfigurator.questions import (
    LEVELS,
    QUESTIONS,
    ServiceLevel,
    SideQuestion,
    level_words,
)
from evaluation.pages import publish
from planner import __version__

HERE = Path(__file__).parent
ANSWERS, PAGE = HERE / "answers.json", Path("docs/evidence/beside-aiconfigurator.md")
VARIABLE = "AICONFIGURATOR_PYTHON"
SECONDS = 1800


def main() -> int:
    """Ask, keep, write."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.aiconfigurator", description=__doc__
    )
    parser.add_argument(
        "--rival",
        default=os.environ.get(VARIABLE),
        metavar="PYTHON",
        help=f"their interpreter (default: {VARIABLE})",
    )
    parser.add_argument("--only", default="", help="questions and levels that have this in them")
    parser.add_argument("--fresh", action="store_true", help="ask for their best again as well")
    options = parser.parse_args()
    kept = json.loads(ANSWERS.read_text()) if ANSWERS.exists() else {"answers": {}}
    if not options.rival:
        print(
            f"skipped: no interpreter with aiconfigurator (--rival PYTHON or {VARIABLE}); "
            f"the page is written from {ANSWERS.name}"
        )
    else:
        for question in QUESTIONS:
            for level in LEVELS:
                key = f"{question.id}, {level.name}"
                if options.only not in key:
                    continue
                old = {} if options.fresh else kept["answers"].get(key, {})
                kept["answers"][key] = answer(options.rival, question, level, old)
                kept |= {"ours": __version__, "machine": machine()}
                ANSWERS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    publish(PAGE, page(kept))
    print(f"wrote {PAGE}")
    return 0


def machine() -> str:
    """Where the seconds were taken."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def asked_of(python: str, request: dict[str, Any]) -> dict[str, Any]:
    """Their script's answer to a request; ``refused`` where it gives none."""
    done = subprocess.run(
        [python, str(HERE / "rival.py")],
        input=json.dumps(request),
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
    )
    if done.returncode != 0:
        return {"refused": (done.stderr.strip().splitlines() or ["no answer"])[-1][:300]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def answer(
    python: str,
    question: SideQuestion,
    level: ServiceLevel,
    old: dict[str, Any],
) -> dict[str, Any]:
    """Everything about one question at one level; their best is taken from ``old`` where it is
    there (its search takes minutes)."""
    begun = time.monotonic()
    head = {"question": question.theirs(), "level": level_words(level)}
    their_best = old.get("search") or asked_of(python, {"ask": "search", **head})
    experts = question.our_model not in ("llama-3.1-70b", "qwen3-32b")
    entries, cpu = [], {}
    for mode in ("agg", "disagg"):
        row = their_best.get(mode)
        if row is None:
            continue
        given = plans.theirs(row, question, experts=experts)
        entries.append(
            _entry("theirs", question, given, ours.price(question, level, given), _their_words(row))
        )
    formats = next((one["formats"] for one in entries), {})
    kv = next((one["kv"] for one in entries), "bf16")
    for given, price in ours.best_alike(question, level, kv):
        entries.append(_entry("ours, their formats", question, given, price, None, formats))
    for mode in ("auto", "disaggregated"):
        plan, cpu[mode], why = ours.planned(question, level, mode)
        if plan is not None:
            given = plans.in_their_formats(plans.ours(plan), question.scheme, formats)
            entries.append(_entry(f"ours, {mode}", question, given, ours.price_of_plan(plan), None))
        elif mode == "auto":
            entries.append({"who": "ours, auto", "refused": why})
    _price_by_them(python, head, entries)
    print(f"{question.id}, {level.name}: {time.monotonic() - begun:.0f} s")
    return {
        "search": their_best,
        "entries": entries,
        "cpu_seconds": {
            "theirs": their_best.get("cpu_seconds"),
            "ours": {k: round(v, 2) for k, v in cpu.items()},
        },
    }


def _entry(
    who: str,
    question: SideQuestion,
    given: plans.Configured,
    our_price: dict[str, Any],
    their_price: dict[str, Any] | None,
    formats: dict[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "who": who,
        "mode": given.mode,
        "words": given.words,
        "devices": given.devices,
        "formats": dict(given.formats) if formats is None else formats,
        "kv": given.kv,
        "schemes": list(given.schemes),
        "lost": given.lost,
        "by_us": our_price,
        "by_them": their_price,
        "asked": given.asked(question.isl) | ({} if formats is None else {"formats": formats}),
    }


def _price_by_them(python: str, head: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """Fill in what they say of our configurations, and of theirs priced alone."""
    asked = [
        one for one in entries if "asked" in one and not one["lost"] and " cp" not in one["words"]
    ]
    found = asked_of(python, {"ask": "price", **head, "plans": [one["asked"] for one in asked]})
    prices = found.get("prices") or [found] * len(asked)
    for one, price in zip(asked, prices, strict=True):
        told = price if "refused" in price else _their_words(price)
        one["by_them" if one["by_them"] is None else "by_them_again"] = told


def _their_words(row: dict[str, Any]) -> dict[str, Any]:
    """Their row as a price; TTFT of pools has their 1.8 for queues in it, searched or priced."""
    found = {
        "tokens_per_second_per_device": row.get("tokens/s/gpu_cluster", row["tokens/s/gpu"]),
        "tpot_ms": row["tpot"],
        "ttft_ms": row["ttft"],
    }
    if row.get("warning"):
        found["warning"] = row["warning"]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
