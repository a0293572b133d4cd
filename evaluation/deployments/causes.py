"""Why predictions of pools are off, with figures of the rows concerned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evaluation.deployments.figures import Ratios, first_wave, ratios
from evaluation.deployments.rows import DeploymentRow
from planner.lab.validation.e2e_silicon import PREFILL_LABEL

WAVE = 32
"""Requests from which on a run's first wave is told apart from its queue."""
MANY = 2048
"""Requests of the NVFP4 rows with more than 128 sequences a rank."""
CAUSES = """TensorRT-LLM in FP8 on H200 needs 1 to 2.5 ms a step more than predicted, in one pool
and in two. On B200, SGLang pauses once at the start of a run; on H200, TensorRT-LLM's prompts wait
0.3 to 0.6 s for a router or a transfer. No table holds the cause of either. Rows whose prefill
workers differ from their run's recipe are predicted and not counted.
"""
CAUSE_ROWS = """| what | figures | why |
|---|---|---|
| TPOT, TensorRT-LLM in FP8 on H200 | {h200_pools} in two pools, {h200_one} in one | 1 to 2.5 ms \
a step are missing in either mode |
| TTFT, SGLang on B200 | (measured − predicted) × the ten requests a slot of a run: {wave_pools} \
s in two pools, {wave_one} s in one | the same at 1,024 and 8,192 tokens, 32 and 512 requests, \
one pool and two: no queue, but a pause once at the start of a run, which a steady state has \
not. Kernels compiled or tuned at the first full pass would make one; the tables do not say. \
Measured rates hold it, too |
| TTFT, TensorRT-LLM on H200, 1,024 tokens | {short} | 0.3 to 0.6 s wherever the prefill pool is \
idle most of the time, and not on B200: that cluster's router or transfer; no table holds it |
| TPOT, TensorRT-LLM in NVFP4 on B200, over 128 sequences a rank | {large} | inside a host all \
tokens are gathered on every rank, as TensorRT-LLM did when the rule was written. Version 1.2 \
writes them straight to the ranks of their experts wherever all NVLinks are up \
(`fused_moe_trtllm_gen.py`: `select_alltoall_method_type`). Priced like that the two rows are at \
1.01 and 1.08, and those in FP8 4 to 7 % further below: that kernel's time is in no table yet |
| TTFT of one request on attention-parallel prefill workers | {alone} | a pass is priced as if \
every rank had a prompt to read |

Two settings of the runs' recipes that the tables do not hold: the token budget of a prefill pass,
which is taken from them, and how many attention ranks a prefill worker has. {twins} rows of
TensorRT-LLM on H200 state other ranks than their recipe; {found} of them have a twin of another
date at the same load that states the recipe's, whose TPOT is the same within {apart}. They are
predicted and stay out of every figure here.
"""


def reading(rows: Sequence[DeploymentRow]) -> dict[str, str]:
    """The figures in CAUSES."""
    kept = [row for row in rows if not row.excluded]
    pools = [row for row in kept if row.pools]
    h200 = [
        row
        for row in kept
        if row.device == "h200-sxm"
        and row.model == "deepseek-v3"
        and row.software.startswith("trtllm")
    ]
    wave = [
        row
        for row in kept
        if row.device == "b200-sxm"
        and row.model == "deepseek-v3"
        and row.software.startswith("sglang")
        and row.concurrency >= WAVE
    ]
    wrong = [row for row in rows if row.excluded == PREFILL_LABEL]
    twins = list(twin_differences(wrong, pools))
    return {
        "h200_pools": ratio_words(ratios(r.tpot for r in h200 if r.pools)),
        "h200_one": ratio_words(ratios(r.tpot for r in h200 if not r.pools)),
        "wave_pools": ratio_words(first_wave(r for r in wave if r.pools), digits=0),
        "wave_one": ratio_words(first_wave(r for r in wave if not r.pools), digits=0),
        "short": ratio_words(ratios(r.ttft for r in h200 if r.pools and r.isl == 1024)),
        "large": ratio_words(
            ratios(
                r.tpot
                for r in pools
                if r.precision == "fp4" and r.isl == 1024 and r.concurrency >= MANY
            )
        ),
        "alone": ratio_words(ratios(r.ttft for r in pools if r.concurrency == 1)),
        "twins": str(len(wrong)),
        "found": str(len(twins)),
        "apart": f"{max(twins, default=0.0):.1%}",
    }


def twin_differences(
    wrong: Sequence[DeploymentRow],
    right: Sequence[DeploymentRow],
) -> Iterator[float]:
    """Relative difference of TPOT between rows with a wrong prefill label and the row that is
    alike in all but that label."""
    for row in wrong:
        for other in right:
            if _but_prefill(other) == _but_prefill(row):
                yield abs(row.tpot.measured / other.tpot.measured - 1)


def _but_prefill(row: DeploymentRow) -> tuple[object, ...]:
    """All of a deployment and its load but the layout of a prefill worker."""
    prefill, _, decode = row.setting.partition("+")
    return (row.case, row.software, row.concurrency, prefill.partition("[")[0], decode)


def ratio_words(found: Ratios | None, digits: int = 2) -> str:
    """0.94 [0.79, 1.52]."""
    if found is None:
        return "-"
    return f"{found.median:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"
