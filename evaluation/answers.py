"""``python -m evaluation.answers``: what the planner tells people to serve, for targets that they
ask about, and what became of gains that earlier versions printed.

Every plan is asked as a user asks it: the best engine, the default limits. ``--docs`` puts the
tables into the page between its markers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import planner
from evaluation.pages import insert, moved, narrow
from planner.planning.choose.regret import Regret, choice_regrets
from planner.planning.choose.selection import Selection
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.solve import decide_or_refuse
from planner.planning.plan.record import Plan
from planner.planning.question.input import QuestionInput

TARGETS: tuple[tuple[str, str, int | None], ...] = (
    ("deepseek-v3", "h200-sxm", 8),
    ("deepseek-v3", "h100-sxm", 16),
    ("deepseek-v3", "b200-sxm", 8),
    ("deepseek-v3", "xeon-6980p", 4),
    ("llama-3.1-70b", "h100-sxm", 2),
    ("llama-3.1-70b", "a100-sxm", 4),
    ("llama-3.1-8b", "h100-sxm", 1),
    ("llama-3.1-8b", "l40s", 1),
    ("llama-3.1-8b", "jetson-agx-orin-64gb", 1),
    ("llama-3.1-8b", "jetson-agx-thor-t5000", 1),
    ("qwen3-30b-a3b", "l40s", None),
    ("qwen3-30b-a3b", "rtx-pro-6000", None),
    ("gpt-oss-120b", "h100-sxm", None),
)
"""Model, device, devices (None: searched)."""
PAIRS: tuple[tuple[str, str, int, float], ...] = (
    ("deepseek-v3", "h200-sxm", 8, 0.174),
    ("deepseek-v3", "h100-sxm", 16, 0.200),
    ("deepseek-v3", "b200-sxm", 8, 0.218),
    ("llama-3.1-70b", "h100-sxm", 2, 0.310),
    ("llama-3.1-8b", "h100-sxm", 1, 0.184),
    ("qwen3-235b-a22b", "h200-sxm", 8, 0.050),
    ("qwen3-30b-a3b", "l40s", 4, 0.083),
    ("llama-3.1-70b", "a100-sxm", 4, 0.106),
)
"""Model, device, devices, and the gain over uniform plans that version 0.1 printed at 50 ms a
token and 2 s to the first, on vLLM: of what was kept out by a hair's breadth of loss."""
KEPT = ("embedding", "norm", "router", "head", "indexer")


def main() -> int:
    """Print both tables; put them into a page where asked to."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.answers", description=__doc__)
    parser.add_argument("--docs", type=Path, metavar="FILE")
    options = parser.parse_args()
    parts = {
        "targets": targets([_asked(*one) for one in TARGETS]),
        "pairs": moved("answers-pairs", "Eight pairs with gains of version 0.1", pairs_table()),
        "regret": regret_table(),
    }
    for name, text in parts.items():
        print(text + "\n")
        if options.docs is not None:
            insert(options.docs, text + "\n", name)
    return 0


def _asked(model: str, device: str, devices: int | None, engine: str = "auto") -> Plan:
    start = time.process_time()
    plan = planner.plan(model, device, devices=devices, engine=engine)
    print(f"{model} on {device}: {time.process_time() - start:.1f} s", file=sys.stderr)
    return plan


def targets(plans: Sequence[Plan]) -> str:
    """What decides of every target; the rest as data."""
    whole = targets_table(plans)
    every = moved("answers-targets", "All columns, with the printed sentence", whole)
    return f"{narrow(whole, (0, 3, 5, 7))}\n\n{every}"


def targets_table(plans: Sequence[Plan]) -> str:
    """One row a target."""
    heads = (
        "target",
        "engine",
        "layout, users",
        "tokens/s",
        "TPOT",
        "verdict",
        "schemes; cache",
        "gain over as released",
        "over the best uniform plan in the band",
        "told",
    )
    rows = [
        (
            f"{p.model.id}, {p.device.count} × {p.device.id}",
            f"{p.engine.name} {p.engine.version or ''}".strip(),
            layout_words(p),
            f"{p.performance.output_tokens_per_second.value:,.0f}",
            f"{p.performance.tpot_seconds.value * 1e3:.1f} ms",
            verdict_words(p),
            schemes_words(p),
            gain_words(p),
            p.comparison.text,
            p.recommendation.text if p.recommendation else "",
        )
        for p in plans
    ]
    return table(heads, rows)


def pairs_table() -> str:
    """What is told now of gains that version 0.1 printed."""
    heads = (
        "model, devices (vLLM)",
        "0.1 at 50 ms",
        "now",
        "schemes; cache",
        "gain over as released",
        "over the best uniform plan in the band",
    )
    rows = []
    for model, device, devices, printed in PAIRS:
        p = _asked(model, device, devices, "vllm")
        rows.append(
            (
                f"{model}, {devices} × {device}",
                f"{printed:.1%}",
                verdict_words(p),
                schemes_words(p),
                gain_words(p),
                p.comparison.text,
            )
        )
    return table(heads, rows)


def regret_table() -> str:
    """Regret of the recommendation, the optimum and as released on every target."""
    kinds = ("recommendation", "optimum", "as released")
    rows, every = [], []
    for model, device, devices in TARGETS:
        choice = _choice(model, device, devices)
        found = choice_regrets(choice)
        every.append(found)
        counts = [choice.options[i].simple.formats for i in (choice.taken, choice.optimum)]
        rows.append(
            (
                f"{model}, {devices or 'any'} × {device}",
                *(_regret_words(found[kind]) for kind in kinds),
                *map(str, counts),
            )
        )
    means = []
    for kind in kinds:
        known = [one[kind] for one in every]
        some = [one for one in known if one is not None]
        mean, p90 = (
            sum(getattr(one, name) for one in some) / len(some) for name in ("mean", "p90")
        )
        means.append(f"{mean:.1%}, {p90:.1%} ({len(some)})")
    sums = (str(sum(int(row[at]) for row in rows)) for at in (-2, -1))
    heads = (
        "target",
        *(f"{kind}: mean, 90th percentile" for kind in kinds),
        "formats: recommended",
        "optimum",
    )
    mean = table(heads, [("mean of the targets (on how many it runs)", *means, *sums)])
    return f"{mean}\n\n{moved('answers-regret', 'Every target', table(heads, rows))}"


def _choice(model: str, device: str, devices: int | None) -> Selection:
    ask = QuestionInput(model=model, device=device, devices=devices)
    return decide_or_refuse(ask.questions(), lambda: unserved_case(ask)).choice


def _regret_words(found: Regret | None) -> str:
    return "does not run" if found is None else f"{found.mean:.1%}, {found.p90:.1%}"


def layout_words(plan: Plan) -> str:
    """tp2 pp4, 64 users."""
    lay = plan.layout
    parts = [
        f"{name}{value}"
        for name, value in (("tp", lay.tp), ("dp", lay.dp), ("pp", lay.pp), ("ep", lay.ep))
        if value > 1
    ]
    copies = f" × {lay.replicas}" if lay.replicas > 1 else ""
    return f"{' '.join(parts) or 'tp1'}{copies}, {plan.workload.batch * lay.replicas}"


def verdict_words(plan: Plan) -> str:
    """The verdict, formats, and whether weights have to be made."""
    found = plan.recommendation
    if found is None:
        return "none"
    new = "new weights" if found.needs_new_weights else "no new weights"
    count = f", {found.formats} format{'s' if found.formats > 1 else ''}" if found.formats else ""
    sure = (
        ""
        if found.probability is None
        else f"; {found.probability:.0%} that it beats the best simpler plan"
    )
    return f"{found.verdict}{count}, {new}{sure}"


def schemes_words(plan: Plan) -> str:
    """Schemes of the linears, and the caches."""
    linears = dict.fromkeys(
        u.scheme for u in plan.units if u.kind not in KEPT and u.kv_layout is None
    )
    caches = dict.fromkeys(u.kv_layout or "" for u in plan.units if u.kv_layout)
    return f"{', '.join(linears)}; {', '.join(caches)}"


def gain_words(plan: Plan) -> str:
    """The gain over as released with its 80 % range."""
    found = plan.recommendation
    if found is None or found.gain is None:
        return "as released does not run here"
    gain = found.gain
    return f"{gain.value:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(
        [
            "| " + " | ".join(heads) + " |",
            "|" + "---|" * len(heads),
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
