"""The page of configurations as people bring them: what is asked, what is refused, with why."""

import json
import re
from pathlib import Path

from evaluation.configurations.page import page
from evaluation.configurations.tried import STEPS, Tried, configurations, tried

_SMALL = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 512,
    "num_hidden_layers": 2, "vocab_size": 1024, "max_position_embeddings": 8192,
    "num_attention_heads": 8, "num_key_value_heads": 8, "intermediate_size": 1024,
    "torch_dtype": "bfloat16",
}  # fmt: skip


def test_configurations_are_found_in_both_layouts(tmp_path: Path) -> None:
    for name in ("a--b_config.json", "a--b_hf_quant_config.json", "c/config.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    assert [name for name, _ in configurations(tmp_path)] == ["a/b", "c"]


def test_what_is_answered_and_what_is_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(_SMALL), encoding="utf-8")
    bad.write_text(json.dumps(_SMALL | {"altup_lanes": 2}), encoding="utf-8")
    found = tried("x/good", good, plans=False)
    assert (found.answers, found.stored_as, found.reason) == (STEPS[:3], "bf16", "")
    refused = tried("x/bad", bad, plans=False)
    assert (refused.answers, refused.parameters) == ((), 0)
    assert refused.reason == "keys not understood: 'altup_lanes'"
    text = page([found, refused], [("m", "the same"), ("n", "differs in rows")], "5.24.0")
    assert "Answered: 1 inventory, 1 memory, 1 estimate, 0 plan." in text
    assert "| x/bad | – | – | none | keys not understood: 'altup_lanes' |" in text
    assert "5.24.0: 1 of 2 the same" in text
    assert "| n | differs in rows |" in text
    count = r"\| vLLM \S+ \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|"
    classes, *counts = re.findall(count, text)[0]
    assert sum(map(int, counts)) == int(classes) > 400


def test_a_page_without_the_library_has_no_part_about_it() -> None:
    assert "Written anew" not in page([Tried("x", ())], [], "")


def test_how_a_comparison_ends() -> None:
    from evaluation.configurations.counted import (
        DIFFERS,
        EQUAL,
        EXPLAINED,
        NOT_BUILT,
        REFUSED,
        outcome,
        tally,
    )
    from evaluation.meta.compare import Compared
    from evaluation.meta.explained import Explained

    known = Explained(("a reason",), (1, 3), (0, 0))
    ends = {
        "a": outcome(Compared(3, 9)),
        "b": outcome(Compared(3, 9, differences=("x is missing here",), why=known)),
        "c": outcome(Compared(3, 9, differences=("x is missing here",))),
        "d": outcome(Compared(3, 9, refused="keys not understood")),
        "e": outcome(Compared(0, 0, unbuilt="no such type")),
    }
    assert list(ends.values()) == [EQUAL, EXPLAINED, DIFFERS, REFUSED, NOT_BUILT]
    assert tally(ends).startswith("1 equal, 1 equal but for a known reason, 1 differs, 1 refused")
