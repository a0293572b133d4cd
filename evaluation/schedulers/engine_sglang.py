"""The batches that SGLang's own scheduler forms of traces, without a GPU and without a model.

    ENGINE/bin/python engine_sglang.py TRACES.json BATCHES.json

Runs in SGLang's environment and imports nothing of the planner. `Scheduler.get_next_batch_to_run`
runs as it stands, with SGLang's own policy, prefill adder, radix cache, pools and retraction, in
the order of calls of its event loops; a pass yields tokens at once, on a clock that no one waits
for.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from array import array
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "SGLANG_USE_CPU_ENGINE": "1"}

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
ANSWERS = 1 << 28
"""Tokens of answers are none of any prompt."""
NO_EOS = -1
Batch = list[tuple[int, int]]


class Nothing:
    """What a feature that is off looks like: false, and of every call nothing."""

    def __bool__(self) -> bool:
        return False

    def __call__(self, *given: Any, **named: Any) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()


class Off(SimpleNamespace):
    """Settings of which the rest are none."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class Engine:
    """SGLang's scheduler of one trace, and what its event loop does around it."""

    def __init__(self, trace: dict[str, Any], folder: str, ahead: bool) -> None:
        import torch
        from sglang.srt.disaggregation.utils import DisaggregationMode
        from sglang.srt.managers.schedule_batch import ScheduleBatch
        from sglang.srt.managers.schedule_policy import PrefillAdder, SchedulePolicy
        from sglang.srt.managers.scheduler import Scheduler
        from sglang.srt.managers.scheduler_components.new_token_ratio_tracker import (
            NewTokenRatioTracker,
        )
        from sglang.srt.mem_cache.allocator.token import TokenToKVPoolAllocator
        from sglang.srt.mem_cache.cache_init_params import CacheInitParams
        from sglang.srt.mem_cache.memory_pool import ReqToTokenPool
        from sglang.srt.mem_cache.unified_cache.components import ComponentType
        from sglang.srt.mem_cache.unified_radix_cache import UnifiedRadixCache
        from sglang.srt.runtime_context import get_schedule, publish
        from sglang.srt.server_args import ServerArgs
        from sglang.srt.speculative.spec_info import SpeculativeAlgorithm

        given = trace["settings"]
        args = ServerArgs(
            model_path=folder,
            device="cpu",
            skip_tokenizer_init=True,
            attention_backend="torch_native",
            sampling_backend="pytorch",
            page_size=given["block_tokens"],
            chunked_prefill_size=given["token_budget"],
            max_running_requests=given["max_sequences"],
            pp_max_micro_batch_size=given["max_sequences"],
            context_length=given["context"],
            enable_mixed_chunk=given["mixed"],
            disable_radix_cache=not given["prefix_cache"],
            schedule_policy=given["order"],
        )
        publish(args, role="scheduler")

        class Alone(Scheduler):
            """One without workers: what is not set below is off."""

            def __init__(self) -> None:
                pass

            def __getattr__(self, name: str) -> Any:
                if name.startswith("__"):
                    raise AttributeError(name)
                return Nothing()

        rows = ReqToTokenPool(given["max_sequences"], given["context"] + 8, "cpu", False)
        pool = SimpleNamespace(get_kvcache=Nothing())
        slots = TokenToKVPoolAllocator(given["blocks"], torch.bfloat16, "cpu", pool, False)
        params = CacheInitParams(
            disable=not given["prefix_cache"],
            req_to_token_pool=rows,
            token_to_kv_pool_allocator=slots,
            page_size=1,
            tree_components=(ComponentType.FULL,),
        )
        tree = UnifiedRadixCache(params)
        scheduler = Alone()
        same = SimpleNamespace(
            maybe_prepare_mlp_sync_batch=lambda batch, need_sync=False: batch,
            maybe_convert_decode_to_extend=lambda batch: batch,
        )
        scheduler.__dict__.update(
            waiting_queue=[],
            running_batch=ScheduleBatch(reqs=[], batch_is_full=False),
            chunked_req=None,
            disaggregation_mode=DisaggregationMode.NULL,
            enable_priority_scheduling=False,
            max_queued_requests=None,
            metrics_reporter=Off(),
            dllm_config=None,
            decode_offload_manager=None,
            min_free_slots_delayer=None,
            dynamic_chunk_sizer=None,
            prefill_delayer=None,
            lora_drainer=None,
            _pending_chunked_abort_req=None,
            hisparse_coordinator=None,
            policy=SchedulePolicy(
                args.schedule_policy,
                tree,
                False,
                False,
                False,
            ),
            new_token_ratio_tracker=NewTokenRatioTracker.from_config(),
            tree_cache=tree,
            req_to_token_pool=rows,
            token_to_kv_pool_allocator=slots,
            page_size=1,
            max_prefill_tokens=args.max_prefill_tokens,
            chunked_prefill_size=args.chunked_prefill_size,
            max_running_requests=given["max_sequences"],
            is_mixed_chunk=given["mixed"],
            priority_scheduling_preemption_threshold=0,
            max_prefill_bs=0,
            truncation_align_size=None,
            processed_tokens_counter=0,
            prefill_decode_interval=get_schedule().prefill_decode_interval or 0,
            prefill_decode_interval_min_bs=get_schedule().prefill_decode_interval_min_bs,
            _prefill_decode_interval_remaining=0,
            enable_overlap=ahead,
            enable_skip_finishing_decode=ahead,
            spec_algorithm=SpeculativeAlgorithm.NONE,
            model_config=Off(is_encoder_decoder=False, vocab_size=1000, is_multimodal=False),
            dp_attn_adapter=same,
            ngram_embedding_manager=SimpleNamespace(
                prepare_for_forward=lambda batch, chunked_req: batch
            ),
            beam_coordinator=SimpleNamespace(pending_member_rows=lambda batch: 0),
            get_prefill_adder_class=lambda: PrefillAdder,
            device="cpu",
        )
        self.scheduler = scheduler
        self.requests: list[Any] = []
        self.results = self._results(rows, slots, tree, scheduler)

    def _results(self, rows: Any, slots: Any, tree: Any, scheduler: Any) -> Any:
        """What SGLang does with a pass's tokens."""
        from dataclasses import fields

        from sglang.srt.disaggregation.utils import DisaggregationMode
        from sglang.srt.managers.scheduler_components.batch_result_processor import (
            SchedulerBatchResultProcessor,
        )

        off: dict[str, Any] = {
            field.name: Nothing() for field in fields(SchedulerBatchResultProcessor)
        }
        return SchedulerBatchResultProcessor(
            **off
            | {
                "is_generation": True,
                "disaggregation_mode": DisaggregationMode.NULL,
                "enable_overlap": scheduler.enable_overlap,
                "model_config": scheduler.model_config,
                "token_to_kv_pool_allocator": slots,
                "tree_cache": tree,
                "req_to_token_pool": rows,
                "hisparse_coordinator": None,
                "decode_offload_manager": None,
                "metrics_reporter": SimpleNamespace(
                    num_generated_tokens=0,
                    forward_ct_decode=0,
                    report_decode_stats=Nothing(),
                    report_prefill_stats=Nothing(),
                ),
                "beam_coordinator": SimpleNamespace(commit_decode=lambda batch: set()),
            }
        )

    @property
    def preempted(self) -> int:
        """How often a request was retracted."""
        return sum(request.retraction_count for request in self.requests)

    def busy(self) -> bool:
        """Whether any request waits or runs."""
        scheduler = self.scheduler
        running = not scheduler.running_batch.is_empty()
        return bool(scheduler.waiting_queue or running or scheduler.chunked_req is not None)

    def batch(self, last: Any) -> tuple[Any, Batch]:
        """(what runs next, requests and their tokens)."""
        plan = self.scheduler.get_next_batch_to_run(
            running_batch=self.scheduler.running_batch, last_batch=last
        )
        self.scheduler.running_batch = plan.running_batch
        batch = plan.batch_to_run
        if batch is None:
            return None, []
        numbers = [int(request.rid) for request in batch.reqs]
        if batch.forward_mode.is_decode():
            return batch, [(number, 1) for number in numbers]
        return batch, list(zip(numbers, map(int, batch.extend_lens), strict=True))

    def ended(self, batch: Any) -> None:
        """Hand the tokens of a pass to the scheduler."""
        import torch

        tokens = [ANSWERS + (int(r.rid) << 16) + len(r.output_ids) for r in batch.reqs]
        result = Off(
            next_token_ids=torch.tensor(tokens),
            can_run_cuda_graph=False,
            grammar_advanced=False,
            get_num_generated_tokens=lambda size: size,
        )
        if batch.forward_mode.is_decode():
            self.results.process_batch_result_decode(batch, result)
        else:
            self.results.process_batch_result_prefill(batch, result)

    def add(self, number: int, prompt: list[int], answer: int) -> None:
        """A request that arrived."""
        from sglang.srt.managers.schedule_batch import Req
        from sglang.srt.sampling.sampling_params import SamplingParams

        sampling = SamplingParams(max_new_tokens=answer)
        sampling.normalize(None)
        request = Req(str(number), "", array("q", prompt), sampling, vocab_size=1 << 30)
        self.requests.append(request)
        self.scheduler.waiting_queue.append(request)


def batches(trace: dict[str, Any], folder: str, ahead: bool) -> tuple[list[Batch], int]:
    """(passes, evictions) of one trace; ``ahead``: as `event_loop_overlap`, else
    `event_loop_normal`."""
    engine = Engine(trace, folder, ahead)
    arrivals, cost = trace["arrival_seconds"], trace["pass_seconds"]
    waiting = deque(range(len(arrivals)))
    found: list[Batch] = []
    queue: deque[tuple[float, Any]] = deque()
    engine.scheduler.__dict__["result_queue"] = queue_of_batches = deque()
    now = free = 0.0
    last = None
    while waiting or last is not None or engine.busy():
        if last is None and not engine.busy():
            now = max(now, arrivals[waiting[0]])
        while waiting and arrivals[waiting[0]] <= now:
            number = waiting.popleft()
            engine.add(number, trace["prompts"][number], trace["output_tokens"][number])
        batch, members = engine.batch(last)
        if batch is not None:
            found.append(members)
            tokens = sum(each for _, each in members)
            free = max(now, free) + cost["each"] + cost["token"] * tokens
            queue.append((free, batch.copy() if ahead else batch))
            queue_of_batches.append((queue[-1][1], None))
        if last is not None if ahead else batch is not None:
            end, done = queue.popleft()
            now = max(now, end)
            engine.ended(done)
            queue_of_batches.popleft()
        elif batch is None:
            # All that its `on_idle` changes for what comes later.
            engine.scheduler.new_token_ratio_tracker.reset()
        last = batch
    return found, engine.preempted


def main() -> None:
    """Read traces, write what the scheduler made of them."""
    import sglang

    traces = json.loads(Path(sys.argv[1]).read_text())
    answer: dict[str, Any] = {"version": sglang.__version__, "traces": {}}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(MODEL))
        for name, trace in traces.items():
            for scheduler, ahead in (("event_loop_normal", False), ("event_loop_overlap", True)):
                found, preempted = batches(trace, folder, ahead)
                answer["traces"].setdefault(name, {})[scheduler] = {
                    "batches": found,
                    "preempted": preempted,
                }
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
