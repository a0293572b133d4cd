"""Another checkpoint of a bundled model's structure: told, and put into the command."""

import pytest

import planner
from planner.cli.main import run
from planner.export.serve_line import serving_command
from planner.models.catalog import named_repository


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("llama-3.1-70b", None),
        ("meta-llama/Llama-3.1-70B", None),
        ("llama-3.3-70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("meta-llama/llama-3.1-70b-instruct", "meta-llama/Llama-3.1-70B-Instruct"),
        ("qwen3-8b", None),
        ("no such model", None),
    ],
)
def test_a_name_means_a_repository(name: str, repository: str | None) -> None:
    assert named_repository(name) == repository


def test_it_is_served_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Llama 3.3 was answered with the weights of 3.1, and nothing said so."""
    assert run(["estimate", "llama-3.3-70b", "h100-sxm", "--devices", "4", "--tp", "4"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "meta-llama/Llama-3.3-70B-Instruct is planned as llama-3.1-70b" in text
    plan = planner.estimate("llama-3.3-70b", "h100-sxm", devices=4, tp=4, engine="vllm")
    assert "meta-llama/Llama-3.3-70B-Instruct" in serving_command(plan).words
    again = planner.read_plan(plan.to_dict())
    assert serving_command(again).words == serving_command(plan).words
    own = planner.estimate("llama-3.1-70b", "h100-sxm", devices=4, tp=4, engine="vllm")
    assert "meta-llama/Llama-3.1-70B" in serving_command(own).words


def test_a_release_that_was_named_is_the_one_that_is_served() -> None:
    """Another publisher's release of the same formats was served in its place."""
    plan = planner.plan("Qwen/Qwen3-32B-AWQ", "l40s", devices=1, context=8192)
    assert plan.recommendation is not None
    assert plan.recommendation.checkpoint == "Qwen/Qwen3-32B-AWQ"
    assert "Qwen/Qwen3-32B-AWQ" in serving_command(plan).words
