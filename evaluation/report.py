"""The results as Markdown tables, each target with what was measured."""

from __future__ import annotations

from typing import Any

from evaluation.pages import moved

Result = dict[str, Any]
TIER_TARGETS = {"T1": (0.93, 0.82), "T2": (0.94, 0.85)}
NEAR_MEASURED, UNDER_WEIGHT_MSE = 1.15, 0.70
ADDITIVE = (0.9, 1.3)


def markdown(whole: Result) -> str:
    """All tables."""
    env = whole["environment"]
    lines = [
        f"Python {env['python']}, numpy {env['numpy']}; text: "
        f"`pydoc_data.topics`, SHA-256 {env['text_sha256'][:16]}…; wall time of the last run, "
        f"which keeps what earlier ones measured, {whole['wall_seconds']} s.",
        "",
    ]
    for result in whole["models"]:
        lines += model_lines(result)
    return "\n".join(lines).rstrip() + "\n"


def brief(whole: Result) -> str:
    """How predictors rank the losses of units; everything else as data."""
    models = whole["models"]
    names = list(dict.fromkeys(name for result in models for name in result["ranks"]))
    rows: list[tuple[Any, ...]] = [(name, *(_ranks(r, name) for r in models)) for name in names]
    head = ("predictor", *(f"{r['model']}: pooled, within" for r in models))
    every = moved("quality-small-models", "Everything measured on the two models", markdown(whole))
    return "\n".join([*table(head, rows), every])


def _ranks(result: Result, name: str) -> str:
    """Both ranks of a predictor; none where the model has not been asked by it."""
    found = result["ranks"].get(name)
    return f"{found['pooled']:.3f}, {found['within']:.3f}" if found else "–"


def model_lines(r: Result) -> list[str]:
    """One model."""
    texts = ", ".join(
        f"{part} text {n} chunks of {length}" for part, (n, length) in r["tokens"].items()
    )
    steps = ", ".join(f"{k} {v}" for k, v in r["cpu_seconds"].items())
    lines = [
        f"### {r['model']}",
        "",
        r["note"] + ".",
        "",
        f"{r['units']} linear layers, {len(r['schemes'])} schemes. Loss: {r['loss']}. "
        f"Tokens: {texts}. CPU seconds: {steps}; {sum(r['cpu_seconds'].values())} in all.",
        "",
        *rank_lines(r),
        *band_lines(r),
        *plan_lines(r),
        *additivity_lines(r),
        *order_lines(r),
        *accumulator_lines(r),
    ]
    if "caches" in r:
        lines += cache_lines(r) + option_lines(r)
        rho = r["flips"]["rank_correlation"]
        lines += [
            f"Spearman's ρ of KL and share of flipped top-1 tokens over units and schemes: "
            f"{rho:.3f}.",
            "",
        ]
    return lines + (rule_lines(r["rules"]) if "rules" in r else [])


def rule_lines(r: Result) -> list[str]:
    """Embedding and head by themselves."""
    rows = [
        (
            part,
            scheme,
            f"{loss:.5f}",
            f"{error:.3g}",
            f"{loss / error:.1f}",
            f"{loss / r['uniform']:.2f}",
        )
        for part in ("head", "embedding")
        for scheme, (loss, error) in r[part].items()
    ]
    return [
        "Head and embedding alone, each use of the tied matrix changed by itself; relative "
        "error power of the logits, or of the rows; the last column is against every linear "
        f"layer in fp8-block ({r['uniform']:.5f}):",
        "",
        *table(("module", "scheme", "loss", "error", "loss / error", "against fp8-block"), rows),
    ]


def rank_lines(r: Result) -> list[str]:
    """Spearman's ρ."""
    rows = []
    for name, s in r["ranks"].items():
        target = None if "diagonal" in name else TIER_TARGETS.get(name.split()[0])
        verdict = (
            ""
            if target is None
            else _met(
                s["pooled"] >= target[0] and s["within"] >= target[1],
                f"≥ {target[0]} / {target[1]}",
            )
        )
        others = (
            f"{s['pooled_others']:.3f} / {s['within_others']:.3f}" if "pooled_others" in s else ""
        )
        rows.append((name, f"{s['pooled']:.3f}", f"{s['within']:.3f}", others, verdict))
    return [
        "Spearman's ρ with the measured loss of every unit under every scheme:",
        "",
        *table(
            ("predictor", "pooled", "within a scheme", "without the probe's own scheme", "target"),
            rows,
        ),
    ]


def band_lines(r: Result) -> list[str]:
    """How far predictions in units of the loss are off."""
    rows = [
        (
            name,
            f"{b['median_ratio']:.2f}",
            f"{b['factor_80']:.2f}",
            *(
                ("", "")
                if b["stated"] is None
                else (
                    f"{b['stated']:.2f}",
                    _met(b["inside_stated"] >= 0.8, f"{b['inside_stated']:.0%} of ≥ 80 %"),
                )
            ),
        )
        for name, b in r["bands"].items()
    ]
    return [
        "Predictions in units of the loss; profiles state a band for T2 and for T1 on ids that "
        "the model wrote:",
        "",
        *table(
            (
                "predictor",
                "median measured / predicted",
                "factor that holds 80 %",
                "stated band ×/÷",
                "inside it",
            ),
            rows,
        ),
    ]


def plan_lines(r: Result) -> list[str]:
    """Held-out loss of plans."""
    rows = []
    for budget in sorted({p["budget_bits"] for p in r["plans"]}):
        found = {p["chosen_by"]: p for p in r["plans"] if p["budget_bits"] == budget}
        best = found["measured losses"]["loss"]
        weight = found["params × relative weight MSE"]["loss"]
        for name, p in found.items():
            verdict = ""
            if name.startswith(("T1", "T2")) and "diagonal" not in name:
                near, under = p["loss"] / best, p["loss"] / weight
                verdict = (
                    _met(near <= NEAR_MEASURED, f"{near - 1:+.0%}")
                    + ", "
                    + _met(under <= UNDER_WEIGHT_MSE, f"{under - 1:+.0%}")
                )
            elif name == "measured losses":
                verdict = f"0 %, {best / weight - 1:+.0%}"
            flips = "" if p["flips"] is None else f"{p['flips']:.1%}"
            rows.append((budget, name, f"{p['bits']:.3f}", f"{p['loss']:.5f}", flips, verdict))
    family = r["plans"][0]["family"]
    return [
        f"Plans of {family} units: least predicted loss within a mean size, by exact dynamic "
        "program; loss of the whole model on held-out text. Target: at most 15 % above the "
        "plan on measured losses and 30 % under the one on weight MSE.",
        "",
        *table(
            ("bits", "chosen by", "bits used", "loss", "flips", "against measured, weight MSE"),
            rows,
        ),
    ]


def additivity_lines(r: Result) -> list[str]:
    """Joint over sum."""
    a = r["additivity"]
    rows = [
        (
            s,
            f"{v['sum']:.4g}",
            f"{v['joint']:.4g}",
            _met(ADDITIVE[0] <= v["ratio"] <= ADDITIVE[1], f"{v['ratio']:.2f}"),
        )
        for s, v in a["uniform"].items()
    ]
    m = a["mixed_ratio"]
    return [
        "Additivity, every unit under one scheme (target 0.9 to 1.3):",
        "",
        *table(("scheme", "sum of unit losses", "joint", "joint / sum"), rows),
        f"{len(a['mixed'])} random mixed plans: joint / sum {m['low']:.2f} to {m['high']:.2f}, "
        f"median {m['median']:.2f}; Spearman's ρ {a['mixed_rank_correlation']:.3f}.",
        "",
    ]


def order_lines(r: Result) -> list[str]:
    """Formats in order."""
    lines = []
    for title, o in r["order"].items():
        names = list(o["losses"])
        rows = []
        for n, name in enumerate(names):
            loss = o["losses"][name]
            pair = o["pairs"][n - 1] if n else None
            flips = "" if loss["flips"] is None else f"{loss['flips']:.1%}"
            rows.append(
                (
                    name,
                    f"{loss['loss']:.5f}",
                    flips,
                    "" if pair is None else f"{pair['ratio_low']:.2f} to {pair['ratio_high']:.2f}",
                    "" if pair is None else pair["verdict"],
                )
            )
        lines += [
            f"Whole model, {title}, in the order expected; 95 % bootstrap interval over "
            "chunks of the ratio to the line above:",
            "",
            *table(("scheme", "loss", "flips", "ratio", "order"), rows),
        ]
    return lines


def cache_lines(r: Result) -> list[str]:
    """Keys and values."""
    rows = [
        (layout, f"{c['keys']:.5f}", f"{c['values']:.5f}", f"{c['ratio']:.2f}")
        for layout, c in r["caches"].items()
    ]
    c = r["caches"]
    signs = (
        c["int4-channel"]["keys"] < c["int4-token"]["keys"] / 3,
        c["int4-channel"]["values"] > c["int4-token"]["values"],
    )
    return [
        "Caches of all layers, keys (after RoPE) or values alone:",
        "",
        *table(("layout", "keys", "values", "keys / values"), rows),
        f"INT4 keys per channel far below per token: {_yes(signs[0])}; values the other way: "
        f"{_yes(signs[1])}.",
        "",
    ]


def option_lines(r: Result) -> list[str]:
    """Static scales and SmoothQuant."""
    rows = [(name, f"{o['loss']:.5f}", f"{o['flips']:.1%}") for name, o in r["options"].items()]
    return [
        "Options, whole model; static scales are one a unit, from the largest magnitude on "
        "the probe text:",
        "",
        *table(("scheme", "loss", "flips"), rows),
    ]


def accumulator_lines(r: Result) -> list[str]:
    """Matrix units."""
    rows = [
        (
            name,
            f"{a['rounding']:.3e}",
            f"{a['total']:.3e}",
            f"{a['added']:.1e}",
            f"{a['total'] / a['rounding'] - 1:+.2%}",
        )
        for name, a in r["accumulators"].items()
    ]
    return [
        "Accumulators, relative output error power, mean over units (8 positions × 16 outputs "
        "of each, all inputs):",
        "",
        *table(
            ("scheme and unit", "rounding", "with accumulator", "accumulator alone", "change of e"),
            rows,
        ),
    ]


def _met(met: bool, text: str) -> str:
    return f"{text}: {'met' if met else 'not met'}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """A Markdown table and the empty line after it."""
    body = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return [body[0], "|" + "---|" * len(head), *body[1:], ""]
