"""What a mix of one's own would bring at the bytes of a published file."""

import re

import planner
from planner.planning.answer.choice_notes import OWN_MIX_KEY
from planner.planning.answer.own_mix import WORTH_LESS
from planner.planning.files.sizes import gguf_bytes
from planner.planning.plan.record import Plan


def notes(plan: Plan) -> list[str]:
    return [str(note.value) for note in plan.assumptions if note.key == OWN_MIX_KEY]


def test_a_file_of_four_bits_is_bettered_at_its_size() -> None:
    plan = planner.plan("qwen3-4b-2507", "rtx-4090", engine="llama.cpp", memory_bytes=5 << 30)
    assert plan.recommendation is not None
    assert plan.recommendation.checkpoint.partition(":")[2]
    assert plan.memory_per_device.total_bytes <= 5 << 30
    (said,) = notes(plan)
    numbers = re.search(r"KL (\S+) instead of (\S+) ", said)
    assert numbers is not None
    own, published = (float(number) for number in numbers.groups())
    assert own < published * (1 - WORTH_LESS)
    made = next(str(note.reason) for note in plan.assumptions if note.key == OWN_MIX_KEY)
    limit = re.search(r"--file-bytes (\d+) ", made)
    assert limit is not None
    mixture = plan.recommendation.checkpoint.partition(":")[2]
    assert int(limit[1]) == gguf_bytes(planner.load_model("qwen3-4b-2507"), mixture)


def test_plans_that_take_no_published_file_say_nothing_of_it() -> None:
    assert notes(planner.plan("gpt-oss-20b", "rtx-4090", engine="llama.cpp")) == []
    assert notes(planner.plan("qwen3-8b", "h100-sxm", engine="vllm", devices=1)) == []
