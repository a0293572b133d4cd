"""An answer says why its engine's version is that one, or what stands for it."""

import pytest

from planner.memory.engines.catalog import parse_engine
from planner.messages.words import in_language
from planner.planning.question.engine_questions import version_notes


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("vllm", "the newest release whose models, defaults and kernels were read"),
        ("vllm@0.33.1", "vllm 0.33.1 is not known here: taken as 0.33.0"),
        ("sglang@0.0.1", "sglang 0.0.1 is older than all that are known here: taken as 0.1.3"),
        ("llama.cpp", "builds are treated alike"),
        ("vllm@0.21", ""),
    ],
)
def test_a_version_is_explained(engine: str, said: str) -> None:
    text = "; ".join(in_language(m, "en") for m in version_notes(parse_engine(engine)))
    assert said in text
    assert bool(text) is bool(said)
