"""Claims on models: counts, caches, stored formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from planner.formats.kv import kv_layout, latent_bytes
from planner.lab.article.ratios import time_ratio
from planner.lab.article.record import Claim, Figure, Finding, Part, Verdict, counted, derived, near
from planner.lookup import inventory, load_model
from planner.models.inventory import Inventory
from planner.models.kv import cache_description, entry_bytes
from planner.models.spec import ModelSpec
from planner.placement.routing import touched, uniform_popularity
from planner.quality.measured_models import plain_name
from planner.quality.neighbours import ACCURACIES, PLAIN, Measured, measured_rows

V3, V2 = "deepseek-v3", "deepseek-v2"
FP8 = "e4m3fn"
ROUTED = ("experts-gate-up", "experts-down")


def rule(holds: bool, otherwise: Verdict = "wrong") -> Verdict:
    """``confirmed`` where a computed condition holds."""
    return "confirmed" if holds else otherwise


def kv_bytes(spec: ModelSpec, layout: str = "bf16", *, latent: bool = True) -> int:
    """Bytes one token adds to the cache of all layers [B]."""
    return sum(entry_bytes(c, layout) for c in cache_description(spec, latent=latent) if c.grows)


def parameters(claim: Claim) -> Finding:
    total = inventory(V3).parameters_total
    return Finding(
        (counted("parameters of the main model", total, ""),),
        (Part("parameters", rule(near(total, claim.stated["parameters"]))),),
        f"the tensors of the main model hold {total:,} parameters",
    )


def active(claim: Claim) -> Finding:
    counts = inventory(V3)
    experts = counts.spec.experts
    assert experts is not None
    parameters = counts.parameters_active["with_embedding"]
    share = parameters / counts.parameters_total
    popularity = uniform_popularity(experts.count, experts.per_token)
    batches = {b: float(np.sum(touched(popularity, b))) / experts.count for b in (1, 8, 32, 128)}
    figures = (
        counted("active parameters", parameters, ""),
        counted("share", share, ""),
        *(derived(f"experts touched at batch {b}", v, "share") for b, v in batches.items()),
    )
    return Finding(
        figures,
        (
            Part("active parameters", rule(near(parameters, claim.stated["parameters"]))),
            Part("share", rule(near(share, claim.stated["share"]))),
        ),
        f"{parameters / 1e9:.2f} billion, {share:.2%}, for one token; a batch of 128 touches "
        f"{batches[128]:.0%} of the experts of a layer",
    )


def latent(claim: Claim) -> Finding:
    attention = load_model(V3).attention[0]
    cached = attention.kv_lora_rank + attention.rope_dim
    widths = (attention.kv_lora_rank, attention.rope_dim, cached)
    hit = claim.stated["first"] in widths or claim.stated["second"] in widths
    return Finding(
        (
            counted("kv_lora_rank", attention.kv_lora_rank, "elements"),
            counted("cached a token and layer", cached, "elements"),
            counted("q_lora_rank (queries, not cached)", attention.q_lora_rank or 0, "elements"),
            counted("cache a token, BF16", kv_bytes(load_model(V3)), "B"),
        ),
        (Part("widths", rule(hit)),),
        f"{attention.kv_lora_rank} + {attention.rope_dim} = {cached} elements a token and layer",
    )


def against_dense(claim: Claim) -> Finding:
    spec = load_model(V3)
    ours = kv_bytes(spec)
    ratios = {
        f"vs {name} (GQA)": kv_bytes(load_model(name)) / ours
        for name in ("llama-3.1-70b", "llama-3.1-405b")
    }
    ratios["vs its own multi-head form"] = kv_bytes(spec, latent=False) / ours
    least, most = claim.stated["least"], claim.stated["most"]
    inside = all(least * 0.9 <= r <= most for r in ratios.values())
    reached = near(min(ratios.values()), least, 0.1) and near(max(ratios.values()), most, 0.1)
    verdict: Verdict = rule(
        inside and reached, "imprecise" if max(ratios.values()) > least else "wrong"
    )
    return Finding(
        tuple(counted(k, v, "×") for k, v in ratios.items()),
        (Part("range of ratios", verdict),),
        "BF16 on both sides: "
        + ", ".join(f"1/{v:.3g} {k}" for k, v in ratios.items())
        + "; the article's range mixes references, and none reaches 1/100",
    )


def v2_reduction(claim: Claim) -> Finding:
    ref = claim.reference
    dense = ref["dense_layers"] * ref["dense_kv_heads"] * ref["dense_head_dim"] * 2 * 2
    latents = kv_bytes(load_model(V2))
    alone = 1 - latents / dense
    both = 1 - latents * ref["latent_bits"] / 16 / dense
    return Finding(
        (
            counted("MLA alone, both BF16", alone, "share"),
            derived("MLA and 6-bit entries", both, "share"),
        ),
        (Part("93.3 %", rule(near(both, ref["reduction"], 0.005))),),
        f"{both:.1%} needs both MLA ({alone:.1%} alone) and about 6-bit entries",
    )


def stored_formats(claim: Claim) -> Finding:
    counts = inventory(V3)
    rows = [r for r in counts.spec.rows if r.part == "main" and r.counted]
    fp8 = {r.kind for r in rows if r.dtype == FP8}
    share = sum(r.elements * r.copies for r in rows if r.dtype == FP8) / counts.parameters_total
    kept = {r.kind for r in rows if r.dtype != FP8}
    only_experts = fp8 <= set(ROUTED)
    return Finding(
        (
            counted("parameters stored in FP8", share, "share"),
            counted("kinds of modules in FP8", len(fp8), ""),
        ),
        (
            Part(
                "experts in FP8, embedding and norms not",
                rule(set(ROUTED) <= fp8 and {"embedding", "norm"} <= kept),
            ),
            Part("FP8 is for the sparse experts", rule(only_experts, "imprecise")),
        ),
        f"{share:.1%} of the parameters are FP8: {', '.join(sorted(fp8))}; head and router are not",
    )


def memory_half(claim: Claim) -> Finding:
    counts = inventory(V3)
    wide = Inventory(_plain(counts.spec)).payload_bytes
    here = sum(p.bytes for p in counts.patterns if p.part == "main")
    ratio = here / wide
    kept = measured_losses(("fp8-block",))
    most = kept[-1]
    return Finding(
        (
            counted("weights as released", here, "B"),
            counted("weights in 16 bits", wide, "B"),
            counted("ratio", ratio, ""),
            *kept_figures(kept),
        ),
        (
            Part("half the memory", rule(near(ratio, claim.stated["memory"]))),
            Part("95 % accuracy: nobody measured DeepSeek-V3 in 16 bits", "not computable"),
        ),
        f"{here / 1e9:.0f} GB against {wide / 1e9:.0f} GB; V3 is trained in FP8, and 95 % of what "
        f"is in no source (the report has a relative training-loss error under 0.25 %); "
        f"of {len(kept)} published comparisons of FP8 blocks with 16 bits in other models the "
        f"worst keeps {1 - lost(most):.1%} ({most.change} on {plain_name(most.model)})",
    )


def _plain(spec: ModelSpec) -> ModelSpec:
    """The main model with every parameter in two bytes, no scales."""
    rows = tuple(
        replace(
            r,
            dtype="bf16",
            scale_name=None,
            scale_shape=None,
            scale_dtype=None,
            stored=None,
            stored_scale=None,
            extras=(),
        )
        for r in spec.rows
        if r.part == "main"
    )
    return replace(spec, rows=rows)


def zero_compression(claim: Claim) -> Finding:
    counts = inventory(V3)
    experts = counts.spec.experts
    assert experts is not None
    routed = sum(counts.parameters_by_kind[k] for k in ROUTED) / counts.parameters_total
    used = float(np.sum(touched(uniform_popularity(experts.count, experts.per_token), 128)))
    return Finding(
        (
            counted("routed experts", routed, "share of parameters"),
            derived("touched by a batch of 128", used / experts.count, "share of experts"),
        ),
        (Part("inactive experts take no memory", rule(used / experts.count < 0.5)),),
        f"an expert that a token does not choose is not zero: {routed:.1%} of the parameters stay "
        f"stored, and a batch of 128 reads {used / experts.count:.0%} of the experts",
    )


def cache_at_128k(claim: Claim) -> Finding:
    spec = load_model(V2)
    a = spec.attention[0]
    sizes = {
        n: latent_bytes(kv_layout(n), a.kv_lora_rank, a.rope_dim) for n in ("bf16", "fp8-ds-mla")
    }
    memory = 1 - sizes["fp8-ds-mla"] / sizes["bf16"]
    context = int(claim.stated["context"])
    ratio = time_ratio(
        "cost a token, FP8 ÷ BF16 entries, 8 × h200-sxm",
        ("fp8-tensor", "fp8-ds-mla"),
        ("fp8-tensor", "bf16"),
        model=V2,
        device="h200-sxm",
        devices=8,
        tp=1,
        dp=8,
        ep=8,
        pp=1,
        isl=context - 1024,
        osl=1024,
    )
    return Finding(
        (counted("cache saved by FP8 entries", memory, "share"), ratio),
        (
            Part(
                "V2's cache is FP8 (its report: about 6 bits)",
                rule(claim.reference["bits"] == claim.stated["bits"]),
            ),
            Part("cost at 128K falls by 40 %", rule(ratio.covers(1 - claim.stated["saving"]))),
        ),
        f"V2's report has about 6 bits an entry; FP8 entries save {memory:.1%} of the cache, and "
        f"the cost of a token at {context:,} tokens is {ratio.text} that with BF16 entries, "
        f"each with as many users as fit; stated {1 - claim.stated['saving']:.1f}×",
    )


CHECKS: dict[str, Callable[[Claim], Finding]] = {
    "1": parameters,
    "2": active,
    "3": latent,
    "4": against_dense,
    "5": v2_reduction,
    "6": stored_formats,
    "8": memory_half,
    "10": cache_at_128k,
    "14": zero_compression,
}


WIDE_CACHES = (*PLAIN, "fp8", "int8-token")
"""Eight bits and more: narrower ones would be a claim on caches."""


def measured_losses(schemes: Sequence[str]) -> list[Measured]:
    """Published accuracies of weights in ``schemes``, with caches of eight bits or more, against 16
    bits: the share of questions that are answered right. The least lost first."""
    return sorted(
        (
            row
            for row in measured_rows()
            if row.scheme in schemes
            and row.kv_layout in WIDE_CACHES
            and row.unit in ACCURACIES
            and row.baseline_scheme in PLAIN
        ),
        key=lost,
    )


def lost(row: Measured) -> float:
    """The share of the baseline's accuracy that was lost."""
    return row.worsening / float(row.baseline)


def kept_figures(rows: Sequence[Measured]) -> tuple[Figure, ...]:
    """The worst and the median of measured losses."""
    middle = rows[len(rows) // 2]
    return (
        Figure("worst loss of accuracy", lost(rows[-1]), "share", "measured elsewhere"),
        Figure("median loss of accuracy", lost(middle), "share", "measured elsewhere"),
    )
