"""Output of llama.cpp 0.5.0-dev (commit 0c1e570) as it was recorded on SmolLM2-135M."""

import json
from pathlib import Path

import pytest

from planner.lab.verifying.llama_programs import (
    bench_test,
    buffers,
    kl_and_flips,
    too_short,
    types_listed,
    version_of,
)
from planner.lab.verifying.processes import EngineFailedError

HERE = Path(__file__).resolve().parent / "recorded"


def recorded(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def test_a_text_that_is_too_short_is_seen():
    said = "0.00.595.307 E perplexity: the data file you provided tokenizes to only 12 tokens\n"
    assert too_short(said) == 12
    assert too_short("perplexity: calculating perplexity over 2 chunks\n") is None


def test_version_is_read_from_its_line():
    said = "version: 0.5.0-dev (build 1, commit 0c1e570)\nbuilt with GNU 12.4.0 for Linux x86_64\n"
    assert version_of(said) == "0.5.0-dev (build 1, commit 0c1e570)"
    assert version_of("usage: something else") == ""


def test_the_least_repeat_of_a_token_counts_and_its_spread_is_told():
    test = bench_test(recorded("plan-tokens.json"), prompt=0, output=64, depth=192)
    assert test.token_seconds.value == pytest.approx(3.064252465 / 64, rel=1e-12)
    assert test.token_seconds.repeats == 3
    assert 0.002 < test.token_seconds.spread < 0.003
    assert test.machine == "AMD EPYC"


def test_a_prompt_is_told_by_its_tokens():
    rows = json.loads(recorded("plan-prompt.json"))
    test = bench_test(recorded("plan-prompt.json"), prompt=192, output=0, depth=0)
    assert test.token_seconds.value * 192 == pytest.approx(min(rows[0]["samples_ns"]) * 1e-9)


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "{}", "[1]", '[{"n_prompt": 192}]'])
def test_other_output_of_a_bench_is_refused(text: str):
    with pytest.raises(EngineFailedError, match="has not the test"):
        bench_test(text, prompt=192, output=0, depth=0)


def test_another_test_than_the_one_asked_for_is_refused():
    with pytest.raises(EngineFailedError):
        bench_test(recorded("plan-tokens.json"), prompt=0, output=64, depth=0)


def test_buffers_of_a_load_are_summed_over_kinds():
    found = buffers(recorded("load.txt"))
    assert found.weights == round((152.71 + 4.15) * 2**20)
    assert found.cells == 256
    assert found.cache == round(5.62 * 2**20)
    assert found.compute == round(49.13 * 2**20)


def test_the_last_context_of_a_log_counts():
    once = recorded("load.txt")
    other = once[once.index("llama_context: n_ctx") :].replace("256 cells", "512 cells")
    assert buffers(once + other).cells == 512
    assert buffers(once + other).weights == buffers(once).weights


def test_a_log_without_buffers_is_refused():
    with pytest.raises(EngineFailedError, match="does not tell the buffers"):
        buffers("error: no model\n")


def test_kl_and_flips_with_their_standard_errors():
    kl, flips = kl_and_flips(recorded("loss.txt"))
    assert (kl.value, kl.spread) == (0.010487, 0.000446)
    assert flips.value == pytest.approx(1 - 0.93110, abs=1e-5)
    assert flips.spread == pytest.approx(0.01125, abs=1e-5)


@pytest.mark.parametrize("line", ["", "Mean    KLD:        nan ±        nan"])
def test_no_statistics_or_none_that_are_numbers_are_refused(line: str):
    text = recorded("loss.txt").replace("Mean    KLD:   0.010487 ±   0.000446", line)
    with pytest.raises(EngineFailedError):
        kl_and_flips(text)


def test_types_of_the_quantiser():
    found = types_listed(recorded("types.txt"))
    assert {"Q4_K_M", "IQ4_XS", "Q8_0", "BF16", "TQ2_0"} <= found
    assert "COPY" not in found


def test_layers_with_a_window_have_a_cache_of_their_own_beside_the_context():
    """As llama.cpp tells of Gemma 3: bytes add up, tokens do not."""
    once = recorded("load.txt")
    line = next(one for one in once.splitlines() if "cells" in one)
    size = next(one for one in once.splitlines() if "KV buffer size" in one)
    both = once.replace(line, f"{line}\n{size}\n{line.replace('256 cells', '128 cells')}")
    assert buffers(both).cells == 256
    assert buffers(both).cache == 2 * buffers(once).cache
