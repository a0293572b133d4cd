"""Why no checkpoint holds a model in a scheme is said of the modules that are planned."""

import pytest
from support.questions import question_of

from planner.memory.engines.catalog import parse_engine
from planner.planning.question.checkpoint_formats import no_checkpoint_reason


@pytest.mark.parametrize(
    ("model", "engine", "scheme", "why"),
    [
        ("gpt-oss-20b", "pytorch", "bf16", "one tensor released in mxfp4-w4a16"),
        ("qwen3-30b-a3b", "llama.cpp", "mxfp4-w4a16", "no exporter writes mxfp4-w4a16 in gguf"),
        ("qwen3-30b-a3b", "llama.cpp", "ggml-q4_k", ""),
    ],
)
def test_what_is_planned_is_what_must_be_written(
    model: str,
    engine: str,
    scheme: str,
    why: str,
) -> None:
    said = no_checkpoint_reason(question_of(model, devices=8), parse_engine(engine), scheme)
    assert (why in said) if why else said == ""
