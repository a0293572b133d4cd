"""``plan fit``: files that suit a machine, priced as ``plan estimate`` prices them."""

from __future__ import annotations

import json

import pytest

import planner
from planner.base.errors import InputError, UnknownNameError
from planner.cli.main import run as main
from planner.planning.engines.repositories import repositories
from planner.planning.fit import rating
from planner.planning.fit.rating import POINTS_PER_NAT, USES, score_of, use_named
from planner.report.render.results import shown

DEVICE = "rtx-4090"


@pytest.fixture(scope="module")
def answer():
    return planner.fit(DEVICE, count=2)


def test_a_file_costs_what_estimate_says_of_it(answer) -> None:
    for found in answer.files:
        use = answer.use
        plan = planner.estimate(
            found.file.model,
            DEVICE,
            scheme=found.file.quant.lower(),
            engine="llama.cpp",
            devices=1,
            batch=1,
            isl=use.isl,
            osl=use.osl,
            context=use.context,
        )
        speed = plan.performance
        assert found.decode.value == 1 / speed.tpot_seconds.value
        assert found.decode.low == 1 / speed.tpot_seconds.high
        assert found.prefill.value == use.isl / speed.ttft_seconds.value
        assert found.prefill.high == use.isl / speed.ttft_seconds.low
        assert found.loss == plan.quality.loss
        assert found.memory_bytes == plan.memory_per_device.total_bytes
        assert found.context_max == plan.capacity.max_context_at_batch


def test_the_best_goes_first_and_all_fit(answer) -> None:
    assert len(answer.files) == 2
    assert answer.tried <= answer.models
    first, second = answer.files
    assert first.rating >= second.rating
    for found in answer.files:
        assert found.rating == found.score.score - POINTS_PER_NAT * found.loss
        assert found.context_max >= answer.use.context
        assert found.decode.value >= answer.use.tokens_per_second
        assert found.file.of == found.release == found.score.release


def test_every_score_is_of_a_published_checkpoint_with_its_source() -> None:
    releases = {row.of for row in repositories()}
    scores = rating._scores().values()
    assert len({score.release for score in scores}) >= 50
    for score in scores:
        assert score.release in releases
        assert 900 < score.score < 1600
        assert score.source
        assert score.seen
        assert score.arena_name


def test_a_score_of_the_use_goes_before_the_one_of_all_text() -> None:
    coding = score_of("google/gemma-3-27b-it", "coding")
    overall = score_of("google/gemma-3-27b-it", "overall")
    assert coding is not None
    assert overall is not None
    assert coding.category == "coding"
    assert coding.score != overall.score
    fallen = score_of("Qwen/Qwen3.8-27B", "coding")
    assert fallen is not None
    assert fallen.category == "overall"
    assert score_of("nobody/nothing", "overall") is None
    assert set(USES) == {"chat", "coding", "long", "reasoning", "edge"}


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        use_named("cooking")
    with pytest.raises(InputError):
        planner.fit(DEVICE, count=0)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_answer_has_its_rule_and_its_command(answer, lang: str) -> None:
    text = shown(answer, lang)
    assert f"llama-server -hf {answer.files[0].file.place}" in text
    assert "174" in text
    assert all(found.file.place in text for found in answer.files)


def test_json_has_the_sources(capsys) -> None:
    assert main(["fit", DEVICE, "--top", "1", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert len(written["files"]) == 1
    assert written["files"][0]["score"]["source"]
    assert written["files"][0]["command"].startswith("llama-server -hf ")
