"""Files of benchmarks: what each says, and that no bytes end in a traceback."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.lab.learning.results.read import read_results
from planner.lab.learning.results.run import DECODE, PROMPT, SERVED
from tests.lab.learning.results.samples import (
    AIPERF,
    AIPERF_CSV,
    GUIDELLM,
    GUIDELLM_CSV,
    LLAMA,
    LLAMA_CSV,
    LLAMA_MD,
    SGLANG,
    VLLM,
    VLLM_LATENCY,
    VLLM_THROUGHPUT,
)


def written(folder: Path, text: object, name: str = "result.json") -> Path:
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


def test_vllm_bench_serve(tmp_path: Path) -> None:
    (run,) = read_results(written(tmp_path, VLLM))
    assert (run.kind, run.engine, run.model) == (SERVED, "vllm", "meta-llama/Llama-3.1-8B-Instruct")
    assert (run.isl, run.osl, run.concurrency, run.rate) == (1024, 256, 32, None)
    assert (run.completed, run.failed) == (320, 0)
    assert run.tpot is not None
    assert run.ttft is not None
    assert (run.tpot.mean, run.ttft.deviation) == (pytest.approx(0.0179), pytest.approx(0.2104))
    assert run.output_rate == 1338.5


def test_a_rate_and_failures_of_vllm(tmp_path: Path) -> None:
    text = {**VLLM, "request_rate": 4.0, "max_concurrency": None, "completed": 300, "failed": 20}
    (run,) = read_results(written(tmp_path, text))
    assert (run.rate, run.concurrency, run.failed) == (4.0, None, 20)
    del text["failed"]  # versions before it counted them
    assert read_results(written(tmp_path, text))[0].failed == 20


def test_vllm_offline(tmp_path: Path) -> None:
    (latency,) = read_results(written(tmp_path, VLLM_LATENCY))
    assert latency.e2e is not None
    assert (latency.e2e.mean, latency.e2e.count) == (1.21, 3)
    (throughput,) = read_results(written(tmp_path, VLLM_THROUGHPUT))
    assert throughput.completed == 1000


def test_sglang(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(line) for line in (SGLANG, {**SGLANG, "request_rate": 2.0}))
    first, second = read_results(written(tmp_path, lines, "out.jsonl"))
    assert (first.engine, first.model, first.tp) == ("sglang", "Qwen/Qwen3-8B", 2)
    assert (first.rate, second.rate) == (None, 2.0)  # Infinity, as Python writes it
    assert (first.isl, first.osl) == (1000, 100)
    assert second.source == "out.jsonl: row 2"


def test_guidellm(tmp_path: Path) -> None:
    one, rate = read_results(written(tmp_path, GUIDELLM))
    assert (one.concurrency, one.rate, one.model) == (16, None, "Qwen/Qwen3-8B")
    assert (rate.concurrency, rate.rate, rate.failed) == (None, 2.5, 3)
    assert one.tpot is not None
    assert one.e2e is not None
    assert (one.tpot.mean, one.e2e.mean) == (pytest.approx(0.0121), 1.9)
    (table,) = read_results(written(tmp_path, GUIDELLM_CSV, "benchmarks.csv"))
    assert (table.concurrency, table.completed, table.failed) == (15.8, 200, 1)
    assert table.ttft is not None
    assert (table.ttft.mean, table.ttft.deviation) == (pytest.approx(0.08), pytest.approx(0.01))
    assert (table.isl, table.osl, table.model) == (512, 128, "Qwen/Qwen3-8B")


def test_aiperf(tmp_path: Path) -> None:
    (run,) = read_results(written(tmp_path, AIPERF))
    assert (run.model, run.concurrency, run.failed) == ("openai/gpt-oss-20b", 100, 84)
    assert (run.isl, run.osl, run.completed) == (550, 96.85, 200)
    assert run.tpot is not None
    assert run.tpot.mean == pytest.approx(0.05176)
    (table,) = read_results(written(tmp_path, AIPERF_CSV, "aiperf.csv"))
    assert table.ttft is not None
    assert (table.ttft.mean, table.completed) == (pytest.approx(1.5888), 200)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (json.dumps(LLAMA), "bench.json"),
        ("\n".join(map(json.dumps, LLAMA)), "bench.jsonl"),
        (LLAMA_CSV, "bench.csv"),
        (LLAMA_MD, "bench.md"),
    ],
)
def test_llama_bench(tmp_path: Path, text: str, name: str) -> None:
    prompt, token = read_results(written(tmp_path, text, name))
    assert (prompt.kind, token.kind) == (PROMPT, DECODE)
    assert (prompt.isl, prompt.cached, token.osl) == (512, 0, 128)
    assert {prompt.scheme, token.scheme} == {"q4_k_m"}
    assert prompt.ttft is not None
    assert token.tpot is not None
    assert prompt.ttft.mean == pytest.approx(0.0721, rel=0.01)
    assert token.tpot.mean == pytest.approx(1 / 118.88, rel=0.001)
    assert token.tpot.deviation == pytest.approx(token.tpot.mean * 1.04 / 118.9, rel=0.02)
    assert prompt.version == "b5163"


def test_a_depth_of_llama_bench(tmp_path: Path) -> None:
    (run,) = read_results(written(tmp_path, [{**LLAMA[1], "n_depth": 4096}]))
    assert (run.isl, run.cached) == (4096, 4096)
    text = LLAMA_MD.replace("tg128", "tg128 @ d4096")
    assert read_results(written(tmp_path, text, "b.md"))[1].cached == 4096


HOSTILE = (
    "",
    "[]",
    "{}",
    "[1, 2]",
    "null",
    "[" * 5000,
    '{"model_id": "x"}',
    '{"request_throughput": 1, "model_id": "a", "model_id": "b"}',
    '{"benchmarks": [1, {}, {"metrics": 4}]}',
    "\x00\x01",
    "|t/s|\n|1|",
    "a,b\n1,2\n",
    "Metric,avg\n",
    "Run Info,x\nRun ID,y\n,z\n",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError):
        read_results(written(tmp_path, text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("sample", [VLLM, SGLANG, GUIDELLM, AIPERF, LLAMA[0], VLLM_LATENCY])
@given(data=st.data())
def test_no_value_ends_in_a_traceback(sample: dict[str, Any], data: st.DataObject) -> None:
    """Any value in the place of any other, at two depths."""
    text = json.loads(json.dumps(sample))
    key = data.draw(st.sampled_from(sorted(text)))
    if isinstance(text[key], dict) and text[key] and data.draw(st.booleans()):
        text[key][data.draw(st.sampled_from(sorted(text[key])))] = data.draw(JSON)
    elif isinstance(text[key], list) and text[key] and isinstance(text[key][0], dict):
        inner = text[key][0]
        inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(JSON)
    else:
        text[key] = data.draw(JSON)
    with TemporaryDirectory() as name:
        path = written(Path(name), text)
        try:
            runs = read_results(path)
        except DataError:
            return
    for run in runs:
        for times in (run.tpot, run.ttft, run.e2e):
            assert times is None or (times.mean > 0 and times.count > 0)
        assert run.completed >= 0


@given(st.binary(max_size=300))
def test_no_bytes_end_in_a_traceback(text: bytes) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "x"
        path.write_bytes(text)
        with pytest.raises(DataError):
            read_results(path)


def test_laws_of_arrivals_as_clients_name_them(tmp_path: Path) -> None:
    def law(data: object) -> str:
        return read_results(written(tmp_path, data))[-1].arrivals

    rate = {**VLLM, "request_rate": 4.0, "max_concurrency": 9}
    (run,) = read_results(written(tmp_path, rate | {"burstiness": 0.25, "max_num_seqs": "64"}))
    assert (run.arrivals, run.stretched, run.concurrency) == ("gamma:2", True, 9)
    assert (run.max_sequences, run.chunk_tokens) == (64, None)
    assert law(rate) == "poisson"
    assert law(rate | {"burstiness": "inf"}) == "constant"
    assert law(GUIDELLM) == "poisson"
    (run,) = read_results(written(tmp_path, {**SGLANG, "request_rate": 2.0}))
    assert (run.arrivals, run.stretched) == ("poisson", False)


def test_each_request_of_a_detailed_file(tmp_path: Path) -> None:
    details = {
        "input_lens": [10, 20, 30],
        "output_lens": [1, 2, 3],
        "start_times": [103.0, 101.0, 102.5],
    }
    (run,) = read_results(written(tmp_path, VLLM | details))
    assert run.records is not None
    assert run.records.input_tokens == (20, 30, 10)
    assert run.records.output_tokens == (2, 3, 1)
    assert run.records.sent_seconds == (0.0, 1.5, 2.0)
    failed = {"output_lens": [1, 0, 3]}
    (run,) = read_results(written(tmp_path, VLLM | details | failed))
    assert run.records is not None
    assert (run.records.input_tokens, run.records.sent_seconds) == ((30, 10), (0.0, 0.5))
    for damaged in ({"output_lens": [1, 2]}, {"output_lens": [0] * 3}, {"input_lens": "no"}):
        (run,) = read_results(written(tmp_path, VLLM | details | damaged))
        assert run.records is None
    (run,) = read_results(written(tmp_path, VLLM | details | {"start_times": [1, None, 2]}))
    assert run.records is not None
    assert run.records.sent_seconds == ()
