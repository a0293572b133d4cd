"""``plan fit``: files that suit a machine, priced as ``plan estimate`` prices them."""

from __future__ import annotations

import json

import pytest

import planner
from planner.base.errors import InputError, UnknownNameError
from planner.cli.main import run as main
from planner.lookup import load_device, load_model
from planner.planning.engines.repositories import repositories
from planner.planning.fit import rating
from planner.planning.fit.candidates import candidates, engines_for
from planner.planning.fit.ranked import priced_file
from planner.planning.fit.rating import POINTS_PER_NAT, USES, score_of, use_named, usual_gap
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
            engine=found.engine,
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
    raised = score_of("Qwen/Qwen3.8-27B", "coding")
    plain = score_of("Qwen/Qwen3.8-27B", "overall")
    assert raised is not None
    assert plain is not None
    assert raised.category == "overall"
    assert raised.score - plain.score == raised.raised_by == usual_gap("coding")
    assert (plain.raised_by, coding.raised_by) == (0.0, 0.0)


def test_what_models_usually_have_more_in_a_category() -> None:
    scores = rating._scores()
    gaps = [
        scores[release, "coding"].score - scores[release, "overall"].score
        for release, category in scores
        if category == "coding"
    ]
    above = sum(gap > usual_gap("coding") for gap in gaps)
    below = sum(gap < usual_gap("coding") for gap in gaps)
    assert above == below
    assert usual_gap("overall") == 0.0


def test_uses() -> None:
    assert score_of("nobody/nothing", "overall") is None
    assert use_named("Long-Context") == USES["long"]
    assert set(USES) == {"chat", "coding", "long", "reasoning", "edge"}


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        use_named("cooking")
    with pytest.raises(InputError):
        planner.fit(DEVICE, count=0)
    with pytest.raises(UnknownNameError):
        planner.fit(DEVICE, engine="ollama")
    with pytest.raises(InputError, match="mlx does not run on rtx-4090") as refused:
        planner.fit(DEVICE, engine="mlx")
    assert refused.value.hint == "engine=llama.cpp or vllm"


def test_engines_of_devices() -> None:
    assert engines_for(load_device("m4-pro-24gb")) == ("llama.cpp", "mlx")
    assert engines_for(load_device("h100-sxm")) == ("llama.cpp", "vllm")
    assert engines_for(load_device("raspberry-pi-5-8gb")) == ("llama.cpp",)


@pytest.mark.parametrize(
    ("device", "engine", "start"),
    [("m4-max-128gb", "mlx", "mlx_lm.generate --model "), ("h100-sxm", "vllm", "vllm serve ")],
)
def test_files_of_other_engines(device: str, engine: str, start: str) -> None:
    (best,) = planner.fit(device, engine=engine, count=1).files
    assert best.engine == engine
    assert best.command.startswith(start + best.file.repository)
    assert best.bytes > 0
    assert best.basis in ("stated", "computed", "rounded", "weights")


def test_a_checkpoint_of_mxfp4_is_taken_as_it_is() -> None:
    spec = load_model("gpt-oss-20b")
    some = candidates(
        "openai/gpt-oss-20b",
        "gpt-oss-20b",
        spec,
        ("llama.cpp",),
        USES["chat"],
        load_device(DEVICE),
    )
    assert [(one.file.quant, one.scheme) for one in some] == [("MXFP4", None)]
    priced = priced_file(some[0], None, load_device(DEVICE), USES["chat"])
    assert priced is not None
    assert (priced.loss, priced.rating) == (0.0, None)


def test_what_cannot_fit_is_not_priced() -> None:
    spec = load_model("qwen3-32b")
    given = ("Qwen/Qwen3-32B", "qwen3-32b", spec, ("llama.cpp",), USES["chat"])
    small = candidates(*given, load_device("rtx-4060-ti-16gb"))
    large = candidates(*given, load_device("h100-sxm"))
    assert 0 < len(small) < len(large)
    assert small[0].bytes < 16 * 2**30 < large[0].bytes
    assert [one.bytes for one in large] == sorted((one.bytes for one in large), reverse=True)
    assert candidates(*given, load_device("raspberry-pi-5-8gb")) == []


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_answer_has_its_rule_and_its_command(answer, lang: str) -> None:
    text = shown(answer, lang)
    assert "174" in text
    assert all(f"llama-server -hf {found.file.place}" in text for found in answer.files)


def test_a_raised_score_is_marked_and_explained() -> None:
    text = shown(planner.fit(DEVICE, use="coding", count=1), "en")
    assert "1475*" in text
    assert f"over all text {usual_gap('coding'):+.0f}" in text


def test_json_has_the_sources(capsys) -> None:
    assert main(["fit", DEVICE, "--top", "1", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert len(written["files"]) == 1
    assert written["files"][0]["score"]["source"]
    assert written["files"][0]["command"].startswith("llama-server -hf ")
