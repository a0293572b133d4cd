"""The answer of ``train`` as JSON values. Bytes are whole integers and count one device."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from planner.memory.training import COMPONENTS, TrainingMemory, TrainingStage


def training_dict(answer: TrainingMemory) -> dict[str, Any]:
    """Keys in reading order; ``memory_per_device`` is the fullest stage's."""
    layout, setup, fullest = answer.layout, answer.setup, answer.fullest
    return {
        "schema_version": "1",
        "model": {"id": answer.model, "parameters_total": answer.parameters,
                  "parameters_trained": answer.trained},
        "device": {"id": answer.device, "count": layout.devices},
        "layout": {"tp": layout.tp, "cp": layout.cp, "pp": layout.pp, "dp": layout.dp,
                   "ep": layout.ep, "etp": layout.etp, "virtual_stages": layout.chunks,
                   "dense_shards": layout.dense_shards, "expert_shards": layout.expert_shards},
        "recipe": {"id": setup.recipe.id, "source": setup.recipe.source, "mode": setup.mode,
                   "lora_rank": setup.lora_rank, "lora_kinds": sorted(setup.lora_kinds),
                   "gradient_bytes_per_parameter": setup.recipe.gradient,
                   "master_bytes_per_parameter": setup.recipe.master,
                   "moments_bytes_per_parameter": setup.recipe.moments},
        "settings": {"zero": setup.zero, "sequence_parallel": setup.sequence_parallel,
                     "recompute": setup.recompute, "seq": setup.seq,
                     "micro_batch": setup.micro_batch, "micro_batches": setup.micro_batches,
                     "attention": setup.kernel, "dropout": setup.dropout},
        "memory_per_device": {
            **_components(fullest), "total_bytes": fullest.total,
            "usable_bytes": answer.usable_bytes},
        "fits": answer.fits,
        "fullest_stage": fullest.stage,
        "largest_component": fullest.largest,
        "change": asdict(answer.change) if answer.change is not None else None,
        "stages": [{"stage": s.stage, **_components(s), "total_bytes": s.total,
                    "dense_parameters": s.dense_parameters,
                    "expert_parameters": s.expert_parameters,
                    "trained_parameters": s.trained_parameters} for s in answer.stages],
        "layer_activations": [asdict(t) for t in answer.layer],
        "loss_scaling": asdict(answer.loss_scaling) if answer.loss_scaling is not None else None,
        "assumptions": [{"key": key, "value": value, "reason": reason}
                        for key, value, reason in answer.assumptions],
    }


def _components(stage: TrainingStage) -> dict[str, int]:
    return {f"{name}_bytes": int(getattr(stage, name)) for name in COMPONENTS}
