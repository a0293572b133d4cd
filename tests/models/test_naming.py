"""Names of common sizes resolve offline; models are found by words and grouped by family."""

from __future__ import annotations

import json
import re

import pytest

from planner.base.errors import InputError
from planner.cli import main
from planner.models.catalog import catalog, model_ids, resolve_model
from planner.models.inventory import Inventory
from planner.models.naming import family_name, grouped, search

# What people ask for: the name, the bundled model, and the parameters that its publisher states
# (text and vision; of prediction layers too where the published total has them).
ASKED = {
    "Qwen3-4B": ("qwen3-4b", 4_022_468_096),
    "Qwen/Qwen3-4B-Instruct-2507": ("qwen3-4b-2507", 4_022_468_096),
    "Qwen3-14B": ("qwen3-14b", 14_768_307_200),
    "Qwen3-Coder-30B-A3B": ("qwen3-coder-30b-a3b", 30_532_122_624),
    "Qwen2.5-3B-Instruct": ("qwen2.5-3b", 3_085_938_688),
    "Qwen2.5-14B": ("qwen2.5-14b", 14_770_033_664),
    "Qwen2.5-Coder-32B-Instruct": ("qwen2.5-32b", 32_763_876_352),
    "Qwen2.5-72B-Instruct": ("qwen2.5-72b", 72_706_203_648),
    "QwQ-32B": ("qwq-32b", 32_763_876_352),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": ("deepseek-r1-distill-qwen-1.5b", 1_777_088_000),
    "DeepSeek-R1-Distill-Qwen-7B": ("deepseek-r1-distill-qwen-7b", 7_615_616_512),
    "DeepSeek-R1-Distill-Qwen-32B": ("deepseek-r1-distill-qwen-32b", 32_763_876_352),
    "R1-Distill-Llama-8B": ("deepseek-r1-distill-llama-8b", 8_030_261_248),
    "DeepSeek-R1-Distill-Llama-70B": ("deepseek-r1-distill-llama-70b", 70_553_706_496),
    "meta-llama/Llama-2-7b-chat-hf": ("llama-2-7b", 6_738_415_616),
    "Llama-2-70b": ("llama-2-70b", 68_976_648_192),
    "Llama-3.2-3B-Instruct": ("llama-3.2-3b", 3_212_749_824),
    "Mistral-Nemo-Instruct-2407": ("mistral-nemo", 12_247_782_400),
    "Mistral-Small-3": ("mistral-small-24b", 23_572_403_200),
    "Mistral-Small-3.1-24B-Instruct-2503": ("mistral-small-3.2-24b", 24_011_361_280),
    "Mistral-Large-Instruct-2411": ("mistral-large-2407", 122_610_069_504),
    "Phi-4-mini-instruct": ("phi-4-mini", 3_836_021_760),
    "Phi-3.5-mini": ("phi-3-mini-128k", 3_821_079_552),
    "gemma-3-4b-it": ("gemma-3-4b", 4_300_079_472),
    "gemma-3-12b-it": ("gemma-3-12b", 12_187_325_040),
    "google/gemma-3-27b-it": ("gemma-3-27b", 27_432_406_640),
    "SmolLM2-1.7B-Instruct": ("smollm2-1.7b", 1_711_376_384),
    "TinyLlama-1.1B": ("tinyllama-1.1b", 1_100_048_384),
    "Falcon3-7B-Instruct": ("falcon3-7b", 7_455_550_464),
    "zai-org/GLM-4.7": ("glm-4.7", 358_337_791_296),
    "Kimi-K2-Thinking": ("kimi-k2-thinking", 1_026_408_232_448),
    "Qwen3-VL-8B": ("qwen3-vl-8b", 8_767_123_696),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_common_name_resolves_to_its_published_size(name: str) -> None:
    spec = resolve_model(name)
    counts = Inventory(spec)
    total = counts.parameters_total + counts.parameters_vision + counts.parameters_mtp
    assert (spec.id, total) == ASKED[name]


def test_every_bundled_model_says_where_it_is_from() -> None:
    for entry in catalog().values():
        assert entry.source_kind in ("verbatim", "copied", "reconstructed"), entry.id
        assert entry.source, entry.id
        assert entry.note or entry.source_kind != "reconstructed", entry.id


def test_no_name_means_two_models() -> None:
    owners: dict[str, str] = {}
    for entry in catalog().values():
        for name in {entry.id, entry.public_name, entry.public_name.split("/")[-1], *entry.aliases}:
            key = name.lower().replace("_", "-")
            assert owners.setdefault(key, entry.id) == entry.id, name


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["qwen3", "vl"],
            {
                "qwen3-vl-2b",
                "qwen3-vl-4b",
                "qwen3-vl-8b",
                "qwen3-vl-30b-a3b",
                "qwen3-vl-32b",
                "qwen3-vl-235b-a22b",
            },
        ),
        (["Qwen3 14B"], {"qwen3-14b"}),
        (["mistral", "small"], {"mistral-small-24b", "mistral-small-3.2-24b"}),
        (["chat-hf"], {"llama-2-7b", "llama-2-13b", "llama-2-70b", "glm-4-9b"}),
        (["qwen3", "8b"], {"qwen3-8b", "qwen3-vl-8b"}),
        (["qwen2.5 7b"], {"qwen2.5-7b"}),
        (["cohere"], {"command-a", "command-r", "command-r-plus", "command-r7b"}),
        (["CohereForAI/c4ai-command-r-v01"], {"command-r"}),
    ],
)
def test_words_find_models(words: list[str], expected: set[str]) -> None:
    assert set(search(words)) == expected


def test_numbers_in_words_are_whole() -> None:
    """Qwen-32B is no Qwen3, and 1.5B no 5B."""
    assert not any("r1-distill" in model_id for model_id in search(["qwen3"]))
    assert {"qwen3-8b", "qwen3.5-27b", "qwen3-vl-2b"} < set(search(["qwen3"]))
    with pytest.raises(InputError, match="no bundled model"):
        search(["qwen2.5", "5b"])


def test_words_that_find_nothing_name_what_is_near() -> None:
    with pytest.raises(InputError) as caught:
        search(["qwen3-8bb"])
    assert "qwen3-8b" in caught.value.hint


def test_families_have_all_models_once_in_the_order_of_their_numbers() -> None:
    families = grouped(model_ids())
    assert sorted(name for names in families.values() for name in names) == sorted(model_ids())
    assert list(families) == sorted(families, key=str.lower)
    assert families["Falcon"] == ("falcon3-1b", "falcon3-3b", "falcon3-7b", "falcon3-10b")
    assert family_name("mixtral-8x7b") == family_name("ministral-8b") == "Mistral"
    assert family_name("qwq-32b") == "Qwen"


def test_the_command_groups_and_searches(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("models", "gemma", "27b") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "Gemma"
    assert [line.split()[0] for line in lines[2:5]] == [
        "gemma-2-27b", "gemma-3-27b", "gemma-3-27b-text"]  # fmt: skip
    assert _run("models", "qwq", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert [(item["id"], item["family"]) for item in data] == [("qwq-32b", "Qwen")]
    assert _run("models", "nosuchmodel") == 2
    assert "error: no bundled model has 'nosuchmodel' in a name" in capsys.readouterr().err


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)


PUBLISHED = {entry.id: entry.published for entry in catalog().values() if entry.published}
_UNITS = {"": 1, "B": 10**9, "T": 10**12}


@pytest.mark.parametrize("model_id", PUBLISHED)
def test_totals_are_those_that_others_state(model_id: str) -> None:
    """To the parameter, or within the rounding of what is stated; encoders are in published totals,
    prediction layers where the release stores them."""
    stated = re.fullmatch(r"([\d,]+(?:\.(\d+))?)(?: ([BT]))? \((.+)\)", PUBLISHED[model_id])
    assert stated is not None
    unit = _UNITS[stated[3] or ""]
    half = 0.5 * unit / 10 ** len(stated[2] or "") if unit > 1 else 0
    counts = Inventory(resolve_model(model_id))
    total = (counts.parameters_total + counts.parameters_vision + counts.parameters_audio
             + counts.parameters_mtp)  # fmt: skip
    assert abs(total - float(stated[1].replace(",", "")) * unit) <= half


def test_two_of_three_names_of_common_sizes_have_a_published_total() -> None:
    """Bundled since common sizes resolve: the rest is counted from sizes alone."""
    later = model_ids()[model_ids().index("llama-2-7b") :]
    assert len(set(PUBLISHED) & set(later)) == len(PUBLISHED) >= 60
