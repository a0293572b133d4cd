"""Official quantised releases of bundled models: every one that public text names is known.

``official_releases.csv`` lists those of a model's maker, NVIDIA, Red Hat and AMD, each with where
it was read. One that the table of releases cannot hold says why.
"""

import csv
from collections import Counter
from pathlib import Path

import pytest

from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import parse_engine
from planner.models.catalog import model_ids
from planner.placement.modules import PLANNED_KINDS
from planner.planning.engines.checkpoints import checkpoint_of, made_while_loading
from planner.planning.engines.published import read_published
from planner.planning.engines.rules import DATA

with Path(__file__).with_name("official_releases.csv").open(encoding="utf-8", newline="") as lines:
    OFFICIAL = list(csv.DictReader(lines))
KNOWN = {(row.model, row.repository) for row in read_published(DATA / "checkpoints.csv")}
CODER = "Qwen/Qwen3-Coder-30B-A3B-Instruct"
BITS = {"int4": "int4", "awq": "int4", "gptq": "int4", "nvfp4": "nvfp4", "mxfp4": "mxfp4"}


def test_every_official_release_is_known_or_says_why_not() -> None:
    assert len(OFFICIAL) >= 250
    for row in OFFICIAL:
        known = (row["model"], row["repository"]) in KNOWN
        assert known != bool(row["exception"]), row["repository"]


def test_the_list_is_of_bundled_models_and_says_where_each_was_read() -> None:
    assert {row["model"] for row in OFFICIAL} <= set(model_ids())
    assert all("." in row["source"] for row in OFFICIAL)
    assert all(row["source"].count("/") >= 2 for row in OFFICIAL if "github.com" in row["source"])
    named = Counter((row["model"], row["repository"]) for row in OFFICIAL)
    assert set(named.values()) == {1}


def test_formats_agree_with_the_names_of_the_list() -> None:
    """What a list calls FP8, INT4, INT8 or NVFP4 is stored so in the experts, or else in the
    linears outside attention."""
    formats = {(row["model"], row["repository"]): row["format"].lower() for row in OFFICIAL}
    compared = 0
    for row in read_published(DATA / "checkpoints.csv"):
        named = formats.get((row.model, row.repository), "")
        word = named.split(" ")[0].split("-")[0]
        stored = row.experts or row.dense
        if word in BITS or (word == "fp8" and "NVFP4" not in row.repository):
            assert stored.startswith(BITS.get(word, "fp8")), row.repository
            compared += 1
        elif "int8" in named:
            assert stored.startswith("int8"), row.repository
            compared += 1
    assert compared >= 150


def uniform(model: str, scheme: str, **kinds: str) -> list[tuple[str, tuple[int, ...], str]]:
    """Every linear of a model in one scheme, ``kinds`` in their own."""
    spec = load_model(model)
    linear = sorted({row.kind for row in spec.rows if row.kind in PLANNED_KINDS})
    layers = tuple(range(spec.layers))
    return [(kind, layers, kinds.get(kind.replace("-", "_"), scheme)) for kind in linear]


@pytest.mark.parametrize(
    ("model", "device", "engine", "scheme", "kinds", "repository"),
    [
        ("qwen3.5-397b-a17b", "h200-sxm", "vllm", "fp8-block", {}, "Qwen/Qwen3.5-397B-A17B-FP8"),
        (
            "qwen3-next-80b-a3b",
            "h200-sxm",
            "vllm",
            "fp8-block",
            {},
            "Qwen/Qwen3-Next-80B-A3B-Instruct-FP8",
        ),
        # GLM before 5 has one scale a channel, not blocks.
        ("glm-4.6", "h200-sxm", "vllm", "fp8-channel", {}, "zai-org/GLM-4.6-FP8"),
        ("glm-4.6", "h200-sxm", "vllm", "fp8-block", {}, ""),
        ("glm-4.5-air", "h200-sxm", "sglang", "fp8-channel", {}, "zai-org/GLM-4.5-Air-FP8"),
        (
            "llama-3.2-3b",
            "h100-sxm",
            "vllm",
            "fp8-tensor",
            {},
            "RedHatAI/Llama-3.2-3B-Instruct-FP8",
        ),
        ("qwen3-14b", "b200-sxm", "vllm", "nvfp4", {}, "nvidia/Qwen3-14B-NVFP4"),
        ("qwen3-14b", "h100-sxm", "vllm", "int4-w4a16", {}, "Qwen/Qwen3-14B-AWQ"),
        # Red Hat's leave linear attention plain.
        (
            "qwen3.5-122b-a10b",
            "h200-sxm",
            "vllm",
            "fp8-channel",
            {"linear_attention": "bf16"},
            "RedHatAI/Qwen3.5-122B-A10B-FP8-dynamic",
        ),
        ("qwen3.5-122b-a10b", "h200-sxm", "vllm", "fp8-channel", {}, ""),
    ],
)
def test_the_release_of_a_plan(
    model: str, device: str, engine: str, scheme: str, kinds: dict[str, str], repository: str
) -> None:
    found = checkpoint_of(
        load_model(model),
        load_device(device),
        parse_engine(engine),
        uniform(model, scheme, **kinds),
    )
    assert (found.repository if found is not None else "") == repository


def test_what_is_published_needs_no_making() -> None:
    """The engine would make the same of the plain release."""
    device, engine = load_device("h200-sxm"), parse_engine("vllm@0.33")
    for model, made in (("qwen3-14b", False), ("llama-3.1-8b", False), ("glm-4.6", True)):
        units = uniform(model, "fp8-block")
        found = made_while_loading(load_model(model), device, engine, units)
        assert (found is not None) == made, model
