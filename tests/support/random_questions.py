"""Random questions over small and synthetic models, all kinds of device, engines and objectives.

A question is drawn by a function that picks one of a few options: hypothesis's own (the first
options are the simplest, so it shrinks towards them), or that of a seeded generator in a script.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from zlib import crc32

from hypothesis import strategies as st

from planner.lookup import load_device, load_model
from planner.models.configuration import spec_from_bytes
from planner.models.spec import ModelSpec
from planner.planning.question.question import OBJECTIVES, Question
from planner.planning.question.scenario import Host, Scenario
from support.examples import thorough
from tests.support import theory

T = TypeVar("T")
Pick = Callable[[Sequence[Any]], Any]
Value = str | int | float | bool | tuple[str, ...]

CATALOGUE = ("smollm2-135m", "qwen2.5-0.5b", "llama-3.2-1b", "olmoe-1b-7b", "deepseek-v2-lite")
SOON = 1
"""The first one is planned soon: in `make test` synthetic ones stand for experts and latents."""
DEVICES = (
    "h100-sxm",
    "l40s",
    "b200-sxm",
    "xeon-6980p",
    "xeon-platinum-8480",
    "jetson-agx-orin-64gb",
)
SERVERS = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "pytorch")
_GQA = {
    "model_type": "llama",
    "hidden_size": 512,
    "vocab_size": 1024,
    "num_attention_heads": 8,
    "max_position_embeddings": 8192,
    "intermediate_size": 1536,
    "torch_dtype": "bfloat16",
}
_MOE = {
    "model_type": "qwen3_moe",
    "hidden_size": 512,
    "vocab_size": 1024,
    "max_position_embeddings": 8192,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 1024,
    "moe_intermediate_size": 256,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "torch_dtype": "bfloat16",
}
_MLA = {
    "model_type": "deepseek_v2",
    "hidden_size": 512,
    "vocab_size": 1024,
    "max_position_embeddings": 8192,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "kv_lora_rank": 128,
    "q_lora_rank": None,
    "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 32,
    "v_head_dim": 64,
    "intermediate_size": 1024,
    "moe_intermediate_size": 256,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "torch_dtype": "bfloat16",
}
SYNTHETIC: dict[str, dict[str, Any]] = {
    "synthetic-gqa-2": {**_GQA, "num_hidden_layers": 2, "num_key_value_heads": 2},
    "synthetic-gqa-3": {**_GQA, "num_hidden_layers": 3, "num_key_value_heads": 4},
    "synthetic-mha-6": {**_GQA, "num_hidden_layers": 6, "num_key_value_heads": 8},
    "synthetic-mla-2": {**_MLA, "num_hidden_layers": 2},
    "synthetic-moe-2": {**_MOE, "num_hidden_layers": 2},
    "synthetic-moe-4": {**_MOE, "num_hidden_layers": 4},
}


@cache
def model_named(name: str) -> ModelSpec:
    """A model of the catalogue, or a synthetic one."""
    if name not in SYNTHETIC:
        return load_model(name)
    return spec_from_bytes(
        json.dumps(SYNTHETIC[name]).encode(),
        "config.json",
        model_id=name,
        public_name=name,
        source="made for tests",
        source_kind="local",
    )


@dataclass(frozen=True)
class Case:
    """A question as :func:`planner.plan` takes it. ``host_bytes`` among its values is the memory of
    one device, which a scenario sets."""

    model: str
    device: str
    values: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, model: str, device: str, **values: Value | None) -> Case:
        """A case of those ``values`` that are not None."""
        return cls(model, device, tuple(sorted((k, v) for k, v in values.items() if v is not None)))

    def asked(self, **values: Value | None) -> Case:
        """This case with other values; None takes one away."""
        return Case.of(self.model, self.device, **{**dict(self.values), **values})

    def get(self, name: str) -> Any:
        return dict(self.values).get(name)

    @property
    def objective(self) -> str:
        return str(self.get("objective") or "throughput")

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of :func:`planner.plan`, model and device included."""
        known = dict(self.values)
        host = known.pop("host_bytes", None)
        if host is not None:
            assert isinstance(host, int)
            known["scenario"] = Scenario(
                "memory",
                "memory",
                "How much does memory matter?",
                {},
                Host(memory_bytes_per_device=host),
            )
        return {
            "model": model_named(self.model),
            "device": load_device(self.device),
            **{k: list(v) if isinstance(v, tuple) else v for k, v in known.items()},
        }

    def questions(self) -> tuple[Question, ...]:
        """The exact questions, one for every way to serve."""
        return theory.ask(**self.arguments).questions()

    def pick(self, salt: str) -> Pick:
        """What picks further options: the same ones for the same case and ``salt``."""
        return random.Random(crc32(f"{salt} {self}".encode())).choice

    def __str__(self) -> str:
        """The command line, as far as flags can say it."""
        words = ["plan", self.model, self.device]
        for name, value in self.values:
            flag = "--" + name.replace("_seconds", "-ms").replace("_", "-")
            if isinstance(value, bool):
                words.append(flag)
            elif name.endswith("_seconds"):
                words += [flag, repr(float(value) * 1e3)]  # type: ignore[arg-type]
            else:
                words += [flag, ",".join(value) if isinstance(value, tuple) else str(value)]
        return " ".join(words)


def drawn(pick: Pick, *, wide: bool = True) -> Case:
    """One question without limits on time or memory; unless ``wide``, one that is soon answered."""
    models = CATALOGUE if wide else CATALOGUE[:SOON]
    model, device = pick((*models, *SYNTHETIC)), pick(DEVICES)
    values: dict[str, Value | None] = {
        "objective": pick(("throughput", *OBJECTIVES)),
        **_layout(pick, model, wide),
        "engine": pick((None, None, None, *SERVERS)),
        "untie": pick((*[None] * (3 if wide else 9), True)),
        "max_loss": pick((None, None, None, "int4-w4a16", "bf16", "fp8-tensor", "int8-w8a8")),
    }
    if not wide and device.startswith("xeon"):
        values.setdefault("batch", 128)  # terabytes for a model of two layers: a million batches
    values |= pick(
        (
            {},
            {"context": 512},
            {"context": 2048},
            {"isl": 1024, "osl": 16},
            {"isl": 100, "osl": 900},
            {"isl": 100, "osl": 50, "context": 2048, "slots": pick((None, None, "full"))},
            {"isl": 1500, "osl": 50, "prefix_hit_rate": 0.75},
        )
    )
    return Case.of(model, device, **values)


def _layout(pick: Pick, model: str, wide: bool) -> dict[str, Value]:
    """Devices, layout and batch. Where the batch is free the layout is given, and unless ``wide``
    there is one device."""
    own: dict[str, Value] = {"devices": pick((1, 1, 2, 4))}
    batch = pick((8, 1, 2, 64, 256, None)) if wide or own["devices"] == 1 else pick((8, 2, 64))
    if batch is not None:
        own["batch"] = batch
    if own["devices"] != 1 and (batch is None or pick((True, False))):
        own |= {"pp": pick((1, 1, 2)) if batch != 1 else 1, "tp": 1}
        if "moe" in model:
            own["dp"] = 1
    return own


@st.composite
def questions(draw: st.DrawFn) -> Case:
    """Random questions; see :func:`drawn`."""
    return drawn(lambda options: draw(st.sampled_from(tuple(options))), wide=thorough())
