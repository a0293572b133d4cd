"""Files and commands for programs that people run at home: a ``Modelfile`` of Ollama, the words
that bring a file into LM Studio.

Sources: ollama/ollama 0.33.0-rc2 docs/modelfile.mdx (FROM, PARAMETER num_ctx) and docs/faq.mdx
(OLLAMA_NUM_PARALLEL, OLLAMA_KV_CACHE_TYPE); huggingface/hub-docs 481c63a docs/hub/ollama.md
(hf.co/ORG/REPO:QUANT); lmstudio-ai/docs c6854fb 3_cli/0_local-models/import.md and load.md,
lmstudio-ai/lms 07b7252 src/subcommands/get.ts.
"""

from __future__ import annotations

from planner.export.serve_line import GGUF, WeightsOfPlan
from planner.formats.kv import GGML_CACHE_TYPES
from planner.planning.files.catalogue import HUB
from planner.planning.plan.record import Plan

MODELFILE = "Modelfile"
OLLAMA_CACHES = ("f16", "q8_0", "q4_0")
"""The values of OLLAMA_KV_CACHE_TYPE."""


def modelfile(plan: Plan, weights: WeightsOfPlan) -> str:
    """The ``Modelfile`` of a plan whose weights are a GGUF file: one in a repository by its name,
    another beside the Modelfile; what a Modelfile has no word for, as comments."""
    ready = _is_at_hub(weights)
    source = f"hf.co/{weights.place}" if ready else f"./{GGUF}"
    lines = ["# ollama create NAME -f Modelfile, then: ollama run NAME"]
    if not ready:
        lines.append(f"# {GGUF} stands for the file of the plan: put its path here")
    lines += [f"FROM {source}", f"PARAMETER num_ctx {plan.workload.context_tokens}"]
    slots = plan.workload.batch
    server = [f"OLLAMA_NUM_PARALLEL={slots}"] if slots > 1 else []
    caches = {
        GGML_CACHE_TYPES.get(unit.kv_layout, unit.kv_layout)
        for unit in plan.units
        if unit.kv_layout is not None
    }
    if len(caches) == 1 and caches <= set(OLLAMA_CACHES[1:]):
        server.append(f"OLLAMA_KV_CACHE_TYPE={caches.pop()}")
    elif caches and not caches <= {OLLAMA_CACHES[0]}:
        lines.append(f"# the plan's KV cache is {', '.join(sorted(caches))}; Ollama's will be f16")
    if server:
        lines.append(f"# the server's own settings: {' '.join(server)} ollama serve")
    return "\n".join(lines) + "\n"


def _is_at_hub(weights: WeightsOfPlan) -> bool:
    """Whether the weights are one file of a repository, ``ORG/REPO:QUANT``."""
    repository, _, quant = weights.place.partition(":")
    return weights.made in ("ready", "release") and "/" in repository and bool(quant)


def lm_studio(plan: Plan, weights: WeightsOfPlan) -> tuple[str, ...]:
    """The commands of LM Studio's ``lms`` that fetch or take the file, and load it."""
    repository, _, quant = weights.place.partition(":")
    bring = (
        f"lms get {HUB}/{repository}@{quant.lower()}"
        if _is_at_hub(weights)
        else f"lms import {GGUF} --copy"
    )
    return (bring, f"lms load --context-length {plan.workload.context_tokens}")
