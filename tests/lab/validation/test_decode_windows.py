"""Windows in which sequences decode on contexts that are read already."""

from __future__ import annotations

import pytest

from planner.lab.validation.e2e_windows import predict_rows
from planner.lab.validation.records import REASONS, Outcome

ROW = {
    "device": "NVIDIA RTX PRO 6000 Blackwell Server Edition 96GB",
    "n_devices": "4",
    "engine": "vLLM 0.17.0rc1",
    "model": "Qwen3.5-397B-A17B",
    "w_dtype": "nvfp4",
    "parallelism": "TP4",
    "speculation": "none",
    "duration_s": "30.0",
    "concurrency": "8",
    "context_tokens": "16384",
    "metric": "aggregate_tps",
    "value": "400",
    "unit": "tok/s",
    "running_max": "8.0",
}


def one(**changes: str) -> Outcome:
    (found,) = predict_rows("e2e_rtx", [ROW | changes])
    assert (found.predicted is None) == bool(found.reason)
    assert found.reason in {"", *REASONS}
    return found


def value(**changes: str) -> float:
    found = one(**changes).predicted
    assert found is not None
    return found


def test_a_window() -> None:
    found = one()
    assert (found.regime, found.metric, found.device) == ("window", "throughput", "rtx-pro-6000")
    assert (found.layout_class, found.concurrency_range) == ("tp", "1-8")
    assert 100 < value() < 2000
    assert value(metric="per_request_avg_tps") == pytest.approx(value() / 8)


def test_more_sequences_give_more_and_longer_contexts_less() -> None:
    assert value(concurrency="32", running_max="32.0") > value()
    assert value(context_tokens="131072") < value() < value(context_tokens="0")


def test_sequences_that_do_not_run_do_not_count() -> None:
    assert value(concurrency="128") == value()


def test_drafts_give_more_tokens_a_step() -> None:
    drafted = one(speculation="MTP-2 (num_speculative_tokens=2)")
    assert drafted.mode == "drafts"
    assert drafted.predicted is not None
    assert value() < drafted.predicted < 3 * value()


def test_prompts_of_an_idle_server() -> None:
    seconds = value(metric="prefill_ttft_seconds", concurrency="1", running_max="")
    rate = value(metric="prefill_tok_per_sec", concurrency="1", running_max="")
    assert rate == pytest.approx(16384 / seconds)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parallelism": "TP8 DCP4"}, "context parallelism"),
        ({"parallelism": "TP8 DCP99999999999"}, "context parallelism"),
        ({"parallelism": ""}, "setting not stated"),
        ({"engine": "vLLM (image of a day)", "parallelism": "TP8 DCP1"}, "setting not stated"),
        ({"engine": "KTransformers 1"}, "unknown engine"),
        ({"device": "a toaster"}, "unknown device"),
        ({"model": "/etc/passwd"}, "unknown model"),
        ({"w_dtype": "exl3"}, "unknown format"),
        ({"metric": "server_utilization"}, "quantity not predicted"),
        ({"value": "nan"}, "malformed row"),
        ({"concurrency": "-3"}, "malformed row"),
        ({"context_tokens": "1e400"}, "malformed row"),
        ({"duration_s": "text"}, "malformed row"),
    ],
)
def test_reasons(changes: dict[str, str], reason: str) -> None:
    assert one(**changes).reason == reason
