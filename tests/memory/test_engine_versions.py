"""Known versions of engines: the default is computed, others are read, unknown ones are told."""

import pytest

import planner
from planner.base.errors import InputError
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.memory.engines.versions import READ, default_known, known_versions, taken_version


def test_the_default_is_the_newest_stable_version_that_was_read_for_all() -> None:
    for name in engine_names():
        default, known = default_known(name), known_versions(name)
        assert default in known
        assert default.stable
        assert default.read
        for other in known:
            if other.stable and other.version > default.version:
                assert not other.read >= default.read
    for name in ("vllm", "sglang", "tensorrt-llm", "llama.cpp"):
        assert default_known(name).read == set(READ)
    assert not parse_engine("vllm").stated


def test_known_versions_are_each_there_once_and_candidates_are_no_defaults() -> None:
    for name in engine_names():
        versions = [k.version for k in known_versions(name)]
        assert versions == sorted(set(versions))
        for known in known_versions(name):
            assert known.stable is not known.version.is_prerelease
            taken = taken_version(name, known.text or "b1")
            assert taken.known == known


@pytest.mark.parametrize(
    ("text", "taken", "older"),
    [
        ("vllm@0.33.1", "0.33.0", False),
        ("vllm@99.9", "0.33.0", False),
        ("vllm@0.19.0.dev12+gabc", "0.18.1", False),
        ("vllm@0.0.0", "0.0.1", True),
        ("sglang@0.5.24", "0.5.23", False),
        ("sglang@0.5", "0.5.1", False),
        ("sglang@0.0.1", "0.1.3", True),
        ("tensorrt-llm@1.2.0rc5", "1.2.0rc2.post2", False),
        ("tensorrt-llm@1.2.2", "1.2.1", False),
        ("llama.cpp@b9775", "", False),
    ],
)
def test_an_unknown_version_is_taken_as_a_known_one(text: str, taken: str, older: bool) -> None:
    engine = parse_engine(text)
    assert engine.taken is not None
    assert (engine.taken.known.text, engine.taken.older_than_all) == (taken, older)
    assert engine.version == engine.taken.known.version
    assert engine.address.removesuffix("-v0") == text


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("vllm@0.21", "0.21.0"),
        ("vllm@v0.15.1", "0.15.1"),
        ("vllm@0.11.x", "0.11.2"),
        ("vllm@0.33.0+cu129", "0.33.0"),
        ("vllm@0.9.2-v0", "0.9.2"),
        ("sglang@0.5.8.post1", "0.5.8.post1"),
        ("trtllm@1.2.0rc6", "1.2.0rc6"),
        ("trtllm@1.2.0RC6.post2", "1.2.0rc6.post2"),
    ],
)
def test_a_known_version_is_read_however_it_is_written(text: str, version: str) -> None:
    engine = parse_engine(text)
    assert (str(engine.version), engine.taken) == (version, None)
    assert parse_engine(engine.address) == engine


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("vllm@0.33.oops", "vllm@0.33.0"),
        ("sglang@0.5.8-v1", "sglang@0.5.8"),
        ("sglang@b9775", "sglang@0.5."),
        ("vllm@", "vllm@0.33.0"),
        ("vllm@1!2", "vllm@"),
        ("tensorrt-llm@newest", "tensorrt-llm@1.2.1"),
        ("vllm@" + "9" * 5000, "vllm@"),
    ],
)
def test_what_is_no_version_is_refused_with_the_nearest(text: str, near: str) -> None:
    with pytest.raises(InputError, match="is not understood") as error:
        parse_engine(text)
    assert near in str(error.value.hint)


@pytest.mark.parametrize(
    ("engine", "said"),
    [("vllm@0.33.1", "vllm 0.33.1 is not known here: taken as 0.33.0"), ("vllm@0.33.0", "")],
)
def test_the_memory_of_an_unknown_version_says_whose_it_is(engine: str, said: str) -> None:
    result = planner.memory_use("qwen3-8b", "h100-sxm", engine=engine).engine
    assert result is not None
    assert any(note == said for note in result.notes) is bool(said)
