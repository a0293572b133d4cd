"""The batches that vLLM's own scheduler forms of traces, without a GPU and without a model.

    ENGINE/bin/python engine_vllm.py TRACES.json BATCHES.json

Runs in vLLM's environment and imports nothing of the planner. Each trace goes through `Scheduler`
(results awaited) and `AsyncScheduler` (a pass is formed while the one before it runs, vLLM's
default) in the order of calls of its engine core; passes take the seconds that the trace says, on a
clock that no one waits for.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_TARGET_DEVICE": "cpu",
    "PYTHONHASHSEED": "0",
}

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 1000,
    "max_position_embeddings": 1 << 20,
    "torch_dtype": "bfloat16",
}
"""The scheduler reads no more of a model than its context."""
ANSWERS = 1 << 40
"""Tokens of answers are none of any prompt."""
QUEUED = 2
"""Passes in flight with `AsyncScheduler` on one stage."""
Batch = list[tuple[int, int]]


class Engine:
    """A scheduler of vLLM and what its engine core does around it."""

    def __init__(self, trace: dict[str, Any], folder: str, ahead: bool) -> None:
        import torch
        from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
        from vllm.utils.hashing import sha256
        from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
        from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
        from vllm.v1.structured_output import StructuredOutputManager

        given = trace["settings"]
        tokens = given["block_tokens"]
        config = VllmConfig(
            model_config=ModelConfig(
                model=folder, skip_tokenizer_init=True, max_model_len=given["context"]
            ),
            scheduler_config=SchedulerConfig(
                max_num_seqs=given["max_sequences"],
                max_num_batched_tokens=given["token_budget"],
                max_model_len=given["context"],
                is_encoder_decoder=False,
                async_scheduling=ahead,
            ),
            cache_config=CacheConfig(
                block_size=tokens, enable_prefix_caching=given["prefix_cache"]
            ),
            device_config=DeviceConfig("cpu"),
        )
        # One block is vLLM's own: what requests leave unused points to it.
        blocks = given["blocks"] + 1
        config.cache_config.num_gpu_blocks = blocks
        spec = FullAttentionSpec(
            block_size=tokens, num_kv_heads=1, head_size=1, dtype=torch.float32
        )
        # Where there is no GPU the configuration turns this off.
        config.scheduler_config.async_scheduling = ahead
        kind = config.scheduler_config.get_scheduler_cls()
        self.scheduler = kind(
            vllm_config=config,
            kv_cache_config=KVCacheConfig(
                num_blocks=blocks,
                kv_cache_tensors=[],
                kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)],
            ),
            structured_output_manager=StructuredOutputManager(config),
            block_size=tokens,
        )
        self.kind = kind.__name__
        self.hasher: Callable[..., Any] | None = None
        if given["prefix_cache"]:
            init_none_hash(sha256)
            self.hasher = get_request_block_hasher(tokens, sha256)
        self.ahead = ahead

    def add(self, number: int, prompt: list[int], answer: int, arrival: float) -> None:
        """A request that arrived."""
        from vllm import SamplingParams
        from vllm.v1.request import Request

        sampling = SamplingParams(max_tokens=answer, ignore_eos=True)
        self.scheduler.add_request(
            Request(
                request_id=str(number),
                prompt_token_ids=prompt,
                sampling_params=sampling,
                pooling_params=None,
                arrival_time=arrival,
                block_hasher=self.hasher,
            )
        )

    def batch(self) -> tuple[Any, Batch, list[str]]:
        """(what the scheduler says, requests and their tokens, those whose pass yields a token)."""
        said = self.scheduler.schedule()
        batch = [(int(name), tokens) for name, tokens in said.num_scheduled_tokens.items()]
        yields = [
            name
            for name in said.num_scheduled_tokens
            if not self.scheduler.requests[name].is_prefill_chunk
        ]
        return said, batch, yields

    def ended(self, said: Any, yields: list[str]) -> None:
        """Hand the results of a pass to the scheduler."""
        from vllm.v1.outputs import ModelRunnerOutput

        names = list(said.num_scheduled_tokens)
        tokens = [
            [ANSWERS + (int(name) << 20) + self.scheduler.requests[name].num_output_tokens]
            if name in yields and name in self.scheduler.requests
            else []
            for name in names
        ]
        self.scheduler.update_from_output(
            said,
            ModelRunnerOutput(
                req_ids=names,
                req_id_to_index={name: at for at, name in enumerate(names)},
                sampled_token_ids=tokens,
            ),
        )


def batches(trace: dict[str, Any], folder: str, ahead: bool) -> tuple[str, list[Batch], int]:
    """(the scheduler's class, its passes that hold something, evictions) for one trace."""
    engine = Engine(trace, folder, ahead)
    arrivals, cost = trace["arrival_seconds"], trace["pass_seconds"]
    waiting = deque(range(len(arrivals)))
    found: list[Batch] = []
    preempted = 0
    in_flight: deque[tuple[float, Any, list[str]]] = deque()
    now = free = 0.0  # the host's clock; when the device is done with what it was given
    while waiting or in_flight or engine.scheduler.has_requests():
        if not in_flight and not engine.scheduler.has_requests():
            now = max(now, arrivals[waiting[0]])
        while waiting and arrivals[waiting[0]] <= now:
            number = waiting.popleft()
            engine.add(
                number, trace["prompts"][number], trace["output_tokens"][number], arrivals[number]
            )
        if engine.scheduler.has_requests():
            said, batch, yields = engine.batch()
            preempted += len(said.preempted_req_ids or ())
            if batch:
                found.append(batch)
                tokens = sum(each for _, each in batch)
                free = max(now, free) + cost["each"] + cost["token"] * tokens
            in_flight.appendleft((free if batch else now, said, yields))
            if ahead and len(in_flight) < QUEUED and (batch or engine.scheduler.has_requests()):
                continue
        end, said, yields = in_flight.pop()
        now = max(now, end)
        engine.ended(said, yields)
    return engine.kind, found, preempted


def main() -> None:
    """Read traces, write what each scheduler made of them."""
    import vllm

    traces = json.loads(Path(sys.argv[1]).read_text())
    answer: dict[str, Any] = {"version": vllm.__version__, "traces": {}}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(MODEL))
        for name, trace in traces.items():
            for ahead in (False, True):
                kind, found, preempted = batches(trace, folder, ahead)
                answer["traces"].setdefault(name, {})[kind] = {
                    "batches": found,
                    "preempted": preempted,
                }
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
