"""Images beside a text model: one pass of the encoder, kept outputs, and vLLM's profile of both."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from support.seeing import RELEASES

from planner.memory.images import encoder_budget, image_lines, pass_lines
from planner.memory.resident import total
from planner.models.catalog import resolve_model
from planner.models.configuration import spec_from_bytes
from planner.models.spec import ImageEncoder
from planner.planning.inspect.memory import memory_use

EYES = ImageEncoder(layers=2, hidden=64, heads=4, inner=256, gated=False, pixels=48, merge=4,
                    out=32, patches=400, tokens=100, limit="here")  # fmt: skip


def written(folder: Path, name: str) -> str:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(deepcopy(RELEASES[name])), encoding="utf-8")
    return str(path)


def test_the_budget_is_a_step_s_tokens_or_the_largest_item() -> None:
    """vLLM 0.32, MultiModalBudget: steps of 2048 tokens keep eight of Gemma 3's images of 256."""
    gemma = ImageEncoder(27, 1152, 16, 4304, False, 588, 16, 2560, 4096, 256, "fixed")
    found = encoder_budget(gemma, tokens=2048, sequences=256, context=8192)
    assert (found.kept_tokens, found.items, found.item_tokens) == (2048, 8, 256)
    large = encoder_budget(EYES, tokens=64, sequences=1, context=1000)
    assert (large.kept_tokens, large.items) == (100, 1)
    few = encoder_budget(EYES, tokens=8192, sequences=1, context=200)
    assert few.items == 2  # what one request holds


@pytest.mark.parametrize(
    ("context", "tokens"),
    [(8192, 16384), (32768, 32768), (128000, 7 * 16384), (1 << 20, 7 * 16384)],
)
def test_videos_of_qwen2_vl_are_as_long_as_a_request_up_to_14_frames(
    context: int, tokens: int
) -> None:
    eyes = resolve_encoder("qwen2.5-vl-7b")
    assert encoder_budget(eyes, tokens=8192, sequences=64, context=context).item_tokens == tokens


def resolve_encoder(name: str) -> ImageEncoder:
    found = spec_from_bytes(
        json.dumps(RELEASES[name]).encode(),
        "config.json",
        model_id="m",
        public_name="m",
        source="here",
        source_kind="file",
    ).encoder
    assert found is not None
    return found


def test_a_pass_is_the_sum_of_its_tensors() -> None:
    lines = {line.name: line.bytes for line in pass_lines(EYES, 400, 1, 2)}
    assert lines == {
        "patches": 400 * 48 * 2,
        "encoder-stream": 2 * 400 * 64 * 2,
        "encoder-layer": 400 * 2 * 256 * 2,
        "encoder-outputs": 100 * 32 * 2,
    }
    halved = {line.name: line.bytes for line in pass_lines(EYES, 400, 2, 2)}
    assert halved["encoder-layer"] == 400 * max(6 * 64 // 2, 256, 2 * 64) * 2
    assert halved["encoder-stream"] == lines["encoder-stream"]


def test_memory_holds_encoder_pass_and_outputs_on_the_first_stage(tmp_path: Path) -> None:
    path = written(tmp_path, "gemma-3-4b-it")
    plain = memory_use(path, "h100-sxm", context=8192, pp=2)
    seeing = memory_use(path, "h100-sxm", context=8192, pp=2, with_vision=True)
    first, last = seeing.parts.stages
    assert last == plain.parts.stages[1]
    assert first.weights_bytes - plain.parts.stages[0].weights_bytes == 2 * 419_816_304
    assert total(first.encode) > 0
    kept = [line for line in first.prefill if line.name == "encoder-cache"]
    assert [line.bytes for line in kept] == [seeing.parts.use.chunk * 2560 * 2]
    assert first.activation_bytes >= total(first.encode)


def test_tensor_parallel_ranks_divide_the_encoder_s_blocks(tmp_path: Path) -> None:
    path = written(tmp_path, "qwen2.5-vl-7b")
    one, two = (
        memory_use(path, "h100-sxm", tp=tp, with_vision=True).parts.stages[0].weights_bytes
        - memory_use(path, "h100-sxm", tp=tp).parts.stages[0].weights_bytes
        for tp in (1, 2)
    )
    block = 32 * 2 * (4 * 1280 * 1280 + 3 * 1280 * 3420 + 3 * 1280 + 2 * 3420)
    assert one - two == block // 2


def test_vllm_profiles_the_larger_of_images_and_text_with_their_outputs(tmp_path: Path) -> None:
    path = written(tmp_path, "qwen3-vl-30b-a3b")
    found = memory_use(
        path, "h100-sxm", tp=2, with_vision=True, engine="vllm@0.21", context=8192
    ).engine
    plain = memory_use(path, "h100-sxm", tp=2, engine="vllm@0.21", context=8192).engine
    assert found is not None
    assert plain is not None
    lines = {line.name: line.bytes for line in found.rank.overheads}
    assert lines["encoder-outputs"] == 16384 * 4 * 2048 * 2
    assert lines["deepstack-buffers"] == 3 * 8192 * 2048 * 2
    assert found.kv_bytes < plain.kv_bytes - lines["encoder-outputs"]
    assert any("largest images" in note for note in found.notes)


def test_a_model_without_a_known_encoder_has_weights_only() -> None:
    spec = resolve_model("kimi-k2.5")
    assert spec.encoder is None
    budget = encoder_budget(EYES, tokens=64, sequences=1, context=1000)
    assert image_lines(spec, budget, 1, 2) == ([], [])
    said = dict(
        row[:2] for row in memory_use("kimi-k2.5", "b200", tp=8, ep=8, with_vision=True).assumptions
    )
    assert said["images"] == "weights of the encoder only"


def test_sound_comes_with_images(tmp_path: Path) -> None:
    path = written(tmp_path, "qwen2.5-omni-7b")
    plain, whole = (memory_use(path, "h100-sxm", with_vision=both) for both in (False, True))
    assert {line.name: line.bytes for line in plain.parts.not_loaded} == {
        "vision": 2 * 676_550_144,
        "audio": 2 * 639_647_232,
    }
    assert whole.parts.not_loaded == ()
    both = whole.parts.stages[0].weights_bytes - plain.parts.stages[0].weights_bytes
    assert both == 2 * (676_550_144 + 639_647_232)
